"""JSON as the protocol has it: an object, no name twice, plain numbers, whole characters."""

from __future__ import annotations

import json
import math

from genevolve.programs.policies.released.broken import Broken, shown

_MOST_DIGITS = 18


def read_object(text: str, tag: str) -> dict[str, object]:
    """The object that a text spells.

    Raises:
        Broken: It is no JSON object, or one that could be read in two ways.
    """
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=lambda pairs: _once(pairs, tag),
            parse_constant=lambda name: _no_number(name, tag),
            parse_int=lambda digits: _whole(digits, tag),
            parse_float=lambda digits: _finite(digits, tag),
        )
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise Broken(
            f"This is not JSON inside <{tag}>: {error.msg.lower()}, line {error.lineno}, column {error.colno}, "
            f"near {shown(near)}"
        ) from error
    except RecursionError as error:
        raise Broken(f"The JSON of <{tag}> is nested too deep.") from error
    if not isinstance(value, dict):
        raise Broken(f"<{tag}> holds one JSON object.")
    _whole_characters(value, tag)
    return value


def kind(value: object) -> str:
    """What JSON calls a value, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _once(pairs: list[tuple[str, object]], tag: str) -> dict[str, object]:
    read: dict[str, object] = {}
    for name, value in pairs:
        if name in read:
            raise Broken(f"The JSON of <{tag}> gives {shown(name)} twice in one object.")
        read[name] = value
    return read


def _no_number(name: str, tag: str) -> object:
    raise Broken(f"The JSON of <{tag}> has {name}, which is no number.")


def _whole(digits: str, tag: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise Broken(f"The JSON of <{tag}> has a number of {len(digits)} digits.")
    return int(digits)


def _finite(digits: str, tag: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Broken(f"The JSON of <{tag}> has a number that is too large: {shown(digits, 30)}")
    return value


def _whole_characters(value: object, tag: str) -> None:
    """Refuse halves of surrogate pairs, which an escape alone can spell: no program can hold them."""
    match value:
        case str():
            if any("\ud800" <= c <= "\udfff" for c in value):
                raise Broken(f"A string in the JSON of <{tag}> has half of a surrogate pair: {shown(value)}")
        case list():
            for item in value:
                _whole_characters(item, tag)
        case dict():
            for name, item in value.items():
                _whole_characters(name, tag)
                _whole_characters(item, tag)
