"""Whether the constraints of a program can hold together (GP513).

Three kinds of contradiction are found: counts of one thing that leave no number, relations that run in a circle
("a left of b" and "b left of a"), and a thing that must not be there but has an attribute or a place. One text
at two places, or two attributes of one thing, are no contradiction: a picture can show both.
"""

from __future__ import annotations

from typing import NamedTuple

from genevolve.grammar.span import Span


class Clash(NamedTuple):
    """Why a new constraint cannot hold, and the earlier constraints that it clashes with."""

    message: str
    places: tuple[Span, ...] = ()


class _Bound(NamedTuple):
    operator: str
    value: int
    span: Span


class _Edge(NamedTuple):
    target: str
    span: Span


_AXES = {
    "left_of": ("side by side", False),
    "right_of": ("side by side", True),
    "above": ("one above another", False),
    "below": ("one above another", True),
    "in_front_of": ("one before another", False),
    "behind": ("one before another", True),
    "inside": ("one inside another", False),
    "on": ("one on another", False),
}
"""Relations that have a direction: the order they belong to, and whether they read backwards in it."""


class Constraints:
    """The constraints of a program so far. `add_…` return a `Clash` and leave out what clashes."""

    __slots__ = ("_absent", "_bounds", "_edges", "_present")

    def __init__(self) -> None:
        self._bounds: dict[tuple[str, str], tuple[_Bound, ...]] = {}
        self._edges: dict[tuple[str, str], tuple[_Edge, ...]] = {}
        self._present: dict[str, Span] = {}
        self._absent: dict[str, Span] = {}

    def copy(self) -> Constraints:
        """A copy that can change without changing this one."""
        new = Constraints.__new__(Constraints)
        new._bounds, new._edges = self._bounds.copy(), self._edges.copy()
        new._present, new._absent = self._present.copy(), self._absent.copy()
        return new

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constraints):
            return NotImplemented
        return all(getattr(self, slot) == getattr(other, slot) for slot in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # it changes

    @property
    def things(self) -> tuple[str, ...]:
        """The things that something is required of, in lower case, in order."""
        counted = (thing for thing, _ in self._bounds)
        return tuple(dict.fromkeys((*counted, *self._present, *self._absent)))

    @property
    def absent(self) -> tuple[str, ...]:
        """The things that must not be there."""
        return tuple(self._absent)

    @property
    def highest(self) -> int:
        """The largest number that a count is compared with."""
        return max((bound.value for bounds in self._bounds.values() for bound in bounds), default=0)

    def add_count(self, what: str, operator: str, base: str, value: int, span: Span) -> Clash | None:
        """`count(what) operator base + value`; `base` is the name of an unknown number, or empty for 0."""
        thing = _even(what)
        earlier = self._bounds.get((thing, base), ())
        bound = _Bound(operator, value, span)
        least = 0 if not base else None
        if _numbers((bound,), least) is None:
            return Clash(f"no count is {operator} {value}")
        together = _numbers((*earlier, bound), least)
        if together is None:
            single = next((e for e in earlier if _numbers((e, bound), least) is None), None)
            places = (single.span,) if single else tuple(e.span for e in earlier)
            return Clash(f"no number of '{what}' can meet this and what is required above", places)
        if not base and together[1] == 0:
            if thing in self._present:
                message = f"there must be no '{what}', but something is required of it above"
                return Clash(message, (self._present[thing],))
            self._absent.setdefault(thing, span)
        self._bounds[thing, base] = (*earlier, bound)
        return None

    def add_thing(self, what: str, span: Span) -> Clash | None:
        """Something is required of `what`, so it has to be there."""
        thing = _even(what)
        if thing in self._absent:
            return Clash(
                f"'{what}' has to be there for this, but its count must be 0", (self._absent[thing],)
            )
        self._present.setdefault(thing, span)
        return None

    def add_relation(self, a: str, relation: str, b: str, span: Span) -> Clash | None:
        """`relation(a, relation, b)`; an unknown relation or one without direction clashes with nothing."""
        clash = self.add_thing(a, span) or self.add_thing(b, span)
        if clash is not None or relation not in _AXES:
            return clash
        axis, backwards = _AXES[relation]
        first, second = (_even(b), _even(a)) if backwards else (_even(a), _even(b))
        if first == second:
            return Clash(f"nothing can be '{relation}' itself")
        path = self._path(axis, second, first)
        if path is not None:
            return Clash(f"'{a}' cannot be '{relation}' '{b}' with what is required above", path)
        self._edges[axis, first] = (*self._edges.get((axis, first), ()), _Edge(second, span))
        return None

    def _path(self, axis: str, start: str, goal: str) -> tuple[Span, ...] | None:
        """The places of the relations that lead from one thing to another, or None."""
        came: dict[str, tuple[str, Span] | None] = {start: None}
        queue = [start]
        for thing in queue:
            for edge in self._edges.get((axis, thing), ()):
                if edge.target in came:
                    continue
                came[edge.target] = (thing, edge.span)
                if edge.target == goal:
                    return _places(came, goal)
                queue.append(edge.target)
        return None


def _places(came: dict[str, tuple[str, Span] | None], goal: str) -> tuple[Span, ...]:
    places: list[Span] = []
    step = came[goal]
    while step is not None:
        places.append(step[1])
        step = came[step[0]]
    return tuple(reversed(places))


def _numbers(bounds: tuple[_Bound, ...], least: int | None) -> tuple[float, float] | None:
    """The lowest and highest number that meets all bounds, or None when there is none."""
    low: float = float("-inf") if least is None else least
    high: float = float("inf")
    without: set[float] = set()
    for operator, value, _ in bounds:
        if operator in ("==", ">="):
            low = max(low, value)
        if operator in ("==", "<="):
            high = min(high, value)
        if operator == ">":
            low = max(low, value + 1)
        if operator == "<":
            high = min(high, value - 1)
        if operator == "!=":
            without.add(value)
    while low in without:
        low += 1
    while high in without:
        high -= 1
    return (low, high) if low <= high else None


def _even(what: str) -> str:
    return " ".join(what.split()).casefold()
