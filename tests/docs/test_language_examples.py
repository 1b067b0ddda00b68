"""Every example in the documents does what the text says of it.

A fence says what is expected: `gprog` checks without findings, `gprog part` checks once it is completed, `gprog run`
also runs on the sample library, `gprog holes` checks and has holes, `gprog GP301` gives that code and no other error.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from genevolve.grammar.builtins import PREDICATES, RENDER_SETTINGS, TOOLS
from genevolve.grammar.codes import CODES
from genevolve.grammar.diagnostics import Severity
from genevolve.grammar.strings import RESERVED
from genevolve.interpreter.config import SETTINGS, Config, load_config
from genevolve.interpreter.machine import Machine
from genevolve.programs.program import Program
from genevolve.programs.session import open_machine

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = ("language.md", "skills.md", "python.md", "configuration.md")
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)

VALUES = {"cats": {"count_of_cats": 3}}
"""Values for examples whose parameters have no default, by the program's name."""


class Example(NamedTuple):
    page: str
    line: int
    info: str
    body: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def examples(language: str, *pages: str) -> Iterator[Example]:
    for page in pages:
        text = (DOCS / page).read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            kind, _, rest = match["info"].partition(" ")
            if kind == language:
                yield Example(page, text.count("\n", 0, match.start()) + 1, rest.strip(), match["body"])


PROGRAMS = [*examples("gprog", *PAGES)]


def of(*infos: str) -> list[Example]:
    return [e for e in PROGRAMS if e.info in infos]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("cache")
    config = load_config(
        start=folder,
        environment={},
        user_file=folder / "none",
        flags={"cache.folder": folder, "runs.record": False},
    )
    with open_machine(config) as opened:
        yield opened


def test_every_fence_says_something_known() -> None:
    known = {"", "run", "part", "holes"} | set(CODES)
    assert {e.info for e in PROGRAMS} <= known
    assert len(of("run")) >= 6
    assert len(PROGRAMS) >= 15


@pytest.mark.parametrize("example", of("", "run", "holes"), ids=str)
def test_a_whole_program_checks(example: Example) -> None:
    program = Program.parse(example.body, str(example))
    findings = program.check()
    assert [d for d in findings.diagnostics if d.severity is not Severity.HINT] == []
    assert bool(program.holes) == (example.info == "holes")


@pytest.mark.parametrize("example", of("part"), ids=str)
def test_a_part_checks_in_a_frame(example: Example) -> None:
    text = 'request "Anything."\n' + example.body
    if "prompt " not in example.body:
        text += 'prompt "Anything."\n'
    assert [d.message for d in Program.parse(text).check().errors] == []


@pytest.mark.parametrize("example", of(*CODES), ids=str)
def test_a_mistake_gives_its_code(example: Example) -> None:
    assert {d.code for d in Program.parse(example.body).check().errors} == {example.info}


@pytest.mark.parametrize("example", of("run"), ids=str)
def test_a_program_runs(example: Example, machine: Machine) -> None:
    program = Program.parse(example.body, str(example))
    run = program.run(machine, **VALUES.get(program.name, {}))
    assert run.image is not None
    assert run.image.size == (run.z.settings.width, run.z.settings.height)
    assert len(run.references) == sum(s.startswith("ref ") for s in example.body.splitlines())
    assert "{" not in run.prompt


def test_the_page_quotes_the_elaborated_prompt(machine: Machine) -> None:
    page = (DOCS / "language.md").read_text(encoding="utf-8")
    quoted = re.search(r'The prompt of this program begins: "(.+?)"\n', page, re.DOTALL)
    assert quoted is not None
    example = next(e for e in of("run") if "{cat} shows" in e.body)
    run = Program.parse(example.body).run(machine)
    assert run.prompt == " ".join(quoted[1].split())


class TestTables:
    page = (DOCS / "language.md").read_text(encoding="utf-8")

    def test_tools_and_predicates(self) -> None:
        for tool in TOOLS:
            assert f"| `{tool.name}(" in self.page
            row = next(r for r in self.page.splitlines() if r.startswith(f"| `{tool.name}("))
            assert row.endswith("|")
            assert f"-> {tool.returns}` | {tool.cost} |" in row
            assert all(f"{p.name}: {p.type}" in row for p in tool.parameters)
        for predicate in PREDICATES:
            assert f"| `{predicate.name}(" in self.page
            for choice in (c for p in predicate.parameters for c in p.choices):
                assert f"`{choice}`" in self.page

    def test_settings_and_keywords(self) -> None:
        for setting in RENDER_SETTINGS:
            assert f"| `{setting.name}` | `{setting.type}` |" in self.page
        listed = re.search(r"\*\*Keywords\*\* are `([^`]+)`", self.page)
        assert listed is not None
        assert set(listed[1].split()) == RESERVED

    def test_links_lead_somewhere(self) -> None:
        for page in PAGES:
            text = (DOCS / page).read_text(encoding="utf-8")
            anchors = {
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
                for h in re.findall(r"^#+ (.+)$", text, re.M)
            }
            for target in re.findall(r"\]\(([^)]+)\)", text):
                if target.startswith("#"):
                    assert target[1:] in anchors, target
                elif "://" not in target:
                    assert (DOCS / target.partition("#")[0]).is_file(), target

    def test_codes_named_in_the_text_exist(self) -> None:
        for page in PAGES:
            assert set(re.findall(r"GP\d{3}", (DOCS / page).read_text(encoding="utf-8"))) <= set(CODES)


def test_settings_page_names_every_setting_and_its_default() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert set(rows) == set(SETTINGS)
    sizes = {name for name, setting in SETTINGS.items() if setting.kind == "bytes"}
    for name, value in Config().to_dict().items():
        match value:
            case None if SETTINGS[name].optional:
                assert rows[name] == '`"none"`', name
            case int() if name in sizes:
                number, unit = rows[name].strip('`"').split()
                assert int(number) * {"MiB": 1024**2, "GiB": 1024**3}[unit] == value, name
            case bool() | int() | float():
                assert float(rows[name].strip("`").replace("true", "1").replace("false", "0")) == value, name
            case str() if name != "runs.folder":
                assert rows[name] == f'`"{value}"`', name


@pytest.mark.parametrize("example", [*examples("toml", *PAGES)], ids=str)
def test_configuration_examples_load(example: Example, tmp_path: Path) -> None:
    (tmp_path / "genevolve.toml").write_text(example.body, encoding="utf-8")
    config = load_config(start=tmp_path, environment={}, user_file=tmp_path / "none")
    assert config.files == (tmp_path / "genevolve.toml",)


@pytest.mark.parametrize("page", [p for p in PAGES if any(examples("python", p))])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other; a block of output must be what the block before it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GENEVOLVE_CACHE_FOLDER", str(tmp_path / "cache"))
    library = DOCS.parent / "programs" / "library"
    (tmp_path / "launch_poster.gprog").write_bytes((library / "launch_poster.gprog").read_bytes())
    text = (DOCS / page).read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "example"}
    printed = ""
    for match in _FENCE.finditer(text):
        if match["info"] == "python":
            line = text.count("\n", 0, match.start()) + 1
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile("\n" * line + match["body"], page, "exec"), namespace)
            printed = out.getvalue()
        elif match["info"] == "output":
            assert printed == match["body"]
