"""Curves as inline SVG, drawn here: the page needs no library. A small script only tells the values under a pointer.

Axes are HTML beside the drawing. The drawing itself stretches to whatever room there is, and its text does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from genevolve.optimizer.report.page import compact, safe

MOST_POINTS = 240
"""Points of a curve; longer ones are drawn as means of neighbouring steps."""
_COLOURS = 6
_SMOOTH_FROM = 30
_WIDTH, _HEIGHT = 1000.0, 300.0
_MOST_INTERVALS = 5
_STEPS = (1, 2, 2.5, 5, 10, 20, 25, 50, 100)
_HAIR = 1e-9
_INSET = 0.05
"""Room beside the outermost marks, as a share of what lies between them; the style leaves the same beside labels."""


@dataclass(frozen=True)
class Series:
    """A named curve: (n,) values, one for each x; None where there is none."""

    name: str
    values: Sequence[float | None]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(v is None for v in self.values)


@dataclass(frozen=True)
class Mark:
    """A measurement with its interval; `style` is a class of the page's style."""

    x: float
    mean: float
    low: float | None
    high: float | None
    style: str
    label: str


def chart(title: str, xs: Sequence[int], series: Sequence[Series], note: str = "") -> str:
    """A card with curves over steps; empty when none has a value.

    Long noisy curves are drawn twice: as they are, faintly, and as a moving mean.

    Args:
        title: What it shows.
        xs: (n,) the steps, rising.
        series: Curves of (n,) values, at most six.
        note: A sentence under the title.
    """
    shown = [s for s in series if not s.empty][:_COLOURS]
    if not shown:
        return ""
    places, curves = _thinned(xs, [s.values for s in shown])
    smoothed = [_smooth(c) for c in curves] if len(places) >= _SMOOTH_FROM else curves
    alone = len(shown) == 1
    drawn = [v for c in (*smoothed, *(curves if alone else ())) for v in c if v is not None]
    axis = Axis.of(min(drawn), max(drawn))
    parts = [axis.grid()]
    for i, (raw, smooth) in enumerate(zip(curves, smoothed, strict=True)):
        if alone and smooth is not raw:
            parts.append(_path(places, raw, axis, f"line raw c{i}"))
        parts.append(_path(places, smooth, axis, f"line c{i}"))
    keys = "".join(
        f'<span><i class="k{i}"></i>{safe(s.name)} <b>{compact(_last(c))}</b></span>'
        for i, (s, c) in enumerate(zip(shown, smoothed, strict=True))
    )
    data = "".join(
        f'<data class="series" data-name="{safe(s.name)}" data-y="{_csv(c)}"></data>'
        for s, c in zip(shown, curves, strict=True)
    )
    plot = (
        f'<div class="plot" data-x="{_csv(places)}">{_svg(title, parts)}{data}'
        '<div class="rule" hidden></div><div class="tip" hidden></div></div>'
    )
    return _card(title, note, keys, axis, plot, (places[0], places[-1]))


def marks(title: str, points: Sequence[Mark], keys: Sequence[tuple[str, str]], note: str = "") -> str:
    """A card with measurements and their intervals; empty without any. `keys` are styles and what they mean."""
    if not points:
        return ""
    values = [v for p in points for v in (p.mean, p.low, p.high) if v is not None]
    axis = Axis.of(min(values), max(values))
    first, last = min(p.x for p in points), max(p.x for p in points)
    room = max(1.0, last - first) * _INSET
    span = (first - room, last + room)
    parts = [axis.grid()]
    for point in points:
        x = _place(point.x, span)
        told = f"<title>{safe(point.label)}</title>"
        if point.low is not None and point.high is not None:
            parts.append(
                f'<line class="range {point.style}" x1="{x}" x2="{x}" y1="{axis.y(point.low)}" '
                f'y2="{axis.y(point.high)}">{told}</line>'
            )
        # A line without length has round ends: a dot that stays round however the drawing is stretched.
        dot = f"M{x} {axis.y(point.mean)}h0.01"
        parts.append(f'<path class="dot {point.style}" d="{dot}">{told}</path>')
    shown = "".join(f'<span><i class="{style}"></i>{safe(meaning)}</span>' for style, meaning in keys)
    plot = f'<div class="plot">{_svg(title, parts)}</div>'
    return _card(title, note, shown, axis, plot, (first, last), inset=True)


