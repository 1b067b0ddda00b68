"""How a silhouette is filled: colour and material, a borrowed skin, or a look of its own.

Given where a silhouette lies, every fill that the studio knows is computed at a few hundred points of it and compared
with the picture. On pictures of another kind the nearest fill is found all the same, with a larger error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genevolve.interpreter.judges.inspector.canvas import Canvas, largest, shrunk
from genevolve.interpreter.judges.inspector.silhouettes import Fit
from genevolve.interpreter.studio.palette import COLOURS, INK, INKS, LOOK_COLOURS, PAPER, lit, luminance, mix
from genevolve.interpreter.studio.scene import FIGURES, LOOK_NOUNS, MATERIALS, OUTLINES, PATTERNS, SKINS, Look
from genevolve.interpreter.studio.shapes import masks
from genevolve.interpreter.studio.surfaces import badge, material, pattern, second_tone, skin

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

_POINTS = 240
_WORST = 60.0
_CERTAIN = 1.5
"""Error of a fill, in levels, below which no other colour is tried."""
_GLASS = 0.66
"""How much of the ground glass covers."""
_GLASS_LIFT = 38
_SKINS = ("", *SKINS)
_BADGE_SHARE = 0.8


@dataclass(frozen=True)
class Surface:
    """What a silhouette is filled with, and how far that is from the picture (mean of bounded differences, levels)."""

    colour: str
    material: str
    skin: str
    look: Look | None
    error: float


@dataclass(frozen=True)
class _Points:
    """Points well inside a silhouette, and what the studio's fills do there; arrays are (points,) or (n, points)."""

    rows: Indices
    columns: Indices
    gains: Floats
    lifts: Floats
    skins: Floats
    dark: Floats
    light: Floats


def read_surface(canvas: Canvas, fit: Fit, *, hidden: NDArray[np.bool_] | None = None) -> Surface:
    """What fills a silhouette. `hidden` marks pixels, (h, w), that something else covers."""
    if fit.name in OUTLINES:
        return _read_look(canvas, fit, hidden)
    filled = _read_fill(canvas, fit, hidden)
    if fit.name in LOOK_NOUNS and filled.error > 4:
        look = _read_look(canvas, fit, hidden)
        if look.error < filled.error:
            return look
    return filled


