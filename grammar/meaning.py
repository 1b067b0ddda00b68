"""What expressions mean, as numbers: two expressions have one number exactly when they say the same.

Names count for what they are bound to, so renaming changes nothing. Numbers are interned in a table that two
programs share; the cost is linear in the programs, however often a name is used.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from genevolve.grammar.builtins import PREDICATES, TOOLS
from genevolve.grammar.layout import MARK, join_lines, sound
from genevolve.grammar.tree import (
    Boolean,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Name,
    Number,
    Size,
    String,
)
from genevolve.grammar.types import Signature

_SIGNATURES: Mapping[str, Signature] = {s.name: s for s in (*TOOLS, *PREDICATES)}


@dataclass
class Meanings:
    """The table of numbers."""

    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number(self, key: Hashable) -> int:
        """The number of a key; a new one for a new key."""
        return self.numbers.setdefault(key, len(self.numbers))

    def of(self, e: Expression, names: Mapping[str, int], calls: Mapping[Call, int] | None = None) -> int:
        """The number of an expression.

        `names` gives the numbers of what is bound; `calls` those of calls that are known already.
        """
        match e:
            case Number(value):
                return self.number(("number", value))
            case Boolean(value):
                return self.number(("boolean", value))
            case Size(width, height):
                return self.number(("size", width, height))
            case String():
                return self.text(e, names)
            case Name(name):
                return names[name] if name in names else self.number(("free", name))
            case Hole():
                return self.number(("hole",))
            case Index(operand, index):
                return self.number(("index", self.of(operand, names, calls), self.of(index, names, calls)))
            case Comparison(left, operator, right):
                pair = self.of(left, names, calls), self.of(right, names, calls)
                return self.number(("comparison", operator, *pair))
            case Call():
                if calls is not None and e in calls:
                    return calls[e]
                return self.call(e, names, calls)

    def text(self, string: String, names: Mapping[str, int]) -> int:
        """The number of a string: its text as laid out, and what its interpolations stand for."""
        template = "".join(sound(p) if isinstance(p, str) else MARK for p in string.parts)
        text = (join_lines(template) if string.triple else template).strip()
        held = tuple(
            names[p.name] if p.name in names else self.number(("free", p.name)) for p in string.interpolations
        )
        return self.number(("text", text, held))

    def call(self, call: Call, names: Mapping[str, int], calls: Mapping[Call, int] | None = None) -> int:
        """The number of a call: its tool and its arguments by parameter, defaults left out."""
        given = tuple(
            (name, tuple(self.of(value, names, calls) for value in values))
            for name, values in sorted(arguments(call).items())
        )
        return self.number(("call", call.name, given))


def arguments(call: Call) -> dict[str, tuple[Expression, ...]]:
    """The arguments by parameter; several for a variadic one. What equals the default is left out.

    Positional arguments of a tool that is not built in are named `0`, `1`, and so on.
    """
    signature = _SIGNATURES.get(call.name)
    given: dict[str, list[Expression]] = {}
    for name, value in _named(call, signature):
        given.setdefault(name, []).append(value)
    found = {name: tuple(values) for name, values in given.items()}
    if signature is not None:
        for parameter in signature.parameters:
            written = found.get(parameter.name)
            if (
                not parameter.required
                and written is not None
                and len(written) == 1
                and _is(written[0], parameter.default)
            ):
                del found[parameter.name]
    return found


def default(tool: str, parameter: str) -> tuple[Expression, ...]:
    """What a built-in tool takes for a parameter that is not given, as it would be written; else nothing."""
    signature = _SIGNATURES.get(tool)
    found = signature.parameter(parameter) if signature is not None else None
    value = found.default if found is not None and not found.required else None
    return (Number(value, repr(value)),) if isinstance(value, int | float) else ()


def _named(call: Call, signature: Signature | None) -> Iterator[tuple[str, Expression]]:
    position = 0
    for argument in call.arguments:
        if argument.name is not None:
            yield argument.name, argument.value
        elif signature is None or (position >= len(signature.parameters) and not signature.variadic):
            yield str(position), argument.value
        else:
            yield signature.parameters[0 if signature.variadic else position].name, argument.value
        position += argument.name is None


def _is(expression: Expression, default: object) -> bool:
    return default is not None and isinstance(expression, Number | Boolean) and expression.value == default


def calls_in(expression: Expression) -> Iterator[Call]:
    """Every call in an expression, inner ones first, in the order of the text."""
    match expression:
        case Call(arguments=given):
            for argument in given:
                yield from calls_in(argument.value)
            yield expression
        case Index(operand, index):
            yield from calls_in(operand)
            yield from calls_in(index)
        case Comparison(left, right=right):
            yield from calls_in(left)
            yield from calls_in(right)
        case _:
            return
