"""The characters that constrained decoding lets into strings and comments.

Left out are those that a reader cannot see or that turn a text around (GP116), and those behind which letters,
digits or blanks can hide: full-width letters, ligatures, circled numbers, combining marks. So what is written is
what `grammar.ordinals` reads. Tabs are left out as well; line breaks stand where a token says so.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_BLOCKS = (
    (0x20, 0x7E),
    (0xA1, 0x24F),  # Latin
    (0x370, 0x52F),  # Greek, Cyrillic
    (0x5D0, 0x5EA),  # Hebrew
    (0x621, 0x64A),  # Arabic
    (0x1E00, 0x1EFF),  # Latin with more accents
    (0x2010, 0x205E),  # punctuation
    (0x20A0, 0x20BF),  # currencies
    (0x2190, 0x22FF),  # arrows, mathematics
    (0x25A0, 0x27BF),  # shapes
    (0x3001, 0x30FF),  # Chinese punctuation, kana
    (0xFF01, 0xFF01),
    (0x1F300, 0x1FAFF),  # pictographs
)
# Scripts without anything to leave out: looking at each of their characters would take longer than all the rest.
_WHOLE_BLOCKS = ((0x4E00, 0x9FFF), (0xAC00, 0xD7A3))

_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lo", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "So"})


def admits(character: str) -> bool:
    """Whether a character says what it shows: no mark, no control, nothing that stands for ASCII letters."""
    if character.isascii():
        return character.isprintable()
    if unicodedata.category(character) not in _CATEGORIES:
        return False
    folded = unicodedata.normalize("NFKC", character)
    return folded == character or not any(c.isascii() or unicodedata.category(c)[0] in "MNZC" for c in folded)


@lru_cache(maxsize=1)
def ranges() -> tuple[tuple[int, int], ...]:
    """The characters, as ranges of code points, in order."""
    found: list[tuple[int, int]] = []
    for low, high in _BLOCKS:
        start = None
        for point in range(low, high + 2):
            good = point <= high and admits(chr(point))
            if good and start is None:
                start = point
            elif not good and start is not None:
                found.append((start, point - 1))
                start = None
    return tuple(sorted((*found, *_WHOLE_BLOCKS)))


@lru_cache(maxsize=32)
def character_class(without: str = "") -> str:
    """The characters as a class of a regular expression of Rust, without some of them."""
    pieces = []
    for low, high in ranges():
        for point in sorted(ord(c) for c in without if low <= ord(c) <= high):
            pieces += [_range(low, point - 1)] if low < point else []
            low = point + 1
        pieces += [_range(low, high)] if low <= high else []
    return f"[{''.join(pieces)}]"


def _range(low: int, high: int) -> str:
    return f"\\x{{{low:X}}}" if low == high else f"\\x{{{low:X}}}-\\x{{{high:X}}}"


def endings(begun: bytes) -> list[str]:
    """Some characters whose UTF-8 begins so: what completes a character that was written by half."""
    length = 2 if begun[0] < 0xE0 else 3 if begun[0] < 0xF0 else 4
    missing = length - len(begun)
    # Shorter forms of UTF-8 write what comes before.
    low = max(_code_point(begun + b"\x80" * missing), (0x80, 0x800, 0x10000)[length - 2])
    high = _code_point(begun + b"\xbf" * missing)
    found: list[str] = []
    for first, last in ranges():
        start, end = max(first, low), min(last, high)
        found += map(chr, range(start, min(end, start + 8) + 1))
    return found


def _code_point(utf8: bytes) -> int:
    """What the bytes stand for, also where no character does: over-long forms, halves of pairs."""
    value = utf8[0] & (0xFF >> (len(utf8) + 1))
    for byte in utf8[1:]:
        value = value << 6 | byte & 0x3F
    return value
