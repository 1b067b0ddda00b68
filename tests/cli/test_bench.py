"""`genevolve bench` and `genevolve data`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genevolve.cli.app import OK, USAGE, WRONG_INPUT, run_command_line

ROWS = [
    {"id": "a", "prompt": "A red kite over the sea.", "category": "kites\x1b[31m"},
    {"id": "b", "question": "A blue boat on a lake.", "category": "boats"},
    {"id": "c", "prompt": "A bell.", "gt_image": "../../etc/passwd"},
]
RECIPE = {"family": "poster", "anchor": "a bell", "dominant": "text_rendering"}


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "recipes.jsonl").write_text(json.dumps(RECIPE) + "\n")


BENCH = ["bench", "rows.jsonl", "--judge", "sufficiency", "--renderer", "storyboard", "--parallel", "1"]


def test_a_bench_from_beginning_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([*BENCH, "--policy", "bare", "--out", "a"]) == OK
    shown = capsys.readouterr()
    assert "3 rows: 2 scored, 1 failed, 0 unscored" in shown.out
    assert "outside the folders" in shown.err
    assert "\x1b" not in shown.out
    assert len(list(Path("a/images").glob("*.png"))) == 2
    assert run_command_line([*BENCH, "--policy", "bare", "--out", "a"]) == WRONG_INPUT
    assert "--resume" in capsys.readouterr().err
    assert run_command_line([*BENCH, "--policy", "constant", "--out", "b", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["overall"]["scored"] == 2
    assert run_command_line(["bench", "compare", "a", "b", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["rows"] == 3
    assert run_command_line(["bench", "compare", "a", "b"]) == OK
    assert "A bare" in capsys.readouterr().out
    assert run_command_line(["bench", "show", "a", "--scoring", "release"]) == OK
    assert "formula release" in capsys.readouterr().out
    assert run_command_line(["bench", "report", "a", "b", "-o", "page/report.html"]) == OK
    assert Path("page/report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["bench", "rows.jsonl", "--policy", "bare", "--out", "a"], USAGE, "who judges"),
        ([*BENCH, "--policy", "bare"], USAGE, "--out DIR"),
        ([*BENCH, "--policy", "nobody", "--out", "a"], USAGE, "no policy 'nobody'"),
        ([*BENCH[:2], "--judge", "nobody", "--policy", "bare", "--out", "a"], USAGE, "no judge 'nobody'"),
        (["bench", "no.jsonl", "--policy", "bare", "--out", "a"], WRONG_INPUT, "no file of rows"),
        (["bench", "studio:none", "--policy", "bare", "--out", "a"], WRONG_INPUT, "studio make"),
        (["bench", "compare", "a"], USAGE, "two results folders"),
        (["bench", "compare", "a", "b"], WRONG_INPUT, "no results of a bench"),
        (["bench", "report", "a"], USAGE, "-o report.html"),
        (["bench", "report", "a", "-o", "x.txt"], WRONG_INPUT, ".html"),
        (["bench", "rows.jsonl", "more"], USAGE, "one suite"),
        (["data", "stats", "none"], WRONG_INPUT, "no data set"),
        (["data", "requests", "d"], USAGE, "--studio"),
        (["data", "requests", "d", "--recipes", "recipes.jsonl", "--writer", "x"], USAGE, "endpoint:MODEL"),
        (["data", "requests", "d", "--studio", "none"], WRONG_INPUT, "no studio world"),
    ],
)
def test_what_is_wrong_is_told(
    command: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(command) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "internal error" not in shown


def test_a_bench_of_nothing_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[2]) + "\n")
    assert run_command_line([*BENCH, "--policy", "bare", "--out", "a"]) == WRONG_INPUT
    assert "0 scored, 1 failed" in capsys.readouterr().out


def test_data_from_recipes_to_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run_command_line(["data", "requests", "d", "--recipes", "recipes.jsonl", "--per-recipe", "3"]) == OK
    )
    assert run_command_line(["data", "trajectories", "d", "--policy", "bare"]) == OK
    assert run_command_line(["data", "filter", "d", "--least", "nothing=1"]) == WRONG_INPUT
    assert run_command_line(["data", "filter", "d", "--json"]) == OK
    shown = capsys.readouterr()
    assert "there is no dimension 'nothing'" in shown.err
    found = json.loads(shown.out[shown.out.index("{") :])
    assert found["yields"]["trajectories"] == 3
    assert run_command_line(["data", "export", "d", "--format", "hf", "--out", "e"]) == WRONG_INPUT
    assert "no splits yet" in capsys.readouterr().err
    everything = ["--share", "train=1", "--share", "validation=0", "--share", "heldout=0"]
    assert run_command_line(["data", "split", "d", *everything]) == OK
    assert "train | heldout: 0 equal, 0 nearly the same" in capsys.readouterr().out
    assert run_command_line(["data", "stats", "d", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["splits"]["sizes"]["train"] == 3
    assert run_command_line(["data", "export", "d", "--format", "hf", "--out", "e"]) == OK
    assert [p.name for p in Path("e/data").iterdir()] == ["train-00000.parquet"]


def test_a_teacher_that_knows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["data", "requests", "d", "--recipes", "recipes.jsonl"]) == OK
    assert run_command_line(["data", "trajectories", "d", "--policy", "oracle:none"]) == USAGE
    assert "no studio world in none" in capsys.readouterr().err
