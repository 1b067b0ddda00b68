"""What the simulated generator sees in a reference picture: which things stand there, and their looks.

Only pixels are read. Things are cut from a quiet background, their outline is compared with the silhouettes, then the
colours, the pattern and the badge with those that a look can have. A picture that is none of the studio's gives things
without a look, or nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genevolve.interpreter.studio.drawing import digest
from genevolve.interpreter.studio.palette import COLOURS as _COLOURS
from genevolve.interpreter.studio.palette import INKS, LOOK_COLOURS, nearest
from genevolve.interpreter.studio.scene import CREATURES, FIGURES, LOOK_NOUNS, NOUNS, OUTLINES, PATTERNS, Look
from genevolve.interpreter.studio.shapes import masks
from genevolve.interpreter.studio.surfaces import badge, pattern

_SIDE = 48
_LONGEST = 448
_MOST = 24
"""Things beyond this number are not looked at."""
_LEAST_SHARE = 0.0022
_CERTAIN = 0.72
"""Share of pixels of a badge and its field that must agree before a look is believed."""

Bits = NDArray[np.bool_]
_TABLE = np.array([INKS[c] for c in LOOK_COLOURS], np.float32)


@dataclass(frozen=True)
class Seen:
    """One thing that was seen.

    Attributes:
        noun: The silhouette that fits best.
        look: Its identity; None when it has none, or none that can be read.
        colour: The colour that covers most of it.
        box: Left, top, right, bottom as shares of the picture.
    """

    noun: str
    look: Look | None
    colour: str
    box: tuple[float, float, float, float]


_kept: OrderedDict[str, tuple[Seen, ...]] = OrderedDict()


def see(image: Image.Image) -> tuple[Seen, ...]:
    """All things in a picture, the largest first. The answer for the last pictures is kept."""
    key = digest(image)
    found = _kept.get(key)
    if found is None:
        found = _see(image)
        _kept[key] = found
        while len(_kept) > 512:
            _kept.popitem(last=False)
    return found


def _see(image: Image.Image) -> tuple[Seen, ...]:
    from scipy import ndimage

    if image.mode in ("RGBA", "LA", "P"):
        flat = Image.new("RGB", image.size, (230, 230, 230))
        flat.paste(image.convert("RGB"), (0, 0), image.convert("RGBA").getchannel("A"))
        image = flat
    image = image.convert("RGB")
    if max(image.size) > _LONGEST:
        image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BOX)
    pixels = np.asarray(image).astype(np.float32)
    if min(pixels.shape[:2]) < 16:
        return ()
    ground = _foreground(pixels)
    parts, _ = ndimage.label(ground)
    found: list[tuple[int, Seen]] = []
    for index, where in enumerate(ndimage.find_objects(parts), start=1):
        mask = parts[where] == index
        area = int(mask.sum())
        if area < _LEAST_SHARE * ground.size:
            continue
        found.append((area, _recognise(pixels[where], mask, where, ground.shape)))
    found.sort(key=lambda pair: -pair[0])
    return tuple(seen for _, seen in found[:_MOST])


def _foreground(pixels: NDArray[np.float32]) -> Bits:
    """What is no background and no shadow: strong colour, or ink; what they enclose belongs to it."""
    from scipy import ndimage

    edge = max(2, pixels.shape[1] // 60)
    sides = np.concatenate([pixels[:, :edge], pixels[:, -edge:]], axis=1)
    behind = np.median(sides, axis=1)[:, None, :]
    # Plane by plane: reducing an axis of three is many times slower.
    bright, behind_bright = _mean(pixels), _mean(behind)
    tinted = np.zeros(bright.shape, np.float32)
    for plane in range(3):
        hue = (pixels[..., plane] - bright) - (behind[..., plane] - behind_bright)
        np.maximum(tinted, np.abs(hue), out=tinted)
    inky = bright < 0.5 * behind_bright
    colourful = tinted > 42
    padded = np.pad(colourful | inky, 3)
    solid = ndimage.binary_closing(padded, iterations=2)[3:-3, 3:-3]
    return np.asarray(ndimage.binary_fill_holes(solid), bool)


def _mean(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((pixels[..., 0] + pixels[..., 1] + pixels[..., 2]) / 3, np.float32)


def _recognise(
    pixels: NDArray[np.float32], mask: Bits, where: tuple[slice, slice], shape: tuple[int, ...]
) -> Seen:
    rows, columns = where
    box = (
        columns.start / shape[1],
        rows.start / shape[0],
        columns.stop / shape[1],
        rows.stop / shape[0],
    )
    aspect = mask.shape[1] / mask.shape[0]
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((_SIDE, _SIDE), 2)) > 127
    outlines = sorted(_fits(small, aspect), reverse=True)[:3]
    best: tuple[float, str, Look | None] = (0.0, outlines[0][1], None)
    picture = Image.fromarray(pixels.astype(np.uint8)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    sharp = Image.fromarray(pixels.astype(np.uint8)).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    fine = _classified(np.asarray(sharp).astype(np.float32))
    bright = np.asarray(picture.convert("L")).astype(np.float32)
    counts = np.bincount(fine[small], minlength=len(LOOK_COLOURS))
    common = LOOK_COLOURS[int(counts.argmax())]
    for fit, outline in outlines:
        if fit < 0.6 or (outline not in OUTLINES and outline not in LOOK_NOUNS):
            continue
        agreement, look = _look(outline, fine, bright)
        # Of two outlines that explain alike, the one that explains more pixels: a ball is a disc with seams.
        score = agreement * fit + 0.1 * float(_templates(outline).field.mean())
        if agreement >= _CERTAIN and score > best[0]:
            best = (score, outline, look)
    noun = "emblem" if best[1] in OUTLINES else best[1]
    if noun == "emblem" and best[2] is None:
        noun = next((o for _, o in outlines if o not in OUTLINES), "ball")
    colour = common if common in _COLOURS else nearest(INKS[common])
    return Seen(noun, best[2], colour, box)


def _classified(pixels: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the nearest colour of a look, for each pixel."""
    far = np.zeros((len(_TABLE), *pixels.shape[:-1]), np.float32)
    for plane, weight in enumerate((2.4, 4.0, 2.6)):
        far += (
            weight * (pixels[None, ..., plane] - _TABLE[:, plane].reshape(-1, *[1] * (pixels.ndim - 1))) ** 2
        )
    found: NDArray[np.intp] = far.argmin(axis=0)
    return found


