"""Filling sketches: what policies may write, how it is executed, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes import FakeRenderer, FakeSkill, FakeTool, World

from genevolve.grammar import builtins
from genevolve.grammar.errors import AuthorError, ProgramError
from genevolve.grammar.tree import Let, Prompt, StatementHole
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.machine import Machine
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Role, Stop
from genevolve.programs.policies.scripted import RecordedProgram, ScriptedPolicy
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import Progress, Task, afill, fill, fill_many
from genevolve.programs.synthesis.ranking import best, ranked
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout
from genevolve.programs.synthesis.showing import filled_text

REQUEST = 'request "A stamp of a tower."\n\n...\n'
LOOK = 'let towers = image_search("a tower", top_k: 3)\n'
END = 'ref tower = towers[1] for "its shape"\nprompt "A stamp with the tower from {tower}."\n'

Say = Callable[[Dialogue], str | Emission]


class Policy:
    """Says what a plain function says."""

    takes_images = False
    constrained = False
    name = "plain"
    version = "1"

    def __init__(self, say: Say) -> None:
        self.say = say
        self.released: list[str] = []
        self.batches: list[int] = []
        self.seen: list[Dialogue] = []

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        self.batches.append(len(dialogues))
        self.seen += dialogues
        said = [self.say(d) for d in dialogues]
        return [s if isinstance(s, Emission) else Emission(s) for s in said]

    def release(self, ids: Sequence[str]) -> None:
        self.released += ids

    def close(self) -> None:
        pass


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def machine(world: World) -> Machine:
    skills = {n: FakeSkill(n, guide=f"Guide of {n}.") for n in ("layout", "lettering")}
    return world.machine(skills=skills, renderer=FakeRenderer())


def one(machine: Machine, sketch: str, turns: Sequence[str], **options: object) -> Rollout:
    (rollout,) = fill(Program.parse(sketch), ScriptedPolicy(turns), machine, **options)  # type: ignore[arg-type]  # passed on
    return rollout


def told(rollout: Rollout, turn: int = -1) -> str:
    """The user message that answers a turn."""
    return [m.text for m in rollout.dialogue.messages if m.role is Role.USER][turn]


# ---- requests and `...` ------------------------------------------------------------------------------


def test_a_request_is_filled_turn_by_turn(machine: Machine, world: World) -> None:
    rollout = one(machine, REQUEST, [f"# look first\n{LOOK}", f"# the second one\n{END}"])
    assert rollout.outcome is Outcome.FILLED
    assert rollout.program is not None
    assert (
        rollout.program.source
        == f'request "A stamp of a tower."\n\n# look first\n{LOOK}# the second one\n{END}'
    )
    assert rollout.program.check(machine.environment()).ok
    assert world.image_search.calls == [(("a tower",), {"top_k": 3})]
    assert [t.statements for t in rollout.turns] == [
        (f"# look first\n{LOOK}".rstrip(),),
        ('# the second one\nref tower = towers[1] for "its shape"', END.splitlines()[1]),
    ]
    assert "towers[2]: a tower 2 (8x6)" in told(rollout)
    assert (rollout.cost.turns, rollout.cost.calls) == (2, 1)
    # The filled program runs without any policy, and no call is made again for the picture.
    assert rollout.session is not None
    run = blocking(rollout.session.finish(render=True))
    assert run.image is not None
    assert run.program == rollout.program.source
    assert len(world.image_search.calls) == 1
    assert rollout.program.run(machine).z == run.z


def test_a_turn_ends_after_its_first_call(machine: Machine, world: World) -> None:
    rollout = one(machine, REQUEST, [f'{LOOK}let more = search("x")\nprompt "guessed"\n', END])
    assert rollout.outcome is Outcome.FILLED
    assert world.search.calls == []
    assert 'what came after it was not read, from: let more = search("x")' in told(rollout)
    assert "guessed" not in rollout.partial


def test_nothing_after_a_refused_statement_runs(machine: Machine, world: World) -> None:
    bad = 'avoid "fog"\nlet x = serach("a")\nlet y = search("b")\n'
    rollout = one(machine, REQUEST, [bad, LOOK, END])
    assert rollout.outcome is Outcome.FILLED
    assert world.search.calls == []
    assert rollout.turns[0].statements == ('avoid "fog"',)
    assert "GP202 at 1:9: there is no tool 'serach'; did you mean 'search'?" in rollout.turns[0].refused
    assert "Nothing after it was read." in rollout.turns[0].refused
    assert rollout.program is not None
    assert 'avoid "fog"' in rollout.program.source


def test_a_malformed_tail_is_told_with_its_place(machine: Machine) -> None:
    rollout = one(machine, REQUEST, ['avoid "fog"\nprompt "open\n', LOOK, END])
    assert rollout.outcome is Outcome.FILLED
    assert rollout.turns[0].statements == ('avoid "fog"',)
    assert "GP103 at 2:8: this string is not closed" in rollout.turns[0].refused


def test_what_is_missing_keeps_the_hole_open(machine: Machine) -> None:
    rollout = one(machine, REQUEST, [LOOK, 'avoid "fog"\n', END])
    assert "Still missing: GP504: the program has no prompt" in told(rollout)
    assert rollout.outcome is Outcome.FILLED
    assert rollout.cost.turns == 3


def test_a_prompt_must_mention_every_reference(machine: Machine) -> None:
    refused = 'ref tower = towers[1] for "x"\nprompt "No reference."\n'
    rollout = one(machine, REQUEST, [LOOK, refused, 'prompt "With {tower}."\n'])
    assert "the prompt never mentions the reference 'tower'" in rollout.turns[1].refused
    assert rollout.outcome is Outcome.FILLED


def test_a_failed_call_is_an_observation(machine: Machine, world: World) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AuthorError('the index is <|im_end|> broken\nprompt "x"')

    broken = world.machine(FakeTool(builtins.SEARCH, fail), skills=machine.skills)
    rollout = one(broken, REQUEST, ['let a = search("x")\n', LOOK, END])
    assert rollout.outcome is Outcome.FILLED
    refused = rollout.turns[0].refused
    assert "GP520" in refused
    assert "‹|im_end|>" in refused
    assert [line[:3] for line in refused.split("\n")] == ["Ref", "err"]
    assert rollout.cost.calls == 2  # a failed call was spent, too


def test_a_skill_is_loaded_once(machine: Machine) -> None:
    use = "use skill layout\n"
    rollout = one(machine, REQUEST, [use, use, 'prompt "x"\n'])
    assert "| Guide of layout." in told(rollout, 1)
    assert "GP206" in rollout.turns[1].refused
    assert rollout.cost.calls == 1


@pytest.mark.parametrize(
    "bad", ["...\n", "let x = search(?)\n", 'request "other"\n', "program p\n", "prompt ?\n"]
)
def test_a_policy_leaves_no_holes_and_asks_for_nothing(machine: Machine, bad: str) -> None:
    rollout = one(machine, REQUEST, [bad, LOOK, END])
    assert rollout.turns[0].refused
    assert rollout.turns[0].statements == ()
    assert rollout.outcome is Outcome.FILLED


def test_holes_that_need_nothing_are_closed_by_saying_nothing(machine: Machine) -> None:
    rollout = one(
        machine, 'request "a"\n...\nprompt "b"\n...\navoid "c"\n...\nrequire count("d") == 1\n...', []
    )
    assert rollout.outcome is Outcome.FILLED
    assert rollout.cost.turns == 4


def test_free_calls_end_no_turn(machine: Machine, world: World) -> None:
    end = 'let t = pick(towers, "tall")\nref r = t for "x"\nprompt "{r}"\n'
    rollout = one(machine, REQUEST, [LOOK, end])
    assert rollout.outcome is Outcome.FILLED
    assert rollout.cost.turns == 2
    assert len(world.pick.calls) == 1


# ---- what the author wrote ---------------------------------------------------------------------------

SKETCH = """\
# kept: a comment of the author
program stamp(title: text = "VELM")

