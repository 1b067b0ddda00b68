"""Writing files so that nobody ever meets half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from genevolve.grammar.errors import StorageError


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
