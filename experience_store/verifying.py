"""Comparing everything in a store with everything else, and putting right what can be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from genevolve.experience_store import records
from genevolve.experience_store.database import Database
from genevolve.experience_store.index import VectorIndex
from genevolve.experience_store.live import LiveIndex
from genevolve.experience_store.reports import Problem, VerifyReport
from genevolve.experience_store.space import Space
from genevolve.grammar.errors import ConfigurationError, StorageError

_SHOWN = 20


def verify(database: Database, space: Space, *, repair: bool) -> VerifyReport:
    """See `ExperienceStore.verify`."""
    problems: list[Problem] = []
    with database.read() as connection:
        problems += _pages(connection, database)
        now = records.state(connection)
        total = connection.execute("SELECT count(*) FROM experiences").fetchone()[0]
        bodies = list(_bodies(connection))
        vectors = list(_vectors(connection, now.embedder))
    problems += [_body(database, b, repair) for b in bodies]
    lost = {b[0] for b in bodies}
    problems += _mend_vectors(database, space, [v for v in vectors if v not in lost], now.embedder, repair)
    problems += _counts(database, repair)
    problems += _index(database, repair)
    with database.read() as connection:
        now = records.state(connection)
    return VerifyReport(int(total), now.generation, tuple(problems))


def _pages(connection: sqlite3.Connection, database: Database) -> list[Problem]:
    found = [r[0] for r in connection.execute(f"PRAGMA integrity_check({_SHOWN})") if r[0] != "ok"]
    size = connection.execute("PRAGMA page_count").fetchone()[0]
    size *= connection.execute("PRAGMA page_size").fetchone()[0]
    log = database.path.with_name(f"{database.path.name}-wal")
    if not (log.exists() and log.stat().st_size) and database.path.stat().st_size < size:
        found.append("its file is shorter than it should be")
    advice = "restore a backup, or save what can be read with `ExperienceStore.recover`"
    return [Problem("database", f"the database is damaged ({text}); {advice}") for text in found]


def _bodies(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    """Rows whose body is not what its id says, or whose columns are not what the body says."""
    rows = connection.execute(
        "SELECT seq, id, body, request, request_key, gap, category, policy, step, created, slots FROM experiences"
    )
    for seq, identity, body, *columns in rows:
        try:
            e = records.decode(body, identity)
        except StorageError:
            yield seq, identity, "body"
            continue
        expected: list[object] = [
            e.request,
            records.request_key(e.request),
            e.gap,
            e.category,
            e.policy,
            e.step,
        ]
        expected += [e.created, "".join(e.bundle.slots)]
        if columns != expected:
            yield seq, identity, "columns"


def _vectors(connection: sqlite3.Connection, embedder: int) -> Iterator[int]:
    """Rows whose vector is missing or damaged."""
    row = connection.execute("SELECT dimension FROM embedders WHERE id = ?", (embedder,)).fetchone()
    if row is None:
        return
    for (seq,) in connection.execute("SELECT seq FROM experiences"):
        if records.get_vector(connection, embedder, seq, row[0]) is None:
            yield seq


def _body(database: Database, found: tuple[int, str, str], repair: bool) -> Problem:
    seq, identity, code = found
    if code == "columns":
        message = f"the columns of the experience {identity[:12]} do not fit its content"
        if repair:
            _rewrite(database, seq, identity)
        return Problem(code, message, repair)
    if repair:
        with database.write() as connection:
            generation = records.advance(connection)
            records.flip(connection, [seq], False, generation)
            connection.execute("DELETE FROM experiences WHERE seq = ?", (seq,))
            connection.execute("DELETE FROM changes WHERE seq = ?", (seq,))
            # The log of changes no longer tells the whole story, so no index may be brought up to date by it.
            connection.execute("UPDATE state SET history = generation")
            connection.execute("DELETE FROM index_file")
    return Problem("body", f"the experience {identity[:12]} cannot be read and is lost", repair, identity)


def _rewrite(database: Database, seq: int, identity: str) -> None:
    with database.write() as connection:
        body = connection.execute("SELECT body FROM experiences WHERE seq = ?", (seq,)).fetchone()[0]
        e = records.decode(body, identity)
        connection.execute(
            "UPDATE experiences SET request = ?, request_key = ?, gap = ?, category = ?, policy = ?, step = ?, "
            "created = ?, slots = ?, judge = ?, skills = ? WHERE seq = ?",
            (
                e.request,
                records.request_key(e.request),
                e.gap,
                e.category,
                e.policy,
                e.step,
                e.created,
                "".join(e.bundle.slots),
                e.judge,
                "".join(f"\n{s}\n" for s in e.skills),
                seq,
            ),
        )


def _mend_vectors(
    database: Database, space: Space, seqs: list[int], embedder: int, repair: bool
) -> Iterator[Problem]:
    for seq in seqs:
        done, why = False, ""
        if repair:
            try:
                done = _embed_again(database, space, seq, embedder)
                why = "" if done else "; the model given is not the store's"
            except ConfigurationError as error:
                why = f"; it cannot be made again: {error}"
        yield Problem("vector", f"the vector of experience number {seq} is missing or damaged{why}", done)


def _embed_again(database: Database, space: Space, seq: int, embedder: int) -> bool:
    with database.read() as connection:
        probe = connection.execute("SELECT probe FROM embedders WHERE id = ?", (embedder,)).fetchone()
        request = connection.execute("SELECT request FROM experiences WHERE seq = ?", (seq,)).fetchone()
    if probe is None or request is None or not space.is_probe(probe[0]):
        return False
    vector = space.embed([request[0]])[0]
    with database.write() as connection:
        records.put_vector(connection, embedder, seq, vector)
    return True


def _counts(database: Database, repair: bool) -> Iterator[Problem]:
    """The number of live experiences, and the log of changes."""
    query = (
        "SELECT e.seq, e.live FROM experiences e WHERE e.live != coalesce("
        "(SELECT c.live FROM changes c WHERE c.seq = e.seq ORDER BY c.n DESC LIMIT 1), 0)"
    )
    with database.read() as connection:
        now = records.state(connection)
        live = connection.execute("SELECT count(*) FROM experiences WHERE live = 1").fetchone()[0]
        unlogged = connection.execute(query).fetchall()
    if live != now.live:
        if repair:
            with database.write() as connection:
                connection.execute(
                    "UPDATE state SET live = (SELECT count(*) FROM experiences WHERE live = 1)"
                )
        yield Problem("count", f"the store counts {now.live} live experiences and has {live}", repair)
    if unlogged:
        if repair:
            with database.write() as connection:
                generation = records.advance(connection)
                for seq, state in connection.execute(query).fetchall():
                    connection.execute(
                        "INSERT INTO changes (generation, seq, live) VALUES (?, ?, ?)",
                        (generation, seq, state),
                    )
                connection.execute("DELETE FROM index_file")
        yield Problem("log", f"the log of changes is wrong about {len(unlogged)} experiences", repair)


def _index(database: Database, repair: bool) -> Iterator[Problem]:
    """The index file and the rows of the vector file."""
    with database.read() as connection:
        now = records.state(connection)
        row = connection.execute(
            "SELECT name, generation, embedder, size, checksum, entries FROM index_file"
        ).fetchone()
        model = connection.execute("SELECT dimension FROM embedders WHERE id = ?", (now.embedder,)).fetchone()
        if model is None:
            return
        live = LiveIndex(database, embedder=now.embedder, dimension=model[0], store=now.store)
        message = None
        if row is not None:
            found = VectorIndex.load(database.folder / row[0], size=row[3], digest=row[4], generation=row[1])
            if found is None:
                message = f"the index file {row[0]} is missing, damaged or not this store's"
            elif row[2] != now.embedder or row[1] > now.generation or found.entries != row[5]:
                message = f"the index file {row[0]} does not fit the database"
        wrong = [s for s in _rows(connection) if _differs(connection, live, s)]
    if message is not None:
        if repair:
            live.build()
        yield Problem("index", message, repair)
    if wrong:
        if repair:
            with database.read() as connection:
                for seq in wrong:
                    vector = records.get_vector(connection, live.embedder, seq, live.dimension)
                    if vector is not None:
                        live.keep([seq], vector.reshape(1, -1))
        yield Problem("vector-file", f"{len(wrong)} rows of the vector file differ from the database", repair)
    live.close(save=False)


def _rows(connection: sqlite3.Connection) -> list[int]:
    return [r[0] for r in connection.execute("SELECT seq FROM experiences")]


def _differs(connection: sqlite3.Connection, live: LiveIndex, seq: int) -> bool:
    row = live.row(seq)
    if row is None:  # it is asked of the database
        return False
    true = records.get_vector(connection, live.embedder, seq, live.dimension)
    return true is not None and row.tobytes() != true.tobytes()
