"""The index of an open store: brought up to what the database says, read from its file or built anew."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.experience_store.checkpoints import QUIET
from genevolve.experience_store.database import Database
from genevolve.experience_store.index import VectorIndex
from genevolve.experience_store.making import Making
from genevolve.experience_store.records import State, get_vectors, state
from genevolve.experience_store.scan import Scan
from genevolve.experience_store.vectors import VectorFile
from genevolve.grammar.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_READ = 8192
_log = logging.getLogger("genevolve")
SCANNED = 100_000
"""From so many experiences on, making the index takes long enough that searches do not wait for it."""
_NEW = 120.0
"""Seconds for which a file that nothing refers to may be one that another process is just writing."""


class Stale(Exception):
    """The index has to be made again, which must not happen under the write lock."""


class LiveIndex:
    """Index and vector file of the model that a database uses.

    Args:
        database: The store's database.
        embedder: The model's number.
        dimension: Numbers in a vector.
        store: The store's name.
    """

    def __init__(self, database: Database, *, embedder: int, dimension: int, store: str) -> None:
        self.embedder = embedder
        self.dimension = dimension
        self.index: VectorIndex | None = None
        self._database = database
        self._saved = -1
        self.scan: Scan | None = None
        self._making: Making[VectorIndex] | None = None
        self._store = store
        self._vectors = VectorFile(
            vector_path(database.folder, embedder),
            store=store,
            embedder=embedder,
            dimension=dimension,
            read_only=database.read_only,
        )

    def refresh(
        self, connection: sqlite3.Connection, now: State, *, build: bool = True, wait: bool = True
    ) -> VectorIndex | Scan:
        """The index as the database is, within the connection's transaction.

        Args:
            connection: A connection inside a transaction.
            now: What the database's state is.
            build: Whether making the index again is allowed here; else `Stale` is raised where that is needed.
            wait: Whether to wait until it is made; else something slower stands in for that of a large store.
        """
        index = self.index
        if index is None or not now.history <= index.generation <= now.generation:
            if not build:
                raise Stale
            index = self.index = self._loaded(connection, now) or self._made(now)
            if index is None and not wait:
                scan = self._scanned(connection, now)
                if scan is not None:
                    return scan
            if index is None:
                index = self.index = self._waited(now) or self._built(connection, now)
            self.scan = None
        if index.generation != now.generation:
            self.index = None  # half followed, it would be wrong; it is put back when all went well
            self._follow(connection, index, now)
            self.index = index
        if build and index.kind == "flat" and index.outgrown:
            index = self.index = self._built(connection, now)
        return index

    def fetch(self, connection: sqlite3.Connection, seqs: Sequence[int]) -> Vectors:
        """The vectors of experiences, (n, d), from the memory-mapped file or, where it lacks them, the database.

        Raises:
            StorageError: the database lacks one as well.
        """
        import numpy as np

        found, whole = self._vectors.many(seqs)
        missing = np.flatnonzero(~whole).tolist()
        if missing:
            wanted = [seqs[place] for place in missing]
            found[missing] = self._true(connection, wanted)
            if not self._database.writing:
                self._vectors.put(wanted, found[missing])
        return found

    def _true(self, connection: sqlite3.Connection, seqs: Sequence[int]) -> Vectors:
        """The vectors of experiences, (n, d), as the database has them. Raises `StorageError` when it lacks one."""
        import numpy as np

        found = get_vectors(connection, self.embedder, seqs, self.dimension)
        for seq in seqs:
            if seq not in found:
                raise StorageError(
                    f"the vector of experience number {seq} is missing or damaged; "
                    "run `genevolve experience verify --repair`"
                )
        return np.stack([found[seq] for seq in seqs])

    def keep(self, seqs: list[int], vectors: Vectors) -> None:
        """Write vectors (n, d) that the database has into the memory-mapped file."""
        self._vectors.put(seqs, vectors)

    def row(self, seq: int) -> Vectors | None:
        """The vector (d,) that the memory-mapped file has, None when it has none."""
        return self._vectors.get(seq)

    def drop(self) -> None:
        """Forget the index in memory: what it was made from did not happen."""
        self.index = self.scan = None

    def build(self) -> None:
        """Make the index again and write it."""
        with self._database.read() as connection:
            self.index = self._built(connection, state(connection))
        self.save()

    def save(self) -> None:
        """Write the index beside the database and record it there. Raises `OSError`, `StorageError`."""
        index = self.index
        if index is None or self._database.read_only or index.generation == self._saved:
            return
        path = self._database.folder / f"index-{index.generation}-{secrets.token_hex(4)}.faiss"
        size, digest = index.save(path)
        with self._database.write() as connection:
            now = state(connection)
            row = connection.execute("SELECT name, generation, embedder FROM index_file").fetchone()
            newer = (
                row is not None and row[2] == self.embedder and index.generation < row[1] <= now.generation
            )
            keep = now.embedder == self.embedder and index.generation <= now.generation and not newer
            if keep:
                connection.execute("DELETE FROM index_file")
                connection.execute(
                    "INSERT INTO index_file VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                    (path.name, index.generation, self.embedder, index.kind, index.entries, size, digest),
                )
        self._saved = index.generation
        if not keep:
            path.unlink(missing_ok=True)
        # The previous file stays: another process may be about to read it.
        tidy(self._database.folder, {path.name} | ({row[0]} if row else set()))

    def close(self, *, save: bool) -> None:
        """Write the index when much has changed, and let go of the files. Trouble costs time later, nothing else."""
        if self._making is not None:
            self._finish(save)
        if save and self.index is not None and self._worth_saving(self.index):
            try:
                self.save()
            except (OSError, StorageError) as error:
                _log.warning("the index of the experience store could not be written: %s", error)
        self._vectors.close()
        self.index = self.scan = None

    def _finish(self, save: bool) -> None:
        making, self._making = self._making, None
        if making is None:
            return
        if not save:
            making.give_up()
            return
        if making.running:
            _log.warning("the index of the experience store is being made; closing waits for it")
        self.index = making.result() or self.index

    def _worth_saving(self, index: VectorIndex) -> bool:
        if index.kind == "flat":
            return index.generation != self._saved
        return self._saved < 0 or index.generation - self._saved > max(2000, index.entries // 50)

    # ---- making it ----

    def _loaded(self, connection: sqlite3.Connection, now: State) -> VectorIndex | None:
        for _ in range(3):
            row = connection.execute(
                "SELECT name, generation, embedder, size, checksum, entries FROM index_file"
            ).fetchone()
            if row is None or row[2] != self.embedder or not now.history <= row[1] <= now.generation:
                return None
            path = self._database.folder / Path(row[0]).name
            found = VectorIndex.load(path, size=row[3], digest=row[4], generation=row[1])
            if found is not None:
                self._saved = row[1]
                return found
            if path.exists():
                _log.warning("the index file %s is damaged or not this store's; it is made again", path.name)
                return None
        return None

    def _made(self, now: State) -> VectorIndex | None:
        """The index that was made beside the work; None when there is none, or it is not ready."""
        if self._making is None or self._making.running:
            return None
        making, self._making = self._making, None
        made = making.result()
        return made if made is not None and now.history <= made.generation <= now.generation else None

    def _waited(self, now: State) -> VectorIndex | None:
        if self._making is not None:
            self._making.result()
        return self._made(now)

    def _scanned(self, connection: sqlite3.Connection, now: State) -> Scan | None:
        """What stands in for the index while it is made, which begins here; None where that does not pay."""
        if now.live < SCANNED:
            return None
        scan = self.scan
        again = scan is not None
        if not again:
            _log.warning(
                "the index of the experience store is missing; searches are slow until it is made again%s",
                ", which takes a process that may write" if self._database.read_only else "",
            )
        if scan is None or not now.history <= scan.generation <= now.generation:
            scan = self._compared(connection, now)
            if scan is None:
                return None
        if scan.generation != now.generation:
            self.scan = None
            self._follow(connection, scan, now)
        self.scan = scan
        # A process that may not keep the index makes it only when it searches more than once.
        if self._making is None and (again or not self._database.read_only):
            self._making = Making(self._beside)
        return scan

    def _compared(self, connection: sqlite3.Connection, now: State) -> Scan | None:
        """Every live vector of the file, which gets what it lacks; what it cannot get is kept in memory."""
        seqs = _live(connection)
        holes: dict[int, Vectors] = {}
        for begin in range(0, len(seqs), _READ):
            part = seqs[begin : begin + _READ]
            _, whole = self._vectors.many(part)
            if whole.all():
                continue
            missing = [seq for seq, there in zip(part, whole.tolist(), strict=True) if not there]
            true = self._true(connection, missing)
            if not self._vectors.put(missing, true):
                holes |= dict(zip(missing, true, strict=True))
            if len(holes) > SCANNED:
                return None
        there = [seq for seq in seqs if seq not in holes]
        scan = Scan(there, self._vectors.rows(there[-1] if there else 0), now.generation)
        scan.add(list(holes), list(holes.values()))
        return scan

    def _beside(self, go_on: Callable[[], None]) -> VectorIndex:
        """Make the index in a thread: nothing here may touch what belongs to the other one."""
        database = Database(self._database.folder, read_only=self._database.read_only, durable=False)
        other = LiveIndex(database, embedder=self.embedder, dimension=self.dimension, store=self._store)
        try:
            with QUIET, database.read() as connection:
                generation, seqs = state(connection).generation, _live(connection)

            def fetch(part: Sequence[int]) -> Vectors:
                go_on()
                with QUIET, database.read() as connection:
                    return other.fetch(connection, part)

            return VectorIndex.build(self.dimension, seqs, fetch, generation)
        finally:
            other.close(save=False)
            database.close()

    def _built(self, connection: sqlite3.Connection, now: State) -> VectorIndex:
        self._saved = -1
        return VectorIndex.build(
            self.dimension, _live(connection), lambda part: self.fetch(connection, part), now.generation
        )

    def _follow(self, connection: sqlite3.Connection, index: VectorIndex | Scan, now: State) -> None:
        """Do to the index what was done to the database since."""
        waiting: dict[int, None] = {}
        # By generation first, which is the same order: for "ORDER BY n" alone SQLite reads the whole log (40 ms of a
        # million), since the index on generations does not give that order.
        changes = connection.execute(
            "SELECT seq, live FROM changes WHERE generation > ? ORDER BY generation, n", (index.generation,)
        ).fetchall()
        for seq, live in changes:
            if live:
                waiting[seq] = None
            elif seq in waiting and not index.has_dead(seq):
                del waiting[seq]
            else:
                waiting.pop(seq, None)
                index.remove([seq])
        seqs = list(waiting)
        for begin in range(0, len(seqs), 8192):
            part = seqs[begin : begin + 8192]
            index.add(part, self.fetch(connection, part))
        index.generation = now.generation


def _live(connection: sqlite3.Connection) -> list[int]:
    return [r[0] for r in connection.execute("SELECT seq FROM experiences WHERE live = 1 ORDER BY seq")]


def vector_path(folder: Path, embedder: int) -> Path:
    """Where the vectors of a model are kept."""
    return folder / f"vectors-{embedder}.f32"


def tidy(folder: Path, keep: set[str]) -> None:
    """Remove index files that nothing refers to and what interrupted writes left, unless they are new."""
    for pattern in ("index-*.faiss", "*.tmp"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                if path.name not in keep and time.time() - path.stat().st_mtime > _NEW:
                    path.unlink()
