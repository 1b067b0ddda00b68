"""Pictograms of buildings, vehicles, and what is in the sky and the land."""

from __future__ import annotations

import itertools
import math

from genevolve.interpreter.renderers.storyboard.icons import icon
from genevolve.interpreter.renderers.storyboard.pen import INK, WHITE, Colour, Ink, Pen, mix

WINDOW: Colour = (252, 226, 150)
TYRE: Colour = (48, 50, 60)


def _windows(
    p: Pen, x0: float, y0: float, cols: int, rows: int, step: tuple[float, float], size: float
) -> None:
    for r in range(rows):
        for c in range(cols):
            x, y = x0 + c * step[0], y0 + r * step[1]
            p.rect(x, y, x + size, y + size * 1.25, WINDOW if (r * 3 + c) % 4 else mix(WINDOW, INK, 0.55))


def _wheel(p: Pen, x: float, y: float, r: float) -> None:
    p.circle(x, y, r, TYRE)
    p.circle(x, y, r * 0.5, (206, 210, 216))


@icon("house", aspect=1.1, colour=(236, 196, 140), size=1.7, habitat="back")
def house(p: Pen, ink: Ink) -> None:
    """A house with a pitched roof."""
    roof = mix((176, 74, 58), ink.main, 0.15)
    p.rect(0.76, 0.08, 0.86, 0.34, mix(roof, INK, 0.3))
    p.rect(0.14, 0.42, 0.96, 0.99, ink.main)
    p.rect(0.70, 0.42, 0.96, 0.99, ink.shade)
    p.poly([(0.02, 0.46), (0.55, 0.04), (1.08, 0.46)], roof)
    p.rect(0.44, 0.66, 0.62, 0.99, (112, 74, 52), 0.02)
    p.circle(0.585, 0.84, 0.016, (240, 200, 90))
    for x in (0.21, 0.74):
        p.rect(x, 0.56, x + 0.16, 0.74, WHITE)
        p.rect(x + 0.015, 0.575, x + 0.145, 0.725, (150, 200, 226))
        p.rect(x + 0.073, 0.56, x + 0.087, 0.74, WHITE)


@icon("building", aspect=0.62, colour=(122, 140, 164), size=2.6, habitat="back")
def building(p: Pen, ink: Ink) -> None:
    """An office or apartment block."""
    p.rect(0.05, 0.05, 0.57, 0.99, ink.main)
    p.rect(0.44, 0.05, 0.57, 0.99, ink.shade)
    p.rect(0.03, 0.02, 0.59, 0.07, ink.deep)
    _windows(p, 0.10, 0.12, 4, 7, (0.12, 0.115), 0.055)
    p.rect(0.24, 0.90, 0.38, 0.99, INK)


@icon("tower", aspect=0.5, colour=(136, 100, 72), size=3.0, habitat="back")
def tower(p: Pen, ink: Ink) -> None:
    """A lattice tower with two platforms."""
    x = 0.25
    left = [(0.015, 0.99), (0.095, 0.72), (0.165, 0.50), (0.215, 0.26), (0.237, 0.08)]
    right = [(0.5 - a, b) for a, b in left]
    p.line([(x, 0.005), (x, 0.12)], 0.016, ink.deep)
    p.poly(
        [(0.237, 0.08), (0.263, 0.08), (0.285, 0.26), (0.335, 0.50), (0.165, 0.50), (0.215, 0.26)], ink.pale
    )
    for a, b in itertools.pairwise(left[1:]):
        c, d = (0.5 - b[0], b[1]), (0.5 - a[0], a[1])
        p.line([a, c], 0.013, ink.main)
        p.line([b, d], 0.013, ink.main)
    p.line(left, 0.030, ink.main)
    p.line(right, 0.030, ink.shade)
    p.curve([(0.09, 0.985), (0.13, 0.84), (0.25, 0.775), (0.37, 0.84), (0.41, 0.985)], 0.024, ink.main)
    p.line([(0.075, 0.80), (0.14, 0.86)], 0.016, ink.main)
    p.line([(0.425, 0.80), (0.36, 0.86)], 0.016, ink.shade)
    for y, w in ((0.725, 0.185), (0.50, 0.115), (0.25, 0.06)):
        p.rect(x - w, y - 0.020, x + w, y + 0.020, ink.deep, 0.006)


