"""The SQLite file: opening it safely, short transactions, and errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genevolve.experience_store import pending, schema
from genevolve.experience_store.checkpoints import LONGEST, Checkpointer
from genevolve.grammar.errors import StorageError

BUSY_SECONDS = 60.0
"""How long to wait for another process's transaction. Ours take milliseconds; a stopped debugger may take longer."""
NAME = "experiences.sqlite"


class Database:
    """One connection, used by one thread at a time, opened again after a fork.

    Args:
        folder: The store's folder.
        read_only: Nothing is written, also not to the folder.
        durable: Wait for the disk at every commit, so that a power failure loses nothing acknowledged either.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, durable: bool = True) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.read_only = read_only
        self.durable = durable
        self.longest_write = 0.0
        """Seconds of the longest transaction that held the write lock."""
        self._last = 0.0
        self.writing = False
        """Whether a transaction of this object's has the write lock now: what it reads may yet be taken back."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._log = Checkpointer(self.path, room=durable)

    def create(self) -> None:
        """Make the file and its tables where they are missing, and bring the tables up to date."""
        with self._lock, self._translated("prepared"):
            schema.migrate(self._connected())

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A view of the store as it is now, while the block runs. Never waits for writers."""
        with self._lock, self._translated("read"):
            connection = self._connected()
            if connection.in_transaction:  # inside `write`, which sees at least as much
                yield connection
                return
            connection.execute("BEGIN")
            try:
                waiting = pending.waiting(connection)
                if waiting is not None:
                    pending.views(connection, *waiting)
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction under the write lock: all of it happens, or nothing. Keep it short.

        A rollback that somebody switched and did not finish is finished first, in transactions of its own.
        """
        if self.read_only:
            raise StorageError(f"the experience store {self.folder} is open for reading only")
        with self._lock, self._translated("written"):
            connection = self._connected()
            began = self._begin(connection)
            self.writing = True
            try:
                yield connection
                connection.execute("COMMIT")
                self._log.committed(connection.total_changes)
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise
            finally:
                self.writing = False
                self._held(began)

    def settle(self) -> None:
        """Finish a rollback that somebody switched and did not finish; nothing when there is none."""
        with self.read() as connection:
            waiting = pending.waiting(connection)
        if waiting is not None:
            with self.write():  # which does it
                pass

    def pause(self) -> None:
        """Leave the lock to others for as long as the last transaction had it.

        Between the parts of a long piece of work: who waits for SQLite's lock asks now and then whether it is free,
        and would not get it for seconds.
        """
        time.sleep(min(self._last, 0.1))

    def _held(self, began: float) -> None:
        self._last = time.perf_counter() - began
        self.longest_write = max(self.longest_write, self._last)

    def _begin(self, connection: sqlite3.Connection) -> float:
        """Begin to write. Returns since when the lock is held."""
        while True:
            connection.execute("BEGIN IMMEDIATE")
            began = time.perf_counter()
            try:
                waiting = pending.waiting(connection)
                if waiting is None:
                    return began
                pending.move(connection, *waiting)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise
            self._log.committed(connection.total_changes)
            self._held(began)
            self.pause()

    def backup(self, target: Path) -> None:
        """Copy the database as it is now into a new file, while others go on writing."""
        with self._lock, self._translated("backed up"):
            # One step copies everything within one read transaction; smaller ones start again at every write.
            with sqlite3.connect(target) as copy:
                self._connected().backup(copy)
            copy.close()

    def checkpoint(self) -> None:
        """Move what the log holds into the file, as far as readers allow."""
        with self._lock, suppress(sqlite3.Error):
            self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def vacuum(self) -> None:
        """Give free pages back to the disk. Needs the file for itself; skipped while others use it."""
        with self._lock, suppress(sqlite3.OperationalError):
            connection = self._connected()
            connection.execute("PRAGMA busy_timeout = 100")
            try:
                connection.execute("VACUUM")
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def close(self) -> None:
        """Close the connection; it opens again when it is used."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._log.wait()
                with suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    # ---- the connection ----

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid == os.getpid():
            return self._connection
        # After a fork the parent's connection is not ours to use or to close.
        self._connection, self._pid = None, os.getpid()
        connection = self._open()
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._log.begin()
        return connection

    def _open(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        if not self.read_only:
            return sqlite3.connect(
                f"{uri}?mode=rwc",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        reading = sqlite3.connect(
            f"{uri}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            reading.close()
            log = self.path.with_name(NAME + "-wal")
            waiting = log.exists() and log.stat().st_size > 0
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN or waiting:
                raise
            # SQLite keeps a small shared file beside a database in WAL mode, and here it cannot. Nobody else has the
            # store open then, and no log is waiting to be read: the file itself is everything.
            return sqlite3.connect(
                f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
            )
        return reading

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")  # one view: another process may be making the tables just now
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        names = set(schema.applied(connection)) if application == schema.APPLICATION else set()
        connection.execute("ROLLBACK")
        if tables and application != schema.APPLICATION:
            raise StorageError(
                f"{self.path} is another program's database; move it away, or choose another folder for the store"
            )
        unknown = names - {m.name for m in schema.MIGRATIONS}
        if unknown:
            raise StorageError(
                f"the experience store {self.folder} was made by a newer version of genevolve "
                f"({min(unknown)}); install that version"
            )
        if self.read_only:
            connection.execute("PRAGMA query_only = ON")
            return
        if not tables:
            connection.execute("PRAGMA page_size = 8192")
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST}")

    @contextmanager
    def _translated(self, purpose: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explained(error, self.path, purpose) from error
        except OSError as error:
            raise StorageError(
                f"the experience store {self.folder} cannot be {purpose}: {error.strerror or error}"
            ) from error


def explained(error: sqlite3.Error, path: Path, purpose: str) -> StorageError:
    """What an operator is told of an error of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    store = f"the experience store {path.parent}"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageError(
            f"the database {path} is damaged ({error}); restore a backup, or save what can be read with "
            f"`genevolve experience verify --repair`"
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            f"the disk is full: {store} cannot be {purpose}; nothing was changed; make room first"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StorageError(
            f"{store} cannot be {purpose}: its folder or files may not be written; "
            "change the permissions, or open it for reading only"
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StorageError(
            f"{store} cannot be {purpose}: {path.name} cannot be opened; check that the folder exists and may be "
            "written (for reading a folder that may not be written, a log left by a crash has to be copied with it)"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(
            f"{store} cannot be {purpose}: another process has held its lock for {BUSY_SECONDS:.0f} seconds; "
            "find and end that process"
        )
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(
            f"{store} cannot be {purpose}: the disk reports an error ({error}); nothing was changed; "
            "check the free space and the disk"
        )
    return StorageError(f"{store} cannot be {purpose}: {error}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Changing the journal does not wait for other processes that open the new file at the same moment.
    for attempt in range(200):
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if attempt == 199 or not busy:
                raise
            time.sleep(0.02)
