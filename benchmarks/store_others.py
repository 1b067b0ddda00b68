"""The work of `store.py` done by LanceDB or Chroma; run by it, with a Python that has them.

    python benchmarks/store_others.py lancedb|chroma FOLDER SECONDS

FOLDER has `vectors.npy` (n, d), `fresh.npy` (experiences to add), `queries.npy`, `truth.npy`. Prints figures as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TEXT = "x" * 1500


class Store(Protocol):
    """What is measured."""

    def fill(self, vectors: Any, until: float) -> int:
        """Store vectors, numbered from 0, with a text each, in large parts, and index them.

        Past a time of `time.perf_counter` it stops. Returns how many are stored.
        """

    def open(self) -> None:
        """Open what was filled."""

    def add(self, number: int, vector: Any) -> None:
        """Add one."""

    def nearest(self, vector: Any) -> int:
        """The number of the nearest."""


class Lance:
    """A table with an index of cells (HNSW inside, eight bits) where the table is large; exact while it is small."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder / "lance")

    def fill(self, vectors: Any, until: float) -> int:
        """Store vectors and index them."""
        import lancedb
        import pyarrow as pa

        rows = 50_000
        base = lancedb.connect(self.folder)
        table = None
        for begin in range(0, len(vectors), rows):
            part = vectors[begin : begin + rows]
            given = pa.table({
                "number": np.arange(begin, begin + len(part)),
                "text": [TEXT] * len(part),
                "vector": pa.FixedSizeListArray.from_arrays(part.ravel(), part.shape[1]),
            })  # fmt: skip
            if table is None:
                table = base.create_table("t", given)
            else:
                table.add(given)
            if time.perf_counter() > until:
                return begin + len(part)
        if len(vectors) > 20_000 and table is not None:
            table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        return len(vectors)

    def open(self) -> None:
        """Open what was filled."""
        import lancedb

        self.table = lancedb.connect(self.folder).open_table("t")

    def add(self, number: int, vector: Any) -> None:
        """Add one."""
        self.table.add([{"number": number, "text": TEXT, "vector": vector}])

    def nearest(self, vector: Any) -> int:
        """The number of the nearest."""
        found = self.table.search(vector).distance_type("cosine").nprobes(20).refine_factor(10).limit(1)
        return int(found.select(["number", "text"]).to_list()[0]["number"])


class Chroma:
    """A collection with its own settings, but for the cosine."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder / "chroma")

    def fill(self, vectors: Any, until: float) -> int:
        """Store vectors and index them."""
        import chromadb

        client = chromadb.PersistentClient(self.folder)
        made = client.create_collection(
            "work", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        for begin in range(0, len(vectors), 5000):
            part = vectors[begin : begin + 5000]
            names = [str(begin + i) for i in range(len(part))]
            made.add(ids=names, embeddings=part, documents=[TEXT] * len(part))
            if time.perf_counter() > until:
                return begin + len(part)
        return len(vectors)

    def open(self) -> None:
        """Open what was filled."""
        import chromadb

        self.collection = chromadb.PersistentClient(self.folder).get_collection("work")

    def add(self, number: int, vector: Any) -> None:
        """Add one."""
        self.collection.add(ids=[str(number)], embeddings=[vector], documents=[TEXT])

    def nearest(self, vector: Any) -> int:
        """The number of the nearest."""
        return int(self.collection.query(query_embeddings=[vector], n_results=1)["ids"][0][0])


def milliseconds(action: Callable[[Any], Any], given: list[Any]) -> tuple[dict[str, float], list[Any]]:
    """Median and 95th percentile of single calls, time of the processor for one of them, and what they returned."""
    taken, results = [], []
    used = time.process_time()
    for one in given:
        began = time.perf_counter()
        results.append(action(one))
        taken.append((time.perf_counter() - began) * 1000)
    used = (time.process_time() - used) / len(given) * 1000
    p95 = statistics.quantiles(taken, n=20)[-1]
    figures = {"median_ms": statistics.median(taken), "p95_ms": p95, "processor_ms": used}
    return {name: round(value, 3) for name, value in figures.items()}, results


def measure(store: Store, folder: Path, patience: float) -> dict[str, Any]:
    """Fill, open, look up, add. Filling that takes longer than the patience, in seconds, is given up."""
    vectors, fresh = np.load(folder / "vectors.npy"), np.load(folder / "fresh.npy")
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    began = time.perf_counter()
    stored = store.fill(vectors, began + patience)
    filled = time.perf_counter() - began
    if stored < len(vectors):
        return {"given_up_after_s": round(filled, 1), "stored_by_then": stored}
    began = time.perf_counter()
    store.open()
    store.nearest(queries[0])
    opened = time.perf_counter() - began
    lookup, found = milliseconds(store.nearest, list(queries))
    recall = float(np.mean(np.asarray(found) == truth))
    add, _ = milliseconds(lambda i: store.add(len(vectors) + i, fresh[i]), list(range(len(fresh))))
    return {
        "fill_s": round(filled, 1),
        "open_and_first_lookup_s": round(opened, 3),
        "lookup": lookup,
        "recall_at_1": round(recall, 4),
        "add": add,
    }


if __name__ == "__main__":
    kinds = {"lancedb": Lance, "chroma": Chroma}
    place = Path(sys.argv[2])
    print(json.dumps(measure(kinds[sys.argv[1]](place), place, float(sys.argv[3]))))
