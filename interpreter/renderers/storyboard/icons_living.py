"""Pictograms of people, animals and plants."""

from __future__ import annotations

from genevolve.interpreter.renderers.storyboard.icons import icon
from genevolve.interpreter.renderers.storyboard.pen import INK, WHITE, Colour, Ink, Pen, mix

SKINS: tuple[Colour, ...] = ((241, 194, 160), (141, 85, 54), (224, 172, 125), (98, 60, 42), (255, 219, 190))
HAIRS: tuple[Colour, ...] = ((62, 39, 28), (30, 26, 28), (139, 84, 43), (22, 20, 22), (196, 146, 74))
JEANS: Colour = (62, 76, 112)


def _legs(p: Pen, x: float, top: float, width: float, trousers: Colour) -> None:
    gap = width * 0.18
    p.rect(x - width, top, x - gap / 2, 0.955, trousers, 0.02)
    p.rect(x + gap / 2, top, x + width, 0.955, mix(trousers, INK, 0.18), 0.02)
    shoe = mix(trousers, INK, 0.7)
    p.rect(x - width - 0.03, 0.945, x - gap / 2, 0.995, shoe, 0.025)
    p.rect(x + gap / 2, 0.945, x + width + 0.03, 0.995, shoe, 0.025)


def _head(p: Pen, x: float, y: float, r: float, ink: Ink) -> None:
    skin = SKINS[ink.variant % len(SKINS)]
    hair = HAIRS[ink.variant % len(HAIRS)]
    p.rect(x - r * 0.32, y + r * 0.6, x + r * 0.32, y + r * 1.5, mix(skin, INK, 0.15), r * 0.2)
    if ink.variant % 2 == 1:
        p.blob(
            [
                (x - r * 1.05, y),
                (x, y - r * 1.15),
                (x + r * 1.05, y),
                (x + r * 0.95, y + r * 1.25),
                (x - r * 0.95, y + r * 1.25),
            ],
            hair,
        )
    p.circle(x, y, r, skin)
    p.blob(
        [
            (x - r * 1.06, y + r * 0.1),
            (x - r * 0.85, y - r * 0.8),
            (x, y - r * 1.16),
            (x + r * 0.85, y - r * 0.8),
            (x + r * 1.06, y + r * 0.1),
            (x + r * 0.55, y - r * 0.42),
            (x - r * 0.2, y - r * 0.5),
        ],
        hair,
    )
    for dx in (-0.36, 0.36):
        p.circle(x + r * dx, y + r * 0.12, r * 0.1, INK)
    p.curve(
        [(x - r * 0.28, y + r * 0.5), (x, y + r * 0.62), (x + r * 0.28, y + r * 0.5)],
        r * 0.1,
        mix(skin, INK, 0.55),
    )


def _torso(p: Pen, x: float, ink: Ink) -> None:
    skin = SKINS[ink.variant % len(SKINS)]
    for side in (-1, 1):
        arm = ink.shade if side > 0 else ink.main
        p.line([(x + side * 0.115, 0.30), (x + side * 0.165, 0.45), (x + side * 0.15, 0.565)], 0.066, arm)
        p.circle(x + side * 0.15, 0.60, 0.034, skin)
    p.blob(
        [
            (x - 0.10, 0.245),
            (x + 0.10, 0.245),
            (x + 0.145, 0.30),
            (x + 0.12, 0.45),
            (x + 0.115, 0.60),
            (x - 0.115, 0.60),
            (x - 0.12, 0.45),
            (x - 0.145, 0.30),
        ],
        ink.main,
    )
    p.poly([(x - 0.05, 0.245), (x + 0.05, 0.245), (x, 0.30)], ink.deep)


@icon("person", aspect=0.46, colour=(217, 93, 57))
def person(p: Pen, ink: Ink) -> None:
    """A standing figure; the colour is that of the clothes."""
    x = 0.23
    _legs(p, x, 0.56, 0.095, JEANS)
    _torso(p, x, ink)
    _head(p, x, 0.125, 0.098, ink)


