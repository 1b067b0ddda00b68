"""Tools of other packages, found by their entry points: real package metadata on the path of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genevolve.cli.app import OK, WRONG_INPUT, run_command_line
from genevolve.interpreter.tools import function_tool
from genevolve.interpreter.tools.installed import installed_tools

GOOD = """
import genevolve

@genevolve.tool
def tide(harbour: str) -> str:
    "The time of the next high tide."
    return {"Dover": "11:43"}.get(harbour, "unknown")
"""
PROGRAM = """\
request "A card with the time of high tide in Dover."
let time = tide("Dover")
prompt "A white card. Large black digits read \\"{time}\\"."
require text(time)
render size: 128x128
"""


class Packages:
    """Makes packages that are as good as installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def add(self, package: str, code: str, **points: str) -> None:
        """A package with one module of its name, and entry points."""
        (self.folder / f"{package}.py").write_text(code)
        self.modules.append(package)
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[genevolve.tools]\n{lines}")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(function_tool, "_declared", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")
    return Packages(folder)


def test_a_tool_of_a_package_is_there_for_programs(packages: Packages, tmp_path: Path) -> None:
    packages.add("tidal", GOOD, tide="tidal:tide")
    (tmp_path / "card.gprog").write_text(PROGRAM)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(packages.folder), *filter(None, sys.path)]),
    }
    for command in (["check", "card.gprog"], ["run", "card.gprog", "--no-record"]):
        done = subprocess.run(
            [sys.executable, "-m", "genevolve", *command],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == OK, done.stderr
    assert 'digits read "11:43"' in done.stdout


def test_it_is_one_tool_when_its_module_is_imported_too(packages: Packages) -> None:
    from genevolve.programs.session import open_environment, open_machine

    packages.add("tidal_again", GOOD, tide="tidal_again:tide")
    __import__("tidal_again")
    assert "tide" in open_environment().signatures
    with open_machine() as machine:
        assert "tide" in machine.tools


@pytest.mark.parametrize(
    ("code", "target", "why"),
    [
        ("import nothing_like_it", "broken:tide", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("tides = 1", "broken:tide", "AttributeError"),
        ("raise RuntimeError('password')", "broken:tide", "fails with RuntimeError"),
        ("raise SystemExit(3)", "broken:tide", "fails with SystemExit"),
        ("def tide(harbour: str) -> str: return ''", "broken:tide", "is '@genevolve.tool' missing?"),
        ("", "broken", "is no tool"),
        (GOOD.replace("def tide", "def ebb"), "broken:ebb", "calls itself 'ebb'"),
        ("class tide:\n    def __init__(self, key): ...", "broken:tide", "fails with TypeError"),
    ],
)
def test_a_broken_package_is_named_where_its_tool_is_called(
    packages: Packages, tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, target: str, why: str
) -> None:
    package = f"broken_{abs(hash((code, target)))}"
    packages.add(package, code, tide=target.replace("broken", package))
    (tmp_path / "card.gprog").write_text(PROGRAM)
    (tmp_path / "other.gprog").write_text('request "A card."\nprompt "A white card."\n')
    assert run_command_line(["check", "other.gprog"]) == OK
    for command in ("check", "run"):
        assert run_command_line([command, "card.gprog"]) == WRONG_INPUT
        printed = "".join(capsys.readouterr())
        assert "GP202" in printed
        assert f"the package {package} brings 'tide', but" in printed
        assert why in printed
        assert "password" not in printed


def test_names_are_not_taken_over(packages: Packages) -> None:
    packages.add("greedy", GOOD, search="greedy:tide")
    packages.add("left", GOOD, tide="left:tide")
    packages.add("right", GOOD, tide="right:tide")
    found = installed_tools({"search"})
    assert found.tools == ()
    assert found.absent == {
        "search": "the tool 'search' of greedy cannot be used: that name is built in",
        "tide": "several packages bring a tool 'tide': left, right; uninstall all but one",
    }