@icon("lighthouse", aspect=0.5, colour=(206, 62, 58), size=2.4, habitat="back")
def lighthouse(p: Pen, ink: Ink) -> None:
    """A striped lighthouse."""
    p.poly([(0.10, 0.99), (0.165, 0.26), (0.335, 0.26), (0.40, 0.99)], WHITE)
    for top, base in ((0.36, 0.50), (0.64, 0.80)):
        a, b = 0.165 - (top - 0.26) * 0.089, 0.165 - (base - 0.26) * 0.089
        p.poly([(a, top), (0.5 - a, top), (0.5 - b, base), (b, base)], ink.main)
    p.rect(0.125, 0.235, 0.375, 0.27, INK, 0.01)
    p.rect(0.18, 0.12, 0.32, 0.24, WINDOW)
    p.poly([(0.15, 0.125), (0.25, 0.01), (0.35, 0.125)], ink.deep)
    p.rect(0.21, 0.88, 0.29, 0.99, INK, 0.03)


@icon("castle", aspect=1.15, colour=(164, 156, 150), size=2.2, habitat="back")
def castle(p: Pen, ink: Ink) -> None:
    """A castle with two towers."""
    p.rect(0.22, 0.46, 0.93, 0.99, ink.main)
    for k in range(5):
        p.rect(0.24 + k * 0.145, 0.38, 0.33 + k * 0.145, 0.48, ink.main)
    for x in (0.03, 0.83):
        p.rect(x, 0.26, x + 0.29, 0.99, ink.shade)
        p.poly([(x - 0.03, 0.28), (x + 0.145, 0.02), (x + 0.32, 0.28)], (98, 82, 130))
        p.rect(x + 0.11, 0.42, x + 0.18, 0.56, INK, 0.03)
    p.rect(0.46, 0.66, 0.70, 0.99, (96, 66, 46), 0.12)


@icon("bridge", aspect=2.4, colour=(178, 84, 62), size=1.2, habitat="back")
def bridge(p: Pen, ink: Ink) -> None:
    """A suspension bridge."""
    for x in (0.60, 1.80):
        p.curve([(x - 0.60, 0.60), (x - 0.30, 0.40), (x, 0.08)], 0.03, ink.main)
        p.rect(x - 0.045, 0.04, x + 0.045, 0.98, ink.main, 0.01)
    p.curve([(0.60, 0.08), (0.90, 0.46), (1.20, 0.56), (1.50, 0.46), (1.80, 0.08)], 0.03, ink.main)
    p.curve([(1.80, 0.08), (2.10, 0.40), (2.40, 0.60)], 0.03, ink.main)
    for k in range(9):
        x = 0.72 + k * 0.12
        p.rect(x - 0.006, 0.56 - 0.44 * ((x - 1.2) / 0.6) ** 2, x + 0.006, 0.64, ink.shade)
    p.rect(0.0, 0.62, 2.4, 0.71, ink.deep)


@icon("tent", aspect=1.4, colour=(226, 138, 60), size=0.7)
def tent(p: Pen, ink: Ink) -> None:
    """A tent."""
    p.poly([(0.70, 0.06), (1.36, 0.98), (0.04, 0.98)], ink.main)
    p.poly([(0.70, 0.06), (1.36, 0.98), (0.94, 0.98)], ink.shade)
    p.poly([(0.70, 0.30), (0.92, 0.98), (0.48, 0.98)], ink.deep)
    p.poly([(0.70, 0.30), (0.60, 0.98), (0.48, 0.98)], ink.tint)


