"""Colours of the studio: ten saturated ones for things, quiet ones for backgrounds, and what light does to them.

A colour of a thing can be told from every other and from every background, in every light, by its distance alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (212, 34, 40),
    "orange": (245, 124, 0),
    "yellow": (250, 208, 30),
    "green": (40, 150, 60),
    "turquoise": (0, 172, 176),
    "blue": (32, 78, 200),
    "purple": (122, 44, 170),
    "pink": (244, 106, 176),
    "brown": (118, 70, 36),
    "black": (28, 28, 32),
}
"""Colours of things, by name."""

INKS: dict[str, Rgb] = {**COLOURS, "white": (248, 248, 246), "cream": (244, 232, 200)}
"""Colours of lettering, of its surfaces, and of looks: those of things, white and cream."""

LOOK_COLOURS = (*COLOURS, "white")
"""Colours that a look may have."""

INK: Rgb = (34, 34, 44)
PAPER: Rgb = (248, 248, 246)

GROUNDS: dict[str, Rgb] = {
    "plain": (206, 208, 210),
    "meadow": (192, 208, 184),
    "beach": (220, 211, 190),
    "snow": (226, 231, 236),
    "stone": (190, 188, 192),
    "table": (208, 194, 180),
    "water": (182, 202, 212),
}
"""Backgrounds, by name, in plain daylight. None is saturated enough to be taken for a thing."""


@dataclass(frozen=True)
class Light:
    """What a light does to a picture.

    Attributes:
        gain: Of the background's brightness.
        top: Colour that the upper edge of the background is drawn toward.
        bottom: The same for the lower edge.
        depth: How far, 0 to 1; 0 leaves the background flat.
        vignette: How much darker the corners are, 0 to 1.
        tint: Colour that things are drawn toward.
        share: How far, 0 to 1.
    """

    gain: float
    top: Rgb
    bottom: Rgb
    depth: float
    vignette: float
    tint: Rgb
    share: float


LIGHTS: dict[str, Light] = {
    "flat": Light(0.94, (200, 200, 200), (200, 200, 200), 0.0, 0.0, (128, 128, 128), 0.0),
    "day": Light(1.04, (250, 250, 246), (176, 182, 178), 0.55, 0.0, (255, 255, 255), 0.03),
    "dusk": Light(0.86, (132, 110, 150), (244, 190, 140), 0.75, 0.0, (236, 130, 70), 0.1),
    "night": Light(0.4, (50, 58, 92), (92, 100, 130), 0.7, 0.1, (40, 48, 96), 0.16),
    "overcast": Light(0.74, (150, 156, 164), (136, 140, 142), 0.6, 0.0, (110, 116, 124), 0.1),
    "lamp": Light(0.95, (236, 214, 168), (214, 190, 148), 0.45, 0.62, (250, 214, 130), 0.07),
}
"""Lights, by name. `flat` is what a generator falls back to."""


def mix(a: Rgb, b: Rgb, t: float) -> Rgb:
    """The colour `t` of the way from `a` to `b`."""
    return (
        round(a[0] + (b[0] - a[0]) * t),
        round(a[1] + (b[1] - a[1]) * t),
        round(a[2] + (b[2] - a[2]) * t),
    )


def luminance(colour: Rgb) -> float:
    """Perceived brightness, 0 to 255 (Rec. 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def distance(a: Rgb, b: Rgb) -> float:
    """How different two colours look: the weighted RGB distance that goes by the name of redmean, 0 to about 765."""
    mean = (a[0] + b[0]) / 2
    r, g, b_ = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return math.sqrt((2 + mean / 256) * r * r + 4 * g * g + (2 + (255 - mean) / 256) * b_ * b_)


def nearest(colour: Rgb, among: dict[str, Rgb] | None = None) -> str:
    """The name of the palette's colour that looks most like this one."""
    table = COLOURS if among is None else among
    return min(table, key=lambda name: distance(colour, table[name]))


def lit(colour: Rgb, light: str) -> Rgb:
    """What a thing's colour becomes in a light."""
    found = LIGHTS[light]
    return mix(colour, found.tint, found.share)


def readable_on(ground: str) -> str:
    """The ink, black or white, that reads best on a surface of this colour."""
    return "white" if luminance(INKS[ground]) < 140 else "black"
