"""`genevolve experience stats`: figures of a store, and distributions as bars."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from genevolve.cli.app import OK
from genevolve.cli.experience_charts import bars, steps
from genevolve.cli.experience_options import add_store_options, columns, open_store, print_lines
from genevolve.cli.experience_text import pad
from genevolve.cli.output import print_json
from genevolve.grammar.errors import AuthorError

if TYPE_CHECKING:
    from genevolve.experience_store.history import RunHistory
    from genevolve.experience_store.reports import Distributions, StoreStats

_GAPS = (0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8)
_GAP_LABELS = (
    "0.20-0.25",
    "0.25-0.30",
    "0.30-0.35",
    "0.35-0.40",
    "0.40-0.50",
    "0.50-0.60",
    "0.60-0.80",
    "0.80-1.00",
)
_DAY = 86_400.0
_AGES = (3600.0, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 365 * _DAY)
_AGE_LABELS = (
    "under an hour",
    "under a day",
    "under a week",
    "under 30 days",
    "under 90 days",
    "under a year",
    "older",
)
_TOP = 12
_RUNS = 5


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--run", metavar="NAME", help="similarities of this run only (default: of all runs)")
    add_store_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Print the figures."""
    with open_store(arguments) as store:
        stats, spread, runs = store.stats(), store.distributions(), store.history()
    if arguments.run is not None:
        runs = [r for r in runs if r.run == arguments.run]
        if not runs:
            raise AuthorError(f"there is no run {arguments.run!r} in the history of this store")
    now = time.time()
    charts = _charts(spread, runs, now)
    if arguments.json:
        print_json({
            **stats.to_dict(),
            "distributions": {name: dict(pairs) for name, pairs in charts.items()},
            "runs": [_run(r) for r in runs],
        })  # fmt: skip
        return OK
    width = columns()
    print_lines(_figures(stats, width))
    for title, pairs in charts.items():
        print_lines(["", *bars(title, pairs, width)])
    for title, counts in (
        ("categories", stats.categories),
        ("skills", stats.skills),
        ("policies", stats.policies),
    ):
        if counts:
            ranked = sorted(counts.items(), key=lambda p: -p[1])
            more = [("others", sum(n for _, n in ranked[_TOP:]))] if len(ranked) > _TOP else []
            print_lines(["", *bars(title, [(k or "-", n) for k, n in ranked[:_TOP]] + more, width)])
    if runs:
        print("\nruns")
        for r in runs[:_RUNS]:
            print(
                f"  {pad(r.run, 24)}  {r.lookups:>8,} lookups  {r.hit_rate:>6.1%} above the gate {r.gate:g}"
            )
    return OK


def _charts(spread: Distributions, runs: list[RunHistory], now: float) -> dict[str, list[tuple[str, int]]]:
    from genevolve.experience_store.bundle import SLOTS

    return {
        "gap": steps(spread.gaps, _GAPS, _GAP_LABELS),
        "similarity of the nearest request, per lookup": _similarities(runs),
        "slots in which best and worst differ": [
            (f"{s} {name.replace('_', ' ')}", spread.slots.get(s, 0)) for s, name in SLOTS.items()
        ],
        "age": steps([now - c for c in spread.created], _AGES, _AGE_LABELS),
    }


def _similarities(runs: list[RunHistory]) -> list[tuple[str, int]]:
    if not runs:
        return []
    counts = [sum(each) for each in zip(*(r.histogram for r in runs), strict=True)]
    size = 2 / len(counts)
    labelled = [(f"{i * size - 1:+.2f}", n) for i, n in enumerate(counts)]
    filled = [i for i, n in enumerate(counts) if n]
    return labelled[filled[0] : filled[-1] + 1] if filled else []


def _run(run: RunHistory) -> dict[str, object]:
    return {
        "run": run.run, "embedder": run.embedder, "gate": run.gate, "began": run.began, "ended": run.ended,
        "lookups": run.lookups, "hits": run.hits, "empty": run.empty, "hit_rate": run.hit_rate,
        "histogram": list(run.histogram),
    }  # fmt: skip


def _figures(stats: StoreStats, width: int) -> list[str]:
    from genevolve.cli.experience_text import wrap

    of = f" of {stats.capacity:,}" if stats.capacity is not None else ", no limit"
    size = sum(stats.bytes.values())
    slow = "; compacting would make searches faster" if stats.index_outgrown else ""
    gaps = (
        ""
        if stats.gaps is None
        else "{:.3f} to {:.3f}, median {:.3f}".format(*[stats.gaps[i] for i in (0, 2, 1)])
    )
    counters = ", ".join(f"{name} {n:,}" for name, n in sorted(stats.counters.items()))
    pairs = [
        ("experiences", f"{stats.live:,}{of}; {stats.removed:,} removed and kept for rolling back"),
        ("generation", f"{stats.generation:,}; rolling back reaches to {stats.history:,}"),
        ("gaps", gaps),
        ("model", f"{stats.embedder} ({stats.dimension} numbers)" if stats.embedder else "none yet"),
        ("index", f"{stats.index}{slow}"),
        ("on disk", f"{size / 1024**2:.1f} MiB"),
        ("so far", counters),
    ]
    return [line for name, value in pairs if value for line in wrap(value, width, first=f"{name:<13}")]
