"""Moving SQLite's log into the database file beside the work, so that no change waits for it.

SQLite does that within the commit that made the log long: that one change then waits for thousands of pages. Here a
thread with a connection of its own does it. A commit that finds the log much longer still (the thread does not keep
up, or cannot) does it itself, so the log stays bounded.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

EVERY = 1000
"""Changed rows after which the log is moved: about a hundred experiences, some 10 MB of log."""
LONGEST = 8192
"""Pages of log (of 8 kB) after which a commit does it itself."""
QUIET = threading.Lock()
"""Held by a thread of ours while it is inside SQLite, and while this process makes a child: a child would inherit locks
of SQLite's that nobody opens again."""
os.register_at_fork(before=QUIET.acquire, after_in_parent=QUIET.release, after_in_child=QUIET.release)


class Checkpointer:
    """Starts a thread now and then, which does its work once and ends.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """A new connection counts its changed rows from 0."""
        self._seen = 0

    def committed(self, changes: int) -> None:
        """Tell of a commit: how many rows the connection has changed so far."""
        if changes - self._seen < EVERY or (self._thread is not None and self._thread.is_alive()):
            return
        self._seen = changes
        self._thread = threading.Thread(target=self._move, name="experience-store-log", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the thread has ended."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _move(self) -> None:
        # Trouble (a full disk, a folder that went away) is for the commits to tell, which meet it as well.
        with (
            QUIET,
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)) as connection,
        ):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
