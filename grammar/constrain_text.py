r"""Strings, new names and comments: the tokens whose text a policy invents.

A string is written with the escapes `\"`, `\\` and `\n`, with `{{` and `}}` for braces and with `{name}` for what may
be inserted; its first character is no blank, so it is never empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from genevolve.grammar import constrain_spelled
from genevolve.grammar.constrain_alphabet import character_class, endings
from genevolve.grammar.constrain_nodes import Memo, Node, Walk
from genevolve.grammar.strings import RESERVED

MAX_NAME = 24
"""The longest name that is invented."""

_SPECIAL = '"\\{}'
_OPENED = re.compile(r'[^"\\\n]*(?:\\.[^"\\\n]*)*"')
_TRIPLE_END = re.compile(r'\n"""')
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INSERTED = re.compile(r"\{\{|\}\}|\{[A-Za-z_0-9]*\}")
_PIECE = re.compile(r"\\.|\{\{|\}\}|\{[A-Za-z_0-9]*\}|.", re.DOTALL)
_UNITS = re.compile(r"(?:\\.|\{\{|\}\}|\{[A-Za-z_0-9]*\}|[^\\{}])*", re.DOTALL)


@dataclass(frozen=True)
class Kind:
    """What strings of one place may hold.

    Attributes:
        names: What `{name}` may insert.
        mentions: Names of which each must be inserted.
        triple: Whether the string stands in triple quotes and has lines.
        spelled: Whether it may not spell references, ids and URLs.
        without: Texts, in lower case, that it must not be.
        least: The fewest characters.
        most: The most characters, as they are written.
        opened: Whether the opening quote stands before the token.
    """

    names: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    triple: bool = False
    spelled: bool = False
    without: tuple[str, ...] = ()
    least: int = 1
    most: int | None = None
    opened: bool = False


class Text(Node):
    """A string."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def _shortest(self) -> str | None:
        return self._opening + self.finish("")

    @property
    def _opening(self) -> str:
        return "" if self.kind.opened else '"""\n' if self.kind.triple else '"'

    def _longest_rest(self) -> int:
        kind = self.kind
        pending = max([8, *(len(name) + 1 for name in kind.names)])
        without = max([0, *(len(text) + 1 for text in kind.without)])
        return (
            len(self._opening) + pending + without + sum(len(m) + 3 for m in kind.mentions) + kind.least + 4
        )

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        opening = self._opening
        left = text[at : at + len(opening)]
        if left != opening:
            begun = opening.startswith(left) and at + len(left) == len(text)
            return Walk(frozenset(), opening[len(left) :] + self.finish("") if begun else None)
        first, closing = at + len(opening), '\n"""' if self.kind.triple else '"'
        closed = (_TRIPLE_END.search if self.kind.triple else _OPENED.match)(text, first)
        if closed is None:
            body = text[first:]
            return Walk(frozenset(), None if body and not _begins(body) else self.finish(body))
        body = text[first : closed.end() - len(closing)]
        return Walk(frozenset({closed.end()} if self._takes(body) else ()), None)

    def _takes(self, body: str) -> bool:
        return _begins(body) and folded(body) not in self.kind.without and not self._missing(body)

    def finish(self, body: str) -> str:
        """What completes a string whose inside begins with `body`, the closing quotes included."""
        rest = self._pending(body)
        kind = self.kind
        # A character that was begun and its end are one character from here on.
        body = (body + rest).encode("utf-8", "surrogateescape").decode()
        ended = len(body)
        for name in self._missing(body):
            body += self._sound(body, (f"{{{name}}}", f".{{{name}}}"))
        units = _PIECE.findall(body)
        body += "x" * max(
            kind.least - len(units), kind.least > 1 and bool(units) and units[-1] in (" ", "\\n")
        )
        while folded(body) in kind.without:
            body += "x"
        rest += body[ended:]
        if not kind.triple:
            return rest + '"'
        quotes = len(body) - len(body.rstrip('"')) if re.search(r'\n"{1,2}\Z', body) else 0
        return rest + ('"' * (3 - quotes) if quotes or body.endswith("\n") else '\n"""')

    def _pending(self, body: str) -> str:
        """What completes the character, escape or insertion that the text stops in."""
        half = re.search("[\udc80-\udcff]+\\Z", body)
        if half is not None:
            half_bytes = half.group().encode("utf-8", "surrogateescape")
            whole = body[: half.start()]
            character = self._sound(whole, tuple(endings(half_bytes)))
            return character.encode()[len(half_bytes) :].decode("utf-8", "surrogateescape")
        units = _UNITS.match(body)
        tail = body[units.end() :] if units is not None else ""
        if tail == "\\":
            return "\\"
        if tail in ("{", "}"):
            return tail
        if tail:
            begun = tail[1:]
            return min(
                (n[len(begun) :] + "}" for n in self.kind.names if n.startswith(begun)), key=len, default=""
            )
        if self.kind.triple and body.endswith('"') and not re.search(r'(\n"{1,2}|\\")\Z', body):
            return "."
        if self.kind.triple and re.search(r'\n"\Z', body) and self._missing(body):
            return "."
        return ""

    def _missing(self, body: str) -> list[str]:
        """The names that are still to be inserted; `{{name}}` inserts nothing."""
        inserted = set(_INSERTED.findall(body)) if self.kind.mentions else set()
        return [name for name in self.kind.mentions if f"{{{name}}}" not in inserted]

    def _sound(self, before: str, choices: tuple[str, ...]) -> str:
        """The first of some texts after which nothing is spelled, if that matters."""
        if self.kind.spelled:
            for choice in choices:
                if not constrain_spelled.refused(before + choice):
                    return choice
        return choices[0]

    def _count(self) -> str:
        """How often characters come between the first and, where there is a least number, the last."""
        kind = self.kind
        ends = 2 if kind.least > 1 else 1
        least = kind.least - ends
        if kind.most is None:
            return "*" if not least else f"{{{least},}}"
        return f"{{{least},{max(least, kind.most - ends)}}}"

    def regex(self, define: Callable[[str], str]) -> str:
        """The body of the token in llguidance's dialect; `define` names a part, so that it is compiled once."""
        kind = self.kind
        braces = [r"/\{\{|\}\}/", *([rf"/\{{({'|'.join(kind.names)})\}}/"] if kind.names else [])]
        plain = define(f"/{character_class(_SPECIAL)}/")
        start = define(f"/{character_class(_SPECIAL + ' ')}/")
        first = define(" | ".join((start, r"/\\[\"\\]/", *braces)))
        if kind.triple:
            unit = define(" | ".join((plain, r"/\n/", r"/\\[\"\\]/", *braces)))
            more, opening, closing = f'({unit} | /"/ {unit})*', r'/"""\n/', r'/\n"""/'
        else:
            unit = define(" | ".join((plain, r"/\\[\"\\n]/", *braces)))
            more, opening, closing = unit + self._count(), "" if kind.opened else '/"/', '/"/'
            if kind.least > 1:  # blanks at the ends do not count, so there are none
                more = f"{more} {first}"
        pieces = [f"({opening} {first} {more} {closing})"]
        if kind.without:
            forms = "|".join(map(_forms, kind.without))
            pieces.append(f'~/{"" if kind.opened else chr(34)}({forms})"/')
        any_part = f'({unit} | /"/)*' if kind.triple else f"{unit}*"
        pieces += (rf"({opening} {any_part} /\{{{name}\}}/ {any_part} {closing})" for name in kind.mentions)
        return " & ".join(pieces)


