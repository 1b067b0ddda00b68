"""The values that a run gives a program's parameters: typed, completed with defaults, and checked.

Values come from Python or from a command line, where everything is text: "3" is an int, "1024x768" a size,
"true" a bool.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from genevolve.grammar.checker import Checked, check_with_values
from genevolve.grammar.diagnostics import Diagnostic, Related, ordered
from genevolve.grammar.facts import Constant
from genevolve.grammar.inference import PHRASES
from genevolve.grammar.parser import Parsed
from genevolve.grammar.span import NOWHERE, Span
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.grammar.tree import Boolean, Number, ProgramHeader, ProgramParameter, Size, String
from genevolve.grammar.types import Type

_SIZE = re.compile(r"([1-9][0-9]{0,5}) ?[xX×] ?([1-9][0-9]{0,5})")
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_TRUTHS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}

_EXAMPLES = {
    Type.INT: "3",
    Type.FLOAT: "4.5",
    Type.BOOL: "true",
    Type.SIZE: "1024x768",
    Type.IMAGE: "photos/harbour.png",
}


class Values(NamedTuple):
    """Typed parameter values, in the order of the header, and what is wrong with those given."""

    values: dict[str, Constant]
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a run may start."""
        return not any(d.is_error for d in self.diagnostics)


def check_parameters(checked: Checked, given: Mapping[str, object]) -> Values:
    """Type the values given for a program's parameters and fill in the defaults; never raises.

    Args:
        checked: A checked program.
        given: By parameter name: Python values or command-line text. A size is a `Size`, any object with `width`
            and `height`, a pair, or text; an image is a path.

    Returns:
        The values (a size as a tree `Size`, an image as a path) and GP317 to GP319. When all of them have their
        types, the program is checked again with the values in place, which finds what only they make wrong: a
        setting outside its range, counts that contradict each other, a URL that would get into the prompt.
    """
    statements = checked.tree.statements
    header = next((s for s in statements if isinstance(s, ProgramHeader)), None)
    parameters = {p.name: p for p in reversed(header.parameters)} if header is not None else {}
    parameters = dict(reversed(parameters.items()))
    place = header.name_span if header is not None else Span(checked.tree.span.start, checked.tree.span.start)
    found: list[Diagnostic] = []
    for name in given:
        if name not in parameters:
            found.append(_no_parameter(str(name), parameters, place))
    values: dict[str, Constant] = {}
    for name, parameter in parameters.items():
        binding = checked.scope.names.get(name)
        kind = binding.type if binding is not None else Type.UNKNOWN
        if name in given:
            value = convert(given[name], kind)
            if value is None:
                found.append(_wrong_type(parameter, kind, given[name]))
                continue
        elif parameter.default is not None:
            value = _default(parameter)
        else:
            found.append(_missing(parameter, kind))
            continue
        if value is not None:
            values[name] = value
    if not found and values:
        found += _made_wrong(checked, values)
    return Values(values, ordered(found))


def convert(value: object, kind: Type) -> Constant | None:
    """A value as the type asks for it, or None when it is not of that type."""
    match kind:
        case Type.TEXT:
            return value if isinstance(value, str) and "\x00" not in value else None
        case Type.IMAGE:
            path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
            return path if isinstance(path, str) and path and "\x00" not in path else None
        case Type.BOOL:
            return value if isinstance(value, bool) else _TRUTHS.get(_word(value).lower())
        case Type.INT:
            return _int(value)
        case Type.FLOAT:
            return _float(value)
        case Type.SIZE:
            return _size(value)
    return None


def _word(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _int(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if -(10**18) < value < 10**18 else None
    return int(_word(value)) if _INT.fullmatch(_word(value)) else None


def _float(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        number = float(value) if _FLOAT.fullmatch(_word(value)) else math.nan
    elif isinstance(value, int | float) and abs(value) <= 1e300:
        number = float(value)
    else:
        return None
    return number if math.isfinite(number) else None


def _size(value: object) -> Size | None:
    if isinstance(value, str):
        match = _SIZE.fullmatch(_word(value))
        return Size(int(match[1]), int(match[2])) if match else None
    if isinstance(value, tuple | list) and len(value) == 2:
        width, height = value
    else:
        width, height = getattr(value, "width", None), getattr(value, "height", None)
    for side in (width, height):
        if isinstance(side, bool) or not isinstance(side, int) or not 0 < side < 1_000_000:
            return None
    # A picture has a width too; a size is nothing but its sides.
    return Size(int(width or 0), int(height or 0)) if not hasattr(value, "sha256") else None


def _default(parameter: ProgramParameter) -> Constant | None:
    match parameter.default:
        case Number(value) | Boolean(value):
            return float(value) if parameter.type == Type.FLOAT.value else value
        case Size():
            return parameter.default
        case String():
            return parameter.default.plain
    return None


def _missing(parameter: ProgramParameter, kind: Type) -> Diagnostic:
    example = _EXAMPLES.get(kind, "…")
    return Diagnostic(
        "GP317",
        f"the parameter '{parameter.name}' has no value",
        parameter.name_span,
        (f"give one ('--set {parameter.name}={example}' on the command line), or write a default",),
    )


def _wrong_type(parameter: ProgramParameter, kind: Type, value: object) -> Diagnostic:
    shown = repr(value) if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
    shown = shown if len(shown) <= 40 else shown[:39] + "…"
    example = _EXAMPLES.get(kind)
    notes = (f"for example {example}",) if example else ()
    what = "a path of an image" if kind is Type.IMAGE else PHRASES[kind]
    message = f"the parameter '{parameter.name}' takes {what}, not {shown}"
    return Diagnostic("GP318", message, parameter.name_span, notes)


def _no_parameter(name: str, parameters: Mapping[str, object], place: Span) -> Diagnostic:
    near = closest(name, parameters)
    shown = name if len(name) <= 40 else name[:39] + "…"
    note = (
        f"it has {listed(parameters)}"
        if parameters
        else "it has none; 'program name(title: text)' declares them"
    )
    message = f"the program has no parameter '{shown}'{did_you_mean(near)}"
    return Diagnostic("GP319", message, place, (note,))


def _made_wrong(checked: Checked, values: Mapping[str, Constant]) -> list[Diagnostic]:
    """Errors that the program has with these values and not without."""
    parsed = Parsed(checked.source, checked.tree)
    known = {(d.code, d.span) for d in checked.diagnostics}
    again = check_with_values(parsed, checked.environment, values)
    header = next((s for s in checked.tree.statements if isinstance(s, ProgramHeader)), None)
    places = {p.name: p.name_span for p in header.parameters} if header is not None else {}
    found = []
    for diagnostic in again.diagnostics:
        if not diagnostic.is_error or (diagnostic.code, diagnostic.span) in known:
            continue
        related = tuple(
            Related(f"the value of '{name}' was given for this parameter", span)
            for name, span in places.items()
            if span != NOWHERE and name in checked.source.slice(diagnostic.span)
        )
        found.append(
            Diagnostic(
                diagnostic.code,
                diagnostic.message,
                diagnostic.span,
                diagnostic.notes,
                None,
                (*diagnostic.related, *related),
            )
        )
    return found
