"""Lettering: whether a wanted line stands in a picture letter for letter, and what else is written there.

A wanted line is looked for by its own shape: set in the studio's type at every place and on every surface that the
studio has, and compared with the picture pixel by pixel. That is exact and fast. What is not found in this way is read
by OCR, from the strips where lettering stands, or in pictures of another kind from the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from genevolve.interpreter.judges.inspector import ocr
from genevolve.interpreter.judges.inspector.canvas import Canvas
from genevolve.interpreter.judges.inspector.seen import UNREAD, SeenText

Floats = NDArray[np.float32]
Bits = NDArray[np.bool_]

_STRIPS = ((0.02, 0.142), (0.435, 0.557), (0.868, 0.985))
_COLUMNS = (
    *((0.1, 0.9), (0.02, 0.49), (0.51, 0.98), (0.02, 0.33)),
    *((0.34, 0.66), (0.67, 0.98), (0.02, 0.66), (0.34, 0.98), (0.02, 0.98)),
)
_INSETS = (0.42, 0.2, 0.46, 0.05)
"""Room that the four surfaces leave at each end, as shares of their height."""
_FONT = "SourceSansPro-Bold.ttf"
_MEAN, _WINDOW = 0.075, 0.2
"""Mean difference of a line and of its worst letter, in shares of full ink, up to which it is the wanted one."""


@dataclass(frozen=True)
class _Rect:
    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def middle(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


def read_lettering(canvas: Canvas, wanted: Sequence[str], *, with_ocr: bool) -> tuple[list[SeenText], Bits]:
    """The lines in a picture, and the pixels, (h, w), that belong to lettering.

    Args:
        canvas: The picture.
        wanted: Lines to look for by their shape.
        with_ocr: Whether to read other lines; without, they count as `UNREAD`.
    """
    width, height = canvas.size
    taken = np.zeros((height, width), bool)
    found: list[SeenText] = []
    rects = [r for r in _rects(width, height) if canvas.stands_out[r.slices].mean() > 0.04]
    for text in dict.fromkeys(wanted):
        for rect in rects:
            if taken[rect.slices].any() or not _shows(canvas, rect, text):
                continue
            taken[rect.slices] = True
            found.append(SeenText(text, (rect.middle[0] / width, rect.middle[1] / height)))
    for rect in _others(canvas, taken, rects):
        taken[rect.slices] = True
        text = _read(canvas, rect) if with_ocr else UNREAD
        if text:
            found.append(SeenText(text, (rect.middle[0] / width, rect.middle[1] / height)))
    if not canvas.known and with_ocr and not found and wanted:
        pixels = np.clip(canvas.pixels, 0, 255).astype(np.uint8)
        found = [SeenText(text, (x, y)) for text, x, y in ocr.read_lines(pixels)]
    return found, taken


@lru_cache(maxsize=8)
def _rects(width: int, height: int) -> tuple[_Rect, ...]:
    return tuple(
        _Rect(round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
        for y0, y1 in _STRIPS
        for x0, x1 in _COLUMNS
    )


def read_loose(
    canvas: Canvas, left_over: Bits, *, with_ocr: bool
) -> list[tuple[SeenText, tuple[slice, slice]]]:
    """Lines among what no silhouette explains: marks in a row in the middle strip, with where they stand."""
    if not canvas.known or not left_over.any():
        return []
    width, height = canvas.size
    y0, y1 = round(_STRIPS[1][0] * height), round(_STRIPS[1][1] * height)
    found = []
    for rect in _runs(left_over, y0, y1):
        if rect.x1 - rect.x0 < 1.2 * (rect.y1 - rect.y0):
            continue
        text = _read(canvas, rect) if with_ocr else UNREAD
        if text:
            place = (rect.middle[0] / width, rect.middle[1] / height)
            found.append((SeenText(text, place), rect.slices))
    return found


# ---- by shape ----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _font_data() -> bytes:
    from importlib import resources

    folder = resources.files("genevolve.interpreter.renderers.storyboard") / "fonts"
    return (folder / _FONT).read_bytes()


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    import io

    return ImageFont.truetype(io.BytesIO(_font_data()), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=2048)
def _set(text: str, room: int, height: int) -> Floats:
    """A line set as large as fits, cut to its ink, (h, w) in 0..1."""
    size = max(6, min(height, 200))
    while True:
        left, top, right, bottom = _font(size).getbbox(text)
        if size <= 6 or right - left <= room:
            break
        size = max(6, min(size - 1, int(size * room / (right - left))))
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))), 0)
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=_font(size))
    return np.asarray(np.asarray(mask, dtype=np.float32) / 255, np.float32)


def _shows(canvas: Canvas, rect: _Rect, text: str) -> bool:
    """Whether the line stands in a rectangle, on any surface."""
    height, width = rect.y1 - rect.y0, rect.x1 - rect.x0
    tried: set[tuple[int, int]] = set()
    for inset in _INSETS:
        shape = _set(text, max(8, width - round(2 * inset * height)), max(6, round(height * 0.74)))
        if shape.shape in tried:
            continue
        tried.add((shape.shape[0], shape.shape[1]))
        x = rect.x0 + (width - shape.shape[1]) // 2
        y = rect.y0 + (height - shape.shape[0]) // 2
        if x < 0 or y < 0:
            continue
        part = canvas.pixels[y : y + shape.shape[0], x : x + shape.shape[1]]
        if part.shape[:2] == shape.shape and _same(part, shape):
            return True
    return False


def _same(part: Floats, shape: Floats) -> bool:
    """Whether pixels are one ink in this shape on one ground."""
    inked, bare = shape > 0.85, shape < 0.05
    if inked.sum() < 8 or bare.sum() < 8:
        return False
    ink, ground = part[inked].mean(axis=0), part[bare].mean(axis=0)
    span = ink - ground
    length = float((span * span).sum())
    if length < 20**2:
        return False
    cover = ((part - ground) @ span) / length
    miss = np.abs(np.clip(cover, -0.5, 1.5) - shape)
    if float(miss.mean()) > _MEAN:
        return False
    columns = miss.mean(axis=0)
    window = max(2, round(shape.shape[0] * 0.4))
    worst = float(np.convolve(columns, np.full(window, 1 / window), "same").max())
    return worst <= _WINDOW


# ---- by reading --------------------------------------------------------------------------------------


def _others(canvas: Canvas, taken: Bits, rects: Sequence[_Rect]) -> list[_Rect]:
    """Rectangles of other lettering: filled surfaces, and rows of small marks in the free strips."""
    width, height = canvas.size
    out = canvas.stands_out & ~taken
    found: list[_Rect] = []
    if not canvas.known:
        return found
    for rect in sorted(rects, key=lambda r: r.x0 - r.x1):
        if taken[rect.slices].any() or any(_meet(rect, other) for other in found):
            continue
        if _is_surface(out, rect, width, height):
            found.append(rect)
    for strip in (_STRIPS[0], _STRIPS[2]):
        y0, y1 = round(strip[0] * height), round(strip[1] * height)
        found += [r for r in _runs(out, y0, y1) if not any(_meet(r, other) for other in found)]
    return found


def _is_surface(out: Bits, rect: _Rect, width: int, height: int) -> bool:
    """Whether something fills a rectangle to its edges and no further."""
    inside = out[rect.slices]
    if inside.mean() < 0.78:
        return False
    # The upper and lower edges are covered over almost all their length by every surface.
    if inside[1].mean() < 0.72 or inside[-2].mean() < 0.72:
        return False
    above = out[max(0, rect.y0 - 3), rect.x0 : rect.x1]
    below = out[min(height - 1, rect.y1 + 2), rect.x0 : rect.x1]
    left = out[rect.y0 : rect.y1, max(0, rect.x0 - 3)]
    right = out[rect.y0 : rect.y1, min(width - 1, rect.x1 + 2)]
    return bool(above.mean() < 0.5 and below.mean() < 0.5 and left.mean() < 0.5 and right.mean() < 0.5)


def _runs(out: Bits, y0: int, y1: int) -> list[_Rect]:
    """Groups of marks that lie wholly within a strip, cut where there is room between them."""
    from scipy import ndimage

    labels, _ = ndimage.label(out, structure=np.ones((3, 3)))
    boxes = []
    for index, where in enumerate(ndimage.find_objects(labels), 1):
        if where[0].start < y0 - 3 or where[0].stop > y1 + 3:
            continue
        if np.count_nonzero(labels[where] == index) >= 4:
            boxes.append((where[1].start, where[0].start, where[1].stop, where[0].stop))
    boxes.sort()
    groups: list[list[tuple[int, int, int, int]]] = []
    for box in boxes:
        if groups and box[0] - max(b[2] for b in groups[-1]) < (y1 - y0) * 0.8:
            groups[-1].append(box)
        else:
            groups.append([box])
    return [
        _Rect(min(b[0] for b in g), min(b[1] for b in g), max(b[2] for b in g), max(b[3] for b in g))
        for g in groups
        if max(b[3] for b in g) - min(b[1] for b in g) >= 6
    ]


def _meet(a: _Rect, b: _Rect) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def _read(canvas: Canvas, rect: _Rect) -> str:
    height, width = canvas.stands_out.shape
    pad = 4
    part = canvas.pixels[
        max(0, rect.y0 - pad) : min(height, rect.y1 + pad), max(0, rect.x0 - pad) : min(width, rect.x1 + pad)
    ]
    return ocr.read_line(np.ascontiguousarray(np.clip(part, 0, 255).astype(np.uint8)))
