"""`genevolve run` for batches: what it says, how it ends, and that it stops when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import FaultyServer, Reply, json_reply

from genevolve.cli.app import INTERRUPTED, OK, SERVICE_FAILED, USAGE, WRONG_INPUT, run_command_line

TEMPLATE = """\
program card(question: text, size: size = 64x64)
request "{question}"
prompt "A card on cream paper: {question}"
render size: size, seed: 1
"""
SEARCHING = """\
program card(question: text)
request "{question}"
let facts = search(question, top_k: 2)
prompt "A card on cream paper: {question}"
render size: 64x64
"""


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")
    for name in ("SERPER_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "card.gprog").write_text(TEMPLATE)
    (tmp_path / "search.gprog").write_text(SEARCHING)
    rows(4)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        monkeypatch.setenv("SERPER_API_KEY", "key-of-the-service-1")
        monkeypatch.setenv("SERPER_BASE_URL", server.url())
        monkeypatch.setenv("GENEVOLVE_SEARCH_BACKENDS", "serper")
        monkeypatch.setenv("GENEVOLVE_MACHINE_RETRIES", "0")
        yield server


def rows(number: int, *more: str) -> Path:
    path = Path("rows.jsonl")
    lines = [json.dumps({"id": f"row{i}", "question": f"Card {i}."}) for i in range(number)]
    path.write_text("".join(f"{line}\n" for line in (*lines, *more)))
    return path


def batch(*arguments: str, program: str = "card.gprog", out: str = "out") -> int:
    return run_command_line(["run", "--input", "rows.jsonl", program, "--out", out, *arguments])


def results(out: str = "out") -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(out, "output.jsonl").read_text().splitlines()]


def test_all_rows_done_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert batch("--set", "size=96x64") == OK
    captured = capsys.readouterr()
    assert "4 of 4 rows done" in captured.out
    assert str(Path("out", "output.jsonl")) in captured.out
    assert [r["settings"] for r in results()] == [
        {"width": 96, "height": 64, "steps": None, "guidance": None, "seed": 1}
    ] * 4
    assert not Path("runs").exists()
    assert run_command_line(["extract", "out/images/row0.png"]) == OK
    assert capsys.readouterr().out == TEMPLATE


def test_a_bad_row_is_1_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    rows(2, '{"id": "\\u001b[2J"}', "{")
    assert batch("--json") == WRONG_INPUT
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert (data["rows"], data["done"], data["failed"]) == (4, 2, {"input": 2, "service": 0})
    assert "rows.jsonl:3: row-question" in captured.err
    assert "rows.jsonl:4: row-json" in captured.err
    assert "\x1b" not in captured.err


def test_a_failing_service_is_3_and_resuming_repairs_it(
    web: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows(2, "{")
    web.on("/search", Reply(403, b"no"))
    assert batch(program="search.gprog") == SERVICE_FAILED
    assert "GP520" in capsys.readouterr().err
    web.on("/search", json_reply({"organic": []}))
    assert batch("--resume", program="search.gprog") == WRONG_INPUT
    assert [r["success"] for r in results()] == [True, True, False]
    assert batch("--resume", program="search.gprog") == WRONG_INPUT
    assert web.count("/search") == 4
    assert "key-of-the-service-1" not in "".join(p.read_text() for p in Path("out").glob("*.json*"))


@pytest.mark.parametrize(
    ("arguments", "program", "code", "says"),
    [
        (["--config", "none.toml"], "card.gprog", USAGE, "none.toml"),
        (["--renderer", "gemini"], "card.gprog", USAGE, "API_KEY"),
        (["--renderer", "nothing"], "card.gprog", USAGE, "nothing"),
        (["--max-cost", "1"], "card.gprog", USAGE, "prices"),
        (["--max-cost", "-1"], "card.gprog", USAGE, "amount"),
        (["--parallel", "0"], "card.gprog", USAGE, "above zero"),
        (["--limit", "x"], "card.gprog", USAGE, "above zero"),
        (["--dry-run"], "card.gprog", WRONG_INPUT, "--dry-run"),
        (["--set", "colour=red"], "card.gprog", WRONG_INPUT, "colour"),
        ([], "none.gprog", WRONG_INPUT, "none.gprog"),
        ([], "hole.gprog", WRONG_INPUT, "GP601"),
        ([], "broken.gprog", WRONG_INPUT, "GP"),
        ([], "plain.gprog", WRONG_INPUT, "no parameters"),
    ],
)
def test_what_is_wrong_with_the_call_is_told_before_anything_is_written(
    arguments: list[str], program: str, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("hole.gprog").write_text('program c(question: text)\nrequest "{question}"\nprompt ?\n')
    Path("broken.gprog").write_text('program c(question: text)\nrequest "{question}"\nprompt "{q}"\n')
    Path("plain.gprog").write_text('request "x"\nprompt "x"\n')
    assert batch(*arguments, program=program) == code
    assert says in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_missing_key_of_a_search_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENEVOLVE_SEARCH_BACKENDS", "serper")
    assert batch(program="search.gprog") == USAGE
    assert "SERPER_API_KEY" in capsys.readouterr().err
    assert not Path("out").exists()


def test_input_and_output_must_be_what_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "--input", "rows.jsonl", "card.gprog"]) == WRONG_INPUT
    assert "--out FOLDER" in capsys.readouterr().err
    assert run_command_line(["run", "--input", "none.jsonl", "card.gprog", "--out", "out"]) == WRONG_INPUT
    assert "none.jsonl" in capsys.readouterr().err
    both = ["run", "--input", "rows.jsonl", "card.gprog", "search.gprog", "--out", "out"]
    assert run_command_line(both) == WRONG_INPUT
    assert batch() == OK
    assert batch() == WRONG_INPUT
    assert "--resume" in capsys.readouterr().err


def test_prices_bound_the_batch(
    web: FaultyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    web.on("/search", json_reply({"organic": []}))
    monkeypatch.setenv("GENEVOLVE_PRICES", "search=0.25,renderer=0.75")
    assert batch("--max-cost", "2.5", program="search.gprog") == WRONG_INPUT
    captured = capsys.readouterr()
    assert "2 rows are open" in captured.err
    assert "cost     2\n" in captured.out
    assert batch("--max-cost", "4", "--resume", "--json", program="search.gprog") == OK
    assert json.loads(capsys.readouterr().out)["cost"] == 4.0


def test_programs_and_folders_of_programs(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("many")
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.gprog").write_text(f'request "{name}"\nprompt "A {name}."\nrender size: 64x64\n')
    assert run_command_line(["run", "many/one.gprog", "many/two.gprog", "--out", "a"]) == OK
    assert run_command_line(["run", "many", "--out", "b", "--limit", "1"]) == OK
    assert [r["id"] for r in results("a")] == ["many/one.gprog", "many/two.gprog"]
    assert [r["prompt"] for r in results("b")] == ["one"]
    assert run_command_line(["run", "many", "nowhere.gprog", "--out", "c"]) == WRONG_INPUT
    assert "nowhere.gprog" in capsys.readouterr().err
    assert not Path("c").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_within_two_seconds_and_keeps_what_is_done(
    web: FaultyServer, number: signal.Signals
) -> None:
    rows(8)
    quick, slow = json_reply({"organic": []}), json_reply({"organic": []}, delay=30.0)
    web.on("/search", quick, quick, slow)
    process = _process()
    journal = Path("out", "results.jsonl")
    while not (journal.exists() and journal.read_bytes().count(b"\n") == 2 and web.count("/search") > 2):
        assert process.poll() is None
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(number)
    _, told = process.communicate(timeout=10)
    assert time.monotonic() - began < 2.0
    assert process.returncode == INTERRUPTED, told
    assert b"2 of 8 rows done, 6 open" in told
    assert b"Traceback" not in told
    web.on("/search", quick)
    assert batch("--resume", program="search.gprog") == OK
    assert [r["attempts"] for r in results()] == [1] * 8


def test_a_second_process_is_refused(web: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    web.on("/search", json_reply({"organic": []}, delay=30.0))
    process = _process()
    while not web.count("/search"):
        assert process.poll() is None
        time.sleep(0.02)
    assert batch("--resume", program="search.gprog") == WRONG_INPUT
    assert "another process" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


def _process() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "genevolve", "run", "--input", "rows.jsonl", "search.gprog"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        [*command, "--out", "out", "--parallel", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
