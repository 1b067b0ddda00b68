"""Where the scene takes place: a flat setting in the colours of its light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from genevolve.interpreter.renderers.storyboard.icons import ICONS
from genevolve.interpreter.renderers.storyboard.pen import INK, WHITE, Colour, Point, luminance, mix, smooth
from genevolve.interpreter.renderers.storyboard.scene import Scene


@dataclass(frozen=True)
class Palette:
    """The colours of a setting in its light. `tint` is laid over photographs with `tint_strength` (0 to 1)."""

    sky_top: Colour
    sky_low: Colour
    far: Colour
    ground: Colour
    floor: Colour
    wall: Colour
    tint: Colour = WHITE
    tint_strength: float = 0.0
    glow: Colour | None = None
    stars: bool = False
    grey: bool = False


_DAY = Palette(
    (124, 190, 232), (226, 242, 248), (154, 196, 176), (142, 190, 116), (196, 152, 106), (240, 230, 214)
)
PALETTES: dict[str, Palette] = {
    "day": _DAY,
    "goldenhour": Palette(
        (242, 170, 96),
        (255, 228, 176),
        (206, 142, 108),
        (178, 148, 84),
        (176, 122, 74),
        (248, 222, 180),
        (255, 176, 84),
        0.16,
        (255, 240, 190),
    ),
    "sunset": Palette(
        (96, 78, 142),
        (252, 164, 110),
        (138, 88, 118),
        (98, 92, 92),
        (134, 88, 72),
        (232, 184, 160),
        (250, 130, 90),
        0.16,
        (255, 214, 140),
    ),
    "sunrise": Palette(
        (140, 178, 222),
        (255, 216, 190),
        (178, 156, 174),
        (150, 172, 118),
        (190, 146, 110),
        (246, 228, 212),
        (255, 200, 170),
        0.12,
        (255, 240, 210),
    ),
    "dusk": Palette(
        (42, 52, 108),
        (226, 138, 112),
        (70, 70, 112),
        (62, 76, 92),
        (104, 80, 80),
        (118, 112, 146),
        (70, 60, 130),
        0.2,
        (255, 176, 120),
    ),
    "night": Palette(
        (14, 20, 48),
        (44, 62, 112),
        (32, 46, 82),
        (36, 58, 66),
        (70, 62, 72),
        (52, 58, 90),
        (20, 30, 90),
        0.28,
        None,
        stars=True,
    ),
    "overcast": Palette(
        (184, 194, 204), (224, 228, 230), (176, 188, 192), (152, 172, 146), (164, 148, 130), (226, 226, 222)
    ),
    "storm": Palette(
        (66, 74, 92),
        (148, 156, 168),
        (96, 106, 118),
        (96, 116, 96),
        (120, 108, 98),
        (150, 152, 160),
        (50, 60, 90),
        0.2,
    ),
    "noir": Palette(
        (120, 120, 124),
        (224, 224, 224),
        (150, 150, 152),
        (118, 118, 118),
        (110, 110, 110),
        (214, 214, 214),
        grey=True,
    ),
    "sepia": Palette(
        (196, 170, 132),
        (240, 224, 192),
        (186, 156, 116),
        (168, 138, 98),
        (150, 116, 80),
        (236, 218, 186),
        (150, 110, 60),
        0.3,
    ),
    "neon": Palette(
        (24, 12, 48),
        (116, 34, 120),
        (56, 26, 92),
        (34, 24, 58),
        (48, 30, 70),
        (58, 32, 88),
        (200, 40, 200),
        0.16,
        (250, 90, 200),
    ),
    "candlelight": Palette(
        (48, 30, 24),
        (120, 70, 40),
        (80, 50, 34),
        (70, 48, 34),
        (98, 62, 40),
        (110, 72, 46),
        (255, 150, 60),
        0.2,
        (255, 190, 100),
    ),
    "watercolour": Palette(
        (188, 216, 232), (246, 240, 228), (186, 210, 196), (190, 212, 172), (222, 196, 166), (248, 242, 230)
    ),
    "pastel": Palette(
        (196, 214, 244), (252, 232, 236), (206, 214, 232), (198, 226, 200), (236, 212, 198), (252, 240, 232)
    ),
}


def palette(scene: Scene) -> Palette:
    """The colours for a scene's light; a colour that the prompt gives its background is kept."""
    name = next((n for n in scene.lights if n in PALETTES), "day")
    chosen = PALETTES[name]
    colour = scene.setting_colour
    if colour is None:
        return chosen
    if scene.setting in ("land", "forest", "desert", "snow", "beach"):
        return replace(chosen, ground=colour)
    if scene.setting == "sky":
        return replace(chosen, sky_top=colour, sky_low=mix(colour, WHITE, 0.35), stars=False)
    return replace(chosen, wall=colour)


