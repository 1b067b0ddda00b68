r"""How text that a person laid out becomes text that a generator reads.

Triple-quoted strings are written with hard line breaks for the author's eyes. One rule turns them into text,
wherever the string stands (a prompt, a query, a request):

- A line break inside a paragraph becomes one space; between two Chinese or Japanese characters it vanishes,
  and after a hyphen inside a word ("well-" / "known") as well. A quoted title that was wrapped is joined
  like any other words.
- A blank line separates paragraphs and stays; several blank lines count as one.
- List items ("- …", "* …", "• …", "1. …") and lines indented by four or more columns keep their own line
  and their indentation. The lines that follow an item belong to it.
- Spaces inside a line stay as written, so spacing inside quotes survives.

Strings in single quotation marks are one line long; a `\n` written in one is deliberate and stays.
"""

from __future__ import annotations

import re
import unicodedata

MARK = "\ufdd0"
"""Stands for an interpolation while text is laid out: a code point that no text may contain."""

_BULLETS = frozenset("-*•‣–")
_BULLET = re.compile(r"[ \t]*[-*•‣–][ \t]+\S")
_NUMBER = re.compile(r"\d{1,3}[.)]")
_NUMBERED = re.compile(r"[ \t]*\d{1,3}[.)][ \t]+\S")
_HYPHENATED = re.compile(r"[^\W\d_]-\Z")


def join_lines(text: str) -> str:
    """The text with the author's line breaks resolved, by the rule on top of this page. Idempotent."""
    out: list[str] = []
    state = "blank"  # what the last line of `out` is: blank, text, item or verbatim
    for line in text.split("\n"):
        content = line.strip()
        if line[: len(line) - len(line.lstrip())].strip(" \t"):
            # Blanks of other kinds in front count as blanks.
            line = " " * _indentation(line) + content
        if not content:
            if state != "blank":
                out.append("")
            state = "blank"
        elif _starts_item(line, out, state) or _is_mark_alone(line, state):
            out.append(line.rstrip())
            state = "item"
        elif state != "item" and _indentation(line) >= 4:
            out.append(line.rstrip())
            state = "verbatim"
        elif state in ("text", "item"):
            out[-1] = _glue(out[-1], content)
        else:
            out.append(content)
            state = "text"
    while out and not out[-1]:
        out.pop()
    return "\n".join(out)


def _starts_item(line: str, out: list[str], state: str) -> bool:
    if _BULLET.match(line):
        return True
    # A sentence may end with a number that the wrapping put first on its line; a list starts after a break.
    return bool(_NUMBERED.match(line)) and (state in ("blank", "item") or out[-1].endswith(":"))


def _is_mark_alone(line: str, state: str) -> bool:
    """Whether an item begins with nothing behind its mark: the next line belongs to it."""
    mark = line.strip()
    if _indentation(line) >= 4:
        return False
    return (mark in _BULLETS and state in ("blank", "verbatim")) or (
        state == "blank" and _NUMBER.fullmatch(mark) is not None
    )


def _indentation(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def _glue(before: str, after: str) -> str:
    if _HYPHENATED.search(before) and after[0].islower():
        return before + after
    return before + ("" if _is_han(before[-1]) and _is_han(after[0]) else " ") + after


def _is_han(character: str) -> bool:
    """Whether the character belongs to a script that is written without spaces (Korean is not)."""
    wide = unicodedata.east_asian_width(character) in ("W", "F")
    return wide and unicodedata.category(character) != "So" and not "\uac00" <= character <= "\ud7a3"


def sound(text: str) -> str:
    """The text without what no UTF-8 file or prompt can carry (lone surrogates, `MARK`): U+FFFD instead."""
    return re.sub(f"[\ud800-\udfff{MARK}]", "\ufffd", text)


def clean_value(text: str) -> str:
    """A value from outside as it may stand inside a string: one line, printable.

    Control characters and line breaks become spaces, invisible formatting characters vanish (except the
    joiners that emoji and some scripts are spelled with), outer white space is dropped.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    kept: list[str] = []
    for character in sound(text):
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp"):
            if kept and kept[-1] != " ":
                kept.append(" ")
        elif category != "Cf" or character in "\u200c\u200d":
            kept.append(character)
    return "".join(kept).strip()