@icon("backpacker", aspect=0.54, colour=(217, 93, 57))
def backpacker(p: Pen, ink: Ink) -> None:
    """A figure with a large rucksack and a bedroll."""
    x = 0.27
    pack = mix(ink.main, (40, 90, 90), 0.65) if ink.variant % 2 == 0 else mix(ink.main, (190, 140, 60), 0.65)
    p.rect(x - 0.205, 0.225, x + 0.205, 0.56, mix(pack, INK, 0.15), 0.07)
    p.rect(x - 0.215, 0.165, x + 0.215, 0.245, mix(pack, WHITE, 0.35), 0.04)
    for side in (-1, 1):
        p.circle(x + side * 0.18, 0.205, 0.036, mix(pack, INK, 0.3))
    _legs(p, x, 0.56, 0.095, (84, 78, 66))
    _torso(p, x, ink)
    for side in (-1, 1):
        p.line([(x + side * 0.075, 0.255), (x + side * 0.088, 0.42)], 0.03, mix(pack, INK, 0.25))
    _head(p, x, 0.125, 0.098, ink)
    p.dome(x, 0.085, 0.105, 0.085, mix(ink.main, INK, 0.35))
    p.rect(x - 0.135, 0.072, x + 0.135, 0.094, mix(ink.main, INK, 0.48), 0.01)


@icon("child", aspect=0.56, colour=(242, 178, 51), size=0.68)
def child(p: Pen, ink: Ink) -> None:
    """A small figure with a large head."""
    x = 0.28
    skin = SKINS[ink.variant % len(SKINS)]
    _legs(p, x, 0.68, 0.095, (76, 110, 150))
    for side in (-1, 1):
        p.line([(x + side * 0.12, 0.45), (x + side * 0.20, 0.60)], 0.075, ink.shade)
        p.circle(x + side * 0.212, 0.635, 0.04, skin)
    p.blob(
        [
            (x - 0.1, 0.4),
            (x + 0.1, 0.4),
            (x + 0.14, 0.46),
            (x + 0.145, 0.72),
            (x - 0.145, 0.72),
            (x - 0.14, 0.46),
        ],
        ink.main,
    )
    _head(p, x, 0.215, 0.165, ink)


@icon("woman", aspect=0.48, colour=(186, 62, 92))
def woman(p: Pen, ink: Ink) -> None:
    """A figure in a dress of the given colour."""
    x = 0.24
    ink = Ink(ink.main, ink.variant | 1)
    skin = SKINS[ink.variant % len(SKINS)]
    for side in (-1, 1):
        p.rect(x + side * 0.05 - 0.025, 0.74, x + side * 0.05 + 0.025, 0.96, skin, 0.02)
        p.rect(x + side * 0.055 - 0.045, 0.945, x + side * 0.055 + 0.045, 0.995, ink.deep, 0.025)
        p.line([(x + side * 0.095, 0.29), (x + side * 0.15, 0.44), (x + side * 0.14, 0.55)], 0.05, skin)
    p.blob(
        [
            (x - 0.075, 0.25),
            (x + 0.075, 0.25),
            (x + 0.105, 0.32),
            (x + 0.085, 0.46),
            (x + 0.135, 0.62),
            (x + 0.185, 0.80),
            (x, 0.83),
            (x - 0.185, 0.80),
            (x - 0.135, 0.62),
            (x - 0.085, 0.46),
            (x - 0.105, 0.32),
        ],
        ink.main,
    )
    p.rect(x - 0.083, 0.45, x + 0.083, 0.485, ink.deep, 0.01)
    _head(p, x, 0.125, 0.098, ink)


