"""Pictograms of food and of what it is served in."""

from __future__ import annotations

from genevolve.interpreter.renderers.storyboard.icons import gloss, icon
from genevolve.interpreter.renderers.storyboard.pen import WHITE, Colour, Ink, Pen, arc

WOOD: Colour = (150, 104, 66)
STEEL: Colour = (150, 160, 172)
GOLD: Colour = (236, 178, 56)


@icon("cup", aspect=1.15, colour=(222, 92, 76), size=0.32, board=(0.12, 0.36, 0.70, 0.80))
def cup(p: Pen, ink: Ink) -> None:
    """A mug with steam, on a saucer."""
    for x in (0.36, 0.56):
        p.curve([(x, 0.22), (x - 0.035, 0.16), (x + 0.035, 0.09), (x, 0.02)], 0.028, (214, 214, 220))
    p.ellipse(0.48, 0.93, 0.46, 0.065, ink.pale)
    p.ring(0.88, 0.52, 0.19, 0.075, ink.shade)
    p.blob(
        [
            (0.10, 0.32),
            (0.12, 0.60),
            (0.20, 0.84),
            (0.34, 0.93),
            (0.60, 0.93),
            (0.74, 0.84),
            (0.82, 0.60),
            (0.84, 0.32),
        ],
        ink.main,
    )
    p.ellipse(0.47, 0.32, 0.375, 0.075, ink.tint)
    p.ellipse(0.47, 0.33, 0.315, 0.052, (92, 58, 40))


@icon("glass", aspect=0.6, colour=(150, 200, 214), size=0.34)
def glass(p: Pen, ink: Ink) -> None:
    """A wine glass."""
    p.blob(
        [(0.10, 0.03), (0.50, 0.03), (0.55, 0.30), (0.42, 0.52), (0.30, 0.57), (0.18, 0.52), (0.05, 0.30)],
        ink.pale,
    )
    p.blob(
        [(0.065, 0.24), (0.535, 0.24), (0.52, 0.38), (0.40, 0.51), (0.30, 0.545), (0.20, 0.51), (0.08, 0.38)],
        ink.main,
    )
    p.rect(0.28, 0.55, 0.32, 0.93, ink.shade)
    p.ellipse(0.30, 0.94, 0.20, 0.045, ink.shade)
    p.ellipse(0.17, 0.20, 0.025, 0.10, WHITE)


@icon("bottle", aspect=0.4, colour=(64, 142, 96), size=0.5, board=(0.12, 0.55, 0.88, 0.80))
def bottle(p: Pen, ink: Ink) -> None:
    """A bottle with a label."""
    p.rect(0.135, 0.0, 0.265, 0.075, ink.deep, 0.02)
    p.blob(
        [
            (0.15, 0.07),
            (0.25, 0.07),
            (0.25, 0.26),
            (0.36, 0.42),
            (0.37, 0.94),
            (0.30, 0.99),
            (0.10, 0.99),
            (0.03, 0.94),
            (0.04, 0.42),
            (0.15, 0.26),
        ],
        ink.main,
    )
    p.rect(0.045, 0.56, 0.355, 0.80, (246, 240, 224), 0.015)
    p.rect(0.10, 0.64, 0.30, 0.66, ink.shade)
    p.rect(0.13, 0.70, 0.27, 0.72, ink.shade)
    p.line([(0.10, 0.42), (0.10, 0.50)], 0.03, ink.tint)


@icon("bowl", aspect=1.6, colour=(92, 134, 190), size=0.3)
def bowl(p: Pen, ink: Ink) -> None:
    """An open bowl."""
    p.rect(0.55, 0.86, 1.05, 0.98, ink.deep, 0.04)
    p.dome(0.80, 0.30, 0.74, -0.62, ink.main)
    p.poly([*arc(0.80, 0.30, 0.74, -0.62, 180, 235), (0.40, 0.30)], ink.shade)
    p.ellipse(0.80, 0.30, 0.74, 0.13, ink.tint)
    p.ellipse(0.80, 0.32, 0.64, 0.085, ink.deep)


