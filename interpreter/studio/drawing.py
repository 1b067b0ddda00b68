"""Draws a scene: background, shadows, things, lettering, style. The same scene gives the same bytes.

Sprites, letters, backgrounds and grains are kept, so that a picture of things seen before is drawn in milliseconds.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from genevolve.interpreter.studio.layout import Box, Copy, lay_out
from genevolve.interpreter.studio.palette import COLOURS as _COLOURS
from genevolve.interpreter.studio.palette import GROUNDS, INK, INKS, LIGHTS, PAPER, Rgb, lit, mix
from genevolve.interpreter.studio.scene import Lettering, Look, Scene, Thing
from genevolve.interpreter.studio.shapes import masks
from genevolve.interpreter.studio.surfaces import Colours, look, material, second_tone, skin

VERSION = "1"
"""Raised whenever the same scene is drawn differently."""

_FONT = "SourceSansPro-Bold.ttf"
_SHADOW = 0.46


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene, mode RGB, `scene.width` by `scene.height`."""
    layout = lay_out(scene)
    unit = round(min(scene.width, scene.height) / 384, 2)
    ground = (scene.background, scene.light, scene.light_from, scene.width, scene.height)
    image = _styled_background(*ground, scene.style, scene.seed % 4).copy()
    for copy in layout.copies:
        if scene.things[copy.thing].shadow:
            _cast(image, copy, scene)
    for copy in layout.copies:
        _place(image, copy, scene, unit)
    for lettering, box in zip(scene.letterings, layout.letterings, strict=True):
        _write(image, lettering, box, scene)
    if scene.style == "plain":
        return image
    return _finish(image, scene.style, scene.seed % 4, on_things=True)


def digest(image: Image.Image) -> str:
    """SHA-256 of a picture's size and pixels, in hex."""
    return hashlib.sha256(f"{image.size}{image.mode}".encode() + image.tobytes()).hexdigest()


# The background


@lru_cache(maxsize=64)
def _background(name: str, light: str, side: str, width: int, height: int) -> Image.Image:
    found = LIGHTS[light]
    base = np.array(GROUNDS[name], np.float32) * found.gain
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    ends = np.array(found.top, np.float32) * (1 - y) + np.array(found.bottom, np.float32) * y
    field = base * (1 - found.depth) + ends * found.depth
    field = np.broadcast_to(field, (height, width, 3)).copy()
    if side:
        toward = (1 - x) if side == "left" else x
        field *= 0.86 + 0.2 * toward
    if found.vignette:
        far = ((x - 0.5) ** 2 + (y - 0.5) ** 2) * 2
        field *= 1 - found.vignette * far
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


@lru_cache(maxsize=64)
def _styled_background(
    name: str, light: str, side: str, width: int, height: int, style: str, variant: int
) -> Image.Image:
    image = _background(name, light, side, width, height)
    return image if style == "plain" else _finish(image, style, variant, on_things=False)


@lru_cache(maxsize=256)
def _shadow(side: int, stretch: int) -> Image.Image:
    """A soft dark ellipse for a thing of `side` pixels, as a mask."""
    width, height = max(3, round(side * (1.0 if stretch == 0 else 1.24))), max(3, round(side * 0.2))
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    r = x[None, :] ** 2 + y[:, None] ** 2
    return Image.fromarray((np.clip((1.05 - r) * 2.4, 0, 1) * 255 * _SHADOW).astype(np.uint8))


def _cast(image: Image.Image, copy: Copy, scene: Scene) -> None:
    turn = {"": 0, "left": 1, "right": -1}[scene.light_from]
    mask = _shadow(copy.side, abs(turn))
    x = copy.x + (copy.side - mask.width) // 2 + round(turn * copy.side * 0.24)
    y = copy.y + copy.side - round(mask.height * 0.6)
    image.paste((20, 20, 32), (x, y), mask)


# Things


@lru_cache(maxsize=4096)
def _sprite(
    noun: str,
    side: int,
    colour: str,
    surface: str,
    borrowed: str,
    legs: int,
    dress: Look | None,
    light: str,
    inked: bool,
    unit: float,
) -> Image.Image:
    """One thing as RGBA, with a margin of `_margin(unit)` on each side."""
    outline = dress.outline if dress is not None else noun
    areas = masks(outline, side, legs)
    base = lit(_COLOURS[colour], light)
    field = look(dress, side, light) if dress is not None else material(base, surface, side, unit)
    if dress is None and borrowed:
        field = _over(field, second_tone(base), skin(borrowed, side, unit))
    alpha = areas.body
    if dress is None:
        field = _over(field, second_tone(base), areas.dark)
        field = _over(field, mix(lit(PAPER, light), base, 0.12), areas.light)
        if surface == "glass":
            alpha = _see_through(areas.body, side)
    else:
        dark = areas.dark * _outside_badge(outline, side)
        field = _over(field, lit(INK, light), dark)
        field = _over(field, lit(INK, light), _edge(areas.body, 5) * 0.85)
    return _framed(field, alpha, areas.body, inked, unit)


