"""`genevolve report`, as a person types it."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from genevolve.cli.app import OK, SERVICE_FAILED, USAGE, WRONG_INPUT, run_command_line


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with two steps and a damaged line."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "compile.json").write_text('{"policy": {"name": "mini\\u001b[31m"}}')
    (folder / "state.json").write_text('{"phase": "evolving", "step": 2, "steps": 9, "best": null}')
    steps = [{"step": n, "seconds": 2.0, "figures": {"reward/mean": 0.2 * n}} for n in (1, 2)]
    (folder / "steps.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps) + '{"step": 3, "fig')
    (folder / "groups.jsonl").write_text("")
    return folder


def test_a_page_beside_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["report", "run"]) == OK
    shown = capsys.readouterr()
    assert "run/report.html: 0.0 MB" in shown.out
    assert "steps.jsonl: the last line is cut off" in shown.err
    page = (run / "report.html").read_text()
    assert "The run is evolving</span> at step 2 of 9" in page
    assert "\x1b" not in page


def test_a_page_elsewhere_as_data(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["report", "run", "-o", "new/page.html", "--json"]) == OK
    data = json.loads(capsys.readouterr().out)
    assert data["report"] == "new/page.html"
    assert data["bytes"] == Path("new/page.html").stat().st_size
    assert (data["kind"], data["phase"], data["steps"], data["best"]) == ("compile", "evolving", 2, None)
    assert data["notes"] == ["steps.jsonl: the last line is cut off, and left out"]
    assert not (run / "report.html").exists()


def test_a_browser_is_asked_for(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    assert run_command_line(["report", "run", "--open"]) == OK
    assert opened == [(run / "report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert run_command_line(["report", "run", "--open"]) == SERVICE_FAILED
    assert "no browser could be opened" in capsys.readouterr().err
    assert (run / "report.html").exists()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["report"], USAGE, "DIR"),
        (["report", "none"], WRONG_INPUT, "none: there is no such folder"),
        (["report", "."], WRONG_INPUT, "compile.json"),
        (["report", "a\x1b[31m"], WRONG_INPUT, "no such folder"),
        (["report", "run/compile.json"], WRONG_INPUT, "no such folder"),
        (["report", "run", "-o", "page.txt"], WRONG_INPUT, ".html"),
        (["report", "run", "-o", "run/steps.jsonl/page.html"], SERVICE_FAILED, "cannot be made"),
    ],
)
def test_what_is_wrong_is_told(
    command: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(command) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "internal error" not in shown
    assert "\x1b" not in shown
