"""Lettering: which bundled font has the characters, how a text breaks into lines, and how large it can be.

Fonts: Source Serif Pro and Source Sans Pro (SIL Open Font License), DejaVu Sans Bold for other scripts (Bitstream
Vera licence); their licences lie beside them.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from genevolve.interpreter.renderers.storyboard.pen import Colour
from genevolve.interpreter.renderers.storyboard.scene import Box

FONTS = Path(__file__).parent / "fonts"
LEADING = 1.16
_UNIT = 64  # widths are measured at this size and scaled
_FILES = {
    (True, True, False): "SourceSerifPro-Bold.ttf",
    (True, False, False): "SourceSerifPro-Regular.ttf",
    (False, True, False): "SourceSansPro-Bold.ttf",
    (False, False, False): "SourceSansPro-Regular.ttf",
}
_ITALIC = "SourceSerifPro-BoldIt.ttf"
_FALLBACK = "DejaVuSans-Bold.ttf"


@dataclass(frozen=True)
class Face:
    """One font file."""

    path: str

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """The font at a size in pixels."""
        return _font(self.path, max(4, min(size, 2000)))

    @property
    def coverage(self) -> frozenset[int]:
        """The code points it has glyphs for."""
        return _coverage(self.path)

    def width(self, text: str) -> float:
        """Width of a line at size 1."""
        return _width(self.path, text)


@dataclass(frozen=True)
class Fitted:
    """A text broken into lines at a size; `width` and `height` are of the whole block in pixels."""

    lines: tuple[str, ...]
    face: Face
    size: int
    width: float
    height: float


@lru_cache(maxsize=96)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@lru_cache(maxsize=4096)
def _width(path: str, text: str) -> float:
    return float(_font(path, _UNIT).getlength(text)) / _UNIT


@lru_cache(maxsize=16)
def _coverage(path: str) -> frozenset[int]:
    """The font's `cmap` table (formats 4 and 12), as the OpenType specification lays it out."""
    data = Path(path).read_bytes()
    tables = struct.unpack(">H", data[4:6])[0]
    for i in range(tables):
        tag, _, offset, _ = struct.unpack(">4sLLL", data[12 + 16 * i : 28 + 16 * i])
        if tag == b"cmap":
            break
    else:
        return frozenset()
    found: set[int] = set()
    for i in range(struct.unpack(">H", data[offset + 2 : offset + 4])[0]):
        start = offset + struct.unpack(">L", data[offset + 8 + 8 * i : offset + 12 + 8 * i])[0]
        kind = struct.unpack(">H", data[start : start + 2])[0]
        if kind == 12:
            groups = struct.unpack(">L", data[start + 12 : start + 16])[0]
            for g in range(groups):
                first, last, _ = struct.unpack(">LLL", data[start + 16 + 12 * g : start + 28 + 12 * g])
                found.update(range(first, last + 1))
        elif kind == 4:
            found |= _segments(data, start)
    return frozenset(found)


def _segments(data: bytes, start: int) -> set[int]:
    """Code points of a format 4 subtable: those whose glyph is not 0."""
    count = struct.unpack(">H", data[start + 6 : start + 8])[0] // 2
    at = start + 14
    ends = struct.unpack(f">{count}H", data[at : at + 2 * count])
    at += 2 * count + 2
    starts = struct.unpack(f">{count}H", data[at : at + 2 * count])
    at += 2 * count
    deltas = struct.unpack(f">{count}H", data[at : at + 2 * count])
    at += 2 * count
    offsets = struct.unpack(f">{count}H", data[at : at + 2 * count])
    found = set()
    for k in range(count):
        for code in range(starts[k], min(ends[k], 0xFFFE) + 1):
            if offsets[k]:
                place = at + 2 * k + offsets[k] + 2 * (code - starts[k])
                glyph = struct.unpack(">H", data[place : place + 2])[0] if place + 2 <= len(data) else 0
            else:
                glyph = (code + deltas[k]) & 0xFFFF
            if glyph:
                found.add(code)
    return found


