"""`gprog.lark`, read for constrained decoding: the shapes of statements and the patterns of tokens.

A shape is what one alternative of a rule says: fixed words, and places that a scope fills. `Shapes.build` puts
nodes into the places of a rule and lays the result out as the formatter does:

    ref: "ref" NAME "=" expression "for" expression   →   `ref ` place ` = ` place ` for ` place

`RULES` and `TERMINALS` say what becomes of every rule and token of the grammar. One that is missing there is an
error when the grammar is loaded, so the language cannot grow without this derivation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from genevolve.grammar.constrain_nodes import NOTHING, Lit, Node, alt, seq
from genevolve.grammar.generate import grammar_text

RULES: Mapping[str, str] = {
    "statement": "one alternative for each kind that the scope still takes",
    "program_header": "left out: parameters belong to whoever runs the program",
    "program_parameters": "left out with the header",
    "program_parameter": "left out with the header",
    "request": "only where nothing was asked yet",
    "let": "its value is a call, or one image of a list",
    "ref": "always with a purpose",
    "use": "a skill that is not in use; never a hole",
    "prompt": "once",
    "avoid": "any number",
    "require": "a predicate, or a count and a number",
    "render": "last, after the prompt",
    "statement_hole": "left out: what fills a hole has none",
    "expression": "by type: what fits the place",
    "comparison": "only in require, after a count",
    "operand": "by type, with `expression`",
    "number": "inside the bounds of its parameter",
    "boolean": "as it is",
    "size": "inside the bounds of its parameter",
    "string": "characters, `{name}` of what may be inserted, bounded",
    "name": "a name of the scope whose type fits",
    "hole": "left out: what fills a hole has none",
    "call": "what is registered, and can be called with what is in scope",
    "index": "images that were found and are not bound",
    "arguments": "by the signature: first by position, then by name",
    "positional_arguments": "by the signature",
    "named_arguments": "by the signature: each once, in any order",
    "argument": "by the type of the parameter",
    "named_argument": "by the type of the parameter",
}
"""What becomes of each rule of `gprog.lark`."""

TERMINALS: Mapping[str, str] = {
    "NAME": "names of the scope; new names are its pattern without those taken",
    "INT": "its pattern, inside bounds",
    "FLOAT": "its pattern, inside bounds",
    "SIZE": "its pattern, inside bounds",
    "STRING": "its pattern, with the characters and escapes that a text may have",
    "TRIPLE_STRING": "the same over several lines",
    "COMPARATOR": "its words",
    "COMMENT": "its pattern, bounded in number and length, above a statement",
    "WHITESPACE": "one layout, the formatter's",
}
"""What becomes of each token that is no fixed word; fixed words stand as they are."""

_GLUED_BEFORE = frozenset(")],:([")
_GLUED_AFTER = frozenset("([")
_CLOSERS = frozenset(")]")
_LOOKAROUND = re.compile(r"\(\?<?[=!]")


class Symbol(NamedTuple):
    """One symbol of a rule: its name, and its text when it is a fixed word."""

    name: str
    literal: str | None


class Shapes:
    """The rules of the grammar as alternatives of symbols, and the patterns of its tokens."""

    def __init__(
        self, rules: Mapping[str, tuple[tuple[Symbol, ...], ...]], patterns: Mapping[str, str]
    ) -> None:
        self.rules = rules
        self.patterns = patterns
        unknown = [*(r for r in rules if r not in RULES), *(t for t in patterns if t not in TERMINALS)]
        if unknown:
            raise NotImplementedError(
                f"constrained decoding does not know {', '.join(unknown)} of gprog.lark"
            )

    def build(self, rule: str, **places: Node) -> Node:
        """The alternatives of a rule that have exactly these places, filled.

        Args:
            rule: Its name.
            places: By the name of a symbol in lower case and how many of that name come before it: `name_0`,
                `expression_1`.
        """
        found = []
        for symbols in self.rules[rule]:
            nodes = _filled(symbols, places)
            if nodes is not None:
                found.append(_spaced(nodes))
        if not found:
            raise NotImplementedError(f"'{rule}' of gprog.lark has no alternative with {', '.join(places)}")
        return alt(found)

    def word(self, rule: str, name: str) -> str:
        """The text of a fixed word, such as the comma of a list, as a rule has it."""
        for symbols in self.rules[rule]:
            for symbol in symbols:
                if symbol.name == name and symbol.literal is not None:
                    return symbol.literal
        raise NotImplementedError(f"'{rule}' of gprog.lark has no {name}")

    def choices(self, terminal: str) -> tuple[str, ...]:
        """The words of a token that is nothing but alternatives of words."""
        return tuple(re.sub(r"\\(.)", r"\1", word) for word in self.patterns[terminal].split("|"))


@lru_cache(maxsize=1)
def shapes() -> Shapes:
    """The shapes of `gprog.lark`, read once in a process."""
    return read_shapes(grammar_text())


def read_shapes(grammar: str) -> Shapes:
    """The shapes of a grammar.

    Raises:
        NotImplementedError: The grammar has a rule or token that this derivation does not know.
    """
    from lark import Lark

    lark = Lark(grammar, parser="lalr", lexer="basic", start="statement", maybe_placeholders=False)
    words = {t.name: str(t.pattern.value) for t in lark.terminals if t.pattern.type == "str"}
    patterns = {
        t.name: without_lookaround(t.pattern.to_regexp()) for t in lark.terminals if t.name not in words
    }
    rules: dict[str, list[tuple[Symbol, ...]]] = {}
    for rule in lark.rules:
        symbols = tuple(Symbol(str(s.name), words.get(s.name)) for s in rule.expansion)
        rules.setdefault(str(rule.origin.name), []).append(symbols)
    return Shapes({name: tuple(found) for name, found in rules.items()}, patterns)


def without_lookaround(pattern: str) -> str:
    """A pattern without what it looks for around a match: what follows a token is fixed by the rules here."""
    out, at = "", 0
    while (found := _LOOKAROUND.search(pattern, at)) is not None:
        out += pattern[at : found.start()]
        depth, at = 1, found.end()
        while depth:
            if pattern[at] == "\\":
                at += 1
            else:
                depth += (pattern[at] == "(") - (pattern[at] == ")")
            at += 1
    return out + pattern[at:]


def _filled(symbols: Iterable[Symbol], places: Mapping[str, Node]) -> list[Node] | None:
    """The nodes of one alternative, or None when its places are not the given ones."""
    counts: dict[str, int] = {}
    nodes: list[Node] = []
    comma = False
    for symbol in symbols:
        if comma and symbol.literal in _CLOSERS:
            return None  # a comma that closes a list is allowed, and nobody writes it
        comma = symbol.literal == ","
        if symbol.literal is not None:
            nodes.append(Lit(symbol.literal))
            continue
        number = counts.get(symbol.name, 0)
        counts[symbol.name] = number + 1
        place = places.get(f"{symbol.name.lower()}_{number}")
        if place is None:
            return None
        nodes.append(place)
    return None if comma or sum(counts.values()) != len(places) else nodes


def _spaced(nodes: Iterable[Node]) -> Node:
    """Words with the blanks that the formatter puts between them."""
    out: list[Node] = []
    before = "("
    for node in nodes:
        text = node.text if isinstance(node, Lit) else "x"
        if text[0] not in _GLUED_BEFORE and before not in _GLUED_AFTER:
            out.append(Lit(" "))
        out.append(node)
        before = text[-1]
        if node is NOTHING:
            return NOTHING
    return seq(out)
