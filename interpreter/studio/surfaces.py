"""How the inside of a silhouette is filled: plain, by a material, by a borrowed skin, or by a look.

Every fill is a function of the pixel's position, so that its statistics can be measured and the same thing always
looks the same. Arrays are (n, n) or (n, n, 3), values 0 to 255.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genevolve.interpreter.studio.palette import INK, PAPER, Rgb, lit, luminance, mix
from genevolve.interpreter.studio.palette import INKS as _INKS
from genevolve.interpreter.studio.scene import Look
from genevolve.interpreter.studio.shapes import masks

Gray = NDArray[np.float32]
Colours = NDArray[np.float32]

BADGE = 0.3
"""Radius of a look's badge, as a share of the thing's side."""
_CENTRES = {
    "boat": (0.5, 0.775, 0.2),
    "kite": (0.5, 0.38, 0.22),
    "house": (0.5, 0.62, 0.21),
    "cup": (0.42, 0.58, 0.26),
    "drum": (0.5, 0.62, 0.24),
    "wagon": (0.48, 0.5, 0.2),
    "rocket": (0.5, 0.56, 0.2),
    "tower": (0.5, 0.34, 0.18),
    "lantern": (0.5, 0.55, 0.26),
    "bottle": (0.5, 0.68, 0.22),
    "fish": (0.55, 0.5, 0.22),
    "cat": (0.42, 0.57, 0.17),
    "horse": (0.42, 0.52, 0.17),
    "bird": (0.46, 0.5, 0.22),
    "beetle": (0.46, 0.52, 0.2),
    "hat": (0.5, 0.4, 0.22),
    "ball": (0.5, 0.5, 0.28),
    "shield": (0.5, 0.44, 0.29),
    "pennant": (0.5, 0.4, 0.27),
    "lozenge": (0.5, 0.5, 0.25),
}
"""Where the badge lies (across, down) and its radius; in the middle, with `BADGE`, where it is not said."""


def badge(outline: str) -> tuple[float, float, float]:
    """Where a look's badge lies on an outline: across, down, radius, as shares of the side."""
    return _CENTRES.get(outline, (0.5, 0.5, BADGE))


@lru_cache(maxsize=256)
def _grid(n: int) -> tuple[Gray, Gray]:
    line = (np.arange(n, dtype=np.float32) + 0.5) / n
    return np.meshgrid(line, line)


def _noise(n: int, seed: int) -> Gray:
    values: Gray = np.random.default_rng(seed).random((n, n), dtype=np.float32)
    return values


def material(colour: Rgb, name: str, n: int, unit: float) -> Colours:
    """A square of `n` pixels filled with a material of a colour; `unit` scales its grain (1 at 384 pixels)."""
    flat = np.broadcast_to(np.array(colour, np.float32), (n, n, 3))
    if name == "plain":
        return flat.copy()
    gain, lift = _relief(name, n, unit)
    if luminance(colour) < 60:  # dark things show their grain by lighter lines
        lift = lift + np.abs(gain - 1) * 120
    return np.asarray(np.clip(flat * gain[..., None] + lift[..., None], 0, 255), np.float32)


@lru_cache(maxsize=256)
def _relief(name: str, n: int, unit: float) -> tuple[Gray, Gray]:
    """What a material multiplies a colour by, and what it adds."""
    x, y = _grid(n)
    px, py = x * n / unit, y * n / unit
    one, zero = np.ones((n, n), np.float32), np.zeros((n, n), np.float32)
    if name == "metal":
        bands = np.cos(2 * np.pi * y * 3.0)
        return (1 + 0.26 * bands).astype(np.float32), (64 * np.clip(bands - 0.72, 0, 1)).astype(np.float32)
    if name == "glass":
        streak = np.exp(-(((x + y * 0.55 - 0.52) / 0.07) ** 2)) + 0.8 * np.exp(
            -(((x + y * 0.55 - 0.7) / 0.025) ** 2)
        )
        return one, (26 + 190 * np.clip(streak, 0, 1)).astype(np.float32)
    if name == "wood":
        wave = py + 1.6 * np.sin(px * 0.16) + 0.8 * np.sin(px * 0.41 + 1)
        lines = (np.mod(wave, 5.5) < 1.9).astype(np.float32)
        return (1 - 0.34 * lines).astype(np.float32), zero
    if name == "cloth":
        weave = (np.floor(px / 3) + np.floor(py / 3)) % 2
        return (1.04 - 0.3 * weave).astype(np.float32), (10 * (1 - weave)).astype(np.float32)
    grain = _noise(n, 11)
    specks = (grain > 0.82).astype(np.float32) - (grain < 0.2).astype(np.float32)
    return (1 + 0.1 * (_noise(n, 12) - 0.5) + 0.34 * specks).astype(np.float32), (24 * (specks > 0)).astype(
        np.float32
    )