# ---- colour, material, skin --------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _points(name: str, side: int, legs: int, unit: float) -> _Points:
    areas = masks(name, side, legs)
    inside = shrunk(areas.body > 0.98, 2 if side > 30 else 1)
    rows, columns = np.nonzero(inside)
    if len(rows) < 12:
        rows, columns = np.nonzero(areas.body > 0.9)
    step = max(1, len(rows) // _POINTS)
    rows, columns = rows[::step], columns[::step]
    reliefs = [_relief(m, side, unit) for m in MATERIALS]
    zero = np.zeros(len(rows), np.float32)
    skins = [zero if not s else skin(s, side, unit)[rows, columns] for s in _SKINS]
    return _Points(
        rows,
        columns,
        np.stack([gain[rows, columns] for gain, _ in reliefs]),
        np.stack([lift[rows, columns] for _, lift in reliefs]),
        np.stack(skins),
        areas.dark[rows, columns],
        areas.light[rows, columns],
    )


@lru_cache(maxsize=1024)
def _relief(name: str, side: int, unit: float) -> tuple[Floats, Floats]:
    """What a material multiplies a colour by and adds to it, measured on two greys; (side, side) each."""
    low, high = (
        material((70, 70, 70), name, side, unit)[..., 0],
        material((120, 120, 120), name, side, unit)[..., 0],
    )
    gain = np.asarray((high - low) / 50, np.float32)
    return gain, np.asarray(low - 70 * gain, np.float32)


def _read_fill(canvas: Canvas, fit: Fit, hidden: NDArray[np.bool_] | None) -> Surface:
    points = _points(fit.name, fit.side, fit.legs, canvas.unit)
    rows, columns = points.rows + fit.y, points.columns + fit.x
    width, height = canvas.size
    valid = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    if hidden is not None:
        valid[valid] &= ~hidden[rows[valid], columns[valid]]
    where = np.nonzero(valid)[0]
    if len(where) < 5:
        return Surface("black", "plain", "", None, _WORST)
    seen = canvas.pixels[rows[where], columns[where]]  # (points, 3)
    below = canvas.field[rows[where], columns[where]]
    best = Surface("black", "plain", "", None, _WORST)
    for colour in _likely(seen, below, points, where, canvas.ground.light):
        fields = _fields(points, where, below, COLOURS[colour], canvas.ground.light)
        errors = np.minimum(largest(np.abs(fields - seen)), _WORST).mean(axis=2)  # (materials, skins)
        m, s = divmod(int(errors.argmin()), len(_SKINS))
        if errors[m, s] < best.error:
            best = Surface(colour, MATERIALS[m], _SKINS[s], None, float(errors[m, s]))
        if best.error < _CERTAIN:
            break
    return best


def _likely(seen: Floats, below: Floats, points: _Points, where: Indices, light: str) -> list[str]:
    """The three colours that the points are nearest to, plain or seen through glass."""
    free = (points.dark[where] < 0.05) & (points.light[where] < 0.05)
    if free.sum() < 4:
        free[:] = True
    step = max(1, int(free.sum()) // 80)
    seen, below = seen[free][::step], below[free][::step]
    distances = []
    for colour in COLOURS.values():
        tone = np.array(lit(colour, light), np.float32)
        glass = np.minimum(tone + _GLASS_LIFT, 255) * _GLASS + below * (1 - _GLASS)
        plain = np.minimum(largest(np.abs(seen - tone)), _WORST).mean()
        distances.append(min(float(plain), float(np.minimum(largest(np.abs(seen - glass)), _WORST).mean())))
    names = list(COLOURS)
    return [names[int(k)] for k in np.argsort(distances, kind="stable")[:3]]


def _fields(
    points: _Points, where: Indices, below: Floats, colour: tuple[int, int, int], light: str
) -> Floats:
    """Every fill in one colour at some of the points, (materials, skins, points, 3)."""
    base = lit(colour, light)
    second = np.array(second_tone(base), np.float32)
    paper = np.array(mix(lit(PAPER, light), base, 0.12), np.float32)
    gains, lifts = points.gains[:, where], points.lifts[:, where]
    if luminance(base) < 60:
        lifts = lifts + np.abs(gains - 1) * 120
    field = np.clip(np.array(base, np.float32) * gains[..., None] + lifts[..., None], 0, 255)
    covers = points.skins[None, :, where, None]
    field = field[:, None] * (1 - covers) + second * covers
    dark, bright = points.dark[where, None], points.light[where, None]
    field = (field * (1 - dark) + second * dark) * (1 - bright) + paper * bright
    glass = MATERIALS.index("glass")
    field[glass] = field[glass] * _GLASS + below * (1 - _GLASS)
    return np.asarray(field, np.float32)


# ---- looks -------------------------------------------------------------------------------------------


def _read_look(canvas: Canvas, fit: Fit, hidden: NDArray[np.bool_] | None) -> Surface:
    """The look on a silhouette: the figure in its badge, the two colours, the pattern."""
    worst = Surface("", "", "", None, _WORST)
    square = _square(canvas, fit)
    if square is None:
        return worst
    free = np.ones((fit.side, fit.side), bool)
    if hidden is not None:
        free = ~hidden[fit.y : fit.y + fit.side, fit.x : fit.x + fit.side]
    figure, share = _figure(square, fit, canvas.ground.light, free)
    if share < _BADGE_SHARE:
        return worst
    rows, columns = _outside(fit.name, fit.side, fit.legs)
    open_ones = free[rows, columns]
    where = rows[open_ones], columns[open_ones]
    seen = square[where]
    if len(seen) < 8:
        return worst
    best: tuple[float, str, str, str] | None = None
    tones = np.array([lit(INKS[c], canvas.ground.light) for c in LOOK_COLOURS], np.float32)
    distance = np.minimum(largest(np.abs(seen[:, None] - tones[None])), _WORST)  # (points, colours)
    total = distance.sum(axis=0)
    for kind in PATTERNS:
        cover = _cover(kind, fit.side)[where]
        on = distance[cover].sum(axis=0) if cover.any() else np.zeros(len(tones))
        off = total - on
        main = int(off.argmin())
        if cover.any():
            rest = on.copy()
            rest[main] = np.inf
            second = int(rest.argmin())
        else:
            second = 0 if main != 0 else 1
        error = float(off[main] + (on[second] if cover.any() else 0)) / len(seen)
        if best is None or error < best[0] - 0.05:
            best = (error, LOOK_COLOURS[main], LOOK_COLOURS[second], kind)
    assert best is not None
    error = best[0] + _missing_details(square, fit, canvas.ground.light, free)
    return Surface("", "", "", Look(fit.name, best[1], best[2], best[3], figure), error)


def _missing_details(square: Floats, fit: Fit, light: str, free: NDArray[np.bool_]) -> float:
    """How far the dark details of a silhouette are from ink: a disc has no seams, a ball has."""
    cx, cy, r = badge(fit.name)
    line = (np.arange(fit.side, dtype=np.float32) + 0.5) / fit.side
    far = np.sqrt((line[None, :] - cx) ** 2 + (line[:, None] - cy) ** 2)
    where = (masks(fit.name, fit.side, fit.legs).dark > 0.9) & (far > r + 1 / fit.side) & free
    if where.sum() < 6:
        return 0.0
    ink = np.array(lit(INK, light), np.float32)
    return float(np.minimum(largest(np.abs(square[where] - ink)), _WORST).mean()) * 0.3


def _square(canvas: Canvas, fit: Fit) -> Floats | None:
    width, height = canvas.size
    if fit.x < 0 or fit.y < 0 or fit.x + fit.side > width or fit.y + fit.side > height:
        return None
    return canvas.pixels[fit.y : fit.y + fit.side, fit.x : fit.x + fit.side]


@lru_cache(maxsize=512)
def _disc(name: str, side: int) -> tuple[Indices, Indices, Floats]:
    """Points of the badge, and where the figures lie on them, (figures, points)."""
    cx, cy, r = badge(name)
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    far = np.sqrt((line[None, :] - cx) ** 2 + (line[:, None] - cy) ** 2)
    rows, columns = np.nonzero(far < 0.86 * r)
    shapes = []
    for figure in FIGURES:
        size = max(4, round(r * side * 1.22))
        field = np.zeros((side, side), np.float32)
        left, top = round(cx * side - size / 2), round(cy * side - size / 2)
        part = field[max(0, top) : top + size, max(0, left) : left + size]
        mask = masks(figure, size).body
        part[:] = mask[: part.shape[0], : part.shape[1]]
        shapes.append(field[rows, columns])
    return rows, columns, np.stack(shapes)


def _figure(square: Floats, fit: Fit, light: str, free: NDArray[np.bool_]) -> tuple[str, float]:
    """The figure in a badge, and how much of the badge is ink or paper."""
    rows, columns, shapes = _disc(fit.name, fit.side)
    open_ones = free[rows, columns]
    rows, columns, shapes = rows[open_ones], columns[open_ones], shapes[:, open_ones]
    if len(rows) < 9:
        return FIGURES[0], 0.0
    seen = square[rows, columns]
    ink, paper = np.array(lit(INK, light), np.float32), np.array(lit(PAPER, light), np.float32)
    span = paper - ink
    inked = 1 - ((seen - ink) * span).sum(axis=1) / float((span * span).sum())  # 1 for ink, 0 for paper
    miss = largest(np.abs(seen - (paper - inked[:, None] * span)))
    share = float(((miss < 26) & (inked > -0.25) & (inked < 1.25)).mean())
    error = np.abs(shapes - np.clip(inked, 0, 1)).mean(axis=1)
    if float(error.min()) > 0.3:
        share = 0.0
    return FIGURES[int(error.argmin())], share


@lru_cache(maxsize=512)
def _outside(name: str, side: int, legs: int) -> tuple[Indices, Indices]:
    """Points of the silhouette that neither badge, details nor rim cover."""
    areas = masks(name, side, legs)
    cx, cy, r = badge(name)
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    far = np.sqrt((line[None, :] - cx) ** 2 + (line[:, None] - cy) ** 2)
    # A look has a dark rim that grows with it.
    free = shrunk(areas.body > 0.98, 3 + round(side / 90) if side > 40 else 3)
    free &= (areas.dark < 0.02) & (far > r + 1.5 / side)
    rows, columns = np.nonzero(free)
    step = max(1, len(rows) // 600)
    return rows[::step], columns[::step]


@lru_cache(maxsize=2048)
def _cover(name: str, side: int) -> NDArray[np.bool_]:
    """Where a look's second colour lies, (side, side)."""
    return pattern(name, side)
