"""The page on synthesis and its example do what they say."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from genevolve.grammar.diagnostics import Severity
from genevolve.programs.policies.catalog import policy_names
from genevolve.programs.policies.scripted import RecordedProgram
from genevolve.programs.program import Program
from genevolve.programs.synthesis.rollout import Bounds, Outcome

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "synthesis.md").read_text(encoding="utf-8")


def fences(info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")


def test_the_sketch_checks_and_is_filled_as_shown() -> None:
    (sketch,) = fences("gprog holes")
    program = Program.parse(sketch)
    assert [d for d in program.check().diagnostics if d.severity is not Severity.HINT] == []
    (shown,) = fences("text")
    lines = shown.splitlines()
    before = [line[2:] for line in lines if not line.startswith("+")]
    after = [line[2:] for line in lines if not line.startswith("-")]
    assert "\n".join(before) + "\n" == sketch
    finished = Program.parse("\n".join(after) + "\n")
    (rollout,) = program.fill(RecordedProgram(finished))
    assert rollout.program is not None
    from genevolve.programs.synthesis.showing import filled_text

    assert filled_text(rollout) == shown


def test_the_python_example_prints_what_it_says() -> None:
    (code,), (output,) = fences("python"), fences("output")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/synthesis.md", "exec"), {})
    assert printed.getvalue() == output


def test_the_tables_are_complete() -> None:
    for outcome in Outcome:
        assert f"`{outcome.value}`" in PAGE
    for name in ("smollm2", "local", "endpoint", "released", "scripted"):
        assert name in policy_names()
        assert f"| `{name}" in PAGE
    bounds = Bounds()
    assert f"{bounds.turns} turns, {bounds.calls} tool calls" in PAGE
    assert f"{bounds.turn.max_tokens:,} tokens a\nturn, {bounds.tokens:,} tokens" in PAGE


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthesis_example", ROOT / "examples" / "synthesis.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_example_runs_offline(capsys: pytest.CaptureFixture[str]) -> None:
    module = example()
    assert module.main(RecordedProgram(module.FINISHED)) == [Outcome.FILLED] * 2
    printed = capsys.readouterr().out
    assert "+ use skill text_rendering" in printed
    assert 'capitals reads "ROME"' in printed
