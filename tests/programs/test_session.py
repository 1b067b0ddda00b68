"""Settings become environments and machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genevolve.grammar.builtins import PREDICATES, TOOLS
from genevolve.grammar.errors import ConfigurationError, OperatorError, ProgramError
from genevolve.interpreter.config import Config, load_config
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.tools.function_tool import FunctionTool
from genevolve.programs.opened import PricedTool
from genevolve.programs.program import Program
from genevolve.programs.session import (
    LIBRARY,
    SAMPLES,
    image_folders,
    library_folders,
    open_environment,
    open_machine,
)
from genevolve.programs.skillbook import load_skills, skill_infos


def settings(folder: Path, **flags: object) -> Config:
    given = {"cache.folder": folder / "cache", "runs.record": False, "library.embedder": "none"}
    given |= {name.replace("__", "."): value for name, value in flags.items()}
    return load_config(start=folder, environment={}, user_file=folder / "none", flags=given)


def moon(month: str) -> str:
    """The date of the full moon."""
    return f"the third of {month}"


class TestEnvironment:
    def test_builtins_skills_and_limits(self, tmp_path: Path) -> None:
        environment = open_environment(settings(tmp_path, budget__calls=4, prices={"search": 0.5}))
        assert set(environment.signatures) >= {s.name for s in (*TOOLS, *PREDICATES)}
        assert environment.skills == skill_infos(load_skills())
        assert environment.max_calls == 4
        assert environment.signatures["search"].price == 0.5
        assert environment.signatures["image_search"].price == 0

    def test_the_limit_of_calls_is_checked(self, tmp_path: Path) -> None:
        text = 'request "A."\nlet a = search("a")\nlet b = search("b")\nprompt "{c}{d}"\n'
        text = text.replace("{c}{d}", "A.")
        codes = {
            calls: {
                d.code
                for d in Program.parse(text)
                .check(open_environment(settings(tmp_path, budget__calls=calls)))
                .errors
            }
            for calls in (1, 2)
        }
        assert codes == {1: {"GP501"}, 2: set()}

    def test_a_file_that_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "other.toml"
        file.write_text("[budget]\ncalls = 3\n")
        assert open_environment(config_file=file).max_calls == 3
        assert open_environment(config_file=file, flags={"budget.calls": 2}).max_calls == 2

    def test_opening_it_loads_nothing_heavy(self, tmp_path: Path) -> None:
        heavy = {"torch", "PIL", "numpy", "yaml", "asyncio", "sqlite3", "httpx"}
        code = (
            "import sys, genevolve.programs.session as s; s.open_environment(); "
            f"print(sorted({heavy} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
        assert done.stdout.strip() == "[]"


class TestMachine:
    def test_its_environment_is_the_one_that_check_uses(self, tmp_path: Path) -> None:
        config = settings(tmp_path, budget__calls=4, prices={"search": 0.5})
        with open_machine(config) as machine:
            opened, checked = machine.environment(), open_environment(config)
            assert dict(opened.signatures) == dict(checked.signatures)
            assert dict(opened.skills) == dict(checked.skills)
            assert opened.max_calls == checked.max_calls

    def test_settings_reach_the_machine(self, tmp_path: Path) -> None:
        with open_machine(settings(tmp_path, budget__seconds=5, cache__enabled=False)) as machine:
            assert machine.budget.seconds == 5
            assert machine.cache is None
            assert machine.renderer is not None
            assert machine.renderer.name == "storyboard"
        with open_machine(settings(tmp_path)) as machine:
            assert machine.cache is not None
            assert machine.cache.path.parent == tmp_path / "cache"

    def test_closing_twice_is_fine(self, tmp_path: Path) -> None:
        machine = open_machine(settings(tmp_path))
        machine.close()
        machine.close()

    def test_extra_tools(self, tmp_path: Path) -> None:
        tool = FunctionTool(moon)
        program = Program.parse('request "A."\nlet when = moon("May")\nprompt "Moon on {when}."\n')
        with open_machine(settings(tmp_path), tools=[tool]) as machine:
            assert program.run(machine).prompt == "Moon on the third of May."
        with pytest.raises(ConfigurationError, match="two tools are named 'moon'"):
            open_machine(settings(tmp_path), tools=[tool, tool])

    def test_prices_are_spent(self, tmp_path: Path) -> None:
        program = Program.parse('request "A."\nlet when = moon("May")\nprompt "Moon on {when}."\n')
        config = settings(tmp_path, prices={"moon": 0.25}, budget__money=0.2)
        with (
            open_machine(config, tools=[FunctionTool(moon)]) as machine,
            pytest.raises(ProgramError) as caught,
        ):
            program.run(machine)
        assert {d.code for d in caught.value.findings.errors} == {"GP523"}
        with pytest.raises(ConfigurationError, match="no tool 'moo'"):
            open_machine(settings(tmp_path, prices={"moo": 1}), tools=[FunctionTool(moon)])

    def test_a_priced_tool_is_the_tool_at_a_price(self) -> None:
        tool = FunctionTool(moon, version="7")
        priced = PricedTool(tool, 0.5)
        assert (priced.signature.price, priced.version) == (0.5, "7")
        assert priced(CallContext(), "May") == "the third of May"

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ({"render__renderer": "stroyboard"}, "did you mean 'storyboard'"),
            ({"skills__folders": ["none"]}, "cannot read the skills folder"),
            ({"library__folders": ["none"]}, "none"),
        ],
    )
    def test_wrong_settings(self, tmp_path: Path, flags: dict[str, object], message: str) -> None:
        config = settings(tmp_path, **flags)
        with pytest.raises(OperatorError, match=message):
            open_machine(config)


class TestFolders:
    def test_library(self, tmp_path: Path) -> None:
        assert library_folders(settings(tmp_path, library__folders=["docs"])) == (tmp_path / "docs",)
        assert all(f.is_relative_to(SAMPLES) for f in library_folders(settings(tmp_path)))
        assert library_folders(settings(tmp_path), samples=False) == ()

    def test_without_any_library_there_is_no_search(self, tmp_path: Path) -> None:
        program = Program.parse('request "A."\nlet f = image_search("cat")\nprompt "A."\n')
        with (
            open_machine(settings(tmp_path), samples=False) as machine,
            pytest.raises(ProgramError) as caught,
        ):
            program.run(machine)
        assert {d.code for d in caught.value.findings.errors} == {"GP202"}

    def test_images_of_the_program_and_of_the_settings(self, tmp_path: Path) -> None:
        folders = image_folders(settings(tmp_path, images__allowed=["photos"]), LIBRARY)
        assert folders[0] == LIBRARY
        assert tmp_path / "photos" in folders

    @pytest.mark.parametrize(
        ("path", "code"),
        [("../../etc/passwd", "GP412"), ("/etc/passwd", "GP412"), ("none.png", "GP413"), ("x.txt", "GP414")],
    )
    def test_images_elsewhere_are_refused(self, tmp_path: Path, path: str, code: str) -> None:
        (tmp_path / "x.txt").write_text("no image")
        program = Program.parse(f'request "A."\nref a = image("{path}") for "x"\nprompt "As {{a}}."\n')
        machine = open_machine(settings(tmp_path), program_folder=tmp_path)
        with machine, pytest.raises(ProgramError) as caught:
            program.run(machine)
        assert {d.code for d in caught.value.findings.errors} == {code}
