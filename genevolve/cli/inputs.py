"""Which files a command was given: files, folders, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from genevolve.grammar.errors import AuthorError

SUFFIX = ".gprog"
_SKIPPED = {".git", ".venv", "node_modules", "__pycache__", "build", "dist", "runs"}
# More than any program may hold: what is longer is refused by the reader, not read to its end here.
_READ_LIMIT = 8 * 1024 * 1024


class Input(NamedTuple):
    """One program text: its bytes, the name it is reported under, and its file when it has one."""

    data: bytes
    name: str
    path: Path | None


def collect(paths: Iterable[str]) -> Iterator[Input]:
    """The programs that the arguments name, each once, folders searched for `*.gprog` in sorted order.

    `-` is standard input. Raises `AuthorError` for a path that does not exist and a folder without programs.
    """
    seen: set[Path] = set()
    for given in paths:
        if given == "-":
            yield Input(_standard_input(), "<stdin>", None)
            continue
        for path in expand(Path(given)):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield read_input(path)


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise AuthorError("<stdin>: standard input is closed")
    return sys.stdin.buffer.read(_READ_LIMIT)


def read_input(path: Path) -> Input:
    """Read one file; raises `AuthorError` when there is none or it cannot be read."""
    if path.is_dir():
        raise AuthorError(f"{path}: this is a folder, a program file is needed")
    try:
        with path.open("rb") as file:
            return Input(file.read(_READ_LIMIT), str(path), path)
    except FileNotFoundError:
        raise AuthorError(f"{path}: there is no such file") from None
    except OSError as error:
        raise AuthorError(f"{path}: cannot be read: {error.strerror or error}") from error


def expand(path: Path) -> list[Path]:
    """The path itself, or the programs in the folder that it is; raises `AuthorError` when there are none."""
    if not path.is_dir():
        return [path]
    found = sorted(
        p
        for p in path.rglob(f"*{SUFFIX}")
        if p.is_file() and not _SKIPPED.intersection(p.relative_to(path).parts)
    )
    if not found:
        raise AuthorError(f"{path}: no {SUFFIX} file in this folder")
    return found