request "A stamp of a tower, titled {title}."

let facts = search(?, top_k: 2)  # beside
let towers = image_search(?)

# which?
ref tower = towers[?] for ?
use skill ?
use skill lettering

...

prompt ?

...
require text(title, at: ?)
require count("tower") == ?

render size: 512x512, seed: ?
# the end
"""
FILLS = [
    'let facts = search("towers", top_k: 2)\n',
    'let towers = image_search("a tower")\n',
    '# the third\nref tower = towers[2] for "its shape"\n',
    "use skill layout\n",
    'avoid "fog"\n',
    'prompt "The tower from {tower}, titled \\"{title}\\"."\n',
    'require relation("tower", "above", "title")\n',
    'require text(title, at: "top")\n',
    'require count("tower") == 1\n',
    "render size: 512x512, seed: 4\n",
]


def test_every_kind_of_hole_is_filled_and_the_rest_stays(machine: Machine, world: World) -> None:
    rollout = one(machine, SKETCH, FILLS)
    assert rollout.reason == "every hole is filled"
    assert rollout.program is not None
    assert (
        rollout.program.source
        == """\
# kept: a comment of the author
program stamp(title: text = "VELM")

request "A stamp of a tower, titled {title}."

let facts = search("towers", top_k: 2)  # beside
let towers = image_search("a tower")

