"""Growing programs: observations instead of exceptions, and the same z as running the whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fakes import FakeRenderer, FakeSkill, FakeTool, World, checked, handle, run, signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_programs import HEADER, statements

from genevolve.grammar.errors import ConfigurationError, ProgramError, ServiceError
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.types import Type
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.record import read_facts
from genevolve.interpreter.replay import replay_async
from genevolve.interpreter.session import Observation, Session
from genevolve.interpreter.trace import read_trace
from genevolve.interpreter.values import Images

T = TypeVar("T")
SKILLS = {"s": FakeSkill("s", guards=("smears",)), "t": FakeSkill("t", guide="Tell it well.")}


def go(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def codes(seen: Observation) -> list[str]:
    return [d.code for d in seen.diagnostics]


async def take(session: Session, *lines: str) -> list[Observation]:
    return [await session.step(line) for line in lines]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@given(lines=statements(), title=st.sampled_from(("PARIS", "ROMA é")))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_step_by_step_gives_the_same_z_as_the_whole(tmp_path: Path, lines: list[str], title: str) -> None:
    machine = World(tmp_path).machine(skills=SKILLS)
    program = checked("\n".join(lines) + "\n", machine.environment())
    whole = machine.run_sync(program, {"title": title}) if program.ok else None

    async def stepped() -> str | None:
        session = machine.session(parameters={"title": title})
        seen = await take(session, *lines)
        assert all(s.ok for s in seen) or whole is None, [s.diagnostics for s in seen]
        try:
            return (await session.finish()).z.to_json()
        except ProgramError:
            return None

    assert go(stepped()) == (whole.z.to_json() if whole is not None else None)


def test_what_a_policy_sees(world: World) -> None:
    async def play() -> None:
        session = world.machine(skills=SKILLS).session(parameters={"title": "ROMA"})
        header, _, found, skill, picked = await take(
            session,
            HEADER,
            'request "x {title}"',
            'let t = image_search("a", top_k: 2)',
            "use skill t",
            'ref r = t[1] for "all"',
        )
        assert header.ok
        assert isinstance(found.value, Images)
        assert (found.calls_left, skill.calls_left) == (9, 8)
        assert skill.guide == "Tell it well."
        assert picked.value == found.value.items[1]
        data = json.loads(json.dumps(picked.to_dict()))
        assert data["value"]["value"]["id"] == "IMG_002"
        assert session.values["title"] == "ROMA"
        assert session.scope.references == ("r",)
        assert 'let t = image_search("a", top_k: 2)\n' in session.text

    go(play())


def test_mistakes_are_observations_and_leave_the_program_as_it_was(world: World) -> None:
    async def play() -> None:
        session = world.machine().session()
        await take(session, 'request "x"', 'let t = image_search("a", top_k: 2)')
        before = session.text
        for line, code in [
            ("let let", "GP101"),
            ("", "GP110"),
            ('let a = "1" let b = "2"', "GP101"),
            ('let t = "again"', "GP203"),
            ('let u = serch("x")', "GP202"),
            ("let u = search(?)", "GP601"),
            ("...", "GP601"),
            ('ref r = t[7] for "x"', "GP306"),
            ('request "twice"', "GP503"),
            ("x" * 300_000, "GP111"),
            ("\x00", "GP116"),
        ]:
            seen = await session.step(line)
            assert not seen.ok
            assert code in codes(seen), (line[:20], codes(seen))
            assert seen.to_dict()["diagnostics"]
        assert session.text == before

    go(play())


def test_a_failed_call_is_an_observation_and_can_be_tried_again(tmp_path: Path) -> None:
    made = 0

    def flaky(_: CallContext, a: str) -> str:
        nonlocal made
        made += 1
        if made == 1:
            raise ServiceError("down")
        return a

    async def play() -> None:
        world = World(tmp_path, found=1)
        session = world.machine(FakeTool(signature("say", Type.TEXT), flaky)).session()
        await take(session, 'request "x"', 'let t = image_search("a", top_k: 3)')
        bad = await session.step('let a = say("1")')
        assert codes(bad) == ["GP520"]
        assert bad.source.slice(bad.diagnostics[0].span) == 'say("1")'
        assert bad.calls_left == 8, "it was made, so it is spent"
        good = await session.step('let a = say("1")')
        assert good.value == "1"
        short = await session.step('ref r = t[2] for "x"')
        assert codes(short) == ["GP522"]
        assert (await session.step('ref r = t[0] for "x"')).ok

    go(play())


def test_the_budget_is_kept_outside_the_policy(world: World) -> None:
    async def play() -> None:
        session = world.machine(budget=Budget(calls=2)).session()
        await take(session, 'request "x"', 'let a = search("1")', 'let b = search("2")')
        assert session.calls_left == 0
        for line in ('let c = search("3")', 'let c = search("1")'):
            seen = await session.step(line)
            assert codes(seen)[-1] == "GP523", "a call that was made before costs a call as well"
        assert len(world.search.calls) == 2
        assert (await session.step('let e = ask(a, "q")')).ok, "what is free still works"

    go(play())


def test_a_call_made_before_is_not_made_again(world: World) -> None:
    async def play() -> None:
        session = world.machine().session()
        await take(
            session,
            'request "x"',
            'let a = search("1")',
            'let b = search("1")',
            'let c = search("1", top_k: 5)',
        )
        assert len(world.search.calls) == 1
        assert session.calls_left == 7
        assert session.values["a"] == session.values["b"] == session.values["c"]

    go(play())


def test_siblings_share_the_past_and_nothing_else(world: World) -> None:
    async def play() -> None:
        root = world.machine(skills=SKILLS).session()
        await take(root, 'request "x"', 'let a = search("1")')
        left, right = root.fork(), root.fork()
        assert (await left.step('let b = search("2")')).ok
        assert (await right.step('let b = ask(a, "q")')).ok
        assert (await right.step("use skill s")).ok
        assert (root.calls_left, left.calls_left, right.calls_left) == (9, 8, 8)
        assert "let b" not in root.text
        assert left.text != right.text
        await take(left, 'prompt "left"')
        await take(right, 'prompt "right {b}"')
        a, b = await asyncio.gather(left.finish(), right.finish())
        assert (a.prompt, b.prompt) == ("left", "right fact 0 on 1")
        assert b.negative_prompt == "smears"
        assert len(world.search.calls) == 2
        assert [e.data["tool"] for e in b.trace if e.kind == "call"] == ["search", "ask"]

    go(play())


def test_siblings_in_step_share_calls_in_flight(world: World) -> None:
    async def slow(_: CallContext, a: str) -> str:
        await asyncio.sleep(0.03)
        return a

    tool = FakeTool(signature("say", Type.TEXT), slow)

    async def play() -> None:
        root = world.machine(tool).session()
        await root.step('request "x"')
        siblings = [root.fork() for _ in range(4)]
        seen = await asyncio.gather(*(s.step('let a = say("1")') for s in siblings))
        assert [s.value for s in seen] == ["1"] * 4
        assert len(tool.calls) == 1

    go(play())


def test_one_step_at_a_time(world: World) -> None:
    async def play() -> None:
        session = world.machine().session()
        await session.step('request "x"')
        first = asyncio.create_task(session.step('let a = search("1")'))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="fork"):
            await session.step('let b = search("2")')
        assert (await first).ok

    go(play())


def test_nodes_do_as_well_as_texts(world: World) -> None:
    async def play() -> None:
        session = world.machine().session()
        statement, _ = parse_statement('let a = search("1")')
        assert statement is not None
        await session.step('request "x"')
        seen = await session.step(statement)
        assert seen.ok
        assert seen.source.slice(seen.statement.span) == 'let a = search("1")'  # type: ignore[union-attr]

    go(play())


def test_an_unfinished_program_cannot_be_finished(world: World) -> None:
    async def play() -> None:
        session = world.machine().session()
        await take(session, 'request "x"', 'let t = image_search("a")', 'ref r = t[0] for "b"')
        with pytest.raises(ProgramError) as caught:
            await session.finish()
        assert "GP504" in [d.code for d in caught.value.findings.diagnostics]
        assert (await session.step('prompt "{r}"')).ok, "it can go on"
        assert (await session.finish()).prompt == "The first reference image"

    go(play())


def test_parameters_are_bound_by_the_header(world: World, tmp_path: Path) -> None:
    handle(tmp_path / "a.png")
    header = "program p(photo: image, n: int)"

    async def play(machine: Machine) -> None:
        for values, code in [({"photo": "a.png"}, "GP317"), ({"photo": "a.png", "n": "x"}, "GP318")]:
            assert codes(await machine.session(parameters=values).step(header)) == [code]
        missing = machine.session(parameters={"photo": "none.png", "n": 1})
        assert codes(await missing.step(header)) == ["GP413"]
        session = machine.session(parameters={"photo": "a.png", "n": 1})
        seen = await take(session, header, 'request "{n}"', 'ref r = photo for "b"', 'prompt "{r}"')
        assert [s.ok for s in seen] == [True] * 4
        done = await session.finish()
        whole = await machine.run(checked(session.text, machine.environment()), {"photo": "a.png", "n": 1})
        assert done.z == whole.z

    go(play(world.machine()))


def test_a_machine_that_lacks_a_tool(world: World) -> None:
    async def play() -> None:
        other = world.machine(FakeTool(signature("say", Type.TEXT), lambda _, a: a)).environment()
        session = world.machine().session(other)
        await session.step('request "x"')
        with pytest.raises(ConfigurationError, match="'say'"):
            await session.step('let a = say("1")')

    go(play())


def test_finishing_renders_records_and_replays(world: World, tmp_path: Path) -> None:
    async def play() -> None:
        machine = world.machine(skills=SKILLS, renderer=FakeRenderer())
        session = machine.session(parameters={"title": "ROMA"})
        seen = await take(
            session,
            HEADER,
            'request "x {title}"',
            'let wrong = ask("no evidence", "q")',
            'let t = image_search("a {title}")',
            'ref r = pick(t, "best") for "all"',
            "use skill s",
            '# now say it\nprompt "{r} {n}"',
        )
        assert [s.ok for s in seen] == [True, True, False, True, True, True, True]
        done = await session.finish(render=True, record=tmp_path / "runs")
        assert done.image is not None
        assert done.folder is not None
        assert read_facts(done.folder)["status"] == "finished"
        assert (done.folder / "program.gprog").read_text() == session.text
        assert "# now say it" in session.text
        trace = read_trace(done.folder)
        assert [e.kind for e in trace.events][:2] == ["run_started", "program"]
        assert trace.of("run_started")[0].data["parameters"]["title"]["value"] == "ROMA"
        again = await replay_async(done.folder)
        assert again.z.to_json() == done.z.to_json()
        whole = run_whole(machine, session)
        assert (await whole).z == done.z

    async def run_whole(machine: Machine, session: Session) -> Any:
        return await machine.run(checked(session.text, machine.environment()), {"title": "ROMA"})

    go(play())


def test_a_cancelled_step_leaves_the_session_as_it_was(world: World) -> None:
    async def slow(_: CallContext, a: str) -> str:
        await asyncio.sleep(5 if a == "slow" else 0)
        return a

    async def play() -> None:
        session = world.machine(FakeTool(signature("say", Type.TEXT), slow)).session()
        await session.step('request "x"')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.step('let a = say("slow")'), 0.05)
        assert "let a" not in session.text
        assert (await session.step('let a = say("quick")')).value == "quick"

    go(play())


def test_running_a_program_is_not_disturbed_by_sessions(world: World) -> None:
    machine = world.machine()
    assert run(machine, 'request "x"\nprompt "y"\n').prompt == "y"
