"""Work on a whole store: the model and its change, generations, compacting, backup, figures."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.experience_store import records
from genevolve.experience_store.bundle import SLOTS
from genevolve.experience_store.database import NAME, Database
from genevolve.experience_store.index import VectorIndex
from genevolve.experience_store.live import LiveIndex, tidy, vector_path
from genevolve.experience_store.records import State
from genevolve.experience_store.reports import Distributions, StoreStats
from genevolve.experience_store.scan import Scan
from genevolve.experience_store.space import Space
from genevolve.grammar.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_PART = 200
"""Rows a transaction when many are changed: others wait for milliseconds."""
_REMEMBERED = 100_000
"""Experiences that went and are known again when they are imported."""
_TEXTS = 64
"""Requests that are embedded at once."""


# ---- the model ----


def register(connection: sqlite3.Connection, name: str, probe: Vectors) -> int:
    """Write down a model. Returns its number."""
    cursor = connection.execute(
        "INSERT INTO embedders (name, dimension, probe) VALUES (?, ?, ?)",
        (name, probe.shape[1], probe.tobytes()),
    )
    return int(cursor.lastrowid or 0)


def embedder_name(connection: sqlite3.Connection, embedder: int) -> str | None:
    """The name under which a model was written down."""
    row = connection.execute("SELECT name FROM embedders WHERE id = ?", (embedder,)).fetchone()
    return None if row is None else str(row[0])


def prove(connection: sqlite3.Connection, space: Space, embedder: int, folder: Path) -> None:
    """Refuse a model that is not the store's, whatever its name is.

    Raises:
        StorageError: it is another one.
        ConfigurationError: there is none.
    """
    row = connection.execute("SELECT name, probe FROM embedders WHERE id = ?", (embedder,)).fetchone()
    if row is None:
        raise StorageError(f"the experience store {folder} has lost its model's record; restore a backup")
    if not space.is_probe(row[1]):
        raise StorageError(
            f"the experience store {folder} holds vectors of the model {row[0]!r}, and the model given is "
            f"{space.name!r}; open the store with its own model, or change it with `reembed`"
        )


def reembed(database: Database, space: Space, progress: Callable[[int, int], None] | None) -> int:
    """Vectors of another model for every row, then the change to it. Goes on where an earlier call stopped."""
    probe = space.probe()
    with database.write() as connection:
        now = records.state(connection)
        target = _registered(connection, space)
        if target is None:
            target = register(connection, space.name or "", probe)
    if target == now.embedder:
        return 0
    done = 0
    while True:
        with database.read() as connection:
            missing = _missing(connection, target, _TEXTS)
            if progress is not None:
                have, total = _progress(connection, target)
                progress(have, total)
        if missing:
            done += _embed_rows(database, space, target, missing)
            continue
        with database.write() as connection:
            if _missing(connection, target, 1):
                continue  # somebody has added one just now
            connection.execute("UPDATE state SET embedder = ?", (target,))
            records.advance(connection)
            connection.execute("DELETE FROM index_file")
        break
    _forget_vectors(database, target)
    return done


def _registered(connection: sqlite3.Connection, space: Space) -> int | None:
    for number, probe in connection.execute("SELECT id, probe FROM embedders").fetchall():
        if space.is_probe(probe):
            return int(number)
    return None


def _missing(connection: sqlite3.Connection, embedder: int, limit: int) -> list[tuple[int, str]]:
    """Numbers and requests of rows without a vector of this model."""
    base = records.vector_key(embedder, 0)
    return connection.execute(
        "SELECT seq, request FROM experiences e WHERE NOT EXISTS (SELECT 1 FROM vectors WHERE key = ? + e.seq) "
        "ORDER BY seq LIMIT ?",
        (base, limit),
    ).fetchall()


def _progress(connection: sqlite3.Connection, embedder: int) -> tuple[int, int]:
    low, high = records.vector_key(embedder, 0), records.vector_key(embedder + 1, 0)
    have = connection.execute(
        "SELECT count(*) FROM vectors WHERE key >= ? AND key < ?", (low, high)
    ).fetchone()[0]
    return int(have), int(connection.execute("SELECT count(*) FROM experiences").fetchone()[0])


def _embed_rows(database: Database, space: Space, embedder: int, rows: list[tuple[int, str]]) -> int:
    vectors = space.embed([request for _, request in rows])
    with database.write() as connection:
        for (seq, _), vector in zip(rows, vectors, strict=True):
            if connection.execute("SELECT 1 FROM experiences WHERE seq = ?", (seq,)).fetchone():
                records.put_vector(connection, embedder, seq, vector)
    return len(rows)


def _forget_vectors(database: Database, keep: int) -> None:
    """Remove other models' vectors, a few at a time. Interrupted, the rest goes with the next compacting."""
    low, high = records.vector_key(keep, 0), records.vector_key(keep + 1, 0)
    gone = _PART
    while gone:
        with database.write() as connection:
            if records.state(connection).embedder != keep:
                return
            gone = connection.execute(
                "DELETE FROM vectors WHERE key IN (SELECT key FROM vectors WHERE key < ? OR key >= ? LIMIT ?)",
                (low, high, _PART),
            ).rowcount
    with database.write() as connection:
        if records.state(connection).embedder == keep:
            connection.execute("DELETE FROM embedders WHERE id != ?", (keep,))


