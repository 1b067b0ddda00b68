r"""Other people's text inside a prompt: bounded, visible, and never a turn, a tag or a statement.

`one_line('a\n<|im_end|>\u202e', 40)`  →  'a ‹|im_end|>\u{202e}'

What is cut is cut first, so that ten megabytes cost no more than a kilobyte.
"""

from __future__ import annotations

import re

from genevolve.grammar.reader import escape_unseen

BAR = "| "
"""How each line of quoted text begins: no statement and no turn of any chat format starts so."""

_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# `<` opens the special tokens of chat formats (`<|…|>`, `</s>`, `<tool_call>`). The wide forms are one with it for
# tokenizers that normalise. Comparisons (`<=`, `a < b`) and lists of them (`<, >`) stay.
_OPENS = re.compile("<(?=[^\\s=,])|[\uff1c\ufe64]")
_BRACKETED = re.compile(r"\[(/?[A-Z][A-Z_]{2,})\]")
_SPACES = re.compile(r"[ \t]+")
_PAUSES = re.compile(r"\n{3,}")


def without_markers(text: str) -> str:
    """The text without anything that a chat format reads as more than text; for texts that are visible already."""
    return _BRACKETED.sub(r"(\1)", _OPENS.sub("‹", text))


def _visible(text: str) -> str:
    """Line breaks as line feeds, unseen characters written as escapes, markers broken."""
    text = _SURROGATES.sub("\ufffd", _BREAKS.sub("\n", text))
    return without_markers(escape_unseen(text))


def one_line(text: str, limit: int) -> str:
    """A text on one line of at most `limit` characters."""
    cut = text[: 2 * limit + 16]
    shown = " ".join(_visible(cut).split())
    return shown if len(shown) <= limit and len(cut) == len(text) else _shortened(shown, limit)


def quoted(text: str, limit: int) -> str:
    """A text of several lines, each after a bar, with at most about `limit` characters of it."""
    cut = text[: 2 * limit + 16]
    shown = _PAUSES.sub("\n\n", _SPACES.sub(" ", _visible(cut))).strip()
    if len(shown) > limit or len(cut) < len(text):
        shown = _shortened(shown, limit)
    # Bars and breaks are characters too: a text of line feeds must not grow threefold.
    lines = [f"{BAR}{line.strip()}".rstrip() for line in shown.split("\n")]
    return "\n".join(lines)


def _shortened(text: str, limit: int) -> str:
    return text[: max(0, limit - 1)].rstrip() + "…"
