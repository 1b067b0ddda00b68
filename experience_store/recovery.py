"""Saving what can be read of a damaged database into a new one."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from genevolve.experience_store import records, schema
from genevolve.experience_store.database import NAME
from genevolve.experience_store.experience import Experience
from genevolve.experience_store.reports import Problem, VerifyReport
from genevolve.grammar.errors import StorageError

_COLUMNS = "seq, id, live, arrival, seen, body"
_WAITING = (
    "SELECT seq, live FROM rollback_rows "
    "WHERE rollback IN (SELECT id FROM rollbacks WHERE generation IS NOT NULL)"
)


def recover(folder: Path) -> VerifyReport:
    """Make a new database of what can be read of a folder's old one, which is kept as `experiences.sqlite.damaged-…`.

    Every row that is saved is proved by its hash. Close the store everywhere before.

    Returns:
        What was saved, and what is known to be lost.

    Raises:
        StorageError: there is no database, or not one experience can be read of it.
    """
    source = folder / NAME
    if not source.is_file():
        raise StorageError(f"there is no {NAME} in {folder}; restore a backup")
    work = folder / f"recovering-{uuid.uuid4().hex}.tmp"
    try:
        _padded_copy(source, work)
        target = folder / f"recovered-{uuid.uuid4().hex}.tmp"
        try:
            report = _salvage(work, target)
            _exchange(folder, source, target)
        finally:
            _remove(target)
    except OSError as error:
        raise StorageError(f"the store {folder} cannot be recovered: {error.strerror or error}") from error
    finally:
        _remove(work)
    return report


def _padded_copy(source: Path, work: Path) -> None:
    """A copy to read from, with its log; what was cut off is filled with zeros, without which SQLite reads nothing."""
    data = source.read_bytes()
    if data[:16] == b"SQLite format 3\0" and len(data) >= 100:
        page = int.from_bytes(data[16:18], "big") or 65536
        pages = int.from_bytes(data[28:32], "big")
        size = (page if page != 1 else 65536) * pages
        if len(data) < size < 2**40:
            data = data.ljust(size, b"\0") if size < 2**34 else data
    work.write_bytes(data)
    log = source.with_name(source.name + "-wal")
    if log.exists():
        work.with_name(work.name + "-wal").write_bytes(log.read_bytes())


def _salvage(work: Path, target: Path) -> VerifyReport:
    try:
        with closing(sqlite3.connect(work, isolation_level=None)) as old:
            state, problems = _state(old)
            embedders, names = _rows(old, "SELECT id, name, dimension, probe FROM embedders"), []
            saved = []
            # What a rollback that was not finished says of them (see `pending`) counts more than what they say.
            marks = dict(_rows(old, _WAITING))
            for seq, identity, live, *rest in _experiences(old, problems):
                saved.append((seq, identity, marks.get(seq, live), *rest))
            vectors = {seq: _vector(old, records.vector_key(state[1], seq)) for seq, *_ in saved}
            names = _rows(old, "SELECT name, n FROM counters")
            departed = _rows(old, "SELECT n, id, other FROM departed")
    except sqlite3.Error as error:
        raise StorageError(
            f"nothing can be read of the damaged database ({error}); restore a backup"
        ) from error
    if not saved:
        raise StorageError("not one experience can be read of the damaged database; restore a backup")
    with closing(sqlite3.connect(target, isolation_level=None)) as new:
        schema.migrate(new)
        new.execute("BEGIN")
        new.executemany("INSERT INTO embedders VALUES (?, ?, ?, ?)", embedders)
        new.executemany("INSERT OR IGNORE INTO counters VALUES (?, ?)", names)
        new.executemany("INSERT OR IGNORE INTO departed VALUES (?, ?, ?)", departed)
        known = any(e[0] == state[1] for e in embedders)
        live = _write(new, saved, vectors if known else {}, state[1])
        generation = state[2] + 1
        new.execute(
            "INSERT INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
            (
                state[0],
                generation,
                live,
                max(r[3] for r in saved),
                state[3],
                state[1] if known else 0,
                generation,
            ),
        )
        new.execute("UPDATE changes SET generation = ?", (generation,))
        new.execute("COMMIT")
    missing = sum(v is None for v in vectors.values()) if known else len(saved)
    if missing:
        problems.append(
            Problem(
                "vector",
                f"{missing} vectors are lost; run `genevolve experience verify --repair` to make them again",
            )
        )
    return VerifyReport(len(saved), generation, tuple(problems))


def _state(old: sqlite3.Connection) -> tuple[tuple[str, int, int, int | None], list[Problem]]:
    """Store, model, generation and capacity; new ones where they cannot be read."""
    rows = _rows(old, "SELECT store, embedder, generation, capacity FROM state")
    if rows and _is_state(rows[0]):
        return (str(rows[0][0]), int(rows[0][1]), int(rows[0][2]), rows[0][3]), []
    newest = _rows(old, "SELECT max(id) FROM embedders")
    embedder = int(newest[0][0] or 0) if newest else 0
    why = Problem("count", "the state of the store is lost; it has a new name and no capacity", True)
    return (uuid.uuid4().hex, embedder, 0, None), [why]


def _is_state(row: tuple[object, ...]) -> bool:
    store, embedder, generation, capacity = row
    return (
        isinstance(store, str)
        and isinstance(embedder, int)
        and isinstance(generation, int)
        and (capacity is None or (isinstance(capacity, int) and capacity > 0))
    )


def _rows(old: sqlite3.Connection, query: str) -> list[tuple]:  # type: ignore[type-arg]  # as sqlite3 gives them
    with suppress(sqlite3.Error):
        return old.execute(query).fetchall()
    return []


def _experiences(
    old: sqlite3.Connection, problems: list[Problem]
) -> Iterator[tuple[int, str, int, int, int, Experience]]:
    """Every row that can be read and proves itself, found by number, since a scan ends at the first bad page."""
    highest = _rows(old, "SELECT seq FROM sqlite_sequence WHERE name = 'experiences'")
    # A page of zeros reads as rows of nothing.
    known = highest[0][0] if highest else None
    last = known if isinstance(known, int) and 0 <= known < 2**40 else _probed(old)
    for begin in range(1, last + 1, 256):
        for seq in _present(old, begin, begin + 256):
            row = _rows(old, f"SELECT {_COLUMNS} FROM experiences WHERE seq = {seq:d}")  # noqa: S608  # our number
            if not row:
                problems.append(Problem("body", f"experience number {seq} is lost: its page cannot be read"))
                continue
            _, identity, live, arrival, seen, body = row[0]
            try:
                yield seq, identity, live, arrival, seen, records.decode(body, identity)
            except StorageError as error:
                problems.append(Problem("body", str(error), True, str(identity)))


def _present(old: sqlite3.Connection, begin: int, end: int) -> list[int]:
    """Numbers of rows in a range; all of them where that cannot be told."""
    try:
        rows = old.execute("SELECT seq FROM experiences WHERE seq >= ? AND seq < ?", (begin, end)).fetchall()
    except sqlite3.Error:
        return list(range(begin, end))
    return [r[0] for r in rows]


def _probed(old: sqlite3.Connection) -> int:
    """A number above all rows', where the table that knows it cannot be read."""
    with suppress(sqlite3.Error):
        return int(old.execute("SELECT max(seq) FROM experiences").fetchone()[0] or 0)
    return 100_000


