"""Elaboration: a checked program and the values of its names become z, what a renderer is given.

Before (`title` is "PARIS", `tower` the first `ref`):

    prompt "The title {title} runs across the top. {tower} stands behind it."
    avoid "warped lettering"

After: `gen_prompt` is 'The title PARIS runs across the top. The first reference image stands behind it.' and
`negative_prompt` is 'warped lettering', followed by the guards of the skills in use.

Pure and deterministic: the same tree, values and references always give the same z. How triple-quoted text is
laid out says `grammar.layout`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from genevolve.grammar.binding import bind
from genevolve.grammar.builtins import PREDICATES, RENDER_SETTINGS
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.errors import InternalError, ProgramError
from genevolve.grammar.layout import MARK, clean_value, join_lines, sound
from genevolve.grammar.ordinals import ORDINALS, find_protocol_breaks, ordinal_before, ordinal_phrase
from genevolve.grammar.span import NOWHERE, Source, Span
from genevolve.grammar.tree import (
    Argument,
    Avoid,
    Boolean,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Name,
    Number,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    Size,
    StatementHole,
    String,
    Tree,
    Use,
)
from genevolve.grammar.types import Parameter, Signature, Type
from genevolve.grammar.z import Constraint, Reference, Scalar, Settings, Z

__all__ = ["elaborate", "evaluate", "evaluate_text", "negative_prompt", "ordinal_phrase"]

MAX_PROMPT_CHARS = 20_000
_NO_SOURCE = Source("")


def elaborate(
    tree: Tree,
    values: Mapping[str, object],
    references: Sequence[Reference] = (),
    guards: Mapping[str, Sequence[str]] | None = None,
    *,
    source: Source = _NO_SOURCE,
    calls: Mapping[Call, object] | None = None,
    predicates: Iterable[Signature] = PREDICATES,
    max_prompt_chars: int = MAX_PROMPT_CHARS,
) -> Z:
    """The z that a program means.

    Args:
        tree: A checked program without holes.
        values: What parameters and `let` names hold (text, numbers, sizes; others may be present).
        references: The bound images, in the order of the `ref` statements, ordinals from 1.
        guards: For each skill, its phrases for the negative prompt.
        source: Where the tree comes from, for diagnostics.
        calls: What calls gave that stand where text or a number is needed and that no `let` names.
        predicates: Signatures of what `require` may say.
        max_prompt_chars: The longest prompt that is allowed, values included.

    Raises:
        ProgramError: a hole (GP601), a value that cannot stand where it is used (GP307, GP310, GP312 to
            GP315), a value that brings a written ordinal, an image id or a URL into what the generator reads
            (GP401, GP404, GP405), a prompt that is too long (GP509), or a name or statement that is missing.
    """
    if [r.ordinal for r in references] != list(range(1, len(references) + 1)):
        raise InternalError("references must come in order, with ordinals from 1")
    scope = _Scope(values, {r.name: r.ordinal for r in references}, source, calls or {})
    said = _read(tree, scope, {s.name: s for s in predicates}, max_prompt_chars)
    skills = tuple(dict.fromkeys(said.skills))
    wanted = [phrase for skill in skills for phrase in (guards or {}).get(skill, ())]
    negative = negative_prompt(said.avoided, wanted)
    return Z(
        said.request, said.prompt, negative, tuple(references), said.settings, tuple(said.constraints), skills
    )


def evaluate(
    expression: Expression,
    values: Mapping[str, object],
    *,
    source: Source = _NO_SOURCE,
    calls: Mapping[Call, object] | None = None,
) -> object:
    """The value of an expression that needs no tool: a literal, a name, a string with interpolations.

    A size literal is given as the tree's own `Size`. Calls are looked up in `calls`. Raises `ProgramError` on
    a hole, an unknown name, or a value that cannot be interpolated.
    """
    return _Scope(values, {}, source, calls or {}).value(expression)


def evaluate_text(
    string: String,
    values: Mapping[str, object],
    ordinals: Mapping[str, int] | None = None,
    *,
    source: Source = _NO_SOURCE,
) -> str:
    """The text that a string stands for.

    Names in `ordinals` become "the first reference image" and so on; all others are looked up in `values`.
    Values are inserted as one clean line (see `layout.clean_value`); braces in them mean nothing. Raises
    `ProgramError` on an unknown name or a value that is neither text, a number nor a size.
    """
    scope = _Scope(values, ordinals or {}, source, {})
    return "".join(p.text for p in scope.pieces(string, with_references=True))


def negative_prompt(avoided: Iterable[str], guards: Iterable[str] = ()) -> str:
    """`avoid` texts, then guards that none of the earlier texts says already (whole words, any case)."""
    parts = [part for text in avoided if (part := text.strip().rstrip(",").rstrip())]
    for guard in guards:
        phrase = guard.strip().rstrip(",").rstrip()
        pattern = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
        if phrase and not any(pattern.search(part) for part in parts):
            parts.append(phrase)
    return ", ".join(parts)


@dataclass
class _Said:
    """What the statements of a program say, evaluated, in the order of the program."""

    request: str = ""
    prompt: str = ""
    avoided: list[str] = field(default_factory=list)
    skills: list[str] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)


def _read(tree: Tree, scope: _Scope, predicates: Mapping[str, Signature], max_chars: int) -> _Said:
    said = _Said()
    seen: set[type] = set()
    for statement in tree.statements:
        seen.add(type(statement))
        match statement:
            case Request(text):
                said.request = scope.text(text).strip()
            case Prompt(text):
                said.prompt = scope.prompt(text, max_chars)
            case Avoid(text):
                said.avoided.append(scope.guarded(text))
            case Ref(purpose=purpose) if purpose is not None:
                scope.guarded(purpose)  # its text is the reference's note already; here it is only judged
            case Require(predicate):
                said.constraints.append(_constraint(predicate, predicates, scope))
            case Use(skill) if isinstance(skill, str):
                said.skills.append(skill)
            case Render(written):
                said.settings = _settings(written, scope)
            case Use() | StatementHole():
                raise scope.unfilled(statement.span)
            case _:
                pass
    if Request not in seen:
        raise scope.error("GP502", "the program has no request", NOWHERE)
    if Prompt not in seen:
        raise scope.error("GP504", "the program has no prompt", NOWHERE)
    return said


class _Piece(NamedTuple):
    """A stretch of evaluated text. `span` is the interpolation that it came from, None for literal text."""

    text: str
    span: Span | None = None
    name: str = ""
    reference: bool = False


_SENTENCE_START = re.compile(
    r"(?:\A|[.!?…][\"'”’)\]]*\s|\n|[。！？])\s*(?:[-*•‣–]\s+|\d{1,3}[.)]\s+)?[\"'“‘(\[]*\Z"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|approx|ca|etc|no|nr|fig|mr|mrs|ms|dr|st|prof)|\b[A-Za-z])\.\s*\Z", re.IGNORECASE
)
_ARTICLE = re.compile(r"\b(the)\s+\Z", re.IGNORECASE)


@dataclass(frozen=True)
class _Scope:
    """What the names of a program mean while it is elaborated."""

    values: Mapping[str, object]
    ordinals: Mapping[str, int]
    source: Source
    calls: Mapping[Call, object] = field(default_factory=dict)

    def error(self, code: str, message: str, span: Span) -> ProgramError:
        return ProgramError.at(self.source, Diagnostic(code, message, span))

    def unfilled(self, span: Span) -> ProgramError:
        return self.error("GP601", "this hole is not filled, so the program cannot be run", span)

    # ---- values ----

    def value(self, expression: Expression) -> object:
        match expression:
            case Number(value) | Boolean(value):
                return value
            case Size():
                return expression
            case String():
                return self.text(expression)
            case Name(name):
                return self.lookup(name, expression.span)
            case Call() if expression in self.calls:
                return self.calls[expression]
            case Hole():
                raise self.error(
                    "GP601", "this hole is not filled, so the program cannot be run", expression.span
                )
            case Call() | Index() | Comparison():
                raise self.error("GP310", "a literal, a name or a string is needed here", expression.span)

    def lookup(self, name: str, span: Span) -> object:
        if name not in self.values:
            raise self.error("GP201", f"nothing is named '{name}'", span)
        return self.values[name]

    # ---- text ----

    def text(self, expression: Expression) -> str:
        """The text of an expression outside a prompt."""
        return "".join(p.text for p in self.pieces(expression, with_references=False))

    def guarded(self, expression: Expression) -> str:
        """Text that the generator reads: it may not break the ordinal protocol."""
        pieces = list(self.pieces(expression, with_references=False))
        self._check_protocol(pieces, expression.span)
        return "".join(p.text for p in pieces).strip()

    def prompt(self, expression: Expression, max_chars: int) -> str:
        pieces = list(self.pieces(expression, with_references=True))
        self._check_protocol(pieces, expression.span)
        text = "".join(p.text for p in pieces).strip()
        if not text:
            raise self.error("GP310", "the prompt is empty", expression.span)
        if len(text) > max_chars:
            message = f"the prompt is {len(text):,} characters long; {max_chars:,} are allowed"
            raise self.error("GP509", message, expression.span)
        return text

    def pieces(self, expression: Expression, *, with_references: bool) -> Iterator[_Piece]:
        if not isinstance(expression, String):
            yield _Piece(self._inserted(self.value(expression), expression.span, "it"), expression.span)
            return
        template = "".join(sound(p) if isinstance(p, str) else MARK for p in expression.parts)
        literals = (join_lines(template) if expression.triple else template).split(MARK)
        said = literals[0]
        yield _Piece(said)
        for part, literal in zip(expression.interpolations, literals[1:], strict=True):
            if part.name in self.ordinals:
                if not with_references:
                    message = f"'{part.name}' is a reference image and can only be named in the prompt"
                    raise self.error("GP409", message, part.span)
                piece = _Piece(
                    self._reference(part.name, said, part.span), part.span, part.name, reference=True
                )
            else:
                value = self.lookup(part.name, part.span)
                piece = _Piece(self._inserted(value, part.span, f"'{part.name}'"), part.span, part.name)
            yield piece
            yield _Piece(literal)
            said = (said + piece.text + literal)[-200:]  # enough to see how the sentence began

    def _inserted(self, value: object, span: Span, name: str) -> str:
        match value:
            case str():
                return clean_value(value)
            case bool():
                pass
            case int() if value.bit_length() > 1024:
                raise self.error("GP312", f"{name} is a number too long to be written out", span)
            case int() | float():
                return repr(value)
            case Size(width, height):
                return f"{width}x{height}"
            case _ if _is_size(value):
                return str(value)
        raise self.error(
            "GP307", f"{name} is neither text, a number nor a size, so it cannot stand in a string", span
        )

    def _reference(self, name: str, said: str, span: Span) -> str:
        ordinal = self.ordinals[name]
        if ordinal > len(ORDINALS):
            raise self.error("GP403", f"there is no word for reference image {ordinal}", span)
        if (counted := ordinal_before(said)) is not None:
            message = f"the prompt counts the reference image '{name}' by hand: “{counted} {{{name}}}”"
            raise self.error("GP401", message, span)
        phrase = ordinal_phrase(ordinal)
        if _ARTICLE.search(said):
            return phrase.removeprefix("the ")
        starts = _SENTENCE_START.search(said) and not _ABBREVIATION.search(said)
        return phrase[0].upper() + phrase[1:] if starts else phrase

    def _check_protocol(self, pieces: Sequence[_Piece], whole: Span) -> None:
        """Raise when the text spells what only elaboration may write. References count as one symbol."""
        shown = ["\ufffc" if p.reference else p.text for p in pieces]
        found: list[Diagnostic] = []
        for broken in find_protocol_breaks("".join(shown)):
            start, culprit = 0, None
            for piece, text in zip(pieces, shown, strict=True):
                inside = start < broken.end and broken.start < start + len(text)
                if inside and piece.span is not None and not piece.reference:
                    culprit = piece
                    break
                start += len(text)
            found.append(_broken(broken.code, broken.found, culprit, whole))
        if found:
            raise ProgramError.at(self.source, *dict.fromkeys(found))


_BROKEN = {
    "GP401": "names a reference image by a written ordinal",
    "GP404": "contains the id of an image",
    "GP405": "contains a URL",
}


def _broken(code: str, found: str, culprit: _Piece | None, whole: Span) -> Diagnostic:
    shown = found if len(found) <= 60 else found[:57] + "…"
    if culprit is None or culprit.span is None:
        return Diagnostic(code, f"the text {_BROKEN[code]}: “{shown}”", whole)
    name = f"the value of '{culprit.name}'" if culprit.name else "this value"
    note = (
        "write {name} of a ref where the prompt means a reference image, and keep ids and URLs out of values"
    )
    return Diagnostic(code, f"with {name} the text {_BROKEN[code]}: “{shown}”", culprit.span, (note,))


def _is_size(value: object) -> bool:
    """Sizes of the interpreter are known by how they read; a picture has a width too and is no size."""
    width, height = getattr(value, "width", None), getattr(value, "height", None)
    return width is not None and str(value) == f"{width}x{height}"


# ---- constraints and settings ------------------------------------------------------------------------


def _constraint(predicate: Expression, signatures: Mapping[str, Signature], scope: _Scope) -> Constraint:
    match predicate:
        case Call():
            return Constraint(predicate.name, _arguments(predicate, signatures, scope))
        case Comparison(Call() as call, operator, right):
            n = scope.value(right)
            if isinstance(n, bool) or not isinstance(n, int):
                raise scope.error("GP301", "count(...) is compared with a whole number", right.span)
            if not 0 <= n < 2**31:
                raise scope.error("GP312", f"nothing can be counted to {n}", right.span)
            return Constraint(
                call.name, {**_arguments(call, signatures, scope), "operator": operator, "n": n}
            )
        case Hole():
            raise scope.error(
                "GP601", "this hole is not filled, so the program cannot be run", predicate.span
            )
        case _:
            raise scope.error("GP309", "require needs a predicate", predicate.span)


def _arguments(call: Call, signatures: Mapping[str, Signature], scope: _Scope) -> dict[str, Scalar]:
    """The arguments of a predicate by parameter name, in the order of its signature."""
    signature = signatures.get(call.name)
    if signature is None:
        raise scope.error("GP202", f"there is no predicate named '{call.name}'", call.name_span)
    bound = bind(call, signature)
    if not bound.ok:
        raise ProgramError.at(scope.source, *bound.diagnostics)
    given = {parameter.name: argument.value for parameter, argument in bound.pairs}
    return {p.name: _argument(p, given[p.name], scope) for p in signature.parameters if p.name in given}


def _argument(parameter: Parameter, expression: Expression, scope: _Scope) -> Scalar:
    if parameter.type is Type.REFERENCE:
        if not isinstance(expression, Name) or expression.name not in scope.ordinals:
            raise scope.error("GP410", f"'{parameter.name}' must be the name of a ref", expression.span)
        return scope.ordinals[expression.name]
    value = scope.text(expression) if parameter.type is Type.TEXT else scope.value(expression)
    if parameter.type is Type.TEXT and isinstance(value, str):
        value = value.strip()
    return _fitting(parameter, value, expression.span, scope)


_PYTHON_TYPES: dict[Type, tuple[type, ...]] = {
    Type.TEXT: (str,),
    Type.INT: (int,),
    Type.FLOAT: (int, float),
    Type.BOOL: (bool,),
}


def _fitting(
    parameter: Parameter, value: object, span: Span, scope: _Scope, *, setting: bool = False
) -> Scalar:
    """The value, when it has the parameter's type, range and choices."""
    what = f"'{parameter.name}'"
    fits = isinstance(value, _PYTHON_TYPES.get(parameter.type, ()))
    if not fits or (isinstance(value, bool) and parameter.type is not Type.BOOL):
        raise scope.error("GP313" if setting else "GP301", f"{what} must be {parameter.type}", span)
    if not isinstance(value, str | int | float):  # what `fits` says already, in the type checker's terms
        raise InternalError(f"{what} has a type that z cannot carry")
    measure = len(value) if isinstance(value, str) else value
    out_of_range = "GP314" if setting else "GP312"
    if isinstance(measure, float) and not math.isfinite(measure):
        raise scope.error(out_of_range, f"{what} must be a finite number", span)
    low, high = parameter.low, parameter.high
    if (low is not None and measure < low) or (high is not None and measure > high):
        unit = " characters long" if isinstance(value, str) else ""
        bounds = f"{low if low is not None else '…'} to {high if high is not None else '…'}"
        raise scope.error(out_of_range, f"{what} must be {bounds}{unit}, not {measure}", span)
    if parameter.choices and value not in parameter.choices:
        raise scope.error("GP315", f"{what} must be one of: {', '.join(parameter.choices)}", span)
    return value


