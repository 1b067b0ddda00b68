"""Expressions become values while a program runs.

Literals, names and strings are evaluated by the grammar's own `evaluate`, so that a string means the same in an
argument and in a prompt; what is added here is what only a run has: the results of calls, elements of image lists,
and arguments that are complete and in range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from genevolve.grammar import elaborate
from genevolve.grammar.binding import bind
from genevolve.grammar.diagnostics import Diagnostic, Findings
from genevolve.grammar.errors import InternalError, ProgramError, RunError
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import Call, Expression, Index, Size
from genevolve.grammar.types import Parameter, Signature, Type
from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Snippet, Value, type_of


@dataclass
class Frame:
    """What is known at a moment of a run: the values of names, and what calls gave."""

    values: dict[str, Value] = field(default_factory=dict)
    calls: dict[Call, Value] = field(default_factory=dict)

    def fork(self) -> Frame:
        """A frame with the same contents that goes its own way."""
        return Frame(dict(self.values), dict(self.calls))


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call, complete: positional ones in order, the others by name."""

    args: tuple[Value, ...]
    named: Mapping[str, Value]


def failed(
    source: Source, code: str, message: str, span: Span, *notes: str, service: bool = False
) -> RunError:
    """The error of a run that failed at a place."""
    return RunError(Findings(source, (Diagnostic(code, message, span, notes),)), service=service)


def evaluate(expression: Expression, frame: Frame, source: Source) -> Value:
    """The value of an expression whose calls are done.

    Raises `RunError` when an index passes the end (GP522) or the list is empty (GP525), and for a value that cannot
    stand in a string.
    """
    if isinstance(expression, Index):
        return _element(expression, frame, source)
    try:
        value = elaborate.evaluate(expression, frame.values, source=source, calls=frame.calls)
    except ProgramError as error:
        raise RunError(error.findings) from error
    if isinstance(value, Size):
        return SizeValue(value.width, value.height)
    if isinstance(value, str | int | float | bool | SizeValue | Evidence | Images | ImageHandle):
        return value
    raise InternalError(f"an expression gave a {type(value).__name__}")


def _element(expression: Index, frame: Frame, source: Source) -> Value:
    images = evaluate(expression.operand, frame, source)
    index = evaluate(expression.index, frame, source)
    if not isinstance(images, Images):
        raise failed(source, "GP304", "only a list of images can be indexed", expression.operand.span)
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise failed(source, "GP305", "an index must be a whole number from 0", expression.index.span)
    count = len(images.items)
    if count == 0:
        raise failed(source, "GP525", "this search found no image, so there is none to take", expression.span)
    if index >= count:
        found = "only 1 image was found" if count == 1 else f"only {count} images were found"
        message = f"{found}, so there is no image at index {index}"
        note = f"the last one is at index {count - 1}; 'top_k' tells how many to look for"
        raise failed(source, "GP522", message, expression.index.span, note)
    return images.items[index]


def arguments(call: Call, signature: Signature, frame: Frame, source: Source) -> Arguments:
    """Evaluate and check the arguments of a call; defaults are filled in.

    Raises `RunError`: a value that only the run could know has the wrong type (GP301), is out of range (GP312) or is
    none of the choices (GP315).
    """
    bound = bind(call, signature)
    if not bound.ok:
        raise RunError(Findings(source, bound.diagnostics))
    given: dict[str, Value] = {}
    variadic: list[Value] = []
    first = signature.parameters[0] if signature.variadic else None
    for parameter, argument in bound.pairs:
        value = evaluate(argument.value, frame, source)
        value = _checked(parameter, value, argument.value.span, source)
        if parameter is first:
            variadic.append(value)
        else:
            given[parameter.name] = value
    for parameter in signature.parameters:
        default = parameter.default
        if parameter is not first and parameter.name not in given and type_of(default) is not Type.UNKNOWN:
            given[parameter.name] = _default(parameter, default)
    args = list(variadic)
    for parameter in signature.parameters:
        if parameter is first:
            continue
        if parameter.named_only or parameter.name not in given:
            break
        args.append(given.pop(parameter.name))
    return Arguments(tuple(args), given)


def coerced(value: Value, wanted: Type) -> Value:
    """The value as its wanted type: an int becomes a float where a float is asked for."""
    return (
        float(value)
        if wanted is Type.FLOAT and type_of(value) is Type.INT and isinstance(value, int)
        else value
    )


def _default(parameter: Parameter, default: object) -> Value:
    assert isinstance(default, str | int | float | bool | SizeValue | Evidence | Images | ImageHandle)
    return coerced(default, parameter.type)


def _checked(parameter: Parameter, value: Value, span: Span, source: Source) -> Value:
    kind = type_of(value)
    if not kind.fits(parameter.type):
        raise failed(
            source, "GP301", f"'{parameter.name}' must be {parameter.type}, and this is {kind}", span
        )
    measure: float | None = None
    if isinstance(value, str):
        measure = len(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        measure = value
    low, high = parameter.low, parameter.high
    if measure is not None and (
        (low is not None and measure < low) or (high is not None and measure > high) or math.isnan(measure)
    ):
        unit = " characters long" if isinstance(value, str) else ""
        bounds = f"{'…' if low is None else f'{low:g}'} to {'…' if high is None else f'{high:g}'}"
        message = f"'{parameter.name}' must be {bounds}{unit}, and this is {measure:g}"
        raise failed(source, "GP312", message, span)
    if parameter.choices and value not in parameter.choices:
        listed = ", ".join(f'"{c}"' for c in parameter.choices)
        raise failed(source, "GP315", f"'{parameter.name}' must be one of {listed}", span)
    return coerced(value, parameter.type)


def flaw(value: object, wanted: Type) -> str | None:
    """What is wrong with the result of a tool that should be of type `wanted`, or None.

    Tools are other people's code: every part of a value is looked at before anything relies on it.
    """
    kind = type_of(value)
    if kind is Type.UNKNOWN:
        return f"it returned a {type(value).__name__}, which is no value of the language"
    if not kind.fits(wanted):
        return f"it returned {kind} where {wanted} was promised"
    match value:
        case float() if not math.isfinite(value):
            return f"it returned {value}, which is not a number one can write"
        case SizeValue(width, height) if not (_whole(width, 1) and _whole(height, 1)):
            return "it returned a size that is not two whole numbers from 1"
        case Evidence(snippets):
            return _flaw_of_items(snippets, Snippet, ("text", "title", "source"))
        case Images(items):
            return _flaw_of_items(items, ImageHandle, _TEXTS) or next(
                filter(None, map(_flaw_of_image, items)), None
            )
        case ImageHandle():
            return _flaw_of_items((value,), ImageHandle, _TEXTS) or _flaw_of_image(value)
    return None


_TEXTS = ("path", "sha256", "media_type", "id", "title", "caption", "source")


def _flaw_of_items(items: object, wanted: type, texts: tuple[str, ...]) -> str | None:
    if not isinstance(items, tuple):
        return f"it returned a {type(items).__name__} where a tuple belongs"
    for item in items:
        if not isinstance(item, wanted):
            return f"it returned a list with a {type(item).__name__} in it"
        for name in texts:
            if not isinstance(getattr(item, name), str):
                return f"it returned a result whose {name!r} is not text"
        score = getattr(item, "score", 0.0)
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            return "it returned a result whose score is not a number"
    return None


def _flaw_of_image(image: ImageHandle) -> str | None:
    digest = image.sha256
    if len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):
        return "it returned an image whose SHA-256 is malformed"
    if not (_whole(image.width, 1) and _whole(image.height, 1)):
        return "it returned an image without a width and a height"
    return None


def _whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
