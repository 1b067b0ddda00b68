"""Finding the nearest source request: candidates of the index, compared with their true vectors, behind the gate."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from genevolve.experience_store.experience import Experience
from genevolve.experience_store.index import VectorIndex
from genevolve.experience_store.records import in_parts
from genevolve.experience_store.scan import Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

GATE = 0.84
TIE = 1e-6
_FLAT, _CELLS = 4, 32


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored experience and the cosine of its request to the one that was asked for."""

    experience: Experience
    similarity: float


class Near(NamedTuple):
    """A candidate with what decides its place."""

    similarity: float
    gap: float
    arrival: int
    seq: int
    id: str


def nearest(
    connection: sqlite3.Connection,
    index: VectorIndex | Scan,
    fetch: Callable[[Sequence[int]], Vectors],
    vector: Vectors,
    k: int,
    exclude_key: str | None = None,
    *,
    sure: float = GATE,
) -> list[Near]:
    """The k live experiences nearest to a unit vector (d,), nearest first.

    Of equally near ones (one request may have taught several things) the larger gap comes first, then the newer.
    What `exclude_key` names is left out: that is leave-one-out. An index with cells is searched in more of them when
    the nearest one found is below `sure`: then the cells next to the query were the wrong ones, or nothing is near.
    """
    known: dict[int, Near | None] = {}
    found: list[Near] = []
    for wider in (False, True):
        for seqs in index.candidates(vector, k + (_CELLS if index.kind == "ivf" else _FLAT), wider=wider):
            fresh = [s for s in seqs if s not in known]
            known |= dict.fromkeys(fresh)
            known |= {n.seq: n for n in _described(connection, fresh, fetch, vector, exclude_key)}
            found = sorted((n for n in known.values() if n is not None), key=_rank)
            if len(found) > k and found[k - 1].similarity - found[-1].similarity > TIE:
                break
        if index.kind != "ivf" or (found and found[0].similarity >= sure):
            break
    return found[:k]


def _rank(near: Near) -> tuple[float, float, int]:
    # Rounded, so that equal requests tie whatever order their products were summed in.
    return (-round(near.similarity, 5), -near.gap, -near.arrival)


def _described(
    connection: sqlite3.Connection,
    seqs: Sequence[int],
    fetch: Callable[[Sequence[int]], Vectors],
    vector: Vectors,
    exclude_key: str | None,
) -> list[Near]:
    rows = []
    for marks, part in in_parts(seqs):
        query = (
            f"SELECT seq, gap, arrival, id, request_key FROM experiences WHERE live = 1 AND seq IN ({marks})"  # noqa: S608  # question marks only
        )
        rows += [r for r in connection.execute(query, part) if r[4] != exclude_key]
    if not rows:
        return []
    similarities = (fetch([r[0] for r in rows]) @ vector).clip(-1.0, 1.0)
    return [Near(float(s), r[1], r[2], r[0], r[3]) for s, r in zip(similarities, rows, strict=True)]
