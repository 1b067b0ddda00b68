"""What may be written next, as a small tree: fixed texts, choices, sequences and tokens.

A tree has no loops but those inside its tokens, so what completes a text that stops halfway can be computed: a
decoder that runs out of tokens closes what it began. `constrain_lark` writes a tree as a grammar.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple


class Walk(NamedTuple):
    """How a node reads a text from some place: where it may end, and the shortest text that completes it.

    `rest` is None when the text does not stop inside the node.
    """

    ends: frozenset[int]
    rest: str | None


class Node:
    """A piece of a statement. Nodes are compared by identity and shared freely."""

    @cached_property
    def shortest(self) -> str | None:
        """A short text that the node accepts, the shortest of its tokens; None when it accepts nothing."""
        return self._shortest()

    @cached_property
    def longest_rest(self) -> int:
        """At most how many bytes of UTF-8 complete the node from any place inside it."""
        return self._longest_rest()

    def walk(self, text: str, at: int, memo: Memo) -> Walk:
        """Read `text` from `at`, each place once.

        Bytes of a character that is not complete stand as surrogates at the end of the text.
        """
        key = (id(self), at)
        if key not in memo:
            memo[key] = self._walk(text, at, memo)
        return memo[key]

    def complete(self, text: str) -> str | None:
        """A short text that completes `text`; None when the node does not accept anything that begins so."""
        found = self.walk(text, 0, {})
        return "" if len(text) in found.ends else found.rest

    def _shortest(self) -> str | None:
        raise NotImplementedError

    def _longest_rest(self) -> int:
        raise NotImplementedError

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        raise NotImplementedError


Memo = dict[tuple[int, int], Walk]


class Lit(Node):
    """A fixed text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _shortest(self) -> str | None:
        return self.text

    def _longest_rest(self) -> int:
        return len(self.text.encode())

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        if text.startswith(self.text, at):
            return Walk(frozenset({at + len(self.text)}), None)
        left = len(text) - at
        if left < len(self.text) and text.endswith(self.text[:left]):
            return Walk(frozenset(), self.text[left:])
        return Walk(frozenset(), None)


class Digit(Node):
    """One character between two, inside a number."""

    def __init__(self, low: str, high: str) -> None:
        self.low, self.high = low, high

    def _shortest(self) -> str | None:
        return self.low

    def _longest_rest(self) -> int:
        return 1

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        if at == len(text):
            return Walk(frozenset(), self.low)
        ends = frozenset({at + 1}) if self.low <= text[at] <= self.high else frozenset()
        return Walk(ends, None)


class Seq(Node):
    """Several nodes, one after another. Make them with `seq`."""

    def __init__(self, items: tuple[Node, ...]) -> None:
        self.items = items

    def _shortest(self) -> str | None:
        return "".join(item.shortest or "" for item in self.items)

    def _longest_rest(self) -> int:
        worst = after = 0
        for item in reversed(self.items):
            worst = max(worst, item.longest_rest + after)
            after += len((item.shortest or "").encode())
        return worst

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        places, rests = {at}, []
        for number, item in enumerate(self.items):
            reached: set[int] = set()
            for place in places:
                found = item.walk(text, place, memo)
                reached |= found.ends
                if found.rest is not None:
                    rests.append(found.rest + "".join(i.shortest or "" for i in self.items[number + 1 :]))
            places = reached
            if not places:
                break
        return Walk(frozenset(places), min(rests, key=len, default=None))


class Alt(Node):
    """One of several nodes. Make them with `alt`."""

    def __init__(self, items: tuple[Node, ...]) -> None:
        self.items = items

    def _shortest(self) -> str | None:
        found = [item.shortest for item in self.items if item.shortest is not None]
        return min(found, key=len, default=None)

    def _longest_rest(self) -> int:
        return max((item.longest_rest for item in self.items), default=0)

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        found = [item.walk(text, at, memo) for item in self.items]
        rests = [walk.rest for walk in found if walk.rest is not None]
        return Walk(frozenset().union(*(walk.ends for walk in found)), min(rests, key=len, default=None))


class Token(Node):
    """A node without texts or names that is written as one token: a number or a size.

    `base` is the token of `gprog.lark` that it narrows; `pattern` keeps the regular expression once it was written.
    """

    def __init__(self, node: Node, base: str) -> None:
        self.node, self.base = node, base
        self.pattern = ""

    def _shortest(self) -> str | None:
        return self.node.shortest

    def _longest_rest(self) -> int:
        return self.node.longest_rest

    def _walk(self, text: str, at: int, memo: Memo) -> Walk:
        return self.node.walk(text, at, memo)


NOTHING = Alt(())
"""Accepts nothing: a sequence with it in it is nothing, a choice leaves it out."""

EMPTY = Seq(())
"""Accepts the empty text."""


def seq(items: Iterable[Node]) -> Node:
    """Nodes one after another; neighbouring fixed texts become one."""
    out: list[Node] = []
    for item in items:
        if item is NOTHING:
            return NOTHING
        pieces = item.items if isinstance(item, Seq) else (item,)
        for piece in pieces:
            if isinstance(piece, Lit) and out and isinstance(out[-1], Lit):
                out[-1] = Lit(out[-1].text + piece.text)
            else:
                out.append(piece)
    return out[0] if len(out) == 1 else Seq(tuple(out)) if out else EMPTY


def alt(items: Iterable[Node]) -> Node:
    """One of several nodes."""
    out: list[Node] = []
    for item in items:
        out += item.items if isinstance(item, Alt) else (item,)
    return out[0] if len(out) == 1 else Alt(tuple(out)) if out else NOTHING


def optional(node: Node) -> Node:
    """A node or nothing at all."""
    return EMPTY if node is NOTHING else alt((EMPTY, node))


def joined(items: Iterable[Node], between: str) -> Node:
    """Nodes with a text between them."""
    out: list[Node] = []
    for item in items:
        if out:
            out.append(Lit(between))
        out.append(item)
    return seq(out)


def one_of(words: Iterable[str]) -> Node:
    """One of several fixed texts."""
    return alt([Lit(word) for word in dict.fromkeys(words)])
