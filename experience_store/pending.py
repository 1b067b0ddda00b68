"""A rollback that was switched and is not yet in the rows: how readers see it, and how writers finish it.

See `rollback`, which makes one. There is at most one, since nobody writes anything else while there is.
"""

from __future__ import annotations

import sqlite3

PART = 500
"""Rows that one transaction moves."""
_COLUMNS = (
    "arrival, request_key, request, gap, category, skills, slots, judge, policy, step, created, seen, body"
)


def waiting(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """Number and generation of the rollback that is not finished; None when there is none."""
    try:
        row = connection.execute(
            "SELECT id, generation FROM rollbacks WHERE generation IS NOT NULL"
        ).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None  # a store of an older version that is only read
    return None if row is None else (int(row[0]), int(row[1]))


def move(connection: sqlite3.Connection, number: int, generation: int) -> None:
    """Move a part of it into the rows and into the log of changes, inside a transaction."""
    rows = connection.execute(
        "SELECT seq, live FROM rollback_rows WHERE rollback = ? ORDER BY seq LIMIT ?", (number, PART)
    ).fetchall()
    if not rows:
        connection.execute("DELETE FROM rollbacks WHERE id = ?", (number,))
        return
    for seq, live in rows:
        changed = connection.execute(
            "UPDATE experiences SET live = ? WHERE seq = ? AND live != ?", (live, seq, live)
        )
        if changed.rowcount:
            connection.execute(
                "INSERT INTO changes (generation, seq, live) VALUES (?, ?, ?)", (generation, seq, live)
            )
    connection.execute("DELETE FROM rollback_rows WHERE rollback = ? AND seq <= ?", (number, rows[-1][0]))


def views(connection: sqlite3.Connection, number: int, generation: int) -> None:
    """Put what is waiting over the tables, for this connection and until its transaction is rolled back."""
    only = bool(connection.execute("PRAGMA query_only").fetchone()[0])
    if only:  # it forbids views as well
        connection.execute("PRAGMA query_only = OFF")
    try:
        connection.execute(
            f"CREATE TEMP VIEW experiences AS SELECT e.seq AS seq, e.id AS id, coalesce(r.live, e.live) AS live, "  # noqa: S608  # columns of ours, a number
            f"{_COLUMNS} FROM main.experiences e "
            f"LEFT JOIN main.rollback_rows r ON r.rollback = {number:d} AND r.seq = e.seq"
        )
        connection.execute(
            "CREATE TEMP VIEW changes AS SELECT n, generation, seq, live FROM main.changes "  # noqa: S608  # two numbers
            f"UNION ALL SELECT 9223372036854775807, {generation:d}, seq, live FROM main.rollback_rows "
            f"WHERE rollback = {number:d}"
        )
    finally:
        if only:
            connection.execute("PRAGMA query_only = ON")