@lru_cache(maxsize=256)
def skin(name: str, n: int, unit: float) -> Gray:
    """The lines of a borrowed skin, (n, n), 1 where the second tone lies."""
    x, y = _grid(n)
    px, py = x * n / unit, y * n / unit
    if name == "bricks":
        row = np.floor(py / 9)
        return np.asarray((np.mod(py, 9) < 2) | (np.mod(px + 8 * np.mod(row, 2), 16) < 2), np.float32)
    if name == "scales":
        row = np.floor(py / 8)
        cx = np.mod(px + 6 * np.mod(row, 2), 12) - 6
        cy = np.mod(py, 8)
        r = np.sqrt(cx**2 + cy**2)
        return np.asarray((r > 5) & (r < 7.2), np.float32)
    if name == "leaves":
        u, v = np.mod(px + 6 * np.mod(np.floor(py / 11), 2), 12) - 6, np.mod(py, 11) - 5.5
        a, b = (u + v) * 0.71, (u - v) * 0.71
        return np.asarray((np.abs(a) / 2.9 + np.abs(b) / 7.8) < 1, np.float32)
    if name == "honeycomb":
        u, v = px / 12, py / 10.4
        odd = np.mod(np.floor(v), 2)
        dx = np.mod(u + odd * 0.5, 1) - 0.5
        dy = np.mod(v, 1) - 0.5
        return np.asarray((np.abs(dx) * 12 > 4.9) | (np.abs(dy) * 10.4 + np.abs(dx) * 5 > 6.0), np.float32)
    if name == "spots":
        u, v = np.mod(px + 7 * np.mod(np.floor(py / 12), 2), 14) - 7, np.mod(py, 12) - 6
        return np.asarray((u**2 + v**2) < 14, np.float32)
    return np.asarray(np.mod(py + 2.6 * np.sin(px * 0.55), 8) < 3, np.float32)


def pattern(name: str, n: int) -> NDArray[np.bool_]:
    """Where the second colour of a look lies, (n, n)."""
    x, y = _grid(n)
    found = {
        "plain": np.zeros((n, n), bool),
        "halves": x > 0.5,
        "stripes": np.mod(y * 5, 2) >= 1,
        "bars": np.mod(x * 5, 2) >= 1,
        "diagonal": np.abs(x - y) < 0.2,
        "checks": (np.floor(x * 4) + np.floor(y * 4)) % 2 == 1,
        "cross": (np.abs(x - 0.5) < 0.15) | (np.abs(y - 0.45) < 0.15),
        "chevron": np.abs(y - 0.25 - np.abs(x - 0.5)) < 0.17,
        "quarters": (x > 0.5) ^ (y > 0.5),
        "border": (np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) > 0.32),
    }[name]
    return np.asarray(found, bool)


def look(of: Look, n: int, light: str) -> Colours:
    """A square of `n` pixels painted with a look: ground, pattern and badge."""
    main, second = (np.array(lit(_INKS[c], light), np.float32) for c in (of.colour, of.second))
    field = np.asarray(np.where(pattern(of.pattern, n)[..., None], second, main), np.float32)
    return _with_badge(field, of, n, light)


def _with_badge(field: Colours, of: Look, n: int, light: str) -> Colours:
    cx, cy, r = badge(of.outline)
    x, y = _grid(n)
    far = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) * n
    ring = np.clip(r * n + 0.5 - far, 0, 1)[..., None]
    disc = np.clip(r * n * 0.9 + 0.5 - far, 0, 1)[..., None]
    ink, paper = (np.array(lit(c, light), np.float32) for c in (INK, PAPER))
    field = np.asarray(field * (1 - ring) + ink * ring, np.float32)
    field = np.asarray(field * (1 - disc) + paper * disc, np.float32)
    side = max(4, round(r * n * 1.22))
    shape = masks(of.figure, side).body
    left, top = round(cx * n - side / 2), round(cy * n - side / 2)
    area = field[top : top + side, left : left + side]
    cover = shape[: area.shape[0], : area.shape[1], None]
    area[:] = area * (1 - cover) + ink * cover
    return field


def second_tone(colour: Rgb) -> Rgb:
    """The tone of details on a colour: darker, or lighter where the colour is nearly black."""
    return mix(colour, (0, 0, 0), 0.5) if luminance(colour) > 60 else mix(colour, (255, 255, 255), 0.42)
