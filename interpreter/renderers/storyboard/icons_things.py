"""Pictograms of things that people make, hold and eat."""

from __future__ import annotations

import math

from genevolve.interpreter.renderers.storyboard.icons import gloss, icon, wood_lines
from genevolve.interpreter.renderers.storyboard.pen import INK, WHITE, Colour, Ink, Pen, arc, mix, star_points

WOOD: Colour = (150, 104, 66)
STEEL: Colour = (150, 160, 172)
GOLD: Colour = (236, 178, 56)


@icon("ball", aspect=1.0, colour=(214, 70, 64), size=0.26)
def ball(p: Pen, ink: Ink) -> None:
    """A ball."""
    p.circle(0.5, 0.5, 0.485, ink.main)
    p.blob(
        [(0.86, 0.18), (0.985, 0.5), (0.82, 0.86), (0.5, 0.985), (0.22, 0.90), (0.60, 0.82), (0.82, 0.56)],
        ink.shade,
    )
    gloss(p, 0.33, 0.29, 0.10, 0.08, ink.main)


@icon("cube", aspect=1.0, colour=(88, 142, 196), size=0.3, board=(0.1, 0.42, 0.55, 0.8))
def cube(p: Pen, ink: Ink) -> None:
    """A cube or box."""
    p.poly([(0.04, 0.30), (0.36, 0.05), (0.97, 0.05), (0.66, 0.30)], ink.tint)
    p.poly([(0.66, 0.30), (0.97, 0.05), (0.97, 0.68), (0.66, 0.97)], ink.deep)
    p.rect(0.04, 0.30, 0.66, 0.97, ink.main)


@icon("balloon", aspect=0.62, colour=(226, 72, 92), size=0.55, habitat="sky")
def balloon(p: Pen, ink: Ink) -> None:
    """A toy balloon on a string."""
    p.curve([(0.31, 0.62), (0.28, 0.74), (0.34, 0.86), (0.30, 0.99)], 0.014, (120, 120, 128))
    p.blob(
        [
            (0.31, 0.01),
            (0.54, 0.10),
            (0.60, 0.30),
            (0.48, 0.52),
            (0.31, 0.63),
            (0.14, 0.52),
            (0.02, 0.30),
            (0.08, 0.10),
        ],
        ink.main,
    )
    p.poly([(0.31, 0.61), (0.265, 0.675), (0.355, 0.675)], ink.shade)
    gloss(p, 0.18, 0.20, 0.05, 0.085, ink.main)


@icon("gift", aspect=1.0, colour=(196, 62, 78), size=0.32)
def gift(p: Pen, ink: Ink) -> None:
    """A wrapped box."""
    p.rect(0.10, 0.42, 0.90, 0.98, ink.main, 0.02)
    p.rect(0.05, 0.30, 0.95, 0.47, ink.tint, 0.02)
    p.rect(0.43, 0.30, 0.57, 0.98, GOLD)
    for s in (-1, 1):
        p.blob([(0.5, 0.30), (0.5 + s * 0.10, 0.06), (0.5 + s * 0.30, 0.06), (0.5 + s * 0.30, 0.22)], GOLD)
        p.blob([(0.5 + s * 0.06, 0.27), (0.5 + s * 0.12, 0.13), (0.5 + s * 0.24, 0.13)], mix(GOLD, INK, 0.25))


@icon("star", aspect=1.05, colour=(247, 202, 72), size=0.28, habitat="sky")
def star(p: Pen, ink: Ink) -> None:
    """A five-pointed star."""
    p.poly(star_points(0.525, 0.54, 0.52, 0.46, 5), ink.main)


@icon("heart", aspect=1.1, colour=(222, 62, 84), size=0.3)
def heart(p: Pen, ink: Ink) -> None:
    """A heart."""
    p.poly([(0.055, 0.40), (0.55, 0.98), (1.045, 0.40), (0.55, 0.30)], ink.main)
    for x in (0.30, 0.80):
        p.circle(x, 0.285, 0.272, ink.main)
    gloss(p, 0.24, 0.22, 0.085, 0.065, ink.main)


