"""A picture taken apart before anything is recognised: style, ground and light, what stands out, and its shadows.

The studio's backgrounds are known fields (a ground, a light, a side), and its styles multiply pixels by known grains.
The field and the grain that explain the picture's margin best are taken off. A picture of another kind is explained by
none of them: then its margin is fitted by a plane, and `known` is False.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from genevolve.interpreter.studio.drawing import draw, grain_of_things
from genevolve.interpreter.studio.palette import COLOURS, GROUNDS, INK, INKS, LIGHTS, lit
from genevolve.interpreter.studio.scene import LIGHT_SIDES, STYLES, Scene
from genevolve.interpreter.studio.surfaces import second_tone

Floats = NDArray[np.float32]
Bits = NDArray[np.bool_]

SIDE = 384
"""Pictures whose shorter side is far from this are resized to it."""
_LEAST, _MOST = 256, 800
_LONGEST = 4.0
_RING = 5
_AROUND = 90
_FEW_PIXELS = 12
_SAMPLES = 360
_FEW = 60
_FINALISTS = 24
_WORST = 20.0
_KNOWN = 5.0
"""Mean difference of the margin, in levels, up to which a known background explains it."""
_APART = 9
_SHADOW = np.array((20, 20, 32), np.float32)
_VARIANTS = {"watercolour": 4, "mosaic": 4}


@dataclass(frozen=True)
class Ground:
    """What the margin tells."""

    background: str
    light: str
    side: str
    style: str
    variant: int
    error: float


@dataclass
class Canvas:
    """A picture taken apart.

    Attributes:
        pixels: (h, w, 3), 0 to 255, the style's grain and the fading taken off.
        field: (h, w, 3), the background alone.
        stands_out: (h, w), where something covers the background, shadows left out.
        shadow: (h, w), how dark the shadow is there, 0 to 1.
        ground: What the margin tells.
        known: Whether it is a background of the studio.
        contrast: 1, or less where things are faded into the background.
        unit: Scale against 384 pixels.
    """

    pixels: Floats
    field: Floats
    stands_out: Bits
    shadow: Floats
    ground: Ground
    known: bool
    contrast: float
    unit: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


def open_canvas(image: Image.Image) -> Canvas:
    """Take a picture apart; any RGB picture will do."""
    seen = np.asarray(_sized(image.convert("RGB")), dtype=np.uint8)
    height, width = seen.shape[:2]
    ground = _best_ground(seen)
    known = ground.error <= _KNOWN
    pixels = seen.astype(np.float32)
    if known:
        name = (ground.background, ground.light, ground.side, width, height, ground.style, ground.variant)
        expected, field = _behind(*name)
        thin = _thin(ground.style, ground.variant, width, height)
        if thin is not None:
            pixels = np.minimum((pixels + 0.5) / thin[..., None], 255)
    else:
        expected = field = _plane(seen)
    apart = largest(np.abs(seen - expected)) > (_APART if known else 3 * _APART)
    shadow = _shadows(pixels, field, apart)
    if known:
        shadow[_black_things(pixels, field, apart, ground.light)] = 0
    apart = _filled(apart & (shadow == 0), shadow)
    shadow[apart] = 0
    contrast = _contrast(pixels, field, apart, ground.light) if known else 1.0
    if contrast < 1.0:
        pixels = np.clip(field + (pixels - field) / contrast, 0, 255)
    unit = round(min(width, height) / 384, 2)
    if known and ground.style == "ink":
        apart = _without_rims(apart, max(2, math.ceil(2 * unit)))
    return Canvas(pixels, field, apart, shadow, ground, known, contrast, unit)


def _without_rims(apart: Bits, width: int) -> Bits:
    """Shapes as they were before a pen drew a line of so many pixels around them."""
    grown = Image.fromarray(apart.astype(np.uint8) * 255)
    return np.asarray(grown.filter(ImageFilter.MinFilter(2 * width + 1))) > 0


def _sized(image: Image.Image) -> Image.Image:
    """The picture at a size that can be worked on: not tiny, not huge, not a mere strip."""
    width, height = image.size
    if max(width, height) > _LONGEST * min(width, height):
        return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if _LEAST <= min(width, height) <= _MOST:
        return image
    scale = SIDE / min(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)


# ---- the ground --------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _ring(width: int, height: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of points of the margin, which the studio keeps free."""
    chance = np.random.default_rng(7)
    inside = np.zeros((height, width), bool)
    inside[_RING:-_RING, _RING:-_RING] = True
    rows, columns = np.nonzero(~inside)
    picked = chance.choice(len(rows), size=min(_SAMPLES, len(rows)), replace=False)
    return rows[picked], columns[picked]