@icon("cat", aspect=0.95, colour=(226, 148, 72), size=0.5)
def cat(p: Pen, ink: Ink) -> None:
    """A sitting cat."""
    p.curve([(0.66, 0.90), (0.86, 0.86), (0.88, 0.66), (0.80, 0.54)], 0.085, ink.shade)
    p.blob(
        [(0.30, 0.48), (0.56, 0.44), (0.72, 0.66), (0.74, 0.93), (0.46, 0.985), (0.22, 0.95), (0.22, 0.68)],
        ink.main,
    )
    p.ellipse(0.40, 0.76, 0.11, 0.18, ink.pale)
    for x in (0.31, 0.48):
        p.ellipse(x, 0.945, 0.085, 0.048, ink.tint)
    for side in (-1, 1):
        p.poly(
            [(0.40 + side * 0.245, 0.26), (0.40 + side * 0.225, 0.01), (0.40 + side * 0.04, 0.15)], ink.main
        )
        p.poly(
            [(0.40 + side * 0.20, 0.22), (0.40 + side * 0.195, 0.075), (0.40 + side * 0.085, 0.16)],
            (240, 176, 170),
        )
    p.ellipse(0.40, 0.33, 0.265, 0.225, ink.main)
    p.poly([(0.345, 0.115), (0.455, 0.115), (0.40, 0.22)], ink.shade)
    for side in (-1, 1):
        p.ellipse(0.40 + side * 0.115, 0.31, 0.046, 0.056, (250, 250, 235))
        p.ellipse(0.40 + side * 0.11, 0.315, 0.026, 0.048, INK)
        for dy in (0.0, 0.045):
            p.line(
                [(0.40 + side * 0.13, 0.415 + dy * 0.6), (0.40 + side * 0.34, 0.395 + dy)], 0.010, ink.deep
            )
    p.ellipse(0.40, 0.43, 0.085, 0.055, ink.pale)
    p.poly([(0.37, 0.385), (0.43, 0.385), (0.40, 0.42)], (214, 110, 110))


@icon("dog", aspect=1.05, colour=(176, 120, 72), size=0.6)
def dog(p: Pen, ink: Ink) -> None:
    """A sitting dog with hanging ears."""
    p.curve([(0.70, 0.86), (0.90, 0.80), (0.96, 0.62)], 0.08, ink.main)
    p.blob(
        [(0.34, 0.46), (0.60, 0.44), (0.78, 0.66), (0.80, 0.93), (0.50, 0.985), (0.30, 0.95), (0.28, 0.68)],
        ink.main,
    )
    p.ellipse(0.45, 0.72, 0.10, 0.17, ink.pale)
    for x in (0.38, 0.55):
        p.rect(x - 0.06, 0.66, x + 0.06, 0.97, ink.tint if x < 0.5 else ink.main, 0.06)
        p.ellipse(x - 0.01, 0.955, 0.085, 0.042, ink.pale)
    p.blob(
        [(0.28, 0.12), (0.58, 0.12), (0.66, 0.30), (0.60, 0.48), (0.44, 0.54), (0.26, 0.48), (0.20, 0.30)],
        ink.main,
    )
    for side in (-1, 1):
        p.blob(
            [
                (0.43 + side * 0.15, 0.10),
                (0.43 + side * 0.27, 0.13),
                (0.43 + side * 0.33, 0.36),
                (0.43 + side * 0.25, 0.46),
                (0.43 + side * 0.19, 0.28),
            ],
            ink.deep,
        )
        p.circle(0.43 + side * 0.09, 0.275, 0.033, INK)
        p.circle(0.43 + side * 0.09 + 0.01, 0.265, 0.01, WHITE)
    p.ellipse(0.43, 0.43, 0.125, 0.095, ink.pale)
    p.ellipse(0.43, 0.38, 0.05, 0.035, INK)
    p.line([(0.43, 0.41), (0.43, 0.455)], 0.012, INK)
    p.ellipse(0.43, 0.495, 0.035, 0.035, (222, 98, 108))
    p.rect(0.30, 0.545, 0.56, 0.59, (196, 54, 60), 0.02)


