"""A content-addressed store of downloads: files under their hash, an index from URL to hash, a size bound.

Layout: `blobs/ab/<sha256>.<suffix>`, `urls/<sha256 of the URL>.json`, `locks/<nnn>.lock`. Files appear whole.
One URL asked for by many tasks is downloaded once in the process (the tasks share one download, which ends when nobody
waits for it any more) and once on the machine (a file lock).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import AsyncFileLock

from genevolve.grammar.errors import StorageError

Meta = Mapping[str, str | int]
Produce = Callable[[], Awaitable[tuple[bytes, Meta]]]

_LOCKS = 512
_PART = ".part"
_STALE_PART_SECONDS = 3600.0
# A file handed out a moment ago may not have been read yet: eviction leaves it alone for so long.
_IN_USE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A file of the store and what is known of it."""

    path: Path
    sha256: str
    meta: Meta


@dataclass
class _Flight:
    """A download under way in this process and how many wait for it."""

    task: asyncio.Task[StoredBlob]
    waiting: int = 0


@dataclass
class BlobStore:
    """The store in one folder, shared by processes. `max_bytes` bounds the files together (least recently used go)."""

    folder: Path
    max_bytes: int = 2 * 1024**3
    _flights: dict[tuple[int, str], _Flight] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        try:
            for name in ("blobs", "urls", "locks"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot be used as a download store: {error}") from error
        self._sweep_parts()

    def lookup(self, key: str) -> StoredBlob | None:
        """What is stored for a key, its file checked to be there; None when there is nothing."""
        entry = self._entry(key)
        try:
            data = json.loads(entry.read_text("utf-8"))
            blob = StoredBlob(self._blob_path(data["sha256"], data["suffix"]), data["sha256"], data["meta"])
            os.utime(blob.path)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return blob

    async def once(self, key: str, produce: Produce) -> StoredBlob:
        """What is stored for the key, or what `produce` gives, made once however many ask at the same time.

        An error of `produce` reaches all who wait in this process; other processes then try for themselves.
        """
        stored = self.lookup(key)
        if stored is not None:
            return stored
        place = (id(asyncio.get_running_loop()), key)
        flight = self._flights.get(place)
        if flight is None or flight.task.done():
            flight = _Flight(asyncio.create_task(self._produce(key, produce)))
            self._flights[place] = flight
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                self._flights.pop(place, None)
                if not flight.task.done():
                    flight.task.cancel()
                    await asyncio.wait([flight.task])

    async def _produce(self, key: str, produce: Produce) -> StoredBlob:
        number = int(_sha256(key.encode())[:8], 16) % _LOCKS
        async with AsyncFileLock(self.folder / "locks" / f"{number:03d}.lock", poll_interval=0.02):
            stored = self.lookup(key)
            if stored is not None:
                return stored
            data, meta = await produce()
            return await asyncio.to_thread(self.put, key, data, meta)

    def put(self, key: str, data: bytes, meta: Meta) -> StoredBlob:
        """Store bytes under their hash and the key's entry beside them; raises `StorageError`."""
        digest = _sha256(data)
        suffix = str(meta.get("media_type", "application/octet-stream")).rpartition("/")[2]
        path = self._blob_path(digest, suffix)
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_whole(path, data)
            entry = {"sha256": digest, "suffix": suffix, "meta": dict(meta), "key": key[:4096]}
            _write_whole(self._entry(key), json.dumps(entry).encode())
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot store a download: {error}") from error
        self._bound()
        return StoredBlob(path, digest, meta)

    def size(self) -> int:
        """Bytes of all stored files."""
        return sum(size for _, size, _ in self._files())

    def _bound(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        now = time.time()
        for used, size, path in sorted(files):
            if total <= self.max_bytes or now - used < _IN_USE_SECONDS:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in (self.folder / "blobs").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process evicts as well
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        return found

    def _sweep_parts(self) -> None:
        """Remove what a killed process left half-written."""
        for path in self.folder.rglob(f"*{_PART}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_PART_SECONDS:
                    path.unlink()

    def _entry(self, key: str) -> Path:
        return self.folder / "urls" / f"{_sha256(key.encode())}.json"

    def _blob_path(self, digest: str, suffix: str) -> Path:
        if not (len(digest) == 64 and digest.isalnum() and suffix.isalnum()):
            raise ValueError("not a stored name")
        return self.folder / "blobs" / digest[:2] / f"{digest}.{suffix}"


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