@icon("book", aspect=0.8, colour=(66, 104, 156), size=0.32, board=(0.2, 0.2, 0.92, 0.62))
def book(p: Pen, ink: Ink) -> None:
    """A closed book."""
    p.rect(0.06, 0.03, 0.76, 0.98, ink.shade, 0.05)
    p.rect(0.10, 0.86, 0.76, 0.95, (246, 240, 226), 0.02)
    p.rect(0.10, 0.03, 0.76, 0.88, ink.main, 0.03)
    p.rect(0.10, 0.03, 0.17, 0.88, ink.deep)
    p.rect(0.28, 0.20, 0.66, 0.25, ink.pale, 0.01)
    p.rect(0.28, 0.31, 0.56, 0.345, ink.pale, 0.01)


@icon("paper", aspect=0.76, colour=(250, 248, 242), size=0.3, board=(0.1, 0.1, 0.9, 0.9))
def paper(p: Pen, ink: Ink) -> None:
    """A sheet with lines."""
    p.rect(0.02, 0.01, 0.74, 0.99, ink.shade, 0.02)
    p.rect(0.03, 0.01, 0.73, 0.975, ink.main, 0.02)
    for k in range(6):
        p.rect(0.12, 0.16 + k * 0.12, 0.64 if k % 3 else 0.50, 0.185 + k * 0.12, mix(ink.main, INK, 0.3))


@icon("chair", aspect=0.66, colour=WOOD, size=0.65)
def chair(p: Pen, ink: Ink) -> None:
    """A chair."""
    p.rect(0.08, 0.02, 0.15, 0.98, ink.shade, 0.02)
    p.rect(0.50, 0.50, 0.57, 0.98, ink.shade, 0.02)
    p.rect(0.08, 0.06, 0.20, 0.48, ink.main, 0.03)
    p.rect(0.20, 0.55, 0.26, 0.94, ink.deep, 0.02)
    p.rect(0.05, 0.49, 0.62, 0.58, ink.main, 0.03)


@icon("armchair", aspect=1.1, colour=(176, 84, 70), size=0.65)
def armchair(p: Pen, ink: Ink) -> None:
    """An armchair or sofa."""
    for x in (0.18, 0.85):
        p.rect(x, 0.88, x + 0.08, 0.99, WOOD, 0.01)
    p.rect(0.16, 0.08, 0.94, 0.80, ink.shade, 0.14)
    p.rect(0.20, 0.52, 0.90, 0.74, ink.tint, 0.06)
    p.rect(0.03, 0.40, 0.24, 0.91, ink.main, 0.09)
    p.rect(0.86, 0.40, 1.07, 0.91, ink.main, 0.09)
    p.rect(0.20, 0.70, 0.90, 0.91, ink.main, 0.03)


@icon("table", aspect=1.9, colour=WOOD, size=0.5)
def table(p: Pen, ink: Ink) -> None:
    """A table seen from the front."""
    for x in (0.16, 1.62):
        p.rect(x, 0.14, x + 0.12, 0.99, ink.shade, 0.02)
    p.rect(0.14, 0.14, 1.76, 0.30, ink.deep)
    p.rect(0.02, 0.02, 1.88, 0.16, ink.main, 0.03)
    wood_lines(p, 0.04, 0.02, 1.86, 0.16, ink.main, 3)


@icon("bench", aspect=1.9, colour=WOOD, size=0.5)
def bench(p: Pen, ink: Ink) -> None:
    """A park bench."""
    for x in (0.20, 1.58):
        p.rect(x, 0.10, x + 0.09, 0.98, (74, 80, 90), 0.02)
    for y in (0.08, 0.24, 0.40, 0.56):
        p.rect(0.05, y, 1.85, y + 0.11, ink.main if y < 0.5 else ink.tint, 0.03)


@icon("bed", aspect=1.7, colour=(92, 128, 176), size=0.6)
def bed(p: Pen, ink: Ink) -> None:
    """A bed."""
    p.rect(0.04, 0.16, 0.16, 0.98, WOOD, 0.03)
    p.rect(1.56, 0.50, 1.66, 0.98, WOOD, 0.03)
    p.rect(0.12, 0.68, 1.60, 0.86, mix(WOOD, INK, 0.15))
    p.rect(0.16, 0.48, 1.58, 0.74, (244, 242, 238), 0.06)
    p.rect(0.20, 0.38, 0.56, 0.58, WHITE, 0.08)
    p.rect(0.62, 0.46, 1.59, 0.80, ink.main, 0.06)
    p.rect(0.62, 0.46, 0.76, 0.80, ink.tint, 0.04)


