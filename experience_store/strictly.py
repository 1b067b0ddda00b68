"""Reading plain data strictly: what is missing, unknown or of the wrong kind is an `AuthorError` naming the place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from genevolve.grammar.errors import AuthorError


def mapping(
    data: object, where: str, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Mapping[str, object]:
    """An object with exactly these names; the optional ones may be left out."""
    if not isinstance(data, Mapping):
        raise AuthorError(f"{where} is {kind(data)}; it should be an object")
    missing = [name for name in required if name not in data]
    if missing:
        raise AuthorError(f"{where} has no {missing[0]!r}")
    unknown = [name for name in data if name not in required and name not in optional]
    if unknown:
        raise AuthorError(f"{where} has {str(unknown[0])[:60]!r}, which is not known")
    return data


def items(data: object, where: str) -> Sequence[object]:
    """A list."""
    if not isinstance(data, list | tuple):
        raise AuthorError(f"{where} is {kind(data)}; it should be a list")
    return data


def text(data: object, where: str) -> str:
    """A text that can be written as UTF-8."""
    if not isinstance(data, str):
        raise AuthorError(f"{where} is {kind(data)}; it should be a text")
    if not data.isascii() and any("\ud800" <= c <= "\udfff" for c in data):
        raise AuthorError(f"{where} holds half a character and cannot be stored")
    return data


def texts(data: object, where: str) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(text(item, f"{where}[{i}]") for i, item in enumerate(items(data, where)))


def optional_text(data: object, where: str) -> str | None:
    """A text or nothing."""
    return None if data is None else text(data, where)


def number(data: object, where: str) -> float:
    """A finite number."""
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise AuthorError(f"{where} is {kind(data)}; it should be a number")
    try:
        value = float(data)
    except OverflowError as error:
        raise AuthorError(f"{where} is a number that is too large") from error
    if not math.isfinite(value):
        raise AuthorError(f"{where} is not a finite number")
    return value


def optional_number(data: object, where: str) -> float | None:
    """A finite number or nothing."""
    return None if data is None else number(data, where)


def whole(data: object, where: str) -> int:
    """A whole number that a database can hold."""
    if isinstance(data, bool) or not isinstance(data, int) or not -(2**53) <= data <= 2**53:
        raise AuthorError(f"{where} is {kind(data)}; it should be a whole number")
    return data


def flag(data: object, where: str) -> bool:
    """True or false."""
    if not isinstance(data, bool):
        raise AuthorError(f"{where} is {kind(data)}; it should be true or false")
    return data


def kind(data: object) -> str:
    """What a piece of data is, in a word."""
    if data is None:
        return "null"
    if isinstance(data, bool):
        return "true or false"
    if isinstance(data, str):
        return "a text"
    if isinstance(data, int | float):
        return f"the number {data!r}" if abs(data) < 1e15 else "a large number"
    if isinstance(data, Mapping):
        return "an object"
    return "a list" if isinstance(data, list | tuple) else f"a {type(data).__name__}"