# ---- compacting, backup ----


def compact(database: Database) -> int:
    """Forget rows and changes that no snapshot needs. Returns how many experiences went."""
    with database.write() as connection:
        now = records.state(connection)
        oldest = connection.execute("SELECT min(generation) FROM snapshots").fetchone()[0]
        floor = now.generation if oldest is None else max(now.history, int(oldest))
        connection.execute("UPDATE state SET history = ?", (floor,))
    gone = 0
    while True:
        with database.write() as connection:
            part = _forget(connection, floor)
        if not part:
            break
        gone += part
    _shorten(database, floor)
    _forget_departed(database)
    if now.embedder:
        _forget_vectors(database, now.embedder)
    database.vacuum()
    database.checkpoint()
    with database.read() as connection:
        row = connection.execute("SELECT name FROM index_file").fetchone()
    tidy(database.folder, set() if row is None else {row[0]})
    return gone


def _forget(connection: sqlite3.Connection, floor: int) -> int:
    rows = connection.execute(
        "SELECT seq FROM experiences e WHERE live = 0 AND NOT EXISTS "
        "(SELECT 1 FROM changes c WHERE c.seq = e.seq AND c.generation > ?) LIMIT ?",
        (floor, _PART),
    ).fetchall()
    embedders = [r[0] for r in connection.execute("SELECT id FROM embedders")]
    for (seq,) in rows:
        connection.execute("DELETE FROM experiences WHERE seq = ?", (seq,))
        connection.execute("DELETE FROM changes WHERE seq = ?", (seq,))
        for embedder in embedders:
            connection.execute("DELETE FROM vectors WHERE key = ?", (records.vector_key(embedder, seq),))
    return len(rows)


