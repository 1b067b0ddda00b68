"""The oracle: what it says it has looked up, what it leaves out it loses, and what it writes is understood."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.grammar.strings import quote
from genevolve.interpreter.run import Run
from genevolve.interpreter.studio.facts import Fact
from genevolve.interpreter.studio.generator import intend
from genevolve.interpreter.studio.guided import Prompt
from genevolve.interpreter.studio.oracle import (
    Mistakes,
    Oracle,
    SeenValues,
    Switches,
    fact_words,
    holds,
    program_text,
)
from genevolve.interpreter.studio.reading import read
from genevolve.interpreter.studio.requests import Request, read_requests
from genevolve.interpreter.studio.truth import satisfied
from genevolve.interpreter.studio.wants import SKILLS
from genevolve.interpreter.studio.world import World
from genevolve.interpreter.values import Value
from genevolve.programs.opened import OpenedMachine
from genevolve.programs.policies.catalog import open_policy
from genevolve.programs.policies.oracle import parse_switches
from genevolve.programs.policies.protocol import Dialogue, Limits, Message, Role, Stop
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import Task, fill_many


@dataclass(frozen=True)
class Played:
    """A program of the oracle that was executed turn by turn."""

    request: Request
    turns: tuple[str, ...]
    values: Mapping[str, Value]
    run: Run

    @property
    def seen(self) -> SeenValues:
        return SeenValues(self.values)

    @property
    def text(self) -> str:
        return program_text(self.request, self.turns)


def play(world: World, machine: OpenedMachine, request: Request, switches: Switches | None = None) -> Played:
    async def go() -> Played:
        session = machine.session()
        assert (await session.step(f"request {quote(request.prompt)}")).ok
        oracle = Oracle(world, request, switches)
        turns: list[str] = []
        while (turn := oracle.next_turn(SeenValues(session.values), len(turns))) is not None:
            turns.append(turn)
            for statement in Program.parse(turn).tree.statements:
                observed = await session.step(statement)
                assert observed.ok, (turn, [d.message for d in observed.diagnostics])
                assert not observed.diagnostics, (turn, [d.message for d in observed.diagnostics])
        return Played(request, tuple(turns), session.values, await session.finish())

    return asyncio.run(go())


@pytest.fixture(scope="module")
def requests(world_folder: Path) -> list[Request]:
    files = ("heldout", "heldout_combos", "train")
    return [r for name in files for r in read_requests(world_folder / "requests" / f"{name}.jsonl")]


@pytest.fixture(scope="module")
def played(small_world: World, studio_machine: OpenedMachine, requests: list[Request]) -> list[Played]:
    return [play(small_world, studio_machine, r) for r in requests]


def test_every_fact_that_a_program_uses_was_observed_before(small_world: World, played: list[Played]) -> None:
    known = {f.value for f in Fact}
    for one in played:
        for need in one.request.facts:
            entity = small_world.entities[need.entity]
            words = (
                fact_words(entity, Fact(need.name))
                if need.name in known
                else [(small_world.related(entity, need.name).title,)]
            )
            assert one.seen.tells(entity.title, words), (one.request.prompt, need)


def test_a_second_hop_is_taken_only_after_the_first_was_observed(
    small_world: World, played: list[Played]
) -> None:
    hops = [p for p in played if len(p.request.entities) > 1]
    assert hops
    for one in hops:
        target = small_world.entities[one.request.entities[-1]]
        assert target.title not in one.turns[0]
        assert any(target.title in turn for turn in one.turns[1:])


def test_the_reference_is_the_right_picture(played: list[Played]) -> None:
    for one in played:
        bound = [r.source for r in one.run.z.reference_images]
        assert bound == [r.path for r in one.request.references]


def test_programs_hold_the_budget_and_every_constraint(played: list[Played]) -> None:
    for one in played:
        assert len(one.turns) <= 11
        assert len(one.run.z.constraints) == len(one.request.constraints)
        assert one.run.z.skills == one.request.skills
        assert len(one.run.z.gen_prompt.split()) <= 130
        assert (one.run.z.settings.width, one.run.z.settings.seed) == (384, 0)


def test_programs_are_in_canonical_layout_when_formatted_and_parse_again(played: list[Played]) -> None:
    for one in played[:20]:
        program = Program.parse(one.text)
        assert Program.parse(program.format()).tree == program.tree


def test_the_generator_understands_the_prompt_as_the_scene_it_comes_from(requests: list[Request]) -> None:
    for request in requests:
        text = Prompt(request.content, "look" if request.references else "").text
        reading = read(text.replace("{look}", "the first reference image"))
        assert sorted(t.noun for t in reading.things) == sorted(t.noun for t in request.scene.things)
        assert [t.text for t in reading.texts] == [v.text for v in request.scene.letterings]
        assert reading.background == request.scene.background
        assert not reading.contradictions
        places = {t.noun: t.places for t in reading.things}
        assert all(places[t.noun] == [t.place] for t in request.scene.things)


def rate(played: Sequence[Played], folder: Path, skill: str | None = None) -> float:
    """The share of constraints that hold in what the generator means to draw; of one skill, or of all."""
    held = asked = 0
    for one in played:
        images = []
        for reference in one.run.z.reference_images:
            with Image.open(folder / "library" / reference.source) as image:
                images.append(image.convert("RGB"))
        scene, _ = intend(one.run.z, images)
        want = None if skill is None else one.request.content.want(skill)
        content = one.request.content
        wanted = content.constraints if want is None else type(content)(content.scene, (want,)).constraints
        held += sum(satisfied(c, scene, content.scene) for c in wanted)
        asked += len(wanted)
    return held / asked


def test_bare_is_worse_than_a_random_reference_and_that_is_worse_than_the_oracle(
    small_world: World, studio_machine: OpenedMachine, world_folder: Path, played: list[Played]
) -> None:
    some = played[:70]
    requests = [p.request for p in some]
    bare = [play(small_world, studio_machine, r, Switches(bare=True)) for r in requests]
    random = [play(small_world, studio_machine, r, Switches(reference="random")) for r in requests]
    best = rate(some, world_folder)
    assert best > 0.93
    assert rate(bare, world_folder) < 0.4
    assert rate(bare, world_folder) + 0.2 < rate(random, world_folder) < best - 0.05


@pytest.mark.parametrize("skill", SKILLS)
def test_without_a_skill_its_own_constraints_suffer(
    small_world: World, studio_machine: OpenedMachine, world_folder: Path, played: list[Played], skill: str
) -> None:
    some = [p for p in played if skill in p.request.skills][:25]
    dropped = [play(small_world, studio_machine, p.request, Switches(drop=frozenset((skill,)))) for p in some]
    assert rate(dropped, world_folder, skill) < rate(some, world_folder, skill) - 0.2
    assert all(skill not in p.run.z.skills for p in dropped)


def test_a_wrong_query_leads_to_guesses_and_not_to_the_truth(
    small_world: World, studio_machine: OpenedMachine, requests: list[Request]
) -> None:
    asked = [r for r in requests if any(f.name == Fact.MOTTO.value for f in r.facts)][:25]
    lost = 0
    for request in asked:
        one = play(small_world, studio_machine, request, Switches(mistakes=Mistakes(wrong_query=1.0)))
        target = small_world.entities[request.entities[-1]]
        told = one.seen.tells(target.title, [(target.motto,)])
        assert (target.motto in one.run.z.gen_prompt) == told
        lost += not told
    assert lost > 0


def test_mistakes_are_drawn_by_seed_and_change_the_program(
    small_world: World, requests: list[Request]
) -> None:
    request = next(r for r in requests if len(r.skills) >= 2)

    def skills(seed: int) -> tuple[str, ...]:
        return Oracle(small_world, request, Switches(mistakes=Mistakes(skipped_skill=0.5, seed=seed))).skills

    assert skills(1) == skills(1)
    assert len({skills(seed) for seed in range(12)}) > 1
    never = Oracle(small_world, request, Switches(mistakes=Mistakes(seed=3)))
    assert never.skills == request.skills


def test_asking_gives_short_answers_that_hold_the_fact(
    small_world: World, studio_machine: OpenedMachine, requests: list[Request]
) -> None:
    asked = told = 0
    for request in [r for r in requests if r.facts and len(r.entities) == 1][:25]:
        one = play(small_world, studio_machine, request, Switches(ask=True))
        assert len(one.turns) <= 11
        for need in request.facts:
            answer = one.values[f"its_{need.name}"]
            assert isinstance(answer, str)
            assert len(answer) <= 480
            asked += 1
            told += holds(answer, fact_words(small_world.entities[need.entity], Fact(need.name)))
    assert told >= 0.9 * asked > 0


@pytest.mark.parametrize(
    ("drop", "reference"),
    [(frozenset({"singing"}), "right"), (frozenset(), "left"), (frozenset({""}), "none")],
)
def test_switches_that_do_not_exist_are_refused(drop: frozenset[str], reference: str) -> None:
    with pytest.raises(AuthorError):
        Switches(drop=drop, reference=reference)


# ---- as a policy -------------------------------------------------------------------------------------


def test_as_a_policy_it_fills_a_bare_request_with_the_same_program(
    world_folder: Path, studio_machine: OpenedMachine, played: list[Played]
) -> None:
    policy = open_policy(f"oracle:{world_folder}")
    some = played[:15] + [p for p in played if len(p.request.entities) > 1][:3]
    tasks = [
        Task(Program.parse(f"request {quote(p.request.prompt)}\n\n...\n"), id=p.request.id) for p in some
    ]
    for (rollout,), one in zip(fill_many(tasks, policy, studio_machine), some, strict=True):
        assert rollout.program is not None, rollout.reason
        assert rollout.program.tree == Program.parse(one.text).tree
    policy.close()


def test_as_a_policy_it_says_when_it_does_not_know_a_request(world_folder: Path) -> None:
    policy = open_policy(f"oracle:{world_folder}")
    opening = Message(Role.USER, 'The sketch:\n  request "A cat."\n  ...\nFill the `...`;')
    (said,) = policy.act([Dialogue("1", 0, (opening,))], Limits())
    assert said.stop is Stop.FAILED
    assert "does not know" in said.error
    (said,) = policy.act([Dialogue("2", 0, (Message(Role.USER, "Hello"),))], Limits())
    assert said.stop is Stop.FAILED


@pytest.mark.parametrize(
    "query",
    ["drop=singing", "reference=left", "bare=perhaps", "wrong_query=2", "wrong_query=x", "unknown=1", "drop"],
)
def test_wrong_options_are_told(world_folder: Path, query: str) -> None:
    with pytest.raises(ConfigurationError):
        open_policy(f"oracle:{world_folder}?{query}")


def test_options_become_switches(tmp_path: Path) -> None:
    found = parse_switches("drop=text_rendering,spatial_layout&reference=random&ask=true&wrong_image=0.25")
    assert found.drop == {"text_rendering", "spatial_layout"}
    assert (found.reference, found.ask, found.bare, found.mistakes.wrong_image) == (
        "random",
        True,
        False,
        0.25,
    )
    with pytest.raises(ConfigurationError, match="needs the folder"):
        open_policy("oracle:")
    with pytest.raises(ConfigurationError, match="no studio world"):
        open_policy(f"oracle:{tmp_path}")
