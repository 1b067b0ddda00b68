"""Types of expressions, and what is wrong with them: names, calls, arguments, indexes, interpolations.

`Inference.infer` gives an expression's type and notes what it uses in the `Facts`. An expression that has an
error already is `Type.UNKNOWN`, which fits everywhere: one mistake is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any

from genevolve.grammar.binding import bind
from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix, Related
from genevolve.grammar.facts import UNKNOWN_TEXT, Binding, Constant, Facts
from genevolve.grammar.span import Span
from genevolve.grammar.suggest import Suggestion, closest, did_you_mean, listed
from genevolve.grammar.tree import (
    Argument,
    Boolean,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Interpolation,
    Let,
    Name,
    Number,
    ProgramHeader,
    Ref,
    Size,
    String,
    Tree,
)
from genevolve.grammar.types import (
    INTERPOLATED_TYPES,
    Environment,
    Parameter,
    Signature,
    Type,
)

MAX_DEPTH = 60
"""Deeper expressions are refused; the parser refuses them earlier, a tree built by hand meets this guard."""

MAX_FINDINGS = 500
"""After so many diagnostics nobody reads on."""

_MAX_SUGGESTIONS = 40  # comparing every wrong word with every name is quadratic in a hostile program

PHRASES = {
    Type.TEXT: "text",
    Type.INT: "an int",
    Type.FLOAT: "a float",
    Type.BOOL: "a bool",
    Type.SIZE: "a size",
    Type.EVIDENCE: "evidence",
    Type.IMAGES: "a list of images",
    Type.IMAGE: "an image",
    Type.PREDICATE: "a predicate",
    Type.QUANTITY: "a count",
    Type.REFERENCE: "a reference",
    Type.UNKNOWN: "a value",
}


class Place(Enum):
    """Where a string stands; it decides what may be interpolated."""

    PROMPT = auto()
    REQUEST = auto()
    ELSEWHERE = auto()


class Inference:
    """One pass over expressions. `out` collects the diagnostics, `facts` what was learned.

    Args:
        environment: Tools, skills and limits.
        facts: Changed in place.
        tree: The whole program when it is known, to tell a name that comes later from one that does not exist.
        lost: Names whose definitions may have been lost to syntax errors; their use is no mistake.
        values: Parameter values, when they are known.
    """

    def __init__(
        self,
        environment: Environment,
        facts: Facts,
        *,
        tree: Tree | None = None,
        lost: frozenset[str] = frozenset(),
        values: Mapping[str, Constant] | None = None,
    ) -> None:
        self.environment = environment
        self.facts = facts
        self.out: list[Diagnostic] = []
        self.values: Mapping[str, Constant] = values or {}
        self._tree = tree
        self._lost = lost
        self._place = Place.ELSEWHERE
        self._depth = 0
        self._too_deep = False
        self._defining: tuple[str, Span] | None = None
        self._later: dict[str, Span] | None = None
        self._suggestions = 0

    # ---- reporting ----

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        *notes: str,
        fix: Fix | None = None,
        related: tuple[Related, ...] = (),
    ) -> None:
        """Add a diagnostic."""
        if len(self.out) < MAX_FINDINGS:
            self.out.append(Diagnostic(code, message, span, notes, fix, related))

    def suggest(self, word: str, candidates: Iterable[str]) -> Suggestion | None:
        """The candidate that `word` most likely stood for."""
        self._suggestions += 1
        return closest(word, candidates) if self._suggestions <= _MAX_SUGGESTIONS else None

    # ---- expressions ----

    def infer(self, expression: Expression) -> Type:
        """The type of an expression that is neither the operand of `require` nor a whole text."""
        if self._depth >= MAX_DEPTH:
            self._too_deep = True
            self.report("GP112", f"this is nested more than {MAX_DEPTH} deep", expression.span)
            return Type.UNKNOWN
        self._depth += 1
        kind = _INFER[type(expression)](self, expression)
        self._depth -= 1
        return kind

    def infer_text(self, expression: Expression, place: Place) -> Type:
        """The type of an expression whose interpolations follow the rules of a place."""
        self._place = place
        kind = self.infer(expression)
        self._place = Place.ELSEWHERE
        return kind

    def _number(self, number: Number) -> Type:
        return Type.INT if isinstance(number.value, int) else Type.FLOAT

    def _boolean(self, _: Boolean) -> Type:
        return Type.BOOL

    def _size(self, _: Size) -> Type:
        return Type.SIZE

    def _hole(self, _: Hole) -> Type:
        self.facts.last_hole = self.facts.count
        return Type.UNKNOWN

    def _name(self, name: Name) -> Type:
        binding = self.use(name.name, name.span)
        return Type.UNKNOWN if binding is None else binding.type

    def _string(self, string: String) -> Type:
        told: set[str] | None = None
        for part in string.parts:
            if isinstance(part, Interpolation):
                # A name that is wrong twice in one string is one mistake.
                if told is None:
                    told = set()
                if part.name not in told and not self._interpolate(part):
                    told.add(part.name)
        return Type.TEXT

    def _comparison(self, comparison: Comparison) -> Type:
        before = len(self.out)
        if isinstance(comparison.left, Call):
            self.call(comparison.left, predicate=True)
        else:
            self.infer(comparison.left)
        self.infer(comparison.right)
        if len(self.out) == before:
            self.report("GP316", "a comparison can only stand in 'require'", comparison.span)
        return Type.UNKNOWN

    def _index(self, index: Index) -> Type:
        operand = self.infer(index.operand)
        position = self.infer(index.index)
        if operand is Type.UNKNOWN:
            return Type.UNKNOWN if not isinstance(index.operand, Hole) else Type.IMAGE
        if operand is not Type.IMAGES:
            notes = ("evidence is read with 'ask(…)'",) if operand is Type.EVIDENCE else ()
            self.report(
                "GP304",
                f"only a list of images can be indexed, and this is {PHRASES[operand]}",
                index.operand.span,
                *notes,
            )
            return Type.UNKNOWN
        value = self.facts.constant(index.index)
        if position is not Type.UNKNOWN and position is not Type.INT:
            message = f"an index is a whole number from 0, and this is {PHRASES[position]}"
            self.report("GP305", message, index.index.span)
        elif isinstance(value, int) and value < 0:
            message = f"an index is a whole number from 0, and this is {value}"
            self.report("GP305", message, index.index.span, "the first image is '[0]'")
        elif isinstance(value, int):
            self._check_index(index, value)
        return Type.IMAGE

    def _check_index(self, index: Index, value: int) -> None:
        length = self.length(index.operand)
        if length is None or value < length:
            return
        many = "1 image" if length == 1 else f"{length} images"
        message = f"there is no image [{value}]: at most {many} can be found"
        note = f"the last one is '[{length - 1}]'; a larger 'top_k' asks for more"
        self.report("GP306", message, index.index.span, note)

    def length(self, expression: Expression) -> int | None:
        """How many images a list holds at most, when that is known."""
        if isinstance(expression, Name):
            binding = self.facts.names.get(expression.name)
            return binding.length if binding is not None else None
        if not isinstance(expression, Call):
            return None
        signature = self.environment.signatures.get(expression.name)
        if signature is None or signature.returns is not Type.IMAGES:
            return None
        parameter = signature.parameter("top_k")
        if parameter is None:
            return None
        given = next((a.value for a in expression.arguments if a.name == "top_k"), None)
        value = parameter.default if given is None else self.facts.constant(given)
        return value if isinstance(value, int) and value > 0 else None

    # ---- names ----

    def use(self, name: str, span: Span) -> Binding | None:
        """The binding of a name that is used at `span`; None, and a diagnostic, when there is none."""
        binding = self.facts.names.get(name)
        if binding is None:
            self._unknown_name(name, span)
            return None
        self.facts.used.add(name)
        return binding

    def _unknown_name(self, name: str, span: Span) -> None:
        if name in self._lost:
            return
        later = self._defined_later(name)
        if later is not None:
            self._meant(name)
            self.report(
                "GP211",
                f"'{name}' is used before it is defined",
                span,
                "a program runs from top to bottom",
                related=(Related("defined here", later),),
            )
            return
        notes: tuple[str, ...] = ()
        near = None
        if name in self.environment.signatures:
            notes = (f"'{name}' is a tool: call it with '{name}(…)'",)
        elif name in self.environment.skills:
            notes = (f"'{name}' is a skill: 'use skill {name}' applies it",)
        else:
            near = self.suggest(name, self.facts.names)
        if near is not None:
            self._meant(near.word)
        if not notes and near is None and self.facts.names:
            notes = (f"known here: {listed(self.facts.names)}",)
        if self.facts.hole is not None:
            notes += ("what fills '...' is not known yet, so nothing can use its names",)
        fix = Fix(f"write '{near.word}'", (Edit(span, near.word),)) if near and near.sure else None
        # The span of an interpolation may include its braces.
        if fix is not None and span.end - span.start != len(name):
            start = span.start + 1
            fix = Fix(fix.message, (Edit(Span(start, start + len(name)), near.word),)) if near else None
        self.report("GP201", f"nothing is named '{name}'{did_you_mean(near)}", span, *notes, fix=fix)

    def _meant(self, name: str) -> None:
        """A name that was misspelt, called or used too early is not unused as well."""
        self.facts.used.add(name)
        if self._place is Place.PROMPT:
            self.facts.mentioned.add(name)

    def _defined_later(self, name: str) -> Span | None:
        if self._defining is not None and self._defining[0] == name:
            return self._defining[1]
        if self._tree is None:
            return None
        if self._later is None:
            self._later = {}
            for statement in self._tree.statements:
                if isinstance(statement, Let | Ref):
                    self._later.setdefault(statement.name, statement.name_span)
                elif isinstance(statement, ProgramHeader):
                    for parameter in statement.parameters:
                        self._later.setdefault(parameter.name, parameter.name_span)
        return self._later.get(name)

    def _interpolate(self, part: Interpolation) -> bool:
        """Check `{name}`; whether it may stand where it stands."""
        binding = self.use(part.name, part.span)
        if binding is None:
            return False
        kind, name = binding.type, part.name
        if self._place is Place.REQUEST and binding.kind != "param":
            code = "GP409" if kind is Type.REFERENCE else "GP307"
            note = "a request is what the person says, so only parameters can stand in it"
            self.report(code, f"'{name}' cannot stand in the request", part.span, note)
            return False
        if kind is Type.REFERENCE:
            if self._place is Place.PROMPT:
                self.facts.mentioned.add(name)
                return True
            note = "only the generator sees the reference images, and it reads only the prompt"
            self.report("GP409", f"the reference '{name}' can only be named in the prompt", part.span, note)
            return False
        if kind in INTERPOLATED_TYPES or kind is Type.UNKNOWN:
            return True
        if self._place is Place.PROMPT and kind in (Type.IMAGE, Type.IMAGES):
            chosen = name if kind is Type.IMAGE else f"{name}[0]"
            note = f"bind it first, for example 'ref {name}_ref = {chosen} for …', and write '{{{name}_ref}}'"
            message = f"'{name}' is {PHRASES[kind]}; only a reference can be named in a prompt"
            self.report("GP407", message, part.span, note)
            return False
        notes = (f"'ask({name}, …)' takes a text out of it",) if kind is Type.EVIDENCE else ()
        message = f"'{name}' is {PHRASES[kind]} and cannot stand inside a string"
        self.report("GP307", message, part.span, "text, int, float and size can", *notes)
        return False

    # ---- calls ----

    def _call(self, call: Call) -> Type:
        return self.call(call)

    def call(self, call: Call, *, predicate: bool = False) -> Type:
        """Check a call. `predicate` tells that it is the operand of `require`."""
        place, self._place = self._place, Place.ELSEWHERE
        kind = self._checked_call(call, predicate)
        self._place = place
        return kind

    def _checked_call(self, call: Call, predicate: bool) -> Type:
        signature = self.environment.signatures.get(call.name)
        if signature is None:
            self._unknown_call(call, predicate)
            for argument in call.arguments:
                self.infer(argument.value)
            return Type.UNKNOWN
        holes = self.facts.last_hole
        self.facts.last_hole = -1
        bound = bind(call, signature)
        if bound.diagnostics:
            self.out.extend(bound.diagnostics)
        for parameter, argument in bound.pairs:
            self._argument(signature, parameter, argument)
        whole = self.facts.last_hole < 0
        self.facts.last_hole = max(holes, self.facts.last_hole)
        if signature.returns in (Type.PREDICATE, Type.QUANTITY):
            if predicate:
                return signature.returns
            self.report(
                "GP316",
                f"'{call.name}' is a predicate and can only stand in 'require'",
                call.span,
                "'require' says what the picture must hold; it has no value to use elsewhere",
            )
            return Type.UNKNOWN
        self._spend(call, signature)
        if whole and not bound.diagnostics and not self._too_deep:
            self._see(call)
        return signature.returns

    def _unknown_call(self, call: Call, predicate: bool) -> None:
        wanted = (Type.PREDICATE, Type.QUANTITY)
        signatures = self.environment.signatures.values()
        of_kind = [s.name for s in signatures if (s.returns in wanted) is predicate]
        near = self.suggest(call.name, of_kind) or self.suggest(call.name, self.environment.signatures)
        what = "predicate" if predicate else "tool"
        notes: tuple[str, ...] = ()
        absent = self.environment.why_absent(call.name)
        if absent is not None:
            notes, near = (absent,), None
        elif call.name in self.facts.names:
            self._meant(call.name)
            notes = (f"'{call.name}' is a name of this program; names are not called",)
        elif near is None:
            notes = (f"there are {listed(of_kind)}",) if of_kind else ("no tool is registered",)
        fix = None
        if near is not None and near.sure:
            fix = Fix(f"write '{near.word}'", (Edit(call.name_span, near.word),))
        message = f"there is no {what} '{call.name}'{did_you_mean(near)}"
        self.report("GP202", message, call.name_span, *notes, fix=fix)

    def _spend(self, call: Call, signature: Signature) -> None:
        self.facts.calls += signature.cost
        limit = self.environment.max_calls
        if signature.cost and self.facts.calls > limit >= self.facts.calls - signature.cost:
            self.report_budget(f"the call of '{call.name}'", call.span)

    def report_budget(self, what: str, span: Span) -> None:
        """GP501 at the statement or call that passes the limit."""
        limit = self.environment.max_calls
        message = f"{what} is one more than the {limit} calls that a program may spend"
        self.report("GP501", message, span, "a tool call spends its cost, 'use skill' spends 1")

    def _see(self, call: Call) -> None:
        first = self.facts.seen.setdefault(call, call.span)
        if first is not call.span:
            self.report(
                "GP512",
                f"'{call.name}' is called with the same arguments above",
                call.span,
                "name the first result with 'let' and use it twice; the same call gives the same answer",
                related=(Related("called first here", first),),
            )

    # ---- arguments ----

    def _argument(self, signature: Signature, parameter: Parameter, argument: Argument) -> None:
        value, wanted = argument.value, parameter.type
        kind = self.infer(value)
        if kind is wanted or kind.fits(wanted):
            if kind is not Type.UNKNOWN:
                owner = f"'{parameter.name}' of '{signature.name}'"
                self.check_range(parameter, value, owner, "GP312")
            return
        if wanted is Type.REFERENCE:
            message = f"'{signature.name}' compares with a reference, and this is {PHRASES[kind]}"
            self.report("GP410", message, value.span, "bind the image with 'ref' and name that")
            return
        takes = f"'{parameter.name}' of '{signature.name}' takes {PHRASES[wanted]}"
        notes = _advice(kind, wanted, value)
        fix = conversion(kind, wanted, value)
        free = [p for p in signature.parameters if p.named_only and kind.fits(p.type)]
        if signature.variadic and argument.name is None and len(free) == 1:
            name, start = free[0].name, argument.span.start
            notes += (f"'{name}' is written with its name: '{name}: …'",)
            fix = Fix(f"write '{name}:' before it", (Edit(Span(start, start), f"{name}: "),))
        self.report("GP301", f"{takes}, and this is {PHRASES[kind]}", value.span, *notes, fix=fix)

    def check_range(self, parameter: Parameter, value: Expression, owner: str, code: str) -> None:
        """Report a value outside the parameter's range (`code`) or choices (GP315), when it is known."""
        low, high = parameter.low, parameter.high
        if low is None and high is None and not parameter.choices:
            return
        constant = self.facts.constant(value)
        if isinstance(constant, str) and parameter.choices:
            self._check_choice(parameter, value, owner, constant)
            return
        if constant is None and isinstance(value, String):
            least = len(self.facts.text(value).replace(UNKNOWN_TEXT, ""))
            if high is not None and least > high:
                self._too_long(value, owner, least, high, code)
            return
        measures: tuple[float, ...]
        match constant:
            case str():
                size = len(constant.strip())
                if low is not None and size < low:
                    message = (
                        f"{owner} is empty" if low <= 1 else f"{owner} is shorter than {low:g} characters"
                    )
                    self.report(code, message, value.span)
                elif high is not None and size > high:
                    self._too_long(value, owner, size, high, code)
                return
            case Size(width, height):
                measures = (width, height)
            case bool() | None:
                return
            case _:
                measures = (constant,)
        if any((low is not None and m < low) or (high is not None and m > high) for m in measures):
            unit = " pixels on each side" if isinstance(constant, Size) else ""
            bounds = f"{_plain(low)} to {_plain(high)}" if high is not None else f"at least {_plain(low)}"
            if low is None:
                bounds = f"at most {_plain(high)}"
            given = f"{measures[0]:,}" if len(measures) == 1 else "x".join(str(m) for m in measures)
            self.report(code, f"{owner} must be {bounds}{unit}, not {given}", value.span)

    def _too_long(self, value: Expression, owner: str, size: int, high: float, code: str) -> None:
        message = f"{owner} is {size:,} characters long; {_plain(high)} are allowed"
        self.report(code, message, value.span)

    def _check_choice(self, parameter: Parameter, value: Expression, owner: str, constant: str) -> None:
        if constant in parameter.choices:
            return
        near = self.suggest(constant, parameter.choices)
        fix = None
        if near is not None and near.sure and isinstance(value, String):
            fix = Fix(f'write "{near.word}"', (Edit(value.span, f'"{near.word}"'),))
        shown = constant if len(constant) <= 40 else constant[:39] + "…"
        self.report(
            "GP315",
            f"'{shown}' is no choice for {owner}{did_you_mean(near)}",
            value.span,
            f"the choices are {listed(parameter.choices)}",
            fix=fix,
        )


