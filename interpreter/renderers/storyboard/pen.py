"""Vector shapes with smooth edges, on Pillow: what the pictograms are drawn with.

Coordinates are in units of the sprite's height: y runs from 0 (top) to 1, x from 0 to the sprite's aspect, so a
circle is a circle at any aspect. Everything is drawn a few times larger and then reduced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Colour = (255, 255, 255)
INK: Colour = (38, 40, 51)


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour `t` of the way from `a` to `b`."""
    return (
        round(a[0] + (b[0] - a[0]) * t),
        round(a[1] + (b[1] - a[1]) * t),
        round(a[2] + (b[2] - a[2]) * t),
    )


def luminance(colour: Colour) -> float:
    """Relative luminance (0 to 1) as WCAG 2 defines it."""
    parts = []
    for value in colour:
        c = value / 255
        parts.append(c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a: Colour, b: Colour) -> float:
    """Contrast ratio (1 to 21) as WCAG 2 defines it."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@dataclass(frozen=True)
class Ink:
    """The colours of one pictogram: its own, derived tones, and a number that varies small details."""

    main: Colour
    variant: int = 0

    @property
    def shade(self) -> Colour:
        """One step darker (lighter where the colour is nearly black)."""
        return mix(self.main, INK, 0.22) if luminance(self.main) > 0.03 else mix(self.main, WHITE, 0.18)

    @property
    def deep(self) -> Colour:
        """Two steps darker."""
        return mix(self.main, INK, 0.48) if luminance(self.main) > 0.03 else mix(self.main, WHITE, 0.32)

    @property
    def tint(self) -> Colour:
        """One step lighter."""
        return mix(self.main, WHITE, 0.32)

    @property
    def pale(self) -> Colour:
        """Two steps lighter."""
        return mix(self.main, WHITE, 0.62)


class Pen:
    """Draws on a transparent sprite of `height` pixels and the given aspect (width over height)."""

    def __init__(self, height: int, aspect: float) -> None:
        self.height = max(1, height)
        self.width = max(1, round(height * aspect))
        self.factor = 4 if self.height <= 160 else 3 if self.height <= 320 else 2
        self.scale = self.height * self.factor
        self.aspect = aspect
        size = (self.width * self.factor, self.height * self.factor)
        self.image = Image.new("RGBA", size, (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        """The sprite at its own size, premultiplied while it is reduced so that edges keep their colour."""
        reduced = self.image.convert("RGBa").reduce(self.factor)
        return reduced.convert("RGBA")

    def _points(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def poly(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon(self._points(points), fill=fill)

    def blob(self, points: Sequence[Point], fill: Colour) -> None:
        """A smooth closed curve through the points."""
        self.poly(smooth(points), fill)

    def circle(self, x: float, y: float, r: float, fill: Colour) -> None:
        """A disc."""
        self.ellipse(x, y, r, r, fill)

    def hole(self, x: float, y: float, r: float) -> None:
        """Cut a disc out of what is drawn."""
        s = self.scale
        self.draw.ellipse(((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s), fill=(0, 0, 0, 0))

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """A filled ellipse about (x, y)."""
        s = self.scale
        self.draw.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=fill)

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, r: float = 0.0) -> None:
        """A rectangle with corner radius `r`."""
        s = self.scale
        box = (x0 * s, y0 * s, x1 * s, y1 * s)
        if r > 0:
            self.draw.rounded_rectangle(box, min(r, (x1 - x0) / 2, (y1 - y0) / 2) * s, fill=fill)
        else:
            self.draw.rectangle(box, fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """A polyline with round ends and joints."""
        px = max(1, round(width * self.scale))
        scaled = self._points(points)
        self.draw.line(scaled, fill=fill, width=px, joint="curve")
        for x, y in (scaled[0], scaled[-1]):
            self.draw.ellipse((x - px / 2, y - px / 2, x + px / 2, y + px / 2), fill=fill)

    def curve(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """A smooth open stroke through the points."""
        self.line(smooth(points, closed=False), width, fill)

    def ring(self, x: float, y: float, r: float, width: float, fill: Colour) -> None:
        """A circle's outline, `width` thick inwards."""
        s = self.scale
        self.draw.ellipse(
            ((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s), outline=fill, width=max(1, round(width * s))
        )

    def dome(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """The upper half of an ellipse whose flat side lies on y (the lower half when `ry` is negative)."""
        self.poly(arc(x, y, rx, ry, 180, 360), fill)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, steps: int = 28) -> list[Point]:
    """Points on an ellipse from `start` to `end` degrees (0 is right, 90 is down)."""
    out = []
    for i in range(steps + 1):
        t = math.radians(start + (end - start) * i / steps)
        out.append((x + rx * math.cos(t), y + ry * math.sin(t)))
    return out


def smooth(points: Sequence[Point], closed: bool = True, steps: int = 8) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    n = len(points)
    if n < 3:
        return list(points)
    out: list[Point] = []
    for i in range(n if closed else n - 1):
        if closed:
            p0, p1, p2, p3 = (points[(i + k) % n] for k in (-1, 0, 1, 2))
        else:
            p0, p1, p2, p3 = (points[min(max(i + k, 0), n - 1)] for k in (-1, 0, 1, 2))
        for k in range(steps):
            t = k / steps
            out.append((_spline(p0[0], p1[0], p2[0], p3[0], t), _spline(p0[1], p1[1], p2[1], p3[1], t)))
    if not closed:
        out.append(points[-1])
    return out


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def star_points(x: float, y: float, r: float, inner: float, spikes: int) -> list[Point]:
    """The corners of a star with a spike at the top."""
    out = []
    for i in range(spikes * 2):
        radius = r if i % 2 == 0 else r * inner
        t = math.radians(-90 + 180 * i / spikes)
        out.append((x + radius * math.cos(t), y + radius * math.sin(t)))
    return out
