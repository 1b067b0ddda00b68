"""Means with their uncertainty: percentile bootstrap over rows, seeded and vectorised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = Sequence[float] | Floats

SAMPLES = 4_000
"""How many resamples an interval is made of."""
LEVEL = 0.95
_PIECE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values, and where 95 % of the means of resamples lie; all None for n = 0."""

    mean: float | None
    low: float | None
    high: float | None
    n: int

    def to_dict(self) -> dict[str, float | int | None]:
        """As JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        if self.mean is None or self.low is None or self.high is None:
            return "-"
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


NONE = Interval(None, None, None, 0)


def bootstrap(values: Numbers, *, seed: int = 0, samples: int = SAMPLES) -> Interval:
    """The mean of values and its 95 % interval.

    Args:
        values: (n,) finite numbers, one for each row: rows are what is resampled.
        seed: Of the resamples; the same values and seed give the same interval.
        samples: How many resamples.

    Raises:
        ValueError: A value is not finite.
    """
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return NONE
    if not np.isfinite(data).all():
        raise ValueError("a score is not a finite number")
    mean = float(data.mean())
    if data.size == 1 or float(np.ptp(data)) == 0.0:
        return Interval(_rounded(mean), _rounded(mean), _rounded(mean), int(data.size))
    means = _resampled(data, seed, samples)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(_rounded(mean), _rounded(float(low)), _rounded(float(high)), int(data.size))


def chance_above(values: Numbers, *, seed: int = 0, samples: int = SAMPLES) -> float | None:
    """The share of resamples whose mean is above 0 (a tie counts half); None without values."""
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return None
    means = _resampled(data, seed, samples)
    return _rounded(float((means > 0).mean() + 0.5 * (means == 0).mean()))


def _resampled(data: Floats, seed: int, samples: int) -> Floats:
    """(samples,) means of resamples of `data` (n,), drawn in pieces so that memory stays bounded."""
    import numpy as np

    rng = np.random.default_rng(seed)
    step = max(1, _PIECE // data.size)
    pieces = []
    for start in range(0, samples, step):
        count = min(step, samples - start)
        chosen = rng.integers(0, data.size, size=(count, data.size))
        pieces.append(data[chosen].mean(axis=1))
    return np.concatenate(pieces)


def _rounded(value: float) -> float:
    return round(value, 6) + 0.0 if math.isfinite(value) else value
