r"""String literals: escapes, `{name}`, the layout of triple quotes, and the way back (`quote`).

    "say \"{title}\"\n"      →  'say "', Interpolation('title'), '"\n'
    '''a {{brace}}'''        →  the same with three double quotes may span lines

Triple-quoted strings lose the line break after the opening quotes, the line break and indentation before the
closing ones, and the indentation that their lines share; lines of blanks become empty. That is settled before
escapes are resolved, so an escaped space (`\u{20}`) keeps an indentation.
"""

from __future__ import annotations

import re

from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix
from genevolve.grammar.reader import MAX_DIAGNOSTICS, escape_unseen
from genevolve.grammar.span import Span
from genevolve.grammar.tree import Interpolation, String

RESERVED = frozenset(
    {
        *("program", "request", "let", "ref", "use", "skill", "prompt", "avoid", "require", "render"),
        *("for", "true", "false"),
    }
)
"""The keywords of `gprog.lark`; none can be a name."""

_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_UNESCAPES = str.maketrans({"\\": "\\\\", "{": "{{", "}": "}}", "\t": "\\t"})

# Where the scanner has to stop and look; everything between is copied as it is.
_SPECIAL = re.compile(r"[\\{}\n]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?!\w)")
_CODE_POINT = re.compile(r"u\{([0-9A-Fa-f]{1,6})\}")
_MARGIN = re.compile(r"\n([ \t]*)(?=[^ \t\n])")
_OPENING_BLANKS = re.compile(r"[ \t]*\n")
_CLOSING_BLANKS = re.compile(r"\n[ \t]*\Z")
_BLANK_LINE = re.compile(r"[ \t]*(?=\n|\Z)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE_QUOTE = re.compile(r'"(?="|\Z)')
_BLANK_ONLY = re.compile(r"(?m)^ (?= *$)")


def read_string(raw: str, start: int = 0, *, closed: bool = True) -> tuple[String, tuple[Diagnostic, ...]]:
    """Resolve one string token.

    Args:
        raw: The token, quotes included.
        start: Its offset in the source; all spans count from there.
        closed: Whether the closing quotes are there (the lexer reports it when they are not).

    Returns:
        The node, and GP105 to GP108; what is wrong stands in the node as it was written.
    """
    triple = raw.startswith('"""')
    quotes = 3 if triple else 1
    first, last = quotes, len(raw) - quotes if closed else len(raw)
    span = Span(start, start + len(raw))
    if not triple and _SPECIAL.search(raw, first, last) is None:
        parts = (raw[first:last],) if first < last else ()
        return String(parts, raw, span=span), ()
    scanner = _Scanner(raw, start, triple)
    scanner.scan(first, last)
    return String(scanner.finish(), raw, triple, span=span), tuple(scanner.diagnostics)


class _Scanner:
    """Walks over the body of one token, from one special character to the next."""

    def __init__(self, raw: str, start: int, triple: bool) -> None:
        self.raw = raw
        self.start = start
        self.triple = triple
        self.margin = ""
        self.parts: list[str | Interpolation] = []
        self.pending: list[str] = []
        self.diagnostics: list[Diagnostic] = []

    def scan(self, at: int, end: int) -> None:
        """Resolve `raw[at:end]`."""
        if self.triple:
            at, end = self._trim(at, end)
        raw, pending = self.raw, self.pending
        while at < end:
            special = _SPECIAL.search(raw, at, end)
            if special is None:
                pending.append(raw[at:end])
                return
            stop = special.start()
            if stop > at:
                pending.append(raw[at:stop])
            match raw[stop]:
                case "\n":
                    pending.append("\n")
                    at = self._line_start(stop + 1, end)
                case "\\":
                    at = self._escape(stop, end)
                case "{":
                    at = self._opening_brace(stop, end)
                case _:
                    at = self._closing_brace(stop, end)

    def finish(self) -> tuple[str | Interpolation, ...]:
        """The parts, with neighbouring texts joined."""
        self._flush()
        return tuple(self.parts)

    def _flush(self) -> None:
        if self.pending:
            self.parts.append("".join(self.pending))
            self.pending.clear()

    def _trim(self, at: int, end: int) -> tuple[int, int]:
        """Drop the first and last line break, and find the indentation that the lines share."""
        raw = self.raw
        self.margin = _shared_start([match[1] for match in _MARGIN.finditer(raw, at, end)])
        closing = _CLOSING_BLANKS.search(raw, max(at, raw.rfind("\n", at, end)), end)
        opening = _OPENING_BLANKS.match(raw, at, end)
        if opening is not None:
            at = opening.end()
        # In `"""⏎"""` one line break is both the first and the last.
        end = max(at, closing.start()) if closing is not None else end
        return (self._line_start(at, end) if opening is not None else at), end

    def _line_start(self, at: int, end: int) -> int:
        if not self.triple:
            return at
        blank = _BLANK_LINE.match(self.raw, at, end)
        if blank is not None:
            return blank.end()
        # Every line that is not blank has the margin.
        return at + len(self.margin)

    def _span(self, at: int, end: int) -> Span:
        return Span(self.start + at, self.start + end)

    def _report(self, code: str, message: str, at: int, end: int, fix: Fix | None = None) -> None:
        if len(self.diagnostics) < MAX_DIAGNOSTICS:
            self.diagnostics.append(Diagnostic(code, message, self._span(at, end), fix=fix))

    def _escape(self, at: int, end: int) -> int:
        raw = self.raw
        letter = raw[at + 1 : min(at + 2, end)]
        plain = _ESCAPES.get(letter)
        if plain is not None:
            self.pending.append(plain)
            return at + 2
        if letter == "u":
            point = _CODE_POINT.match(raw, at + 1, end)
            value = int(point[1], 16) if point is not None else -1
            if point is not None and value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF:
                self.pending.append(chr(value))
                return point.end()
            stop = point.end() if point is not None else at + 2
            shown = raw[at:stop]
            message = f"{shown} is not a character; write \\u{{…}} with a code point, such as \\u{{1F600}}"
            self._report("GP105", message, at, stop)
            self.pending.append(shown)
            return stop
        stop = min(at + 2, end)
        shown = "a backslash at the end of a line" if letter in ("\n", "") else f"\\{letter}"
        message = f'the language has no escape {shown}; it has \\n, \\t, \\", \\\\ and \\u{{…}}'
        edit = Edit(self._span(at, at + 1), "\\\\")
        self._report("GP105", message, at, stop, Fix("write the backslash twice", (edit,)))
        # The line break of `\⏎` is left to the main loop, which knows what a line start is.
        self.pending.append("\\")
        return at + 1

    def _closing_brace(self, at: int, end: int) -> int:
        self.pending.append("}")
        if self.raw.startswith("}}", at, end):
            return at + 2
        fix = Fix("write the brace twice", (Edit(self._span(at, at + 1), "}}"),))
        message = "this closing brace has no opening one; a brace that is meant as text is written '}}'"
        self._report("GP107", message, at, at + 1, fix)
        return at + 1

    def _opening_brace(self, at: int, end: int) -> int:
        raw = self.raw
        if raw.startswith("{{", at, end):
            self.pending.append("{")
            return at + 2
        name = _NAME.match(raw, at + 1, end)
        if name is not None and raw.startswith("}", name.end(), end) and name[0] not in RESERVED:
            self._flush()
            self.parts.append(Interpolation(name[0], span=self._span(at, name.end() + 1)))
            return name.end() + 1
        return self._bad_interpolation(at, end)

    def _bad_interpolation(self, at: int, end: int) -> int:
        raw = self.raw
        stop = at + 1
        while stop < end and raw[stop] not in '{}\n"\\':
            stop += 1
        if stop >= end or raw[stop] != "}":
            edit = Edit(self._span(at, at + 1), "{{")
            fix = Fix("write the brace twice if it is meant as text", (edit,))
            message = "this '{' is not closed; write {name}, or '{{' for a brace that is meant as text"
            self._report("GP106", message, at, at + 1, fix)
            self.pending.append("{")
            return at + 1
        inside = raw[at + 1 : stop]
        stop += 1
        self.pending.append(raw[at:stop])
        message, replacement = _not_a_name(inside)
        certain = None
        if replacement is not None:
            certain = Fix(f"write {replacement}", (Edit(self._span(at, stop), replacement),))
        self._report("GP108", message, at, stop, certain)
        return stop


def _not_a_name(inside: str) -> tuple[str, str | None]:
    """Why `{inside}` inserts nothing, and what to write instead when that is certain."""
    word = inside.strip()
    if word in RESERVED:
        return (
            f"'{word}' is a reserved word, so nothing can be named so; for braces write '{{{{' and '}}}}'",
            None,
        )
    if _NAME.fullmatch(word):
        return f"a name stands between the braces without spaces: {{{word}}}", f"{{{word}}}"
    if not word:
        return "nothing stands between the braces; write {name}, or '{{}}' for braces as text", "{{}}"
    return "only a name can stand between braces; for braces as text write '{{' and '}}'", None


def _shared_start(margins: list[str]) -> str:
    """What all of some blanks start with: the shared start of the first and the last in order is that of all."""
    if not margins:
        return ""
    low, high = min(margins), max(margins)
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:length]


# ---- the way back -----------------------------------------------------------------------------------


def quote(text: str, triple: bool | None = None) -> str:
    """A literal that parses back to exactly this text.

    Args:
        text: Any text without surrogates.
        triple: Whether to use triple quotes; None uses them for texts of several lines.

    Raises:
        ValueError: The text has half of a surrogate pair, which no program can hold.
    """
    return quote_parts((text,), "\n" in text if triple is None else triple)


def quote_parts(parts: tuple[str | Interpolation, ...], triple: bool) -> str:
    """A literal that parses back to these parts.

    Raises:
        ValueError: A text has half of a surrogate pair, or an interpolation is not a name.
    """
    body = "".join(_piece(part) for part in parts)
    if not triple:
        return '"' + body.replace('"', '\\"').replace("\n", "\\n") + '"'
    body = _LONE_QUOTE.sub('\\\\"', body)
    body = _BLANK_ONLY.sub("\\\\u{20}", body)
    margins = [match[1] for match in _MARGIN.finditer("\n" + body)]
    if _shared_start(margins):
        # All lines are indented: an escape at the start of one keeps the indentation from being taken off.
        at = re.search(r"(?m)^ +(?=[^ \n])", body)
        if at is not None:
            body = f"{body[: at.start()]}\\u{{20}}{body[at.start() + 1 :]}"
    return f'"""\n{body}\n"""'


def _piece(part: str | Interpolation) -> str:
    if isinstance(part, Interpolation):
        if not _NAME.fullmatch(part.name) or part.name in RESERVED:
            raise ValueError(f"{part.name!r} cannot stand between braces")
        return f"{{{part.name}}}"
    if _SURROGATE.search(part):
        raise ValueError("half of a surrogate pair cannot be written in a program")
    # Unseen characters last: their escapes have backslashes and braces of their own.
    return escape_unseen(part.translate(_UNESCAPES)).replace("\r", "\\u{d}")
