"""The results folder of a bench.

DIR/
    batch.json          what it was made from: suite, policy, renderer, judge, seed
    results.jsonl       the journal: a line for each row that has ended
    output.jsonl        written at the end: the last record of each row, in order
    results.json        the same as one array: what upstream's scripts read
    results_eval.json   the same with upstream's summary rows at its end
    summary.json        figures with intervals
    summary.csv         a line for each group
    upstream.json       a summary in upstream's own fields
    images/             the pictures, each with its program inside
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.judges.formulas import DIMENSIONS, Formula, parse_formula
from genevolve.optimizer.evaluation.records import NEUTRAL_TEXT, Result, read_results, scores_of
from genevolve.optimizer.evaluation.summary import GROUPINGS, grouped, summarize
from genevolve.programs.batch.folder import replacing

OUTPUT = "output.jsonl"
_FACTS = ("suite", "policy", "renderer", "judge", "formula", "seed", "rollouts")
_MAX_IDENTITY = 1024 * 1024


@dataclass(frozen=True)
class Bench:
    """A run of a suite, read again.

    Attributes:
        folder: Where it lies.
        facts: What it was made from, for people.
        suite_digest: Of the rows.
        truths: The folder of the ground truths; None when there is none.
        results: The rows.
    """

    folder: Path
    facts: Mapping[str, Any]
    suite_digest: str
    truths: Path | None
    results: tuple[Result, ...]

    def summary(self) -> dict[str, Any]:
        """The figures, with what they are of."""
        return {**self.facts, **summarize(self.results, seed=0)}


def open_bench(folder: Path, formula: Formula | None = None) -> Bench:
    """A results folder; with `formula`, its KScores computed anew.

    Raises:
        AuthorError: It is no results folder of a bench, or it is damaged.
        StorageError: It cannot be read.
    """
    path = folder / "batch.json"
    try:
        if path.stat().st_size > _MAX_IDENTITY:
            raise AuthorError(f"{path} is larger than any that a bench writes")
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise AuthorError(f"{folder} holds no results of a bench: it has no batch.json") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{path} is damaged: it is not JSON") from error
    suite = data.get("suite") if isinstance(data, dict) else None
    if not isinstance(suite, dict) or not isinstance(suite.get("digest"), str):
        raise AuthorError(f"{path} is not of a bench")
    used = formula or parse_formula(str(data.get("formula", "paper")))
    facts: dict[str, Any] = {name: data.get(name) for name in _FACTS} | {"formula": used}
    facts["suite"] = str(suite.get("name", ""))
    truths = data.get("truths")
    results = tuple(read_results(folder / OUTPUT, used))
    return Bench(folder, facts, suite["digest"], Path(truths) if isinstance(truths, str) else None, results)


def write_figures(folder: Path, formula: Formula | None = None) -> dict[str, Any]:
    """Write everything that follows from `output.jsonl`; returns the summary.

    Raises:
        AuthorError: What lies there is damaged.
        StorageError: It cannot be written.
    """
    bench = open_bench(folder, formula)
    summary = bench.summary()
    _write(folder / "summary.json", _json(summary))
    _write(folder / "summary.csv", csv_text(summary).encode())
    _write(folder / "upstream.json", _json(upstream_summary(bench.results, folder)))
    with replacing(folder / "results_eval.json") as file:
        mark = b"[\n"
        with (folder / OUTPUT).open("rb") as lines:
            for line, result in zip(lines, bench.results, strict=True):
                record = json.loads(line) | {"scores": scores_of(result)}
                file.write(mark + json.dumps(record, ensure_ascii=True).encode())
                mark = b",\n"
        for row in upstream_rows(bench.results):
            file.write(mark + json.dumps(row).encode())
        file.write(b"\n]\n")
    return summary


def csv_text(summary: Mapping[str, Any]) -> str:
    """The figures as a table: one line for all rows, one for each group."""
    out = io.StringIO()
    names = list(summary["overall"]["dimensions"])
    writer = csv.writer(out, lineterminator="\n")
    head = [
        "grouping",
        "group",
        "rows",
        "scored",
        "failed",
        "unscored",
        "score",
        "low",
        "high",
        "missing_as_zero",
    ]
    writer.writerow([*head, *names])
    groups = [("all", "all", summary["overall"])]
    groups += [(name, group, f) for name, found in summary["by"].items() for group, f in found.items()]
    for name, group, found in groups:
        score = found["score"]
        line = [name, _cell(group), *(found[k] for k in ("rows", "scored", "failed", "unscored"))]
        line += [score["mean"], score["low"], score["high"], found["missing_as_zero"]["mean"]]
        writer.writerow([*line, *(found["dimensions"].get(n, {}).get("mean") for n in names)])
    return out.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: groups are named by strangers."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


# ---- upstream ----------------------------------------------------------------------------------------


def upstream_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Summary rows as upstream's scorer appends them: by type of evaluation, then overall.

    Dimensions are means over the rows that have them (0.5 for text when none has), and `overall` is their weighted sum,
    as upstream computes it: not the mean of the rows' scores.
    """
    found = []
    for name, rows in grouped(results, GROUPINGS["eval_type"]).items():
        found.append({"summary_type": f"eval_type:{name}", **_averages(rows)})
    return [*found, {"summary_type": "overall_avg", **_averages(results)}]


def upstream_summary(results: Sequence[Result], folder: Path) -> dict[str, Any]:
    """A summary in the fields of upstream's `summary.json`."""
    by: dict[str, Any] = {}
    for ours, theirs in (
        ("eval_type", "by_eval_type"),
        ("category", "by_category"),
        ("difficulty", "by_difficulty"),
    ):
        by[theirs] = {name: _subset(rows) for name, rows in grouped(results, GROUPINGS[ours]).items()}
    missing = [r.id for r in results if not any(x.picture for x in r.rollouts)]
    return {
        "eval_json": "results_eval.json",
        "total_cases": len(results),
        "all": _subset(results),
        **by,
        "missing_case_ids": missing,
        "failed_case_ids": [r.id for r in results if r.state != "scored" and r.id not in set(missing)],
    }


def _averages(results: Sequence[Result]) -> dict[str, Any]:
    means: dict[str, float] = {}
    scored = [r for r in results if r.state == "scored"]
    for name in DIMENSIONS:
        values = [v for r in scored if (v := r.dimension(name)) is not None]
        empty = NEUTRAL_TEXT if name == "text_accuracy" else 0.0
        means[name] = round(sum(values) / len(values), 4) if values else empty
    weights = {"faithfulness": 0.1, "visual_correctness": 0.4, "text_accuracy": 0.4, "aesthetics": 0.1}
    overall = round(sum(weights[n] * means[n] for n in DIMENSIONS), 4)
    return {"avg_scores": {**means, "overall": overall}, "count": len(scored)}


def _subset(results: Sequence[Result]) -> dict[str, Any]:
    """Means over scored rows of what stands in `scores`; there a row without text has 0.5 for it."""
    scores = [s for r in results if (s := scores_of(r)) is not None]
    names = (*DIMENSIONS, "overall")
    count, total = len(scores), len(results)
    means = {n: round(sum(s[n] for s in scores) / count, 4) if count else 0.0 for n in names}
    return {
        **means,
        "count_eval_success": count,
        "denominator": total,
        "missing_or_failed": total - count,
        "overall_missing_zero": round(means["overall"] * count / total, 4) if total else 0.0,
    }


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, ensure_ascii=True, indent=2) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)
