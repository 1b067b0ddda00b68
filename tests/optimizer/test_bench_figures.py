"""Intervals, summaries, upstream's files and comparisons, on results written by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from bench_folders import FAILED, UNSCORED, row, scored, write_folder

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.evaluation.compare import compare
from genevolve.optimizer.evaluation.folder import open_bench, write_figures
from genevolve.optimizer.evaluation.statistics import NONE, bootstrap, chance_above

NO_TEXT = {"faithfulness": 1.0, "visual_correctness": 0.5, "text_accuracy": None, "aesthetics": 1.0}
TEXT = {"faithfulness": 1.0, "visual_correctness": 0.5, "text_accuracy": 1.0, "aesthetics": 0.0}
PAPER = round((0.1 + 0.2 + 0.1) / 0.6, 6)


def test_an_interval_has_the_width_that_theory_says() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    found = bootstrap(values, seed=3)
    assert found.mean == pytest.approx(values.mean(), abs=1e-6)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    assert bootstrap(values, seed=3) == found
    assert bootstrap(values, seed=4) != found


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(300):
        found = bootstrap(rng.random(60), seed=trial, samples=400)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
    assert 0.90 <= held / 300 <= 0.985


def test_intervals_of_little() -> None:
    assert bootstrap([]) == NONE
    assert str(NONE) == "-"
    one = bootstrap([0.25])
    assert (one.low, one.mean, one.high, one.n) == (0.25, 0.25, 0.25, 1)
    with pytest.raises(ValueError, match="finite"):
        bootstrap([0.1, float("nan")])
    assert chance_above([]) is None
    assert chance_above([1.0, 1.0]) == 1.0
    assert chance_above([0.0, 0.0]) == 0.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        (row(0), [scored(PAPER, NO_TEXT, picture="images/x.png")]),
        (row(1), [scored(0.7, TEXT)]),
        (row(2), [FAILED]),
        (row(3, category="=cmd()", skills=()), [UNSCORED]),
    ]
    return write_folder(tmp_path / "a", rows)


def test_failures_count_zero_in_one_reading_only_and_unscored_rows_in_none(folder: Path) -> None:
    summary = write_figures(folder)
    overall = summary["overall"]
    assert [overall[k] for k in ("rows", "scored", "failed", "unscored")] == [4, 2, 1, 1]
    assert overall["score"]["mean"] == pytest.approx((PAPER + 0.7) / 2, abs=1e-6)
    assert overall["score"]["n"] == 2
    assert overall["missing_as_zero"]["mean"] == pytest.approx((PAPER + 0.7) / 3, abs=1e-6)
    assert overall["missing_as_zero"]["n"] == 3
    assert overall["dimensions"]["text_accuracy"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 1}
    assert set(summary["by"]) == {"track", "category", "difficulty", "skill"}
    assert summary["by"]["skill"]["quantity_counting"]["rows"] == 3
    # Constraints: two pictures (one holds at less than all of it), one missing picture.
    assert summary["constraints"]["quantity_counting"]["n"] == 3
    assert [r["reason"] for r in summary["reasons"]] == [FAILED.reason, UNSCORED.reason]


def test_the_other_formula_is_computed_from_the_dimensions(folder: Path) -> None:
    first = open_bench(folder, "release").results[0]
    assert first.score == pytest.approx(0.1 + 0.2 + 0.4 * 0.5 + 0.1)
    assert open_bench(folder).results[0].score == PAPER


def test_files_that_upstream_reads(folder: Path) -> None:
    write_figures(folder)
    rows = json.loads((folder / "results_eval.json").read_text())
    per_row, summaries = rows[:4], rows[4:]
    assert per_row[0]["scores"] == {
        "rationale": "It was looked at.",
        "faithfulness": 1.0,
        "visual_correctness": 0.5,
        "text_accuracy": 0.5,
        "aesthetics": 1.0,
        "text_accuracy_na": True,
        "overall": PAPER,
    }
    assert (per_row[0]["output_path"], per_row[0]["eval_success"]) == ("images/x.png", True)
    assert (per_row[2]["scores"], per_row[2]["eval_success"], per_row[3]["scores"]) == (None, False, None)
    assert [s["summary_type"] for s in summaries] == ["eval_type:studio", "overall_avg"]
    means = summaries[1]["avg_scores"]
    assert (means["text_accuracy"], means["aesthetics"], summaries[1]["count"]) == (1.0, 0.5, 2)
    assert means["overall"] == pytest.approx(0.1 + 0.2 + 0.4 + 0.05)
    summary = json.loads((folder / "upstream.json").read_text())
    assert summary["all"]["missing_or_failed"] == 2
    assert summary["failed_case_ids"] == ["q3"]
    assert summary["missing_case_ids"] == ["q1", "q2"]


def test_no_cell_of_the_table_is_a_formula(folder: Path) -> None:
    write_figures(folder)
    lines = list(csv.reader((folder / "summary.csv").read_text().splitlines()))
    assert "'=cmd()" in [line[1] for line in lines]
    assert not any(cell.startswith("=") for line in lines for cell in line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "no record of a bench"),
        ('{"id": 1}', "no record of a bench"),
        (
            '{"id": 1, "prompt": "x", "rollouts": [{"seed": 0, "state": "scored", "score": 7, "dimensions": {}}]}',
            "0 to 1",
        ),
        (
            '{"id": 1, "prompt": "x", "rollouts": [{"seed": 0, "state": "fine", "dimensions": {}}]}',
            "scored, failed",
        ),
    ],
)
def test_damaged_results_are_told(folder: Path, line: str, said: str) -> None:
    (folder / "output.jsonl").write_text(line + "\n")
    with pytest.raises(AuthorError, match=said):
        open_bench(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"suite": 3}', "{"])
def test_folders_that_are_no_bench(folder: Path, text: str) -> None:
    (folder / "batch.json").write_text(text)
    with pytest.raises(AuthorError):
        open_bench(folder)
    (folder / "batch.json").unlink()
    with pytest.raises(AuthorError, match="no results of a bench"):
        open_bench(folder)


# ---- comparisons -------------------------------------------------------------------------------------


def test_differences_are_paired(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.random(60) * 0.8
    a = write_folder(tmp_path / "a", [(row(i), [scored(round(v, 3), {})]) for i, v in enumerate(base)])
    b = write_folder(tmp_path / "b", [(row(i), [scored(round(v + 0.1, 3), {})]) for i, v in enumerate(base)])
    found = compare(open_bench(a), open_bench(b))["overall"]["score"]
    # Rows differ a lot, their differences not at all: only a paired interval is this narrow.
    assert found["difference"]["low"] == pytest.approx(0.1, abs=2e-3)
    assert found["difference"]["high"] == pytest.approx(0.1, abs=2e-3)
    assert found["chance_b_above_a"] == 1.0
    same = compare(open_bench(a), open_bench(a))
    assert same["overall"]["score"]["difference"]["mean"] == 0.0
    assert same["changed"] == []


def test_the_rows_that_changed_most(tmp_path: Path) -> None:
    a = write_folder(tmp_path / "a", [(row(0), [scored(0.2, {})]), (row(1), [FAILED]), (row(2), [UNSCORED])])
    b = write_folder(
        tmp_path / "b",
        [(row(0), [scored(0.9, {})]), (row(1), [scored(1.0, {})]), (row(2), [scored(1.0, {})])],
    )
    found = compare(open_bench(a), open_bench(b))
    assert [(r["id"], r["difference"]) for r in found["changed"]] == [("q1", 1.0), ("q0", 0.7)]
    assert found["overall"]["score"]["difference"]["n"] == 1
    assert found["overall"]["missing_as_zero"]["difference"]["n"] == 2


@pytest.mark.parametrize(
    ("changes", "said"), [({"digest": "e"}, "different suites"), ({"judge": "k"}, "judge")]
)
def test_what_cannot_be_compared(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    a = write_folder(tmp_path / "a", [(row(0), [scored(0.2)])])
    b = write_folder(tmp_path / "b", [(row(0), [scored(0.2)])], **changes)
    with pytest.raises(AuthorError, match=said):
        compare(open_bench(a), open_bench(b))
