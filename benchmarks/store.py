"""The experience store at 500 and at a million experiences, beside LanceDB and Chroma doing the same work.

    python benchmarks/store.py [--sizes 500 50000 1000000] [--others PYTHON] [--patience SECONDS]

Vectors have 384 numbers. They lie in clusters, as requests of a few thousand kinds do: a centre for every forty, and
cosine about 0.75 to it. Two kinds of queries: "near" ones are a stored vector moved to a cosine of 0.9 (a lookup that
passes the gate of 0.84), "far" ones are new members of the clusters (a lookup that mostly does not). Truth is the
nearest by comparing all. Every system stores a text of about 2 kB with each vector and returns it.

- `open`: opening, and with it the first lookup, in a process that has imported everything; also where the index file
  and the vector file are missing.
- `add`: one experience through `ExperienceStore.add` with its rules, duplicates and transaction; the vector is given.
  `durable` waits for the disk at every change, as the store does by default; the other two do not. Beside it are the
  times of a bare commit of one row that waits for the disk, in the same folder right afterwards.
- `lookup`: one `search_vector`, with the experience decoded and proved by its hash.

The million is written straight into the tables, since embedding and checking a million experiences is not what is
measured; everything after that is the store's own. PYTHON is one that has lancedb and chromadb.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "experience_store"))
from bulk_samples import NAME, Given, fill, sample
from store_others import milliseconds

from genevolve.experience_store.store import ExperienceStore

Vectors = NDArray[np.float32]

RESULTS = Path(__file__).parent / "results" / "store.json"
DIMENSION = 384
QUERIES, FRESH = 500, 200


def unit(vectors: Vectors) -> Vectors:
    """Rows of length one."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def moved(vectors: Vectors, cosine: float, mixed: np.random.Generator) -> Vectors:
    """Each vector turned in a random direction until its cosine to itself is about so much."""
    noise = unit(mixed.standard_normal(vectors.shape, dtype=np.float32))
    return unit(cosine * vectors + np.sqrt(1 - cosine**2) * noise)