def _shorten(database: Database, floor: int) -> None:
    """Keep, of the changes up to a generation, the last one of each experience."""
    last = 0
    while True:
        with database.write() as connection:
            rows = connection.execute(
                "SELECT n, seq FROM changes WHERE n > ? AND generation <= ? ORDER BY n LIMIT ?",
                (last, floor, 2000),
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            connection.executemany(
                "DELETE FROM changes WHERE n = ? AND EXISTS "
                "(SELECT 1 FROM changes d WHERE d.seq = ? AND d.n > ? AND d.generation <= ?)",
                [(n, seq, n, floor) for n, seq in rows],
            )


def _forget_departed(database: Database) -> None:
    """Of what was let in and went, remember the latest: an import of more than that may let some in again."""
    gone = 1
    while gone:
        with database.write() as connection:
            gone = connection.execute(
                "DELETE FROM departed WHERE n IN "
                "(SELECT n FROM departed WHERE n <= (SELECT max(n) FROM departed) - ? LIMIT ?)",
                (_REMEMBERED, _PART),
            ).rowcount


def tidy_vectors(database: Database, keep: int) -> None:
    """Remove the memory-mapped files of models that are no longer used."""
    for path in database.folder.glob("vectors-*.f32"):
        if path != vector_path(database.folder, keep):
            with suppress(OSError):
                path.unlink()


def forget_files(database: Database, live: LiveIndex) -> None:
    """Remove index and vector file, so that they are made again from the database."""
    live.close(save=False)
    if database.read_only:
        raise StorageError(
            f"the index of the experience store {database.folder} does not fit its database; "
            "open the store for writing once"
        )
    with database.write() as connection:
        connection.execute("DELETE FROM index_file")
    with suppress(OSError):
        vector_path(database.folder, live.embedder).unlink()


def backup(database: Database, target: Path, marker: str) -> Path:
    """A copy of a store in a new folder."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"the backup's folder {target} is not empty; name a new one")
    try:
        target.mkdir(parents=True, exist_ok=True)
        database.backup(target / NAME)
        if (database.folder / marker).exists():
            shutil.copyfile(database.folder / marker, target / marker)
    except OSError as error:
        raise StorageError(f"the backup {target} cannot be written: {error.strerror or error}") from error
    return target


# ---- figures ----


def stats(connection: sqlite3.Connection, database: Database, index: VectorIndex | Scan | None) -> StoreStats:
    """See `ExperienceStore.stats`."""
    now: State = records.state(connection)
    total = connection.execute("SELECT count(*) FROM experiences").fetchone()[0]
    row = connection.execute("SELECT dimension FROM embedders WHERE id = ?", (now.embedder,)).fetchone()
    skills: Counter[str] = Counter()
    slots: Counter[str] = Counter(dict.fromkeys(SLOTS, 0))
    gaps: list[float] = []
    for names, marks, gap in connection.execute("SELECT skills, slots, gap FROM experiences WHERE live = 1"):
        skills.update(s for s in names.split("\n") if s)
        slots.update(s for s in SLOTS if s in marks)
        gaps.append(gap)
    return StoreStats(
        live=now.live,
        removed=total - now.live,
        capacity=now.capacity,
        generation=now.generation,
        history=now.history,
        embedder=embedder_name(connection, now.embedder),
        dimension=0 if row is None else row[0],
        index="none" if index is None else index.kind,
        index_outgrown=index is not None and index.outgrown,
        bytes=_sizes(database.folder),
        categories=_groups(connection, "category"),
        policies=_groups(connection, "policy"),
        skills=dict(skills.most_common()),
        slots=dict(slots),
        counters=dict(connection.execute("SELECT name, n FROM counters ORDER BY name")),
        gaps=(min(gaps), statistics.median(gaps), max(gaps)) if gaps else None,
        longest_write=database.longest_write,
    )


def _groups(connection: sqlite3.Connection, column: str) -> dict[str, int]:
    query = f"SELECT {column}, count(*) FROM experiences WHERE live = 1 GROUP BY 1 ORDER BY 2 DESC, 1"  # noqa: S608  # a column's name of ours
    return dict(connection.execute(query))


def _sizes(folder: Path) -> dict[str, int]:
    found = {}
    for path in sorted(folder.iterdir()):
        with suppress(OSError):
            if path.is_file():
                found[path.name] = path.stat().st_size
    return found


def distributions(connection: sqlite3.Connection) -> Distributions:
    """See `ExperienceStore.distributions`."""
    rows = connection.execute(
        "SELECT gap, created, step, slots FROM experiences WHERE live = 1 ORDER BY arrival"
    ).fetchall()
    slots = {s: sum(s in r[3] for r in rows) for s in SLOTS}
    return Distributions(
        tuple(r[0] for r in rows), tuple(r[1] for r in rows), tuple(r[2] for r in rows), slots
    )
