"""A statement of the author's with `?` in it, to be written again with its holes filled.

What the author wrote stands in the grammar as the formatter writes it; each hole takes what its place takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from genevolve.grammar.binding import bind
from genevolve.grammar.builtins import RENDER_SETTINGS
from genevolve.grammar.constrain_nodes import NOTHING, Lit, Node, alt, one_of, seq
from genevolve.grammar.constrain_numbers import int_between
from genevolve.grammar.constrain_require import LEARNED, MAX_COUNT, Requirements, highest_tried
from genevolve.grammar.constrain_text import Kind, Text, folded
from genevolve.grammar.constrain_values import Values
from genevolve.grammar.formatter import format_statement
from genevolve.grammar.lexer import Lexer
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.strings import quote
from genevolve.grammar.tree import (
    PLAIN,
    Avoid,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Let,
    Name,
    Number,
    Prompt,
    Ref,
    Render,
    Require,
    Statement,
    String,
    Use,
)
from genevolve.grammar.types import Parameter, Signature, Type

_SETTINGS = {p.name: p for p in RENDER_SETTINGS}
_UNFILLED = "GP513"


@dataclass(frozen=True)
class Places:
    """What the holes of a statement take that is not a matter of types: made by the statements of the scope."""

    prompt: Callable[[], Node]
    spelled: Callable[[], Node]
    skill: Callable[[], Node]


@dataclass
class Sketch:
    """One statement with holes.

    `node` is the whole statement, or what stands before its last hole when that depends on the others; then
    `after_pause` gives the rest.
    """

    statement: Statement
    values: Values
    requirements: Requirements
    places: Places
    _slots: list[Node] = field(default_factory=list)
    _mark: str = ""

    def __post_init__(self) -> None:
        statement = replace(self.statement, trivia=PLAIN)
        plain = format_statement(statement)
        self._mark = "hole"
        while self._mark in plain:
            self._mark += "_"
        text = format_statement(self._marked(statement)) + "\n"
        self._texts: list[str] = []
        for number in range(len(self._slots)):
            before, _, text = text.partition(f"{self._mark}{number}q")
            self._texts.append(before)
        self._texts.append(text)

    @property
    def _pauses(self) -> bool:
        predicate = self.statement.predicate if isinstance(self.statement, Require) else None
        call = predicate.left if isinstance(predicate, Comparison) else predicate
        return isinstance(call, Call) and call.name in LEARNED and bool(self._slots)

    def node(self) -> Node:
        """The statement, with a line break at its end, or what stands before a pause."""
        if not self._pauses:
            return self._interleaved(self._texts, self._slots)
        before = self._interleaved(self._texts[:-1], self._slots[:-1])
        return seq((before, Lit('"'))) if self._last_is_text else before

    @property
    def _last_is_text(self) -> bool:
        last = self._slots[-1]
        return any(isinstance(n, Text) for n in (*getattr(last, "items", ()), last))

    @property
    def paused_rest(self) -> int:
        """At most how many bytes end the statement once the pause is behind it."""
        return len(self._texts[-1].encode()) if self._pauses else 0

    def _interleaved(self, texts: list[str], slots: list[Node]) -> Node:
        pieces: list[Node] = []
        for number, text in enumerate(texts):
            pieces += [Lit(text)] if text else []
            pieces += slots[number : number + 1]
        return seq(pieces)

    def after_pause(self, text: str) -> Node | None:
        """What may follow a text that stopped before the last hole."""
        tail = self._texts[-1]
        if self._last_is_text:
            known = self.requirements.known.things
            spoken = [s for s in _strings(text) if s] if text else []
            tried = dict.fromkeys((*known, *spoken))
            without = tuple(t for t in tried if self._clashes(f"{text}{quote(t, triple=False)[1:]}{tail}"))
            kind = Kind(names=self.values.insertable, without=without, opened=True)
            return seq((Text(kind), Lit(tail)))
        slot = self._slots[-1]
        if isinstance(self.statement, Require) and isinstance(self.statement.predicate, Comparison):
            highest = highest_tried(self.requirements.known)
            good = [n for n in range(highest + 1) if not self._clashes(f"{text}{n}{tail}")]
            slot = one_of(map(str, good)) if len(good) <= highest else self._any_count()
        else:
            words = [n.text for n in (*getattr(slot, "items", ()), slot) if isinstance(n, Lit)]
            slot = one_of(w for w in words if not self._clashes(f"{text}{w}{tail}")) if words else slot
        return seq((slot, Lit(tail)))

    def _any_count(self) -> Node:
        return alt((int_between(0, MAX_COUNT), self.values.names(Type.INT)))

    def _clashes(self, text: str) -> bool:
        statement = parse_statement(text)[0]
        if statement is None:
            return False
        return any(d.code == _UNFILLED for d in self.requirements.later.extend(statement).diagnostics)

    # ---- the holes, each replaced by a name that stands for it ----

    def _hole(self, node: Node) -> Name:
        self._slots.append(node)
        return Name(f"{self._mark}{len(self._slots) - 1}q")

    def _marked(self, statement: Statement) -> Statement:
        match statement:
            case Let(value=value):
                return replace(statement, value=self._expression(value, lambda: NOTHING))
            case Ref(value=value, purpose=purpose):
                value = self._expression(value, lambda: self.values.image(unbound=True), unbound=True)
                purpose = None if purpose is None else self._expression(purpose, self.places.spelled)
                return replace(statement, value=value, purpose=purpose)
            case Prompt(text=text):
                return replace(statement, text=self._expression(text, self.places.prompt))
            case Avoid(text=text):
                return replace(statement, text=self._expression(text, self.places.spelled))
            case Use(skill=Hole()):
                return replace(statement, skill=self._hole(self.places.skill()).name)
            case Require(predicate=predicate):
                return replace(statement, predicate=self._expression(predicate, lambda: NOTHING))
            case Render(settings=settings):
                found = []
                for setting in settings:
                    parameter = _SETTINGS.get(setting.name or "")
                    value = self._expression(setting.value, partial(self._taken, parameter))
                    found.append(replace(setting, value=value))
                return replace(statement, settings=tuple(found))
        return statement

    def _taken(self, parameter: Parameter | None) -> Node:
        return NOTHING if parameter is None else self.values.argument(parameter)

    def _expression(
        self, expression: Expression, slot: Callable[[], Node], *, unbound: bool = False
    ) -> Expression:
        match expression:
            case Hole():
                return self._hole(slot())
            case Index(operand=operand, index=index):
                operand = self._expression(operand, lambda: self.values.names(Type.IMAGES))
                index = self._expression(index, lambda: self._indexes(operand, unbound=unbound))
                return replace(expression, operand=operand, index=index)
            case Comparison(left=left, right=right):
                left = self._expression(left, lambda: NOTHING)
                return replace(expression, left=left, right=self._expression(right, self._any_count))
            case Call():
                return self._call(expression)
        return expression

    def _indexes(self, operand: Expression, *, unbound: bool) -> Node:
        if isinstance(operand, Name) and operand.name in self.values.scope.names:
            numbers = self.values.indexes(operand.name, unbound=unbound)
        else:
            numbers = list(range(self._length(operand)))
        return one_of(map(str, numbers))

    def _length(self, operand: Expression) -> int:
        """How many images a call gives at least as far as the checker knows; 1 when it knows nothing."""
        if not isinstance(operand, Call):
            return 1
        signature = self.values.scope.environment.signatures.get(operand.name)
        parameter = signature.parameter("top_k") if signature is not None else None
        given = next((a.value for a in operand.arguments if a.name == "top_k"), None)
        if isinstance(given, Number) and isinstance(given.value, int):
            return max(1, given.value)
        default = parameter.default if parameter is not None and given is None else None
        return default if isinstance(default, int) and default > 0 else 1

    def _argument(self, signature: Signature | None, parameter: Parameter | None) -> Node:
        if signature is None or parameter is None:
            return NOTHING
        return self.requirements.filler(signature)(parameter)

    def _call(self, call: Call) -> Call:
        signature = self.values.scope.environment.signatures.get(call.name)
        parameters = {id(a): p for p, a in bind(call, signature).pairs} if signature is not None else {}
        found = []
        for argument in call.arguments:
            parameter = parameters.get(id(argument))
            value = self._expression(argument.value, partial(self._argument, signature, parameter))
            found.append(replace(argument, value=value))
        return replace(call, arguments=tuple(found))


def _strings(text: str) -> list[str]:
    """The texts of the strings that a beginning of a statement holds, as constraints compare them."""
    nodes = (token.node for token in Lexer().lex(text).tokens)
    return [folded(node.plain or "") for node in nodes if isinstance(node, String)]