@icon("plate", aspect=1.8, colour=(240, 240, 244), size=0.16)
def plate(p: Pen, ink: Ink) -> None:
    """A plate."""
    p.ellipse(0.90, 0.58, 0.87, 0.40, ink.shade)
    p.ellipse(0.90, 0.50, 0.87, 0.40, ink.main)
    p.ellipse(0.90, 0.52, 0.54, 0.22, ink.tint if ink.main != WHITE else (232, 234, 238))


@icon("vase", aspect=0.6, colour=(70, 130, 160), size=0.5)
def vase(p: Pen, ink: Ink) -> None:
    """A vase or jug."""
    p.blob(
        [
            (0.18, 0.04),
            (0.42, 0.04),
            (0.37, 0.20),
            (0.54, 0.46),
            (0.52, 0.78),
            (0.40, 0.98),
            (0.20, 0.98),
            (0.08, 0.78),
            (0.06, 0.46),
            (0.23, 0.20),
        ],
        ink.main,
    )
    p.ellipse(0.30, 0.055, 0.15, 0.035, ink.deep)
    p.rect(0.065, 0.50, 0.535, 0.56, ink.pale, 0.02)
    p.rect(0.065, 0.60, 0.535, 0.62, ink.pale)
    gloss(p, 0.18, 0.42, 0.035, 0.075, ink.main)


@icon("apple", aspect=0.92, colour=(212, 56, 58), size=0.24)
def apple(p: Pen, ink: Ink) -> None:
    """An apple."""
    p.curve([(0.46, 0.26), (0.47, 0.14), (0.54, 0.03)], 0.045, (110, 74, 46))
    p.blob([(0.50, 0.18), (0.62, 0.03), (0.80, 0.05), (0.68, 0.19)], (96, 164, 80))
    p.blob(
        [
            (0.46, 0.27),
            (0.66, 0.20),
            (0.87, 0.34),
            (0.89, 0.60),
            (0.74, 0.90),
            (0.57, 0.97),
            (0.46, 0.93),
            (0.35, 0.97),
            (0.18, 0.90),
            (0.03, 0.60),
            (0.05, 0.34),
            (0.26, 0.20),
        ],
        ink.main,
    )
    p.blob([(0.80, 0.34), (0.88, 0.58), (0.72, 0.90), (0.57, 0.96), (0.72, 0.74)], ink.shade)
    gloss(p, 0.22, 0.44, 0.06, 0.10, ink.main)


@icon("orange", aspect=1.0, colour=(243, 146, 44), size=0.24)
def orange(p: Pen, ink: Ink) -> None:
    """A round fruit with a leaf."""
    p.circle(0.50, 0.56, 0.43, ink.main)
    p.blob([(0.84, 0.32), (0.93, 0.58), (0.74, 0.91), (0.44, 0.985), (0.74, 0.76)], ink.shade)
    p.blob([(0.50, 0.16), (0.64, 0.01), (0.84, 0.04), (0.70, 0.18)], (84, 150, 76))
    p.circle(0.50, 0.17, 0.035, (84, 110, 60))
    gloss(p, 0.30, 0.40, 0.075, 0.075, ink.main)


@icon("pear", aspect=0.72, colour=(190, 200, 74), size=0.28)
def pear(p: Pen, ink: Ink) -> None:
    """A pear."""
    p.curve([(0.36, 0.16), (0.37, 0.08), (0.44, 0.01)], 0.04, (110, 74, 46))
    p.blob(
        [
            (0.36, 0.12),
            (0.50, 0.22),
            (0.53, 0.42),
            (0.68, 0.64),
            (0.62, 0.88),
            (0.36, 0.985),
            (0.10, 0.88),
            (0.04, 0.64),
            (0.19, 0.42),
            (0.22, 0.22),
        ],
        ink.main,
    )
    gloss(p, 0.19, 0.66, 0.045, 0.09, ink.main)