@dataclass(frozen=True)
class Axis:
    """The vertical axis: its ticks at equal distances, the first and the last at its ends."""

    ticks: tuple[float, ...]

    @classmethod
    def of(cls, low: float, high: float) -> Axis:
        """An axis that holds two values, with round ticks."""
        if high - low < 1e-12 * max(1.0, abs(high)):
            pad = abs(high) * 0.1 or 0.5
            low, high = low - pad, high + pad
        size = 10.0 ** (math.floor(math.log10(high - low)) - 1)
        step = next(s for m in _STEPS if _intervals(low, high, s := m * size) <= _MOST_INTERVALS)
        begin, end = math.floor(low / step + _HAIR), math.ceil(high / step - _HAIR)
        return cls(tuple(i * step for i in range(begin, end + 1)))

    def y(self, value: float) -> str:
        """Where a value stands in the drawing, counted from its top."""
        low, high = self.ticks[0], self.ticks[-1]
        return f"{_HEIGHT * (1 - (value - low) / (high - low)):.1f}"

    def grid(self) -> str:
        """A line for each tick."""
        return "".join(
            f'<line class="grid" x1="0" x2="{_WIDTH:.0f}" y1="{y}" y2="{y}"/>'
            for y in map(self.y, self.ticks)
        )

    def labels(self) -> str:
        """What the ticks say, the lowest first."""
        return "".join(f"<span>{_tick(t, self.ticks)}</span>" for t in self.ticks)


def _intervals(low: float, high: float, step: float) -> int:
    return math.ceil(high / step - _HAIR) - math.floor(low / step + _HAIR)


def _tick(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    largest = max(abs(t) for t in ticks)
    if largest >= 1e6 or largest < 1e-3:
        return f"{value:.1e}" if abs(value) > step / 2 else "0"
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, places) != round(step, places + 1):
        places += 1
    return f"{value:,.{places}f}"


def _card(
    title: str, note: str, keys: str, axis: Axis, plot: str, span: tuple[float, float], *, inset: bool = False
) -> str:
    middle = (span[0] + span[1]) / 2
    steps = [
        span[0],
        *([middle] if span[1] - span[0] >= 2 else []),
        *([span[1]] if span[1] > span[0] else []),
    ]
    xs = "".join(f"<span>{x:,.0f}</span>" for x in steps)
    told = f'<p class="dim small">{safe(note)}</p>' if note else ""
    return (
        f'<figure class="card chart"><figcaption><h3>{safe(title)}</h3>{told}<p class="keys">{keys}</p>'
        f'</figcaption><div class="frame"><div class="ys">{axis.labels()}</div>{plot}'
        f'<div class="xs{" inset" if inset else ""}">{xs}</div></div></figure>'
    )


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{safe(title)}">{"".join(parts)}</svg>'
    )


def _path(xs: Sequence[int], values: Sequence[float | None], axis: Axis, style: str) -> str:
    """A line with gaps where values are missing; a value between two gaps is a dot."""
    span = (xs[0], xs[-1]) if xs[-1] > xs[0] else (xs[0] - 1, xs[0] + 1)
    pieces: list[str] = []
    for missing, run in groupby(zip(xs, values, strict=True), key=lambda p: p[1] is None):
        if missing:
            continue
        points = [f"{_place(x, span)} {axis.y(v)}" for x, v in run if v is not None]
        pieces.append("M" + "L".join(points) + ("h0.01" if len(points) == 1 else ""))
    return f'<path class="{style}" d="{"".join(pieces)}"/>'


def _place(x: float, span: tuple[float, float]) -> str:
    return f"{_WIDTH * (x - span[0]) / (span[1] - span[0]):.1f}"


def _thinned(
    xs: Sequence[int], curves: Sequence[Sequence[float | None]]
) -> tuple[list[int], list[list[float | None]]]:
    """Means of neighbouring steps, so that at most `MOST_POINTS` points are left."""
    size = math.ceil(len(xs) / MOST_POINTS)
    if size <= 1:
        return list(xs), [list(c) for c in curves]
    starts = range(0, len(xs), size)
    places = [xs[min(len(xs) - 1, s + size // 2)] for s in starts]
    return places, [[_mean(c[s : s + size]) for s in starts] for c in curves]


def _smooth(values: Sequence[float | None]) -> list[float | None]:
    """A centred moving mean; gaps stay."""
    half = _window(len(values)) // 2
    return [
        None if v is None else _mean(values[max(0, i - half) : i + half + 1]) for i, v in enumerate(values)
    ]


def smoothing(count: int) -> str:
    """A sentence about the curves of so many steps; empty where they are drawn as they are."""
    points = math.ceil(count / math.ceil(count / MOST_POINTS)) if count else 0
    if points < _SMOOTH_FROM:
        return ""
    each = "" if points == count else f", of which each is the mean of {math.ceil(count / MOST_POINTS)} steps"
    return (
        f"Lines are moving means over {_window(points)} points{each}; faint lines are the values themselves."
    )


def _window(count: int) -> int:
    """Points of a moving mean: a twelfth of a curve, an odd number."""
    return max(3, count // 12) | 1


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _last(values: Sequence[float | None]) -> float | None:
    return next((v for v in reversed(values) if v is not None), None)


def _csv(values: Sequence[float | None]) -> str:
    return ",".join("" if v is None else f"{v:.6g}" for v in values)
