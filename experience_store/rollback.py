"""Rolling back: a few changes in one transaction, many in parts of which nobody ever sees one without the others.

Many are staged first: which experiences differ goes into a table of its own, in short transactions between which others
write. One more short transaction makes the staged rows count: the switch. From then on a reader sees them in the place
of the experiences' own marks, by views that `views` puts over the tables; and whoever writes next first moves them
into the experiences, a part in each transaction (`Database.write` sees to it). A process that dies before the switch
has changed nothing; after it, the next writer goes on where it stopped.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genevolve.experience_store import records
from genevolve.experience_store.database import Database
from genevolve.experience_store.reports import Change
from genevolve.grammar.errors import AuthorError, StorageError

AT_ONCE = 2000
"""Up to so many changes are taken back in one transaction."""
STAGED = 5000
"""Rows that one transaction stages: two numbers each."""
_ABANDONED = 600.0
"""Seconds after which a rollback that nobody goes on with, and that was not switched, is forgotten."""


class _Row(NamedTuple):
    """An experience that changed since: how it is, and how it is to be."""

    seq: int
    id: str
    live: bool
    wanted: bool


def rollback(database: Database, target: int | str) -> Change:
    """See `ExperienceStore.rollback`."""
    with database.write() as connection:
        generation = _generation(connection, target)
        _check(connection, generation)
        if _changes(connection, generation) <= AT_ONCE:
            return _at_once(connection, generation)
    change = _in_parts(database, generation)
    _keep_capacity(database)
    return change


def _generation(connection: sqlite3.Connection, target: int | str) -> int:
    if isinstance(target, int):
        return target
    row = connection.execute("SELECT generation FROM snapshots WHERE name = ?", (target,)).fetchone()
    if row is None:
        raise AuthorError(f"there is no snapshot {target!r}")
    return int(row[0])


def _check(connection: sqlite3.Connection, generation: int) -> records.State:
    now = records.state(connection)
    if not now.history <= generation <= now.generation:
        raise AuthorError(
            f"there is no generation {generation} to roll back to; "
            f"the store has generations {now.history} to {now.generation}"
        )
    return now


def _changes(connection: sqlite3.Connection, since: int) -> int:
    """How many changes there are since a generation; counted no further than matters."""
    query = "SELECT count(*) FROM (SELECT 1 FROM changes WHERE generation > ? LIMIT ?)"
    return int(connection.execute(query, (since, AT_ONCE + 1)).fetchone()[0])


def _rows(connection: sqlite3.Connection, target: int, since: int) -> list[_Row]:
    """The experiences that changed since a generation, with their state in the target generation."""
    rows = connection.execute(
        "SELECT e.seq, e.id, e.live, (SELECT c.live FROM changes c WHERE c.seq = e.seq AND c.generation <= ? "
        "ORDER BY c.n DESC LIMIT 1) FROM experiences e "
        "WHERE e.seq IN (SELECT seq FROM changes WHERE generation > ?) ORDER BY e.seq",
        (target, since),
    )
    return [_Row(seq, identity, bool(live), bool(then)) for seq, identity, live, then in rows]


def _at_once(connection: sqlite3.Connection, target: int) -> Change:
    different = [r for r in _rows(connection, target, target) if r.live != r.wanted]
    if not different:
        return Change((), (), records.state(connection).generation)
    after = records.advance(connection)
    records.flip(connection, [r.seq for r in different if not r.wanted], False, after)
    records.flip(connection, [r.seq for r in different if r.wanted], True, after)
    records.evict(connection, after)
    records.count(connection, "rolled-back")
    return Change(tuple(r.id for r in different), (), after)


# ---- in parts ----


def _in_parts(database: Database, target: int) -> Change:
    number = _begun(database, target)
    different: dict[int, str] = {}
    since = target
    try:
        while True:
            with database.read() as connection:
                now = _check(connection, target)
                rows = _rows(connection, target, since)
            for begin in range(0, len(rows), STAGED):
                with database.write() as connection:
                    _stage(connection, number, rows[begin : begin + STAGED], different)
                database.pause()
            since = now.generation
            with database.write() as connection:
                _check(connection, target)
                if _changes(connection, since) <= AT_ONCE:  # else others have changed much meanwhile
                    _stage(connection, number, _rows(connection, target, since), different)
                    after = _switch(connection, number)
                    break
    except BaseException:
        _forget(database, number)
        raise
    database.settle()
    return Change(tuple(different[seq] for seq in sorted(different)), (), after)


def _begun(database: Database, target: int) -> int:
    with database.read() as connection:
        abandoned = connection.execute(
            "SELECT id FROM rollbacks WHERE generation IS NULL AND touched < ?", (time.time() - _ABANDONED,)
        ).fetchall()
    for (number,) in abandoned:
        _forget(database, number)
    with database.write() as connection:
        cursor = connection.execute(
            "INSERT INTO rollbacks (target, touched, delta) VALUES (?, ?, 0)", (target, time.time())
        )
        return int(cursor.lastrowid or 0)


def _stage(
    connection: sqlite3.Connection, number: int, rows: Sequence[_Row], different: dict[int, str]
) -> None:
    """Write down which of these rows have to change; of a row that was staged before, what is true now."""
    key = "rollback = ? AND seq = ?"
    delta = 0
    for seq, identity, live, wanted in rows:
        old = connection.execute(f"SELECT live FROM rollback_rows WHERE {key}", (number, seq)).fetchone()  # noqa: S608  # fixed text
        if old is not None:
            delta -= 1 if old[0] else -1
            connection.execute(f"DELETE FROM rollback_rows WHERE {key}", (number, seq))  # noqa: S608  # fixed text
            different.pop(seq, None)
        if live != wanted:
            delta += 1 if wanted else -1
            connection.execute("INSERT INTO rollback_rows VALUES (?, ?, ?)", (number, seq, int(wanted)))
            different[seq] = identity
    found = connection.execute(
        "UPDATE rollbacks SET delta = delta + ?, touched = ? WHERE id = ?", (delta, time.time(), number)
    )
    if not found.rowcount:
        raise StorageError("this rollback stood still for too long and was given up; nothing was changed")


def _switch(connection: sqlite3.Connection, number: int) -> int:
    """Make what was staged count. Returns the generation afterwards."""
    if connection.execute("SELECT 1 FROM rollback_rows WHERE rollback = ?", (number,)).fetchone() is None:
        connection.execute("DELETE FROM rollbacks WHERE id = ?", (number,))
        return records.state(connection).generation
    after = records.advance(connection)
    connection.execute("UPDATE state SET live = live + (SELECT delta FROM rollbacks WHERE id = ?)", (number,))
    connection.execute("UPDATE rollbacks SET generation = ? WHERE id = ?", (after, number))
    records.count(connection, "rolled-back")
    return after


def _forget(database: Database, number: int) -> None:
    """Remove what was staged and never switched."""
    for connection in _transactions(database):
        gone = connection.execute(
            "DELETE FROM rollback_rows WHERE rollback = ? AND seq IN "
            "(SELECT seq FROM rollback_rows WHERE rollback = ? LIMIT ?)",
            (number, number, STAGED),
        ).rowcount
        if not gone:
            connection.execute("DELETE FROM rollbacks WHERE id = ? AND generation IS NULL", (number,))
            return


def _transactions(database: Database) -> Iterator[sqlite3.Connection]:
    while True:
        with database.write() as connection:
            yield connection
        database.pause()


def _keep_capacity(database: Database) -> None:
    """Evict what the present capacity does not hold, a part in each transaction."""
    while True:
        with database.write() as connection:
            now = records.state(connection)
            if now.capacity is None or now.live <= now.capacity:
                return
            records.evict(connection, records.advance(connection))
        database.pause()
