"""Moving SQLite's log into the database file beside the work, so that no change waits for it.

SQLite does that within the commit that made the log long: that one change then waits for thousands of pages. Here a
thread with a connection of its own does it. A commit that finds the log much longer still (the thread does not keep
up, or cannot) does it itself, so the log stays bounded.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

EVERY = 1000
"""Changed rows after which the log is moved: about a hundred experiences, some 10 MB of log."""
LONGEST = 8192
"""Pages of log (of 8 kB) after which a commit does it itself."""
ROOM = 16 * 1024 * 1024
"""Bytes that the log's file has from the start where more than a few changes are made: the log seldom gets longer."""
_FEW = 4
QUIET = threading.Lock()
"""Held by a thread of ours while it is inside SQLite, and while this process makes a child: a child would inherit locks
of SQLite's that nobody opens again."""
os.register_at_fork(before=QUIET.acquire, after_in_parent=QUIET.release, after_in_child=QUIET.release)


class Checkpointer:
    """Starts a thread now and then, which does its work once and ends.

    Args:
        path: The database.
        room: Whether to make the log's file long: where commits wait for the disk.
    """

    def __init__(self, path: Path, *, room: bool) -> None:
        self._path = path
        self._room = room
        self._seen = self._commits = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """A new connection counts its changed rows from 0."""
        self._seen = self._commits = 0

    def committed(self, changes: int) -> None:
        """Tell of a commit: how many rows the connection has changed so far."""
        self._commits += 1
        work = []
        if self._commits == _FEW and self._room:
            work.append(self._lengthen)
        if changes - self._seen >= EVERY:
            work.append(self._move)
        if not work or (self._thread is not None and self._thread.is_alive()):
            return
        self._seen = changes if self._move in work else self._seen
        self._thread = threading.Thread(
            target=self._run, args=(work,), name="experience-store-log", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Until the thread has ended."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, work: Sequence[Callable[[sqlite3.Connection], None]]) -> None:
        # Trouble (a full disk, a folder that went away) is for the commits to tell, which meet it as well.
        with (
            QUIET,
            suppress(sqlite3.Error, OSError),
            closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
            ) as connection,
        ):
            for part in work:
                part(connection)

    def _move(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _lengthen(self, connection: sqlite3.Connection) -> None:
        """Append zeros, under the write lock: nobody else writes to the log then, and SQLite ends reading at them."""
        file = os.open(self._path.with_name(f"{self._path.name}-wal"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                length = os.fstat(file).st_size
                if 0 < length < ROOM:
                    os.pwrite(file, bytes(ROOM - length), length)
            finally:
                connection.execute("ROLLBACK")
            os.fsync(file)
        finally:
            os.close(file)
