"""Paints a solved layout: setting, reference pictures, things, lettering, in that order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.arrange import Placed
from genevolve.interpreter.renderers.storyboard.background import is_dark, paint, palette
from genevolve.interpreter.renderers.storyboard.icons import ICONS, sprite
from genevolve.interpreter.renderers.storyboard.layout import Layout, PlacedReference
from genevolve.interpreter.renderers.storyboard.lettering import PlacedText, missing_note
from genevolve.interpreter.renderers.storyboard.pen import INK, WHITE, Colour, contrast, luminance, mix
from genevolve.interpreter.renderers.storyboard.photos import cover
from genevolve.interpreter.renderers.storyboard.scene import Box, Lettering, Scene
from genevolve.interpreter.renderers.storyboard.typeset import Typesetter, draw_text, fit

Check = Callable[[], None]
_CLOTHES: tuple[Colour, ...] = (
    (217, 93, 57),
    (58, 122, 140),
    (236, 178, 66),
    (120, 96, 150),
    (92, 140, 86),
    (196, 84, 108),
)
PAPER: Colour = (252, 248, 238)


class Painter:
    """Draws one layout. `check` is called between steps and may raise to stop."""

    def __init__(
        self,
        scene: Scene,
        layout: Layout,
        photos: Mapping[int, Image.Image],
        typesetter: Typesetter,
        seed: int,
        check: Check,
    ) -> None:
        self.scene, self.layout, self.photos = scene, layout, photos
        self.typesetter, self.seed, self.check = typesetter, seed, check
        self.palette = palette(scene)
        self.notes: list[str] = []
        self.short = min(layout.width, layout.height)

    def paint(self) -> Image.Image:
        """The finished picture, RGB."""
        self.image = self._ground()
        self.check()
        for reference in self.layout.references:
            if reference.style != "full":
                self._reference(reference)
                self.check()
        self.dark = is_dark(self.image)
        for item in sorted(self.layout.items, key=lambda i: (i.depth, i.box.y1)):
            self._item(item)
        self.check()
        self._carried()
        for placed in self.layout.texts:
            self._text(placed)
            self.check()
        return self.image

    def _ground(self) -> Image.Image:
        layout = self.layout
        full = layout.full
        if full is None:
            return paint(self.scene, layout.width, layout.height, layout.horizon, self.seed)
        image = cover(self.photos[full.ordinal], layout.width, layout.height)
        return self._graded(image)

    def _graded(self, image: Image.Image) -> Image.Image:
        """A photograph in the light that the prompt asks for."""
        if self.palette.grey:
            return image.convert("L").convert("RGB")
        if self.palette.tint_strength:
            tint = Image.new("RGB", image.size, self.palette.tint)
            return Image.blend(
                image, ImageChops.multiply(image, tint), min(1.0, 2.2 * self.palette.tint_strength)
            )
        return image

    def _reference(self, reference: PlacedReference) -> None:
        """A framed print ("card", "swatch") or a clean panel with round corners."""
        box = reference.box
        framed = reference.style != "panel"
        border = max(2.0, (0.012 if reference.style == "card" else 0.009) * self.short) if framed else 0.0
        x0, y0, x1, y1 = box.ints()
        w, h = max(1, x1 - x0), max(1, y1 - y0)
        radius = 0.008 * self.short if framed else 0.014 * self.short
        self._shadow((x0, y0, x1, y1), radius)
        mask = rounded(w, h, radius)
        print_ = Image.new("RGB", (w, h), (253, 252, 249))
        b = round(border)
        photo = cover(self.photos[reference.ordinal], max(1, w - 2 * b), max(1, h - 2 * b))
        print_.paste(self._graded(photo), (b, b))
        self.image.paste(print_, (x0, y0), mask)

    def _shadow(self, box: tuple[int, int, int, int], radius: float) -> None:
        """A soft shadow below and around a print."""
        spread = max(2, round(0.016 * self.short))
        x0, y0, x1, y1 = box
        w, h = x1 - x0 + 4 * spread, y1 - y0 + 4 * spread
        small = max(1, min(4, spread // 3))
        mask = Image.new("L", (max(1, w // small), max(1, h // small)))
        inner = [
            (2 * spread) / small,
            (2.3 * spread) / small,
            (w - 2 * spread) / small,
            (h - 1.7 * spread) / small,
        ]
        ImageDraw.Draw(mask).rounded_rectangle(inner, radius / small, fill=110)
        mask = mask.filter(ImageFilter.GaussianBlur(0.8 * spread / small)).resize(
            (w, h), Image.Resampling.BILINEAR
        )
        self.image.paste((20, 22, 34), (x0 - 2 * spread, y0 - 2 * spread), mask)

    def _item(self, item: Placed) -> None:
        thing = item.thing
        icon = ICONS[thing.symbol]
        height = max(1, round(item.height or item.box.height))
        figure = textured(sprite(icon.name, height, self._colour(item), item.index % 5), thing.material)
        if item.angle:
            figure = figure.rotate(-item.angle, Image.Resampling.BICUBIC, expand=True)
        if self.palette.grey and not thing.colours and not thing.members:
            figure = Image.merge("RGBA", (*[figure.convert("L")] * 3, figure.getchannel("A")))
        x, y = round(item.box.cx - figure.width / 2), round(item.box.y1 - figure.height)
        if item.root is not None:
            line = [item.root, (item.box.cx, item.box.cy)]
            ImageDraw.Draw(self.image).line(line, fill=(70, 142, 78), width=max(2, round(0.035 * height)))
        standing = item.grounded and icon.habitat != "sky" and icon.name not in ("panel", "cube", "fish")
        if standing and height > 12:
            self._contact(item.box)
        outline = self._outline(figure, item)
        if outline is not None:
            self.image.paste(outline[0], (x - outline[2], y - outline[2]), outline[1])
        self.image.paste(figure, (x, y), figure)
        if thing.icon is None and (thing.count <= 4 or item.index == 0):
            self._label(item)

    def _colour(self, item: Placed) -> Colour:
        thing = item.thing
        icon = ICONS[thing.symbol]
        own = thing.item_colour(item.index)
        if own is not None:
            return own
        if thing.material in lex.MATERIALS:
            value = lex.MATERIALS[thing.material][1]
            return int(value[0:2], 16), int(value[2:4], 16), int(value[4:6], 16)
        if {"blueprint", "chalk"} & set(self.scene.lights):
            return 226, 236, 246
        if icon.name in lex.LIVING and icon.name != "robot":
            return _CLOTHES[(item.index + len(thing.noun)) % len(_CLOTHES)]
        return icon.colour

    def _contact(self, box: Box) -> None:
        """A soft shadow where a thing touches the ground."""
        w, h = max(4, round(box.width * 1.06)), max(3, round(min(box.width, box.height) * 0.11))
        mask = Image.new("L", (96, 24))
        ImageDraw.Draw(mask).ellipse((8, 5, 88, 19), fill=92)
        mask = mask.filter(ImageFilter.GaussianBlur(3)).resize((w, h), Image.Resampling.BILINEAR)
        self.image.paste((24, 26, 38), (round(box.cx - w / 2), round(box.y1 - h * 0.62)), mask)

    def _outline(self, figure: Image.Image, item: Placed) -> tuple[Colour, Image.Image, int] | None:
        """A contour: white like a cut-out over photographs, thin where a thing would melt into its ground."""
        over_photo = self.layout.full is not None or any(
            r.style != "swatch" and r.box.overlaps(item.box) for r in self.layout.references
        )
        if over_photo:
            r = max(1, round(min(0.006 * self.short, 0.05 * item.box.height)))
            colour = (250, 249, 245)
        else:
            around = _mean(self.image, item.box)
            if not any(_melts(c, around) for c in (_opaque_mean(figure), self._colour(item))):
                return None
            r = max(1, round(min(0.003 * self.short, 0.03 * item.box.height)))
            colour = mix(around, INK, 0.45) if luminance(around) > 0.2 else mix(around, WHITE, 0.6)
        pad = 2 * r + 1
        alpha = Image.new("L", (figure.width + 2 * pad, figure.height + 2 * pad))
        alpha.paste(figure.getchannel("A"), (pad, pad))
        grown = alpha.filter(ImageFilter.BoxBlur(r)).point(lambda v: min(255, v * 7))
        return colour, grown, pad

    def _label(self, item: Placed) -> None:
        """The name of a thing without a pictogram, inside its shape."""
        box = item.box.inset(0.12 * item.box.width, 0.3 * item.box.height)
        face, shown, _ = self.typesetter.choose(item.thing.noun, False, True)
        fitted = fit(shown, face, box.width, box.height, 0.3 * item.box.height, 7)
        if fitted is not None:
            colour = self._colour(item)
            draw_text(self.image, fitted, box, WHITE if contrast(WHITE, colour) > 3 else INK)

    def _carried(self) -> None:
        """Texts that are written on a thing: on its board, or on a plate across it."""
        for text in self.scene.texts:
            item = next((i for i in self.layout.items if i.thing is text.carrier), None)
            if text.carrier is None:
                continue
            if item is None:
                box = next((r.box for r in self.layout.references if r.thing is text.carrier), None)
                item = Placed(text.carrier, 0, box, box) if box is not None else None
            if item is None:
                self.notes.append(
                    f"What “{text.value[:60]}” is written on could not be placed, nor the text."
                )
                continue
            self._write_on(text, item)

    def _write_on(self, text: Lettering, item: Placed) -> None:
        icon = ICONS[item.thing.symbol]
        box = item.box
        same = [t for t in self.scene.texts if t.carrier is item.thing]
        k = next(i for i, t in enumerate(same) if t is text)
        if icon.board is not None and item.thing.ref is None:
            x0, y0, x1, y1 = icon.board
            board = Box(
                box.x0 + x0 * box.width,
                box.y0 + y0 * box.height,
                box.x0 + x1 * box.width,
                box.y0 + y1 * box.height,
            )
            plate = icon.name not in ("sign", "board", "banner", "paper")
        else:
            board, plate = Box(box.x0, box.cy, box.x1, box.cy + 0.4 * box.height), True
        step = board.height / len(same)
        board = Box(board.x0, board.y0 + k * step, board.x1, board.y0 + (k + 1) * step)
        least = max(12.0, 0.024 * self.short)
        if plate and (board.width < 6 * least or board.height < 1.6 * least):
            w, h = (
                max(board.width, min(10 * least, 0.62 * least * (len(text.value) + 2))),
                max(board.height, 1.8 * least),
            )
            board = Box(board.cx - w / 2, board.cy - h / 2, board.cx + w / 2, board.cy + h / 2)
        face, shown, missing = self.typesetter.choose(text.shown, bool(text.serif), text.bold, text.italic)
        if missing:
            self.notes.append(missing_note(text.value, missing))
        inner = board.inset(0.06 * board.width, 0.08 * board.height)
        fitted = fit(shown, face, inner.width, inner.height, 0.8 * board.height, 7) if shown.strip() else None
        if fitted is None:
            self.notes.append(f"“{text.value[:60]}” does not fit on the {item.thing.noun}.")
            return
        middle = Box(
            inner.cx - fitted.width / 2,
            inner.cy - fitted.height / 2,
            inner.cx + fitted.width / 2,
            inner.cy + fitted.height / 2,
        )
        placed = PlacedText(text, fitted, middle, "center")
        self.layout.texts_on_things.append(placed)
        self._set(placed, force_plate=plate)

    def _text(self, placed: PlacedText) -> None:
        self._set(placed, force_plate=False)

    def _set(self, placed: PlacedText, force_plate: bool) -> None:
        """Set a text so that it can be read: alone where the ground is calm, else on a scrim or a plate."""
        box, text = placed.box, placed.text
        low, high = _extremes(self.image, box)
        colour = text.colour or (WHITE if (low + high) / 2 < 0.28 else _ink(self.scene))
        if text.colour is None and _worst(colour, low, high) < 4.5:
            other = WHITE if colour != WHITE else INK
            colour = other if _worst(other, low, high) > _worst(colour, low, high) else colour
        needed = 4.5 if text.colour is None else 3.2
        if not force_plate and _worst(colour, low, high) >= needed and (high - low) < 0.3:
            draw_text(self.image, placed.fitted, box, colour, placed.align)
            return
        if self.layout.full is not None and not force_plate and self._scrim(placed, text.colour):
            return
        self._plate(placed, colour if text.colour else None)

    def _scrim(self, placed: PlacedText, wanted: Colour | None) -> bool:
        """A band that fades into the photograph, dark or light as the letters need. False in its middle."""
        layout, box = self.layout, placed.box
        h = layout.height
        top, bottom = box.y1 < 0.5 * h, box.y0 > 0.5 * h
        if not (top or bottom) or box.width < 0.22 * layout.width:
            return False
        reach = 0.16 * h
        y0, y1 = (0, min(h, round(box.y1 + reach))) if top else (max(0, round(box.y0 - reach)), h)
        colours = [wanted] if wanted else [WHITE, INK]
        trials = [(strength, c) for strength in (0.3, 0.45, 0.6, 0.75, 0.88, 0.97) for c in colours]
        for strength, colour in trials:
            shade = mix(_mean(self.image, box), (8, 9, 18), 0.86) if luminance(colour) > 0.3 else PAPER
            band = self._faded(shade, strength, y0, y1, reach, top)
            low, high = _extremes(band, Box(box.x0, box.y0 - y0, box.x1, box.y1 - y0))
            if _worst(colour, low, high) >= 4.5 or (strength, colour) == trials[-1]:
                break
        self.image.paste(band, (0, y0))
        draw_text(self.image, placed.fitted, box, colour, placed.align)
        return True

    def _faded(
        self, shade: Colour, strength: float, y0: int, y1: int, reach: float, top: bool
    ) -> Image.Image:
        """The part of the picture between two heights under a shade that ends softly on the inner side."""
        n = max(1, y1 - y0)
        t = np.clip((np.arange(n)[::-1] if top else np.arange(n)) / max(1.0, reach), 0, 1)
        ramp = strength * 255 * t * t * (3 - 2 * t)
        mask = Image.fromarray(ramp.astype(np.uint8)[:, None]).resize(
            (self.layout.width, n), Image.Resampling.NEAREST
        )
        band = self.image.crop((0, y0, self.layout.width, y0 + n))
        band.paste(shade, (0, 0), mask)
        return band

    def _plate(self, placed: PlacedText, colour: Colour | None) -> None:
        """A plate behind the letters, light or dark as their colour needs."""
        ink = colour or INK
        plate = PAPER if contrast(ink, PAPER) >= contrast(ink, (30, 32, 44)) else (30, 32, 44)
        if contrast(ink, plate) < 3.0:
            ink = mix(ink, INK if plate == PAPER else WHITE, 0.45)
        pad = 0.34 * placed.fitted.size
        box = Box(
            placed.box.x0 - pad, placed.box.y0 - 0.1 * pad, placed.box.x1 + pad, placed.box.y1 + 0.1 * pad
        )
        x0, y0, x1, y1 = box.ints()
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(self.layout.width, x1), min(self.layout.height, y1)
        mask = rounded(max(1, x1 - x0), max(1, y1 - y0), 0.22 * placed.fitted.size)
        self.image.paste(plate, (x0, y0), mask)
        draw_text(self.image, placed.fitted, placed.box, ink, placed.align)


def _ink(scene: Scene) -> Colour:
    return (92, 60, 34) if "sepia" in scene.lights else INK


def rounded(width: int, height: int, radius: float) -> Image.Image:
    """A mask of a rectangle with smooth round corners."""
    mask = Image.new("L", (width * 2, height * 2))
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, width * 2 - 1, height * 2 - 1), max(0.0, radius * 2), fill=255
    )
    return mask.reduce(2)


def _mean(image: Image.Image, box: Box) -> Colour:
    x0, y0, x1, y1 = box.ints()
    part = image.crop(
        (max(0, x0), max(0, y0), min(image.width, max(x1, x0 + 1)), min(image.height, max(y1, y0 + 1)))
    )
    if part.width < 1 or part.height < 1:
        return WHITE
    pixel = part.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return (int(pixel[0]), int(pixel[1]), int(pixel[2])) if isinstance(pixel, tuple) else WHITE


def _melts(colour: Colour, ground: Colour) -> bool:
    """Whether a colour is hard to tell from the ground it stands on."""
    apart = sum((a - b) ** 2 for a, b in zip(colour, ground, strict=True)) ** 0.5
    return contrast(colour, ground) < 1.4 and apart < 80


def _opaque_mean(figure: Image.Image) -> Colour:
    small = np.asarray(figure.resize((24, 24), Image.Resampling.BOX)).astype(float)
    weight = small[..., 3:] / 255
    total = float(weight.sum()) or 1.0
    r, g, b = (small[..., :3] * weight).sum(axis=(0, 1)) / total
    return int(r), int(g), int(b)


def _extremes(image: Image.Image, box: Box) -> tuple[float, float]:
    """The darkest and lightest luminance behind a text, outliers left out."""
    x0, y0, x1, y1 = box.ints()
    part = image.crop(
        (max(0, x0), max(0, y0), min(image.width, max(x1, x0 + 1)), min(image.height, max(y1, y0 + 1)))
    )
    if part.width < 1 or part.height < 1:
        return 1.0, 1.0
    small = (
        np.asarray(part.resize((min(64, part.width), min(32, part.height)), Image.Resampling.BOX)).astype(
            float
        )
        / 255
    )
    linear = np.where(small <= 0.03928, small / 12.92, ((small + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return float(np.percentile(y, 3)), float(np.percentile(y, 97))


def _worst(colour: Colour, low: float, high: float) -> float:
    own = luminance(colour) + 0.05
    return (
        min(max(own / (v + 0.05), (v + 0.05) / own) for v in (low, high))
        if not low < own - 0.05 < high
        else 1.0
    )


def textured(figure: Image.Image, material: str) -> Image.Image:
    """A pictogram with the surface of its material: grain of wood, sheen of metal, clear glass, speckled stone."""
    kind = lex.MATERIALS.get(material, ("plain", ""))[0]
    if kind == "plain" or figure.height < 24:
        return figure
    pixels = np.asarray(figure).astype(np.float32)
    h, w = pixels.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    if kind == "wood":
        gain = 1 + 0.07 * np.sin(y / h * 70 + 2.5 * np.sin(x / w * 5))
    elif kind == "metal":
        t = (x / w + y / h) / 2
        gain = (
            1 + 0.34 * np.exp(-(((t - 0.38) / 0.07) ** 2)) + 0.2 * np.exp(-(((t - 0.68) / 0.05) ** 2)) - 0.08
        )
    elif kind == "stone":
        gain = 1 + 0.1 * (np.sin(x * 12.9898 + y * 78.233) * 43758.55 % 1 - 0.5) * 2
    elif kind == "brick":
        course = max(3.0, h / 14)
        row = np.floor(y / course)
        joint = (y % course < course * 0.16) | (
            (x + (row % 2) * course * 1.1) % (course * 2.2) < course * 0.16
        )
        gain = np.where(joint, 1.28, 1.0).astype(np.float32)
    else:
        pixels[..., 3] *= 0.78
        gain = 1 + 0.22 * np.exp(-(((x / w - 0.25) / 0.06) ** 2))
    pixels[..., :3] = np.clip(pixels[..., :3] * gain[..., None], 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))
