"""The experience store: one folder, opened by any number of processes.

    with ExperienceStore.open("experiences") as store:
        result = store.add(experience)
        for hit in store.search("A poster of a lighthouse with a title", k=1):
            print(hit.similarity, hit.experience.bundle.retrieval_key.trigger)

The folder holds the database `experiences.sqlite`, which is the truth, and an index and a vector file beside it, which
are made from it whenever they are missing, stale or damaged.
"""

from __future__ import annotations

import builtins
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.experience_store import history, records, upkeep
from genevolve.experience_store.adding import BATCH, Adding
from genevolve.experience_store.database import Database
from genevolve.experience_store.experience import Experience
from genevolve.experience_store.folder import MARKER, check_folder, identify
from genevolve.experience_store.history import History, RunHistory
from genevolve.experience_store.live import LiveIndex
from genevolve.experience_store.records import Filters
from genevolve.experience_store.reports import (
    AddResult,
    Change,
    Distributions,
    Snapshot,
    StoreStats,
    VerifyReport,
)
from genevolve.experience_store.retrieval import GATE, TIE, Hit, Near, nearest
from genevolve.experience_store.rollback import rollback
from genevolve.experience_store.space import Space
from genevolve.experience_store.verifying import verify
from genevolve.grammar.errors import AuthorError, ConfigurationError, StorageError
from genevolve.interpreter.library.embedder import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

CAPACITY = 500
_ATTEMPTS = 5
_PART = 1000
"""Experiences that one transaction removes or restores at most."""


