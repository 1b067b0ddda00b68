"""`Program` from Python: reading, checking, comparing, showing and running."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genevolve.grammar.errors import AuthorError, ProgramError, StorageError
from genevolve.grammar.reader import MAX_BYTES
from genevolve.interpreter.config import load_config
from genevolve.interpreter.machine import Machine
from genevolve.programs.program import Program
from genevolve.programs.session import open_machine

TEXT = '''# a card
program card(guest: text, balloons: int = 3)

request "A card for {guest}."

prompt """
A card. Exactly {balloons} red balloons. The words "Happy birthday, {guest}" at the bottom.
"""
require count("balloon") == balloons

render size: 256x192, seed: 1
'''


@pytest.fixture(autouse=True)
def _away_from_the_users_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_CACHE_FOLDER", str(tmp_path / "cache"))
    monkeypatch.setenv("GENEVOLVE_RUNS_FOLDER", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("program")
    flags = {"cache.folder": folder, "runs.folder": folder / "runs", "library.embedder": "none"}
    config = load_config(start=folder, environment={}, user_file=folder / "none", flags=flags)
    with open_machine(config) as opened:
        yield opened


class TestReading:
    def test_load_knows_its_file(self, tmp_path: Path) -> None:
        file = tmp_path / "birthday.gprog"
        file.write_text(TEXT)
        program = Program.load(file)
        assert program.path == file
        assert program.source == TEXT
        assert program.name == "card"
        assert [(p.name, p.type) for p in program.parameters] == [("guest", "text"), ("balloons", "int")]

    def test_name_without_a_header(self, tmp_path: Path) -> None:
        file = tmp_path / "ball.gprog"
        file.write_text('request "A ball."\nprompt "A ball."\n')
        assert Program.load(file).name == "ball"
        assert Program.parse(file.read_text()).name == ""

    def test_missing_files_and_folders(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.gprog", tmp_path, tmp_path / "none" / "x.gprog"):
            with pytest.raises((AuthorError, StorageError)) as caught:
                Program.load(path)
            assert str(path) in str(caught.value)
        with pytest.raises(AuthorError, match="there is no program"):
            Program.load("a\0b")

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"", "GP110"),
            (b"\xff\xfe\x00", None),
            (b"request \xff\n", "GP109"),
            (b"\x89PNG\r\n\x1a\n\x00\x00", None),
            (b"#" + b"x" * MAX_BYTES, "GP111"),
        ],
        ids=["empty", "utf-16", "not utf-8", "binary", "large"],
    )
    def test_hostile_files_are_programs_with_findings(
        self, tmp_path: Path, data: bytes, code: str | None
    ) -> None:
        file = tmp_path / "x.gprog"
        file.write_bytes(data)
        program = Program.load(file)
        findings = program.check()
        assert not findings.ok
        if code is not None:
            assert code in {d.code for d in findings.errors}
        with pytest.raises(ProgramError):
            program.run()
        assert "<pre" in program._repr_html_()

    def test_crlf_and_bom(self) -> None:
        program = Program.parse("\ufeff" + TEXT.replace("\n", "\r\n"))
        assert program.check().ok
        assert program == Program.parse(TEXT)


class TestSaying:
    def test_check_gives_places(self) -> None:
        findings = Program.parse('request "A."\nprompt "{nobody}"\n', "card.gprog").check()
        (error,) = findings.errors
        assert error.code == "GP201"
        assert findings.source.where(error.span).startswith("card.gprog:2:")

    def test_equality_and_digest(self) -> None:
        same = Program.parse(TEXT.replace("balloons: int = 3", "balloons :int=3"))
        other = Program.parse(TEXT.replace("seed: 1", "seed: 2"))
        assert Program.parse(TEXT) == same
        assert hash(Program.parse(TEXT)) == hash(same)
        assert Program.parse(TEXT).digest == same.digest
        assert Program.parse(TEXT) != other
        assert Program.parse(TEXT).digest != other.digest
        assert Program.parse(TEXT) != TEXT

    def test_programs_with_mistakes_are_equal_by_text(self) -> None:
        assert Program.parse("request (") == Program.parse("request (")
        assert Program.parse("request (") != Program.parse("request [")

    def test_format(self) -> None:
        formatted = Program.parse(TEXT.replace("balloons: int = 3", "balloons :int=3")).format()
        assert formatted == TEXT
        with pytest.raises(ProgramError):
            Program.parse("request (").format()

    def test_diff(self) -> None:
        difference = Program.parse(TEXT).diff(Program.parse(TEXT.replace("seed: 1", "seed: 2")))
        assert "seed" in difference.to_text()
        assert Program.parse(TEXT).diff(Program.parse(TEXT)).empty

    def test_to_dict_is_json(self) -> None:
        data = json.loads(json.dumps(Program.parse(TEXT).to_dict()))
        assert data["schema"] == "genevolve.program/1"
        assert data["name"] == "card"
        assert [s["node"] for s in data["statements"]] == [
            "ProgramHeader",
            "Request",
            "Prompt",
            "Require",
            "Render",
        ]
        assert data["statements"][0]["trivia"]["leading"] == ["a card"]
        assert data["digest"] == Program.parse(TEXT).digest

    def test_holes(self) -> None:
        sketch = Program.parse('request "A."\nlet f = search(?)\nprompt ?\n')
        assert [h.type for h in sketch.holes] == ["text", "text"]
        with pytest.raises(ProgramError) as caught:
            sketch.run()
        assert {d.code for d in caught.value.findings.errors} == {"GP601"}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "source",
    [TEXT, 'prompt "<script>alert(1)</script> {x}" # </pre><b>', '"""open <i>', "? ... 12x7 &amp; ü", ""],
)
def test_notebook_view_shows_the_source_and_nothing_else(source: str) -> None:
    page = _Text()
    page.feed(Program.parse(source)._repr_html_())
    assert page.text == source
    assert page.tags <= {"pre", "code", "span"}