def setting(scene: Scene) -> str:
    """The setting that is drawn: what the prompt names, or what its things suggest."""
    if "blueprint" in scene.lights:
        return "blueprint"
    if "chalk" in scene.lights:
        return "chalk"
    icons = [t.icon for t in scene.things if t.icon and t.ref is None]
    grounded = any(ICONS[i].habitat not in ("sky", "water") for i in icons)
    if scene.setting and not (scene.setting == "sky" and grounded):
        return scene.setting
    if scene.setting == "sky":
        return "land"
    if not icons:
        return "plain"
    if any(i in ("planet", "globe") for i in icons) or (set(icons) & {"rocket", "robot"} and "star" in icons):
        return "space"
    if any(ICONS[i].habitat == "water" and i != "fish" for i in icons):
        return "sea"
    if "fish" in icons and not any(ICONS[i].habitat in ("back", "sky") for i in icons):
        return "underwater"
    outdoors = {
        "car",
        "bus",
        "bicycle",
        "train",
        "tent",
        "bush",
        "rock",
        "fire",
        "backpacker",
        "horse",
        "cow",
        "bench",
    }
    if any(ICONS[i].habitat in ("back", "sky") and i not in ("star", "balloon", "snowflake") for i in icons):
        return "land"
    if outdoors & set(icons):
        return "land"
    if {"table", "chair", "armchair", "bed", "lamp", "computer"} & set(icons):
        return "interior"
    return "plain"


def paint(scene: Scene, width: int, height: int, horizon: float, seed: int) -> Image.Image:
    """The empty setting. `horizon` is a height in pixels from the top."""
    place, colours = setting(scene), palette(scene)
    painter = _PAINTERS.get(place, _plain)
    image = painter(_Canvas(width, height, horizon, seed % 997), colours)
    if colours.grey:
        image = image.convert("L").convert("RGB")
    return image


def is_dark(image: Image.Image) -> bool:
    """Whether a picture is dark on the whole."""
    r, g, b = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]  # an RGB picture
    return luminance((int(r), int(g), int(b))) < 0.2


@dataclass(frozen=True)
class _Canvas:
    width: int
    height: int
    horizon: float
    seed: int


def gradient(width: int, height: int, stops: list[tuple[float, Colour]]) -> Image.Image:
    """A vertical gradient through colours at heights between 0 and 1."""
    y = np.linspace(0, 1, max(1, height))
    at = [s[0] for s in stops]
    column = np.stack([np.interp(y, at, [s[1][k] for s in stops]) for k in range(3)], axis=1)
    return Image.fromarray(column.round().astype(np.uint8)[:, None, :]).resize(
        (width, height), Image.Resampling.NEAREST
    )


def shape(image: Image.Image, points: list[Point], colour: Colour, alpha: float = 1.0) -> None:
    """A filled polygon with smooth edges."""
    x0, x1 = math.floor(min(p[0] for p in points)), math.ceil(max(p[0] for p in points))
    y0, y1 = math.floor(min(p[1] for p in points)), math.ceil(max(p[1] for p in points))
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(image.width, x1), min(image.height, y1)
    if x1 <= x0 or y1 <= y0:
        return
    mask = Image.new("L", ((x1 - x0) * 2, (y1 - y0) * 2))
    ImageDraw.Draw(mask).polygon([((x - x0) * 2, (y - y0) * 2) for x, y in points], fill=round(255 * alpha))
    image.paste(colour, (x0, y0, x1, y1), mask.reduce(2))


def _ridge(c: _Canvas, base: float, rise: float, waves: float, phase: float) -> list[Point]:
    """A line of hills across the canvas, closed at the bottom of its band."""
    points = []
    for k in range(49):
        t = k / 48
        y = (
            math.sin(t * waves * math.tau + phase) * 0.6
            + math.sin(t * waves * 2.3 * math.tau + phase * 1.7) * 0.4
        )
        points.append((t * c.width, base - rise * (0.5 + 0.5 * y)))
    return [(0, c.height), *points, (c.width, c.height)]