@lru_cache(maxsize=8)
def _known_grounds(width: int, height: int) -> tuple[list[tuple[str, str, str]], Floats]:
    """All backgrounds and their values on the ring, (backgrounds, points, 3)."""
    rows, columns = _ring(width, height)
    names = [(g, light, side) for g in GROUNDS for light in LIGHTS for side in LIGHT_SIDES]
    values = [_field(*name, width, height)[rows, columns] for name in names]
    return names, np.stack(values)


@lru_cache(maxsize=8)
def _known_grains(width: int, height: int) -> tuple[list[tuple[str, int]], Floats]:
    """All styles and their grains on the ring, (styles, points)."""
    rows, columns = _ring(width, height)
    names = [(style, v) for style in STYLES for v in range(_VARIANTS.get(style, 1))]
    grains = []
    for style, variant in names:
        grain = _grain(style, variant, width, height)
        grains.append(np.ones(len(rows), np.float32) if grain is None else grain[rows, columns])
    return names, np.stack(grains)


def _best_ground(seen: NDArray[np.uint8]) -> Ground:
    height, width = seen.shape[:2]
    rows, columns = _ring(width, height)
    points = seen[rows, columns].astype(np.float32)  # (points, 3)
    grounds, fields = _known_grounds(width, height)
    styles, grains = _known_grains(width, height)
    few = slice(0, _FEW)
    rough = np.stack(
        [_misfit(points[few], grain[few], fields[:, few]) for grain in grains]
    )  # (styles, grounds)
    best: tuple[float, int, int] | None = None
    for place in np.argsort(rough, axis=None, kind="stable")[:_FINALISTS]:
        s, g = divmod(int(place), len(grounds))
        error = float(_misfit(points, grains[s], fields[g : g + 1])[0])
        if best is None or error < best[0]:
            best = (error, s, g)
    assert best is not None
    (style, variant), (background, light, side) = styles[best[1]], grounds[best[2]]
    return Ground(background, light, side, style, variant, best[0])


def _misfit(points: Floats, grain: Floats, fields: Floats) -> Floats:
    """How far the points are from each background under a grain, (backgrounds,): the mean of bounded differences."""
    # Overexposed points tell nothing of what lies beneath.
    bare = np.minimum((points + 0.5) / grain[:, None], 255)
    errors: Floats = np.minimum(largest(np.abs(fields - bare)), _WORST).mean(axis=1)
    return errors


def largest(values: Floats) -> Floats:
    """The largest of the three channels, (..., 3) to (...); numpy's own reduction is slow on so short an axis."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


@lru_cache(maxsize=160)
def _field(background: str, light: str, side: str, width: int, height: int) -> Floats:
    scene = Scene(background=background, light=light, light_from=side, width=width, height=height)
    field = np.asarray(draw(scene), dtype=np.float32)
    field.flags.writeable = False
    return field


@lru_cache(maxsize=64)
def _behind(
    background: str, light: str, side: str, width: int, height: int, style: str, variant: int
) -> tuple[Floats, Floats]:
    """An empty picture as it is drawn, and as it lies beneath the things before the style's last touch."""
    scene = Scene(
        background=background,
        light=light,
        light_from=side,
        width=width,
        height=height,
        style=style,
        seed=variant,
    )
    drawn = np.asarray(draw(scene), dtype=np.float32)
    thin = _thin(style, variant, width, height)
    field = drawn if thin is None else np.minimum((drawn + 0.5) / thin[..., None], 255)
    drawn.flags.writeable = field.flags.writeable = False
    return drawn, field


@lru_cache(maxsize=32)
def _thin(style: str, variant: int, width: int, height: int) -> Floats | None:
    return grain_of_things(style, width, height, variant)


