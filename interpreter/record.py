"""The run record: one folder with all that a run was given, did and made.

    runs/20260412T093107Z-1f0c9a2b/
        program.gprog   the source as it was given
        trace.jsonl     every event (see `trace`)
        z.json          canonical JSON
        references/     1-tower.jpg, 2-square.png: copies, so that the record stands alone
        image.png       the picture, with program and z inside
        run.json        status, versions, renderer, notes, timings

A file is written beside its place and renamed into it: after a crash it is there as a whole or not at all. (The
trace grows line by line; a cut last line is recognised.)
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.values import ImageHandle

SCHEMA = "genevolve.run/1"
STATUSES = ("running", "finished", "failed", "cancelled")

_ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
}
_BLOCK = 1024 * 1024


class RunRecord:
    """A run folder that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._facts: dict[str, Any] = {"schema": SCHEMA, "id": folder.name}

    @classmethod
    def create(cls, root: Path, program: str, now: datetime | None = None) -> RunRecord:
        """A new folder under `root`, which is made if need be.

        Its name is the UTC time, so that names sort by time, and a short digest; a taken name is never reused.
        Raises `StorageError` when it cannot be made.
        """
        moment = (now or datetime.now(UTC)).astimezone(UTC)
        stem = f"{moment:%Y%m%dT%H%M%SZ}-{hashlib.sha256(program.encode()).hexdigest()[:8]}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            for number in range(1, 10_000):
                folder = root / (stem if number == 1 else f"{stem}-{number}")
                try:
                    folder.mkdir()
                except FileExistsError:
                    continue
                record = cls(folder)
                record.describe(status="running", started=moment.isoformat(timespec="milliseconds"))
                return record
        except OSError as error:
            raise StorageError(
                f"no run folder can be made under {root}: {error.strerror or error}"
            ) from error
        raise StorageError(f"no run folder can be made under {root}: every name for {stem} is taken")

    @property
    def trace_path(self) -> Path:
        """Where the trace goes."""
        return self.folder / "trace.jsonl"

    def describe(self, **facts: Any) -> None:
        """Add JSON facts to `run.json`; a fact that was there is replaced."""
        self.note(**facts)
        self.write("run.json", json.dumps(self._facts, ensure_ascii=False, indent=2, sort_keys=True) + "\n")

    def note(self, **facts: Any) -> None:
        """Add facts that the next `describe` writes down."""
        self._facts.update(facts)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file as a whole or not at all."""
        data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
        with self._replacing(name) as temporary:
            temporary.write_bytes(data)
        return self.folder / name

    def add_reference(self, ordinal: int, name: str, image: ImageHandle) -> Path:
        """Copy a reference image by content.

        Raises `AuthorError` when its bytes are no longer those that the run saw.
        """
        ending = _ENDINGS.get(image.media_type, "bin")
        target = f"references/{ordinal}-{name}.{ending}"
        digest = hashlib.sha256()
        with self._replacing(target) as temporary:
            with image.file.open("rb") as source, temporary.open("wb") as copy:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    copy.write(block)
            if digest.hexdigest() != image.sha256:
                raise AuthorError(
                    f"the image file of {name!r} has changed since the run opened it", code="GP414"
                )
        return self.folder / target

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        target = self.folder / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            target.parent.mkdir(exist_ok=True)
            yield temporary
            temporary.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `run.json` of a run folder says; raises `AuthorError` when the folder is no run record."""
    file = folder / "run.json"
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise AuthorError(f"{folder} is not a run folder: it has no run.json") from error
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{file} is damaged: it is not JSON") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise AuthorError(f"{file} is not of schema {SCHEMA}")
    return data
