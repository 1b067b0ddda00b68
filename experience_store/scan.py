"""A search that compares every vector of the memory-mapped file: slow in a large store, and there at once.

It stands in while the index of a large store is being made, which takes a minute or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_CHUNK = 65_536
_GONE = -2.0


class Scan:
    """The same questions as an index answers, answered by comparing all.

    Args:
        seqs: Numbers of the experiences whose vectors the file has whole, ascending.
        rows: All rows of the file: structured, with the field "vector", row `seq - 1` for experience `seq`.
        generation: The store's generation that it shows.
    """

    kind = "scan"
    outgrown = False

    def __init__(self, seqs: Sequence[int], rows: NDArray[Any], generation: int) -> None:
        import numpy as np

        self.generation = generation
        self._seqs = np.asarray(seqs, dtype=np.int64)
        self._rows = rows
        self._dead: set[int] = set()
        self._more: dict[int, Vectors] = {}

    @property
    def entries(self) -> int:
        """How many experiences can be found."""
        return len(self._seqs) + len(self._more) - len(self._dead)

    def add(self, seqs: Sequence[int], vectors: Vectors | Sequence[Vectors]) -> None:
        """Add experiences, (n,) numbers and (n, d) vectors. One that was removed is found again."""
        for seq, vector in zip(seqs, vectors, strict=True):
            if seq in self._dead:
                self._dead.discard(seq)
            elif seq not in self._more and not self._has(seq):
                self._more[seq] = vector.copy()

    def has_dead(self, seq: int) -> bool:
        """Whether an experience was removed, and its vector is still here."""
        return seq in self._dead

    def remove(self, seqs: Sequence[int]) -> None:
        """These are no longer found."""
        for seq in seqs:
            if seq in self._more or self._has(seq):
                self._dead.add(seq)

    def candidates(self, vector: Vectors, least: int, span: tuple[float, float]) -> Iterator[list[int]]:
        """The nearest live experiences to a vector (d,), nearest first: at least so many, then ever more."""
        import numpy as np

        if not self.entries:
            return
        similarities, numbers = self._compared(vector)
        total = self.entries
        wanted = min(total, least)
        while True:
            best = np.argpartition(-similarities, wanted - 1)[:wanted]
            yield numbers[best[np.argsort(-similarities[best], kind="stable")]].tolist()
            if wanted >= total:
                return
            wanted = min(total, wanted * 4)

    def _has(self, seq: int) -> bool:
        import numpy as np

        place = int(np.searchsorted(self._seqs, seq))
        return place < len(self._seqs) and int(self._seqs[place]) == seq

    def _compared(self, vector: Vectors) -> tuple[Vectors, NDArray[np.int64]]:
        """Cosines to all, and whose they are; those that are gone have one that no vector has."""
        import numpy as np

        last = int(self._seqs[-1]) if len(self._seqs) else 0
        every = np.empty(last, dtype=np.float32)
        for begin in range(0, last, _CHUNK):
            end = min(begin + _CHUNK, last)
            np.dot(self._rows["vector"][begin:end], vector, out=every[begin:end])
        similarities = every[self._seqs - 1]
        numbers = self._seqs
        if self._more:
            more = np.fromiter(self._more, dtype=np.int64)
            numbers = np.concatenate([numbers, more])
            similarities = np.concatenate([similarities, np.stack(list(self._more.values())) @ vector])
        if self._dead:
            similarities[np.isin(numbers, np.fromiter(self._dead, dtype=np.int64))] = _GONE
        return similarities, numbers
