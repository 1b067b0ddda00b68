"""Reading what somebody else wrote: JSON files and files of JSON lines, of which any may be damaged or cut off.

Nothing here raises for what a file holds. What cannot be used is left out and noted, and the notes stand on the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeGuard

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.regular import open_regular

MOST_BYTES = 1024**3
"""Bytes of one file of lines that are read."""
MOST_LINES = 500_000
_LONGEST_LINE = 4 * 1024 * 1024
_LARGEST_FILE = 4 * 1024 * 1024
_MOST_PLACES = 3
_LARGEST = 1e30


class Notes:
    """What could not be used, each kind of problem of a file told once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, file: str, problem: str, place: str = "") -> None:
        """Note a problem of a file; `place` says where in it, such as `line 3`."""
        key = (file, problem)
        self._counts[key] = self._counts.get(key, 0) + 1
        places = self._found.setdefault(key, [])
        if place and len(places) < _MOST_PLACES:
            places.append(place)

    def texts(self) -> list[str]:
        """A sentence for each kind of problem."""
        told = []
        for (file, problem), places in self._found.items():
            count = self._counts[file, problem]
            more = f" and {count - len(places)} more" if count > len(places) > 0 else ""
            where = f" ({', '.join(places)}{more})" if places else ""
            told.append(f"{file}: {problem}{where}")
        return told


class Line(NamedTuple):
    """An object of a file of lines, with its number from 1 and its place in bytes."""

    number: int
    offset: int
    data: Mapping[str, object]


def read_json(path: Path, notes: Notes) -> dict[str, object]:
    """The object in a file; empty when there is none that can be used."""
    name = path.name
    try:
        with open_regular(path) as file:
            data = file.read(_LARGEST_FILE + 1)
    except (AuthorError, StorageError, OSError) as error:
        notes.add(name, "missing" if not path.exists() else f"cannot be read: {error}")
        return {}
    if len(data) > _LARGEST_FILE:
        notes.add(name, "larger than any that a run writes; it is left out")
        return {}
    found = _object(data)
    if found is None:
        notes.add(name, "damaged: it is no JSON object")
    return found or {}


def read_lines(path: Path, notes: Notes, *, needed: bool = False) -> Iterator[Line]:
    """The objects of a file of lines, in order.

    Args:
        path: The file.
        notes: Where to note what cannot be used.
        needed: Whether it is worth a note that there is no such file.
    """
    name = path.name
    try:
        file = open_regular(path)
    except (AuthorError, StorageError) as error:
        if path.exists():
            notes.add(name, f"cannot be read: {error}")
        elif needed:
            notes.add(name, "missing")
        return
    with file:
        try:
            yield from _lines(file, name, notes)
        except OSError as error:
            notes.add(name, f"cannot be read to its end: {error.strerror or error}")


def _lines(file: BinaryIO, name: str, notes: Notes) -> Iterator[Line]:
    offset = number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if offset > MOST_BYTES or number > MOST_LINES:
            notes.add(name, f"only the first {number - 1:,} lines are read")
            return
        start, offset = offset, offset + len(line)
        if not line.endswith(b"\n"):
            if len(line) < _LONGEST_LINE:
                notes.add(name, "the last line is cut off, and left out")
                return
            while line and not line.endswith(b"\n"):
                line = file.readline(_LONGEST_LINE)
                offset += len(line)
            notes.add(name, "lines are too long, and left out", f"line {number}")
            continue
        if not line.strip():
            continue
        data = _object(line)
        if data is None:
            notes.add(name, "lines are no JSON objects, and left out", f"line {number}")
            continue
        yield Line(number, start, data)


def read_line_at(file: BinaryIO, offset: int) -> dict[str, object]:
    """The object of the line that begins at a place; empty when it is no longer there."""
    file.seek(offset)
    return _object(file.readline(_LONGEST_LINE)) or {}


def _object(data: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# ---- values ------------------------------------------------------------------------------------------


def is_number(data: object) -> TypeGuard[int | float]:
    """Whether it is a number of JSON, perhaps not a finite one."""
    return isinstance(data, int | float) and not isinstance(data, bool)


def number(data: object) -> float | None:
    """A finite number that a curve can be drawn through; None for everything else."""
    if not is_number(data):
        return None
    try:
        value = float(data)
    except OverflowError:
        return None
    return value if math.isfinite(value) and abs(value) <= _LARGEST else None


def whole(data: object) -> int | None:
    """A whole number of a size that a run may have; None for everything else."""
    value = number(data)
    return int(value) if value is not None and value == int(value) and abs(value) < 1e9 else None


def text(data: object) -> str:
    """A text; numbers as they are written, empty for everything else."""
    if isinstance(data, str):
        return data
    return str(data) if is_number(data) and abs(data) < 1e15 else ""


def mapping(data: object) -> Mapping[str, object]:
    """An object; empty for everything else."""
    return data if isinstance(data, dict) else {}


def texts(data: object) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(t for t in data if isinstance(t, str)) if isinstance(data, list) else ()


def numbers(data: object) -> dict[str, float]:
    """The finite numbers of an object."""
    return {k: v for k, x in mapping(data).items() if (v := number(x)) is not None}