def _sky(c: _Canvas, p: Palette) -> Image.Image:
    share = min(0.98, max(0.2, c.horizon / c.height))
    image = gradient(c.width, c.height, [(0, p.sky_top), (share, p.sky_low), (1, p.sky_low)])
    if p.stars:
        _stars(image, c, int(c.horizon * 0.9))
    if p.glow is not None:
        _glow(image, c, p.glow, 0.72 if c.seed % 2 else 0.28, share)
    return image


def _glow(image: Image.Image, c: _Canvas, colour: Colour, x: float, y: float) -> None:
    """Soft light around a low sun that itself stays out of sight."""
    n = 64
    yy, xx = np.mgrid[0:n, 0:n] / (n - 1)
    distance = np.hypot((xx - x) * c.width / c.height, yy - y * 0.98)
    mask = (np.clip(1 - distance / 0.5, 0, 1) ** 1.6 * 190).astype(np.uint8)
    image.paste(colour, (0, 0), Image.fromarray(mask).resize((c.width, c.height), Image.Resampling.BICUBIC))


def _stars(image: Image.Image, c: _Canvas, below: int) -> None:
    """Tiny dots, far smaller than any star that was asked for."""
    draw = ImageDraw.Draw(image)
    state = c.seed * 2654435761 % 2**32 or 1
    r = max(1, round(min(c.width, c.height) / 900))
    for _ in range(90):
        state = (state * 1664525 + 1013904223) % 2**32
        x = state / 2**32 * c.width
        state = (state * 1664525 + 1013904223) % 2**32
        y = state / 2**32 * max(1, below)
        shade = 120 + state % 90
        draw.ellipse((x, y, x + r, y + r), fill=(shade, shade, min(255, shade + 30)))


def _hills(image: Image.Image, c: _Canvas, p: Palette) -> None:
    rise = c.height * 0.13
    phase = 0.7 + c.seed * 0.61
    shape(image, _ridge(c, c.horizon + 2, rise * 1.5, 1.3, phase), mix(p.far, p.sky_low, 0.45))
    shape(image, _ridge(c, c.horizon + 4, rise * 0.8, 1.9, phase + 2.1), mix(p.far, p.sky_low, 0.12))


def _land(c: _Canvas, p: Palette) -> Image.Image:
    image = _sky(c, p)
    _hills(image, c, p)
    _floor(image, c, mix(p.ground, WHITE, 0.1), mix(p.ground, INK, 0.08))
    shape(
        image,
        _ridge(c, c.horizon + 0.55 * (c.height - c.horizon), 0.07 * c.height, 0.8, 1.0),
        mix(p.ground, INK, 0.06),
        0.5,
    )
    return image


def _floor(image: Image.Image, c: _Canvas, near: Colour, far: Colour, top: float | None = None) -> None:
    y = round(c.horizon if top is None else top)
    if y < c.height:
        image.paste(gradient(c.width, c.height - y, [(0, near), (1, far)]), (0, y))


def _forest(c: _Canvas, p: Palette) -> Image.Image:
    p = replace(p, far=mix(p.far, (40, 90, 66), 0.55))
    image = _sky(c, p)
    for layer, (scale, tone) in enumerate(((1.0, 0.5), (0.72, 0.2))):
        step = c.width / (15 + 4 * layer)
        for k in range(-1, 22):
            h = c.height * 0.26 * scale * (0.75 + 0.25 * math.sin(k * 2.4 + c.seed + layer))
            x = (k + 0.5 * layer) * step
            points = [(x - step * 0.75, c.horizon + 3), (x, c.horizon - h), (x + step * 0.75, c.horizon + 3)]
            shape(image, points, mix(p.far, p.sky_low, tone))
    _floor(image, c, mix(p.ground, (60, 110, 70), 0.3), mix(p.ground, INK, 0.25))
    return image


def _sea(c: _Canvas, p: Palette) -> Image.Image:
    image = _sky(c, p)
    water = mix((58, 140, 176), p.sky_top, 0.35)
    _floor(image, c, mix(water, p.sky_low, 0.45), mix(water, INK, 0.18))
    _streaks(image, c, mix(water, WHITE, 0.45), c.height)
    return image