def _see_through(body: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Glass: the ground is seen through the middle, the rim is solid."""
    return np.clip(body * 0.8 + _edge(body) * 0.5, 0, 1) * (body > 0)


def _outside_badge(outline: str, side: int) -> NDArray[np.float32]:
    from genevolve.interpreter.studio.surfaces import badge

    cx, cy, r = badge(outline)
    line = (np.arange(side, dtype=np.float32) + 0.5) / side
    far = np.sqrt((line[None, :] - cx) ** 2 + (line[:, None] - cy) ** 2)
    return (far > r).astype(np.float32)


def _edge(body: NDArray[np.float32], least: int = 3) -> NDArray[np.float32]:
    """The rim of a mask, inside it: one or two pixels wide, more where the mask is large."""
    width = max(least if body.shape[0] > 40 else 3, 2 * round(body.shape[0] / 90) + 1)
    padded = Image.fromarray(np.pad((body * 255).astype(np.uint8), width))
    inner = np.asarray(padded.filter(ImageFilter.MinFilter(width)))[width:-width, width:-width]
    return np.clip(body - inner.astype(np.float32) / 255, 0, 1)


def _over(field: Colours, colour: Rgb, cover: NDArray[np.float32]) -> Colours:
    return field * (1 - cover[..., None]) + np.array(colour, np.float32) * cover[..., None]


def _margin(unit: float) -> int:
    return max(2, math.ceil(2 * unit))


def _framed(
    field: Colours, alpha: NDArray[np.float32], body: NDArray[np.float32], inked: bool, unit: float
) -> Image.Image:
    margin = _margin(unit)
    colours = np.pad(np.clip(field, 0, 255).astype(np.uint8), ((margin, margin), (margin, margin), (0, 0)))
    cover = np.pad((np.clip(alpha, 0, 1) * 255).astype(np.uint8), margin)
    sprite = Image.fromarray(np.dstack([colours, cover]))
    if not inked:
        return sprite
    solid = Image.fromarray(np.pad((body * 255).astype(np.uint8), margin))
    grown = solid.filter(ImageFilter.MaxFilter(2 * margin + 1))
    rim = Image.new("RGBA", sprite.size, (*INK, 0))
    rim.putalpha(grown)
    rim.alpha_composite(sprite)
    return rim


def _place(image: Image.Image, copy: Copy, scene: Scene, unit: float) -> None:
    thing = scene.things[copy.thing]
    sprite = _of(thing, copy.side, scene, unit)
    mask = sprite.getchannel("A")
    if scene.contrast < 1:
        mask = mask.point(lambda v: round(v * scene.contrast))
    margin = _margin(unit)
    image.paste(sprite, (copy.x - margin, copy.y - margin), mask)


def _of(thing: Thing, side: int, scene: Scene, unit: float) -> Image.Image:
    dressed = thing.look is not None
    return _sprite(
        thing.noun,
        side,
        "black" if dressed else thing.colour,
        "plain" if dressed else thing.material,
        "" if dressed else thing.skin,
        thing.leg_count,
        thing.look,
        scene.light,
        scene.style == "ink",
        unit,
    )


# Lettering


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    folder = resources.files("genevolve.interpreter.renderers.storyboard") / "fonts"
    with resources.as_file(folder / _FONT) as path:
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1024)
def _letters(text: str, width: int, height: int) -> Image.Image:
    """A line of lettering, as large as fits, as a mask cut to its ink."""
    size = max(6, min(height, 200))
    while True:
        left, top, right, bottom = _font(size).getbbox(text)
        if size <= 6 or right - left <= width:
            break
        size = max(6, min(size - 1, int(size * width / (right - left))))
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))), 0)
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=_font(size))
    return mask


@lru_cache(maxsize=256)
def _panel(surface: str, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """Two masks of a surface: the whole, and its frame."""
    size = (width * 2, height * 2)
    whole, frame = Image.new("L", size, 0), Image.new("L", size, 0)
    w, h = size[0] - 1, size[1] - 1
    pen, line = ImageDraw.Draw(whole), ImageDraw.Draw(frame)
    if surface == "banner":
        notch = h * 0.34
        points = [(0, 0), (w, 0), (w - notch, h / 2), (w, h), (0, h), (notch, h / 2)]
        pen.polygon(points, fill=255)
        line.line([*points, points[0]], fill=255, width=max(2, h // 22))
    elif surface == "plaque":
        pen.rounded_rectangle((0, 0, w, h), radius=h * 0.42, fill=255)
        line.rounded_rectangle((0, 0, w, h), radius=h * 0.42, outline=255, width=max(2, h // 18))
        for x in (h * 0.3, w - h * 0.3):
            line.ellipse((x - h * 0.06, h * 0.44, x + h * 0.06, h * 0.56), fill=255)
    else:
        pen.rectangle((0, 0, w, h), fill=255)
        line.rectangle((0, 0, w, h), outline=255, width=max(4, h // 9))
    return whole.reduce(2), frame.reduce(2)


def _write(image: Image.Image, lettering: Lettering, box: Box, scene: Scene) -> None:
    x0, y0, x1, y1 = round(box.x0), round(box.y0), round(box.x1), round(box.y1)
    width, height = x1 - x0, y1 - y0
    fade = scene.contrast
    if lettering.surface != "none":
        whole, frame = _panel(lettering.surface, width, height)
        ground = lit(INKS[lettering.ground], scene.light)
        image.paste(ground, (x0, y0), _faded(whole, fade))
        image.paste(second_tone(ground), (x0, y0), _faded(frame, fade))
    inset = {"banner": 0.42, "sign": 0.2, "plaque": 0.46, "none": 0.05}[lettering.surface]
    room = max(8, width - round(2 * inset * height))
    letters = _letters(lettering.text, room, max(6, round(height * 0.74)))
    x, y = x0 + (width - letters.width) // 2, y0 + (height - letters.height) // 2
    image.paste(lit(INKS[lettering.colour], scene.light), (x, y), _faded(letters, fade))


def _faded(mask: Image.Image, share: float) -> Image.Image:
    return mask if share >= 1 else mask.point(lambda v: round(v * share))


# Styles


def _finish(image: Image.Image, style: str, variant: int, *, on_things: bool) -> Image.Image:
    """Multiply a picture by a style's grain; over things and letters it lies much thinner than on the ground."""
    gain = _grain(style, image.width, image.height, variant, 0.3 if on_things else 0.8)
    pixels = np.asarray(image).astype(np.uint16)
    pixels *= gain[..., None]
    pixels >>= 7
    return Image.fromarray(np.minimum(pixels, 255).astype(np.uint8))


def grain_of_things(style: str, width: int, height: int, variant: int) -> NDArray[np.float32] | None:
    """What a style multiplies things and letters by, (height, width); None for a style without a grain."""
    if style == "plain":
        return None
    return np.asarray(_grain(style, width, height, variant, 0.3) / 128, np.float32)


@lru_cache(maxsize=64)
def _grain(style: str, width: int, height: int, variant: int, strength: float) -> NDArray[np.uint16]:
    """What a style multiplies each pixel by, in 128ths, (height, width)."""
    chance = np.random.default_rng(1000 + variant)
    unit = min(width, height) / 384
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(unit)
    change: NDArray[np.float32]
    if style == "watercolour":
        change = 0.1 * _clouds(chance, width, height, 9) + 0.09 * _clouds(chance, width, height, 48)
    elif style == "ink":
        change = -0.26 * (np.mod(x + y, 9) < 1.6)
    elif style == "mosaic":
        tiles = chance.random((64, 64), dtype=np.float32)
        tone = tiles[(y // 10).astype(int) % 64, (x // 10).astype(int) % 64]
        grout = (np.mod(x, 10) < 1.5) | (np.mod(y, 10) < 1.5)
        change = 0.2 * (tone - 0.5) - 0.3 * grout
    elif style == "print":
        u, v = np.mod(x, 6) - 3, np.mod(y + 3 * np.mod(x // 6, 2), 6) - 3
        change = 0.04 - 0.3 * ((u * u + v * v) < 3.6)
    else:
        threads = np.sin(x * 2 * np.pi / 4) * np.sin(y * 2 * np.pi / 4)
        change = 0.14 * threads + 0.06 * np.sin(y * 2 * np.pi / 13)
    return np.asarray(np.clip((1 + strength * change) * 128, 0, 255), np.uint16)


def _clouds(chance: np.random.Generator, width: int, height: int, cells: int) -> NDArray[np.float32]:
    """Smooth noise in -1..1 with about `cells` bumps a side."""
    seeds = Image.fromarray((chance.random((cells, cells)) * 255).astype(np.uint8))
    smooth = seeds.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 127.5 - 1
