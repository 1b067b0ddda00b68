"""Text to tokens, in one pass that never fails.

The patterns of the tokens come from `gprog.lark`; this module adds patterns for what people write by mistake,
so that a mistake becomes one precise diagnostic and a token that the parser can go on with. Literals are
resolved here: a token of a string, number or size carries its node.

    let n = 12abc  →  LET, NAME, EQUAL, INT (with GP114)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from genevolve.grammar import lalr_table
from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix
from genevolve.grammar.reader import MAX_DIAGNOSTICS, is_unseen
from genevolve.grammar.span import Span
from genevolve.grammar.strings import RESERVED, quote, read_string
from genevolve.grammar.tree import Number, Size, String

MAX_INT = 2**63 - 1
"""The largest whole number a program can hold, as in SQLite, JSON readers and random generators."""


class Lexeme:
    """One token: what the parser needs (`type`), what it says (`text`), where it stands, and a literal's node."""

    __slots__ = ("end", "node", "start", "text", "type")

    def __init__(
        self, type: str, text: str, start: int, end: int, node: Number | Size | String | None = None
    ) -> None:
        self.type = type
        self.text = text
        self.start = start
        self.end = end
        self.node = node

    def __repr__(self) -> str:
        return f"Lexeme({self.type}, {self.text!r}, {self.start})"

    @property
    def span(self) -> Span:
        """Where the token stands."""
        return Span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment: its text without `#` and the blanks around it, and where it stands."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class Lexed:
    """The tokens and comments of one text, and what is wrong with its characters and literals."""

    tokens: list[Lexeme] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


# A number would end before the sign, so this one comes before the real tokens.
_TIMES = ("TIMES", r"[0-9]+\u00d7[0-9]+")

# What no token of the language matches; the order matters, and so does that they come after the real tokens.
_MISTAKES = (
    ("OPEN_TRIPLE", r'"""[\s\S]*'),
    ("OPEN_STRING", r'"[^"\\\n]*(?:\\.[^"\\\n]*)*\\?'),
    ("SINGLE_QUOTED", r"'[^'\\\n]*(?:\\.[^'\\\n]*)*'"),
    ("CURLY_QUOTED", r"[\u201c\u201d\u201e][^\u201c\u201d\u201e\"\n]*[\u201c\u201d]"),
    ("NUMERIC", r"[-+]?\.?[0-9](?:\w|\.(?!\.\.)|\u00d7|(?<=[eE])[-+](?=[0-9]))*"),
    ("WORD", r"\w+"),
    ("JUNK", r"[^ \t\r\n]"),
)
_NUMBER_START = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_WIDTH_HEIGHT = re.compile(r"([0-9]{1,6})[xX\u00d7*]([0-9]{1,6})")
_LOOKS_LIKE_SIZE = re.compile(r"[0-9]+[xX\u00d7][0-9]*")
_END = "END"


class Lexer:
    """The tokens of the grammar, compiled once; `lex` may be called from many threads."""

    def __init__(self) -> None:
        patterns, self._literals = dict(lalr_table.TERMINALS), lalr_table.LITERALS
        self._keywords = {text: name for text, name in self._literals.items() if text in RESERVED}
        signs = sorted((t for t in self._literals if t not in RESERVED), key=len, reverse=True)
        blanks = patterns.pop("WHITESPACE")
        alternatives = [
            _TIMES,
            *patterns.items(),
            ("SIGN", "|".join(map(re.escape, signs))),
            *_MISTAKES,
            # Without it the blanks at the end would be tried once per character.
            (_END, r"\Z"),
        ]
        body = "|".join(f"(?P<{name}>{pattern})" for name, pattern in alternatives)
        self._pattern = re.compile(f"(?:{blanks})?(?:{body})")
        self._readers: dict[str, Callable[[str, int, Lexed], Lexeme | None]] = {
            "STRING": _string,
            "TRIPLE_STRING": _triple,
            "INT": _int,
            "FLOAT": _float,
            "SIZE": _size,
            "OPEN_TRIPLE": _open_triple,
            "OPEN_STRING": _open_string,
            "SINGLE_QUOTED": _single_quoted,
            "CURLY_QUOTED": _curly_quoted,
            "TIMES": _numeric,
            "NUMERIC": _numeric,
            "WORD": _word,
            "JUNK": _junk,
        }

    def lex(self, text: str) -> Lexed:
        """All tokens of a text; what is not a token becomes a diagnostic."""
        lexed = Lexed()
        append = lexed.tokens.append
        keywords, literals, readers = self._keywords, self._literals, self._readers
        for match in self._pattern.finditer(text):
            kind = match.lastgroup
            assert kind is not None
            start, end = match.span(kind)
            piece = text[start:end]
            if kind == "NAME":
                append(Lexeme(keywords.get(piece, "NAME"), piece, start, end))
            elif kind == "SIGN":
                append(Lexeme(literals[piece], piece, start, end))
            elif kind in readers:
                token = readers[kind](piece, start, lexed)
                if token is not None:
                    append(token)
            elif kind == "COMMENT":
                lexed.comments.append(Comment(piece[1:].strip(), start, end))
            elif kind != _END:
                append(Lexeme(kind, piece, start, end))
        return lexed


