"""Which texts say nearly the same: normalised equality, and MinHash with an exact look at every candidate pair.

Words in order count, three at a time (shingles). MinHash finds pairs that may be alike without comparing all; the share
of shingles that a pair has in common (Jaccard) is then computed exactly.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genevolve.interpreter.library.embedder import Embedder

SHINGLE = 3
BANDS, BAND_ROWS = 32, 4
"""With 32 bands of 4 rows, a pair of 0.6 in common is found with 99 %, one of 0.8 all but always."""
THRESHOLD = 0.8
_PRIME = (1 << 61) - 1
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Alike:
    """Two texts, by their places, and how much they have in common, in [0, 1]."""

    first: int
    second: int
    share: float


def normalized(text: str) -> str:
    """The text without case, punctuation and other ways of writing the same."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def shingles(text: str) -> frozenset[str]:
    """Runs of `SHINGLE` words of the normalised text; a shorter text is one run."""
    words = normalized(text).split()
    runs = [" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)]
    return frozenset(runs or [" ".join(words)])


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """The share of all shingles that both have."""
    return len(a & b) / len(a | b) if a or b else 1.0


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> list[Alike]:
    """All pairs of texts with at least so much in common, sorted by place.

    Args:
        texts: (n,) texts.
        threshold: In (0, 1]; below about 0.5 MinHash misses pairs.
    """
    places: dict[str, int] = {}
    found = []
    for index, text in enumerate(texts):
        first = places.setdefault(normalized(text), index)
        if first != index:  # every copy is tied to the first one, so that many copies stay cheap
            found.append(Alike(first, index, 1.0))
    uniques = list(places.values())
    if len(uniques) > 1:
        sets = [shingles(texts[i]) for i in uniques]
        for a, b in _candidates(_signatures(sets)):
            share = jaccard(sets[a], sets[b])
            if share >= threshold:
                found.append(Alike(uniques[a], uniques[b], round(share, 4)))
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def closest_by_meaning(
    texts: Sequence[str], others: Sequence[str], embedder: Embedder
) -> tuple[float, int, int] | None:
    """The highest cosine between a text of each side, and their places; None when a side is empty."""
    import numpy as np

    if not texts or not others:
        return None
    a, b = np.asarray(embedder.embed(list(texts))), np.asarray(embedder.embed(list(others)))
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (
        b / np.linalg.norm(b, axis=1, keepdims=True)
    ).T
    first, second = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return round(float(cosines[first, second]), 4), int(first), int(second)


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The groups into which pairs tie `count` things, each sorted, in the order of their first members."""
    parents = list(range(count))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for a, b in pairs:
        x, y = root(a), root(b)
        parents[max(x, y)] = min(x, y)
    groups: dict[int, list[int]] = {}
    for i in range(count):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _signatures(sets: Sequence[frozenset[str]]) -> NDArray[np.uint64]:
    """(n, BANDS * BAND_ROWS) the least hash of each set under as many hash functions."""
    import numpy as np

    size = BANDS * BAND_ROWS
    rng = np.random.default_rng(20260521)
    factors = rng.integers(1, _PRIME, size, dtype=np.uint64) | np.uint64(1)
    summands = rng.integers(0, _PRIME, size, dtype=np.uint64)
    signatures = np.empty((len(sets), size), dtype=np.uint64)
    for index, members in enumerate(sets):
        hashes = np.array([_hash(s) for s in members], dtype=np.uint64)  # (m,)
        # Multiply-shift: 64-bit arithmetic wraps around, and the high bits are well mixed.
        mixed = hashes[:, None] * factors[None, :] + summands[None, :]  # (m, size)
        signatures[index] = (mixed >> np.uint64(16)).min(axis=0)
    return signatures


def _candidates(signatures: NDArray[np.uint64]) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for band in range(BANDS):
        piece = signatures[:, band * BAND_ROWS : (band + 1) * BAND_ROWS]
        buckets: dict[bytes, list[int]] = {}
        for index, row in enumerate(piece):
            buckets.setdefault(row.tobytes(), []).append(index)
        for members in buckets.values():
            found.update(_pairs(members))
    return found


def _pairs(members: Sequence[int]) -> Iterator[tuple[int, int]]:
    for i, first in enumerate(members):
        for second in members[i + 1 :]:
            yield first, second


def _hash(text: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )
