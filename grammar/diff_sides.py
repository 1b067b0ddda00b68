"""One side of a structural diff: the parts of a program, and what its names mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from genevolve.grammar.clauses import Key, Token, tokens, words
from genevolve.grammar.meaning import Meanings, arguments, calls_in
from genevolve.grammar.span import Span
from genevolve.grammar.tree import (
    Argument,
    Avoid,
    Boolean,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Let,
    Name,
    Number,
    ProgramHeader,
    ProgramParameter,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    Size,
    Statement,
    StatementHole,
    String,
    Tree,
    Use,
)

_S = TypeVar("_S", bound=Statement)


def show(expression: Expression) -> str:
    """An expression on one line, as a person would write it."""
    match expression:
        case Number(value):
            return repr(value)
        case Boolean(value):
            return "true" if value else "false"
        case Size(width, height):
            return f"{width}x{height}"
        case String(parts):
            inner = "".join(p if isinstance(p, str) else f"{{{p.name}}}" for p in parts)
            return '"' + " ".join(inner.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'
        case Name(name):
            return name
        case Hole():
            return "?"
        case Index(operand, index):
            return f"{show(operand)}[{show(index)}]"
        case Comparison(left, operator, right):
            return f"{show(left)} {operator} {show(right)}"
        case Call(name, given):
            return f"{name}({', '.join(_argument(a) for a in given)})"


def _argument(argument: Argument) -> str:
    return f"{argument.name}: {show(argument.value)}" if argument.name else show(argument.value)


def has_hole(call: Call) -> bool:
    """Whether an argument of the call is left to a policy."""
    return any(isinstance(argument.value, Hole) for argument in call.arguments)


class Site(NamedTuple):
    """A call of a tool at its place. `name` is the `let` that it is the value of, else empty."""

    call: Call
    name: str
    span: Span


class Thing(NamedTuple):
    """What a change can speak of: whose it is, as text, and where it stands among its like."""

    subject: str
    text: str
    span: Span
    place: int


class Side:
    """One of the two programs.

    `meanings` is shared by both. `bound` numbers what each name means within this program alone; `names` and
    `calls`, filled while the programs are paired, give one number to what corresponds on both sides.
    """

    def __init__(self, tree: Tree, meanings: Meanings) -> None:
        self.tree = tree
        self.meanings = meanings
        self.header = next(iter(self.all(ProgramHeader)), None)
        self.parameters: tuple[ProgramParameter, ...] = self.header.parameters if self.header else ()
        self.refs = self.all(Ref)
        self.sites = list(self._sites())
        # A `let` that calls a tool is told by its call; the others are values.
        self.values = [let for let in self.all(Let) if not isinstance(let.value, Call)]
        self.bound: dict[str, int] = {}
        self.names: dict[str, int] = {}
        self.calls: dict[Call, int] = {}
        self._bind()

    def all(self, kind: type[_S]) -> list[_S]:
        """The statements of a kind, in order."""
        return [s for s in self.tree.statements if isinstance(s, kind)]

    def _sites(self) -> Iterator[Site]:
        for statement in self.tree.statements:
            for expression in _expressions(statement):
                for call in calls_in(expression):
                    name = statement.name if isinstance(statement, Let) and call is statement.value else ""
                    yield Site(call, name, call.span)

    def _bind(self) -> None:
        for parameter in self.parameters:
            self.bound.setdefault(parameter.name, self.meanings.number(("parameter", parameter.name)))
        for statement in self.tree.statements:
            if isinstance(statement, Let | Ref) and statement.name not in self.bound:
                meaning = self.meanings.of(statement.value, self.bound)
                if isinstance(statement, Ref):
                    meaning = self.meanings.number(("reference", meaning))
                self.bound[statement.name] = meaning

    def key(self, expression: Expression) -> int:
        """What an expression means, in terms of what corresponds on both sides."""
        return self.meanings.of(expression, self.names, self.calls)

    def name(self, name: str) -> int:
        """What a name corresponds to."""
        return self.names[name] if name in self.names else self.meanings.number(("free", name))

    def tokens(self, expression: Expression) -> list[Token]:
        """An expression as tokens; one that is no string is a single token."""
        if isinstance(expression, String):
            return tokens(expression, self.name)
        return [Token(self.key(expression), show(expression))]

    def bag(self, call: Call) -> Counter[Key]:
        """The words of a call's texts, and what its other arguments mean within this program."""
        found: Counter[Key] = Counter()
        for values in arguments(call).values():
            for value in values:
                if isinstance(value, String):
                    found.update(words(tokens(value, self._bound_name)))
                elif not isinstance(value, Number | Boolean | Size | Hole):
                    found[self.meanings.of(value, self.bound)] += 1
        return found

    def _bound_name(self, name: str) -> int:
        return self.bound[name] if name in self.bound else self.meanings.number(("free", name))


def _expressions(statement: Statement) -> Iterator[Expression]:
    """The expressions of a statement in which tools are called: of a predicate only its arguments."""
    match statement:
        case Let(value=value):
            yield value
        case Ref(value=value, purpose=purpose):
            yield value
            if purpose is not None:
                yield purpose
        case Request(text) | Prompt(text) | Avoid(text):
            yield text
        case Require(predicate):
            sides = (predicate.left, predicate.right) if isinstance(predicate, Comparison) else (predicate,)
            for side in sides:
                if isinstance(side, Call):
                    yield from (argument.value for argument in side.arguments)
                else:
                    yield side
        case Render(settings):
            yield from (argument.value for argument in settings)
        case ProgramHeader() | Use() | StatementHole():
            return