def make(size: int, mixed: np.random.Generator) -> dict[str, Vectors]:
    """Stored vectors, fresh ones to add, near and far queries."""
    centres = unit(mixed.standard_normal((max(20, size // 40), DIMENSION), dtype=np.float32))

    def members(count: int) -> Vectors:
        parts = [
            moved(centres[mixed.integers(0, len(centres), min(50_000, count - b))], 0.75, mixed)
            for b in range(0, count, 50_000)
        ]
        return np.concatenate(parts)

    stored = members(size)
    chosen = mixed.choice(size, QUERIES, replace=size < QUERIES)
    return {
        "vectors": stored,
        "fresh": members(FRESH),
        "near": moved(stored[chosen], 0.9, mixed),
        "far": members(QUERIES),
    }


def nearest(stored: Vectors, queries: Vectors) -> NDArray[np.int64]:
    """Numbers of the nearest stored vectors, by comparing all."""
    best = np.full(len(queries), -2.0, dtype=np.float32)
    found = np.zeros(len(queries), dtype=np.int64)
    for begin in range(0, len(stored), 50_000):
        products = queries @ stored[begin : begin + 50_000].T
        places = products.argmax(axis=1)
        values = products[np.arange(len(queries)), places]
        better = values > best
        best[better], found[better] = values[better], places[better] + begin
    return found


def recall(
    store: ExperienceStore, queries: Vectors, truth: NDArray[np.int64]
) -> tuple[dict[str, float], float]:
    """Times of lookups, and the share that found the nearest."""
    times, hits = milliseconds(lambda q: store.search_vector(q, gate=-1.0)[0], list(queries))
    found = [int(h.experience.request.partition(NAME)[2]) for h in hits]
    return times, round(float(np.mean(np.asarray(found) == truth)), 4)


def ours(folder: Path, data: dict[str, Vectors]) -> dict[str, Any]:
    """The figures of this store."""
    vectors, fresh = data["vectors"], data["fresh"]
    embedder = Given(np.concatenate([vectors, fresh, fresh]))
    began = time.perf_counter()
    fill(folder, vectors, embedder)
    filled = time.perf_counter() - began
    began = time.perf_counter()
    with ExperienceStore.open(folder, embedder=embedder) as store:
        store.search_vector(data["near"][0])
        without = time.perf_counter() - began
    built = time.perf_counter() - began  # closing waits for an index that is made beside the work
    began = time.perf_counter()
    store = ExperienceStore.open(folder, embedder=embedder)
    opened = time.perf_counter() - began
    store.search_vector(data["near"][0])
    first = time.perf_counter() - began
    figures: dict[str, Any] = {
        "fill_s": round(filled, 1),
        "open_and_first_lookup_without_index_s": round(without, 2),
        "index_build_s": round(built, 1),
        "open_s": round(opened, 4),
        "open_and_first_lookup_s": round(first, 3),
    }
    for kind in ("near", "far"):
        times, found = recall(store, data[kind], nearest(vectors, data[kind]))
        figures |= {f"lookup_{kind}": times, f"recall_at_1_{kind}": found}
    size = len(vectors)
    store.set_capacity(None if size > 500 else 500)
    figures["add_durable"] = add_all(store, range(size, size + len(fresh)))
    figures["bare_durable_commit"] = bare_commits(folder)
    add, bare = figures["add_durable"]["median_ms"], figures["bare_durable_commit"]["median_ms"]
    figures["add_durable_by_bare_commit"] = round(add / bare, 1)
    store.close()
    with ExperienceStore.open(folder, embedder=embedder, durable=False) as store:
        store.search_vector(data["near"][0])
        figures["add"] = add_all(store, range(size + len(fresh), size + 2 * len(fresh)))
        figures["index"] = store.stats().index
        figures["bytes"] = {
            k: v for k, v in store.stats().bytes.items() if k.endswith((".sqlite", ".faiss", ".f32"))
        }
    return figures


def bare_commits(folder: Path) -> dict[str, float]:
    """Times of the disk alone: commits of one row of 4 kB that wait for it, in the same folder."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x);")
    times, _ = milliseconds(
        lambda n: connection.execute("INSERT INTO t VALUES (zeroblob(?))", (n,)), [4096] * 100
    )
    connection.close()
    (folder / "bare.sqlite").unlink()
    return times


def add_all(store: ExperienceStore, numbers: Sequence[int] | range) -> dict[str, float]:
    """Times of adding these, one by one."""
    made = [sample(n) for n in numbers]
    times, results = milliseconds(store.add, made)
    assert {r.status for r in results} <= {"added", "merged"}, results[0]
    return times


def others(
    python: str, folder: Path, data: dict[str, Vectors], names: Sequence[str], patience: float
) -> dict[str, Any]:
    """The figures of the other systems, for near queries."""
    np.save(folder / "vectors.npy", data["vectors"])
    np.save(folder / "fresh.npy", data["fresh"])
    np.save(folder / "queries.npy", data["near"])
    np.save(folder / "truth.npy", nearest(data["vectors"], data["near"]))
    found: dict[str, Any] = {}
    script = str(Path(__file__).with_name("store_others.py"))
    for name in names:
        command = [python, script, name, str(folder), str(patience)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * patience)
        except subprocess.TimeoutExpired:  # it has been filled, and its index is not finished
            found[name] = {"given_up_after_s": 2 * patience}
            continue
        lines = done.stdout.strip().splitlines()
        found[name] = json.loads(lines[-1]) if done.returncode == 0 else {"failed": done.stderr[-300:]}
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 50_000, 1_000_000])
    parser.add_argument("--others", help="a Python that has lancedb and chromadb")
    parser.add_argument(
        "--patience",
        type=float,
        default=600.0,
        help="seconds that each of them may fill; twice as long for all",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    report: dict[str, Any] = json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    report |= {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "dimension": DIMENSION,
    }
    for size in chosen.sizes:
        data = make(size, np.random.default_rng(size))
        folder = Path(tempfile.mkdtemp(prefix="store-"))
        try:
            figures: dict[str, Any] = {"load_before": os.getloadavg()[0]}
            figures["genevolve"] = ours(folder / "ours", data)
            figures["load_after"] = os.getloadavg()[0]
            print(size, json.dumps(figures), flush=True)
            if chosen.others:
                figures |= others(chosen.others, folder, data, ("lancedb", "chroma"), chosen.patience)
            report[str(size)] = figures
            print(size, json.dumps(figures), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        chosen.results.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