@icon("bird", aspect=1.25, colour=(74, 134, 200), size=0.32, habitat="sky")
def bird(p: Pen, ink: Ink) -> None:
    """A flying bird, from the side."""
    p.poly([(0.30, 0.52), (0.00, 0.42), (0.02, 0.60), (0.08, 0.70), (0.34, 0.66)], ink.shade)
    p.blob(
        [(0.22, 0.56), (0.48, 0.40), (0.82, 0.36), (1.02, 0.48), (0.90, 0.66), (0.62, 0.76), (0.36, 0.70)],
        ink.main,
    )
    p.ellipse(0.66, 0.66, 0.20, 0.09, ink.pale)
    p.circle(0.96, 0.42, 0.135, ink.main)
    p.poly([(1.07, 0.38), (1.245, 0.45), (1.07, 0.50)], (244, 166, 42))
    p.circle(0.995, 0.40, 0.03, INK)
    p.blob([(0.74, 0.50), (0.58, 0.02), (0.40, 0.06), (0.36, 0.30), (0.48, 0.56)], ink.deep)
    p.blob([(0.72, 0.50), (0.58, 0.10), (0.46, 0.14), (0.44, 0.34), (0.54, 0.54)], ink.shade)


@icon("fish", aspect=1.5, colour=(244, 132, 60), size=0.36, habitat="water")
def fish(p: Pen, ink: Ink) -> None:
    """A fish, from the side."""
    p.blob([(0.36, 0.50), (0.04, 0.12), (0.10, 0.50), (0.04, 0.88)], ink.shade)
    p.blob([(0.60, 0.22), (0.78, 0.00), (1.00, 0.06), (1.06, 0.24)], ink.shade)
    p.blob([(0.66, 0.78), (0.78, 0.96), (0.92, 0.80)], ink.shade)
    p.blob(
        [
            (0.26, 0.50),
            (0.56, 0.22),
            (0.98, 0.16),
            (1.34, 0.34),
            (1.47, 0.52),
            (1.34, 0.68),
            (0.98, 0.84),
            (0.56, 0.78),
        ],
        ink.main,
    )
    for x in (0.66, 0.94):
        p.blob(
            [(x, 0.21), (x + 0.12, 0.20), (x + 0.15, 0.50), (x + 0.12, 0.82), (x, 0.80), (x + 0.05, 0.5)],
            ink.pale,
        )
    p.circle(1.25, 0.42, 0.075, WHITE)
    p.circle(1.265, 0.42, 0.042, INK)
    p.curve([(1.44, 0.58), (1.36, 0.62), (1.30, 0.60)], 0.02, ink.deep)


@icon("horse", aspect=1.15, colour=(140, 88, 52), size=1.05)
def horse(p: Pen, ink: Ink) -> None:
    """A standing four-legged animal with a mane."""
    p.curve([(0.14, 0.42), (0.03, 0.52), (0.05, 0.74)], 0.075, ink.deep)
    for x, c in ((0.24, ink.shade), (0.70, ink.shade), (0.15, ink.main), (0.79, ink.main)):
        p.poly([(x, 0.52), (x + 0.10, 0.52), (x + 0.085, 0.94), (x + 0.02, 0.94)], c)
        p.rect(x + 0.005, 0.92, x + 0.10, 0.99, ink.deep, 0.015)
    p.blob(
        [
            (0.12, 0.42),
            (0.34, 0.36),
            (0.62, 0.38),
            (0.86, 0.34),
            (0.90, 0.52),
            (0.78, 0.64),
            (0.46, 0.64),
            (0.18, 0.62),
        ],
        ink.main,
    )
    p.blob([(0.70, 0.44), (0.80, 0.16), (0.90, 0.08), (0.98, 0.16), (0.93, 0.40), (0.88, 0.56)], ink.main)
    p.blob([(0.86, 0.07), (1.00, 0.10), (1.12, 0.27), (1.08, 0.35), (0.98, 0.31), (0.86, 0.24)], ink.main)
    p.poly([(0.87, 0.10), (0.885, 0.00), (0.945, 0.09)], ink.main)
    p.blob([(0.68, 0.42), (0.76, 0.14), (0.88, 0.04), (0.86, 0.14), (0.80, 0.28), (0.77, 0.44)], ink.deep)
    p.circle(0.965, 0.16, 0.018, INK)
    p.ellipse(1.075, 0.30, 0.03, 0.028, ink.shade)