class Typesetter:
    """Chooses faces and fits texts; `extra` are font files of the user's own for scripts the bundled ones lack."""

    def __init__(self, extra: Sequence[Path] = ()) -> None:
        self.fallbacks = [Face(str(FONTS / _FALLBACK)), *(Face(str(p)) for p in extra)]
        for face in self.fallbacks:
            face.font(16)  # raises OSError now rather than in the middle of a picture

    def choose(self, text: str, serif: bool, bold: bool, italic: bool = False) -> tuple[Face, str, str]:
        """The face for a text, the text that it can set, and the characters that no font has."""
        clean = "".join(c for c in unicodedata.normalize("NFC", text) if not _invisible(c))
        name = _ITALIC if italic and serif else _FILES[(serif, bold, False)]
        styled = Face(str(FONTS / name))
        needed = {ord(c) for c in clean if not c.isspace()}
        for face in (styled, *self.fallbacks):
            if needed <= face.coverage:
                return face, clean, ""
        best = max(self.fallbacks, key=lambda f: len(needed & f.coverage))
        missing = "".join(dict.fromkeys(c for c in clean if not c.isspace() and ord(c) not in best.coverage))
        kept = "".join(c for c in clean if c.isspace() or ord(c) in best.coverage)
        return best, " ".join(kept.split()), missing

    def digest(self) -> str:
        """Short hash of the fonts in use, for the renderer's version."""
        total = hashlib.sha256()
        for path in [*sorted(FONTS.glob("*.ttf")), *(Path(f.path) for f in self.fallbacks[1:])]:
            total.update(path.read_bytes())
        return total.hexdigest()[:8]


def _invisible(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind in ("Cc", "Cf", "Cs", "Cn", "Co") or char == "\ufe0f"


def fit(text: str, face: Face, width: float, height: float, cap: float, floor: float) -> Fitted | None:
    """The largest setting of a text inside `width` x `height` pixels, between `floor` and `cap` pixels.

    Fewer lines are preferred to slightly larger letters. None when even the smallest size does not fit.
    """
    if width < 4 or height < 4 or not text.strip():
        return None
    words = _breakable(text.split(), face, width / max(1.0, floor))
    best: tuple[float, tuple[str, ...]] | None = None
    for n in range(1, min(len(words), 40) + 1):
        lines = _balanced(words, face, n)
        widest = max(face.width(line) for line in lines) or 0.01
        size = min(cap, width / widest * 0.985, height / (len(lines) * LEADING))
        if best is None or size > best[0] * (1.45 if len(best[1]) == 1 else 1.15):
            best = (size, lines)
        if height / (n * LEADING) < best[0]:
            break
    if best is None or best[0] < floor:
        return None
    size = int(best[0])
    return Fitted(
        best[1], face, size, max(face.width(line) for line in best[1]) * size, len(best[1]) * LEADING * size
    )


def _breakable(words: list[str], face: Face, limit: float) -> list[str]:
    """Words wider than a whole line at the smallest size are cut into pieces."""
    out: list[str] = []
    for word in words[:200]:
        while len(word) > 1 and face.width(word) > limit:
            cut = max(1, int(len(word) * limit / face.width(word)))
            out.append(word[:cut])
            word = word[cut:]
        out.append(word)
    return out


def _balanced(words: list[str], face: Face, n: int) -> tuple[str, ...]:
    """The words on at most `n` lines, with the widest line as narrow as can be."""
    if n == 1 or len(words) == 1:
        return (" ".join(words),)
    widths = [face.width(w) for w in words]
    space = face.width("x x") - 2 * face.width("x")
    low, high = max(widths), sum(widths) + space * len(words)
    for _ in range(18):
        middle = (low + high) / 2
        if len(_wrap(widths, space, middle)) <= n:
            high = middle
        else:
            low = middle
    out, at = [], 0
    for count in _wrap(widths, space, high):
        out.append(" ".join(words[at : at + count]))
        at += count
    return tuple(out)


def _wrap(widths: list[float], space: float, limit: float) -> list[int]:
    """How many words each line takes, greedily."""
    lines, used = [0], 0.0
    for w in widths:
        if lines[-1] and used + space + w > limit + 1e-9:
            lines.append(0)
            used = 0.0
        used += w + (space if lines[-1] else 0.0)
        lines[-1] += 1
    return lines


def draw_text(image: Image.Image, fitted: Fitted, box: Box, colour: Colour, align: str = "center") -> None:
    """Set the lines inside the box: aligned across, centred down."""
    draw = ImageDraw.Draw(image)
    font = fitted.face.font(fitted.size)
    ascent, descent = font.getmetrics()
    step = LEADING * fitted.size
    top = box.cy - step * len(fitted.lines) / 2
    for k, line in enumerate(fitted.lines):
        y = top + step * (k + 0.5) + (ascent - descent) / 2 - descent * 0.08
        x = {"left": box.x0, "center": box.cx, "right": box.x1}[align]
        anchor = {"left": "ls", "center": "ms", "right": "rs"}[align]
        draw.text((x, y), line, font=font, fill=colour, anchor=anchor)