class TestRunning:
    def test_run_gives_a_picture(self, machine: Machine) -> None:
        run = Program.parse(TEXT).run(machine, guest="Ada")
        assert run.image is not None
        assert run.image.size == (256, 192)
        assert run.prompt.startswith("A card. Exactly 3 red balloons.")
        assert run.references == ()
        assert run.trace
        assert run.folder is not None
        assert (run.folder / "z.json").read_text(encoding="utf-8") == run.z.to_json()

    def test_run_inside_a_running_loop(self, machine: Machine) -> None:
        async def notebook() -> str:
            return Program.parse(TEXT).run(machine, guest="Ada").z.digest

        async def awaited() -> str:
            return (await Program.parse(TEXT).arun(machine, guest="Ada")).z.digest

        assert asyncio.run(notebook()) == asyncio.run(awaited())

    def test_wrong_parameters_are_told(self, machine: Machine) -> None:
        for values, code in (
            ({}, "GP317"),
            ({"guest": 3, "balloons": "x"}, "GP318"),
            ({"gest": "A"}, "GP319"),
        ):
            with pytest.raises(ProgramError) as caught:
                Program.parse(TEXT).run(machine, **values)
            assert code in {d.code for d in caught.value.findings.errors}

    def test_parameters_may_have_any_name(self, machine: Machine) -> None:
        text = 'program p(machine: text, self: int)\nrequest "A."\nprompt "{machine} {self}"\n'
        assert Program.parse(text).run(machine, **{"machine": "a", "self": 1}).prompt == "a 1"

    def test_without_a_machine_the_settings_decide(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("GENEVOLVE_RUNS_FOLDER")
        (tmp_path / "genevolve.toml").write_text('[runs]\nfolder = "kept"\n[library]\nembedder = "none"\n')
        file = tmp_path / "card.gprog"
        file.write_text(TEXT)
        run = Program.load(file).run(guest="Ada")
        assert run.folder is not None
        assert run.folder.parent == tmp_path / "kept"
        assert (run.folder / "image.png").read_bytes() == run.png
