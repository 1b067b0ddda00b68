"""The rows of an input file as raw lines, read one at a time: a file of any length needs no memory.

A file that ends in `.json` and holds an array is read as a whole, so its size is bounded.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from genevolve.grammar.errors import AuthorError, StorageError

MAX_LINE = 1024 * 1024
"""Bytes of one row."""

MAX_ARRAY = 64 * 1024 * 1024
"""Bytes of a file that holds an array."""

_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One row as it stands in the file.

    `number` is its line, from 1 (its place, in an array). `data` is None when it is longer than `MAX_LINE`. `digest`
    is of its bytes.
    """

    number: int
    data: bytes | None
    digest: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """The rows of a file in order; empty lines are none.

    Raises:
        AuthorError: there is no such file, or an array is too long or is not one.
        StorageError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            if path.suffix.lower() == ".json":
                yield from _array(stream, path)
            else:
                yield from _lines(stream)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AuthorError(f"there is no file of rows {path}") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error


def decode(line: Line) -> Any:
    """The JSON value of a row; raises `ValueError` with what is wrong in words."""
    if line.data is None:
        raise ValueError(f"the row is longer than {MAX_LINE:,} bytes")
    try:
        text = line.data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the row is not UTF-8 text") from None
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("the row is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the row is not JSON: {error.msg} at column {error.colno}") from None
    except ValueError as error:  # a number of thousands of digits, or NaN
        raise ValueError(f"the row is not JSON: {error}") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _lines(stream: IO[bytes]) -> Iterator[Line]:
    number = 0
    while start := stream.readline(MAX_LINE + 2):
        number += 1
        digest = hashlib.blake2b(start, digest_size=16)
        too_long, piece = len(start.rstrip(b"\r\n")) > MAX_LINE, start
        while not piece.endswith(b"\n"):
            piece = stream.readline(MAX_LINE)
            if not piece:
                break
            too_long = True
            digest.update(piece)
        data = start.removeprefix(_BOM) if number == 1 else start
        data = data.strip(b" \t\r\n")
        if data or too_long:
            yield Line(number, None if too_long else data, digest.digest())


def _array(stream: IO[bytes], path: Path) -> Iterator[Line]:
    data = stream.read(MAX_ARRAY + 1)
    if len(data) > MAX_ARRAY:
        limit = MAX_ARRAY // 1024**2
        raise AuthorError(
            f"{path} is larger than {limit} MiB; a .jsonl file with one JSON object a line may be of any size"
        )
    try:
        rows = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{path} is not JSON: {error or 'nested too deeply'}") from error
    if not isinstance(rows, list):
        raise AuthorError(f"{path} is not an array of rows")
    del data
    for number, row in enumerate(rows, start=1):
        text = json.dumps(row).encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        yield Line(number, text if len(text) <= MAX_LINE else None, digest)
