"""How far judges agree: weighted kappa, rank correlation, spread of repeats. Plain formulas, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def weighted_kappa(a: Sequence[float], b: Sequence[float], levels: Sequence[float]) -> float | None:
    """Cohen's kappa with quadratic weights of two raters' grades of the same things.

    1 is full agreement, 0 what chance would give with the same frequencies, below 0 worse than chance.

    Args:
        a: Grades of one rater.
        b: Grades of the other, in the same order.
        levels: The ordered scale; each grade counts as the level nearest to it.

    Returns:
        None when it is not defined: no grades, or both always gave one and the same level.
    """
    if len(a) != len(b):
        raise ValueError("the raters graded different numbers of things")
    if not a:
        return None
    scale = np.asarray(levels, dtype=np.float64)
    first, second = _places(a, scale), _places(b, scale)
    seen = np.zeros((len(scale), len(scale)))  # (grade of a, grade of b)
    np.add.at(seen, (first, second), 1.0)
    seen /= len(a)
    chance = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    weights = (scale[:, None] - scale[None, :]) ** 2
    expected = float((weights * chance).sum())
    if expected == 0.0:
        return None
    return 1.0 - float((weights * seen).sum()) / expected


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rho: the correlation of ranks, ties sharing their mean rank.

    Returns:
        None for fewer than two pairs, or when one side is all the same.
    """
    if len(a) != len(b):
        raise ValueError("the two rows have different lengths")
    if len(a) < 2:
        return None
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return None if norm == 0.0 else float((x * y).sum()) / norm


def ranks(values: Sequence[float]) -> Floats:
    """Ranks from 1, equal values sharing the mean of their places; shape (n,)."""
    array = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean = last - (counts - 1) / 2.0
    return np.asarray(mean[inverse], dtype=np.float64)


def variance_within(groups: Sequence[Sequence[float]]) -> float | None:
    """Mean of the sample variances of repeats; None when nothing was repeated."""
    spreads = [float(np.var(group, ddof=1)) for group in groups if len(group) > 1]
    return sum(spreads) / len(spreads) if spreads else None


def _places(grades: Sequence[float], scale: Floats) -> NDArray[np.intp]:
    distance = np.abs(np.asarray(grades, dtype=np.float64)[:, None] - scale[None, :])  # (n, levels)
    places: NDArray[np.intp] = distance.argmin(axis=1)
    return places
