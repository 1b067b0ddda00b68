"""JSON lines from strangers, one row at a time: what cannot be read is a row with a reason, never an exception."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, NoReturn

MAX_ROW = 2 * 1024 * 1024
"""Bytes of a row. The store takes 256 KiB; written as JSON with escapes, the same may be six times as long."""
_SKIP = 1024 * 1024
_DEEPEST = 32
_BOM = b"\xef\xbb\xbf"
_OPENING = re.compile(rb'[\[{]|"(?:[^"\\]++|\\.)*+"?|[\]}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: its data, or why there is none.

    Attributes:
        where: The file and the place in it, such as `old.jsonl, line 3`.
        data: Plain data, None when it could not be read.
        problem: Why not, "" when it could.
    """

    where: str
    data: object = None
    problem: str = ""


def read_lines(file: IO[bytes], name: str, *, limit: int = MAX_ROW) -> Iterator[Row]:
    """The rows of JSON lines. Blank lines are passed over; lines longer than `limit` bytes are not kept in memory."""
    number = 0
    while line := file.readline(limit + 1):
        number += 1
        where = f"{name}, line {number}"
        if len(line) > limit and not line.endswith(b"\n"):
            _skip_line(file)
            yield Row(where, problem=f"the line is longer than {limit:,} bytes")
            continue
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield _row(line, where)


def parse_json(data: bytes) -> object:
    """One JSON value, read strictly: finite numbers, no name twice, not nested too deeply.

    Raises:
        ValueError: with what is wrong, in words.
    """
    if _depth(data) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (column {error.colno})") from error


def _row(line: bytes, where: str) -> Row:
    try:
        return Row(where, parse_json(line))
    except ValueError as error:  # also the interpreter's own, for a number of thousands of digits
        return Row(where, problem=str(error))


def _skip_line(file: IO[bytes]) -> None:
    while piece := file.readline(_SKIP):
        if piece.endswith(b"\n"):
            return


def _depth(data: bytes) -> int:
    """How deep brackets nest outside strings; counted before parsing, since the parser recurses."""
    depth = deepest = 0
    for match in _OPENING.finditer(data):
        match match.group():
            case b"[" | b"{":
                depth += 1
                deepest = max(deepest, depth)
            case b"]" | b"}":
                depth -= 1
    return deepest


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON knows")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(n for n in names if names.count(n) > 1)
        raise ValueError(f"the name {twice[:60]!r} stands twice in one object")
    return found
