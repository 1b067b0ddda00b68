"""A tree of prompts that were read, with the keys and values that a model computed for them.

Prompts that begin alike share the nodes of their common beginning, so that it is computed and stored once: the system
message over all requests, a request over its siblings, and the turns of a dialogue over its later turns. Nodes are
split where prompts part. What is not used any more stays until memory is needed; the least recently used goes first
and is computed again when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Keys (layers, heads, tokens, key width) and values (layers, heads, tokens, value width) of a run of tokens."""

    keys: torch.Tensor
    values: torch.Tensor

    def cut(self, start: int, end: int) -> KeyValues:
        """The tokens from `start` to `end`, in memory of their own, so that the rest can be freed."""
        return KeyValues(self.keys[:, :, start:end].clone(), self.values[:, :, start:end].clone())

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        tensors = (self.keys, self.values)
        return sum(int(t.numel()) * int(t.element_size()) for t in tensors)


def joined(parts: Sequence[KeyValues]) -> KeyValues:
    """Runs that follow each other as one; a single one is not copied."""
    import torch

    if len(parts) == 1:
        return parts[0]
    return KeyValues(torch.cat([p.keys for p in parts], 2), torch.cat([p.values for p in parts], 2))


class Node:
    """A run of tokens after those of its parent; `kept` is None until they were computed."""

    __slots__ = ("children", "kept", "owners", "parent", "tokens", "used")

    def __init__(self, tokens: tuple[int, ...], parent: Node | None) -> None:
        self.tokens = tokens
        self.parent = parent
        self.kept: KeyValues | None = None
        self.children: dict[int, Node] = {}
        self.owners: set[str] = set()
        self.used = 0

    def path(self) -> list[Node]:
        """The nodes from below the root to this one."""
        found: list[Node] = []
        node: Node = self
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]


class PrefixTree:
    """The prompts of a model. Bounded by `max_bytes`, apart from what is in use at the moment."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._root = Node((), None)
        self._clock = 0

    @property
    def nbytes(self) -> int:
        """The memory that all keys and values take."""
        return sum(node.kept.nbytes for node in self._nodes() if node.kept is not None)

    def extend(self, ids: Sequence[int], owner: str = "") -> list[Node]:
        """The nodes that spell `ids`; what is not there yet is added, to be computed."""
        self._clock += 1
        whole = tuple(ids)
        node, at, path = self._root, 0, list[Node]()
        while at < len(whole):
            child = node.children.get(whole[at])
            if child is None:
                child = Node(whole[at:], node)
                node.children[whole[at]] = child
            else:
                same = _common(child.tokens, whole, at)
                if same < len(child.tokens):
                    child = self._split(child, same)
            child.used = self._clock
            if owner:
                child.owners.add(owner)
            at += len(child.tokens)
            path.append(child)
            node = child
        return path

    def known(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` need not be computed."""
        whole = tuple(ids)
        node, at = self._root, 0
        while at < len(whole):
            child = node.children.get(whole[at])
            if child is None or child.kept is None:
                break
            same = _common(child.tokens, whole, at)
            at += same
            if same < len(child.tokens):
                break
            node = child
        return at

    def store(self, ids: Sequence[int], tail: KeyValues, owner: str = "") -> None:
        """Keep the keys and values of the last tokens of `ids`; the ones before them must be kept already."""
        count = int(tail.keys.shape[2])
        end = len(ids)
        for node in reversed(self.extend(ids, owner)):
            start = end - len(node.tokens)
            if node.kept is not None or start < len(ids) - count:
                break
            offset = start - (len(ids) - count)
            node.kept = tail.cut(offset, offset + len(node.tokens))
            end = start

    def release(self, owner: str) -> None:
        """Forget what only this owner used; beginnings that others may use again stay until memory is needed."""
        for node in list(self._nodes()):
            node.owners.discard(owner)
        for node in list(self._nodes()):
            while not node.children and not node.owners and self._depth(node) > 1:
                parent = node.parent
                self._remove(node)
                if parent is None:
                    break
                node = parent

    def evict(self, keep: Iterable[Node] = ()) -> None:
        """Drop the least recently used until the rest fits into `max_bytes`; never what `keep` needs."""
        needed = {id(node) for last in keep for node in last.path()}
        size = self.nbytes
        while size > self.max_bytes:
            leaves = [n for n in self._nodes() if not n.children and id(n) not in needed]
            if not leaves:
                return
            oldest = min(leaves, key=lambda n: n.used)
            size -= oldest.kept.nbytes if oldest.kept is not None else 0
            self._remove(oldest)

    def clear(self) -> None:
        """Forget everything: the weights changed, or memory ran out."""
        self._root = Node((), None)

    def _split(self, node: Node, at: int) -> Node:
        head = Node(node.tokens[:at], node.parent)
        head.owners, head.used = set(node.owners), node.used
        if node.kept is not None:
            head.kept, node.kept = node.kept.cut(0, at), node.kept.cut(at, len(node.tokens))
        if node.parent is not None:
            node.parent.children[head.tokens[0]] = head
        node.tokens, node.parent = node.tokens[at:], head
        head.children[node.tokens[0]] = node
        return head

    def _nodes(self) -> Iterator[Node]:
        waiting = list(self._root.children.values())
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())

    def _depth(self, node: Node) -> int:
        return len(node.path())

    def _remove(self, node: Node) -> None:
        if node.parent is not None:
            node.parent.children.pop(node.tokens[0], None)
            node.parent = None
            node.kept = None


def _common(tokens: tuple[int, ...], whole: tuple[int, ...], at: int) -> int:
    """How many of `tokens` stand in `whole` from `at` on."""
    if whole[at : at + len(tokens)] == tokens:
        return len(tokens)
    return next(i for i, (a, b) in enumerate(zip((*tokens, -1), (*whole[at:], -2), strict=False)) if a != b)