@icon("lamp", aspect=0.62, colour=(240, 200, 110), size=0.55)
def lamp(p: Pen, ink: Ink) -> None:
    """A lamp with a shade."""
    p.rect(0.285, 0.40, 0.335, 0.94, (96, 86, 80))
    p.rect(0.15, 0.92, 0.47, 0.99, (96, 86, 80), 0.03)
    p.poly([(0.17, 0.03), (0.45, 0.03), (0.60, 0.44), (0.02, 0.44)], ink.main)
    p.poly([(0.37, 0.03), (0.45, 0.03), (0.60, 0.44), (0.46, 0.44)], ink.shade)


@icon("lantern", aspect=0.62, colour=(214, 66, 52), size=0.42)
def lantern(p: Pen, ink: Ink) -> None:
    """A paper lantern."""
    p.curve([(0.22, 0.10), (0.31, 0.01), (0.40, 0.10)], 0.022, INK)
    p.ellipse(0.31, 0.48, 0.29, 0.34, ink.main)
    p.ellipse(0.31, 0.48, 0.15, 0.34, ink.tint)
    for y in (0.13, 0.78):
        p.rect(0.19, y - 0.03, 0.43, y + 0.05, GOLD, 0.015)
    for x in (0.27, 0.31, 0.35):
        p.line([(x, 0.84), (x, 0.97)], 0.015, GOLD)


@icon("umbrella", aspect=1.0, colour=(58, 116, 190), size=0.55)
def umbrella(p: Pen, ink: Ink) -> None:
    """An open umbrella."""
    p.line([(0.5, 0.05), (0.5, 0.88)], 0.035, (92, 82, 78))
    p.curve([(0.5, 0.86), (0.52, 0.95), (0.60, 0.965), (0.65, 0.89)], 0.035, (92, 82, 78))
    p.line([(0.5, 0.02), (0.5, 0.08)], 0.03, INK)
    p.dome(0.5, 0.52, 0.48, 0.45, ink.main)
    p.poly([*arc(0.5, 0.52, 0.20, 0.45, 180, 360)], ink.tint)
    for x in (0.16, 0.39, 0.61, 0.84):
        p.hole(x, 0.53, 0.115 if 0.3 < x < 0.7 else 0.14)


@icon("hat", aspect=1.4, colour=(126, 88, 60), size=0.22)
def hat(p: Pen, ink: Ink) -> None:
    """A brimmed hat."""
    p.ellipse(0.70, 0.80, 0.68, 0.17, ink.shade)
    p.blob(
        [
            (0.30, 0.82),
            (0.33, 0.30),
            (0.48, 0.06),
            (0.70, 0.14),
            (0.92, 0.06),
            (1.07, 0.30),
            (1.10, 0.82),
            (0.70, 0.90),
        ],
        ink.main,
    )
    p.poly([(0.315, 0.58), (1.085, 0.58), (1.10, 0.76), (0.70, 0.83), (0.30, 0.76)], ink.deep)


@icon("coin", aspect=1.0, colour=GOLD, size=0.2)
def coin(p: Pen, ink: Ink) -> None:
    """A coin."""
    p.circle(0.5, 0.5, 0.485, ink.shade)
    p.circle(0.49, 0.48, 0.455, ink.main)
    p.ring(0.49, 0.48, 0.36, 0.035, ink.shade)
    p.poly(star_points(0.49, 0.49, 0.22, 0.45, 5), ink.pale)


@icon("key", aspect=1.9, colour=GOLD, size=0.2)
def key(p: Pen, ink: Ink) -> None:
    """A key."""
    p.rect(0.70, 0.40, 1.86, 0.58, ink.main, 0.03)
    for x, h in ((1.44, 0.84), (1.68, 0.92)):
        p.rect(x, 0.5, x + 0.14, h, ink.main, 0.02)
    p.circle(0.46, 0.49, 0.44, ink.main)
    p.ring(0.46, 0.49, 0.44, 0.07, ink.shade)
    p.hole(0.36, 0.49, 0.16)


