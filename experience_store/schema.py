"""The tables, as named migrations. Each runs once, in one transaction with the record that it ran."""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

APPLICATION = 0x67707865  # "gpxe": tells our file from any other SQLite database


class Migration(NamedTuple):
    """A step from one form of the tables to the next; its name is never used again."""

    name: str
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        "0001-experiences",
        (
            """
            CREATE TABLE state (
                one INTEGER PRIMARY KEY CHECK (one = 1),
                store TEXT NOT NULL,
                generation INTEGER NOT NULL,
                live INTEGER NOT NULL,
                arrivals INTEGER NOT NULL,
                capacity INTEGER,
                embedder INTEGER NOT NULL,
                history INTEGER NOT NULL
            )
            """,
            """
            CREATE TABLE experiences (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL UNIQUE,
                live INTEGER NOT NULL,
                arrival INTEGER NOT NULL,
                request_key TEXT NOT NULL,
                request TEXT NOT NULL,
                gap REAL NOT NULL,
                category TEXT NOT NULL,
                skills TEXT NOT NULL,
                slots TEXT NOT NULL,
                judge TEXT NOT NULL,
                policy TEXT NOT NULL,
                step INTEGER NOT NULL,
                created REAL NOT NULL,
                seen INTEGER NOT NULL,
                body BLOB NOT NULL
            )
            """,
            "CREATE INDEX experiences_by_arrival ON experiences (arrival, gap) WHERE live = 1",
            "CREATE INDEX experiences_by_request ON experiences (request_key)",
            "CREATE TABLE embedders (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, "
            "dimension INTEGER NOT NULL, probe BLOB NOT NULL)",
            "CREATE TABLE vectors (key INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL)",
            "CREATE TABLE changes (n INTEGER PRIMARY KEY, generation INTEGER NOT NULL, "
            "seq INTEGER NOT NULL, live INTEGER NOT NULL)",
            "CREATE INDEX changes_by_generation ON changes (generation)",
            "CREATE INDEX changes_by_seq ON changes (seq, n)",
            "CREATE TABLE snapshots (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, "
            "live INTEGER NOT NULL, created REAL NOT NULL)",
            "CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL)",
            "CREATE TABLE index_file (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, "
            "generation INTEGER NOT NULL, embedder INTEGER NOT NULL, kind TEXT NOT NULL, "
            "entries INTEGER NOT NULL, size INTEGER NOT NULL, checksum TEXT NOT NULL)",
        ),
    ),
    Migration(
        "0002-retrieval-history",
        (
            "CREATE TABLE retrievals (run TEXT NOT NULL, embedder TEXT NOT NULL, gate REAL NOT NULL, "
            "began REAL NOT NULL, ended REAL NOT NULL, lookups INTEGER NOT NULL, hits INTEGER NOT NULL, "
            "empty INTEGER NOT NULL, histogram TEXT NOT NULL, PRIMARY KEY (run, embedder, gate))",
        ),
    ),
    Migration(
        "0003-rollbacks-in-parts",
        (
            "CREATE TABLE rollbacks (id INTEGER PRIMARY KEY AUTOINCREMENT, target INTEGER NOT NULL, "
            "touched REAL NOT NULL, delta INTEGER NOT NULL, generation INTEGER)",
            "CREATE TABLE rollback_rows (rollback INTEGER NOT NULL, seq INTEGER NOT NULL, "
            "live INTEGER NOT NULL, PRIMARY KEY (rollback, seq)) WITHOUT ROWID",
        ),
    ),
    Migration(
        "0004-what-went",
        ("CREATE TABLE departed (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, other TEXT)",),
    ),
)
"""In the order in which they run. What was released is never changed; a new form is a new migration."""


def applied(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Names of the migrations that ran, in order."""
    table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
    if connection.execute(table).fetchone() is None:
        return ()
    return tuple(r[0] for r in connection.execute("SELECT name FROM migrations ORDER BY n"))


def migrate(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Run what has not run yet, each migration in a transaction of its own. Returns the names of those that ran.

    Two processes may migrate at once: the second finds the work done.
    """
    ran = []
    for migration in MIGRATIONS:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if migration.name not in applied(connection):
                _run(connection, migration)
                ran.append(migration.name)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return tuple(ran)


def _run(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, at REAL NOT NULL)"
    )
    for statement in migration.statements:
        connection.execute(statement)
    connection.execute("INSERT INTO migrations (name, at) VALUES (?, ?)", (migration.name, time.time()))
