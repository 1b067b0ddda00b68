"""Text as a terminal shows it: how many columns it takes, and nothing in it that could drive the terminal.

Programs, file names and values come from strangers. Everything a report prints goes through here: control
characters are drawn as pictures (␛), invisible and direction-changing ones as `<U+202E>`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

TAB = 4


class Cell(NamedTuple):
    """One character as shown, and the columns that it takes."""

    shown: str
    columns: int


def cells(text: str) -> list[Cell]:
    """One cell for every character of the text; tabs reach to the next multiple of four columns."""
    found: list[Cell] = []
    column = 0
    for character in text:
        if character == "\t":
            width = TAB - column % TAB
            cell = Cell(" " * width, width)
        else:
            cell = _cell(character)
        found.append(cell)
        column += cell.columns
    return found


def _cell(character: str) -> Cell:
    if " " <= character <= "~":
        return Cell(character, 1)
    code = ord(character)
    if code < 0x20:
        return Cell(chr(0x2400 + code), 1)
    if code == 0x7F:
        return Cell("\u2421", 1)
    category = unicodedata.category(character)
    if category in ("Mn", "Me") or 0x1160 <= code <= 0x11FF:
        return Cell(character, 0)
    if character in "\u200c\u200d":
        # Joiners make terminals disagree about widths; without them every emoji takes its own columns.
        return Cell("", 0)
    if category in ("Cc", "Cf", "Cs", "Zl", "Zp") or (category == "Cn" and not character.isprintable()):
        shown = f"<U+{code:04X}>"
        return Cell(shown, len(shown))
    wide = unicodedata.east_asian_width(character) in ("W", "F")
    return Cell(character, 2 if wide else 1)


def width(shown: Sequence[Cell]) -> int:
    """The columns that the cells take together."""
    return sum(cell.columns for cell in shown)


def harmless(text: str) -> str:
    """The text on one line, safe to print: line breaks and tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if c in "\n\r\t" else _cell(c).shown for c in text)
