"""Distributions as bars of text."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from genevolve.cli.experience_text import pad
from genevolve.grammar.display import cells, width

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDEST = 100


def bars(title: str, counts: Mapping[str, int] | Sequence[tuple[str, int]], columns: int) -> list[str]:
    """A histogram: a heading, then one line a bin with its label, its bar and its count.

    The longest bar takes the room that labels and counts leave; a bin that is not empty always has a mark.
    """
    pairs = list(counts.items()) if isinstance(counts, Mapping) else list(counts)
    if not pairs or not any(n for _, n in pairs):
        return [title, "  nothing yet"]
    room = min(columns, _WIDEST)
    numbers = [f"{n:,}" for _, n in pairs]
    digits = max(map(len, numbers))
    labels = min(max(width(cells(label)) for label, _ in pairs), max(4, room // 3))
    longest = max(1, room - labels - digits - 6)
    most = max(n for _, n in pairs)
    lines = [title]
    for (label, n), number in zip(pairs, numbers, strict=True):
        lines.append(f"  {pad(label, labels)}  {number:>{digits}}  {_bar(n / most * longest)}".rstrip())
    return lines


def _bar(size: float) -> str:
    if size <= 0:
        return ""
    if "utf" not in (sys.stdout.encoding or "").lower():
        return "#" * max(1, round(size))
    eighths = max(1, round(size * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def steps(values: Sequence[float], edges: Sequence[float], labels: Sequence[str]) -> list[tuple[str, int]]:
    """How many values lie from each edge to the next; the first and the last bin are open.

    Args:
        values: What is counted.
        edges: In rising order, n of them.
        labels: Of the n + 1 bins.
    """
    from bisect import bisect_right

    found = [0] * (len(edges) + 1)
    for value in values:
        found[bisect_right(edges, value)] += 1
    return list(zip(labels, found, strict=True))
