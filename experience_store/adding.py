"""Letting experiences in: vectors before the lock, duplicates and eviction under it, a few in each transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from genevolve.experience_store import records, upkeep
from genevolve.experience_store.admission import Merged, Neighbour, Refused, find_duplicate, inspect
from genevolve.experience_store.core import Core
from genevolve.experience_store.experience import Experience
from genevolve.experience_store.index import VectorIndex
from genevolve.experience_store.live import LiveIndex, Stale
from genevolve.experience_store.reports import AddResult
from genevolve.experience_store.retrieval import DUPLICATE, nearest
from genevolve.experience_store.scan import Scan
from genevolve.grammar.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

BATCH = 32
_TURN = 0.2
"""Seconds after which a batch gives the write lock to others."""
_ATTEMPTS = 5
_T = TypeVar("_T")


class Adding(Core):
    """The part of a store that lets experiences in."""

    def _add_batch(self, experiences: Sequence[Experience], again: bool) -> list[AddResult]:
        """Add as many of these as one turn allows, at least one."""
        refusals = [inspect(e) for e in experiences]
        good = [e for e, refused in zip(experiences, refusals, strict=True) if refused is None]
        vectors = iter(self._space.embed([e.request for e in good])) if good else iter(())
        prepared = [
            (e, r, next(vectors) if r is None else None) for e, r in zip(experiences, refusals, strict=True)
        ]
        if good:
            self._adopt()
        return self._retried(lambda: self._write_batch(prepared, again))

    def _adopt(self) -> None:
        """Make the model that of the store, if the store has none yet."""
        probe = self._space.probe()
        if self._state().embedder == 0:
            with self._writing() as connection:
                if records.state(connection).embedder == 0:
                    number = upkeep.register(connection, self._space.name or "", probe)
                    connection.execute("UPDATE state SET embedder = ?", (number,))

    def _retried(self, action: Callable[[], _T]) -> _T:
        for _ in range(_ATTEMPTS):
            self._catch_up()
            try:
                return action()
            except Stale:
                continue
        raise StorageError(f"the experience store {self.path} changes too fast to be written; try again")

    def _catch_up(self) -> None:
        """Bring the index up to date before the lock is taken, so that little is left to do under it."""
        with self._reading() as connection:
            now = records.state(connection)
            live = self._current(connection, now) if self._space.name is not None else None
            if live is not None:
                live.refresh(connection, now)

    def _write_batch(
        self, prepared: Sequence[tuple[Experience, Refused | None, Vectors | None]], again: bool
    ) -> list[AddResult]:
        results: list[AddResult] = []
        fresh: list[tuple[int, Vectors]] = []
        began = time.perf_counter()
        with self._writing() as connection:
            for experience, refused, vector in prepared:
                if refused is not None or vector is None:
                    code = refused.code if refused is not None else "unknown"
                    records.count(connection, f"refused.{code}")
                    results.append(AddResult("refused", experience.id, refusal=refused))
                elif not again and records.departed(connection, experience.id):
                    records.count(connection, "known")
                    generation = records.state(connection).generation
                    results.append(AddResult("known", experience.id, generation))
                else:
                    results.append(self._add_one(connection, experience, vector, fresh))
                if time.perf_counter() - began > _TURN:
                    break
        self._keep_vectors(fresh)
        return results

    def _keep_vectors(self, fresh: Sequence[tuple[int, Vectors]]) -> None:
        import numpy as np

        if fresh and self._live is not None:
            self._live.keep([seq for seq, _ in fresh], np.stack([v for _, v in fresh]))

    def _add_one(
        self,
        connection: sqlite3.Connection,
        experience: Experience,
        vector: Vectors,
        fresh: list[tuple[int, Vectors]],
    ) -> AddResult:
        now = records.state(connection)
        if now.embedder != self._proved:
            raise Stale  # another model was put in place since; comparing models takes too long under the lock
        live = self._current(connection, now)
        if live is None or len(vector) != live.dimension:
            raise StorageError(f"the vectors of {self._space.name} do not fit into the store {self.path}")
        row = connection.execute(
            "SELECT seq, live FROM experiences WHERE id = ?", (experience.id,)
        ).fetchone()
        if row is not None and row[1]:
            records.count(connection, "known")
            return AddResult("known", experience.id, now.generation)
        index = live.refresh(connection, now, build=False)
        merged = find_duplicate(experience, _View(connection, live, index, vector))
        return self._store(connection, experience, vector, merged, None if row is None else row[0], fresh)

    def _store(
        self,
        connection: sqlite3.Connection,
        experience: Experience,
        vector: Vectors,
        merged: Merged | None,
        removed: int | None,
        fresh: list[tuple[int, Vectors]],
    ) -> AddResult:
        now = records.state(connection)
        seen, replaced = 1, None
        if merged is not None:
            records.count(connection, "merged")
            connection.execute("UPDATE experiences SET seen = seen + 1 WHERE id = ?", (merged.other,))
            if not merged.replaces:
                records.depart(connection, experience.id, merged.other)
                return AddResult("merged", merged.other, now.generation)
        generation = records.advance(connection)
        if merged is not None:
            seq, seen = connection.execute(
                "SELECT seq, seen FROM experiences WHERE id = ?", (merged.other,)
            ).fetchone()
            records.flip(connection, [seq], False, generation)
            records.depart(connection, merged.other, experience.id)
            replaced = merged.other
        if removed is None:
            named = replace(experience, embedder=self._space.name or "")
            removed = records.insert(connection, named, vector, now.embedder, seen)
            fresh.append((removed, vector))
        else:
            connection.execute("UPDATE state SET arrivals = arrivals + 1")
            connection.execute(
                "UPDATE experiences SET seen = ?, arrival = (SELECT arrivals FROM state) WHERE seq = ?",
                (seen, removed),
            )
        records.flip(connection, [removed], True, generation)
        evicted = records.evict(connection, generation)
        if merged is None:
            records.count(connection, "added")
        status = "added" if merged is None else "merged"
        return AddResult(status, experience.id, generation, replaced, tuple(evicted))


class _View:
    """What admission sees of the store, inside a transaction."""

    def __init__(
        self, connection: sqlite3.Connection, live: LiveIndex, index: VectorIndex | Scan, vector: Vectors
    ) -> None:
        self._connection = connection
        self._live = live
        self._index = index
        self._vector = vector

    def neighbours(self, experience: Experience, minimum: float) -> Iterator[Neighbour]:
        """Stored experiences whose requests are at least so similar, nearest first."""
        k = 4
        while True:
            found = nearest(self._connection, self._index, self._fetch, self._vector, k, effort=DUPLICATE)
            for near in found[k // 4 if k > 4 else 0 :]:
                if near.similarity < minimum:
                    return
                body = self._connection.execute(
                    "SELECT body FROM experiences WHERE seq = ?", (near.seq,)
                ).fetchone()
                yield Neighbour(records.decode(body[0], near.id), near.similarity)
            if len(found) < k or k >= 64:
                return
            k *= 4

    def _fetch(self, seqs: Sequence[int]) -> Vectors:
        return self._live.fetch(self._connection, seqs)
