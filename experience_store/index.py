"""The nearest-neighbour index: FAISS in memory, and its file with a checksum beside the database.

    small stores   IndexFlatIP: every vector is compared
    large stores   IndexIVFScalarQuantizer: vectors in cells, eight bits a number; the cells nearest to the query are
                   searched, and what they give is compared again with the true vectors (by `retrieval`)

Entries carry the numbers of their experiences. Those that are gone are remembered and skipped, and are taken out when
they become many.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

FLAT_LIMIT = 20_000
"""Up to so many experiences every vector is compared (at 384 numbers: about 2 ms)."""
_TRAINING = 50
"""Vectors a cell that are looked at for placing the cells."""
_CHUNK = 8 * 1024 * 1024
_BATCH = 32_768
_CELLS = 16
"""Cells that are searched at least."""


class VectorIndex:
    """Numbers of experiences by their vectors. Made by `build` or `load`, never empty-handed.

    Attributes:
        generation: The store's generation that it shows.
        dead: Entries that are in FAISS's index and gone from the store.
    """

    def __init__(self, index: Any, generation: int) -> None:  # Any: faiss has no types
        self._index = index
        self.generation = generation
        self.dead: set[int] = set()
        self.trained_for = max(int(index.ntotal), FLAT_LIMIT)

    # ---- making ----

    @classmethod
    def build(
        cls, dimension: int, seqs: Sequence[int], fetch: Callable[[Sequence[int]], Vectors], generation: int
    ) -> VectorIndex:
        """An index of these experiences, whose kind their number decides.

        Args:
            dimension: Numbers in a vector.
            seqs: The experiences' numbers.
            fetch: The vectors of some of them, (n, d), in order.
            generation: What the store's generation is.
        """
        import faiss
        import numpy as np

        if len(seqs) <= FLAT_LIMIT:
            index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        else:
            cells = cells_for(len(seqs))
            index = faiss.index_factory(dimension, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
            chosen = np.random.default_rng(7).choice(
                len(seqs), min(len(seqs), cells * _TRAINING), replace=False
            )
            index.cp.niter = 8
            index.train(fetch([seqs[i] for i in np.sort(chosen)]))
        found = cls(index, generation)
        for begin in range(0, len(seqs), _BATCH):
            part = seqs[begin : begin + _BATCH]
            found.add(part, fetch(part))
        found.trained_for = max(len(seqs), FLAT_LIMIT)
        return found

    @classmethod
    def load(cls, path: Path, *, size: int, digest: str, generation: int) -> VectorIndex | None:
        """The index in a file, or None when the file is not exactly the one that was written.

        FAISS trusts its files, so nothing of a file reaches it before size and checksum are right.
        """
        import faiss
        import numpy as np

        try:
            if path.stat().st_size != size:
                return None
            data = np.fromfile(path, dtype=np.uint8)
        except (OSError, ValueError):
            return None
        if checksum(data) != digest:
            return None
        try:
            index = faiss.deserialize_index(data)
        except RuntimeError:  # right bytes that this version of FAISS does not read
            return None
        return cls(index, generation)

    # ---- use ----

    @property
    def kind(self) -> str:
        """Which kind it is: "flat" or "ivf"."""
        return "ivf" if hasattr(self._index, "nlist") else "flat"

    @property
    def entries(self) -> int:
        """How many experiences can be found."""
        return int(self._index.ntotal) - len(self.dead)

    @property
    def outgrown(self) -> bool:
        """Whether an index of another kind, or with other cells, would be better by now."""
        if self.kind == "flat":
            return self.entries > FLAT_LIMIT * 1.5
        return self.entries > 4 * self.trained_for

    def add(self, seqs: Sequence[int], vectors: Vectors) -> None:
        """Add experiences, (n,) numbers and (n, d) vectors. One that was removed is found again."""
        import numpy as np

        fresh = [i for i, seq in enumerate(seqs) if seq not in self.dead]
        self.dead.difference_update(seqs)
        if fresh:
            ids = np.asarray([seqs[i] for i in fresh], dtype=np.int64)
            self._index.add_with_ids(np.ascontiguousarray(vectors[fresh], dtype=np.float32), ids)

    def has_dead(self, seq: int) -> bool:
        """Whether an experience was removed, and its vector is still here."""
        return seq in self.dead

    def remove(self, seqs: Sequence[int]) -> None:
        """These are no longer found."""
        self.dead.update(seqs)
        if len(self.dead) > 64 + self._index.ntotal // 4:
            self.purge()

    def purge(self) -> None:
        """Take out what was removed."""
        import numpy as np

        if self.dead:
            self._index.remove_ids(np.fromiter(self.dead, dtype=np.int64))
            self.dead.clear()

    def candidates(self, vector: Vectors, least: int, span: tuple[float, float]) -> Iterator[list[int]]:
        """The nearest live experiences to a vector (d,), nearest first: at least so many, then ever more.

        Each list repeats the ones before it; the last one has everything that the index can find.

        Args:
            vector: The query.
            least: So many at least, where there are so many.
            span: From where to where in the cells, as they are near to the query, of 0 to 1. More are searched where
                that gives too few. An index without cells compares all, whatever the span.
        """
        total = int(self._index.ntotal)
        wanted = min(total, least + min(len(self.dead), 32))
        query = vector.reshape(1, -1)
        while total:
            labels = self._search(query, wanted, span)
            yield [seq for seq in labels if seq not in self.dead]
            if wanted >= total or len(labels) < wanted:
                return
            wanted = min(total, wanted * 4)

    def _search(self, query: Vectors, wanted: int, span: tuple[float, float]) -> list[int]:
        import faiss

        # One thread: for one query, threads that wait for each other cost more than they save, much more on a busy
        # machine (measured: 6 ms instead of 0.1).
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            if self.kind == "flat":
                _, labels = self._index.search(query, wanted)
                return [seq for seq in labels[0].tolist() if seq >= 0]
            return self._in_cells(query, wanted, span)
        finally:
            faiss.omp_set_num_threads(before)

    def _in_cells(self, query: Vectors, wanted: int, span: tuple[float, float]) -> list[int]:
        cells = self._index.nlist
        begin, end = (min(cells, max(_CELLS, int(cells * share))) if share else 0 for share in span)
        while begin < end:
            distances, order = self._index.quantizer.search(query, end)
            self._index.nprobe = end - begin
            _, labels = self._index.search_preassigned(query, wanted, order[:, begin:], distances[:, begin:])
            found = [seq for seq in labels[0].tolist() if seq >= 0]
            if len(found) == wanted or end == cells:
                return found
            end = min(cells, end * 4)
        return []

    # ---- its file ----

    def save(self, path: Path) -> tuple[int, str]:
        """Write it whole or not at all. Returns size and checksum; raises `OSError`."""
        import faiss

        self.purge()
        data = faiss.serialize_index(self._index)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with fresh.open("wb") as file:
                file.write(data.data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise
        return len(data), checksum(data)


def cells_for(count: int) -> int:
    """Cells of a large index: twice the square root of its entries, rounded to a power of two."""
    return int(2 ** round(math.log2(2 * math.sqrt(count))))


def checksum(data: NDArray[np.uint8]) -> str:
    """SHA-256 over the SHA-256 of every 8 MiB, in hex; two threads, since a large index is hashed at every start."""
    view = data.data
    parts = [view[i : i + _CHUNK] for i in range(0, len(view), _CHUNK)]
    if len(parts) < 4:
        digests = [hashlib.sha256(p).digest() for p in parts]
    else:
        with ThreadPoolExecutor(2) as pool:
            digests = list(pool.map(lambda p: hashlib.sha256(p).digest(), parts))
    return hashlib.sha256(b"".join(digests)).hexdigest()
