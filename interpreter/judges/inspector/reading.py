"""From pixels to what a picture shows: lettering first, then silhouettes, then what fills and grounds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genevolve.interpreter.judges.inspector.canvas import Canvas, largest, open_canvas
from genevolve.interpreter.judges.inspector.lettering import read_lettering, read_loose
from genevolve.interpreter.judges.inspector.seen import Seen, SeenThing, together, visible
from genevolve.interpreter.judges.inspector.silhouettes import (
    GOOD,
    SHIFT,
    Fit,
    body,
    classify,
    classify_with_shadow,
    grown_together,
    leg_profiles,
    neighbours,
)
from genevolve.interpreter.judges.inspector.surfaces import Surface, read_surface
from genevolve.interpreter.studio.palette import COLOURS, lit
from genevolve.interpreter.studio.scene import CREATURES, OUTLINES
from genevolve.interpreter.studio.surfaces import second_tone

Bits = NDArray[np.bool_]
Labels = NDArray[np.int32]

_SMALLEST = 24
_SHORTEST = 11
"""Pixels that a piece needs to be looked at."""
_MOST_PIECES = 160
"""A picture with more pieces than this is noise; the largest ones are looked at."""
_ROUNDS = 4
_SURE = 0.93
_EXPLAINED = 0.7
"""Share of a piece, its shadow with it, below which it is looked at again."""
_WHOLE = 0.85
_NO_SHADOW = 18
"""Pixels of a side below which a contact shadow cannot be told."""
_STRANGE = 22.0
"""Difference of a surface, in levels, from which a silhouette may be something else."""
_CERTAIN = 1.5
_FAR_BEHIND = 0.12
"""Overlap by which a silhouette may be worse than the best and still be considered."""
_UNSURE = 3.5
"""Difference of a surface, in levels, from which its neighbours are tried."""


def read(
    image: Image.Image, wanted: Sequence[str] = (), expected: Seen | None = None, *, with_ocr: bool = True
) -> Seen:
    """What a picture shows.

    Args:
        image: Any picture.
        wanted: Lines of lettering to look for by their shape; others are read.
        expected: What it should show: things that have grown together are only found when it is known which.
        with_ocr: Whether to read other lettering.
    """
    canvas = open_canvas(image)
    texts, lettered = read_lettering(canvas, wanted, with_ocr=with_ocr)
    fits, explained = _find(canvas, lettered, _silhouettes_of(expected))
    around = explained.copy()
    for fit, _ in fits:
        around[max(0, fit.y) : fit.y + fit.side, max(0, fit.x) : fit.x + fit.side] = True
    loose = read_loose(canvas, canvas.stands_out & ~lettered & ~around, with_ocr=with_ocr)
    for text, where in loose:
        texts.append(text)
        lettered[where] = True
    things = [_thing(canvas, fit, surface, fits) for fit, surface in fits]
    ground = canvas.ground
    left_over = canvas.stands_out & ~lettered & ~explained
    return Seen(
        together(_alike(things)),
        tuple(texts),
        ground.light,
        ground.side,
        ground.style if canvas.known else "unknown",
        ground.background if canvas.known else "unknown",
        canvas.contrast,
        float(left_over.mean()),
    )


def _silhouettes_of(expected: Seen | None) -> list[tuple[str, int]]:
    """Names and legs of the silhouettes of things."""
    things = () if expected is None else expected.things
    found = [(t.look.outline if t.look is not None else t.noun, t.legs) for t in things]
    return list(dict.fromkeys(found))


# ---- silhouettes -------------------------------------------------------------------------------------


def _find(
    canvas: Canvas, lettered: Bits, expected: Sequence[tuple[str, int]]
) -> tuple[list[tuple[Fit, Surface]], Bits]:
    """All silhouettes with their surfaces, and the pixels that they explain."""
    open_pixels = canvas.stands_out & ~lettered
    explained = np.zeros(open_pixels.shape, bool)
    found: list[tuple[Fit, Surface]] = []
    pieces = _pieces(open_pixels)
    for mask, left, top in pieces:
        if _share(explained, mask, left, top) > 0.6:
            continue
        known = [fit for fit, _ in found]
        best = _best(canvas, mask, left, top, known)
        if best is None or best[0].overlap < _SURE or best[1].error > _STRANGE:
            pair = grown_together(mask, left, top, expected)
            if pair is not None and (best is None or pair[0].overlap > best[0].overlap):
                for part in _surfaces_of_pair(canvas, *pair):
                    found.append(part)
                    _claim(explained, part[0])
                continue
        if best is not None and (best[1].error <= _STRANGE or not canvas.known or best[0].overlap >= _SURE):
            found.append(best)
            _claim(explained, best[0])
        elif mask.sum() > 6 * _SMALLEST:
            for part in _taken_apart(canvas, mask, left, top, known):
                found.append(part)
                _claim(explained, part[0])
    _look_again(canvas, lettered, found, explained)
    return found, explained


def _look_again(canvas: Canvas, lettered: Bits, found: list[tuple[Fit, Surface]], explained: Bits) -> None:
    """Dark and faded things whose parts pass for shadows: pieces are taken with their shadows and tried as wholes."""
    if not canvas.known:
        return
    cast = {"": 0, "left": 1, "right": -1}[canvas.ground.side]
    for mask, left, top in _pieces((canvas.stands_out | (canvas.shadow > 0)) & ~lettered):
        inside = [(f, surface) for f, surface in found if _holds(mask, left, top, f)]
        doubtful = any(s.error > 2 * _UNSURE and s.colour == "black" for _, s in inside)
        settled = _share(explained, mask, left, top) > _EXPLAINED and not doubtful
        if settled or mask.shape[0] < 0.45 * mask.shape[1]:
            continue
        best: tuple[Fit, Surface] | None = None
        for fit in (*classify_with_shadow(mask, left, top, cast), *classify(mask, left, top)):
            if fit.overlap < _WHOLE:
                continue
            surface = read_surface(canvas, fit)
            if surface.error > _UNSURE:
                fit, surface = _nudged(canvas, fit, surface, _cut(fit), *_corner(fit))
            if surface.error < _STRANGE and (best is None or surface.error < best[1].error):
                best = (fit, surface)
        if best is None or any(surface.error <= best[1].error for _, surface in inside if doubtful):
            continue
        found[:] = [(f, s) for f, s in found if not _lies_in(f, best[0])]
        found.append(best)
        _claim(explained, best[0])


def _cut(fit: Fit) -> Bits:
    """A silhouette's largest piece, cut to its box."""
    shape = body(fit.name, fit.side, fit.legs)
    x0, y0, x1, y1 = shape.box
    return shape.main[y0:y1, x0:x1]


