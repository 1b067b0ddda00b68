"""Rows of the database: what the store does to them inside a transaction that somebody else has begun."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from genevolve.experience_store.bundle import slot_id
from genevolve.experience_store.experience import Experience, canonical
from genevolve.experience_store.vectors import checksum
from genevolve.experience_store.wording import fold, words
from genevolve.grammar.errors import AuthorError, StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

EVICTION_WINDOW = 256
MOST_EVICTED = 1000
_LONGEST_CHAIN = 1000
"""Experiences that replaced one another and that are followed."""
_MAX_BODY = 4 * 1024 * 1024


class State(NamedTuple):
    """The one row that tells how the store is."""

    store: str
    generation: int
    live: int
    arrivals: int
    capacity: int | None
    embedder: int
    history: int


@dataclass(frozen=True, slots=True)
class Filters:
    """Which experiences are meant; what is None does not matter, and what is given must all be true.

    Attributes:
        category: Exactly this category.
        skill: The best program used this skill.
        slot: Best and worst differ in this slot ("S3" or "reference_selection").
        min_gap, max_gap: Bounds of the gap, included.
        since, until: Bounds of the time, in seconds since 1970: from `since` to before `until`.
        policy: Exactly this policy.
        min_step, max_step: Bounds of the training step, included.
        judge: Exactly this judge.
        text: The request has this text, in any letter case.
    """

    category: str | None = None
    skill: str | None = None
    slot: str | None = None
    min_gap: float | None = None
    max_gap: float | None = None
    since: float | None = None
    until: float | None = None
    policy: str | None = None
    min_step: int | None = None
    max_step: int | None = None
    judge: str | None = None
    text: str | None = None

    def where(self) -> tuple[str, list[object]]:
        """As an SQL condition with its values.

        Raises:
            AuthorError: there is no such slot.
        """
        conditions: list[str] = ["live = 1"]
        values: list[object] = []
        for condition, value in (
            ("category = ?", self.category),
            ("instr(skills, ?) > 0", None if self.skill is None else f"\n{self.skill}\n"),
            ("instr(slots, ?) > 0", None if self.slot is None else _slot(self.slot)),
            ("gap >= ?", self.min_gap),
            ("gap <= ?", self.max_gap),
            ("created >= ?", self.since),
            ("created < ?", self.until),
            ("policy = ?", self.policy),
            ("step >= ?", self.min_step),
            ("step <= ?", self.max_step),
            ("judge = ?", self.judge),
            ("instr(lower(request), lower(?)) > 0", self.text),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        return " AND ".join(conditions), values


def _slot(slot: str) -> str:
    try:
        return slot_id(slot)
    except KeyError:
        raise AuthorError(f"there is no slot {slot!r}; the slots are S1 to S5") from None


def request_key(request: str) -> str:
    """What makes two requests the same request: their words, in order."""
    return hashlib.sha256(" ".join(fold(w) for w in words(request)).encode()).hexdigest()[:32]


def vector_key(embedder: int, seq: int) -> int:
    """Where a model's vector of an experience stands in the table."""
    return embedder << 40 | seq


def state(connection: sqlite3.Connection) -> State:
    """How the store is."""
    row = connection.execute(
        "SELECT store, generation, live, arrivals, capacity, embedder, history FROM state"
    ).fetchone()
    if row is None:
        raise StorageError("the experience store has lost its state; restore a backup")
    return State(*row)


def encode(experience: Experience) -> bytes:
    """The body of a row."""
    return zlib.compress(canonical(experience.to_dict()).encode(), 1)


def decode(body: bytes, expected: str) -> Experience:
    """The experience of a row. Raises `StorageError` when it is not the one that was written."""
    try:
        unpacked = zlib.decompressobj()
        data = json.loads(unpacked.decompress(body, _MAX_BODY))
        found = Experience.from_dict(data)
    except (zlib.error, ValueError, RecursionError, AuthorError) as error:
        raise _damaged(expected) from error
    if found.id != expected:
        raise _damaged(expected)
    return found


def _damaged(identity: str) -> StorageError:
    return StorageError(
        f"the experience {identity[:12]} is damaged; run `genevolve experience verify --repair`, or restore a backup"
    )


def insert(
    connection: sqlite3.Connection, experience: Experience, vector: Vectors, embedder: int, seen: int = 1
) -> int:
    """Store a new experience, alive. Returns its number."""
    now = state(connection)
    cursor = connection.execute(
        "INSERT INTO experiences (id, live, arrival, request_key, request, gap, category, skills, slots, judge, "
        "policy, step, created, seen, body) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            experience.id,
            now.arrivals + 1,
            request_key(experience.request),
            experience.request,
            experience.gap,
            experience.category,
            "".join(f"\n{s}\n" for s in experience.skills),
            "".join(experience.bundle.slots),
            experience.judge,
            experience.policy,
            experience.step,
            experience.created,
            seen,
            encode(experience),
        ),
    )
    seq = int(cursor.lastrowid or 0)
    put_vector(connection, embedder, seq, vector)
    connection.execute("UPDATE state SET arrivals = arrivals + 1")
    return seq


