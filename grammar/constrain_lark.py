"""A tree of what may be written, as a grammar in llguidance's dialect of Lark.

The tokens of `gprog.lark` stand in it as they are there; names, numbers and comments are written as intersections
with them (`NAME & …`), so whatever is narrowed here stays inside the language. For strings that would cost most of
the time of compiling; a test shows that they stay inside.
"""

from __future__ import annotations

import json
import re

from genevolve.grammar.constrain_nodes import Alt, Digit, Lit, Node, Seq, Token
from genevolve.grammar.constrain_shapes import shapes
from genevolve.grammar.constrain_text import Comment, NewName, Text


def write_grammar(node: Node) -> str:
    """The text of the grammar whose `start` is the node."""
    writer = _Writer()
    start = writer.rule_body(node)
    return "\n".join((f"start: {start}", *writer.definitions(), ""))


class _Writer:
    """Names rules and tokens as they are first met, so equal trees give equal texts."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._names: dict[int, str] = {}
        self._tokens: dict[str, str] = {}
        self._parts: dict[str, str] = {}
        self._bases: set[str] = set()

    def rule_body(self, node: Node) -> str:
        match node:
            case Lit(text=text):
                return _quoted(text)
            case Seq(items=items):
                return " ".join(self._reference(item) for item in items) if items else '""'
            case Alt(items=items):
                return " | ".join(self._reference(item) for item in items)
        return self._reference(node)

    def _reference(self, node: Node) -> str:
        match node:
            case Lit(text=text):
                return _quoted(text)
            case Text():
                return self._token(node.regex(self._part))
            case NewName():
                return self._token(node.regex(self._base("NAME")))
            case Comment():
                return self._token(node.regex(self._base("COMMENT")))
            case Token(node=inner, base=base):
                if not node.pattern:
                    node.pattern = _regex(inner)
                return self._token(f"{self._base(base)} & /{node.pattern}/")
            case Digit():
                return self._token(f"/{_regex(node)}/")
        if id(node) not in self._names:
            body = self.rule_body(node)
            self._names[id(node)] = self._rules.setdefault(body, f"r{len(self._rules)}")
        return self._names[id(node)]

    def _token(self, body: str) -> str:
        return self._tokens.setdefault(body, f"T{len(self._tokens)}")

    def _part(self, body: str) -> str:
        return self._parts.setdefault(body, f"P{len(self._parts)}")

    def _base(self, name: str) -> str:
        self._bases.add(name)
        return name

    def definitions(self) -> list[str]:
        """The rules and tokens that were met."""
        patterns = shapes().patterns
        return [
            *(f"{name}: {body}" for body, name in self._rules.items()),
            *(f"{name}: {body}" for body, name in self._tokens.items()),
            *(f"{name}: {body}" for body, name in self._parts.items()),
            *(f"{name}: /{_rust(patterns[name])}/" for name in sorted(self._bases)),
        ]


def _quoted(text: str) -> str:
    """A fixed text word by word: the longest match wins, so no piece may begin like a longer one beside it."""
    return " ".join(json.dumps(piece, ensure_ascii=False) for piece in _PIECE.findall(text))


_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|\s+|[^\w\s]')


def _rust(pattern: str) -> str:
    """A pattern of Python as Rust and Lark read it."""
    return pattern.replace("\n", "\\n").replace("/", "\\/")


def _regex(node: Node) -> str:
    match node:
        case Lit(text=text):
            return "".join(c if c.isalnum() else f"\\x{{{ord(c):X}}}" for c in text)
        case Digit(low=low, high=high):
            return f"[{low}-{high}]"
        case Seq(items=items):
            return _runs([_regex(item) for item in items])
        case Alt(items=items):
            return f"({'|'.join(_regex(item) for item in items)})"
        case Token(node=inner):
            return _regex(inner)
    raise TypeError(f"{type(node).__name__} cannot stand inside a token")


def _runs(pieces: list[str]) -> str:
    """A sequence of patterns with repetitions counted: `[0-9][0-9][0-9]` as `[0-9]{3}`."""
    out, at = "", 0
    while at < len(pieces):
        count = 1
        while at + count < len(pieces) and pieces[at + count] == pieces[at]:
            count += 1
        out += pieces[at] if count == 1 else f"{pieces[at]}{{{count}}}"
        at += count
    return out