def _holds(mask: Bits, left: int, top: int, fit: Fit) -> bool:
    """Whether the middle of a silhouette lies in the box of a piece."""
    x, y = fit.centre
    return bool(left <= x <= left + mask.shape[1] and top <= y <= top + mask.shape[0])


def _corner(fit: Fit) -> tuple[int, int]:
    """Left and top of a silhouette's largest piece in the picture."""
    x0, y0, *_ = body(fit.name, fit.side, fit.legs).box
    return fit.x + x0, fit.y + y0


def _lies_in(fit: Fit, whole: Fit) -> bool:
    x, y = fit.centre
    return whole.x <= x <= whole.x + whole.side and whole.y <= y <= whole.y + whole.side


def _pieces(mask: Bits) -> list[tuple[Bits, int, int]]:
    """Connected pieces cut to their boxes, with left and top, largest first."""
    from scipy import ndimage

    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    if not number:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    boxes = ndimage.find_objects(labels)
    largest_first = np.argsort(-sizes, kind="stable")[:_MOST_PIECES]
    order = [int(i) for i in largest_first if sizes[i] >= _SMALLEST and _is_large(boxes[i])]
    return [(labels[boxes[i]] == i + 1, boxes[i][1].start, boxes[i][0].start) for i in order]


def _is_large(box: tuple[slice, slice]) -> bool:
    """Whether a piece is large enough to be a thing, and not grain."""
    return max(int(side.stop) - int(side.start) for side in box) >= _SHORTEST


def _best(
    canvas: Canvas, mask: Bits, left: int, top: int, known: Sequence[Fit], good: float = GOOD
) -> tuple[Fit, Surface] | None:
    """The silhouette and surface that fit a piece best, or None when none is believable."""
    fits = [f for f in classify(mask, left, top, known) if f.overlap >= good]
    best: tuple[float, Fit, Surface] | None = None
    for fit in fits:
        if fit.overlap < fits[0].overlap - _FAR_BEHIND:
            continue
        surface = read_surface(canvas, fit)
        if surface.error > _UNSURE and fit.overlap > fits[0].overlap - _FAR_BEHIND / 2:
            fit, surface = _nudged(canvas, fit, surface, mask, left, top)
        if fit.name in OUTLINES and surface.look is None:
            continue
        # A silhouette may be a little worse when its inside is much better, and the other way round.
        badness = surface.error + 120 * (1 - fit.overlap)
        if best is None or badness < best[0]:
            best = (badness, fit, surface)
        if surface.error < _CERTAIN and fit.overlap > _SURE:
            break
    return None if best is None else (best[1], best[2])


def _surfaces_of_pair(canvas: Canvas, behind: Fit, front: Fit) -> list[tuple[Fit, Surface]]:
    """Both surfaces; what the one in front covers of the other is left out."""
    covered = np.zeros(canvas.stands_out.shape, bool)
    _claim(covered, front)
    return [(behind, read_surface(canvas, behind, hidden=covered)), (front, read_surface(canvas, front))]


def _nudged(
    canvas: Canvas, fit: Fit, surface: Surface, mask: Bits, left: int, top: int
) -> tuple[Fit, Surface]:
    """The fit moved by a pixel where that explains the surface better."""
    best = (fit, surface)
    for other in neighbours(fit, mask, left, top):
        if other == fit:
            continue
        found = read_surface(canvas, other)
        if found.error < best[1].error - 0.3:
            best = (other, found)
        if best[1].error < _UNSURE:
            break
    return best


def _claim(explained: Bits, fit: Fit) -> None:
    """Mark the pixels of a silhouette, and a rim around it."""
    from scipy import ndimage

    shape = ndimage.binary_dilation(np.pad(body(fit.name, fit.side, fit.legs).whole, 2), iterations=2)
    height, width = explained.shape
    x, y = fit.x - 2, fit.y - 2
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + shape.shape[1]), min(height, y + shape.shape[0])
    if x0 < x1 and y0 < y1:
        explained[y0:y1, x0:x1] |= shape[y0 - y : y1 - y, x0 - x : x1 - x]


def _share(explained: Bits, mask: Bits, left: int, top: int) -> float:
    part = explained[top : top + mask.shape[0], left : left + mask.shape[1]]
    return float(np.count_nonzero(part & mask)) / max(1, int(np.count_nonzero(mask)))


# ---- pieces of several things ------------------------------------------------------------------------


def _taken_apart(
    canvas: Canvas, mask: Bits, left: int, top: int, known: Sequence[Fit]
) -> list[tuple[Fit, Surface]]:
    """The silhouettes in a piece in which several have grown together: colour by colour, the clearest first."""
    found: list[tuple[Fit, Surface]] = []
    rest = mask.copy()
    for _ in range(_ROUNDS):
        best = _clearest(canvas, rest, left, top, known)
        if best is None:
            break
        found.append(best)
        fit = best[0]
        explained = np.zeros(canvas.stands_out.shape, bool)
        _claim(explained, fit)
        rest &= ~explained[top : top + mask.shape[0], left : left + mask.shape[1]]
        if rest.sum() < 4 * _SMALLEST:
            break
    return found


def _clearest(
    canvas: Canvas, mask: Bits, left: int, top: int, known: Sequence[Fit]
) -> tuple[Fit, Surface] | None:
    """The part of one colour that a silhouette fits best."""
    candidates: list[tuple[Bits, int, int]] = [(m, left + x, top + y) for m, x, y in _pieces(mask)]
    for part in _by_colour(canvas, mask, left, top):
        candidates += [(m, left + x, top + y) for m, x, y in _pieces(part)[:4]]
    best: tuple[Fit, Surface] | None = None
    for piece, x, y in candidates:
        if piece.sum() < 3 * _SMALLEST:
            continue
        found = _best(canvas, piece, x, y, known, good=0.72)
        if found is not None and (best is None or _worth(found) > _worth(best)):
            best = found
    return best


def _worth(found: tuple[Fit, Surface]) -> float:
    return found[0].overlap - found[1].error / 120


def _by_colour(canvas: Canvas, mask: Bits, left: int, top: int) -> list[Bits]:
    """The piece split by the colours of things, small holes closed."""
    from scipy import ndimage

    window = canvas.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
    tones = []
    for colour in COLOURS.values():
        base = lit(colour, canvas.ground.light)
        tones += [base, second_tone(base)]
    table = np.array(tones, np.float32)
    rows, columns = np.nonzero(mask)
    distance = largest(np.abs(window[rows, columns][:, None] - table[None]))
    nearest = distance.argmin(axis=1) // 2
    parts = []
    for colour_index in np.argsort(-np.bincount(nearest, minlength=len(COLOURS)))[:4]:
        part = np.zeros(mask.shape, bool)
        chosen = nearest == colour_index
        if chosen.sum() < 3 * _SMALLEST:
            continue
        part[rows[chosen], columns[chosen]] = True
        parts.append(ndimage.binary_fill_holes(ndimage.binary_closing(part, iterations=1)) & mask)
    return parts