@lru_cache(maxsize=32)
def _grain(style: str, variant: int, width: int, height: int) -> Floats | None:
    """What a style multiplies pixels by, (h, w), measured on an empty picture; None when it is nothing."""
    if style == "plain":
        return None
    bare = Scene(width=width, height=height)
    styled = Scene(style=style, seed=variant, width=width, height=height)
    below = np.asarray(draw(bare), dtype=np.float32).mean(axis=2)
    # A mean of three channels that were rounded down; a half corrects it.
    above = np.asarray(draw(styled), dtype=np.float32).mean(axis=2) + 0.5
    gain: Floats = np.asarray(np.round(above / below * 128) / 128, np.float32)
    gain.flags.writeable = False
    return gain


def _plane(seen: NDArray[np.uint8]) -> Floats:
    """A plane through the margin's colours, for backgrounds that are not known."""
    height, width = seen.shape[:2]
    rows, columns = _ring(width, height)
    points = seen[rows, columns].astype(np.float32)
    basis = np.stack([np.ones(len(rows)), columns / width, rows / height], axis=1)
    weights = np.ones(len(rows))
    fitted: NDArray[Any] = np.zeros((3, 3))
    for _ in range(4):  # things that reach the margin lose their say
        fitted, *_rest = np.linalg.lstsq(basis * weights[:, None], points * weights[:, None], rcond=None)
        far = largest(np.abs(points - basis @ fitted))
        weights = 1 / (1 + (far / 12) ** 2)
    y = np.arange(height)[:, None, None] / height
    x = np.arange(width)[None, :, None] / width
    field: Floats = np.clip(fitted[0] + fitted[1] * x + fitted[2] * y, 0, 255).astype(np.float32)
    return field


# ---- shadows and fading ------------------------------------------------------------------------------


def _shadows(pixels: Floats, field: Floats, apart: Bits) -> Floats:
    """How dark the cast shadow is at each point: the background drawn toward one dark tone, and nothing else."""
    rows, columns = np.nonzero(apart)
    toward = _SHADOW - field[rows, columns]
    step = pixels[rows, columns] - field[rows, columns]
    share = (step * toward).sum(axis=1) / np.maximum((toward * toward).sum(axis=1), 1)
    miss = largest(np.abs(step - share[:, None] * toward))
    is_shadow = (miss < 5.5) & (share > 0.02) & (share < 0.49)
    found = np.zeros(apart.shape, np.float32)
    found[rows[is_shadow], columns[is_shadow]] = share[is_shadow]
    return _flat_only(found)


def _black_things(pixels: Floats, field: Floats, apart: Bits, light: str) -> Bits:
    """Black things have grey details, and grey looks like a shadow: what belongs to solid black and grey is a thing."""
    black = np.array(lit(COLOURS["black"], light), np.float32)
    found = np.zeros(apart.shape, bool)
    rows, columns = np.nonzero(apart)
    seen = pixels[rows, columns]
    dark = largest(np.abs(seen - black)) < 7
    if dark.sum() < 20:
        return found
    # Only around what is black: the shapes are looked at in a window.
    y0, x0 = max(0, int(rows[dark].min()) - _AROUND), max(0, int(columns[dark].min()) - _AROUND)
    window = (slice(y0, int(rows[dark].max()) + _AROUND), slice(x0, int(columns[dark].max()) + _AROUND))
    room = 0.25 * (float(largest(field[rows, columns]).mean()) - float(black.max()))
    found[window] = _dark_parts(pixels[window], apart[window], light, min(30.0, room))
    return found


def _dark_parts(pixels: Floats, apart: Bits, light: str, near: float) -> Bits:
    """The parts of black things in a window; `near` is how far from black their highlights may be, in levels."""
    from scipy import ndimage

    black = lit(COLOURS["black"], light)
    far = largest(np.abs(pixels - np.array(black, np.float32)))
    blacks = apart & (far < 7)
    greys = apart & (largest(np.abs(pixels - np.array(second_tone(black), np.float32))) < 6)
    found: Bits = blacks
    if greys.sum() > _FEW_PIXELS:
        # The core of a shadow may have that very grey: it lies flat, and no black is on both sides of it.
        flanked = ndimage.binary_closing(blacks, np.ones((1, 9)))
        flanked |= ndimage.binary_closing(blacks, np.ones((9, 1)))
        upright = ndimage.binary_opening(blacks | greys, np.ones((6, 1)))
        upright &= ~ndimage.binary_opening(greys, np.ones((1, 7)))
        found = found | (greys & (flanked | upright))
    deep = apart & (far < near)
    if (deep & ~blacks).sum() > _FEW_PIXELS:
        # Highlights on black metal lie in bands between darker ones.
        banded = ndimage.binary_closing(deep, structure=np.ones((11, 1)))
        found = found | (banded & apart)
    return found


