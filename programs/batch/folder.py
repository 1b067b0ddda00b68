"""The output folder of a batch.

    out/
        batch.json      what the batch is made from
        results.jsonl   the journal: a line for each row that has ended, in the order of their ends
        output.jsonl    written at the end: one line a row, in the order of the input
        results.json    the same as one JSON array
        images/         the pictures
        references/     copies of the reference images, named by their content

One process at a time works in it, which a file lock makes sure of.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from filelock import FileLock, Timeout

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.values import ImageHandle

SCHEMA = "genevolve.batch/1"
_LOCK = ".lock"
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_BLOCK = 1024 * 1024


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` when all went well; raises `StorageError`."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


class BatchFolder:
    """An output folder that this process has for itself; close it, or use it in a `with` block.

    Args:
        path: made when it does not exist.
        identity: what the batch is made from.
        resume: whether a batch of the same identity that is there goes on.

    Raises:
        AuthorError: another process works there, something is there that may not be touched, or the batch there is
            another one.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, object], *, resume: bool) -> None:
        self.path = path
        self.images = path / "images"
        self.references = path / "references"
        check_folder(path, resume=resume)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / _LOCK)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise AuthorError(
                f"another process is working in {path}; wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
        try:
            self._claim(identity, resume=resume)
        except BaseException:
            self.close()
            raise

    @property
    def journal(self) -> Path:
        """Where the journal lies."""
        return self.path / "results.jsonl"

    def close(self) -> None:
        """Let other processes in."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_picture(self, name: str, png: bytes) -> str:
        """Write a picture as a whole; its path relative to the folder."""
        with replacing(self.images / f"{name}.png") as file:
            file.write(png)
        return f"images/{name}.png"

    def keep_reference(self, image: ImageHandle) -> str:
        """Copy a reference image unless it is there; its path relative to the folder.

        Raises `AuthorError` when its bytes are not those that the run saw.
        """
        name = f"{image.sha256}.{_ENDINGS.get(image.media_type, 'bin')}"
        target = self.references / name
        if not target.exists():
            digest = hashlib.sha256()
            with replacing(target) as copy, image.file.open("rb") as source:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    copy.write(block)
                if digest.hexdigest() != image.sha256:
                    raise AuthorError(
                        f"the image file {image.source or image.path} has changed", code="GP414"
                    )
        return f"references/{name}"

    def has_picture(self, record: Mapping[str, Any]) -> bool:
        """Whether the picture that a record tells of is there (none was asked for when it tells of none)."""
        path = record.get("output_path")
        return not path or (isinstance(path, str) and (self.path / path).is_file())

    # ---- inside ----------------------------------------------------------------------------------

    def _claim(self, identity: Mapping[str, object], *, resume: bool) -> None:
        check_folder(self.path, resume=resume)
        described = self.path / "batch.json"
        facts = json.loads(json.dumps({"schema": SCHEMA, **identity}))
        if described.exists():
            _compare(described, facts)
        try:
            self.images.mkdir(exist_ok=True)
            self.references.mkdir(exist_ok=True)
            for folder in (self.path, self.images, self.references):
                for left in folder.glob(".*.part"):  # by a process that was killed
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error.strerror or error}") from error
        if not described.exists():
            with replacing(described) as file:
                file.write(json.dumps(facts, ensure_ascii=True, indent=2).encode() + b"\n")


def check_folder(path: Path, *, resume: bool) -> None:
    """Raise `AuthorError` when a batch may not be written there; changes nothing."""
    if path.exists() and not path.is_dir():
        raise AuthorError(f"{path} is a file; the results of a batch go into a folder")
    try:
        there = {p.name for p in path.iterdir() if not _ours_before(p.name)} if path.exists() else set()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    if not there:
        return
    if not resume:
        hint = "use --resume to go on with the batch there, or " if "batch.json" in there else ""
        raise AuthorError(f"{path} is not empty: {hint}choose another folder")
    if "batch.json" not in there:
        raise AuthorError(
            f"{path} holds no batch that could be resumed (it has no batch.json); choose another folder"
        )


def _ours_before(name: str) -> bool:
    """What a process that was killed before its first row leaves."""
    return name in (_LOCK, "images", "references") or (
        name.startswith(".batch.json.") and name.endswith(".part")
    )


def _compare(described: Path, facts: Mapping[str, Any]) -> None:
    try:
        known = json.loads(described.read_bytes())
    except OSError as error:
        raise StorageError(f"{described} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{described} is damaged: it is not JSON; choose another folder") from error
    if not isinstance(known, dict) or known.get("schema") != SCHEMA:
        raise AuthorError(f"{described} is not of schema {SCHEMA}; choose another folder")
    changed = [name for name in sorted({*known, *facts}) if not _same(known.get(name), facts.get(name))]
    if changed:
        told = ", ".join(
            f"{name} ({_shown(known.get(name))} then, {_shown(facts.get(name))} now)" for name in changed
        )
        raise AuthorError(
            f"{described.parent} holds another batch; what differs: {told}. "
            "Put it back as it was to resume, or choose another folder"
        )


def _same(known: object, now: object) -> bool:
    """Whether two facts agree; where there is a digest it alone counts, a file may be called as it likes."""
    if isinstance(known, dict) and isinstance(now, dict) and "digest" in known and "digest" in now:
        return bool(known["digest"] == now["digest"])
    return known == now


def _shown(fact: object) -> str:
    if isinstance(fact, dict) and isinstance(fact.get("digest"), str):
        return f"{fact.get('name', fact.get('number', ''))} {fact['digest'][:12]}"
    return "nothing" if fact is None else json.dumps(fact)