# ---- things ------------------------------------------------------------------------------------------


def _thing(canvas: Canvas, fit: Fit, surface: Surface, others: Sequence[tuple[Fit, Surface]]) -> SeenThing:
    """One copy as it was understood."""
    width, height = canvas.size
    x, y = fit.centre
    noun = "emblem" if fit.name in OUTLINES else fit.name
    merged = any(_grown_into(fit, other) for other, _ in others if other is not fit)
    return SeenThing(
        noun,
        surface.colour,
        surface.material,
        surface.skin,
        _legs(canvas, fit) if CREATURES.get(fit.name) else 0,
        visible(surface.look),
        ((x / width, y / height),),
        int(_touches_ground(canvas, fit)),
        int(merged),
        fit.side / min(width, height),
    )


def _legs(canvas: Canvas, fit: Fit) -> int:
    """How many legs a creature stands on, by how much of each column of the lowest strip is covered."""
    if canvas.ground.style == "ink":  # the pen's lines are wider than the gaps between legs
        return fit.legs
    (y0, y1), profiles = leg_profiles(fit.name, fit.side)
    width, height = canvas.size
    if fit.x < 0 or fit.x + fit.side > width or fit.y < 0 or fit.y + y1 > height:
        return fit.legs
    rows, columns = slice(fit.y + y0, fit.y + y1), slice(fit.x, fit.x + fit.side)
    away = largest(np.abs(canvas.pixels[rows, columns] - canvas.field[rows, columns]))
    away = np.where(canvas.shadow[rows, columns] > 0, 0, away)
    full = float(np.percentile(away, 97))
    if full < 12:
        return fit.legs
    seen = np.clip(away / full, 0, 1).mean(axis=0)
    return int(np.abs(profiles - seen).mean(axis=1).argmin()) + 1


def _grown_into(fit: Fit, host: Fit) -> bool:
    """Whether a silhouette lies a third of its side to the right of another one of its size."""
    shift = SHIFT * host.side
    near = max(3.0, 0.06 * host.side)
    return (
        abs(fit.side - host.side) <= max(2, host.side // 16)
        and abs(fit.x - host.x - shift) <= near
        and abs(fit.y - host.y) <= near
    )


def _touches_ground(canvas: Canvas, fit: Fit) -> bool:
    """Whether there is a contact shadow under a silhouette."""
    # On small things it cannot be told, and where dark things are faded they pass for shadows themselves.
    if fit.side < _NO_SHADOW or canvas.contrast < 1:
        return True
    width, height = canvas.size
    turn = {"": 0, "left": 1, "right": -1}[canvas.ground.side]
    middle = fit.x + fit.side / 2 + turn * fit.side * 0.24
    reach = fit.side * (0.5 if turn == 0 else 0.62) * 0.8
    x0, x1 = max(0, round(middle - reach)), min(width, round(middle + reach))
    y0 = max(0, round(fit.y + fit.side + 1))
    y1 = min(height, max(y0 + 1, round(fit.y + fit.side + 0.06 * fit.side)))
    if x0 >= x1 or y0 >= y1:
        return True
    area = canvas.shadow[y0:y1, x0:x1]
    free = ~canvas.stands_out[y0:y1, x0:x1]
    if free.sum() < 4:
        return True
    return float((area[free] > 0.05).mean()) > 0.3


def _alike(things: Sequence[SeenThing]) -> list[SeenThing]:
    """Copies of one kind whose surfaces were read a little differently take what most of them have."""
    found = list(things)
    kinds: dict[tuple[str, str], list[int]] = {}
    for index, thing in enumerate(found):
        kinds.setdefault((thing.noun, thing.colour), []).append(index)
    for members in kinds.values():
        if len(members) < 3:
            continue
        for field in ("material", "skin", "legs", "look"):
            values = [getattr(found[i], field) for i in members]
            common = max(values, key=values.count)
            if values.count(common) >= 0.6 * len(values):
                for i in members:
                    found[i] = replace(found[i], **{field: common})
    return found
