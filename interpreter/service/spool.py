"""The only place on disk that the service uses: references lie there while their picture is drawn.

A folder for this process alone, readable by its user alone. It goes when the service ends. One that was killed leaves
its folder behind without a lock, and the next service removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from genevolve.grammar.errors import StorageError
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.values import ImageHandle

_PREFIX = "genevolve-service-"
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


class Spool:
    """A private folder for the references of running jobs.

    Args:
        base: where the folder is made; the system's folder for temporary files by default.

    Raises:
        StorageError: when no folder can be made.
    """

    def __init__(self, base: Path | None = None) -> None:
        from filelock import FileLock

        home = base or Path(tempfile.gettempdir())
        _sweep(home)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
            self._lock = FileLock(self.folder / "lock")
            self._lock.acquire()
        except OSError as error:
            raise StorageError(f"no folder for temporary files can be made in {home}: {error}") from error

    def write(self, job: Job) -> list[ImageHandle]:
        """The job's references as files, in order.

        Raises:
            StorageError: when they cannot be written.
        """
        if not job.pictures:
            return []
        folder = self._of(job)
        handles = []
        try:
            folder.mkdir(mode=0o700)
            for number, picture in enumerate(job.pictures, 1):
                path = folder / f"{number}{_SUFFIXES.get(picture.media_type, '.img')}"
                path.write_bytes(picture.data)
                handles.append(
                    ImageHandle(
                        str(path),
                        picture.sha256,
                        picture.width,
                        picture.height,
                        picture.media_type,
                        title=f"reference image {number}",
                    )
                )
        except OSError as error:
            self.remove(job)
            raise StorageError(f"the reference images cannot be kept: {error.strerror or error}") from error
        return handles

    def remove(self, job: Job) -> None:
        """Remove what `write` made; nothing when it is gone already."""
        if job.pictures:
            shutil.rmtree(self._of(job), ignore_errors=True)

    def close(self) -> None:
        """Remove the folder."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _of(self, job: Job) -> Path:
        return self.folder / f"job-{id(job):x}"  # a client chooses its request's id, so that is no file name


def _sweep(home: Path) -> Sequence[Path]:
    """Remove folders of services that are no more; returns those."""
    from filelock import FileLock, Timeout

    gone = []
    for folder in home.glob(f"{_PREFIX}*"):
        lock = folder / "lock"
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not lock.is_file():
                continue
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                gone.append(folder)
        except (Timeout, OSError):
            continue
    return gone
