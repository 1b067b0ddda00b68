"""Texts of strangers made harmless: no control characters, no hidden ones, no addresses, bounded."""

from __future__ import annotations

import re
import unicodedata

MAX_TITLE = 200
MAX_TEXT = 4000
MAX_SOURCE = 2048

_ADDRESS = re.compile(r"(?:https?|ftp|file|data|javascript)://?\S+|\bwww\.\S+", re.IGNORECASE)
# They join letters of Persian and of Indian scripts, and emoji; the other format characters only hide things.
_JOINERS = "\u200c\u200d"


def clean_text(text: object, longest: int = MAX_TEXT) -> str:
    """One line of visible text, addresses left out, at most `longest` characters; empty when it is no text."""
    if not isinstance(text, str):
        return ""
    # Cut before the work: a text may have millions of characters. What is left out leaves room.
    visible = "".join(_visible(c) for c in text[: 4 * longest])
    flat = " ".join(_ADDRESS.sub(" ", visible).split())
    return flat if len(flat) <= longest else flat[: longest - 1].rstrip() + "…"


def scrub(text: str) -> str:
    """The text without control characters (but line breaks and tabs) and hidden ones; nothing else is changed."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c for c in text if c in "\n\t" or not unicodedata.category(c).startswith("C") or c in _JOINERS
    )


def clean_source(address: object) -> str:
    """An http(s) address for `source`; empty when it is none, or one with a password."""
    if not isinstance(address, str) or not 0 < len(address) <= MAX_SOURCE:
        return ""
    if not address.isprintable() or " " in address or "\\" in address:
        return ""
    match = re.match(r"https?://([^/?#]+)", address, re.IGNORECASE)
    return address if match and "@" not in match[1] else ""


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] == "Z" or kind == "Cc":
        return " "
    return "" if kind in ("Cf", "Cs", "Co", "Cn") and character not in _JOINERS else character