@icon("windmill", aspect=0.85, colour=(238, 228, 208), size=2.2, habitat="back")
def windmill(p: Pen, ink: Ink) -> None:
    """A windmill."""
    p.poly([(0.26, 0.99), (0.33, 0.40), (0.52, 0.40), (0.59, 0.99)], ink.main)
    p.poly([(0.44, 0.40), (0.52, 0.40), (0.59, 0.99), (0.47, 0.99)], ink.shade)
    p.dome(0.425, 0.41, 0.11, 0.12, (150, 72, 58))
    for k in range(4):
        t = math.radians(45 + 90 * k)
        dx, dy = math.cos(t), math.sin(t)
        p.line([(0.425, 0.36), (0.425 + dx * 0.40, 0.36 + dy * 0.40)], 0.022, (110, 78, 56))
        p.line(
            [
                (0.425 + dx * 0.12 - dy * 0.03, 0.36 + dy * 0.12 + dx * 0.03),
                (0.425 + dx * 0.39 - dy * 0.03, 0.36 + dy * 0.39 + dx * 0.03),
            ],
            0.06,
            (196, 170, 140),
        )
    p.rect(0.38, 0.84, 0.47, 0.99, (110, 78, 56), 0.03)


@icon("car", aspect=2.05, colour=(208, 62, 62), size=0.62)
def car(p: Pen, ink: Ink) -> None:
    """A car from the side."""
    p.blob([(0.44, 0.44), (0.66, 0.10), (1.22, 0.08), (1.56, 0.44), (1.30, 0.52), (0.60, 0.52)], ink.shade)
    p.poly([(0.60, 0.44), (0.74, 0.18), (0.97, 0.17), (0.97, 0.44)], (188, 222, 238))
    p.poly([(1.04, 0.44), (1.04, 0.17), (1.20, 0.18), (1.42, 0.44)], (188, 222, 238))
    p.rect(0.05, 0.42, 2.00, 0.82, ink.main, 0.15)
    p.rect(0.05, 0.66, 2.00, 0.82, ink.shade, 0.07)
    p.rect(1.01, 0.52, 1.15, 0.56, ink.deep, 0.02)
    p.ellipse(1.94, 0.54, 0.06, 0.06, (255, 240, 170))
    p.ellipse(0.09, 0.54, 0.045, 0.06, (250, 120, 90))
    for x in (0.48, 1.56):
        p.circle(x, 0.80, 0.225, ink.deep)
        _wheel(p, x, 0.80, 0.19)


@icon("bus", aspect=2.1, colour=(240, 178, 52), size=0.95)
def bus(p: Pen, ink: Ink) -> None:
    """A bus, tram or van from the side."""
    p.rect(0.03, 0.10, 2.07, 0.86, ink.main, 0.09)
    p.rect(0.03, 0.58, 2.07, 0.66, ink.deep)
    for k in range(5):
        p.rect(0.13 + k * 0.32, 0.20, 0.39 + k * 0.32, 0.48, (188, 222, 238), 0.03)
    p.rect(1.76, 0.20, 1.98, 0.80, (188, 222, 238), 0.03)
    for x in (0.46, 1.50):
        _wheel(p, x, 0.85, 0.145)


@icon("train", aspect=2.2, colour=(58, 104, 150), size=1.0)
def train(p: Pen, ink: Ink) -> None:
    """A train engine from the side."""
    p.rect(0.04, 0.94, 2.18, 0.99, (110, 100, 96))
    p.rect(0.10, 0.10, 0.80, 0.80, ink.main, 0.04)
    p.rect(0.05, 0.06, 0.86, 0.14, ink.deep, 0.02)
    p.rect(0.22, 0.22, 0.66, 0.46, (188, 222, 238), 0.02)
    p.rect(0.76, 0.40, 1.96, 0.80, ink.shade, 0.16)
    p.rect(1.52, 0.14, 1.70, 0.44, ink.deep, 0.02)
    p.rect(1.47, 0.10, 1.75, 0.18, ink.deep, 0.02)
    p.rect(0.08, 0.74, 2.00, 0.84, (190, 66, 56), 0.02)
    p.poly([(1.96, 0.74), (2.18, 0.94), (1.90, 0.94)], TYRE)
    for x in (0.34, 0.78, 1.22, 1.66):
        _wheel(p, x, 0.82, 0.125)