@icon("clock", aspect=1.0, colour=(72, 96, 122), size=0.36)
def clock(p: Pen, ink: Ink) -> None:
    """A clock face at ten past ten."""
    p.circle(0.5, 0.5, 0.485, ink.main)
    p.circle(0.5, 0.5, 0.40, (250, 248, 242))
    for k in range(12):
        t = math.radians(30 * k)
        p.circle(0.5 + 0.34 * math.cos(t), 0.5 + 0.34 * math.sin(t), 0.022 if k % 3 else 0.032, INK)
    p.line([(0.5, 0.5), (0.34, 0.37)], 0.045, INK)
    p.line([(0.5, 0.5), (0.70, 0.31)], 0.035, INK)
    p.circle(0.5, 0.5, 0.04, (214, 70, 60))


@icon("candle", aspect=0.36, colour=(244, 232, 206), size=0.34)
def candle(p: Pen, ink: Ink) -> None:
    """A burning candle."""
    p.blob([(0.18, 0.01), (0.27, 0.18), (0.23, 0.31), (0.13, 0.31), (0.09, 0.18)], (248, 178, 60))
    p.blob([(0.18, 0.13), (0.22, 0.22), (0.18, 0.30), (0.14, 0.22)], (255, 240, 170))
    p.line([(0.18, 0.30), (0.18, 0.40)], 0.022, INK)
    p.rect(0.06, 0.38, 0.30, 0.99, ink.main, 0.03)
    p.rect(0.22, 0.38, 0.30, 0.99, ink.shade, 0.03)
    p.rect(0.08, 0.38, 0.14, 0.56, ink.tint, 0.03)


@icon("flag", aspect=0.95, colour=(206, 58, 66), size=0.7)
def flag(p: Pen, ink: Ink) -> None:
    """A flag on a pole."""
    p.rect(0.06, 0.02, 0.115, 0.99, (140, 130, 124), 0.02)
    p.circle(0.088, 0.035, 0.045, GOLD)
    p.blob(
        [
            (0.115, 0.09),
            (0.36, 0.05),
            (0.62, 0.13),
            (0.92, 0.08),
            (0.90, 0.50),
            (0.62, 0.56),
            (0.36, 0.48),
            (0.115, 0.52),
        ],
        ink.main,
    )


@icon("sign", aspect=1.35, colour=(164, 112, 68), size=0.8, board=(0.07, 0.08, 0.93, 0.56))
def sign(p: Pen, ink: Ink) -> None:
    """A board on two posts."""
    for x in (0.30, 0.97):
        p.rect(x, 0.30, x + 0.08, 0.99, ink.deep)
    p.rect(0.02, 0.03, 1.33, 0.62, ink.deep, 0.05)
    p.rect(0.05, 0.06, 1.30, 0.59, ink.main, 0.03)


@icon("board", aspect=1.5, colour=(52, 74, 66), size=0.9, board=(0.06, 0.1, 0.94, 0.9))
def board(p: Pen, ink: Ink) -> None:
    """A framed board: chalkboard, poster, billboard, screen."""
    p.rect(0.01, 0.02, 1.49, 0.98, WOOD, 0.04)
    p.rect(0.05, 0.07, 1.45, 0.93, ink.main, 0.02)


@icon("banner", aspect=3.2, colour=(188, 54, 62), size=0.4, board=(0.12, 0.16, 0.88, 0.78))
def banner(p: Pen, ink: Ink) -> None:
    """A ribbon banner."""
    p.poly([(0.0, 0.26), (0.46, 0.26), (0.46, 0.98), (0.0, 0.98), (0.16, 0.62)], ink.deep)
    p.poly([(3.2, 0.26), (2.74, 0.26), (2.74, 0.98), (3.2, 0.98), (3.04, 0.62)], ink.deep)
    p.rect(0.28, 0.06, 2.92, 0.80, ink.main, 0.02)


@icon("camera", aspect=1.35, colour=(66, 72, 84), size=0.28)
def camera(p: Pen, ink: Ink) -> None:
    """A camera."""
    p.rect(0.42, 0.06, 0.92, 0.30, ink.shade, 0.06)
    p.rect(0.04, 0.20, 1.31, 0.95, ink.main, 0.10)
    p.rect(0.04, 0.36, 1.31, 0.46, ink.deep)
    p.circle(0.67, 0.58, 0.30, (226, 228, 232))
    p.circle(0.67, 0.58, 0.24, INK)
    p.circle(0.67, 0.58, 0.14, (88, 128, 176))
    p.circle(0.62, 0.52, 0.05, WHITE)
    p.circle(1.16, 0.29, 0.05, (230, 80, 70))