class ExperienceStore(Adding):
    """Experiences in a folder. Open one with `open`; close it, or use it in a `with` statement.

    Methods may be called from any thread, one at a time; every one of them sees what other processes have written.
    All raise `StorageError` when the folder cannot be used.
    """

    def __init__(self, database: Database, space: Space) -> None:
        super().__init__(database, space)
        self._history = History()

    # ---- opening and closing ----

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        embedder: str | Path | Embedder | None = "auto",
        capacity: int | None = CAPACITY,
        read_only: bool = False,
        durable: bool = True,
    ) -> ExperienceStore:
        """Open the store in a folder; make it when there is none.

        Args:
            path: The folder.
            embedder: The model of requests: a name as in the settings, a folder, or an object that embeds. It is
                loaded when a request is first embedded. A store of another model can be read and listed, not searched.
            capacity: How many experiences a new store keeps; None is unbounded. A store that exists has its own.
            read_only: Never write, also not to the folder, which then has to exist.
            durable: Wait for the disk at every change. Without, a change survives the end of the process at any
                instruction, but perhaps not a power failure.

        Raises:
            StorageError: the folder cannot be used, holds something else, or is damaged.
            ConfigurationError: the model does not exist, or the capacity is not positive.
        """
        if capacity is not None and capacity < 1:
            raise ConfigurationError(
                f"the capacity {capacity} is not positive; use None for an unbounded store"
            )
        folder = Path(path)
        space = Space(embedder)
        database = Database(folder, read_only=read_only, durable=durable)
        check_folder(folder, read_only)
        try:
            if not read_only:
                database.create()
            identify(database, capacity)
            if not read_only:
                database.settle()
        except BaseException:
            database.close()
            raise
        return cls(database, space)

    def close(self) -> None:
        """Write what is waiting and let go of the files. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._history.waiting and not self._database.read_only:
                self._flush_history()
            if self._live is not None:
                self._live.close(save=not self._database.read_only)
        finally:
            self._database.close()

    def __enter__(self) -> ExperienceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what it is ----

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only."""
        return self._database.read_only

    @property
    def generation(self) -> int:
        """The number of the latest change."""
        return self._state().generation

    @property
    def capacity(self) -> int | None:
        """How many experiences are kept; None is unbounded."""
        return self._state().capacity

    @property
    def embedder_name(self) -> str | None:
        """The name of the model whose vectors the store holds; None when it holds none yet."""
        with self._reading() as connection:
            return upkeep.embedder_name(connection, records.state(connection).embedder)

    def __len__(self) -> int:
        return self._state().live

    def set_capacity(self, capacity: int | None) -> tuple[str, ...]:
        """Change how many experiences are kept. Returns the ids of those that had to go."""
        if capacity is not None and capacity < 1:
            raise ConfigurationError(
                f"the capacity {capacity} is not positive; use None for an unbounded store"
            )
        gone: builtins.list[str] = []
        with self._writing() as connection:
            connection.execute("UPDATE state SET capacity = ?", (capacity,))
        while True:
            with self._writing() as connection:
                now = records.state(connection)
                if now.capacity is None or now.live <= now.capacity:
                    return tuple(gone)
                gone += records.evict(connection, records.advance(connection))

    # ---- adding, removing ----

    def add(self, experience: Experience) -> AddResult:
        """Add an experience, if the rules of admission let it in. When this returns, it is on disk.

        Raises:
            ConfigurationError: there is no embedding model.
            StorageError: the store holds another model's vectors, or cannot be written.
        """
        return self.add_many([experience])[0]

    def add_many(
        self,
        experiences: Sequence[Experience],
        *,
        again: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> builtins.list[AddResult]:
        """Add experiences, a few in each transaction; results in the same order.

        Args:
            experiences: What to add.
            again: Let in what the store had and gave up. False leaves it out as "known" where it was evicted and
                there is no more room than then, or where a nearly equal one is stored in its place: for rows of a
                file, which may have been here before.
            progress: Gets (done, all).
        """
        results: builtins.list[AddResult] = []
        while len(results) < len(experiences):
            results += self._add_batch(experiences[len(results) : len(results) + BATCH], again)
            if progress is not None:
                progress(len(results), len(experiences))
        return results

    def remove(self, ids: Sequence[str]) -> Change:
        """Remove experiences. They can be restored until the store is compacted."""
        return self._flip_all(ids, False, "removed")

    def restore(self, ids: Sequence[str]) -> Change:
        """Bring back experiences that were removed, evicted or replaced since the store was last compacted.

        In a store that is full, one that is brought back may be the next that has to go, at once.
        """
        return self._flip_all(ids, True, "restored")

    # ---- finding ----

    def get(self, identity: str) -> Experience | None:
        """The live experience with this id, or None."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT body FROM experiences WHERE id = ? AND live = 1", (identity,)
            ).fetchone()
            return None if row is None else records.decode(row[0], identity)

    def resolve(self, prefix: str) -> builtins.list[str]:
        """Ids of live experiences that begin with these hex digits, ten at most."""
        if not prefix or not set(prefix) <= set("0123456789abcdef"):
            return []
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT id FROM experiences WHERE id >= ? AND id < ? AND live = 1 ORDER BY id LIMIT 10",
                (prefix, prefix + "g"),
            )
            return [r[0] for r in rows]

    def search(
        self,
        request: str,
        k: int = 1,
        *,
        gate: float = GATE,
        exclude_request: str | None = None,
        run: str | None = None,
    ) -> builtins.list[Hit]:
        """The experiences of the k nearest requests, nearest first; none that is below the gate.

        Args:
            request: The request.
            k: How many at most.
            gate: The smallest cosine that counts. -1 lets everything through.
            exclude_request: Experiences of this request are left out (leave-one-out). Pass the request itself in
                every evaluation; in training a request may retrieve what its own rollouts taught.
            run: Keep this lookup in the history of the run with this name.

        Raises:
            ConfigurationError: there is no embedding model.
            StorageError: the store holds another model's vectors.
        """
        if len(self) == 0:
            if run is not None:
                self._note(run, gate, None)
            return []
        vector = self._space.embed([request])[0]
        return self.search_vector(vector, k, gate=gate, exclude_request=exclude_request, run=run)

    def search_vector(
        self,
        vector: Vectors,
        k: int = 1,
        *,
        gate: float = GATE,
        exclude_request: str | None = None,
        run: str | None = None,
    ) -> builtins.list[Hit]:
        """As `search`, for a unit vector (d,) of the store's model. Raises `AuthorError` when it is none."""
        import numpy as np

        vector = np.ascontiguousarray(vector, dtype=np.float32)
        if k < 1 or vector.ndim != 1 or not abs(float(vector @ vector) - 1) < 1e-3:
            raise AuthorError("a search asks for at least one experience, by one vector of length 1")
        exclude = None if exclude_request is None else records.request_key(exclude_request)
        for attempt in range(_ATTEMPTS):
            with self._reading() as connection:
                now = records.state(connection)
                live = self._current(connection, now)
                if live is None:
                    found: builtins.list[Near] = []
                    break
                if len(vector) != live.dimension:
                    raise AuthorError(
                        f"the vector has {len(vector)} numbers; the store's have {live.dimension}"
                    )
                index = live.refresh(connection, now, wait=False)
                found = nearest(connection, index, partial(live.fetch, connection), vector, k, exclude)
                if self._confirmed(connection, live, found, vector):
                    break
                # What the files beside the database say is not what it says: they are made again.
                live.drop()
                upkeep.forget_files(self._database, live)
                self._live = None
                if attempt == _ATTEMPTS - 1:
                    raise StorageError(
                        f"the experience store {self.path} disagrees with itself; "
                        "run `genevolve experience verify --repair`"
                    )
        if run is not None:
            self._note(run, gate, found[0].similarity if found else None)
        passed = [n for n in found if n.similarity >= gate]
        return self._hits(passed)

    def list(
        self, filters: Filters | None = None, limit: int | None = 50, offset: int = 0
    ) -> builtins.list[Experience]:
        """Live experiences, the newest first.

        Args:
            filters: Which ones; all by default.
            limit: At most so many; None for all.
            offset: Leave out so many at the beginning.
        """
        where, values = (filters or Filters()).where()
        query = f"SELECT id, body FROM experiences WHERE {where} ORDER BY arrival DESC LIMIT ? OFFSET ?"  # noqa: S608  # conditions of ours, values bound
        with self._reading() as connection:
            rows = connection.execute(query, (*values, -1 if limit is None else limit, offset))
            return [records.decode(body, identity) for identity, body in rows]

    def count(self, filters: Filters | None = None) -> int:
        """How many live experiences there are."""
        where, values = (filters or Filters()).where()
        with self._reading() as connection:
            query = f"SELECT count(*) FROM experiences WHERE {where}"  # noqa: S608  # conditions of ours, values bound
            return int(connection.execute(query, values).fetchone()[0])

    def ids(self, filters: Filters | None = None) -> tuple[str, ...]:
        """Ids of live experiences in the order of their arrival."""
        where, values = (filters or Filters()).where()
        with self._reading() as connection:
            query = f"SELECT id FROM experiences WHERE {where} ORDER BY arrival"  # noqa: S608  # conditions of ours, values bound
            return tuple(r[0] for r in connection.execute(query, values))

    # ---- figures ----

    def stats(self) -> StoreStats:
        """Figures of the store."""
        index = None if self._live is None else self._live.index or self._live.scan
        with self._reading() as connection:
            return upkeep.stats(connection, self._database, index)

    def distributions(self) -> Distributions:
        """Gaps, times, steps and slots of all live experiences."""
        with self._reading() as connection:
            return upkeep.distributions(connection)

    def history(self) -> builtins.list[RunHistory]:
        """What each run looked up and found, the latest run first."""
        if self._history.waiting and not self._database.read_only:
            self._flush_history()
        with self._reading() as connection:
            return history.load(connection)

    # ---- generations ----

    def snapshot(self, name: str) -> Snapshot:
        """Give the present generation a name; compacting keeps it and all later ones. Costs the history it keeps.

        Raises:
            AuthorError: the name is taken or cannot be one.
        """
        if not name.strip() or len(name) > 100 or not name.isprintable():
            raise AuthorError("the name of a snapshot is 1 to 100 printable characters")
        with self._writing() as connection:
            now = records.state(connection)
            taken = Snapshot(name, now.generation, now.live, time.time())
            try:
                connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?)", (name, *_rest(taken)))
            except sqlite3.IntegrityError as error:
                raise AuthorError(f"there is a snapshot {name!r} already") from error
        return taken

    def snapshots(self) -> builtins.list[Snapshot]:
        """All snapshots, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute("SELECT name, generation, live, created FROM snapshots ORDER BY 2, 4")
            return [Snapshot(*r) for r in rows]

    def drop_snapshot(self, name: str) -> bool:
        """Forget a snapshot. False when there is none of this name."""
        with self._writing() as connection:
            return connection.execute("DELETE FROM snapshots WHERE name = ?", (name,)).rowcount > 0

    def rollback(self, generation: int | str) -> Change:
        """Make the store hold what it held at a generation, or a snapshot of this name, as a new generation.

        Nothing is lost: rolling back to the generation before undoes it.

        Raises:
            AuthorError: there is no such generation or snapshot, or compacting has removed it.
        """
        self._refuse_closed()
        return rollback(self._database, generation)

    def compact(self) -> int:
        """Forget what is older than the oldest snapshot, give the room back, and make the index anew.

        Without snapshots all that was removed is forgotten. Returns how many experiences went for good.
        """
        gone = upkeep.compact(self._database)
        live = self._made_live()
        if live is not None:
            live.build()
            upkeep.tidy_vectors(self._database, live.embedder)
        return gone

    def backup(self, target: str | Path) -> Path:
        """Copy the store into a new folder while others go on writing. Returns the folder."""
        return upkeep.backup(self._database, Path(target), MARKER)

    # ---- the model ----

    def reembed(
        self,
        embedder: str | Path | Embedder,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Give every experience a vector of another model, then change to it. Returns how many were embedded.

        Until the end the store works with the old model. An interrupted change goes on where it stopped when it is
        called again. Other processes that have the store open must open it again to search and to add.
        """
        space = Space(embedder)
        done = upkeep.reembed(self._database, space, progress)
        self._space, self._live, self._proved = space, None, -1
        live = self._made_live()
        if live is not None:
            live.build()
        return done

    # ---- its health ----

    def verify(self, repair: bool = False) -> VerifyReport:
        """Compare everything with everything; with `repair`, put right what can be.

        A row that is damaged cannot be; it is taken out and named. A database that cannot be opened at all is a
        matter for `recover`.
        """
        if repair and self._database.read_only:
            raise StorageError("a store that is open for reading only cannot be repaired")
        return verify(self._database, self._space, repair=repair)

    @staticmethod
    def recover(path: str | Path) -> VerifyReport:
        """Save what can be read of a store whose database is damaged into a new one; the old one is kept aside.

        Raises:
            StorageError: nothing can be read of it.
        """
        from genevolve.experience_store.recovery import recover

        return recover(Path(path))

    # ---- inside ----

    def _confirmed(
        self, connection: sqlite3.Connection, live: LiveIndex, found: Sequence[Near], vector: Vectors
    ) -> bool:
        """Whether the database's own vectors give the same similarities."""
        for near in found:
            true = records.get_vector(connection, live.embedder, near.seq, live.dimension)
            if true is None:
                raise StorageError(
                    f"the vector of the experience {near.id[:12]} is missing or damaged; "
                    "run `genevolve experience verify --repair`"
                )
            if abs(float(true @ vector) - near.similarity) > 10 * TIE:
                return False
        return True

    def _hits(self, found: Sequence[Near]) -> builtins.list[Hit]:
        hits = []
        with self._reading() as connection:
            for near in found:
                row = connection.execute("SELECT body FROM experiences WHERE seq = ?", (near.seq,)).fetchone()
                if row is not None:  # compacted since
                    hits.append(Hit(records.decode(row[0], near.id), near.similarity))
        return hits

    def _note(self, run: str, gate: float, similarity: float | None) -> None:
        if self._database.read_only:
            return
        self._history.record(run, self._space.name or "", gate, similarity)
        if self._history.due:
            self._flush_history()

    def _flush_history(self) -> None:
        with self._database.write() as connection:
            self._history.flush(connection)
        self._history.written()

    def _flip_all(self, ids: Sequence[str], live: bool, counter: str) -> Change:
        """Change many in several transactions, between which others may write."""
        wanted = tuple(dict.fromkeys(ids))
        parts = [
            self._flip(wanted[i : i + _PART], live, counter) for i in range(0, max(1, len(wanted)), _PART)
        ]
        changed = tuple(identity for part in parts for identity in part.changed)
        missing = tuple(identity for part in parts for identity in part.missing)
        return Change(changed, missing, parts[-1].generation)

    def _flip(self, ids: Sequence[str], live: bool, counter: str) -> Change:
        changed: builtins.list[str] = []
        missing: builtins.list[str] = []
        with self._writing() as connection:
            generation = records.state(connection).generation
            for identity in ids:
                row = connection.execute(
                    "SELECT seq FROM experiences WHERE id = ? AND live != ?", (identity, int(live))
                ).fetchone()
                if row is None:
                    missing.append(identity)
                    continue
                if not changed:
                    generation = records.advance(connection)
                records.flip(connection, [row[0]], live, generation)
                changed.append(identity)
            if changed:
                records.count(connection, counter, len(changed))
                records.evict(connection, generation)
        return Change(tuple(changed), tuple(missing), generation)


def _rest(snapshot: Snapshot) -> tuple[int, int, float]:
    return snapshot.generation, snapshot.live, snapshot.created