@icon("bicycle", aspect=1.65, colour=(46, 128, 150), size=0.62)
def bicycle(p: Pen, ink: Ink) -> None:
    """A bicycle."""
    for x in (0.34, 1.31):
        p.ring(x, 0.66, 0.32, 0.05, TYRE)
        p.ring(x, 0.66, 0.27, 0.012, (150, 156, 166))
        p.circle(x, 0.66, 0.035, TYRE)
    w = 0.045
    p.line([(0.34, 0.66), (0.60, 0.30), (1.14, 0.27), (0.78, 0.68), (0.60, 0.30)], w, ink.main)
    p.line([(0.34, 0.66), (0.78, 0.68)], w, ink.main)
    p.line([(1.31, 0.66), (1.12, 0.18)], w, ink.shade)
    p.line([(1.12, 0.18), (1.02, 0.10), (1.18, 0.09)], 0.035, TYRE)
    p.line([(0.60, 0.30), (0.57, 0.20)], 0.035, TYRE)
    p.rect(0.47, 0.15, 0.68, 0.21, TYRE, 0.03)
    p.circle(0.78, 0.68, 0.055, ink.deep)


@icon("boat", aspect=1.2, colour=(196, 72, 60), size=0.95, habitat="water")
def boat(p: Pen, ink: Ink) -> None:
    """A sailing boat."""
    p.rect(0.575, 0.04, 0.61, 0.76, (112, 82, 58))
    p.poly([(0.56, 0.06), (0.56, 0.66), (0.12, 0.66)], WHITE)
    p.poly([(0.63, 0.14), (0.63, 0.66), (1.00, 0.66)], (240, 226, 196))
    p.blob(
        [(0.03, 0.74), (0.30, 0.735), (0.90, 0.735), (1.17, 0.73), (1.02, 0.95), (0.60, 0.985), (0.22, 0.95)],
        ink.main,
    )
    p.rect(0.08, 0.735, 1.12, 0.785, ink.deep, 0.02)


@icon("ship", aspect=1.7, colour=(58, 78, 110), size=1.1, habitat="water")
def ship(p: Pen, ink: Ink) -> None:
    """A ship with a funnel."""
    p.rect(0.50, 0.36, 1.24, 0.66, WHITE, 0.02)
    p.rect(0.62, 0.18, 1.02, 0.38, (236, 238, 240), 0.02)
    p.rect(0.76, 0.02, 0.92, 0.20, (204, 70, 60))
    for k in range(4):
        p.circle(0.62 + k * 0.16, 0.50, 0.038, (110, 160, 196))
    p.poly([(0.02, 0.62), (1.68, 0.56), (1.44, 0.97), (0.22, 0.97)], ink.main)
    p.poly([(0.14, 0.84), (1.52, 0.84), (1.44, 0.97), (0.22, 0.97)], (176, 62, 56))


@icon("rocket", aspect=0.6, colour=(232, 236, 240), size=1.2, habitat="sky")
def rocket(p: Pen, ink: Ink) -> None:
    """A rocket with its flame."""
    p.blob([(0.20, 0.76), (0.40, 0.76), (0.37, 0.88), (0.30, 0.99), (0.23, 0.88)], (248, 160, 50))
    p.blob([(0.25, 0.76), (0.35, 0.76), (0.30, 0.90)], (255, 232, 150))
    fin: Colour = (208, 62, 58)
    p.blob([(0.17, 0.50), (0.02, 0.70), (0.03, 0.82), (0.18, 0.72)], fin)
    p.blob([(0.43, 0.50), (0.58, 0.70), (0.57, 0.82), (0.42, 0.72)], mix(fin, INK, 0.2))
    p.blob(
        [(0.30, 0.005), (0.43, 0.22), (0.46, 0.50), (0.40, 0.76), (0.20, 0.76), (0.14, 0.50), (0.17, 0.22)],
        ink.main,
    )
    p.blob([(0.33, 0.06), (0.43, 0.22), (0.46, 0.50), (0.40, 0.76), (0.32, 0.76), (0.37, 0.44)], ink.shade)
    p.blob([(0.30, 0.005), (0.405, 0.17), (0.30, 0.20), (0.195, 0.17)], fin)
    p.circle(0.30, 0.38, 0.085, mix(INK, ink.main, 0.3))
    p.circle(0.30, 0.38, 0.06, (132, 196, 226))


