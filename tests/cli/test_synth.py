"""`genevolve synth` and `genevolve run --policy`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from genevolve.cli.app import OK, SERVICE_FAILED, USAGE, WRONG_INPUT, run_command_line
from genevolve.programs.program import Program

FINISHED = """\
request "A stamp of the Tower of Buddhist Incense."

let towers = image_search("Tower of Buddhist Incense", top_k: 2)
# the first one is seen from the front
ref tower = towers[0] for "the eight-sided tower"
use skill text_rendering

prompt "A postage stamp with the tower from {tower}. Capitals at the top read \\"VELM\\"."
require text("VELM", at: "top")
render size: 256x256, seed: 1
"""
SKETCH = """\
request "A stamp of the Tower of Buddhist Incense."

let towers = image_search(?, top_k: 2)
ref tower = towers[?] for ?
use skill ?

prompt "A postage stamp with the tower from {tower}. Capitals at the top read \\"VELM\\"."
...
render size: 256x256, seed: 1
"""


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")
    (tmp_path / "finished.gprog").write_text(FINISHED)
    (tmp_path / "sketch.gprog").write_text(SKETCH)


POLICY = ["--policy", "scripted:finished.gprog"]


def test_a_sketch_is_filled_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synth", "sketch.gprog", "-o", "out/filled.gprog", "--trajectories", "out/all.jsonl", *POLICY]
    assert run_command_line(command) == OK
    assert (tmp_path / "out" / "filled.gprog").read_text() == FINISHED
    shown = capsys.readouterr().out
    assert "- use skill ?\n+ use skill text_rendering\n" in shown
    assert '+ require text("VELM", at: "top")\n' in shown
    assert "out/filled.gprog: 4 turns, 2 calls" in shown
    assert "\x1b" not in shown
    (line,) = (tmp_path / "out" / "all.jsonl").read_text().splitlines()
    assert json.loads(line)["program"] == FINISHED
    # What was filled runs without any policy.
    assert run_command_line(["run", "out/filled.gprog", "--no-record", "--out", "a.png"]) == OK


def test_without_a_file_the_program_goes_to_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["synth", "A stamp of the Tower of Buddhist Incense.", *POLICY]) == OK
    captured = capsys.readouterr()
    assert Program.parse(captured.out) == Program.parse(FINISHED)
    assert "- ...\n" in captured.err


def test_standard_input_is_a_sketch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SKETCH.encode())))
    assert run_command_line(["synth", "-", *POLICY]) == OK
    assert capsys.readouterr().out == FINISHED


def test_all_rollouts_are_kept_or_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synth", "sketch.gprog", "-o", "o.gprog", "--n", "3", "--seed", "7", *POLICY]
    assert run_command_line([*command, "--keep", "all"]) == OK
    assert sorted(p.name for p in tmp_path.glob("o*.gprog")) == ["o-7.gprog", "o-8.gprog", "o-9.gprog"]
    capsys.readouterr()
    assert run_command_line([*command, "--json"]) == OK
    data = json.loads(capsys.readouterr().out)
    assert [(r["seed"], r["outcome"], r["kept"], r["file"]) for r in data["rollouts"]] == [
        (7, "filled", True, "o.gprog"),
        (8, "filled", False, None),
        (9, "filled", False, None),
    ]
    assert data["rollouts"][0]["diff"]["schema"] == "genevolve.diff/1"
    assert data["rollouts"][0]["cost"]["turns"] == 4


def test_run_fills_and_renders_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "sketch.gprog", "--out", "stamp.png", *POLICY]) == OK
    captured = capsys.readouterr()
    assert "+ use skill text_rendering" in captured.err
    assert "prompt   A postage stamp with the tower from the first reference image" in captured.out
    assert (tmp_path / "stamp.png").is_file()
    (record,) = (tmp_path / "runs").iterdir()
    assert (record / "program.gprog").read_text() == FINISHED
    assert run_command_line(["extract", "stamp.png"]) == OK
    assert capsys.readouterr().out == FINISHED
    # A program without holes runs as ever, and the policy is not even opened.
    assert run_command_line(["run", "finished.gprog", "--no-record", "--policy", "scripted:none.gprog"]) == OK


def test_a_guide_is_text_or_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "guide.txt").write_text("Quote every word.\n## Tools\n")
    bundle = {"bundle": {"decision_guidance": {"focus": ["Quote every word."]}}}
    (tmp_path / "guide.json").write_text(json.dumps(bundle))
    for guide in ("guide.txt", "guide.json"):
        command = ["synth", "sketch.gprog", "--guide", guide, "--trajectories", "t.jsonl", *POLICY]
        assert run_command_line(command) == OK
        system = json.loads((tmp_path / "t.jsonl").read_text())["messages"][0]["text"]
        assert "## Current-Task Decision Guide" in system
        assert "Quote every word." in system


def test_the_policy_may_come_from_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "genevolve.toml").write_text('[policy]\npolicy = "scripted:finished.gprog"\n')
    assert run_command_line(["synth", "sketch.gprog"]) == OK
    assert capsys.readouterr().out == FINISHED


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["sketch.gprog"], USAGE, "who fills the holes?"),
        (["sketch.gprog", "--policy", "scriptd:x"], USAGE, "did you mean 'scripted'"),
        (["missing.gprog", *POLICY], WRONG_INPUT, "there is no program missing.gprog"),
        (["  ", *POLICY], WRONG_INPUT, "the request is empty"),
        (["sketch.gprog", "-o", "a.txt", *POLICY], WRONG_INPUT, "must end in .gprog"),
        (["sketch.gprog", "--trajectories", "a.txt", *POLICY], WRONG_INPUT, "must end in .jsonl"),
        (["sketch.gprog", "--guide", "no.txt", *POLICY], WRONG_INPUT, "no.txt: cannot be read"),
        (["sketch.gprog", "--guide", "finished.json", *POLICY], WRONG_INPUT, "is not JSON"),
        (["sketch.gprog", "--set", "a=1", *POLICY], WRONG_INPUT, "GP319"),
        (["wrong.gprog", *POLICY], WRONG_INPUT, "GP202"),
        (["sketch.gprog", "--n", "0", *POLICY], USAGE, "from 1 to 10,000"),
        (["sketch.gprog", "--n", "many", *POLICY], USAGE, "must be a whole number"),
        (["sketch.gprog", "--temperature", "warm", *POLICY], USAGE, "must be a number from 0"),
        (["sketch.gprog", "--top-p", "nan", *POLICY], USAGE, "above 0 and at most 1"),
        (
            ["a \udcff kite", *POLICY],
            WRONG_INPUT,
            "this request cannot stand in a program: half of a surrogate",
        ),
        (["sketch.gprog", "-o", "./sketch.gprog", *POLICY], WRONG_INPUT, "this is the sketch itself"),
        (
            ["sketch.gprog", "--max-turns", "2", *POLICY],
            WRONG_INPUT,
            "4 statements of the sketch are to be filled",
        ),
        (["sketch.gprog", "--top-p", "2", *POLICY], USAGE, "at most 1"),
        (["failing.gprog", *POLICY], WRONG_INPUT, "program failed"),
        (
            ["sketch.gprog", "--policy", "scripted:silent.jsonl"],
            SERVICE_FAILED,
            "seed 0: garbage: no statement",
        ),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "finished.json").write_text("{")
    (tmp_path / "wrong.gprog").write_text('request "a"\nlet x = serach("b")\n...\n')
    (tmp_path / "failing.gprog").write_text('request "a"\nref x = image("no.png") for "b"\n...\n')
    (tmp_path / "silent.jsonl").write_text("")
    assert run_command_line(["synth", *arguments]) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""
    assert (tmp_path / "sketch.gprog").read_text() == SKETCH


def test_a_sketch_that_is_not_filled_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "silent.jsonl").write_text("")
    assert run_command_line(["run", "sketch.gprog", "--policy", "scripted:silent.jsonl"]) == SERVICE_FAILED
    assert "genevolve: garbage: no statement" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_what_was_refused_last_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turn = json.dumps('let towers = image_search("a\\u{1b}tower", top_k: 9)\n')
    (tmp_path / "wrong.jsonl").write_text(f"{turn}\n")
    for command in ("synth", "run"):
        assert (
            run_command_line([command, "sketch.gprog", "--policy", "scripted:wrong.jsonl"]) == SERVICE_FAILED
        )
        told = capsys.readouterr().err
        assert "garbage: no statement in 3 turns in a row\n  Nothing was written" in told
    repeating = tmp_path / "repeating.jsonl"
    repeating.write_text(f"{turn}\n" * 3)
    assert run_command_line(["synth", "sketch.gprog", "--policy", f"scripted:{repeating}", "--json"]) == 3
    (outcome,) = json.loads(capsys.readouterr().out)["rollouts"]
    assert "the author wrote 'top_k: 2', and here stands 'top_k: 9'" in outcome["refused"]


def test_paths_that_a_program_in_another_folder_looks_for_elsewhere_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "logo.png")
    (tmp_path / "own.gprog").write_text('request "a"\nref logo = image("logo.png") for "b"\n...\n')
    (tmp_path / "last.jsonl").write_text(json.dumps('prompt "Like {logo}."\n'))
    command = ["synth", "own.gprog", "--policy", "scripted:last.jsonl"]
    assert run_command_line([*command, "-o", "out/filled.gprog"]) == OK
    assert "note: the paths logo.png start from" in capsys.readouterr().err
    assert run_command_line([*command, "-o", "filled.gprog"]) == OK
    assert capsys.readouterr().err == ""
    assert run_command_line(["run", "filled.gprog", "--no-render"]) == OK


def test_a_sketch_without_a_policy_is_told_who_fills_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "sketch.gprog"]) == WRONG_INPUT
    told = capsys.readouterr().err
    assert "--policy SPEC" in told
    assert "GP601" in told


def test_a_batch_takes_no_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "sketch.gprog", "finished.gprog", *POLICY]) == WRONG_INPUT
    assert "genevolve synth" in capsys.readouterr().err