@icon("guitar", aspect=0.5, colour=(196, 118, 56), size=0.75)
def guitar(p: Pen, ink: Ink) -> None:
    """A guitar or another string instrument."""
    p.rect(0.225, 0.05, 0.275, 0.55, (92, 62, 44))
    p.rect(0.195, 0.01, 0.305, 0.12, INK, 0.02)
    p.blob(
        [
            (0.25, 0.46),
            (0.40, 0.50),
            (0.41, 0.62),
            (0.36, 0.68),
            (0.47, 0.80),
            (0.41, 0.96),
            (0.25, 0.99),
            (0.09, 0.96),
            (0.03, 0.80),
            (0.14, 0.68),
            (0.09, 0.62),
            (0.10, 0.50),
        ],
        ink.main,
    )
    p.circle(0.25, 0.66, 0.07, INK)
    p.rect(0.17, 0.84, 0.33, 0.87, INK, 0.01)
    p.line([(0.25, 0.12), (0.25, 0.85)], 0.012, (236, 226, 206))


@icon("phone", aspect=0.55, colour=(44, 48, 60), size=0.26, board=(0.1, 0.14, 0.9, 0.84))
def phone(p: Pen, ink: Ink) -> None:
    """A phone."""
    p.rect(0.02, 0.01, 0.53, 0.99, ink.main, 0.08)
    p.rect(0.06, 0.09, 0.49, 0.87, (176, 214, 236), 0.02)
    p.circle(0.275, 0.93, 0.03, ink.tint)


@icon("computer", aspect=1.3, colour=(120, 128, 140), size=0.4, board=(0.1, 0.1, 0.9, 0.66))
def computer(p: Pen, ink: Ink) -> None:
    """A screen on a foot."""
    p.rect(0.56, 0.76, 0.74, 0.94, ink.shade)
    p.rect(0.36, 0.91, 0.94, 0.98, ink.deep, 0.03)
    p.rect(0.03, 0.03, 1.27, 0.80, ink.main, 0.05)
    p.rect(0.09, 0.09, 1.21, 0.70, (176, 214, 236))


@icon("bag", aspect=0.85, colour=(166, 108, 70), size=0.4, board=(0.18, 0.5, 0.82, 0.82))
def bag(p: Pen, ink: Ink) -> None:
    """A bag, suitcase or rucksack."""
    p.ring(0.425, 0.18, 0.17, 0.05, ink.deep)
    p.rect(0.05, 0.18, 0.80, 0.98, ink.main, 0.14)
    p.rect(0.05, 0.18, 0.80, 0.46, ink.shade, 0.14)
    p.rect(0.16, 0.58, 0.69, 0.86, ink.tint, 0.05)
    p.rect(0.37, 0.40, 0.48, 0.54, GOLD, 0.02)


@icon("shoe", aspect=1.7, colour=(206, 76, 66), size=0.2)
def shoe(p: Pen, ink: Ink) -> None:
    """A shoe."""
    p.blob(
        [
            (0.10, 0.12),
            (0.46, 0.10),
            (0.72, 0.36),
            (1.20, 0.52),
            (1.62, 0.66),
            (1.66, 0.86),
            (0.90, 0.90),
            (0.08, 0.88),
            (0.06, 0.46),
        ],
        ink.main,
    )
    p.rect(0.04, 0.80, 1.66, 0.97, (248, 246, 240), 0.08)
    for x in (0.66, 0.80, 0.94):
        p.line([(x, 0.52), (x + 0.12, 0.36)], 0.05, WHITE)


@icon("crown", aspect=1.3, colour=GOLD, size=0.22)
def crown(p: Pen, ink: Ink) -> None:
    """A crown."""
    p.poly(
        [(0.12, 0.94), (0.03, 0.28), (0.38, 0.58), (0.65, 0.08), (0.92, 0.58), (1.27, 0.28), (1.18, 0.94)],
        ink.main,
    )
    p.rect(0.12, 0.78, 1.18, 0.96, ink.shade, 0.02)
    for x, y in ((0.04, 0.26), (0.65, 0.08), (1.26, 0.26)):
        p.circle(x if 0.1 < x < 1.2 else (0.075 if x < 0.1 else 1.225), y, 0.07, ink.tint)
    for x in (0.35, 0.65, 0.95):
        p.circle(x, 0.87, 0.045, (200, 54, 72))


