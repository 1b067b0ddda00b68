"""Which silhouette a connected piece of a picture is, how large, and where its square lies.

Every silhouette (with each number of legs) is kept as a small normalised mask of its largest connected piece. The
nearest ones are then drawn at the size in question and laid over the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genevolve.interpreter.studio.scene import CREATURES
from genevolve.interpreter.studio.shapes import masks, names

Floats = NDArray[np.float32]
Bits = NDArray[np.bool_]

_CELLS = 20
_REFERENCES = (96, 40, 22)
"""Sizes at which silhouettes are known: small ones fall into pieces that large ones do not have."""
_MOST_LEGS = 10
SHIFT = 0.34
"""How far to the right, in sides, a thing stands that has grown into another."""
_NEAREST = 7
_SEEN = 0.12
"""Cover from which a pixel of an edge stands out from the background."""
GOOD = 0.8
"""Overlap (intersection over union) from which a silhouette is believed."""


@dataclass(frozen=True)
class Fit:
    """A silhouette laid over a picture: its square's left upper corner and side in pixels, and the overlap."""

    name: str
    legs: int
    x: int
    y: int
    side: int
    overlap: float

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the square, in pixels."""
        return self.x + self.side / 2, self.y + self.side / 2


@dataclass(frozen=True)
class _Template:
    """A silhouette's largest piece: where it lies in the unit square, and its normalised mask."""

    name: str
    legs: int
    box: tuple[float, float, float, float]
    cells: Floats


@dataclass(frozen=True)
class Body:
    """A silhouette at a size: its whole mask, its largest piece's, and the box of that piece in pixels."""

    whole: Bits
    main: Bits
    box: tuple[int, int, int, int]


@lru_cache(maxsize=4096)
def body(name: str, side: int, legs: int, cast: int | None = None) -> Body:
    """The mask of a silhouette at a size; with `cast`, its shadow falls straight (0), to the right (1) or left (-1).

    The mask is (side, side), or with a shadow larger by `margin(side)` all around.
    """
    whole = masks(name, side, legs).body > _SEEN
    if cast is not None:
        whole = _with_shadow(whole, side, cast)
    main = _largest(whole)
    rows, columns = np.nonzero(main.any(axis=1))[0], np.nonzero(main.any(axis=0))[0]
    return Body(whole, main, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))


def margin(side: int) -> int:
    """Room that a shadow needs around the square of its thing, in pixels."""
    return round(side * 0.4) + 2


def _with_shadow(whole: Bits, side: int, cast: int) -> Bits:
    """A silhouette and the soft ellipse beneath it, as one mask."""
    room = margin(side)
    found = np.pad(whole, room)
    width, height = max(3, round(side * (1.0 if cast == 0 else 1.24))), max(3, round(side * 0.2))
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    ellipse = x[None, :] ** 2 + y[:, None] ** 2 < 1.0
    left = room + (side - width) // 2 + round(cast * side * 0.24)
    top = room + side - round(height * 0.6)
    found[top : top + height, left : left + width] |= ellipse
    return found


def classify_with_shadow(piece: Bits, left: int, top: int, cast: int) -> list[Fit]:
    """The silhouettes that, together with their shadows, fit a piece best; see `classify`."""
    height, width = piece.shape
    if min(height, width) < 12:
        return []
    templates, table, aspects = _templates(cast)
    distance = ((table - _normalised(piece)) ** 2).mean(axis=1) + 0.35 * np.abs(
        aspects - np.log(width / height)
    )
    fits: dict[str, Fit] = {}
    for index in np.argsort(distance, kind="stable")[:_NEAREST]:
        t = templates[int(index)]
        guess = round((width / (t.box[2] - t.box[0]) + height / (t.box[3] - t.box[1])) / 2)
        for side in (guess - 1, guess, guess + 1):
            found = _at(t.name, t.legs, side, piece, left, top, cast)
            if found is not None and (t.name not in fits or found.overlap > fits[t.name].overlap):
                fits[t.name] = found
    return sorted(fits.values(), key=lambda f: -f.overlap)[:3]


