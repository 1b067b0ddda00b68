"""A content-addressed store of downloads: files under their hash, an index from URL to hash, a size bound.

Layout: `blobs/ab/<sha256>.<suffix>`, `keys/ab/<sha256 of the URL>.json`, `locks/<nnnn>.lock`, `parts/`. Files are
written to `parts` and appear whole. One URL asked for by many tasks is downloaded once in the process (the tasks
share one download, which ends when nobody waits for it any more) and once on the machine (a file lock).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from genevolve.grammar.errors import StorageError
from genevolve.interpreter.workers import Workers

Meta = Mapping[str, str | int]
Produce = Callable[[], Awaitable[tuple[bytes, Meta]]]

T = TypeVar("T")

_LOCKS = 4096
_THREADS = 8
_STALE_PART_SECONDS = 3600.0
_POLL_SECONDS = 0.02
_MAX_KEY = 4096
_MAX_ENTRY = 64 * 1024
# Looking at all files takes time: it is done after so much of the bound was written since the last look.
_LOOK_EVERY = 32


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


class _Traffic:
    """What goes on in one event loop: downloads by key, and how many threads may read and write files."""

    def __init__(self) -> None:
        self.flights: dict[str, _Flight] = {}
        self._gate = asyncio.Semaphore(_THREADS)

    async def in_thread(self, function: Callable[[], T]) -> T:
        async with self._gate:
            return await Workers().call(function, "store")


@dataclass
class BlobStore:
    """The store in one folder, shared by processes.

    Attributes:
        folder: where it lies; made when it is not there.
        max_bytes: bounds the files together; least recently used ones go. Each process that writes may pass it by a
            thirty-second, and files in use may double it.
        in_use: seconds for which a file that was asked for is left alone: its run may not have read it yet.
        max_age: seconds after which a URL is asked for anew.
        lock_patience: seconds for which another process that fetches the same URL is waited for.
    """

    folder: Path
    max_bytes: int = 2 * 1024**3
    in_use: float = 600.0
    max_age: float = 7 * 24 * 3600.0
    lock_patience: float = 60.0
    _traffic: dict[asyncio.AbstractEventLoop, _Traffic] = field(default_factory=dict, repr=False)
    _unlooked: int | None = field(default=None, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        try:
            for name in ("blobs", "keys", "locks", "parts"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._sweep_parts()
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot be used as a download store: {error}") from error

    def lookup(self, key: str) -> StoredBlob | None:
        """What is stored for a key, its bytes checked; None when there is nothing, or nothing recent."""
        entry = self._entry(key)
        try:
            if time.time() - entry.stat().st_mtime > self.max_age:
                return None
            data = json.loads(_read(entry, _MAX_ENTRY))
            path = self._blob_path(data["sha256"], data["suffix"])
            meta = {str(k): v for k, v in data["meta"].items() if isinstance(v, str | int)}
            # First marked as used, then read: what is in use is not evicted.
            os.utime(path)
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != data["sha256"]:
                    return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return StoredBlob(path, data["sha256"], meta)

    async def once(self, key: str, produce: Produce) -> StoredBlob:
        """What is stored for the key, or what `produce` gives, made once however many ask at the same time.

        It goes on as long as one of them waits, whoever asked first. An error of `produce` reaches all who wait in this
        event loop; other processes then try for themselves. Raises `StorageError` when it cannot be stored.
        """
        traffic = self._traffic_here()
        flights = traffic.flights
        flight = flights.get(key)
        if flight is None or flight.task.done():
            flight = flights[key] = _Flight(asyncio.create_task(self._found_or_made(key, produce, traffic)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                if flights.get(key) is flight:
                    del flights[key]
                if not flight.task.done():
                    flight.task.cancel()
                    await asyncio.wait([flight.task])
                if not flight.task.cancelled():
                    flight.task.exception()  # seen, though nobody may be left to hear of it

    def _traffic_here(self) -> _Traffic:
        loop = asyncio.get_running_loop()
        if loop not in self._traffic:
            for other in [known for known in list(self._traffic) if known.is_closed()]:
                self._traffic.pop(other, None)
            self._traffic[loop] = _Traffic()
        return self._traffic[loop]

    async def _found_or_made(self, key: str, produce: Produce, traffic: _Traffic) -> StoredBlob:
        stored = await traffic.in_thread(lambda: self.lookup(key))
        if stored is not None:
            return stored
        async with self._locked(key):
            stored = await traffic.in_thread(lambda: self.lookup(key))
            if stored is not None:
                return stored
            data, meta = await produce()
            return await traffic.in_thread(lambda: self.put(key, data, meta))

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        """The lock of a key between processes; after some time without it: to fetch twice does no harm."""
        number = int(_sha256(key.encode("utf-8", "surrogatepass"))[:8], 16) % _LOCKS
        lock = FileLock(self.folder / "locks" / f"{number:04d}.lock", thread_local=False)
        end = time.monotonic() + self.lock_patience
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                if time.monotonic() > end:
                    break
            except OSError as error:
                raise StorageError(f"{self.folder}: cannot lock a download: {error}") from error
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def put(self, key: str, data: bytes, meta: Meta) -> StoredBlob:
        """Store bytes under their hash and the key's entry beside them. Raises `StorageError`."""
        digest = _sha256(data)
        suffix = str(meta.get("media_type", "application/octet-stream")).rpartition("/")[2].partition("-")[0]
        path = self._blob_path(digest, suffix)
        entry = {"sha256": digest, "suffix": suffix, "meta": dict(meta), "key": key[:_MAX_KEY]}
        try:
            self._write_whole(path, data)  # also where it lies already: it may be damaged
            self._write_whole(self._entry(key), json.dumps(entry).encode())
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot store a download: {error}") from error
        self._keep_bound(len(data))
        return StoredBlob(path, digest, meta)

    def size(self) -> int:
        """Bytes of all stored files."""
        return sum(size for _, size, _ in self._files("blobs"))

    def _keep_bound(self, written: int) -> None:
        with self._guard:
            if self._unlooked is not None:
                self._unlooked += written
                if self._unlooked <= self.max_bytes // _LOOK_EVERY:
                    return
            self._unlooked = 0
        total = self.size()
        if total > self.max_bytes:
            self._evict(total)

    def _evict(self, total: int) -> None:
        """Remove what was not used for longest, a tenth more than needed, so that the next time is not soon."""
        now = time.time()
        for used, size, path in sorted(self._files("blobs")):
            fresh = now - used < self.in_use
            if total <= (2 * self.max_bytes if fresh else self.max_bytes * 0.9):
                break
            with contextlib.suppress(OSError):  # another process evicts as well
                path.unlink()
            total -= size
        for written, _, path in self._files("keys"):
            if now - written > self.in_use and not self._leads_somewhere(path, now - written):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _leads_somewhere(self, entry: Path, age: float) -> bool:
        try:
            data = json.loads(_read(entry, _MAX_ENTRY))
            return age <= self.max_age and self._blob_path(data["sha256"], data["suffix"]).exists()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False

    def _files(self, name: str) -> list[tuple[float, int, Path]]:
        found = []
        for path in (self.folder / name).glob("*/*"):
            with contextlib.suppress(OSError):  # another process evicts as well
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        return found

    def _sweep_parts(self) -> None:
        """Remove what a killed process left half-written."""
        for path in (self.folder / "parts").iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_PART_SECONDS:
                    path.unlink()

    def _entry(self, key: str) -> Path:
        name = _sha256(key.encode("utf-8", "surrogatepass"))
        return self.folder / "keys" / name[:2] / f"{name}.json"

    def _blob_path(self, digest: str, suffix: str) -> Path:
        if not (len(digest) == 64 and digest.isascii() and digest.isalnum()):
            raise ValueError("not a stored name")
        if not (0 < len(suffix) <= 16 and suffix.isascii() and suffix.isalnum()):
            raise ValueError("not a stored name")
        return self.folder / "blobs" / digest[:2] / f"{digest}.{suffix}"

    def _write_whole(self, path: Path, data: bytes) -> None:
        part = self.folder / "parts" / f"{secrets.token_hex(8)}.part"
        try:
            part.write_bytes(data)
            path.parent.mkdir(exist_ok=True)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError("too large")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
