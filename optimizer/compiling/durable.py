"""Files that are whole after a process was killed at any instruction, and after a power failure."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, StorageError

PART, OLD = ".part", ".old"
HASHED = 1 << 30
"""Bytes up to which a file's digest is kept; of larger ones the size alone."""
_BLOCK = 1 << 20


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the disk raises as `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot do it for folders
            raise
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes) -> None:
    """Write a file as a whole; it is on the disk when this returns. Raises `StorageError`."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    with translated(path):
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """As `write`, for JSON data."""
    write(path, json.dumps(data, ensure_ascii=True, indent=1).encode("ascii") + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """JSON data of a file that holds an object.

    Raises:
        StorageError: It cannot be read.
        AuthorError: It is something else.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(data, dict):
        raise AuthorError(f"{path} is damaged: it holds no JSON object")
    return data


def make_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder as a whole, in the place of what is there: `fill` writes into the folder that it is given.

    A process that is killed leaves the old one, or none with the old one beside it (`settle` puts it back).
    """
    partial = path.with_name(f".{path.name}{PART}")
    old = path.with_name(f".{path.name}{OLD}")
    with translated(path):
        remove(partial)
        partial.mkdir(parents=True)
        fill(partial)
        sync_all(partial)
        remove(old)
        if path.exists():
            path.replace(old)
        partial.replace(path)
        sync(path.parent)
        remove(old)


def settle(parent: Path) -> None:
    """Tidy up after `make_folder` and `write` were cut off."""
    if not parent.is_dir():
        return
    with translated(parent):
        for left in sorted(parent.iterdir()):
            if not left.name.startswith("."):
                continue
            if left.name.endswith(OLD):
                place = parent / left.name[1 : -len(OLD)]
                if place.exists():
                    remove(left)
                else:
                    left.replace(place)
            elif left.name.endswith(PART):
                remove(left)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_all(folder: Path) -> None:
    """Wait until everything in a folder is on the disk."""
    for file in sorted(folder.rglob("*")):
        if not file.is_symlink():
            sync(file)
    sync(folder)


def fingerprints(folder: Path) -> dict[str, str]:
    """For each file below a folder its SHA-256, or of a very large one its size."""
    found: dict[str, str] = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        size = file.stat().st_size
        found[file.relative_to(folder).as_posix()] = digest(file) if size <= HASHED else f"{size} bytes"
    return found


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


class Lines:
    """A file of JSON lines that only grows, and that can be cut back to where it was at a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, records: list[dict[str, Any]]) -> None:
        """Add lines; they outlive this process when it returns."""
        data = b"".join(json.dumps(r, ensure_ascii=True, allow_nan=False).encode() + b"\n" for r in records)
        with translated(self.path), self.path.open("ab", buffering=0) as file:
            start = file.seek(0, os.SEEK_END)
            try:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(start)
                raise

    def sealed(self) -> int:
        """Wait for the disk; how many bytes there are."""
        if not self.path.exists():
            return 0
        sync(self.path)
        return self.path.stat().st_size

    def cut(self, size: int) -> None:
        """Forget everything after so many bytes. Raises `AuthorError` when there are fewer."""
        there = self.path.stat().st_size if self.path.exists() else 0
        if there < size:
            raise AuthorError(f"{self.path} is damaged: {there} bytes, the checkpoint knows of {size}")
        if there > size:
            with translated(self.path), self.path.open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())