@lru_cache(maxsize=1)
def _silhouettes() -> tuple[tuple[str, Bits, float], ...]:
    """Each silhouette cut to its own box and brought to one size, with the aspect it had."""
    found = []
    for name in (*OUTLINES, *(n for n in NOUNS if n != "emblem")):
        usual = CREATURES.get(name, 0)
        for legs in sorted({usual, usual + 1, max(1, usual - 1)}) if usual else (0,):
            body = masks(name, 128, legs).body > 0.5
            rows, columns = _extent(body)
            cut = body[rows, columns]
            small = np.asarray(Image.fromarray(cut.astype(np.uint8) * 255).resize((_SIDE, _SIDE), 2)) > 127
            found.append((name, _filled(small), cut.shape[1] / cut.shape[0]))
    return tuple(found)


def _filled(mask: Bits) -> Bits:
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(mask), bool)


def _extent(body: Bits) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _fits(small: Bits, aspect: float) -> list[tuple[float, str]]:
    best: dict[str, float] = {}
    for name, shape, own in _silhouettes():
        union = int((small | shape).sum())
        overlap = int((small & shape).sum()) / max(1, union)
        likeness = min(aspect, own) / max(aspect, own)
        best[name] = max(best.get(name, 0.0), overlap * likeness**0.5)
    return [(score, name) for name, score in best.items()]


@dataclass(frozen=True)
class _Templates:
    field: Bits  # (s, s): ground or pattern, clear of edges, details and the badge
    patterns: NDArray[np.bool_]  # (p, s, s): the second colour
    disc: Bits  # (s, s): the badge's paper
    figures: NDArray[np.bool_]  # (f, s, s): the badge's ink


@lru_cache(maxsize=64)
def _templates(outline: str) -> _Templates:
    from scipy import ndimage

    n = 144
    areas = masks(outline, n, CREATURES.get(outline, 0))
    rows, columns = _extent(areas.body > 0.5)
    cx, cy, r = badge(outline)
    line = (np.arange(n) + 0.5) / n
    far = np.sqrt((line[None, :] - cx) ** 2 + (line[:, None] - cy) ** 2)

    def small(mask: Bits) -> Bits:
        cut = Image.fromarray(mask[rows, columns].astype(np.uint8) * 255)
        return np.asarray(cut.resize((_SIDE, _SIDE), Image.Resampling.BOX)) > 127

    body = ndimage.binary_erosion(areas.body > 0.5, iterations=7)
    dark = ndimage.binary_dilation(areas.dark > 0.3, iterations=3)
    field = small(np.asarray(body & ~dark & (far > r + 0.03), bool))
    patterns = np.stack([small(pattern(p, n)) for p in PATTERNS])
    side = max(4, round(r * n * 1.22))
    figures = []
    for name in FIGURES:
        ink = np.zeros((n + side, n + side), bool)
        top, left = round(cy * n - side / 2), round(cx * n - side / 2)
        ink[top : top + side, left : left + side] = masks(name, side).body > 0.5
        figures.append(small(ink[:n, :n]))
    disc = small(np.asarray((far < r * 0.86) & (areas.body > 0.5), bool))
    return _Templates(field, patterns, disc, np.stack(figures))


def _look(outline: str, names: NDArray[np.intp], bright: NDArray[np.float32]) -> tuple[float, Look | None]:
    """The look that explains the pixels best on this outline, and what share of them it explains."""
    known = _templates(outline)
    field = int(known.field.sum())
    paper = int(known.disc.sum())
    if field < 40 or paper < 20:
        return 0.0, None
    middle = bright[known.disc]
    level = (float(middle.max()) + float(middle.min())) / 2
    if float(middle.max()) - float(middle.min()) < 60:
        return 0.0, None
    dark = bright < level
    agree = (known.figures == dark)[:, known.disc].mean(axis=1)
    figure = int(agree.argmax())
    best = (0.0, 0, 0, 0)
    for index, second in enumerate(known.patterns):
        a, b = names[known.field & ~second], names[known.field & second]
        if not len(a) or (not len(b) and PATTERNS[index] != "plain"):
            continue
        first, hits = _mode(a)
        other, more = _mode(b) if len(b) else ((first + 1) % len(LOOK_COLOURS), 0)
        if first == other:
            continue
        share = (hits + more) / field - (0.005 if PATTERNS[index] != "plain" else 0)
        best = max(best, (share, index, first, other))
    share, index, first, other = best
    if share <= 0:
        return 0.0, None
    look = Look(outline, LOOK_COLOURS[first], LOOK_COLOURS[other], PATTERNS[index], FIGURES[figure])
    return min(share + 0.005, float(agree[figure])), look


def _mode(values: NDArray[np.intp]) -> tuple[int, int]:
    counts = np.bincount(values, minlength=len(LOOK_COLOURS))
    winner = int(counts.argmax())
    return winner, int(counts[winner])
