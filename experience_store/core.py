"""What every part of an open store stands on: transactions, its state, and the index of its model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genevolve.experience_store import records, upkeep
from genevolve.experience_store.database import Database
from genevolve.experience_store.live import LiveIndex
from genevolve.experience_store.records import State
from genevolve.experience_store.space import Space
from genevolve.grammar.errors import StorageError


class Core:
    """An open store without its operations."""

    def __init__(self, database: Database, space: Space) -> None:
        self._database = database
        self._space = space
        self._live: LiveIndex | None = None
        self._proved = -1
        self._closed = False

    @property
    def path(self) -> Path:
        """The folder."""
        return self._database.folder

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._refuse_closed()
        with self._database.read() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._refuse_closed()
        try:
            with self._database.write() as connection:
                yield connection
        except BaseException:
            if self._live is not None:
                self._live.drop()  # it may have followed changes that were taken back
            raise

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageError(f"the experience store {self.path} is closed")

    def _state(self) -> State:
        with self._reading() as connection:
            return records.state(connection)

    def _current(self, connection: sqlite3.Connection, now: State) -> LiveIndex | None:
        """The index of the model in use, which has to be this store's own; None in a store without one."""
        if now.embedder == 0:
            return None
        if self._proved != now.embedder:
            upkeep.prove(connection, self._space, now.embedder, self.path)
            self._proved = now.embedder
        if self._live is None or self._live.embedder != now.embedder:
            dimension = connection.execute(
                "SELECT dimension FROM embedders WHERE id = ?", (now.embedder,)
            ).fetchone()[0]
            self._live = LiveIndex(
                self._database, embedder=now.embedder, dimension=dimension, store=now.store
            )
        return self._live

    def _made_live(self) -> LiveIndex | None:
        with self._reading() as connection:
            return self._current(connection, records.state(connection))