def _streaks(image: Image.Image, c: _Canvas, colour: Colour, below: float) -> None:
    for k in range(14):
        t = (k * 0.618 + c.seed * 0.13) % 1
        depth = ((k * 0.377 + 0.11) % 1) ** 1.3
        y = c.horizon + 8 + depth * (below - c.horizon) * 0.94
        w = c.width * (0.05 + 0.07 * depth)
        h = max(1.0, c.height * 0.0035)
        shape(
            image,
            smooth(
                [
                    (t * c.width, y),
                    (t * c.width + w, y - h),
                    (t * c.width + 2 * w, y),
                    (t * c.width + w, y + h),
                ]
            ),
            colour,
            0.55,
        )


def _beach(c: _Canvas, p: Palette) -> Image.Image:
    image = _sea(c, p)
    sand = mix((238, 214, 164), p.ground if p.ground != _DAY.ground else (238, 214, 164), 0.25)
    shore = c.horizon + 0.3 * (c.height - c.horizon)
    shape(image, _ridge(c, shore, 0.045 * c.height, 0.7, 0.4), mix(sand, WHITE, 0.65))
    shape(image, _ridge(c, shore + 0.012 * c.height, 0.045 * c.height, 0.7, 0.4), sand)
    return image


def _city(c: _Canvas, p: Palette) -> Image.Image:
    image = _sky(c, p)
    for layer, tone in ((0, 0.6), (1, 0.3)):
        x, k = 0.0, 0
        while x < c.width:
            w = c.width * (0.055 + 0.035 * ((k * 7 + layer * 3 + c.seed) % 4) / 3)
            h = c.height * (0.32 - 0.12 * layer) * (0.45 + 0.55 * ((k * 5 + layer + c.seed) % 7) / 6)
            shape(
                image,
                [
                    (x, c.horizon + 2),
                    (x, c.horizon - h),
                    (x + w * 0.96, c.horizon - h),
                    (x + w * 0.96, c.horizon + 2),
                ],
                mix(mix(p.far, (110, 122, 150), 0.6), p.sky_low, tone),
            )
            x, k = x + w, k + 1
    street = mix((148, 150, 158), p.sky_top, 0.2)
    _floor(image, c, mix(street, WHITE, 0.2), street)
    _floor(image, c, mix(street, INK, 0.18), mix(street, INK, 0.3), c.horizon + 0.2 * (c.height - c.horizon))
    return image


def _desert(c: _Canvas, p: Palette) -> Image.Image:
    sand = (228, 184, 122) if p.ground == _DAY.ground else mix((228, 184, 122), p.ground, 0.4)
    image = _sky(c, replace(p, sky_low=mix(p.sky_low, (252, 226, 180), 0.5)))
    _hills(image, c, replace(p, far=mix(sand, INK, 0.12)))
    _floor(image, c, mix(sand, WHITE, 0.2), mix(sand, INK, 0.1))
    return image


def _snow(c: _Canvas, p: Palette) -> Image.Image:
    image = _sky(c, p)
    _hills(image, c, replace(p, far=mix(p.far, (196, 214, 232), 0.75)))
    _floor(image, c, mix(WHITE, p.sky_low, 0.15), mix((214, 228, 242), p.sky_top, 0.12))
    return image