@icon("cow", aspect=1.4, colour=(245, 243, 238), size=0.95)
def cow(p: Pen, ink: Ink) -> None:
    """A cow or sheep-like animal, from the side."""
    for x, c in ((0.30, ink.shade), (0.82, ink.shade), (0.20, ink.main), (0.92, ink.main)):
        p.rect(x, 0.56, x + 0.10, 0.97, c, 0.02)
        p.rect(x, 0.91, x + 0.10, 0.99, INK, 0.02)
    p.curve([(0.13, 0.36), (0.05, 0.50), (0.07, 0.66)], 0.035, ink.shade)
    p.rect(0.11, 0.28, 1.05, 0.70, ink.main, 0.17)
    spot = mix(INK, ink.main, 0.12)
    p.blob([(0.30, 0.29), (0.52, 0.29), (0.56, 0.44), (0.40, 0.52), (0.28, 0.42)], spot)
    p.blob([(0.68, 0.48), (0.86, 0.46), (0.88, 0.66), (0.72, 0.68)], spot)
    p.ellipse(0.62, 0.71, 0.10, 0.05, (240, 178, 178))
    p.blob([(0.98, 0.14), (1.20, 0.14), (1.25, 0.34), (1.20, 0.46), (1.04, 0.46), (0.96, 0.32)], ink.main)
    p.ellipse(1.14, 0.42, 0.115, 0.075, (240, 178, 178))
    for side in (-1, 1):
        p.ellipse(1.10 + side * 0.155, 0.20, 0.07, 0.035, spot)
        p.line([(1.10 + side * 0.07, 0.14), (1.10 + side * 0.11, 0.05)], 0.035, (222, 206, 176))
        p.circle(1.10 + side * 0.06, 0.26, 0.02, INK)
        p.circle(1.14 + side * 0.04, 0.42, 0.014, (170, 100, 100))


@icon("rabbit", aspect=0.8, colour=(226, 216, 208), size=0.42)
def rabbit(p: Pen, ink: Ink) -> None:
    """A sitting rabbit."""
    p.circle(0.68, 0.84, 0.085, ink.pale)
    p.blob(
        [(0.28, 0.52), (0.50, 0.50), (0.66, 0.72), (0.64, 0.95), (0.38, 0.985), (0.16, 0.95), (0.18, 0.70)],
        ink.main,
    )
    for side in (-1, 1):
        p.blob(
            [
                (0.38 + side * 0.05, 0.30),
                (0.38 + side * 0.06, 0.06),
                (0.38 + side * 0.14, 0.01),
                (0.38 + side * 0.18, 0.10),
                (0.38 + side * 0.15, 0.30),
            ],
            ink.main,
        )
        p.blob(
            [
                (0.38 + side * 0.09, 0.26),
                (0.38 + side * 0.10, 0.10),
                (0.38 + side * 0.135, 0.07),
                (0.38 + side * 0.14, 0.24),
            ],
            (242, 182, 184),
        )
    p.ellipse(0.38, 0.40, 0.205, 0.175, ink.main)
    for side in (-1, 1):
        p.circle(0.38 + side * 0.09, 0.385, 0.026, INK)
        p.ellipse(0.38 + side * 0.12, 0.945, 0.10, 0.045, ink.tint)
    p.poly([(0.355, 0.435), (0.405, 0.435), (0.38, 0.465)], (222, 120, 130))
    p.line([(0.38, 0.46), (0.38, 0.50)], 0.012, ink.deep)