@icon("banana", aspect=1.25, colour=(246, 206, 70), size=0.26)
def banana(p: Pen, ink: Ink) -> None:
    """A banana."""
    p.blob(
        [
            (0.10, 0.10),
            (0.19, 0.07),
            (0.30, 0.36),
            (0.58, 0.56),
            (0.98, 0.54),
            (1.19, 0.44),
            (1.22, 0.56),
            (1.02, 0.80),
            (0.62, 0.90),
            (0.26, 0.70),
            (0.10, 0.38),
        ],
        ink.main,
    )
    p.curve([(0.17, 0.36), (0.42, 0.68), (0.80, 0.74), (1.14, 0.56)], 0.03, ink.shade)
    p.rect(0.08, 0.02, 0.19, 0.12, (110, 86, 44), 0.02)


@icon("cherry", aspect=0.9, colour=(196, 36, 62), size=0.2)
def cherry(p: Pen, ink: Ink) -> None:
    """A berry or cherry with its stalk."""
    p.curve([(0.42, 0.50), (0.48, 0.26), (0.66, 0.06)], 0.04, (96, 130, 66))
    p.blob([(0.60, 0.10), (0.70, 0.01), (0.87, 0.06), (0.76, 0.20)], (96, 164, 80))
    p.circle(0.42, 0.68, 0.30, ink.main)
    gloss(p, 0.31, 0.58, 0.055, 0.055, ink.main)


@icon("cake", aspect=1.1, colour=(240, 168, 186), size=0.4)
def cake(p: Pen, ink: Ink) -> None:
    """A layered cake."""
    p.ellipse(0.55, 0.93, 0.52, 0.06, (226, 228, 234))
    p.rect(0.14, 0.42, 0.96, 0.93, (246, 222, 176), 0.05)
    p.rect(0.14, 0.64, 0.96, 0.72, ink.shade)
    p.rect(0.14, 0.36, 0.96, 0.52, ink.main, 0.07)
    for x, drop in ((0.20, 0.60), (0.36, 0.57), (0.52, 0.62), (0.68, 0.57), (0.86, 0.61)):
        p.rect(x - 0.055, 0.44, x + 0.055, drop, ink.main, 0.055)
    p.circle(0.55, 0.28, 0.09, (206, 46, 64))
    p.curve([(0.55, 0.20), (0.59, 0.10), (0.66, 0.05)], 0.02, (96, 130, 66))


@icon("bread", aspect=1.5, colour=(206, 146, 82), size=0.26)
def bread(p: Pen, ink: Ink) -> None:
    """A loaf."""
    p.blob(
        [
            (0.10, 0.52),
            (0.30, 0.20),
            (0.75, 0.12),
            (1.20, 0.20),
            (1.42, 0.52),
            (1.34, 0.90),
            (0.75, 0.96),
            (0.16, 0.90),
        ],
        ink.main,
    )
    for x in (0.45, 0.75, 1.05):
        p.line([(x + 0.08, 0.26), (x - 0.06, 0.50)], 0.065, ink.pale)


@icon("mushroom", aspect=0.95, colour=(208, 62, 54), size=0.28)
def mushroom(p: Pen, ink: Ink) -> None:
    """A mushroom with a spotted cap."""
    p.blob(
        [(0.36, 0.50), (0.60, 0.50), (0.62, 0.80), (0.68, 0.96), (0.28, 0.96), (0.34, 0.80)], (246, 236, 214)
    )
    p.dome(0.475, 0.56, 0.46, 0.53, ink.main)
    for x, y, r in ((0.30, 0.34, 0.085), (0.56, 0.22, 0.075), (0.70, 0.42, 0.07), (0.47, 0.46, 0.05)):
        p.circle(x, y, r, WHITE)