_INFER: dict[type, Callable[[Inference, Any], Type]] = {
    Number: Inference._number,
    Boolean: Inference._boolean,
    Size: Inference._size,
    Hole: Inference._hole,
    Name: Inference._name,
    String: Inference._string,
    Comparison: Inference._comparison,
    Index: Inference._index,
    Call: Inference._call,
}


def _plain(number: float | None) -> str:
    if number is None:
        return "any"
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _advice(kind: Type, wanted: Type, value: Expression) -> tuple[str, ...]:
    """What to write instead, for the mix-ups that people make."""
    shown = value.name if isinstance(value, Name) else "…"
    if kind is Type.IMAGES and wanted in (Type.IMAGE, Type.REFERENCE):
        return (f"choose one of them: '{shown}[0]' or 'pick({shown}, \"…\")'",)
    if kind is Type.EVIDENCE and wanted is Type.TEXT:
        return (f"take a text out of it: 'ask({shown}, \"…\")'",)
    if kind is Type.TEXT and wanted in (Type.IMAGE, Type.REFERENCE):
        return ("open a file with 'image(\"…\")', or look for pictures with 'image_search(\"…\")'",)
    return ()


def conversion(kind: Type, wanted: Type, value: Expression) -> Fix | None:
    """The same value written as the type asks for, where nothing else is wrong."""
    if wanted is Type.TEXT and isinstance(value, Number | Size):
        raw = value.raw if isinstance(value, Number) else f"{value.width}x{value.height}"
        return Fix("put it in quotes", (Edit(value.span, f'"{raw}"'),))
    if wanted is Type.TEXT and isinstance(value, Name) and kind in INTERPOLATED_TYPES:
        return Fix("put it in a string", (Edit(value.span, f'"{{{value.name}}}"'),))
    if wanted is Type.INT and isinstance(value, String):
        text = (value.plain or "").strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            return Fix("drop the quotes", (Edit(value.span, text),))
    if (
        wanted is Type.INT
        and isinstance(value, Number)
        and kind is Type.FLOAT
        and value.value == int(value.value)
    ):
        return Fix("write a whole number", (Edit(value.span, str(int(value.value))),))
    return None