@icon("butterfly", aspect=1.2, colour=(230, 110, 60), size=0.25, habitat="sky")
def butterfly(p: Pen, ink: Ink) -> None:
    """A butterfly seen from above."""
    for side in (-1, 1):
        p.blob(
            [
                (0.60, 0.45),
                (0.60 + side * 0.26, 0.06),
                (0.60 + side * 0.54, 0.08),
                (0.60 + side * 0.52, 0.40),
                (0.60 + side * 0.20, 0.54),
            ],
            ink.main,
        )
        p.blob(
            [
                (0.60, 0.52),
                (0.60 + side * 0.38, 0.55),
                (0.60 + side * 0.44, 0.80),
                (0.60 + side * 0.24, 0.96),
                (0.60 + side * 0.07, 0.74),
            ],
            ink.shade,
        )
        p.circle(0.60 + side * 0.38, 0.24, 0.075, ink.pale)
        p.circle(0.60 + side * 0.27, 0.74, 0.06, ink.pale)
        p.curve([(0.60, 0.24), (0.60 + side * 0.06, 0.12), (0.60 + side * 0.13, 0.05)], 0.02, INK)
    p.ellipse(0.60, 0.52, 0.04, 0.29, INK)


@icon("tree", aspect=0.78, colour=(72, 140, 82), size=1.9, habitat="back")
def tree(p: Pen, ink: Ink) -> None:
    """A leafy tree."""
    bark: Colour = (120, 82, 54)
    p.poly([(0.345, 0.99), (0.365, 0.58), (0.425, 0.58), (0.455, 0.99)], bark)
    p.poly([(0.40, 0.99), (0.405, 0.58), (0.425, 0.58), (0.455, 0.99)], mix(bark, INK, 0.25))
    p.line([(0.39, 0.72), (0.26, 0.58)], 0.03, bark)
    p.line([(0.40, 0.68), (0.53, 0.55)], 0.03, mix(bark, INK, 0.2))
    for x, y, r, c in (
        (0.20, 0.47, 0.185, ink.shade),
        (0.58, 0.46, 0.185, ink.deep),
        (0.40, 0.50, 0.20, ink.shade),
        (0.27, 0.29, 0.20, ink.main),
        (0.52, 0.29, 0.19, ink.shade),
        (0.40, 0.19, 0.185, ink.main),
        (0.37, 0.38, 0.20, ink.main),
        (0.30, 0.22, 0.11, ink.tint),
    ):
        p.circle(x, y, r, c)


@icon("pine", aspect=0.6, colour=(46, 110, 84), size=2.0, habitat="back")
def pine(p: Pen, ink: Ink) -> None:
    """A conifer."""
    p.rect(0.265, 0.82, 0.335, 0.99, (112, 76, 50))
    for top, base, w in ((0.44, 0.88, 0.29), (0.22, 0.65, 0.235), (0.01, 0.40, 0.165)):
        p.poly([(0.30, top), (0.30 + w, base), (0.30 - w, base)], ink.main)
        p.poly([(0.30, top), (0.30 + w, base), (0.30, base)], ink.shade)


@icon("palm", aspect=0.85, colour=(60, 150, 90), size=1.9, habitat="back")
def palm(p: Pen, ink: Ink) -> None:
    """A palm tree."""
    p.curve([(0.36, 0.98), (0.40, 0.70), (0.43, 0.48), (0.44, 0.28)], 0.06, (156, 112, 70))
    for x, y, c in (
        (0.04, 0.30, ink.shade),
        (0.84, 0.32, ink.shade),
        (0.14, 0.08, ink.main),
        (0.74, 0.08, ink.main),
        (0.20, 0.50, ink.deep),
        (0.70, 0.52, ink.deep),
    ):
        mx, my = (0.44 + x) / 2, min(0.26, y) - 0.08
        p.blob([(0.44, 0.24), (mx, my), (x, y), (mx, my + 0.10)], c)
    for dx in (-0.04, 0.04):
        p.circle(0.44 + dx, 0.30, 0.04, (124, 80, 46))