def _begins(body: str) -> bool:
    """Whether a string may begin so: it is not empty, and two quotes are the beginning of three, not a string."""
    return body[:1] not in ("", " ", "\n", '"') and not body.startswith("\\n")


def folded(text: str) -> str:
    """A text as constraints compare things: white space and case evened out."""
    return " ".join(text.split()).casefold()


def _forms(text: str) -> str:
    """A pattern of all that folds to a text."""
    pieces = []
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("{", "{{").replace("}", "}}")
    for piece in re.split(r"(ss| )", escaped):
        if piece == "ss":
            pieces.append("([sS][sS]|[\\x{DF}\\x{1E9E}])")
        elif piece == " ":
            pieces.append("( |\\\\n)+")
        else:
            pieces += map(_cases, piece)
    return "".join(pieces) + "( |\\\\n)*"


def _cases(character: str) -> str:
    forms = {character, character.upper(), character.lower(), character.title(), *_SAME.get(character, "")}
    return "[" + "".join(f"\\x{{{ord(c):X}}}" for c in sorted(forms) if len(c) == 1) + "]"


_SAME = {"\u03c3": "\u03c2"}


class NewName(Node):
    """A name that nothing has yet."""

    def __init__(self, taken: frozenset[str]) -> None:
        self.taken = taken | RESERVED

    def _shortest(self) -> str | None:
        return self._free("")

    def _free(self, begun: str) -> str:
        """The shortest text that makes a free name of a beginning; one that is as long as can be has no choice."""
        waiting = [begun]
        for name in waiting:
            if name and name not in self.taken:
                return name[len(begun) :]
            letters = "abcdefghijklmnopqrstuvwxyz" + ("0123456789_" if name else "")
            waiting += (name + letter for letter in letters if len(name) < MAX_NAME)
        raise ValueError("no name is left")

    def _longest_rest(self) -> int:
        return 4

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        match = _WORD.match(text, at)
        end = match.end() if match is not None else at
        name = text[at:end]
        ends = frozenset({end}) if name and name not in self.taken else frozenset()
        rest = self._free(name) if end == len(text) and not ends else None
        return Walk(ends, rest)

    def regex(self, base: str) -> str:
        """The body of the token in llguidance's dialect."""
        taken = "|".join(sorted(name for name in self.taken if _WORD.fullmatch(name)))
        return f"{base} & /.{{1,{MAX_NAME}}}/ & ~/({taken})/"


class Comment(Node):
    """A line of thought above a statement."""

    def _shortest(self) -> str | None:
        return "# .\n"

    def _longest_rest(self) -> int:
        return 8

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        start = text[at : at + 2]
        if start != "# ":
            begun = "# ".startswith(start) and at + len(start) == len(text)
            return Walk(frozenset(), "# .\n"[len(start) :] if begun else None)
        end = text.find("\n", at)
        if end >= 0:
            return Walk(frozenset({end + 1}), None)
        body = text[at + 2 :]
        half = re.search("[\udc80-\udcff]+\\Z", body)
        if half is not None:
            begun_character = half.group().encode("utf-8", "surrogateescape")
            character = endings(begun_character)[0].encode()[len(begun_character) :]
            return Walk(frozenset(), character.decode("utf-8", "surrogateescape") + "\n")
        return Walk(frozenset(), "\n" if body else ".\n")

    def regex(self, base: str) -> str:
        """The body of the token in llguidance's dialect."""
        return f"({base} & /# {character_class(' ')}{character_class()}*/) /\\n/"
