"""From the JSON Schema of an MCP tool to a signature of the language, or to the reason why there is none.

A schema is a stranger's: its size, depth and references are bounded, and nothing of it is executed. What the server
checks besides (patterns, formats, multiples) is left to the server.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genevolve.grammar.strings import RESERVED
from genevolve.grammar.types import Parameter, Signature, Type
from genevolve.interpreter.backends.texts import clean_text
from genevolve.interpreter.mcp.settings import McpServer, is_name

MAX_PARAMETERS = 32
MAX_CHOICES = 200
MAX_DOC = 400
_MAX_DEPTH = 16
_MAX_NUMBER = 1e15

_SCALARS = {"string": Type.TEXT, "integer": Type.INT, "number": Type.FLOAT, "boolean": Type.BOOL}
_RETURNS = {"text": Type.TEXT, "evidence": Type.EVIDENCE, "images": Type.IMAGES, "image": Type.IMAGE}
_TEXT_KEYS = ("text", "snippet", "content", "summary", "description", "abstract", "body")


class Untypable(Exception):
    """A tool that the language cannot call; the message says why."""


@dataclass(frozen=True, slots=True)
class TypedTool:
    """A tool of a server as programs see it.

    Attributes:
        remote: its name at the server.
        signature: what programs may call it with.
        keys: the server's names of the parameters, by ours.
        left_out: optional parameters of the server that the language cannot express, with the reason.
    """

    remote: str
    signature: Signature
    keys: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Typed:
    type: Type
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    many: bool = False


def typed_tool(server: McpServer, remote: str, definition: Mapping[str, Any]) -> TypedTool:
    """The signature of a tool.

    Args:
        server: the settings of its server.
        remote: the tool's name there.
        definition: `inputSchema`, and `outputSchema` and `description` if there are any, as the server lists them.

    Raises:
        Untypable: with the reason.
    """
    root = definition.get("inputSchema")
    if not isinstance(root, Mapping):
        raise Untypable("it has no input schema")
    for word in ("anyOf", "oneOf", "allOf", "if", "patternProperties", "$ref", "dependentRequired", "not"):
        if word in root:
            raise Untypable(f"its parameters depend on each other ({word})")
    if root.get("type", "object") != "object":
        raise Untypable("its input is not an object of parameters")
    properties, required = root.get("properties", {}), root.get("required", [])
    if not isinstance(properties, Mapping) or not isinstance(required, Sequence) or isinstance(required, str):
        raise Untypable("its input schema is malformed")
    if len(properties) > MAX_PARAMETERS:
        raise Untypable(f"it has more than {MAX_PARAMETERS} parameters")
    missing = [str(r) for r in required if str(r) not in properties]
    if missing:
        raise Untypable(f"it requires {clean_text(missing[0], 60)!r}, which its schema does not describe")
    parameters, keys, left_out = _parameters(root, properties, {str(r) for r in required})
    signature = Signature(
        local_name(server, remote),
        tuple(p for p, _ in parameters),
        _returns(server, remote, definition.get("outputSchema")),
        variadic=any(t.many for _, t in parameters),
        price=server.price,
        doc=clean_text(definition.get("description"), MAX_DOC),
    )
    return TypedTool(remote, signature, keys, left_out)


def local_name(server: McpServer, remote: str) -> str:
    """What programs call a tool: the configured name, or NAME_tool. Raises `Untypable` when it is no name."""
    if remote in server.names:
        return server.names[remote]
    name = f"{server.name}_{re.sub(r'[^A-Za-z0-9_]+', '_', remote).strip('_')}"
    if not remote.strip() or len(remote) > 128 or not is_name(name) or name == f"{server.name}_":
        raise Untypable("its name cannot be written in a program; give it one under names")
    return name


def _parameters(
    root: Mapping[str, Any], properties: Mapping[str, Any], required: set[str]
) -> tuple[list[tuple[Parameter, _Typed]], dict[str, str], dict[str, str]]:
    """Required texts first, by position; the others by name. A required list of texts comes first of all."""
    found: list[tuple[Parameter, _Typed]] = []
    keys: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for key, schema in properties.items():
        shown = clean_text(key, 60)
        try:
            kind, optional, default = _typed(root, schema)
            if kind.many and key not in required:
                raise Untypable("a list that is not required")
            name = _parameter_name(key)
            if name in keys:
                raise Untypable(f"its name and that of {clean_text(keys[name], 60)!r} are the same here")
        except Untypable as error:
            if key in required:
                raise Untypable(f"parameter {shown!r}: {error}") from error
            left_out[shown] = str(error)
            continue
        keys[name] = key
        needed = key in required and not (optional and default is None)
        doc = clean_text(schema.get("description") if isinstance(schema, Mapping) else "", MAX_DOC)
        by_name = not (needed and kind.type is Type.TEXT)
        parameter = Parameter(
            name, kind.type, needed, default, by_name, kind.low, kind.high, kind.choices, doc
        )
        found.append((parameter, kind))
    return _ordered(found), keys, left_out


def _ordered(found: list[tuple[Parameter, _Typed]]) -> list[tuple[Parameter, _Typed]]:
    many = [f for f in found if f[1].many]
    if len(many) > 1:
        raise Untypable("it takes more than one list")
    placed = [f for f in found if not f[0].named_only and not f[1].many]
    named = [f for f in found if f[0].named_only]
    if many:  # all positions belong to the list
        from dataclasses import replace

        placed = [(replace(p, named_only=True), t) for p, t in placed]
    return [*many, *placed, *named]


def _parameter_name(key: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", key).strip("_") or "_"
    if name in RESERVED:
        name += "_"
    if name[0].isdigit():
        name = "_" + name
    if not is_name(name) or name == "_":
        raise Untypable("its name cannot be written in a program")
    return name


def _typed(root: Mapping[str, Any], schema: object) -> tuple[_Typed, bool, object]:
    """The type of a parameter, whether null may stand for it, and its default."""
    default: object = schema.get("default") if isinstance(schema, Mapping) else None
    schema, optional = _plain(root, schema)
    if default is None:
        default = schema.get("default")
    kind = _kind(root, schema)
    return kind, optional, _default(kind, default)


def _plain(root: Mapping[str, Any], schema: object) -> tuple[Mapping[str, Any], bool]:
    """The schema behind references and wrappings, and whether null was allowed besides."""
    optional, seen = False, set()
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, Mapping):
            raise Untypable("it takes any value")
        if "$ref" in schema:
            reference = schema["$ref"]
            if not isinstance(reference, str) or reference in seen:
                raise Untypable("its schema refers to itself")
            seen.add(reference)
            schema = _resolve(root, reference)
            continue
        alternatives = next((schema[w] for w in ("anyOf", "oneOf", "allOf") if w in schema), None)
        if alternatives is None:
            kind = schema.get("type")
            if isinstance(kind, list):
                rest = [k for k in kind if k != "null"]
                if len(rest) != 1:
                    raise Untypable("it takes values of several types")
                return {**schema, "type": rest[0]}, optional or len(rest) < len(kind)
            return schema, optional
        if not isinstance(alternatives, list):
            raise Untypable("its schema is malformed")
        rest = [a for a in alternatives if not (isinstance(a, Mapping) and a.get("type") == "null")]
        optional = optional or len(rest) < len(alternatives)
        if len(rest) != 1:
            raise Untypable("it takes values of several types")
        schema = rest[0]
    raise Untypable("its schema is nested too deeply")


def _resolve(root: Mapping[str, Any], reference: str) -> object:
    if not reference.startswith("#/"):
        raise Untypable("its schema refers to something outside")
    found: object = root
    for part in reference[2:].split("/")[:_MAX_DEPTH]:
        step = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or step not in found:
            raise Untypable("its schema refers to what is not there")
        found = found[step]
    return found


def _kind(root: Mapping[str, Any], schema: Mapping[str, Any]) -> _Typed:
    if "enum" in schema or "const" in schema:
        return _choices(schema)
    name = schema.get("type")
    if name == "array":
        inner, _ = _plain(root, schema.get("items"))
        if inner.get("type") == "string" and "enum" not in inner:
            return _Typed(Type.TEXT, many=True)
        raise Untypable("it takes a list of values that are not plain texts")
    if name == "object":
        raise Untypable("it takes an object")
    kind = _SCALARS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Untypable("it does not tell which type it takes")
    if kind is Type.BOOL:
        return _Typed(kind)
    if kind is Type.TEXT:
        return _Typed(kind, _bound(schema, "minLength"), _bound(schema, "maxLength"))
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    if kind is Type.INT:
        above, below = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
        low = _tightest(
            max, None if low is None else math.ceil(low), None if above is None else math.floor(above) + 1
        )
        high = _tightest(
            min, None if high is None else math.floor(high), None if below is None else math.ceil(below) - 1
        )
    if low is not None and high is not None and low > high:
        raise Untypable("no number is in its range")
    return _Typed(kind, low, high)


def _tightest(choose: Any, a: float | None, b: float | None) -> float | None:
    given = [x for x in (a, b) if x is not None]
    return float(choose(given)) if given else None


def _bound(schema: Mapping[str, Any], word: str) -> float | None:
    value = schema.get(word)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MAX_NUMBER:
        # A bound beyond every number that a program writes bounds nothing.
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
            return None
        raise Untypable(f"its {word} is no number")
    return float(value)


def _choices(schema: Mapping[str, Any]) -> _Typed:
    values = schema.get("enum", [schema.get("const")])
    if not isinstance(values, list) or not values or len(values) > MAX_CHOICES:
        raise Untypable(f"it does not have 1 to {MAX_CHOICES} choices")
    texts = [v for v in values if v is not None]
    if not texts or not all(isinstance(v, str) for v in texts):
        raise Untypable("its choices are not all texts")
    if any(clean_text(v, 200) != v for v in texts):
        raise Untypable("its choices cannot be written in a program")
    return _Typed(Type.TEXT, choices=tuple(dict.fromkeys(texts)))


def _default(kind: _Typed, value: object) -> object:
    """A default that programs may leave to us; None leaves it to the server."""
    if kind.many or value is None:
        return None
    match kind.type:
        case Type.BOOL:
            fits = isinstance(value, bool)
        case Type.INT:
            fits = isinstance(value, int) and not isinstance(value, bool)
        case Type.FLOAT:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            fits = (
                isinstance(value, str)
                and len(value) <= 10_000
                and (not kind.choices or value in kind.choices)
            )
    return (float(value) if kind.type is Type.FLOAT else value) if fits else None  # type: ignore[arg-type]  # a number


def _returns(server: McpServer, remote: str, schema: object) -> Type:
    """What a tool gives: as configured; else what its output schema tells; else text."""
    if remote in server.returns:
        return _RETURNS[server.returns[remote]]
    if not isinstance(schema, Mapping):
        return Type.TEXT
    try:
        plain, _ = _plain(schema, schema)
        candidates: list[object] = [plain]
        if isinstance(properties := plain.get("properties"), Mapping):
            candidates += list(properties.values())[:MAX_PARAMETERS]
        return Type.EVIDENCE if any(_is_evidence(schema, c) for c in candidates) else Type.TEXT
    except Untypable:
        return Type.TEXT


def _is_evidence(root: Mapping[str, Any], schema: object) -> bool:
    """Whether it describes a list of objects that have a text."""
    try:
        plain, _ = _plain(root, schema)
        if plain.get("type") != "array":
            return False
        item, _ = _plain(root, plain.get("items"))
    except Untypable:
        return False
    properties = item.get("properties")
    return isinstance(properties, Mapping) and any(key in properties for key in _TEXT_KEYS)