def _vector(old: sqlite3.Connection, key: int) -> tuple[int, bytes] | None:
    rows = _rows(old, f"SELECT crc, data FROM vectors WHERE key = {key:d}")  # noqa: S608  # our number
    return rows[0] if rows else None


def _write(
    new: sqlite3.Connection,
    saved: list[tuple[int, str, int, int, int, Experience]],
    vectors: dict[int, tuple[int, bytes] | None],
    embedder: int,
) -> int:
    """Write the saved rows, with their vectors of one model. Returns how many are live."""
    count = 0
    for seq, identity, live, arrival, seen, e in saved:
        new.execute(
            "INSERT OR IGNORE INTO experiences VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                identity,
                live,
                arrival,
                records.request_key(e.request),
                e.request,
                e.gap,
                e.category,
                "".join(f"\n{s}\n" for s in e.skills),
                "".join(e.bundle.slots),
                e.judge,
                e.policy,
                e.step,
                e.created,
                seen,
                records.encode(e),
            ),
        )
        new.execute("INSERT INTO changes (generation, seq, live) VALUES (0, ?, ?)", (seq, live))
        count += live
        vector = vectors.get(seq)
        if vector is not None:
            new.execute("INSERT INTO vectors VALUES (?, ?, ?)", (records.vector_key(embedder, seq), *vector))
    return count


def _exchange(folder: Path, source: Path, target: Path) -> None:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    source.replace(folder / f"{NAME}.damaged-{stamp}")
    log = source.with_name(source.name + "-wal")
    if log.exists():
        log.replace(folder / f"{NAME}-wal.damaged-{stamp}")
    source.with_name(source.name + "-shm").unlink(missing_ok=True)
    target.replace(source)
    for pattern in ("index-*.faiss", "vectors-*.f32", "store.json"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
        with suppress(OSError):
            path.with_name(name).unlink()
