"""Finding the nearest source request: candidates of the index, compared with their true vectors, behind the gate."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
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


class Effort(NamedTuple):
    """How much of an index with cells is searched.

    Attributes:
        spans: Parts of the cells, in the order of their nearness to the query; the next one is searched when what was
            found is not near enough.
        sure: The similarity that is near enough. Below, the cells next to the query may have been the wrong ones.
    """

    spans: tuple[tuple[float, float], ...]
    sure: float


LOOKUP = Effort(((0.0, 1 / 40), (1 / 40, 3 / 40)), GATE)
"""Of a million, all above the gate are found, and nine in ten of those far below (cosine 0.6; benchmarks/store.py)."""
DUPLICATE = Effort(((0.0, 1 / 100),), -1.0)
"""For experiences that are nearly the same: at a cosine of 0.97, all of 400 in a million were in one cell in 128."""


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
    effort: Effort = LOOKUP,
) -> list[Near]:
    """The k live experiences nearest to a unit vector (d,), nearest first.

    Of equally near ones (one request may have taught several things) the larger gap comes first, then the newer.
    What `exclude_key` names is left out: that is leave-one-out.
    """
    similarities: dict[int, float] = {}
    rows: dict[int, Near | None] = {}
    found: list[Near] = []
    for span in effort.spans:
        for seqs in index.candidates(vector, k + (_CELLS if index.kind == "ivf" else _FLAT), span):
            fresh = [s for s in seqs if s not in similarities]
            if fresh:
                products = (fetch(fresh) @ vector).clip(-1.0, 1.0)
                similarities |= dict(zip(fresh, products.tolist(), strict=True))
            found = _best(connection, similarities, rows, k, exclude_key)
            if _complete(found, k):
                break
        if index.kind != "ivf" or (found and found[0].similarity >= effort.sure):
            break
    return found[:k]


def _best(
    connection: sqlite3.Connection,
    similarities: Mapping[int, float],
    rows: dict[int, Near | None],
    k: int,
    exclude_key: str | None,
) -> list[Near]:
    """The nearest ones, sorted; more than k where that decides who is among them. Reads no more rows than that."""
    ranked = sorted(similarities, key=lambda s: -similarities[s])
    found: list[Near] = []
    for begin in range(0, len(ranked), k + _FLAT):
        part = ranked[begin : begin + k + _FLAT]
        fresh = [s for s in part if s not in rows]
        rows |= dict.fromkeys(fresh)
        rows |= {n.seq: n for n in _described(connection, fresh, similarities, exclude_key)}
        found = sorted([*found, *(n for s in part if (n := rows[s]) is not None)], key=_rank)
        if _complete(found, k):
            break
    return found


def _complete(found: Sequence[Near], k: int) -> bool:
    return len(found) > k and found[k - 1].similarity - found[-1].similarity > TIE


def _rank(near: Near) -> tuple[float, float, int]:
    # Rounded, so that equal requests tie whatever order their products were summed in.
    return (-round(near.similarity, 5), -near.gap, -near.arrival)


def _described(
    connection: sqlite3.Connection,
    seqs: Sequence[int],
    similarities: Mapping[int, float],
    exclude_key: str | None,
) -> list[Near]:
    found = []
    for marks, part in in_parts(seqs):
        query = (
            f"SELECT seq, gap, arrival, id, request_key FROM experiences WHERE live = 1 AND seq IN ({marks})"  # noqa: S608  # question marks only
        )
        for seq, gap, arrival, identity, key in connection.execute(query, part):
            if key != exclude_key:
                found.append(Near(similarities[seq], gap, arrival, seq, identity))
    return found
