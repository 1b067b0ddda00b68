"""The silhouettes of the studio: each can be told from every other at thirty pixels.

A silhouette is drawn in the unit square (x to the right, y down) with three kinds of area: body, dark detail, light
detail. `masks` gives them as arrays of a wanted size; a silhouette stands on the lower edge of its square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from genevolve.interpreter.studio.scene import CREATURES

Point = tuple[float, float]
Mask = NDArray[np.float32]

BODY, DARK, LIGHT, NOTHING = 1, 2, 3, 0
_FACTOR = 4


class Pen:
    """Draws labelled areas in the unit square of a picture a few times larger than wanted."""

    def __init__(self, pixels: int) -> None:
        self.side = pixels * _FACTOR
        self.image = Image.new("L", (self.side, self.side), 0)
        self._draw = ImageDraw.Draw(self.image)

    def poly(self, points: Sequence[Point], label: int = BODY) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=label)

    def rect(self, x0: float, y0: float, x1: float, y1: float, label: int = BODY, r: float = 0.0) -> None:
        """A filled rectangle with corners of radius `r`."""
        s = self.side
        self._draw.rounded_rectangle((x0 * s, y0 * s, x1 * s, y1 * s), radius=r * s, fill=label)

    def ellipse(self, x: float, y: float, rx: float, ry: float, label: int = BODY) -> None:
        """A filled ellipse about (x, y)."""
        s = self.side
        self._draw.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=label)

    def pie(self, x: float, y: float, r: float, start: float, end: float, label: int = BODY) -> None:
        """A filled slice of a disc; degrees run clockwise from the right."""
        s = self.side
        self._draw.pieslice(((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s), start, end, fill=label)

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, w: float, label: int = BODY
    ) -> None:
        """A curved line of width `w`."""
        s = self.side
        box = ((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s)
        self._draw.arc(box, start, end, fill=label, width=max(1, round(w * s)))

    def line(self, points: Sequence[Point], w: float, label: int = BODY) -> None:
        """A line of width `w` with round ends and joints."""
        s = self.side
        self._draw.line(
            [(x * s, y * s) for x, y in points], fill=label, width=max(1, round(w * s)), joint="curve"
        )
        for x, y in points:
            self.ellipse(x, y, w / 2, w / 2, label)


@dataclass(frozen=True)
class Masks:
    """Coverage of body (details included), dark and light details, each (n, n) in 0..1."""

    body: Mask
    dark: Mask
    light: Mask


@lru_cache(maxsize=2048)
def masks(name: str, pixels: int, legs: int = 0) -> Masks:
    """The areas of a silhouette.

    Args:
        name: A noun, or an outline of an emblem.
        pixels: Side of the square, at least 4.
        legs: How many, for creatures.

    Raises:
        KeyError: there is no such silhouette.
    """
    pen = Pen(max(4, pixels))
    if CREATURES.get(name):
        _CREATURES[name](pen, legs)
    else:
        _SHAPES[name](pen)
    labels = np.asarray(pen.image)
    n = pen.side // _FACTOR
    blocks = labels.reshape(n, _FACTOR, n, _FACTOR)

    def share(mask: NDArray[np.bool_]) -> Mask:
        found: Mask = mask.mean(axis=(1, 3), dtype=np.float32)
        found.flags.writeable = False
        return found

    return Masks(share(blocks != NOTHING), share(blocks == DARK), share(blocks == LIGHT))


def names() -> tuple[str, ...]:
    """All silhouettes."""
    return (*_SHAPES, *_CREATURES)


def _star_points(x: float, y: float, outer: float, inner: float, n: int) -> list[Point]:
    found = []
    for i in range(2 * n):
        r = outer if i % 2 == 0 else inner
        a = math.pi * i / n - math.pi / 2
        found.append((x + r * math.cos(a), y + r * math.sin(a)))
    return found


def _ball(p: Pen) -> None:
    p.ellipse(0.5, 0.5, 0.48, 0.48)
    p.arc(0.1, 0.5, 0.42, 0.5, -48, 48, 0.05, DARK)
    p.arc(0.9, 0.5, 0.42, 0.5, 132, 228, 0.05, DARK)


def _star(p: Pen) -> None:
    p.poly(_star_points(0.5, 0.54, 0.52, 0.22, 5))


def _lantern(p: Pen) -> None:
    p.arc(0.5, 0.16, 0.16, 0.14, 180, 360, 0.06)
    p.rect(0.3, 0.14, 0.7, 0.25, r=0.03)
    p.rect(0.18, 0.25, 0.82, 0.85, r=0.12)
    p.rect(0.26, 0.85, 0.74, 0.99, r=0.03)
    for x in (0.3, 0.55):
        p.rect(x, 0.36, x + 0.15, 0.74, LIGHT, r=0.04)


def _kite(p: Pen) -> None:
    p.poly([(0.5, 0.0), (0.9, 0.36), (0.5, 0.8), (0.1, 0.36)])
    p.line([(0.5, 0.03), (0.5, 0.78)], 0.035, DARK)
    p.line([(0.13, 0.36), (0.87, 0.36)], 0.035, DARK)
    p.line([(0.5, 0.78), (0.4, 0.86), (0.55, 0.92), (0.46, 0.98)], 0.04)


def _house(p: Pen) -> None:
    p.rect(0.68, 0.06, 0.8, 0.4)
    p.poly([(0.5, 0.02), (1.0, 0.48), (0.0, 0.48)])
    p.rect(0.12, 0.46, 0.88, 0.99)
    p.rect(0.42, 0.66, 0.6, 0.99, DARK)
    for x in (0.2, 0.67):
        p.rect(x, 0.58, x + 0.14, 0.74, LIGHT)


def _tree(p: Pen) -> None:
    p.rect(0.43, 0.55, 0.57, 0.99, DARK)
    for x, y, r in ((0.5, 0.24, 0.24), (0.27, 0.42, 0.23), (0.73, 0.42, 0.23), (0.5, 0.48, 0.24)):
        p.ellipse(x, y, r, r)


def _boat(p: Pen) -> None:
    p.rect(0.46, 0.02, 0.52, 0.6, DARK)
    p.poly([(0.52, 0.04), (0.97, 0.5), (0.52, 0.5)])
    p.poly([(0.46, 0.12), (0.46, 0.5), (0.1, 0.5)])
    p.poly([(0.0, 0.57), (1.0, 0.57), (0.84, 0.99), (0.16, 0.99)])


def _cup(p: Pen) -> None:
    p.arc(0.76, 0.52, 0.22, 0.2, -90, 90, 0.09)
    p.poly([(0.06, 0.18), (0.8, 0.18), (0.72, 0.9), (0.64, 0.98), (0.22, 0.98), (0.14, 0.9)])
    p.ellipse(0.43, 0.19, 0.37, 0.07, DARK)


def _bell(p: Pen) -> None:
    p.ellipse(0.5, 0.1, 0.09, 0.09)
    p.ellipse(0.5, 0.9, 0.12, 0.1, DARK)
    p.pie(0.5, 0.42, 0.32, 180, 360)
    p.poly([(0.18, 0.42), (0.82, 0.42), (0.84, 0.64), (0.98, 0.84), (0.02, 0.84), (0.16, 0.64)])


def _crown(p: Pen) -> None:
    p.poly([(0.02, 0.22), (0.26, 0.54), (0.5, 0.1), (0.74, 0.54), (0.98, 0.22), (0.88, 0.96), (0.12, 0.96)])
    for x, y in ((0.05, 0.2), (0.5, 0.09), (0.95, 0.2)):
        p.ellipse(x, y, 0.05, 0.05)
    p.rect(0.13, 0.78, 0.87, 0.87, DARK)


def _key(p: Pen) -> None:
    p.ellipse(0.5, 0.24, 0.24, 0.24)
    p.ellipse(0.5, 0.24, 0.11, 0.11, NOTHING)
    p.rect(0.43, 0.44, 0.57, 0.99)
    p.rect(0.55, 0.68, 0.78, 0.78)
    p.rect(0.55, 0.87, 0.72, 0.97)


def _moon(p: Pen) -> None:
    p.ellipse(0.5, 0.5, 0.49, 0.49)
    p.ellipse(0.74, 0.42, 0.42, 0.42, NOTHING)


def _heart(p: Pen) -> None:
    p.ellipse(0.27, 0.29, 0.26, 0.26)
    p.ellipse(0.73, 0.29, 0.26, 0.26)
    p.poly([(0.05, 0.42), (0.5, 0.28), (0.95, 0.42), (0.5, 0.99)])


def _umbrella(p: Pen) -> None:
    p.pie(0.5, 0.5, 0.49, 180, 360)
    for x in (0.17, 0.5, 0.83):
        p.ellipse(x, 0.5, 0.16, 0.07, NOTHING)
    p.rect(0.47, 0.4, 0.53, 0.9, DARK)
    p.arc(0.59, 0.88, 0.12, 0.11, 0, 180, 0.06, DARK)


def _flower(p: Pen) -> None:
    p.line([(0.5, 0.5), (0.5, 0.97)], 0.07, DARK)
    p.ellipse(0.64, 0.8, 0.13, 0.06, DARK)
    for i in range(6):
        a = math.pi * i / 3
        p.ellipse(0.5 + 0.23 * math.cos(a), 0.34 + 0.23 * math.sin(a), 0.14, 0.14)
    p.ellipse(0.5, 0.34, 0.12, 0.12, LIGHT)


def _mushroom(p: Pen) -> None:
    p.rect(0.36, 0.44, 0.64, 0.99, LIGHT, r=0.1)
    p.pie(0.5, 0.5, 0.49, 180, 360)
    for x, y, r in ((0.3, 0.34, 0.07), (0.52, 0.18, 0.08), (0.72, 0.37, 0.07)):
        p.ellipse(x, y, r, r, LIGHT)


def _drum(p: Pen) -> None:
    p.rect(0.05, 0.28, 0.95, 0.86)
    p.ellipse(0.5, 0.85, 0.45, 0.13)
    p.ellipse(0.5, 0.28, 0.45, 0.15, DARK)
    p.ellipse(0.5, 0.27, 0.4, 0.11, LIGHT)
    p.line([(0.06, 0.45), (0.28, 0.9), (0.5, 0.5), (0.72, 0.9), (0.94, 0.45)], 0.035, DARK)


def _hat(p: Pen) -> None:
    p.rect(0.24, 0.14, 0.76, 0.86, r=0.04)
    p.rect(0.24, 0.62, 0.76, 0.76, DARK)
    p.ellipse(0.5, 0.88, 0.5, 0.11)


def _bottle(p: Pen) -> None:
    p.rect(0.4, 0.02, 0.6, 0.1, DARK)
    p.rect(0.42, 0.1, 0.58, 0.36)
    p.rect(0.27, 0.34, 0.73, 0.99, r=0.12)
    p.rect(0.27, 0.56, 0.73, 0.8, LIGHT)


def _candle(p: Pen) -> None:
    p.poly([(0.5, 0.0), (0.61, 0.18), (0.5, 0.3), (0.39, 0.18)], LIGHT)
    p.rect(0.485, 0.24, 0.515, 0.36, DARK)
    p.rect(0.36, 0.34, 0.64, 0.9)
    p.rect(0.16, 0.88, 0.84, 0.99, r=0.04)


def _wagon(p: Pen) -> None:
    p.poly([(0.02, 0.34), (0.94, 0.34), (0.88, 0.74), (0.08, 0.74)])
    p.line([(0.9, 0.46), (0.98, 0.24)], 0.06, DARK)
    p.line([(0.06, 0.48), (0.9, 0.48)], 0.03, DARK)
    for x in (0.26, 0.7):
        p.ellipse(x, 0.79, 0.19, 0.19, DARK)
        p.ellipse(x, 0.79, 0.08, 0.08, LIGHT)


def _rocket(p: Pen) -> None:
    p.poly([(0.3, 0.55), (0.08, 0.9), (0.32, 0.82)])
    p.poly([(0.7, 0.55), (0.92, 0.9), (0.68, 0.82)])
    p.ellipse(0.5, 0.46, 0.23, 0.45)
    p.poly([(0.38, 0.84), (0.62, 0.84), (0.5, 1.0)], DARK)
    p.ellipse(0.5, 0.36, 0.1, 0.1, LIGHT)


def _anchor(p: Pen) -> None:
    p.ellipse(0.5, 0.13, 0.13, 0.13)
    p.ellipse(0.5, 0.13, 0.06, 0.06, NOTHING)
    p.rect(0.44, 0.24, 0.56, 0.94)
    p.rect(0.25, 0.33, 0.75, 0.43, r=0.03)
    p.arc(0.5, 0.56, 0.42, 0.42, 10, 170, 0.12)
    p.poly([(0.0, 0.64), (0.14, 0.46), (0.24, 0.68)])
    p.poly([(1.0, 0.64), (0.86, 0.46), (0.76, 0.68)])


def _leaf(p: Pen) -> None:
    p.poly([(0.95, 0.04), (0.98, 0.5), (0.7, 0.84), (0.3, 0.86), (0.14, 0.7), (0.16, 0.3), (0.5, 0.04)])
    p.line([(0.04, 0.96), (0.8, 0.2)], 0.05, DARK)
    p.line([(0.42, 0.58), (0.4, 0.3)], 0.03, DARK)
    p.line([(0.42, 0.58), (0.74, 0.6)], 0.03, DARK)


def _gem(p: Pen) -> None:
    p.poly([(0.24, 0.1), (0.76, 0.1), (1.0, 0.4), (0.5, 0.98), (0.0, 0.4)])
    p.line([(0.02, 0.4), (0.98, 0.4)], 0.03, DARK)
    p.line([(0.24, 0.12), (0.34, 0.4), (0.5, 0.95), (0.66, 0.4), (0.76, 0.12)], 0.03, DARK)


def _tower(p: Pen) -> None:
    p.rect(0.3, 0.2, 0.7, 0.99)
    p.rect(0.22, 0.12, 0.78, 0.32)
    for x in (0.22, 0.42, 0.62):
        p.rect(x, 0.01, x + 0.16, 0.14)
    p.rect(0.42, 0.74, 0.58, 0.99, DARK)
    p.rect(0.44, 0.42, 0.56, 0.58, LIGHT)


def _fish(p: Pen) -> None:
    p.poly([(0.3, 0.5), (0.0, 0.22), (0.0, 0.78)])
    p.poly([(0.45, 0.3), (0.6, 0.08), (0.75, 0.3)])
    p.ellipse(0.6, 0.5, 0.4, 0.27)
    p.ellipse(0.82, 0.43, 0.05, 0.05, DARK)
    p.arc(0.55, 0.5, 0.12, 0.2, -60, 60, 0.04, DARK)


def _shield(p: Pen) -> None:
    p.poly([(0.06, 0.02), (0.94, 0.02), (0.94, 0.5), (0.84, 0.72), (0.68, 0.88), (0.5, 0.99)])
    p.poly([(0.06, 0.02), (0.94, 0.02), (0.5, 0.99), (0.32, 0.88), (0.16, 0.72), (0.06, 0.5)])


def _disc(p: Pen) -> None:
    p.ellipse(0.5, 0.5, 0.49, 0.49)


def _pennant(p: Pen) -> None:
    p.poly([(0.08, 0.02), (0.92, 0.02), (0.92, 0.98), (0.5, 0.74), (0.08, 0.98)])


def _lozenge(p: Pen) -> None:
    p.poly([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)])


def _hexagon(p: Pen) -> None:
    p.poly([(0.25, 0.05), (0.75, 0.05), (1.0, 0.5), (0.75, 0.95), (0.25, 0.95), (0.0, 0.5)])


def _square(p: Pen) -> None:
    p.rect(0.05, 0.05, 0.95, 0.95, r=0.06)


def _legs(p: Pen, n: int, x0: float, x1: float, top: float, w: float) -> None:
    """Straight legs, evenly spaced, that a counter of dark columns can count."""
    for i in range(n):
        x = (x0 + x1) / 2 if n == 1 else x0 + (x1 - x0) * i / (n - 1)
        p.rect(x - w / 2, top, x + w / 2, 0.99)


def _width(n: int, room: float, widest: float) -> float:
    return min(widest, room / max(1, 2 * n - 1))


def _bird(p: Pen, n: int) -> None:
    _legs(p, n, *((0.38, 0.6) if n <= 2 else (0.2, 0.76)), 0.66, _width(n, 0.6, 0.06))
    p.poly([(0.24, 0.42), (0.0, 0.3), (0.06, 0.58), (0.3, 0.6)])
    p.ellipse(0.48, 0.5, 0.3, 0.24)
    p.ellipse(0.74, 0.24, 0.18, 0.18)
    p.poly([(0.88, 0.18), (1.0, 0.26), (0.88, 0.32)], DARK)
    p.ellipse(0.79, 0.2, 0.04, 0.04, DARK)
    p.arc(0.42, 0.44, 0.18, 0.16, 0, 170, 0.045, DARK)


def _cat(p: Pen, n: int) -> None:
    _legs(p, n, 0.2, 0.7, 0.62, _width(n, 0.56, 0.09))
    p.line([(0.16, 0.52), (0.06, 0.4), (0.06, 0.14)], 0.09)
    p.rect(0.12, 0.42, 0.76, 0.72, r=0.14)
    p.ellipse(0.78, 0.34, 0.19, 0.18)
    p.poly([(0.62, 0.3), (0.62, 0.04), (0.78, 0.18)])
    p.poly([(0.94, 0.3), (0.95, 0.04), (0.78, 0.18)])
    for x in (0.73, 0.86):
        p.ellipse(x, 0.32, 0.03, 0.04, DARK)


def _horse(p: Pen, n: int) -> None:
    _legs(p, n, 0.18, 0.66, 0.6, _width(n, 0.54, 0.08))
    p.line([(0.14, 0.46), (0.04, 0.56), (0.04, 0.76)], 0.07, DARK)
    p.ellipse(0.42, 0.52, 0.33, 0.17)
    p.poly([(0.54, 0.5), (0.7, 0.1), (0.84, 0.1), (0.76, 0.58)])
    p.poly([(0.68, 0.06), (0.82, 0.06), (1.0, 0.28), (0.93, 0.38), (0.7, 0.28)])
    p.poly([(0.7, 0.1), (0.74, 0.0), (0.79, 0.1)])
    p.line([(0.68, 0.1), (0.54, 0.4)], 0.06, DARK)
    p.ellipse(0.82, 0.17, 0.03, 0.03, DARK)


def _beetle(p: Pen, n: int) -> None:
    _legs(p, n, 0.14, 0.86, 0.55, _width(n, 0.8, 0.07))
    p.line([(0.86, 0.34), (0.97, 0.12)], 0.04)
    p.ellipse(0.84, 0.5, 0.16, 0.15)
    p.pie(0.46, 0.68, 0.44, 180, 360)
    p.rect(0.02, 0.62, 0.9, 0.74, r=0.05)
    p.line([(0.46, 0.28), (0.46, 0.7)], 0.035, DARK)
    for x in (0.26, 0.62):
        p.ellipse(x, 0.5, 0.055, 0.055, DARK)
    p.ellipse(0.89, 0.47, 0.03, 0.03, DARK)


def _spider(p: Pen, n: int) -> None:
    _legs(p, n, 0.05, 0.95, 0.42, _width(n, 0.95, 0.05))
    p.rect(0.02, 0.4, 0.98, 0.5, r=0.04)
    p.ellipse(0.4, 0.34, 0.3, 0.28)
    p.ellipse(0.76, 0.4, 0.17, 0.16)
    for x in (0.75, 0.84):
        p.ellipse(x, 0.36, 0.03, 0.03, LIGHT)


_SHAPES: dict[str, Callable[[Pen], None]] = {
    "ball": _ball,
    "star": _star,
    "lantern": _lantern,
    "kite": _kite,
    "house": _house,
    "tree": _tree,
    "boat": _boat,
    "cup": _cup,
    "bell": _bell,
    "crown": _crown,
    "key": _key,
    "moon": _moon,
    "heart": _heart,
    "umbrella": _umbrella,
    "flower": _flower,
    "mushroom": _mushroom,
    "drum": _drum,
    "hat": _hat,
    "bottle": _bottle,
    "candle": _candle,
    "wagon": _wagon,
    "rocket": _rocket,
    "anchor": _anchor,
    "leaf": _leaf,
    "gem": _gem,
    "tower": _tower,
    "fish": _fish,
    "shield": _shield,
    "disc": _disc,
    "pennant": _pennant,
    "lozenge": _lozenge,
    "hexagon": _hexagon,
    "square": _square,
}
_CREATURES: dict[str, Callable[[Pen, int], None]] = {
    "bird": _bird,
    "cat": _cat,
    "horse": _horse,
    "beetle": _beetle,
    "spider": _spider,
}