@icon("plane", aspect=1.9, colour=(236, 240, 244), size=0.55, habitat="sky")
def plane(p: Pen, ink: Ink) -> None:
    """An aeroplane from the side."""
    p.poly([(0.10, 0.46), (0.03, 0.06), (0.22, 0.08), (0.48, 0.44)], (58, 106, 170))
    p.blob(
        [
            (0.06, 0.46),
            (0.40, 0.40),
            (1.30, 0.38),
            (1.68, 0.44),
            (1.87, 0.58),
            (1.66, 0.70),
            (1.20, 0.72),
            (0.50, 0.66),
        ],
        ink.main,
    )
    p.blob(
        [(0.12, 0.52), (0.50, 0.58), (1.20, 0.62), (1.82, 0.62), (1.60, 0.715), (1.10, 0.72), (0.50, 0.66)],
        ink.shade,
    )
    p.poly([(0.70, 0.58), (1.16, 0.57), (0.72, 0.98), (0.54, 0.98)], mix(ink.main, INK, 0.35))
    p.poly([(0.82, 0.40), (1.10, 0.40), (0.90, 0.16), (0.78, 0.16)], ink.shade)
    for k in range(6):
        p.circle(0.66 + k * 0.14, 0.50, 0.032, (98, 150, 196))
    p.poly([(1.58, 0.44), (1.70, 0.455), (1.80, 0.52), (1.62, 0.52)], (98, 150, 196))


@icon("hotair", aspect=0.75, colour=(226, 92, 70), size=1.0, habitat="sky")
def hotair(p: Pen, ink: Ink) -> None:
    """A hot-air balloon."""
    for x in (0.30, 0.45):
        p.line([(x, 0.70), (0.375 + (x - 0.375) * 0.75, 0.86)], 0.012, (110, 84, 60))
    p.blob(
        [
            (0.375, 0.01),
            (0.62, 0.09),
            (0.73, 0.32),
            (0.62, 0.56),
            (0.46, 0.73),
            (0.29, 0.73),
            (0.13, 0.56),
            (0.02, 0.32),
            (0.13, 0.09),
        ],
        ink.main,
    )
    p.blob(
        [
            (0.375, 0.01),
            (0.50, 0.10),
            (0.55, 0.32),
            (0.50, 0.56),
            (0.42, 0.73),
            (0.33, 0.73),
            (0.25, 0.56),
            (0.20, 0.32),
            (0.25, 0.10),
        ],
        ink.pale,
    )
    p.blob(
        [
            (0.375, 0.01),
            (0.425, 0.12),
            (0.44, 0.32),
            (0.42, 0.56),
            (0.375, 0.73),
            (0.33, 0.56),
            (0.31, 0.32),
            (0.325, 0.12),
        ],
        ink.shade,
    )
    p.rect(0.30, 0.85, 0.45, 0.99, (150, 104, 66), 0.03)


@icon("moon", aspect=1.0, colour=(246, 236, 196), size=0.55, habitat="sky")
def moon(p: Pen, ink: Ink) -> None:
    """A full moon with craters."""
    p.circle(0.5, 0.5, 0.485, ink.main)
    for x, y, r in ((0.34, 0.36, 0.11), (0.64, 0.58, 0.13), (0.40, 0.72, 0.07), (0.66, 0.28, 0.06)):
        p.circle(x, y, r, mix(ink.main, INK, 0.13))