def _filled(apart: Bits, shadow: Floats) -> Bits:
    """What a thing encloses and looks like a shadow is a dark part of the thing."""
    from scipy import ndimage

    if not (shadow > 0).any():
        return apart
    labels, number = ndimage.label(~apart)
    outside = np.zeros(number + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = True  # the things themselves
    found: Bits = apart | (~outside[labels] & (shadow > 0))
    return found


def shrunk(mask: Bits, times: int) -> Bits:
    """A mask without its outermost pixels, so many times; what lies beyond the picture counts as empty."""
    found = mask
    for _ in range(times):
        inner = found.copy()
        inner[1:] &= found[:-1]
        inner[:-1] &= found[1:]
        inner[:, 1:] &= found[:, :-1]
        inner[:, :-1] &= found[:, 1:]
        inner[0] = inner[-1] = False
        inner[:, 0] = inner[:, -1] = False
        found = inner
    return found


def _flat_only(shadow: Floats) -> Floats:
    """Shadows lie flat; what is as dark and stands up is a faded dark thing."""
    from scipy import ndimage

    labels, _ = ndimage.label(shadow > 0, structure=np.ones((3, 3)))
    for index, where in enumerate(ndimage.find_objects(labels), 1):
        height, width = where[0].stop - where[0].start, where[1].stop - where[1].start
        if height > 0.75 * width and height > 26:
            part = shadow[where]
            inside = (labels[where] == index) & (part > 0)
            # A standing shape of one even tone; soft edges vary much more.
            if (
                inside.sum() > 60
                and float(np.percentile(part[inside], 75) - np.percentile(part[inside], 40)) < 0.04
            ):
                part[inside] = 0
    return shadow


@lru_cache(maxsize=16)
def tones(light: str) -> Floats:
    """The tones that things and letters have in a light, (tones, 3)."""
    main = [lit(c, light) for c in (*COLOURS.values(), INKS["white"], INKS["cream"])]
    return np.array([*main, *(second_tone(c) for c in main), lit(INK, light)], np.float32)


def _contrast(pixels: Floats, field: Floats, apart: Bits, light: str) -> float:
    """How far things are faded: the share of a tone that, laid over the background, gives the pixels."""
    # Edges are mixtures of their own: only what lies two pixels inside is looked at, unless all is thin.
    inner = shrunk(apart, 2)
    rows, columns = np.nonzero(inner if inner.sum() > 300 else apart)
    if len(rows) < 50:
        return 1.0
    step = max(1, len(rows) // 500)
    rows, columns = rows[::step], columns[::step]
    full = largest(np.abs(pixels[rows, columns][:, None] - tones(light)[None])).min(axis=1) < 6
    if full.mean() > 0.3:
        return 1.0
    below = field[rows, columns][:, None, :]  # (points, 1, 3)
    toward = tones(light)[None] - below  # (points, tones, 3)
    moved = pixels[rows, columns][:, None, :] - below
    share = (moved * toward).sum(axis=2) / np.maximum((toward * toward).sum(axis=2), 1)
    miss = largest(np.abs(moved - share[..., None] * toward))
    fits = (miss < 4) & (share > 0.08) & (share < 1.06)
    votes, edges = np.histogram(share[fits], bins=np.arange(0.07, 1.08, 0.02))
    smooth = np.convolve(votes, np.ones(3), "same")
    peak = int(smooth.argmax())
    undimmed = int((fits & (share > 0.96)).any(axis=1).sum())
    if smooth[peak] < 0.15 * len(rows) or undimmed > 0.6 * smooth[peak]:
        return 1.0
    near = share[fits & (np.abs(share - (edges[peak] + 0.01)) < 0.03)]
    found = float(np.median(near))
    return 1.0 if found > 0.86 else found
