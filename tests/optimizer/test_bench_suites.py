"""Suites: what is read of worlds and files, and what hostile rows are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.optimizer.evaluation.suites import Suite, open_suite, problems


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    folder = tmp_path / "bench"
    (folder / "gt").mkdir(parents=True)
    Image.new("RGB", (8, 8), "blue").save(folder / "gt" / "a.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "secret.png")
    return folder


def write(folder: Path, rows: list[object], name: str = "GenEvolve-Bench.jsonl") -> Suite:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n")
    return open_suite(f"genevolve-bench:{folder}")


def test_a_studio_split_with_its_truths(small_world: Path) -> None:
    suite = open_suite(f"studio:{small_world}")
    assert (suite.kind, len(suite.rows)) == ("studio", 8)
    assert suite.libraries == (small_world / "library",)
    assert not list(problems(suite))
    row = suite.rows[0]
    assert row.track in ("knowledge", "quality")
    assert row.skills
    assert len(row.constraints) == len(row.constraint_skills) > 0
    assert suite.truth_path(row) == (small_world / row.truth).resolve()
    # A truth that is not drawn yet is drawn when it is asked for.
    train = open_suite(f"studio:{small_world}/train")
    path = train.truth_path(train.rows[0])
    assert path is not None
    assert path.is_file()
    assert suite.limited(3).digest != suite.digest


@pytest.mark.parametrize(
    ("row", "track", "truth"),
    [
        (
            {"id": 7, "question": " Q ", "gt_image": "gt/a.png", "eval_type": "knowledge_anchored"},
            "knowledge",
            "gt/a.png",
        ),
        (
            {"id": "x", "prompt": "Q", "gt_image": "./gt/../gt/a.png", "eval_type": "Quality"},
            "quality",
            "gt/a.png",
        ),
        (
            {"id": "x", "prompt": "Q", "meta": {"ground_truth": "gt/a.png", "tier": "hard"}},
            "hard",
            "gt/a.png",
        ),
        ({"prompt": "Q"}, "", ""),
    ],
)
def test_variants_of_the_public_rows(bench: Path, row: object, track: str, truth: str) -> None:
    suite = write(bench, [row])
    found = suite.rows[0]
    assert (found.request, found.track, found.truth, found.problem) == ("Q", track, truth, "")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 1, "prompt": "Q", "gt_image": "../secret.png"}, "outside the folders"),
        ({"id": 1, "prompt": "Q", "gt_image": "/etc/passwd"}, "outside the folders"),
        ({"id": 1, "prompt": "Q", "gt_image": "gt/link.png"}, "outside the folders"),
        ({"id": 1, "prompt": "Q", "gt_image": "gt/none.png"}, "there is no file"),
        ({"id": 1, "prompt": "Q", "gt_image": "https://example.org/a.png"}, "is a URL"),
        ({"id": 1, "prompt": "Q", "gt_image": "gt/a\0.png"}, "no file name"),
        ({"id": True, "prompt": "Q"}, "neither a text nor a whole number"),
        ({"id": 1, "prompt": "  "}, "no 'question' or 'prompt'"),
        ({"id": 1, "prompt": "Q" * 30_000}, "longer than"),
        ({"id": 1, "prompt": "Q", "constraints": [{"kind": "count"}]}, "kind and arguments"),
        ("[1, 2]", "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_a_hostile_row_is_told_and_kept(bench: Path, row: object, said: str) -> None:
    (bench / "gt" / "link.png").symlink_to(bench.parent / "secret.png")
    suite = write(bench, [{"id": "good", "prompt": "Q"}, row])
    (found,) = problems(suite)
    assert said in found[1]
    assert len(suite.rows) == 2
    assert suite.rows[1].truth == ""


def test_an_id_that_stands_twice(bench: Path) -> None:
    suite = write(bench, [{"id": "a", "prompt": "Q"}, {"id": "a", "prompt": "R"}])
    assert [r.id for r in suite.rows] == ["a", "a#2"]
    assert "row 1" in suite.rows[1].problem


def test_which_file_of_a_folder_counts(bench: Path) -> None:
    with pytest.raises(AuthorError, match="found: none"):
        open_suite(f"genevolve-bench:{bench}")
    (bench / "notes.json").write_text("[]")
    assert len(write(bench, [{"id": "a", "prompt": "Q"}]).rows) == 1
    (bench / "bench2.jsonl").write_text("")
    with pytest.raises(AuthorError, match="should hold one"):
        open_suite(f"genevolve-bench:{bench}")


def test_wise_prompts(tmp_path: Path) -> None:
    entry = {"prompt_id": 3, "Prompt": "P", "Explanation": "E", "Category": "C", "Subcategory": "S"}
    (tmp_path / "w.json").write_text(json.dumps([entry]))
    suite = open_suite(f"wise:{tmp_path / 'w.json'}")
    row = suite.rows[0]
    assert (row.id, row.request, row.category, row.eval_type) == ("3", "P", "S", "C")


@pytest.mark.parametrize("spec", ["studio", "studio:", "other:x", "rows.csv"])
def test_specs_that_name_nothing(spec: str) -> None:
    with pytest.raises(ConfigurationError):
        open_suite(spec)


@pytest.mark.parametrize("spec", ["studio:/nowhere", "genevolve-bench:/nowhere", "none.jsonl"])
def test_suites_that_are_not_there(spec: str) -> None:
    with pytest.raises(AuthorError):
        open_suite(spec)


def test_halves_of_characters(bench: Path) -> None:
    suite = write(bench, ['{"id": "a", "prompt": "\\ud800 cup"}', '{"id": "\\ud800", "prompt": "cup"}'])
    assert [why for _, why in problems(suite)] == [
        "the row holds half of a character (an unpaired surrogate)"
    ] * 2


def test_other_constraints_are_another_suite(bench: Path) -> None:
    def digest(n: int) -> str:
        count = {"kind": "count", "arguments": {"what": "cup", "operator": "==", "n": n}}
        return write(bench, [{"id": "a", "prompt": "cups", "constraints": [count]}]).digest

    assert digest(2) != digest(3)
    assert digest(2) == digest(2)
