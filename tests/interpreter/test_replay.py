"""Replays: the same z byte for byte from nothing but the record, and clear words when it cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRenderer, FakeSkill, FakeTool, World, checked, handle, run, signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_programs import statements

from genevolve.grammar.errors import AuthorError, RunError
from genevolve.grammar.types import Parameter, Signature, Type
from genevolve.interpreter.replay import replay
from genevolve.interpreter.run import Run

SKILLS = {"s": FakeSkill("s", guards=("smears",)), "t": FakeSkill("t", expects=("text",))}
TEXT = """program p(title: text, photo: image, n: int = 2, big: size = 640x480)
request "{title}"
let t = image_search("a {title}", top_k: n)
let f = search("b", "c")
let w = ask(f, "who")
ref r = t[1] for "all"
ref q = photo for "the {w}"
use skill s
prompt "{r} {q} {w}"
require count("boat") == n
render size: big
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Run:
    handle(tmp_path / "harbour.png")
    machine = World(tmp_path).machine(skills=SKILLS, renderer=FakeRenderer())
    done: Run = run(machine, TEXT, {"title": "ROMA", "photo": "harbour.png"}, record=tmp_path / "runs")
    return done


def edited(done: Run, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Path:
    """The trace with each event changed; None drops it. The program file goes, so that only the trace counts."""
    assert done.folder is not None
    file = done.folder / "trace.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [e for e in map(change, events) if e is not None]
    file.write_text("".join(json.dumps(e) + "\n" for e in kept))
    return done.folder


@given(lines=statements(), title=st.sampled_from(("PARIS", "ROMA {x} é\u2028")), n=st.integers(1, 9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_program_replays_to_the_same_bytes(tmp_path: Path, lines: list[str], title: str, n: int) -> None:
    machine = World(tmp_path).machine(skills=SKILLS)
    program = checked("\n".join(lines) + "\n", machine.environment())
    if not program.ok:
        return
    done = machine.run_sync(program, {"title": title, "n": n}, record=tmp_path / "runs")
    assert done.folder is not None
    assert replay(done.folder).z.to_json() == (done.folder / "z.json").read_text()


def test_the_record_is_all_it_needs(recorded: Run, tmp_path: Path) -> None:
    assert recorded.folder is not None
    moved = tmp_path / "elsewhere"
    shutil.move(recorded.folder, moved)
    for picture in tmp_path.glob("*.png"):
        picture.unlink()
    again = replay(moved)
    assert again.z.to_json() == (moved / "z.json").read_text()
    assert again.image is None
    assert again.folder is None
    assert again.values["w"] == "fact 0 on b"
    assert replay(moved / "trace.jsonl").z == again.z, "the bare trace will do"
    (moved / "program.gprog").unlink()
    assert replay(moved).z == again.z


def test_tools_of_the_users_own_need_not_be_there(tmp_path: Path) -> None:
    mix = Signature(
        "mix",
        (
            Parameter("what", Type.TEXT, choices=("red", "blue")),
            Parameter("share", Type.FLOAT, required=False, default=0.5, named_only=True, low=0, high=1),
        ),
        Type.TEXT,
        variadic=True,
        cost=3,
        price=0.1,
    )
    machine = World(tmp_path).machine(
        FakeTool(mix, lambda _, *what, share: f"{'+'.join(what)} {share}", None)
    )
    text = 'request "x"\nlet a = mix("red", "blue", share: 1)\nlet b = mix("red")\nprompt "{a} {b}"\n'
    done = run(machine, text, record=tmp_path / "runs")
    assert done.folder is not None
    assert replay(done.folder).prompt == "red+blue 1.0 red 0.5"


def test_layout_and_comments_may_change_but_not_what_is_said(recorded: Run) -> None:
    assert recorded.folder is not None
    file = recorded.folder / "program.gprog"
    file.write_text("# looked at again\n" + TEXT.replace("let w =", "let   w  ="))
    assert replay(recorded.folder).z == recorded.z
    file.write_text(TEXT.replace('"who"', '"when"'))
    with pytest.raises(AuthorError, match="was changed since this run, from statement 5 on"):
        replay(recorded.folder)
    file.write_text(TEXT + 'avoid "x"\n')
    with pytest.raises(AuthorError, match="from statement 12 on"):
        replay(recorded.folder)
    file.write_bytes(b"\xff\x00 not a program")
    with pytest.raises(AuthorError, match="from statement 1 on"):
        replay(recorded.folder)


def test_a_missing_answer_points_at_the_call(recorded: Run) -> None:
    folder = edited(recorded, lambda e: None if e.get("tool") == "search" else e)
    with pytest.raises(RunError) as caught:
        replay(folder)
    found = caught.value.findings
    assert "holds no answer of 'search'" in str(caught.value)
    assert found.source.slice(found.diagnostics[0].span) == 'search("b", "c")'


def test_a_tampered_answer_gives_another_z_and_that_is_told(recorded: Run) -> None:
    def change(event: dict[str, Any]) -> dict[str, Any]:
        if event.get("tool") == "ask":
            event["value"]["value"] = "somebody else"
        return event

    with pytest.raises(AuthorError, match="gives another z"):
        replay(edited(recorded, change))


@pytest.mark.parametrize(
    ("kind", "field", "value", "words"),
    [
        ("z", "digest", "0" * 64, "does not have the digest"),
        ("z", "z", {"schema": "genevolve.z/9"}, "the z in the trace is damaged"),
        ("program", "statements", ["00"], "does not have the statements"),
        ("call", "value", {"type": "text", "value": 5}, "damaged answer"),
        ("call", "value", {"type": "images", "value": [{"path": 1}]}, "damaged answer"),
        ("call", "value", 7, "damaged answer"),
        ("run_started", "parameters", {"title": {"type": "int", "value": "x"}}, "damaged parameter"),
        ("run_started", "parameters", {"title": 5}, "damaged parameter"),
        ("run_started", "environment", {}, "list of tools and skills is damaged"),
        ("run_started", "environment", {"tools": 5, "skills": {}}, "list of tools and skills is damaged"),
    ],
)
def test_damaged_traces(recorded: Run, kind: str, field: str, value: object, words: str) -> None:
    def change(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] == kind:
            event[field] = value
        return event

    with pytest.raises(AuthorError, match=words):
        replay(edited(recorded, change))


def test_a_program_in_the_trace_that_is_not_the_one_that_ran(recorded: Run) -> None:
    assert recorded.folder is not None
    (recorded.folder / "program.gprog").unlink()

    def change(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] == "program":
            event["program"] = event["program"].replace('"who"', '"when"')
        return event

    with pytest.raises(AuthorError, match="does not have the statements"):
        replay(edited(recorded, change))


def test_a_failed_run_has_nothing_to_repeat(tmp_path: Path) -> None:
    machine = World(tmp_path).machine(FakeTool(signature("say", Type.TEXT), lambda _, a: 1 / 0))
    with pytest.raises(RunError) as caught:
        run(machine, 'request "x"\nlet a = say("1")\nprompt "{a}"\n', record=tmp_path / "runs")
    assert caught.value.folder is not None
    with pytest.raises(AuthorError, match="status failed: 'say' failed with ZeroDivisionError"):
        replay(caught.value.folder)


def test_a_run_that_was_killed_before_z(recorded: Run) -> None:
    folder = edited(recorded, lambda e: e if e["event"] in ("run_started", "program", "call") else None)
    with pytest.raises(AuthorError, match="status running"):
        replay(folder)


def test_what_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="does not exist"):
        replay(tmp_path)
