"""Writing files so that nobody ever meets half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from genevolve.grammar.errors import AuthorError, StorageError


def replace_file(path: Path, data: bytes) -> None:
    """Write the file as a whole or not at all; keeps its mode, follows a symbolic link to its target.

    Raises `StorageError` with the reason when the folder or the disk does not allow it.
    """
    target = path.resolve()
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        mode = target.stat().st_mode if target.exists() else None
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            partial.chmod(mode & 0o777)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_target(path: Path, suffix: str) -> None:
    """Find out before anything is spent that a result can be written here; makes the folder.

    Raises `AuthorError` for another suffix or a folder, `StorageError` when the place cannot be written.
    """
    if path.suffix.lower() != suffix:
        raise AuthorError(f"{path}: the file must end in {suffix}")
    if path.is_dir():
        raise AuthorError(f"{path}: this is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path.parent}: cannot be made: {error.strerror or error}") from error
    if not os.access(path.parent, os.W_OK):
        raise StorageError(f"{path.parent}: this folder cannot be written to")