def put_vector(connection: sqlite3.Connection, embedder: int, seq: int, vector: Vectors) -> None:
    """Keep a model's vector (d,) of an experience."""
    data = vector.astype("<f4", copy=False).tobytes()
    connection.execute(
        "INSERT OR REPLACE INTO vectors (key, crc, data) VALUES (?, ?, ?)",
        (vector_key(embedder, seq), checksum(seq, data), data),
    )


def get_vector(connection: sqlite3.Connection, embedder: int, seq: int, dimension: int) -> Vectors | None:
    """A model's vector (d,) of an experience; None when the database does not have it whole."""
    import numpy as np

    row = connection.execute(
        "SELECT crc, data FROM vectors WHERE key = ?", (vector_key(embedder, seq),)
    ).fetchone()
    if row is None or len(row[1]) != dimension * 4 or row[0] != checksum(seq, row[1]):
        return None
    return np.frombuffer(row[1], dtype="<f4")


def get_vectors(
    connection: sqlite3.Connection, embedder: int, seqs: Sequence[int], dimension: int
) -> dict[int, Vectors]:
    """A model's vectors (d,) of many experiences by their numbers; those are missing that the database lacks."""
    import numpy as np

    found: dict[int, Vectors] = {}
    base = vector_key(embedder, 0)
    for marks, part in in_parts([base + seq for seq in seqs]):
        query = f"SELECT key, crc, data FROM vectors WHERE key IN ({marks})"  # noqa: S608  # question marks only
        for key, crc, data in connection.execute(query, part):
            seq = key - base
            if len(data) == dimension * 4 and crc == checksum(seq, data):
                found[seq] = np.frombuffer(data, dtype="<f4")
    return found


def advance(connection: sqlite3.Connection) -> int:
    """Begin the next generation. Returns its number."""
    row = connection.execute("UPDATE state SET generation = generation + 1 RETURNING generation").fetchone()
    return int(row[0])


def flip(connection: sqlite3.Connection, seqs: Iterable[int], live: bool, generation: int) -> int:
    """Make experiences live, or no longer, and write that into the log of changes. Returns how many changed."""
    count = 0
    for seq in seqs:
        cursor = connection.execute(
            "UPDATE experiences SET live = ? WHERE seq = ? AND live != ?", (int(live), seq, int(live))
        )
        if cursor.rowcount:
            count += 1
            connection.execute(
                "INSERT INTO changes (generation, seq, live) VALUES (?, ?, ?)", (generation, seq, int(live))
            )
    connection.execute("UPDATE state SET live = live + ?", (count if live else -count,))
    return count


def evict(connection: sqlite3.Connection, generation: int) -> list[str]:
    """Remove experiences until the capacity is kept: each time, of the oldest quarter (256 at most) the smallest gap.

    A thousand at most go at once, so that the lock is not held for long.

    Returns:
        The ids of those that went.
    """
    gone: list[str] = []
    now = state(connection)
    while now.capacity is not None and now.live > now.capacity and len(gone) < MOST_EVICTED:
        window = max(1, min(now.capacity // 4, EVICTION_WINDOW))
        seq, identity = connection.execute(
            # The inner part is answered by the index alone; only the one that goes is read.
            "SELECT seq, id FROM experiences WHERE seq = (SELECT seq FROM (SELECT seq, gap, arrival FROM experiences "
            "WHERE live = 1 ORDER BY arrival LIMIT ?) ORDER BY gap, arrival LIMIT 1)",
            (window,),
        ).fetchone()
        flip(connection, [seq], False, generation)
        depart(connection, str(identity))
        gone.append(str(identity))
        now = state(connection)
    if gone:
        count(connection, "evicted", len(gone))
    return gone


def depart(connection: sqlite3.Connection, identity: str, other: str | None = None) -> None:
    """Remember that an experience was let in and went: evicted, or in favour of another that is nearly the same."""
    connection.execute("INSERT OR REPLACE INTO departed (id, other) VALUES (?, ?)", (identity, other))


def departed(connection: sqlite3.Connection, identity: str) -> bool:
    """Whether adding an experience again would only repeat what was decided when it went.

    It would where a nearly equal one is stored in its place, and where the capacity pushed it out and still leaves no
    room.
    """
    for _ in range(_LONGEST_CHAIN):
        row = connection.execute("SELECT other FROM departed WHERE id = ?", (identity,)).fetchone()
        if row is None:
            return False
        if row[0] is None:
            now = state(connection)
            return now.capacity is not None and now.live >= now.capacity
        identity = str(row[0])
        if connection.execute("SELECT 1 FROM experiences WHERE id = ? AND live = 1", (identity,)).fetchone():
            return True
    return False


def count(connection: sqlite3.Connection, name: str, n: int = 1) -> None:
    """Add to a counter."""
    connection.execute(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n", (name, n)
    )


def in_parts(seqs: Sequence[int], size: int = 500) -> Iterable[tuple[str, Sequence[int]]]:
    """Numbers in parts that fit into a statement, each with its placeholders."""
    for begin in range(0, len(seqs), size):
        part = seqs[begin : begin + size]
        yield ",".join("?" * len(part)), part
