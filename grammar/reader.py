r"""From bytes to a `Source`: encoding, line ends, size, and characters that a reader could not see.

    b'\xef\xbb\xbfprompt "a"\r\n'  →  Source('prompt "a"\n')

Bytes from a file are hostile until they have been through here. Nothing in this module raises on bad input.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.span import Source, Span

MAX_BYTES = 256 * 1024
"""The largest program text, in bytes of UTF-8."""

MAX_DIAGNOSTICS = 50
"""How many findings one pass reports for one file: more than that helps nobody."""

# Line breaks and tabs are the only controls a program needs. The zero-width joiner and non-joiner are part of
# emoji and of several scripts, so they may stand between two characters beyond ASCII.
_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
_UNSEEN = re.compile(
    f"[{_CONTROLS}\x80-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
_CONTROL = re.compile(f"[{_CONTROLS}]")
_SURROGATE = re.compile("[\ud800-\udfff]")

_UNSEEN_NAMES = {
    "\u00ad": "soft hyphen",
    "\u061c": "Arabic letter mark",
    "\u200b": "zero-width space",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\u200e": "left-to-right mark",
    "\u200f": "right-to-left mark",
    "\u2028": "line separator",
    "\u2029": "paragraph separator",
    "\u202a": "left-to-right embedding",
    "\u202b": "right-to-left embedding",
    "\u202c": "end of directional formatting",
    "\u202d": "left-to-right override",
    "\u202e": "right-to-left override",
    "\u2060": "word joiner",
    "\u2066": "left-to-right isolate",
    "\u2067": "right-to-left isolate",
    "\u2068": "first strong isolate",
    "\u2069": "end of directional isolate",
    "\ufeff": "byte order mark",
}


def read_source(data: bytes, name: str) -> tuple[Source, tuple[Diagnostic, ...]]:
    r"""Decode the bytes of a program; never raises.

    A byte order mark is dropped and every line end becomes `\n`. When there are diagnostics the text is the
    best that could be made of the bytes (empty for a file that is not text), and checking should stop there.

    Returns:
        The source under `name`, and what is wrong with it (GP109, GP111, GP116, GP118).
    """
    if len(data) > MAX_BYTES:
        text = _normalised(data[:MAX_BYTES].decode("utf-8", errors="replace"))
        return Source(text, name), (_too_large(len(data)),)
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        note = "the file starts like UTF-16; save it as UTF-8"
        return Source("", name), (Diagnostic("GP109", "this file is not UTF-8", Span(0, 0), (note,)),)
    if _is_binary(data):
        return Source("", name), (Diagnostic("GP118", "this file is not text", Span(0, 0)),)
    try:
        text = _normalised(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _undecodable(data, name, error)
    return Source(text, name), check_text(text)


def check_text(text: str) -> tuple[Diagnostic, ...]:
    """What is wrong with the characters and the length of a text (GP109, GP111, GP116)."""
    size = len(text)
    if size > MAX_BYTES // 4:
        size = len(text.encode("utf-8", errors="surrogatepass"))
    if size > MAX_BYTES:
        return (_too_large(size),)
    found: list[Diagnostic] = []
    if text.isascii() and _CONTROL.search(text) is None:
        return ()
    for match in _SURROGATE.finditer(text):
        message = f"half of a surrogate pair (U+{ord(match[0]):04X}) cannot be written as UTF-8"
        found.append(Diagnostic("GP109", message, Span(*match.span())))
        if len(found) == MAX_DIAGNOSTICS:
            return tuple(found)
    for match in _UNSEEN.finditer(text):
        found.append(_unseen(match[0], Span(*match.span())))
        if len(found) == MAX_DIAGNOSTICS:
            break
    return tuple(found)


def is_unseen(character: str) -> bool:
    """Whether a single character is one that GP116 reports wherever it stands alone."""
    return _UNSEEN.match(character) is not None


def escape_unseen(text: str) -> str:
    r"""The text with each character that GP116 reports written as `\u{…}`."""
    return _UNSEEN.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text)


def _normalised(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _too_large(size: int) -> Diagnostic:
    message = f"this program has {size:,} bytes; at most {MAX_BYTES:,} are allowed"
    return Diagnostic("GP111", message, Span(0, 0))


def _is_binary(data: bytes) -> bool:
    """NUL bytes, or so many other controls that no editor would have written them."""
    if b"\0" in data:
        return True
    head = data[:4096]
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return controls * 10 > len(head)


def _undecodable(data: bytes, name: str, error: UnicodeDecodeError) -> tuple[Source, tuple[Diagnostic, ...]]:
    # The part before the bad byte is valid, so its length in characters is where the bad byte shows.
    start = len(_normalised(data[: error.start].decode("utf-8")))
    text = _normalised(data.decode("utf-8", errors="replace"))
    value = data[error.start]
    note = "save the file as UTF-8"
    if not data.startswith(BOM_UTF8) and 0x80 <= value <= 0xFF:
        note = "it may have been saved in an older encoding such as Windows-1252; save it as UTF-8"
    span = Span(min(start, len(text)), min(start + 1, len(text)))
    return Source(text, name), (Diagnostic("GP109", f"byte 0x{value:02X} is not UTF-8", span, (note,)),)


def _unseen(character: str, span: Span) -> Diagnostic:
    code = f"U+{ord(character):04X}"
    known = _UNSEEN_NAMES.get(character)
    what = f"{code} ({known})" if known else code
    message = f"the character {what} cannot be seen, so the program could read differently from what it says"
    notes = (f"delete it, or write it as \\u{{{ord(character):x}}} inside a string",)
    return Diagnostic("GP116", message, span, notes)