def _report(lexed: Lexed, diagnostic: Diagnostic) -> None:
    if len(lexed.diagnostics) < MAX_DIAGNOSTICS:
        lexed.diagnostics.append(diagnostic)


# ---- literals ---------------------------------------------------------------------------------------


def _string(text: str, start: int, lexed: Lexed) -> Lexeme:
    node, wrong = read_string(text, start)
    for diagnostic in wrong:
        _report(lexed, diagnostic)
    return Lexeme("STRING", text, start, start + len(text), node)


def _triple(text: str, start: int, lexed: Lexed) -> Lexeme:
    token = _string(text, start, lexed)
    token.type = "TRIPLE_STRING"
    return token


def _int(text: str, start: int, lexed: Lexed) -> Lexeme | None:
    end = start + len(text)
    # The length first: Python refuses to convert thousands of digits.
    value = int(text) if len(text) <= 40 else MAX_INT + 1
    if not -MAX_INT <= value <= MAX_INT:
        message = f"the number {_short(text)} is too large; whole numbers go up to {MAX_INT}"
        _report(lexed, Diagnostic("GP114", message, Span(start, end)))
        value = 1
    return Lexeme("INT", text, start, end, Number(value, text, span=Span(start, end)))


def _float(text: str, start: int, lexed: Lexed) -> Lexeme | None:
    end = start + len(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = f"the number {_short(text)} is too large for a float"
        _report(lexed, Diagnostic("GP114", message, Span(start, end)))
        value = 1.0
    return Lexeme("FLOAT", text, start, end, Number(value, text, span=Span(start, end)))


def _size(text: str, start: int, lexed: Lexed) -> Lexeme | None:
    width, height = text.split("x")
    end = start + len(text)
    return Lexeme("SIZE", text, start, end, Size(int(width), int(height), span=Span(start, end)))


# ---- mistakes ---------------------------------------------------------------------------------------


def _open_triple(text: str, start: int, lexed: Lexed) -> Lexeme:
    message = 'this text opens with """ and is never closed'
    _report(lexed, Diagnostic("GP104", message, Span(start, start + 3)))
    node, _ = read_string(text, start, closed=False)
    return Lexeme("TRIPLE_STRING", text, start, start + len(text), node)


def _open_string(text: str, start: int, lexed: Lexed) -> Lexeme:
    end = start + len(text)
    message = "this string is not closed before the end of its line"
    notes = ('a text of several lines stands between """ and """',)
    # Nobody sees blanks at the end of a line, so the underline stops before them.
    _report(lexed, Diagnostic("GP103", message, Span(start, start + len(text.rstrip())), notes))
    node, _ = read_string(text, start, closed=False)
    return Lexeme("STRING", text, start, end, node)


def _single_quoted(text: str, start: int, lexed: Lexed) -> Lexeme:
    span = Span(start, start + len(text))
    inside = text[1:-1].replace("\\'", "'")
    written = '"' + inside.replace('\\"', '"').replace('"', '\\"') + '"'
    fix = Fix("use double quotes", (Edit(span, written),))
    _report(lexed, Diagnostic("GP121", "strings stand in double quotes, not single ones", span, fix=fix))
    node, _ = read_string(written, start)
    return Lexeme("STRING", text, span.start, span.end, String(node.parts, written, span=span))


def _curly_quoted(text: str, start: int, lexed: Lexed) -> Lexeme:
    span = Span(start, start + len(text))
    fix = Fix("use straight quotes", (Edit(span, quote(text[1:-1])),))
    message = "curly quotes do not open a string; use straight double quotes"
    _report(lexed, Diagnostic("GP102", message, span, fix=fix))
    return Lexeme("STRING", text, span.start, span.end, String((text[1:-1],), quote(text[1:-1]), span=span))


def _numeric(text: str, start: int, lexed: Lexed) -> Lexeme:
    """A word that starts like a number: say what is wrong with it, and guess what was meant.

    The guess keeps the type, so that the checker does not complain of what follows from this mistake.
    """
    span = Span(start, start + len(text))
    if _LOOKS_LIKE_SIZE.match(text):
        return _malformed_size(text, span, lexed)
    message = f"{_short(text)} is not a number"
    notes: tuple[str, ...] = ("numbers are written like 5, -2 or 4.0",)
    replacement = None
    try:
        value = float(text) if len(text) <= 40 else None
    except ValueError:
        value = None
    if "_" in text and text.replace("_", "").isdecimal() and text.isascii():
        replacement = text.replace("_", "")
    elif value is not None and abs(value) < 1e16:
        # Forms of other languages (`.5`, `5.`, `+5`, `1e3`): the number is certain, only its form is not ours.
        whole = "." not in text and "e" not in text.lower()
        replacement = write_number(int(value) if whole else value)
    fix = Fix(f"write {replacement}", (Edit(span, replacement),)) if replacement is not None else None
    _report(lexed, Diagnostic("GP114", message, span, notes, fix))
    guess = _NUMBER_START.match(text)
    shown = guess[0] if guess is not None and len(guess[0]) <= 18 else "1"
    number = float(shown) if "." in shown else int(shown)
    return Lexeme("FLOAT" if "." in shown else "INT", text, *span, Number(number, shown, span=span))


def _malformed_size(text: str, span: Span, lexed: Lexed) -> Lexeme:
    fix = None
    size = Size(1024, 1024, span=span)
    sides = _WIDTH_HEIGHT.fullmatch(text)
    if text[:2].lower() == "0x":
        message = (
            f"{_short(text)} is neither a size nor a number; hexadecimal numbers are not part of the language"
        )
    elif sides is None:
        message = (
            f"{_short(text)} is not a size; sizes are written like 1024x768, with at most six digits a side"
        )
    elif int(sides[1]) == 0 or int(sides[2]) == 0:
        message = f"the size {text} has no pixels"
    else:
        size = Size(int(sides[1]), int(sides[2]), span=span)
        written = f"{size.width}x{size.height}"
        message = f"{text} is not how a size is written"
        fix = Fix(f"write {written}", (Edit(span, written),))
    _report(lexed, Diagnostic("GP115", message, span, fix=fix))
    return Lexeme("SIZE", text, *span, size)


def _word(text: str, start: int, lexed: Lexed) -> Lexeme:
    message = f"{_short(text)!r} cannot be a name: names have the letters a to z and A to Z, digits and _"
    _report(lexed, Diagnostic("GP102", message, Span(start, start + len(text))))
    return Lexeme("NAME", text, start, start + len(text))


_JUNK_NOTES = {
    "'": 'strings stand in double quotes: "…"',
    "{": 'braces stand only inside strings, around a name: "{name}"',
    "}": 'braces stand only inside strings, around a name: "{name}"',
    "/": "comments start with '#'",
    "+": 'there is no arithmetic; texts are put together with "{name}"',
    "!": "the comparisons are ==, !=, <, <=, > and >=",
    ".": "a statement hole is written with three points: '...'",
    "…": "a statement hole is written with three points: '...'",
    "\u201c": 'strings stand in straight double quotes: "…"',
    "\u201d": 'strings stand in straight double quotes: "…"',
}


def _junk(text: str, start: int, lexed: Lexed) -> None:
    """Characters that no token has: dropped, and reported once per run of them."""
    if is_unseen(text):
        return  # GP116 speaks of it, and it does not part tokens.
    end = start + len(text)
    last = lexed.diagnostics[-1] if lexed.diagnostics else None
    if last is not None and last.code == "GP102" and last.span.end == start and last.fix is None:
        span = Span(last.span.start, end)
        message = "the language does not use these characters"
        lexed.diagnostics[-1] = Diagnostic("GP102", message, span, last.notes)
        return
    notes = (_JUNK_NOTES[text],) if text in _JUNK_NOTES else ()
    fix = None
    if text == ";":
        notes = ("statements end by themselves",)
        fix = Fix("remove it", (Edit(Span(start, end), ""),))
    elif text.isspace():
        fix = Fix("write a plain space", (Edit(Span(start, end), " "),))
    shown = f"U+{ord(text):04X}" if not text.isprintable() else f"'{text}'" if text != "'" else '"\'"'
    message = f"the language does not use the character {shown}"
    _report(lexed, Diagnostic("GP102", message, Span(start, end), notes, fix))


def write_number(value: int | float) -> str:
    """A number as the language writes it: digits, without an exponent.

    Raises:
        ValueError: The number is infinite or not a number.
    """
    if isinstance(value, int):
        return str(value)
    from decimal import Decimal

    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} cannot be written in a program")
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}..."