@icon("crescent", aspect=0.8, colour=(246, 236, 196), size=0.5, habitat="sky")
def crescent(p: Pen, ink: Ink) -> None:
    """A crescent moon."""
    p.circle(0.49, 0.5, 0.485, ink.main)
    p.hole(0.68, 0.40, 0.40)


@icon("sun", aspect=1.0, colour=(252, 196, 58), size=0.6, habitat="sky")
def sun(p: Pen, ink: Ink) -> None:
    """A sun with rays."""
    for k in range(12):
        t = math.radians(30 * k)
        a, b = (
            (0.5 + 0.36 * math.cos(t), 0.5 + 0.36 * math.sin(t)),
            (0.5 + 0.465 * math.cos(t), 0.5 + 0.465 * math.sin(t)),
        )
        p.line([a, b], 0.05, ink.main)
    p.circle(0.5, 0.5, 0.29, ink.main)
    p.circle(0.47, 0.47, 0.2, ink.tint)


@icon("planet", aspect=1.5, colour=(214, 142, 92), size=0.7, habitat="sky")
def planet(p: Pen, ink: Ink) -> None:
    """A ringed planet."""
    tilt = [
        (x, y + (x - 0.75) * -0.16)
        for x, y in (
            (0.75 + 0.72 * math.cos(t / 20 * math.pi), 0.5 + 0.17 * math.sin(t / 20 * math.pi))
            for t in range(41)
        )
    ]
    p.line(tilt, 0.05, ink.pale)
    p.circle(0.75, 0.5, 0.43, ink.main)
    for y, h in ((0.28, 0.05), (0.62, 0.06)):
        w = math.sqrt(max(0.0, 0.42**2 - (y - 0.5) ** 2))
        p.rect(0.75 - w, y, 0.75 + w, y + h, ink.shade, 0.02)
    p.line(tilt[:21], 0.05, ink.pale)


@icon("globe", aspect=1.0, colour=(66, 140, 200), size=0.5)
def globe(p: Pen, ink: Ink) -> None:
    """The Earth."""
    p.circle(0.5, 0.5, 0.485, ink.main)
    land: Colour = (104, 172, 96)
    p.blob(
        [(0.20, 0.20), (0.42, 0.10), (0.52, 0.22), (0.42, 0.38), (0.34, 0.44), (0.18, 0.40), (0.12, 0.32)],
        land,
    )
    p.blob([(0.36, 0.52), (0.54, 0.56), (0.52, 0.74), (0.42, 0.90), (0.36, 0.74)], land)
    p.blob([(0.66, 0.26), (0.86, 0.28), (0.93, 0.46), (0.86, 0.66), (0.74, 0.62), (0.66, 0.44)], land)


@icon("cloud", aspect=1.7, colour=(248, 250, 252), size=0.5, habitat="sky")
def cloud(p: Pen, ink: Ink) -> None:
    """A cloud."""
    p.rect(0.10, 0.56, 1.60, 0.96, ink.shade, 0.20)
    for x, y, r in ((0.40, 0.58, 0.30), (0.84, 0.40, 0.38), (1.26, 0.58, 0.30)):
        p.circle(x, y, r, ink.main)
    p.rect(0.08, 0.56, 1.62, 0.90, ink.main, 0.18)


@icon("lightning", aspect=0.6, colour=(250, 208, 60), size=0.5, habitat="sky")
def lightning(p: Pen, ink: Ink) -> None:
    """A bolt of lightning."""
    p.poly(
        [(0.36, 0.01), (0.04, 0.56), (0.27, 0.56), (0.17, 0.99), (0.57, 0.38), (0.32, 0.38), (0.52, 0.01)],
        ink.main,
    )


@icon("snowflake", aspect=1.0, colour=(150, 200, 232), size=0.24, habitat="sky")
def snowflake(p: Pen, ink: Ink) -> None:
    """A snowflake."""
    for k in range(6):
        t = math.radians(60 * k + 30)
        c, s = math.cos(t), math.sin(t)
        p.line([(0.5, 0.5), (0.5 + 0.45 * c, 0.5 + 0.45 * s)], 0.06, ink.main)
        for side in (-1, 1):
            u = t + side * math.radians(50)
            x, y = 0.5 + 0.25 * c, 0.5 + 0.25 * s
            p.line([(x, y), (x + 0.16 * math.cos(u), y + 0.16 * math.sin(u))], 0.05, ink.main)


