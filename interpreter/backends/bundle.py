"""A folder that keeps answers of searches, to give them again.

`bundle.json` says what it is, `calls.jsonl` holds one call with its answer a line, `pictures/` the pictures under their
hash. Lines are only ever added, each in one piece under a lock, so several processes may write. A bundle may come from
a stranger: texts are scrubbed and pictures checked against their hash when it is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from genevolve.grammar.errors import ConfigurationError, StorageError
from genevolve.interpreter.backends.texts import scrub
from genevolve.interpreter.cache import canonical
from genevolve.interpreter.images import DEFAULT_LIMITS, read_regular
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet, from_json, to_json

Kind = Literal["search", "image_search"]

FORMAT = "genevolve-search-bundle"
SCHEMA = 1
_LOCK_SECONDS = 30.0
_STALE_SECONDS = 3600.0
_MAX_LINE = 64 * 1024 * 1024
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


@dataclass(frozen=True)
class Call:
    """One question."""

    kind: Kind
    queries: tuple[str, ...]
    top_k: int

    @property
    def key(self) -> str:
        """SHA-256 over what the answer depends on."""
        return hashlib.sha256(canonical([self.kind, self.queries, self.top_k]).encode()).hexdigest()

    def __str__(self) -> str:
        asked = ", ".join(json.dumps(scrub(q), ensure_ascii=False) for q in self.queries)
        return f"{self.kind}({asked}, top_k: {self.top_k})"


@dataclass(frozen=True)
class Kept:
    """An answer, or why there was none, and what was noted with it."""

    value: Evidence | Images | None
    error: str = ""
    notes: tuple[str, ...] = ()


class Bundle:
    """A bundle in a folder. Methods block, and may be called from any thread.

    Use `create` to add to it and `open` to read it only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._calls = folder / "calls.jsonl"
        self._lock = threading.Lock()
        self._read_to = 0
        self._lines: dict[str, Mapping[str, Any]] = {}

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """A bundle that is there. Raises `ConfigurationError`."""
        try:
            described: object = json.loads(read_regular(folder / "bundle.json", 64 * 1024))
        except (OSError, OverflowError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"{folder} is no recording of searches") from error
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise ConfigurationError(f"{folder} is no recording of searches")
        if described.get("schema") != SCHEMA:
            raise ConfigurationError(f"{folder} was recorded by another version of genevolve")
        return cls(folder)

    @classmethod
    def create(cls, folder: Path) -> Bundle:
        """A bundle to add to, made if the folder is empty or not there.

        Raises `ConfigurationError` when the folder holds something else, `StorageError` when it cannot be made.
        """
        try:
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
            _sweep(folder / "pictures")
            names = [p.name for p in folder.iterdir() if p.name not in ("pictures", "calls.jsonl", "lock")]
            if "bundle.json" not in names:
                # Another process may be making the same bundle: what it is writing is nothing strange.
                if any("bundle.json" not in name for name in names):
                    raise ConfigurationError(
                        f"{folder} holds other files: a recording needs a folder of its own"
                    )
                described = json.dumps({"format": FORMAT, "schema": SCHEMA}).encode()
                _write_whole(folder / "bundle.json", described)
        except OSError as error:
            raise StorageError(f"{folder} cannot be made: {error.strerror or error}") from error
        return cls.open(folder)

    def find(self, call: Call) -> Kept | None:
        """What is kept for a call, with pictures where they lie in the bundle; None when nothing is.

        Raises `StorageError` when it is damaged.
        """
        with self._lock:
            if call.key not in self._lines:
                self._read_more()
            line = self._lines.get(call.key)
        return None if line is None else self._kept(call, line)

    def add(self, call: Call, kept: Kept, backend: str) -> Kept:
        """Keep an answer; returns what the bundle then holds: an answer that was there before stays.

        Raises `StorageError`.
        """
        line: dict[str, Any] = {
            "key": call.key,
            "kind": call.kind,
            "queries": list(call.queries),
            "top_k": call.top_k,
            "backend": backend,
            "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
            "notes": [scrub(n) for n in kept.notes],
        }
        if kept.value is None:
            line["error"] = scrub(kept.error)
        else:
            line["value"] = self._stored(kept.value)
        try:
            with FileLock(self.folder / "lock", timeout=_LOCK_SECONDS, thread_local=False), self._lock:
                self._read_more()
                present = self._lines.get(call.key)
                if present is None or ("error" in present and kept.value is not None):
                    self._append(canonical(line).encode() + b"\n")
                    self._read_more()
                present = self._lines[call.key]
        except Timeout as error:
            raise StorageError(f"{self.folder} is locked by another process") from error
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written: {error.strerror or error}") from error
        return self._kept(call, present)

    def other_top_ks(self, call: Call) -> list[int]:
        """For which numbers of results the same question is kept."""
        with self._lock:
            found = [
                line["top_k"]
                for line in self._lines.values()
                if line.get("kind") == call.kind and line.get("queries") == list(call.queries)
            ]
        return sorted(k for k in found if isinstance(k, int))

    # ---- the file --------------------------------------------------------------------------------

    def _read_more(self) -> None:
        """Take in the lines that were added since the last time; a line that is cut short or damaged is no line."""
        try:
            with self._calls.open("rb") as file:
                file.seek(self._read_to)
                while (raw := file.readline(_MAX_LINE)).endswith(b"\n"):
                    self._read_to += len(raw)
                    self._take(raw)
        except FileNotFoundError:
            return

    def _take(self, raw: bytes) -> None:
        try:
            line: object = json.loads(raw)
        except (ValueError, RecursionError):
            return
        if not isinstance(line, dict) or not isinstance(line.get("key"), str):
            return
        present = self._lines.get(line["key"])
        # The first answer stays; an error gives way to an answer.
        if present is None or ("error" in present and "error" not in line):
            self._lines[line["key"]] = line

    def _append(self, line: bytes) -> None:
        with self._calls.open("ab+") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":  # a writer was killed in the middle of a line
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    # ---- answers ---------------------------------------------------------------------------------

    def _stored(self, value: Evidence | Images) -> dict[str, Any]:
        if isinstance(value, Images):
            value = Images(tuple(self._store(i) for i in value.items))
        return to_json(_scrubbed(value))

    def _store(self, image: ImageHandle) -> ImageHandle:
        suffix = _SUFFIXES.get(image.media_type)
        if suffix is None:
            raise StorageError(f"a picture of type {image.media_type!r} cannot be recorded")
        place = f"pictures/{image.sha256}.{suffix}"
        try:
            data = read_regular(image.file, DEFAULT_LIMITS.max_bytes)
            if hashlib.sha256(data).hexdigest() != image.sha256:
                raise StorageError(f"the picture {image.path} has changed since it was found")
            _write_whole(self.folder / place, data)
        except OverflowError as error:
            raise StorageError(f"the picture {image.path} is too large to be recorded") from error
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot keep a picture: {error.strerror or error}") from error
        return dataclasses.replace(image, path=place)

    def _kept(self, call: Call, line: Mapping[str, Any]) -> Kept:
        damaged = f"{self.folder}: the recording of {call} is damaged"
        notes = line.get("notes", [])
        if not isinstance(notes, list) or not all(isinstance(n, str) for n in notes):
            raise StorageError(damaged)
        told = tuple(scrub(n) for n in notes)
        if "error" in line:
            return Kept(None, scrub(str(line["error"]))[:2000], told)
        try:
            value = from_json(line["value"])
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(damaged) from error
        wanted = Evidence if call.kind == "search" else Images
        if (
            not isinstance(value, Evidence | Images)
            or not isinstance(value, wanted)
            or not _well_typed(value)
        ):
            raise StorageError(damaged)
        value = _scrubbed(value)
        if isinstance(value, Images):
            value = Images(tuple(self._found(i) for i in value.items))
        return Kept(value, notes=told)

    def _found(self, image: ImageHandle) -> ImageHandle:
        suffix = _SUFFIXES.get(image.media_type, "")
        name = image.sha256
        if not (len(name) == 64 and name.isascii() and name.isalnum() and suffix):
            raise StorageError(f"{self.folder}: the recording of a picture is damaged")
        file = (self.folder / "pictures" / f"{name}.{suffix}").absolute()
        try:
            data = read_regular(file, DEFAULT_LIMITS.max_bytes)
        except (OSError, OverflowError) as error:
            raise StorageError(f"{file}: a recorded picture is missing") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise StorageError(f"{file}: a recorded picture is damaged")
        return dataclasses.replace(image, path=str(file))


def _scrubbed(value: Evidence | Images) -> Evidence | Images:
    if isinstance(value, Evidence):
        return Evidence(
            tuple(Snippet(scrub(s.text), scrub(s.title), scrub(s.source), s.score) for s in value.snippets)
        )
    return Images(
        tuple(
            dataclasses.replace(i, title=scrub(i.title), caption=scrub(i.caption), source=scrub(i.source))
            for i in value.items
        )
    )


def _well_typed(value: Evidence | Images) -> bool:
    """Whether the fields have the types that they are declared with; JSON may hold anything."""
    items: Sequence[Snippet | ImageHandle] = value.snippets if isinstance(value, Evidence) else value.items
    for item in items:
        for field in dataclasses.fields(item):
            given: object = getattr(item, field.name)
            fits = {"str": str, "int": int, "float": int | float}[str(field.type)]
            if not isinstance(given, fits) or isinstance(given, bool):
                return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in folder.glob(".*"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