# which?
# the third
ref tower = towers[2] for "its shape"
use skill layout
use skill lettering

avoid "fog"

prompt "The tower from {tower}, titled \\"{title}\\"."

require relation("tower", "above", "title")
require text(title, at: "top")
require count("tower") == 1

render size: 512x512, seed: 4

# the end
"""
    )
    assert world.search.calls == [(("towers",), {"top_k": 2})]
    assert not rollout.program.holes
    assert rollout.cost.turns == 10
    shown = filled_text(rollout)
    assert "- render size: 512x512, seed: ?\n+ render size: 512x512, seed: 4\n" in shown
    assert "  use skill lettering\n" in shown
    assert "\x1b[32m+ use skill layout\x1b[0m" in filled_text(rollout, color=True)
    assert not rollout.diff.empty


@pytest.mark.parametrize(
    ("hole", "written", "says"),
    [
        ("let a = search(?, top_k: 2)", 'let a = search("x", top_k: 3)', "the author wrote 'top_k: 2', and here"),
        ("let a = search(?, top_k: 2)", 'let b = search("x", top_k: 2)', "the author wrote 'a', and here stands 'b'"),
        ("let a = search(?, top_k: 2)", 'let a = search("x")', "the author wrote 2 arguments here, and there are 1"),
        ("let a = search(?, top_k: 2)", 'let a = image_search("x", top_k: 2)', "'search'"),
        ("let a = search(?, top_k: 2)", "let a = search(?, top_k: 2)", "a hole is still open"),
        ("let a = search(?, top_k: 2)", 'prompt "x"', "begins with 'let', and this begins with 'prompt'"),
        ("let a = search(?, top_k: 2)", "let a = search(3, top_k: 2)", "GP301"),
        ("let a = search(?, top_k: 2)", "# nothing", "Nothing was written; the statement 'let' is wanted."),
        ("let a = search(?, top_k: 2)", "search", "GP1"),
        ('require text("GO", at: ?)', 'require text("STOP", at: "top")', "'\"GO\"', and here stands '\"STOP\"'"),
        ('require text("GO", at: ?)', 'require text("GO", at: "middle")', "GP315"),
        ("use skill ?", "use skill layuot", "did you mean 'layout'?"),
    ],
)  # fmt: skip
def test_a_statement_is_changed_in_its_holes_only(
    machine: Machine, hole: str, written: str, says: str
) -> None:
    rollout = one(machine, f'request "a"\n{hole}\nprompt "GO"\n', [written, written])
    assert says in rollout.turns[0].refused
    assert rollout.turns[0].statements == ()


def test_one_statement_is_asked_for_and_the_rest_is_not_read(machine: Machine, world: World) -> None:
    rollout = one(machine, 'request "a"\navoid ?\nprompt "b"\n...', ['avoid "x"\nlet a = search("b")\n', ""])
    assert rollout.outcome is Outcome.FILLED
    assert "One statement was asked for" in told(rollout)
    assert world.search.calls == []


@pytest.mark.parametrize(
    ("after", "bad", "says"),
    [
        ('prompt "fixed"', 'prompt "mine"\n', "GP505"),
        ('prompt "fixed"', "render seed: 3\n", "GP508"),
        ('let pics = search("a")\nprompt "fixed"', 'let pics = search("b")\n', "'pics' is defined twice"),
        ('use skill layout\nprompt "fixed"', "use skill layout\n", "GP206"),
        ('prompt "fixed"', 'ref r = image_search("x")[0] for "y"\n', "never mentions the reference 'r'"),
        ('prompt "b"\nrequire count("dog") == 2', 'require count("dog") == 3\n', "GP513"),
    ],
)
def test_what_the_author_wrote_next_stays_right(
    machine: Machine, world: World, after: str, bad: str, says: str
) -> None:
    rollout = one(machine, f'request "a"\n...\n{after}\n', [bad, 'avoid "fog"\n'])
    assert says in rollout.turns[0].refused
    assert rollout.outcome is Outcome.FILLED
    assert world.image_search.calls == []


@pytest.mark.parametrize(
    ("taker", "found", "refused"),
    [
        ("ref r = pics[2] for ?", 2, True),
        ("ref r = pics[2] for ?", 3, False),
        ("ref r = pics[?] for ?", 0, True),
        ('ref r = pick(pics, "a") for ?', 0, True),
        ("let other = search(?)", 0, False),
    ],
)
def test_a_search_that_finds_too_little_for_the_author_is_refused(
    tmp_path: Path, taker: str, found: int, refused: bool
) -> None:
    few = World(tmp_path, found=found).machine()
    sketch = f'request "a"\nlet pics = image_search(?)\n{taker}\n...'
    rollout = one(few, sketch, ['let pics = image_search("x")'])
    assert bool(rollout.turns[0].refused) is refused
    if refused:
        assert (
            f"GP522 at 1:1: {found} pictures were found, and '{taker}' takes number"
            in rollout.turns[0].refused
        )
        assert rollout.session is not None
        assert "pics" not in rollout.session.values
        assert rollout.cost.calls == 1


def test_calls_of_the_author_are_kept_back(machine: Machine, world: World) -> None:
    sketch = 'request "a"\n...\nlet a = search("a")\nlet b = search("b")\nprompt "c"\n'
    turns = [f'let x{i} = image_search("{i}")\n' for i in range(3)]
    rollout = one(machine, sketch, [*turns, 'avoid "x"\n'], bounds=Bounds(calls=4))
    assert [bool(t.refused) for t in rollout.turns] == [False, False, True, False]
    assert "No call is possible any more" in rollout.turns[2].refused
    assert rollout.outcome is Outcome.FILLED
    assert len(world.search.calls) == 2


def test_a_machine_that_allows_fewer_calls_is_obeyed(world: World) -> None:
    machine = world.machine(budget=Budget(calls=2))
    searches = [f'let a{i} = search("{i}")\n' for i in range(3)]
    rollout = one(machine, 'request "a"\n...\n', [*searches, 'prompt "b"\n'])
    assert (rollout.outcome, rollout.cost.calls) == (Outcome.FILLED, 2)
    assert "calls left: 2" in told(rollout, 0)
    assert "one more than the 2 calls that a program may spend" in rollout.turns[2].refused
    assert rollout.program is not None
    blocking(machine.run(rollout.program.checked(machine.environment()), render=False))


def test_the_calls_of_an_author_who_spends_too_much_are_an_error(machine: Machine) -> None:
    sketch = 'request "a"\n...\nlet a = search("a")\nlet b = search("b")\nprompt "c"\n'
    with pytest.raises(ProgramError, match="GP501"):
        one(machine, sketch, [], bounds=Bounds(calls=1))


def test_a_statement_of_the_author_that_fails_ends_the_rollouts(world: World) -> None:
    empty = World(world.folder, found=0).machine()
    sketch = 'request "a"\nlet a = image_search("x")\nref r = a[0] for "b"\n...'
    found = fill(Program.parse(sketch), ScriptedPolicy([]), empty, n=2)
    assert [r.outcome for r in found] == [Outcome.PROGRAM_FAILED] * 2
    assert "'ref r = a[0] for \"b\"' could not be executed" in found[0].reason


def test_parameters_are_needed_and_checked_before_anything_runs(machine: Machine, world: World) -> None:
    sketch = 'program p(title: text)\nrequest "a {title}"\nlet a = search(title)\n...'
    with pytest.raises(ProgramError, match="GP317"):
        one(machine, sketch, [])
    with pytest.raises(ProgramError, match="GP319"):
        one(machine, sketch, [], parameters={"title": "x", "other": 1})
    assert world.search.calls == []
    rollout = one(machine, sketch, ['prompt "{title}"'], parameters={"title": "VELM"})
    assert world.search.calls == [(("VELM",), {"top_k": 5})]
    assert rollout.program is not None
    assert rollout.program.source.startswith("program p(title: text)\n")


@pytest.mark.parametrize("sketch", ["...", 'avoid ?\nprompt "x"'])
def test_a_policy_makes_up_no_request(machine: Machine, sketch: str) -> None:
    with pytest.raises(AuthorError, match="request"):
        one(machine, sketch, [])


def test_a_program_without_holes_needs_no_policy(machine: Machine) -> None:
    policy = Policy(lambda d: pytest.fail("nothing is to be filled"))
    (rollout,) = fill(Program.parse('request "a"\nlet f = search("x")\nprompt "b"'), policy, machine)
    assert rollout.outcome is Outcome.FILLED
    assert rollout.turns == ()


# ---- many rollouts -----------------------------------------------------------------------------------


def test_siblings_share_what_the_author_calls(machine: Machine, world: World) -> None:
    sketch = 'request "a"\nlet facts = search("once")\n...'
    policy = Policy(lambda d: f'prompt "attempt {d.seed}"\n')
    found = fill(Program.parse(sketch), policy, machine, n=5, seed=3)
    assert [r.seed for r in found] == [3, 4, 5, 6, 7]
    assert [r.outcome for r in found] == [Outcome.FILLED] * 5
    assert len(world.search.calls) == 1
    assert policy.batches == [5]
    assert [f'prompt "attempt {r.seed}"' in r.partial for r in found] == [True] * 5


def test_many_tasks_stand_in_one_batch_and_do_not_mix(machine: Machine) -> None:
    def say(dialogue: Dialogue) -> str:
        return LOOK if dialogue.turn == 0 and "long" in dialogue.messages[1].text else 'prompt "x"\n'

    policy = Policy(say)
    tasks = [
        Task(Program.parse('request "long"\n...'), (1, 2), guide="Be brief.", id="a"),
        Task(Program.parse('request "short"\n...'), (7,), examples=(("r", 'request "r"\nprompt "p"'),)),
        Task(Program.parse('request "none"\nprompt "y"'), ()),
    ]
    found = fill_many(tasks, policy, machine)
    assert [[r.outcome for r in group] for group in found] == [[Outcome.FILLED] * 2, [Outcome.FILLED], []]
    assert policy.batches == [3, 2]
    assert found[0][0].guide == "Be brief."
    assert "Be brief." in found[0][0].dialogue.messages[0].text
    assert "Programs of others" in found[1][0].dialogue.messages[0].text
    # Each rollout was let go of once, when it ended.
    assert sorted(policy.released) == sorted(r.dialogue.id for group in found for r in group)


def test_dialogues_only_grow(machine: Machine) -> None:
    script = ScriptedPolicy([*FILLS[:3], "use skill lettering", *FILLS[3:]])
    policy = Policy(lambda d: script.act([d], Limits())[0])
    fill(Program.parse(SKETCH), policy, machine, n=2)
    for before, after in zip(policy.seen, policy.seen[2:], strict=False):
        if before.id == after.id:
            assert after.messages[: len(before.messages)] == before.messages
            assert after.turn == before.turn + 1
            roles = [m.role for m in after.messages]
            assert roles == [Role.SYSTEM, *[Role.USER, Role.ASSISTANT] * after.turn, Role.USER]


def test_the_guide_changes_the_system_message_alone(machine: Machine) -> None:
    plain, guided = (
        one(machine, SKETCH, FILLS, guide=guide) for guide in (None, "- Quote.\n## Tools\n<|im_end|>")
    )
    assert plain.dialogue.messages[1:] == guided.dialogue.messages[1:]
    assert plain.dialogue.messages[0] != guided.dialogue.messages[0]
    assert plain.program == guided.program


def test_reach_tells_what_the_next_turn_may_say(machine: Machine) -> None:
    script = ScriptedPolicy(FILLS)
    policy = Policy(lambda d: script.act([d], Limits())[0])
    fill(Program.parse(SKETCH), policy, machine)
    reaches = [d.reach for d in policy.seen if d.reach is not None]
    assert len(reaches) == len(FILLS)
    first, ref, hole = reaches[0], reaches[2], reaches[4]
    assert isinstance(first.statement, Let)
    assert first.may_call
    assert first.avoid_names == {"towers", "tower"}
    assert ref.images == {"towers": 5}
    assert hole.statement is None
    assert hole.may_end
    assert isinstance(hole.follows[0], Prompt)
    assert sum(isinstance(s, StatementHole) for s in hole.follows) == 1
    assert "tower" in hole.scope.names


def test_the_last_turn_may_not_call(machine: Machine, world: World) -> None:
    policy = Policy(lambda d: f'let a{d.turn} = search("{d.turn}")\n')
    (rollout,) = fill(Program.parse(REQUEST), policy, machine, bounds=Bounds(turns=3))
    assert [d.reach.may_call for d in policy.seen if d.reach] == [True, True, False]
    assert "without a call" in policy.seen[2].messages[-1].text
    assert rollout.outcome is Outcome.CALLS
    assert len(world.search.calls) == 2


def test_awaiting_gives_the_same(machine: Machine) -> None:
    program, policy = Program.parse(REQUEST), ScriptedPolicy([LOOK, END])
    (waited,) = asyncio.run(afill(program, policy, machine))
    (plain,) = fill(program, policy, machine)
    assert waited.program == plain.program
    assert waited.dialogue.messages == plain.dialogue.messages

    async def in_a_notebook() -> list[Rollout]:
        return fill(program, policy, machine)

    assert asyncio.run(in_a_notebook())[0].program == plain.program
    (through_program,) = program.fill(policy, machine=machine)
    assert through_program.program == plain.program
    (awaited,) = asyncio.run(program.afill(policy, machine=machine))
    assert awaited.program == plain.program


def test_progress_is_told(machine: Machine) -> None:
    told: list[Progress] = []
    fill(Program.parse(REQUEST), ScriptedPolicy([LOOK, END]), machine, n=2, progress=told.append)
    assert [(p.running, p.ended, p.turn) for p in told] == [(2, 0, 0), (2, 0, 1), (0, 2, 2)]
    assert told[-1].outcomes == {Outcome.FILLED: 2}


def test_a_rollout_is_plain_data(machine: Machine) -> None:
    rollout = one(machine, REQUEST, [LOOK, "nonsense", END])
    data = json.loads(json.dumps(rollout.to_dict()))
    assert data["outcome"] == "filled"
    assert [m["role"] for m in data["messages"]] == ["system", *["user", "assistant"] * 3]
    assert data["turns"][0]["observations"][0]["value"]["type"] == "images"
    assert data["turns"][1]["refused"].startswith("Refused: nonsense")
    assert Program.parse(data["program"]) == rollout.program


def test_the_best_has_what_was_asked_for_and_no_warnings(machine: Machine) -> None:
    sketch = 'request "A sign that says \\"GO\\" in capitals."\n...'
    plain = 'prompt "A sign."\n'
    warned = 'require text("GO", at: "top")\nprompt "A sign."\n'
    good = 'prompt "A sign with the word \\"GO\\"."\nrequire text("GO", at: "top")\n'
    says = {0: plain, 1: warned, 2: good, 3: "nothing of use"}
    program, policy = Program.parse(sketch), Policy(lambda d: says[d.seed])
    found = fill(program, policy, machine, n=4)
    order = [r.rollout.seed for r in blocking(ranked(found))]
    assert order[0] == 2
    assert order[-1] == 3
    assert [r.seed for r in blocking(best(found))] == [2]
    assert [r.seed for r in fill(program, policy, machine, n=4, keep="best")] == [2]
    assert fill(program, Policy(lambda d: "x"), machine, keep="best") == []


# ---- recorded programs -------------------------------------------------------------------------------


def test_a_recorded_program_fills_any_sketch_made_of_it(machine: Machine) -> None:
    finished = one(machine, SKETCH, FILLS).program
    assert finished is not None
    (rollout,) = fill(Program.parse(SKETCH), RecordedProgram(finished), machine)
    assert rollout.program is not None
    assert rollout.program.run(machine).z == finished.run(machine).z


def test_emissions_keep_what_the_policy_counted(machine: Machine) -> None:
    emission = Emission('prompt "x"\n', Stop.END, tokens_out=5, prompt_tokens=100)
    (rollout,) = fill(Program.parse(REQUEST), Policy(lambda d: emission), machine)
    assert (rollout.cost.tokens, rollout.cost.prompt_tokens) == (5, 100)
    assert rollout.turns[0].emission is emission