def _interior(c: _Canvas, p: Palette) -> Image.Image:
    y = c.horizon + 0.12 * (c.height - c.horizon)
    image = gradient(c.width, c.height, [(0, mix(p.wall, WHITE, 0.12)), (1, mix(p.wall, INK, 0.08))])
    if p.glow is not None:
        _glow(image, c, p.glow, 0.5, 0.35)
    floor = mix(p.floor, p.wall, 0.1)
    _floor(image, c, floor, mix(floor, INK, 0.14), y)
    band = 0.018 * c.height
    _floor_band(image, c, y - band, band, mix(p.wall, WHITE, 0.5))
    draw = ImageDraw.Draw(image)
    for k in range(-6, 18):
        x = k / 11 * c.width
        line = [
            (c.width / 2 + (x - c.width / 2) * 0.75, y),
            (c.width / 2 + (x - c.width / 2) * 1.5, c.height),
        ]
        draw.line(line, fill=mix(floor, INK, 0.1), width=max(1, c.height // 600))
    return image


def _floor_band(image: Image.Image, c: _Canvas, y: float, h: float, colour: Colour) -> None:
    image.paste(colour, (0, round(y), c.width, round(y + h)))


def _plain(c: _Canvas, p: Palette) -> Image.Image:
    """A seamless studio backdrop: the wall runs into the floor without an edge."""
    bend = min(0.95, (c.horizon + 0.1 * c.height) / c.height)
    low = mix(p.wall, INK, 0.06)
    return gradient(
        c.width,
        c.height,
        [
            (0, mix(p.wall, WHITE, 0.25)),
            (bend - 0.12, mix(p.wall, WHITE, 0.05)),
            (bend, low),
            (1, mix(p.wall, WHITE, 0.3)),
        ],
    )


def _tabletop(c: _Canvas, p: Palette) -> Image.Image:
    image = gradient(c.width, c.height, [(0, mix(p.wall, WHITE, 0.1)), (1, mix(p.wall, INK, 0.06))])
    _floor(image, c, mix(p.floor, WHITE, 0.12), mix(p.floor, INK, 0.12), c.horizon)
    _floor_band(image, c, c.horizon, max(2.0, c.height * 0.006), mix(p.floor, WHITE, 0.4))
    return image


def _paper(c: _Canvas, p: Palette) -> Image.Image:
    tone = p.wall if p.wall != _DAY.wall else (248, 243, 230)
    image = gradient(c.width, c.height, [(0, mix(tone, WHITE, 0.35)), (1, mix(tone, (150, 120, 80), 0.05))])
    m = round(0.022 * min(c.width, c.height))
    width = max(1, round(0.0025 * min(c.width, c.height)))
    ImageDraw.Draw(image).rectangle(
        (m, m, c.width - m - 1, c.height - m - 1), outline=mix(tone, INK, 0.3), width=width
    )
    return image


def _space(c: _Canvas, p: Palette) -> Image.Image:
    del p
    image = gradient(c.width, c.height, [(0, (10, 12, 34)), (0.6, (30, 26, 70)), (1, (58, 34, 88))])
    _glow(image, c, (84, 60, 140), 0.75, 0.3)
    _stars(image, c, c.height)
    return image


def _underwater(c: _Canvas, p: Palette) -> Image.Image:
    del p
    image = gradient(c.width, c.height, [(0, (118, 206, 222)), (0.55, (44, 132, 176)), (1, (18, 70, 118))])
    for k in range(4):
        x = (0.1 + 0.25 * k) * c.width
        shape(
            image,
            [(x, 0), (x + 0.08 * c.width, 0), (x - 0.1 * c.width, c.height), (x - 0.28 * c.width, c.height)],
            WHITE,
            0.07,
        )
    shape(image, _ridge(c, c.height * 0.97, 0.06 * c.height, 1.4, 0.9), (214, 190, 146))
    return image


def _sky_only(c: _Canvas, p: Palette) -> Image.Image:
    return _sky(replace(c, horizon=c.height * 0.98), p)


def _blueprint(c: _Canvas, p: Palette) -> Image.Image:
    del p
    image = gradient(c.width, c.height, [(0, (24, 70, 132)), (1, (16, 52, 104))])
    draw = ImageDraw.Draw(image)
    step = max(8, min(c.width, c.height) // 32)
    for k, x in enumerate(range(0, c.width, step)):
        draw.line([(x, 0), (x, c.height)], fill=(60, 108, 168) if k % 4 == 0 else (36, 84, 146))
    for k, y in enumerate(range(0, c.height, step)):
        draw.line([(0, y), (c.width, y)], fill=(60, 108, 168) if k % 4 == 0 else (36, 84, 146))
    return image


def _chalk(c: _Canvas, p: Palette) -> Image.Image:
    del p
    image = gradient(c.width, c.height, [(0, (46, 66, 60)), (1, (34, 52, 48))])
    m = round(0.018 * min(c.width, c.height))
    ImageDraw.Draw(image).rectangle((0, 0, c.width - 1, c.height - 1), outline=(136, 98, 66), width=max(2, m))
    return image.filter(ImageFilter.BoxBlur(1))


_PAINTERS = {
    "land": _land, "forest": _forest, "sea": _sea, "beach": _beach, "city": _city, "desert": _desert, "snow": _snow,
    "interior": _interior, "tabletop": _tabletop, "space": _space, "underwater": _underwater, "sky": _sky_only,
    "paper": _paper, "plain": _plain, "blueprint": _blueprint, "chalk": _chalk,
}  # fmt: skip