_SETTINGS = {p.name: p for p in RENDER_SETTINGS}


def _settings(written: Sequence[Argument], scope: _Scope) -> Settings:
    found: dict[str, int | float | None] = {}
    for argument in written:
        parameter = _SETTINGS.get(argument.name or "")
        if parameter is None:
            raise scope.error("GP208", f"render has no setting '{argument.name or '?'}'", argument.span)
        value = scope.value(argument.value)
        if parameter.type is Type.SIZE:
            found["width"], found["height"] = _size(parameter, value, argument, scope)
            continue
        number = _fitting(parameter, value, argument.value.span, scope, setting=True)
        found[parameter.name] = float(number) if parameter.type is Type.FLOAT else int(number)
    return Settings(**found)  # type: ignore[arg-type]  # `_fitting` gave each setting its own type


def _size(parameter: Parameter, value: object, argument: Argument, scope: _Scope) -> tuple[int, int]:
    if not (isinstance(value, Size) or _is_size(value)):
        raise scope.error(
            "GP313", f"'{parameter.name}' must be a size such as 1024x1024", argument.value.span
        )
    width, height = getattr(value, "width", None), getattr(value, "height", None)
    low, high = parameter.low or 1, parameter.high or math.inf
    if not (
        isinstance(width, int) and isinstance(height, int) and all(low <= n <= high for n in (width, height))
    ):
        message = f"'{parameter.name}' must be {low:g} to {high:g} pixels on each side, not {width}x{height}"
        raise scope.error("GP314", message, argument.value.span)
    return width, height
