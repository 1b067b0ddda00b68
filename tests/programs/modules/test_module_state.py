"""What a module has learned, saved as JSON: whole, without secrets, and strictly read."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "interpreter"))

import dspy
from fakes import World
from scripted_lm import scripted

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.programs.modules.agent import ProgramAgent
from genevolve.programs.modules.judge import ProgramJudge
from genevolve.programs.modules.state import SCHEMA

KEY = "sk-planted-0123456789abcdef"
ADDRESS = "http://me:hunter2hunter2@models.example/v1"


def learned(tmp_path: Path) -> ProgramAgent:
    agent = ProgramAgent(World(tmp_path).machine())
    agent.write.signature = agent.write.signature.with_instructions("Search first.")
    history = dspy.History(messages=[{"message": "m", "turn": 'let a = search("x")\n'}])
    agent.write.demos = [
        dspy.Example(augmented=True, surroundings="s", dialogue=history, message="now", turn='prompt "é"\n')
    ]
    return agent


def test_a_state_comes_back_and_works_the_same(tmp_path: Path) -> None:
    agent = learned(tmp_path)
    file = agent.save(tmp_path / "agent.json")
    data = json.loads(file.read_text("utf-8"))
    assert data["schema"] == SCHEMA
    assert data["module"] == "ProgramAgent"
    other = ProgramAgent(agent.around.machine)
    other.load(file)
    assert other.write.signature.instructions == "Search first."
    seen = []
    for module in (agent, other):
        lm, engine = scripted("# nothing\n")
        with dspy.context(lm=lm):
            module(request="x")
        seen.append(engine.calls)
    assert seen[0] == seen[1]
    assert [role for role, _ in seen[0][0]] == ["system", "user", "assistant", "user", "assistant", "user"]
    other.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_keys_addresses_and_headers_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SERVICE_TOKEN", "token-of-the-environment")
    agent = learned(tmp_path)
    agent.set_lm(
        dspy.LM("openai/x", api_key=KEY, api_base=ADDRESS, headers={"X-Auth": "Bearer header-secret-1"})
    )
    agent.write.demos[0]["message"] = f"{KEY} token-of-the-environment header-secret-1 {ADDRESS}"
    agent.write.demos[0]["api_key"] = "another-key-altogether"
    text = agent.save(tmp_path / "agent.json").read_text("utf-8")
    for secret in (KEY, "hunter2", "header-secret-1", "token-of-the-environment", "another-key"):
        assert secret not in text
    assert "[redacted]" in text
    loaded = ProgramAgent(agent.around.machine)
    model, _ = scripted("x")
    loaded.set_lm(model)
    loaded.load(tmp_path / "agent.json")
    assert loaded.write.lm is model


def test_a_state_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = learned(tmp_path)
    file = agent.save(tmp_path / "agent.json")
    before = file.read_bytes()
    agent.write.demos = []

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        agent.save(file)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".agent*"))
    monkeypatch.undo()
    with pytest.raises(StorageError):
        agent.save(tmp_path / "missing" / "agent.json")


def test_who_may_read_a_state_stays_as_it_was(tmp_path: Path) -> None:
    agent = learned(tmp_path)
    file = agent.save(tmp_path / "agent.json")
    plain = tmp_path / "plain"
    plain.write_text("")
    assert file.stat().st_mode == plain.stat().st_mode
    file.chmod(0o640)
    agent.save(file)
    assert file.stat().st_mode & 0o777 == 0o640


def test_pickles_are_neither_written_nor_read(tmp_path: Path) -> None:
    agent = learned(tmp_path)
    with pytest.raises(AuthorError, match="json"):
        agent.save(tmp_path / "agent.pkl")
    with pytest.raises(AuthorError, match="pickle"):
        agent.save(tmp_path / "folder", save_program=True)
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(AuthorError, match="pickles"):
        agent.load(tmp_path / "evil.pkl", allow_pickle=False)
    with pytest.raises(AuthorError, match="not loaded"):
        agent.load(tmp_path / "evil.pkl", allow_pickle=True)


def edited(**changes: Any) -> Any:
    def edit(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, **changes}

    return edit


def within(name: str, value: Any) -> Any:
    def edit(data: dict[str, Any]) -> dict[str, Any]:
        data["predictors"]["write"][name] = value
        return data

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (edited(schema="genevolve.module/2"), "another version"),
        (edited(schema="somebody.else/1"), "no state of a module"),
        (lambda data: [data], "no state of a module"),
        (edited(module="ProgramJudge"), "ProgramJudge"),
        (edited(predictors={}), "missing"),
        (edited(predictors=[1]), "predictors"),
        (within("demos", "x"), "demos"),
        (within("demos", [1]), "demos"),
        (within("signature", {}), "instructions"),
        (within("signature", {"instructions": "x", "fields": []}), "other fields"),
        (within("signature", {"instructions": "x", "fields": [1, 2, 3, 4]}), "prefix"),
    ],
)
def test_foreign_newer_and_damaged_files_are_refused_and_change_nothing(
    tmp_path: Path, edit: Any, told: str
) -> None:
    agent = learned(tmp_path)
    file = agent.save(tmp_path / "agent.json")
    file.write_text(json.dumps(edit(json.loads(file.read_text("utf-8")))), "utf-8")
    other = ProgramAgent(agent.around.machine)
    instructions = other.write.signature.instructions
    with pytest.raises(AuthorError, match=told):
        other.load(file)
    assert (other.write.signature.instructions, other.write.demos) == (instructions, [])


def test_a_saved_language_model_in_a_file_is_not_taken(tmp_path: Path) -> None:
    agent = learned(tmp_path)
    file = agent.save(tmp_path / "agent.json")
    data = within("lm", {"model": "openai/x", "api_base": "http://evil.example"})(
        json.loads(file.read_text())
    )
    file.write_text(json.dumps(data))
    agent.load(file)
    assert agent.write.lm is None


@pytest.mark.parametrize("content", [b"", b"not json", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(AuthorError, match="no JSON"):
        ProgramJudge().load(tmp_path / "x.json")
    with pytest.raises(AuthorError, match="there is no file"):
        ProgramJudge().load(tmp_path / "y.json")
