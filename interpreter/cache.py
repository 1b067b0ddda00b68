"""The call cache: what a tool answered to the same arguments before.

Content-addressed on (tool, version, arguments), one SQLite file in WAL mode that many processes may share,
bounded in size by evicting what was used least recently. A cache never fails a run: what cannot be read is a miss,
what cannot be written is not kept, and the reason is said once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from genevolve.interpreter.values import ImageHandle, Images, Value, from_json, to_json

T = TypeVar("T")

_APPLICATION = 0x67707263  # "gprc": tells our file from any other SQLite database
_SCHEMA = 1
_TOUCH = 60.0
"""Seconds by which "last used" may lag: a hit would otherwise be a write."""

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_use ON calls (used);
CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL);
INSERT OR IGNORE INTO total VALUES (1, 0);
"""

Arguments = Mapping[str, Any]


def canonical(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data gives equal text."""
    return json.dumps(data, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def arguments_json(args: Sequence[Value], named: Mapping[str, Value]) -> dict[str, Any]:
    """The arguments of a call as JSON data, for keys and traces."""
    return {"args": [to_json(a) for a in args], "named": {k: to_json(named[k]) for k in sorted(named)}}


def call_key(tool: str, version: str | None, arguments: Arguments) -> str:
    """SHA-256 over the canonical (tool, version, arguments), in hex."""
    return hashlib.sha256(canonical([tool, version, arguments]).encode()).hexdigest()


class CallCache:
    """Answers of earlier calls in the file `path`, `max_bytes` of them at most.

    `notify` is told once of each kind of trouble, in a sentence. Methods may be called from any thread and after
    a fork. Images are kept as handles: an answer whose files are gone or changed is a miss.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 256 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._clock = clock
        self._notify = notify or logging.getLogger("genevolve").warning
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._touched: dict[str, float] = {}
        self._inode = 0

    @classmethod
    def default(cls, **options: Any) -> CallCache:
        """The cache of this user, in the system's place for caches."""
        from platformdirs import user_cache_path

        return cls(user_cache_path("genevolve") / "calls.sqlite", **options)

    def get(self, key: str) -> Value | None:
        """The value kept under a key, or None."""

        def read(connection: sqlite3.Connection) -> Value | None:
            row = connection.execute("SELECT value, used FROM calls WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            value = self._decode(row[0])
            now = self._clock()
            if value is None:
                with _transaction(connection):
                    _remove(connection, key)
            elif now - row[1] > _TOUCH:
                connection.execute("UPDATE calls SET used = ? WHERE key = ?", (now, key))
            return value

        return self._use("read", read, None)

    def get_now(self, key: str) -> Value | None:
        """As `get`, for an event loop: also None when it could not be told without waiting.

        It waits neither for another thread nor for image files; when it has None, `get` may still have an answer.
        """
        if self._connection is None or self._pid != os.getpid() or not self._lock.acquire(blocking=False):
            return None
        try:
            row = self._connection.execute("SELECT value, used FROM calls WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            value = from_json(json.loads(row[0]))
            if isinstance(value, Images | ImageHandle):
                return None
            now = self._clock()
            if now - row[1] > _TOUCH:
                self._touched[key] = now
            return value
        except (sqlite3.Error, ValueError, RecursionError):
            return None  # `get` will meet the same trouble, and deal with it
        finally:
            self._lock.release()

    def put(self, key: str, value: Value) -> None:
        """Keep a value; the least recently used ones go when the bound is passed."""
        text = canonical(to_json(value))
        size = len(text) + len(key)
        if size > self.max_bytes:
            return

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                self._flush(connection)
                _remove(connection, key)
                connection.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", (key, text, size, self._clock()))
                connection.execute("UPDATE total SET size = size + ?", (size,))
                self._evict(connection, key)

        self._use("write", write, None)

    def clear(self) -> None:
        """Forget everything."""

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.execute("DELETE FROM calls")
                connection.execute("UPDATE total SET size = 0")

        self._use("write", write, None)

    def stats(self) -> dict[str, int]:
        """How many answers are kept, and their bytes."""

        def read(connection: sqlite3.Connection) -> dict[str, int]:
            entries = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
            size = connection.execute("SELECT size FROM total").fetchone()[0]
            return {"entries": int(entries), "bytes": int(size)}

        return self._use("read", read, {"entries": 0, "bytes": 0})

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid() and self._touched:
                with suppress(sqlite3.Error), _transaction(self._connection):
                    self._flush(self._connection)
            self._disconnect()

    # ---- the file --------------------------------------------------------------------------------

    def _use(self, purpose: str, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do something with the connection, under the lock. Trouble with the file gives `otherwise`."""
        with self._lock:
            try:
                return action(self._connect())
            except sqlite3.DatabaseError as error:
                if _is_corrupt(error):
                    self._set_aside(error)
                else:
                    self._say(purpose, f"the call cache {self.path} cannot be used to {purpose}: {error}")
            except OSError as error:
                self._say(purpose, f"the call cache {self.path} cannot be used: {error.strerror or error}")
            return otherwise

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid == os.getpid():
            return self._connection
        # After a fork the parent's connection is not ours to use or to close.
        self._connection, self._pid = None, os.getpid()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._prepared()
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            self._set_aside(error)
            self._connection = self._prepared()
        return self._connection

    def _prepared(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and (application, version) != (_APPLICATION, _SCHEMA):
                raise sqlite3.OperationalError(
                    "the file is another application's or another version's database"
                )
            self._inode = self.path.stat().st_ino
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            if not tables:
                marks = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_SCHEMA};"
                connection.executescript(f"BEGIN IMMEDIATE; {marks} {_TABLES} COMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None and self._pid == os.getpid():
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Move a corrupt file away, so that the next use starts afresh and nothing is lost."""
        connected = self._connection is not None
        self._disconnect()
        with suppress(OSError):
            if connected and self.path.stat().st_ino != self._inode:
                return  # another process has moved it away already; the file there now is a new one
        aside = self.path.with_name(f"{self.path.name}.corrupt-{int(self._clock())}-{os.getpid()}")
        with suppress(OSError):
            self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(self.path.name + suffix).unlink()
        self._say(
            "corrupt", f"the call cache {self.path} was corrupt ({error}); it was moved to {aside.name}"
        )

    def _say(self, kind: str, sentence: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._notify(sentence)

    # ---- entries ---------------------------------------------------------------------------------

    def _flush(self, connection: sqlite3.Connection) -> None:
        touched, self._touched = self._touched, {}
        connection.executemany(
            "UPDATE calls SET used = ? WHERE key = ?", [(t, k) for k, t in touched.items()]
        )

    def _evict(self, connection: sqlite3.Connection, newest: str) -> None:
        total = connection.execute("SELECT size FROM total").fetchone()[0]
        if total <= self.max_bytes:
            return
        # A tenth more than needed goes, so that not every later put evicts again.
        excess = total - int(self.max_bytes * 0.9)
        query = "SELECT key, size FROM calls WHERE key != ? ORDER BY used, key"
        for key, size in connection.execute(query, (newest,)).fetchall():
            if excess <= 0:
                break
            _remove(connection, key)
            excess -= size

    def _decode(self, text: str) -> Value | None:
        try:
            value = from_json(json.loads(text))
        except (ValueError, RecursionError):
            return None
        images = (
            value.items if isinstance(value, Images) else (value,) if isinstance(value, ImageHandle) else ()
        )
        return value if all(self._unchanged(i) for i in images) else None

    def _unchanged(self, handle: ImageHandle) -> bool:
        try:
            status = handle.file.stat()
            known = (handle.path, status.st_mtime_ns, status.st_size)
            if known not in self._hashes:
                with handle.file.open("rb") as file:
                    self._hashes[known] = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):
            return False
        return self._hashes[known] == handle.sha256


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _remove(connection: sqlite3.Connection, key: str) -> None:
    row = connection.execute("DELETE FROM calls WHERE key = ? RETURNING size", (key,)).fetchone()
    if row is not None:
        connection.execute("UPDATE total SET size = size - ?", (row[0],))


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Changing the journal does not wait for other processes that open the new file at the same moment.
    for attempt in range(50):
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if attempt == 49:
                raise
            time.sleep(0.02)


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
