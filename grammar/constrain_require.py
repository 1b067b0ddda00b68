"""What may be required: predicates with typed arguments that contradict nothing required so far (GP513).

Counts and attributes are settled by the grammar: a thing that was not named before may be anything, one that was
named takes the numbers that are left for it. A relation is settled in two steps, since what its second thing may
be depends on the first: the grammar stops before the second thing, and `after_pause` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from genevolve.grammar.constrain_nodes import NOTHING, Alt, Lit, Node, Token, alt, one_of, seq
from genevolve.grammar.constrain_numbers import int_between
from genevolve.grammar.constrain_shapes import shapes
from genevolve.grammar.constrain_text import Kind, Text, folded
from genevolve.grammar.constrain_values import MAX_TEXT, Values
from genevolve.grammar.constraints import Constraints
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.span import NOWHERE
from genevolve.grammar.strings import quote
from genevolve.grammar.tree import Call, Require, String
from genevolve.grammar.types import Parameter, Signature, Type

MAX_COUNT = 9_999
"""The largest number that a count is compared with."""

_LEAST_TRIED, _MOST_TRIED = 20, 64
_COUNT, _ATTRIBUTE, _RELATION = "count", "attribute", "relation"


@dataclass(frozen=True)
class Requirements:
    """The `require` statements of a scope.

    `later` is the scope with what the author requires after the hole: that must be possible as well.
    """

    values: Values
    later: Scope

    @cached_property
    def known(self) -> Constraints:
        """What is required so far."""
        return self.later.constraints

    def node(self) -> Node:
        """All of them, and what stands before a pause (see `after_pause`)."""
        found: list[Node] = []
        for signature in self.values.scope.environment.predicates():
            if signature.returns is Type.QUANTITY:
                found += map(self._statement, self._comparisons(signature))
            elif signature.name == _RELATION and len(_positional(signature)) == 3:
                found.append(self._begun_relation(signature))
            else:
                found.append(self._statement(self.values.call(signature, fill=self.filler(signature))))
        return alt(found)

    def _statement(self, predicate: Node) -> Node:
        return NOTHING if predicate is NOTHING else shapes().build("require", expression_0=predicate)

    def filler(self, signature: Signature) -> Callable[[Parameter], Node]:
        """What each parameter of a call takes, with regard to what must not be there."""
        return _Filler(self, signature)

    def thing(self, without: tuple[str, ...]) -> Node:
        """A text that names a thing: not one of some, no insertion whose value is known only to the checker."""
        kind = Kind(names=self.values.insertable, without=without)
        return alt((Text(kind), self.values.names(Type.TEXT)))

    # ---- counts ----

    def _comparisons(self, signature: Signature) -> Iterator[Node]:
        operators = shapes().choices("COMPARATOR")
        counted = signature.name == _COUNT
        known = self.known.things if counted else ()
        fill = _Filler(self, signature, known)
        names = self.values.names(Type.INT)
        for operator in operators:
            least = 1 if operator == "<" else 0
            right = alt((int_between(least, MAX_COUNT), names))
            yield self._compared(self.values.call(signature, fill=fill), operator, right)
            for thing in known:
                call = self.values.call(signature, fill=partial(_named, thing))
                yield self._compared(call, operator, self.counts(thing, operator))

    def counts(self, thing: str, operator: str) -> Node:
        """The numbers, and names of numbers, that a thing that was named before may be compared with."""
        tried = range(highest_tried(self.known) + 1)
        numbers = [str(n) for n in tried if _holds(self.known, thing, operator, "", n)]
        names = self.values.names(Type.INT)
        words = [n.text for n in (names.items if isinstance(names, Alt) else (names,)) if isinstance(n, Lit)]
        named = one_of(word for word in words if _holds(self.known, thing, operator, word, 0))
        return alt((Token(one_of(numbers), "INT"), named)) if numbers else named

    def _compared(self, call: Node, operator: str, right: Node) -> Node:
        if call is NOTHING or right is NOTHING:
            return NOTHING
        return shapes().build("comparison", operand_0=call, comparator_0=Lit(operator), operand_1=right)

    # ---- relations ----

    def _begun_relation(self, signature: Signature) -> Node:
        a, relation, _ = _positional(signature)
        comma = shapes().word("named_arguments", "COMMA")
        bracket = shapes().word("call", "LPAR")
        first = _Filler(self, signature)
        head = (Lit(f"{signature.name}{bracket}"), first(a), Lit(f"{comma} "), first(relation))
        return shapes().build("require", expression_0=seq((*head, Lit(f'{comma} "'))))

    def after_pause(self, text: str) -> Node | None:
        """What may follow a statement that stopped at a pause, or None for a text that did not."""
        if not text.endswith('"'):
            return None
        probe = parse_statement(f'{text}x")')[0]
        if not isinstance(probe, Require) or not isinstance(probe.predicate, Call):
            return None
        first = probe.predicate.arguments[0].value
        candidates = list(self.known.things)
        if isinstance(first, String):
            candidates.append(folded(first.plain or ""))
        without = tuple(c for c in dict.fromkeys(candidates) if c and self._clashes(f"{text}{quote(c)[1:]})"))
        bracket = shapes().word("call", "RPAR")
        return seq(
            (Text(Kind(names=self.values.insertable, without=without, opened=True)), Lit(f"{bracket}\n"))
        )

    def _clashes(self, text: str) -> bool:
        statement = parse_statement(text)[0]
        if statement is None:
            return False
        return any(d.code == "GP513" for d in self.later.extend(statement).diagnostics)


def highest_tried(known: Constraints) -> int:
    """Up to which number a count of something that was named before is tried."""
    return min(max(known.highest + 3, _LEAST_TRIED), _MOST_TRIED)


class _Filler:
    """What the parameters of a predicate take: things that are not excluded, everything else by its type."""

    def __init__(
        self, requirements: Requirements, signature: Signature, without: tuple[str, ...] | None = None
    ) -> None:
        self._requirements = requirements
        self._things = LEARNED.get(signature.name, frozenset())
        self._without = requirements.known.absent if without is None else without

    def __call__(self, parameter: Parameter) -> Node:
        short = parameter.high is not None and parameter.high < MAX_TEXT
        if (
            parameter.name in self._things
            and parameter.type is Type.TEXT
            and not parameter.choices
            and not short
        ):
            return self._requirements.thing(self._without)
        return self._requirements.values.argument(parameter)


LEARNED: Mapping[str, frozenset[str]] = {
    _COUNT: frozenset({"what"}),
    _ATTRIBUTE: frozenset({"what"}),
    _RELATION: frozenset({"a", "b"}),
}
"""The parameters that name a thing, of the predicates from which the checker learns what must be there."""


def _named(thing: str, _: Parameter) -> Node:
    return Lit(quote(thing, triple=False))


def _positional(signature: Signature) -> list[Parameter]:
    return [p for p in signature.parameters if not p.named_only]


def _holds(known: Constraints, thing: str, operator: str, base: str, number: int) -> bool:
    return known.copy().add_count(thing, operator, base, number, NOWHERE) is None