def classify(piece: Bits, left: int, top: int, before: Sequence[Fit] = ()) -> list[Fit]:
    """The silhouettes that fit a piece, best first; none when the piece is too small to tell.

    Args:
        piece: (h, w), the piece cut to its box.
        left: Of the box in the picture, in pixels.
        top: The same.
        before: Silhouettes found in the same picture already: copies are alike.
    """
    height, width = piece.shape
    if min(height, width) < 4:
        return []
    for known in before:
        found = _at(known.name, known.legs, known.side, piece, left, top)
        if found is not None and found.overlap > 0.96:
            return [found]
    templates, table, aspects = _templates()
    distance = ((table - _normalised(piece)) ** 2).mean(axis=1) + 0.35 * np.abs(
        aspects - np.log(width / height)
    )
    fits: dict[str, Fit] = {}
    for index in np.argsort(distance, kind="stable")[:_NEAREST]:
        template = templates[int(index)]
        found = _laid(template.name, template.legs, template.box, piece, left, top)
        if found is not None and (template.name not in fits or found.overlap > fits[template.name].overlap):
            fits[template.name] = found
    ranked = sorted(fits.values(), key=lambda f: -f.overlap)[:3]
    return [_counted_legs(f, piece, left, top) if CREATURES.get(f.name) else f for f in ranked]


def grown_together(
    piece: Bits, left: int, top: int, expected: Sequence[tuple[str, int]]
) -> tuple[Fit, Fit] | None:
    """Two of the expected silhouettes of one size, the second a third of its side to the right; the first is behind."""
    height, width = piece.shape
    best: tuple[Fit, Fit] | None = None
    at = (0, 0)
    for behind in expected:
        a = _unit_box(*behind, _REFERENCES[0])
        for front in expected:
            if front == behind:
                continue
            b = _unit_box(*front, _REFERENCES[0])
            x0, x1 = min(a[0], b[0] + SHIFT), max(a[2], b[2] + SHIFT)
            y0, y1 = min(a[1], b[1]), max(a[3], b[3])
            side = round((width / (x1 - x0) + height / (y1 - y0)) / 2)
            if side < 10 or abs(width - side * (x1 - x0)) > 4 or abs(height - side * (y1 - y0)) > 4:
                continue
            corner = round(x0 * side), round(y0 * side)
            found = _pair(behind, front, side, corner, piece, left, top)
            if best is None or found[0].overlap > best[0].overlap:
                best, at = found, corner
    if best is None or best[0].overlap < GOOD:
        return None
    for side in (best[0].side - 1, best[0].side, best[0].side + 1):
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                first, second = ((f.name, f.legs) for f in best)
                found = _pair(first, second, side, (at[0] + dx, at[1] + dy), piece, left, top)
                if found[0].overlap > best[0].overlap + 1e-9:
                    best = found
    return best if best[0].overlap >= GOOD + 0.05 else None


def _pair(
    behind: tuple[str, int],
    front: tuple[str, int],
    side: int,
    corner: tuple[int, int],
    piece: Bits,
    left: int,
    top: int,
) -> tuple[Fit, Fit]:
    """The two at a size, their common square's corner so far from the piece's."""
    shift = round(side * SHIFT)
    height, width = piece.shape
    room = np.zeros((max(side, height) + 8, max(side + shift, width) + 8), bool)
    room[4 : 4 + side, 4 : 4 + side] |= body(behind[0], side, behind[1]).whole
    room[4 : 4 + side, 4 + shift : 4 + shift + side] |= body(front[0], side, front[1]).whole
    seen = np.zeros(room.shape, bool)
    x, y = max(0, 4 + corner[0]), max(0, 4 + corner[1])
    part = seen[y : y + height, x : x + width]
    part[:] = piece[: part.shape[0], : part.shape[1]]
    overlap = _overlap(room, seen)
    x, y = left - corner[0], top - corner[1]
    return Fit(*behind, x, y, side, overlap), Fit(*front, x + shift, y, side, overlap)


def _laid(
    name: str, legs: int, unit: tuple[float, float, float, float], piece: Bits, left: int, top: int
) -> Fit | None:
    """The silhouette at the size and place at which its main piece has the piece's box."""
    height, width = piece.shape
    guess = round((width / (unit[2] - unit[0]) + height / (unit[3] - unit[1])) / 2)
    best: Fit | None = None
    for side in (guess, guess - 1, guess + 1):
        found = _at(name, legs, side, piece, left, top)
        if found is not None and (best is None or found.overlap > best.overlap):
            best = found
        if best is not None and best.overlap > 0.985:
            break
    return best


