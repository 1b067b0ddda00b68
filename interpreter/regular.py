"""Opening files that somebody names: regular ones only, so that no pipe is waited for and no device read for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from genevolve.grammar.errors import AuthorError, StorageError

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; links are followed.

    Raises:
        AuthorError: There is no such file, or it is a folder, a pipe or a device.
        StorageError: It cannot be read.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    try:
        if is_folder(path):
            raise AuthorError(f"{path} is a folder")
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL in the name
        raise AuthorError(f"{path} does not exist") from error
    except OSError as error:
        if error.errno in _NOT_THERE:
            why = "" if error.errno == errno.ENOENT else f": {error.strerror}"
            raise AuthorError(f"{path} does not exist{why}") from error
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AuthorError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def is_folder(path: Path) -> bool:
    """Whether it is a folder; also for names that no system would take, where `Path.is_dir` raises."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
