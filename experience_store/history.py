"""How retrieval does, per run: lookups, hits above the gate, and the histogram of the nearest similarity."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, field

BINS = 40
"""Bins of the histogram, of equal width from -1 to 1: 0.05 each."""
FLUSH = 64
"""Lookups that are kept in memory before they are written: a lookup should not cost a transaction."""


@dataclass(frozen=True, slots=True)
class RunHistory:
    """What one run looked up.

    Attributes:
        run: Its name.
        embedder: The model; similarities of two models are not comparable.
        gate: The gate that was used.
        began, ended: Time of the first and of the last lookup, in seconds since 1970.
        lookups: How many requests were looked up.
        hits: How many found an experience above the gate.
        empty: How many found nothing to compare with.
        histogram: Nearest similarities, in 40 bins from -1 to 1.
    """

    run: str
    embedder: str
    gate: float
    began: float
    ended: float
    lookups: int
    hits: int
    empty: int
    histogram: tuple[int, ...]

    @property
    def hit_rate(self) -> float:
        """Hits by lookups, 0 when nothing was looked up."""
        return self.hits / self.lookups if self.lookups else 0.0


@dataclass
class _Tally:
    began: float
    ended: float
    lookups: int = 0
    hits: int = 0
    empty: int = 0
    bins: list[int] = field(default_factory=lambda: [0] * BINS)


class History:
    """Lookups that are not written yet."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, float], _Tally] = {}
        self._waiting = 0

    @property
    def due(self) -> bool:
        """Whether it is time to write them."""
        return self._waiting >= FLUSH

    @property
    def waiting(self) -> int:
        """How many there are."""
        return self._waiting

    def record(self, run: str, embedder: str, gate: float, nearest: float | None) -> None:
        """Note one lookup: the similarity of the nearest request, None when there was none."""
        now = time.time()
        tally = self._open.setdefault((run, embedder, gate), _Tally(now, now))
        tally.ended = now
        tally.lookups += 1
        self._waiting += 1
        if nearest is None:
            tally.empty += 1
            return
        tally.bins[bin_of(nearest)] += 1
        tally.hits += nearest >= gate

    def flush(self, connection: sqlite3.Connection) -> None:
        """Add them to what the database has; call `written` when the transaction is through."""
        for (run, embedder, gate), t in self._open.items():
            row = connection.execute(
                "SELECT began, ended, lookups, hits, empty, histogram FROM retrievals "
                "WHERE run = ? AND embedder = ? AND gate = ?",
                (run, embedder, gate),
            ).fetchone()
            old = row or (t.began, t.ended, 0, 0, 0, json.dumps([0] * BINS))
            bins = [a + b for a, b in zip(json.loads(old[5]), t.bins, strict=True)]
            connection.execute(
                "INSERT OR REPLACE INTO retrievals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run,
                    embedder,
                    gate,
                    min(old[0], t.began),
                    max(old[1], t.ended),
                    old[2] + t.lookups,
                    old[3] + t.hits,
                    old[4] + t.empty,
                    json.dumps(bins),
                ),
            )

    def written(self) -> None:
        """Forget them: the database has them."""
        self._open.clear()
        self._waiting = 0


def bin_of(similarity: float) -> int:
    """The bin of a similarity; what rounding puts outside of -1 to 1 belongs to the last one."""
    return min(BINS - 1, max(0, int((similarity + 1) * BINS / 2)))


def load(connection: sqlite3.Connection) -> list[RunHistory]:
    """All runs, the latest first."""
    rows = connection.execute(
        "SELECT run, embedder, gate, began, ended, lookups, hits, empty, histogram FROM retrievals ORDER BY ended DESC"
    )
    return [
        RunHistory(run, embedder, gate, began, ended, lookups, hits, empty, tuple(json.loads(bins)))
        for run, embedder, gate, began, ended, lookups, hits, empty, bins in rows
    ]
