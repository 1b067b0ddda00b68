"""BootstrapFewShot and GEPA on `ProgramAgent`, with our reward, and a writer that improves when it is told how."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "interpreter"))

import dspy
from dspy import lm15
from fakes import FakeSkill, World
from rule_writer import ADVICE, reflect, write_turn, write_turn_told
from scripted_lm import Said, scripted

from genevolve.grammar.errors import AuthorError, GenevolveError
from genevolve.grammar.z import Constraint
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.machine import Machine
from genevolve.programs.modules.agent import ProgramAgent
from genevolve.programs.modules.metric import COMPLETE, ProgramReward, Wanted
from genevolve.programs.modules.optimize import bootstrap, evaluate, evolve
from genevolve.programs.modules.writer import ProgramWriter


def example(request: str, **wanted: Any) -> Any:
    return dspy.Example(request=request, **wanted).with_inputs("request")


def count(what: str, n: int) -> dict[str, Any]:
    return {"kind": "count", "arguments": {"what": what, "operator": "==", "n": n}}


def text(value: str) -> dict[str, Any]:
    return {"kind": "text", "arguments": {"value": value}}


EXAMPLES = [
    example("A card with three balloons.", constraints=[count("balloon", 3)], references=1),
    example(
        'A poster with the word "TEA" and two cups.', constraints=[text("TEA"), count("cup", 2)], references=1
    ),
    example("A table with four lemons.", constraints=[count("lemon", 4)], references=1),
]
HELD_OUT = [example('A flag with the word "GO" and two kites.', constraints=[text("GO"), count("kite", 2)])]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return World(tmp_path).machine(skills={"text_rendering": FakeSkill("text_rendering")})


def test_bootstrapped_demos_teach_what_earned(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    untold, engine = scripted(write_turn)
    told, _ = scripted(write_turn_told)
    agent, reward = ProgramAgent(machine), ProgramReward(machine)
    before = evaluate(agent, HELD_OUT, reward, lm=untold)
    better = bootstrap(agent, EXAMPLES, reward, lm=untold, teacher_lm=told, threshold=0.9, demos=3)
    after = evaluate(better, HELD_OUT, reward, lm=untold)
    assert (before, after) == (pytest.approx(COMPLETE), pytest.approx(1.0))
    assert agent.write.demos == []
    assert len(better.write.demos) == 3
    assert all({"dialogue", "message", "turn"} <= set(d.keys()) for d in better.write.demos)
    assert ADVICE not in engine.calls[-1][0][1]
    assert capfd.readouterr() == ("", "")


def test_runs_that_earn_too_little_become_no_demos(machine: Machine) -> None:
    untold, _ = scripted(write_turn)
    same = bootstrap(ProgramAgent(machine), EXAMPLES, ProgramReward(machine), lm=untold, threshold=0.9)
    assert same.write.demos == []


def test_reflection_on_feedback_finds_the_advice(
    machine: Machine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    untold, _ = scripted(write_turn)
    strong, reflections = scripted(reflect)
    agent, reward = ProgramAgent(machine), ProgramReward(machine)
    better = evolve(agent, EXAMPLES, reward, lm=untold, reflection_lm=strong, metric_calls=16)
    assert better.write.signature.instructions.endswith(ADVICE)
    assert not agent.write.signature.instructions.endswith(ADVICE)
    assert better.write.signature.instructions.startswith(agent.write.signature.instructions)
    before = evaluate(agent, HELD_OUT, reward, lm=untold)
    assert before == pytest.approx(COMPLETE)
    assert evaluate(better, HELD_OUT, reward, lm=untold) == pytest.approx(1.0)
    asked = reflections.calls[0][-1][1]
    assert "The program does not require count(what='balloon'" in asked
    assert "word for word" in asked
    better.save(tmp_path / "agent.json")
    again = ProgramAgent(machine)
    again.load(tmp_path / "agent.json")
    assert evaluate(again, HELD_OUT, reward, lm=untold) == pytest.approx(1.0)
    assert capfd.readouterr() == ("", "")


def test_the_same_seed_finds_the_same(machine: Machine) -> None:
    found = []
    for _ in range(2):
        untold, strong = scripted(write_turn)[0], scripted(reflect)[0]
        better = evolve(
            ProgramAgent(machine),
            EXAMPLES[:2],
            ProgramReward(machine),
            lm=untold,
            reflection_lm=strong,
            metric_calls=8,
            minibatch=2,
            seed=5,
        )
        found.append(better.write.signature.instructions)
    assert found[0] == found[1]


def test_runs_may_be_scored_at_the_same_time(machine: Machine) -> None:
    untold, strong = scripted(write_turn)[0], scripted(reflect)[0]
    agent, reward = ProgramAgent(machine), ProgramReward(machine)
    better = evolve(agent, EXAMPLES, reward, lm=untold, reflection_lm=strong, metric_calls=12, threads=3)
    assert better.write.signature.instructions.endswith(ADVICE)


def test_optimizers_without_examples_or_with_a_dead_model_say_so(machine: Machine) -> None:
    untold, _ = scripted(write_turn)
    with pytest.raises(AuthorError, match="examples"):
        bootstrap(ProgramAgent(machine), [], ProgramReward(machine), lm=untold)

    def fail(_: Said) -> str:
        raise lm15.AuthError("no such key")

    dead, _ = scripted(fail)
    agent, reward = ProgramAgent(machine), ProgramReward(machine)
    for optimize in (
        lambda: evaluate(agent, EXAMPLES, reward, lm=dead),
        lambda: bootstrap(agent, EXAMPLES, reward, lm=dead),
        lambda: evolve(agent, EXAMPLES, reward, lm=dead, reflection_lm=dead, metric_calls=8),
    ):
        with pytest.raises(GenevolveError, match="no such key"):
            optimize()


def test_dspy_is_left_as_it_was(machine: Machine) -> None:
    assert dspy.settings.lm is None
    assert dspy.settings.adapter is None
    assert "cache" not in vars(dspy)
    assert logging.getLogger("dspy").propagate is False


# ---- the reward --------------------------------------------------------------------------------------

PROGRAM = """request "x"
let photos = image_search("kites", top_k: 2)
ref look = photos[0] for "the look"
use skill text_rendering
prompt "Two kites after {look}, made in 1889."
require count("Kite") == 2
"""


@pytest.mark.parametrize(
    ("wanted", "score", "told"),
    [
        ({}, 1.0, "Nothing that was wanted is missing"),
        ({"constraints": [count("kite", 2)]}, 1.0, "Nothing"),
        ({"constraints": [count("kite", 3)]}, 0.2, "does not require count(what='kite', operator='==', n=3)"),
        ({"constraints": [count("kite", 2), text("GO")]}, 0.6, "does not require text(value='GO')"),
        ({"skills": ["text_rendering"]}, 1.0, "Nothing"),
        ({"skills": ["text_rendering", "spatial_layout"]}, 0.6, "The skill spatial_layout"),
        ({"references": 2}, 0.6, "1 reference images are bound; 2 are needed"),
        ({"facts": ["1889", "iron"]}, 0.6, "does not say 'iron'"),
        ({"facts": ["1889"], "references": 1, "constraints": [text("GO")]}, 0.2 + 0.8 * 2 / 3, "GO"),
    ],
)
def test_rewards_and_what_they_say(machine: Machine, wanted: dict[str, Any], score: float, told: str) -> None:
    reward = ProgramReward(machine)
    prediction = dspy.Prediction(program=PROGRAM)
    assert reward(example("x", **wanted), prediction) == pytest.approx(score)
    scored = reward.with_feedback(example("x", **wanted), prediction, None, "write", None)
    assert scored.score == pytest.approx(score)
    assert told in scored.feedback


def test_programs_that_do_not_run_earn_nothing_and_are_told_why(machine: Machine) -> None:
    reward = ProgramReward(machine)
    broken = reward.score(example("x"), dspy.Prediction(program=PROGRAM.replace("photos[0]", "foto[0]")))
    holes = reward.score(example("x"), dspy.Prediction(program=PROGRAM.replace('"kites"', "?")))
    nothing = reward.score(example("x"), dspy.Prediction(program="", reason="out of turns", partial="let x"))
    unrun = ProgramReward().score(example("x"), dspy.Prediction(program=PROGRAM))
    assert [s.score for s in (broken, holes, nothing, unrun)] == [0.0] * 4
    assert "GP201" in broken.feedback
    assert "^^^^" in broken.feedback
    assert "GP601" in holes.feedback
    assert "out of turns" in nothing.feedback
    refused = dspy.Prediction(program=PROGRAM, trajectory=[{"refused": "no such tool"}])
    assert "Turn 1 was refused: no such tool" in reward.score(example("x"), refused).feedback


class FixedJudge:
    name, version = "fixed", "1"

    def __init__(self, score: float | None) -> None:
        self.given = score

    def score(self, case: Case) -> Verdict:
        assert case.tree is not None
        return Verdict(
            self.given, rationale="Say where the kites fly.", unscored="" if self.given else "lost"
        )


def test_a_judge_has_its_share_and_an_unscored_one_has_none(machine: Machine) -> None:
    prediction = dspy.Prediction(program=PROGRAM)
    half = ProgramReward(machine, judge=FixedJudge(0.5)).score(example("x"), prediction)
    assert (half.score, half.judge) == (pytest.approx(0.75), 0.5)
    assert "Say where the kites fly" in half.feedback
    lost = ProgramReward(machine, judge=FixedJudge(None)).score(example("x"), prediction)
    assert (lost.score, lost.judge) == (1.0, None)


def test_examples_of_the_wrong_kind_are_refused() -> None:
    assert Wanted.of(example("x", constraints=[Constraint("text", {"value": "a"})])).constraints
    for wrong in ({"constraints": [1]}, {"constraints": [{"kind": "text"}]}, {"references": "many"}):
        with pytest.raises(AuthorError, match="what is wanted"):
            Wanted.of(example("x", **wrong))


def test_a_writer_can_be_bootstrapped_too(machine: Machine) -> None:
    def write(said: Said) -> str:
        asked = said[-1][1]
        return f'request "{asked}"\nprompt "{asked}"\nrequire count("balloon") == 3\n'

    lm, _ = scripted(write)
    writer = ProgramWriter(machine.environment())
    examples = [example("A card with three balloons.", constraints=[count("balloon", 3)])]
    better = bootstrap(writer, examples, ProgramReward(machine), lm=lm, threshold=0.9)
    assert len(better.write.demos) == 1
    assert evaluate(better, examples, ProgramReward(machine), lm=lm) == pytest.approx(1.0)