def _at(
    name: str, legs: int, side: int, piece: Bits, left: int, top: int, cast: int | None = None
) -> Fit | None:
    """The silhouette at one size; None when its main piece has another box."""
    if side < 6:
        return None
    height, width = piece.shape
    shape = body(name, side, legs, cast)
    x0, y0, x1, y1 = shape.box
    room = 0 if cast is None else margin(side)
    if abs((x1 - x0) - width) > 2 + side // 24 or abs((y1 - y0) - height) > 2 + side // 24:
        return None
    return Fit(name, legs, left - x0 + room, top - y0 + room, side, _overlap(shape.main[y0:y1, x0:x1], piece))


def neighbours(fit: Fit, piece: Bits, left: int, top: int) -> list[Fit]:
    """The same silhouette a pixel larger or smaller, and a pixel aside: a surface tells which it is."""
    found = []
    for side in (fit.side - 1, fit.side, fit.side + 1):
        shape = body(fit.name, max(6, side), fit.legs)
        x0, y0, x1, y1 = shape.box
        # Aligned by the middle of the piece, rounded both ways.
        dx, dy = piece.shape[1] - (x1 - x0), piece.shape[0] - (y1 - y0)
        if abs(dx) > 3 or abs(dy) > 3:
            continue
        for x in {dx // 2, -(-dx // 2)}:
            for y in {dy // 2, -(-dy // 2)}:
                found.append(Fit(fit.name, fit.legs, left - x0 + x, top - y0 + y, max(6, side), fit.overlap))
    return found


def _overlap(a: Bits, b: Bits) -> float:
    """Intersection over union of two masks with a common left upper corner."""
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    common = int(np.count_nonzero(a[:height, :width] & b[:height, :width]))
    return common / max(1, int(np.count_nonzero(a)) + int(np.count_nonzero(b)) - common)


def leg_profiles(name: str, side: int) -> tuple[tuple[int, int], Floats]:
    """The rows of a creature's square in which only legs stand, and the cover of each column there, (legs, side)."""
    y0, y1 = round(side * 0.78), max(round(side * 0.78) + 1, round(side * 0.96))
    profiles = [masks(name, side, n).body[y0:y1].mean(axis=0) for n in range(1, _MOST_LEGS + 1)]
    return (y0, y1), np.stack(profiles)


def _counted_legs(fit: Fit, piece: Bits, left: int, top: int) -> Fit:
    """The same creature with the number of legs that fits best."""
    best = fit
    for legs in range(1, _MOST_LEGS + 1):
        if legs == fit.legs:
            continue
        found = _at(fit.name, legs, fit.side, piece, left, top)
        if found is not None and found.overlap > best.overlap:
            best = found
    return best


@lru_cache(maxsize=1024)
def _unit_box(name: str, legs: int, at: int, cast: int | None = None) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = body(name, at, legs, cast).box
    return x0 / at, y0 / at, x1 / at, y1 / at


@lru_cache(maxsize=4)
def _templates(cast: int | None = None) -> tuple[list[_Template], Floats, Floats]:
    """All silhouettes, their normalised masks (n, cells), and the logarithms of their widths over heights."""
    found: list[_Template] = []
    for name in names():
        for legs in range(1, _MOST_LEGS + 1) if CREATURES.get(name) else (0,):
            for at in _REFERENCES:
                shape = body(name, at, legs, cast)
                x0, y0, x1, y1 = shape.box
                cells = _normalised(shape.main[y0:y1, x0:x1])
                found.append(_Template(name, legs, _unit_box(name, legs, at, cast), cells))
    aspects = [np.log((t.box[2] - t.box[0]) / (t.box[3] - t.box[1])) for t in found]
    return found, np.stack([t.cells for t in found]), np.array(aspects, np.float32)


def _normalised(piece: Bits) -> Floats:
    """A mask cut to its box, averaged into a square of cells, flat."""
    image = Image.fromarray(piece.astype(np.uint8) * 255)
    small = image.resize((_CELLS, _CELLS), Image.Resampling.BOX)
    return np.asarray(np.asarray(small, dtype=np.float32).ravel() / 255, np.float32)


def _largest(mask: Bits) -> Bits:
    from scipy import ndimage

    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    if number <= 1:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    main: Bits = labels == int(sizes.argmax()) + 1
    return main