@icon("gem", aspect=1.15, colour=(84, 176, 216), size=0.22)
def gem(p: Pen, ink: Ink) -> None:
    """A cut gem or crystal."""
    p.poly([(0.26, 0.06), (0.89, 0.06), (1.13, 0.36), (0.575, 0.98), (0.02, 0.36)], ink.main)
    p.poly([(0.26, 0.06), (0.40, 0.36), (0.02, 0.36)], ink.tint)
    p.poly([(0.40, 0.36), (0.575, 0.06), (0.75, 0.36)], ink.pale)
    p.poly([(0.75, 0.36), (1.13, 0.36), (0.575, 0.98)], ink.shade)
    p.poly([(0.40, 0.36), (0.75, 0.36), (0.575, 0.98)], ink.tint)


@icon("pencil", aspect=0.28, colour=(244, 186, 58), size=0.34)
def pencil(p: Pen, ink: Ink) -> None:
    """A pencil, pen or brush, upright."""
    p.poly([(0.04, 0.80), (0.24, 0.80), (0.14, 0.995)], (238, 206, 160))
    p.poly([(0.11, 0.93), (0.17, 0.93), (0.14, 0.995)], INK)
    p.rect(0.04, 0.14, 0.24, 0.80, ink.main)
    p.rect(0.17, 0.14, 0.24, 0.80, ink.shade)
    p.rect(0.04, 0.09, 0.24, 0.15, STEEL)
    p.rect(0.04, 0.01, 0.24, 0.10, (232, 130, 140), 0.03)


@icon("panel", aspect=1.2, colour=(126, 140, 158), size=0.6)
def panel(p: Pen, ink: Ink) -> None:
    """What stands for a thing that has no pictogram; its name is written beneath."""
    p.rect(0.02, 0.02, 1.18, 0.98, ink.shade, 0.18)
    p.rect(0.06, 0.06, 1.14, 0.94, ink.main, 0.15)
    p.rect(0.14, 0.14, 0.50, 0.22, ink.tint, 0.04)


@icon("helmet", aspect=1.1, colour=(244, 244, 246), size=0.3)
def helmet(p: Pen, ink: Ink) -> None:
    """A helmet with a visor."""
    p.rect(0.16, 0.84, 0.94, 0.98, ink.deep, 0.05)
    p.ellipse(0.55, 0.47, 0.50, 0.455, ink.main)
    p.blob([(0.80, 0.10), (1.03, 0.40), (0.98, 0.70), (0.72, 0.90), (0.88, 0.50)], ink.shade)
    p.blob([(0.20, 0.34), (0.50, 0.24), (0.80, 0.32), (0.82, 0.62), (0.52, 0.74), (0.20, 0.62)], INK)
    p.blob([(0.27, 0.38), (0.44, 0.31), (0.42, 0.42), (0.29, 0.52)], (112, 150, 190))


@icon("quilt", aspect=1.0, colour=(84, 110, 156), size=1.0)
def quilt(p: Pen, ink: Ink) -> None:
    """A cloth of patches."""
    p.rect(0.02, 0.02, 0.98, 0.98, ink.deep, 0.02)
    tones = (ink.main, ink.tint, ink.shade, ink.pale)
    for r in range(5):
        for c in range(5):
            x, y = 0.06 + c * 0.178, 0.06 + r * 0.178
            p.rect(x, y, x + 0.168, y + 0.168, tones[(r * 3 + c * 2 + r * c) % 4], 0.01)


@icon("tripod", aspect=0.6, colour=(70, 76, 88), size=0.75)
def tripod(p: Pen, ink: Ink) -> None:
    """A stand with three legs."""
    p.line([(0.30, 0.16), (0.30, 0.96)], 0.04, ink.shade)
    p.line([(0.30, 0.16), (0.05, 0.97)], 0.045, ink.main)
    p.line([(0.30, 0.16), (0.55, 0.97)], 0.045, ink.main)
    p.rect(0.16, 0.02, 0.44, 0.16, ink.deep, 0.03)