@icon("mountain", aspect=1.6, colour=(112, 124, 150), size=2.4, habitat="back")
def mountain(p: Pen, ink: Ink) -> None:
    """A mountain with a white peak."""
    p.poly([(0.72, 0.03), (1.58, 0.99), (0.02, 0.99)], ink.main)
    p.poly([(0.72, 0.03), (1.58, 0.99), (0.84, 0.99), (0.92, 0.56), (0.78, 0.38)], ink.shade)
    p.poly(
        [(0.72, 0.03), (0.94, 0.275), (0.85, 0.33), (0.77, 0.26), (0.68, 0.36), (0.60, 0.28), (0.50, 0.31)],
        WHITE,
    )


@icon("rock", aspect=1.4, colour=(142, 142, 146), size=0.4)
def rock(p: Pen, ink: Ink) -> None:
    """A boulder."""
    p.poly([(0.06, 0.98), (0.14, 0.52), (0.48, 0.12), (0.92, 0.08), (1.24, 0.42), (1.36, 0.98)], ink.main)
    p.poly([(0.92, 0.08), (1.24, 0.42), (1.36, 0.98), (0.92, 0.98), (0.80, 0.50)], ink.shade)
    p.poly([(0.48, 0.12), (0.92, 0.08), (0.80, 0.50), (0.40, 0.48)], ink.tint)


@icon("fire", aspect=0.75, colour=(240, 112, 44), size=0.5)
def fire(p: Pen, ink: Ink) -> None:
    """A camp fire."""
    p.blob(
        [
            (0.38, 0.02),
            (0.56, 0.28),
            (0.68, 0.52),
            (0.58, 0.80),
            (0.37, 0.86),
            (0.16, 0.80),
            (0.08, 0.56),
            (0.22, 0.38),
        ],
        ink.main,
    )
    p.blob(
        [(0.38, 0.30), (0.50, 0.54), (0.50, 0.76), (0.37, 0.83), (0.24, 0.76), (0.26, 0.58)], (252, 202, 80)
    )
    p.line([(0.06, 0.96), (0.66, 0.84)], 0.075, (112, 74, 48))
    p.line([(0.06, 0.84), (0.66, 0.96)], 0.075, (136, 92, 60))


@icon("pyramid", aspect=1.5, colour=(216, 178, 112), size=2.0, habitat="back")
def pyramid(p: Pen, ink: Ink) -> None:
    """A stone pyramid."""
    p.poly([(0.70, 0.04), (1.48, 0.98), (0.02, 0.98)], ink.main)
    p.poly([(0.70, 0.04), (1.48, 0.98), (0.98, 0.98)], ink.shade)
    for y in (0.30, 0.53, 0.76):
        left = 0.70 - (y - 0.04) * 0.72
        p.line([(left, y), (0.70 + (y - 0.04) * 0.30, y)], 0.012, ink.shade)


@icon("kite", aspect=0.7, colour=(226, 88, 76), size=0.55, habitat="sky")
def kite(p: Pen, ink: Ink) -> None:
    """A kite with a tail."""
    p.curve([(0.35, 0.62), (0.26, 0.74), (0.40, 0.84), (0.30, 0.97)], 0.018, INK)
    p.poly([(0.35, 0.01), (0.68, 0.26), (0.35, 0.64), (0.02, 0.26)], ink.main)
    p.poly([(0.35, 0.01), (0.68, 0.26), (0.35, 0.26)], ink.tint)
    p.poly([(0.35, 0.64), (0.02, 0.26), (0.35, 0.26)], ink.shade)
    for y in (0.76, 0.86):
        p.poly([(0.26, y - 0.03), (0.26, y + 0.03), (0.40, y - 0.03), (0.40, y + 0.03)], ink.deep)