@icon("flower", aspect=0.6, colour=(232, 84, 122), size=0.4)
def flower(p: Pen, ink: Ink) -> None:
    """A flower on a stem."""
    stem: Colour = (70, 142, 78)
    p.curve([(0.30, 0.98), (0.285, 0.70), (0.30, 0.36)], 0.035, stem)
    p.blob([(0.29, 0.78), (0.10, 0.58), (0.06, 0.66), (0.16, 0.78)], stem)
    p.blob([(0.30, 0.86), (0.50, 0.66), (0.54, 0.74), (0.44, 0.86)], mix(stem, INK, 0.15))
    for k, (dx, dy) in enumerate(
        ((0, -0.15), (0.145, -0.045), (0.09, 0.12), (-0.09, 0.12), (-0.145, -0.045))
    ):
        p.circle(0.30 + dx, 0.26 + dy, 0.125, ink.main if k % 2 == 0 else ink.tint)
    p.circle(0.30, 0.26, 0.095, (250, 204, 72))
    p.circle(0.32, 0.275, 0.055, (240, 178, 48))


@icon("leaf", aspect=0.75, colour=(88, 160, 82), size=0.25)
def leaf(p: Pen, ink: Ink) -> None:
    """One leaf."""
    p.blob([(0.12, 0.86), (0.06, 0.50), (0.24, 0.20), (0.66, 0.03), (0.66, 0.44), (0.48, 0.76)], ink.main)
    p.curve([(0.03, 0.98), (0.26, 0.60), (0.58, 0.16)], 0.03, ink.deep)
    p.line([(0.24, 0.62), (0.20, 0.42)], 0.02, ink.deep)
    p.line([(0.34, 0.48), (0.50, 0.46)], 0.02, ink.deep)


@icon("bush", aspect=1.5, colour=(84, 150, 88), size=0.6)
def bush(p: Pen, ink: Ink) -> None:
    """A bush or shrub."""
    for x, y, r, c in (
        (0.28, 0.68, 0.27, ink.shade),
        (1.20, 0.70, 0.26, ink.deep),
        (0.62, 0.46, 0.34, ink.main),
        (0.98, 0.54, 0.30, ink.shade),
        (0.75, 0.72, 0.27, ink.main),
        (0.50, 0.34, 0.12, ink.tint),
    ):
        p.circle(x, min(y, 0.99 - r), r, c)


@icon("robot", aspect=0.7, colour=(122, 154, 178), size=0.95)
def robot(p: Pen, ink: Ink) -> None:
    """A friendly robot."""
    x = 0.35
    p.line([(x, 0.12), (x, 0.03)], 0.025, ink.deep)
    p.circle(x, 0.035, 0.035, (230, 84, 70))
    for side in (-1, 1):
        p.line([(x + side * 0.19, 0.48), (x + side * 0.28, 0.66)], 0.07, ink.shade)
        p.circle(x + side * 0.285, 0.69, 0.045, ink.deep)
        p.rect(x + side * 0.09 - 0.05, 0.78, x + side * 0.09 + 0.05, 0.96, ink.shade, 0.02)
        p.rect(x + side * 0.10 - 0.085, 0.92, x + side * 0.10 + 0.085, 0.99, ink.deep, 0.03)
    p.rect(x - 0.19, 0.42, x + 0.19, 0.82, ink.main, 0.05)
    p.rect(x - 0.11, 0.52, x + 0.11, 0.68, ink.pale, 0.03)
    p.rect(x - 0.07, 0.57, x + 0.07, 0.59, ink.shade)
    p.rect(x - 0.07, 0.62, x + 0.03, 0.64, ink.shade)
    p.rect(x - 0.23, 0.11, x + 0.23, 0.39, ink.tint, 0.08)
    p.rect(x - 0.17, 0.17, x + 0.17, 0.33, INK, 0.06)
    for side in (-1, 1):
        p.circle(x + side * 0.085, 0.25, 0.042, (112, 226, 232))
