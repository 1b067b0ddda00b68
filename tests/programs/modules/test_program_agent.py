"""`ProgramAgent`: turns written by DSPy's language model, executed as they come."""

from __future__ import annotations

import copy
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # scripted_lm
sys.path.insert(0, str(Path(__file__).parents[2] / "interpreter"))  # fakes

import dspy
from dspy import lm15
from fakes import FakeSkill, World
from scripted_lm import Said, scripted

from genevolve.grammar.errors import AuthorError, ConfigurationError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.machine import Machine
from genevolve.programs.modules.agent import AgentPolicy, ProgramAgent
from genevolve.programs.policies.language_card import CARDS
from genevolve.programs.policies.protocol import Dialogue, Limits, Message, Policy, Role, Stop
from genevolve.programs.synthesis.fill import fill
from genevolve.programs.synthesis.rollout import Bounds

LOOK = 'let photos = image_search("lighthouse of Velm", top_k: 3)\n'
WRITE = """ref tower = photos[0] for "its shape"
prompt "A stamp with the lighthouse from {tower} and the word \\"VELM\\"."
require text("VELM")
"""
REQUEST = "A stamp of the lighthouse of Velm with the word VELM."


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return World(tmp_path).machine(skills={"text_rendering": FakeSkill("text_rendering")})


def test_turns_are_written_and_executed_until_the_program_is_complete(machine: Machine) -> None:
    lm, engine = scripted(f"```gprog\n{LOOK}```", WRITE)
    agent = ProgramAgent(machine)
    with dspy.context(lm=lm):
        made = agent(request=REQUEST)
    assert made.outcome == "filled", made.reason
    assert 'image_search("lighthouse of Velm"' in made.program
    assert isinstance(made.z, Z)
    assert "the first reference image" in made.z.gen_prompt
    assert [t["refused"] for t in made.trajectory] == ["", ""]
    first, second = engine.calls
    assert first[0][1].startswith(CARDS["full"].strip()[:200])
    assert first[0][1].count("Statements. Each starts") == 1
    assert "image_search(" in first[0][1].partition("## Tools")[2]
    assert [role for role, _ in second] == ["system", "user", "assistant", "user"]
    assert second[:2] == first  # a dialogue only grows
    assert second[2][1] == LOOK
    assert "photos: 3 pictures" in second[3][1]


def test_a_sketch_keeps_what_its_author_wrote(machine: Machine) -> None:
    lm, _ = scripted('let photos = image_search("Velm", top_k: 3)\n')
    sketch = f'request "x"\nlet photos = image_search(?, top_k: 3)\n{WRITE}'
    with dspy.context(lm=lm):
        made = ProgramAgent(machine)(sketch=sketch)
    assert made.outcome == "filled", made.reason
    assert 'image_search("Velm", top_k: 3)' in made.program


def test_garbage_ends_within_the_budget_and_is_told(machine: Machine) -> None:
    lm, engine = scripted("I am afraid I cannot write programs.")
    with dspy.context(lm=lm):
        made = ProgramAgent(machine, bounds=Bounds(turns=4))(request=REQUEST)
    assert made.outcome != "filled"
    assert (made.program, made.z) == ("", None)
    assert made.reason
    assert all(t["refused"] for t in made.trajectory)
    assert len(engine.calls) <= 4


def test_what_is_refused_is_said_to_the_model_and_put_right(machine: Machine) -> None:
    lm, engine = scripted(LOOK, WRITE.replace("photos[0]", "foto[0]"), WRITE)
    with dspy.context(lm=lm):
        made = ProgramAgent(machine)(request=REQUEST)
    assert made.outcome == "filled"
    assert "GP201" in engine.calls[2][-1][1]
    assert "foto" in made.trajectory[1]["refused"]


def test_failures_of_the_service_are_ours(machine: Machine) -> None:
    def fail(_: Said) -> str:
        raise lm15.ServerError("the machine room is on fire")

    lm, _ = scripted(fail)
    agent = ProgramAgent(machine)
    with dspy.context(lm=lm), pytest.raises(ServiceError, match="on fire") as caught:
        agent(request=REQUEST)
    assert caught.value.retryable
    with pytest.raises(ConfigurationError, match="no language model"):
        agent(request=REQUEST)
    with dspy.context(lm=lm), pytest.raises(AuthorError, match="either"):
        agent()
    with dspy.context(lm=lm), pytest.raises(AuthorError, match="surrogate"):
        agent(request="\ud800")


def test_it_is_a_policy(machine: Machine) -> None:
    lm, engine = scripted(lambda said: LOOK if len(said) == 2 else WRITE)
    agent = ProgramAgent(machine)
    agent.set_lm(lm)
    policy = agent.as_policy()
    assert isinstance(policy, Policy)
    assert policy.name == "dspy:ProgramAgent:scripted/model"
    from genevolve.programs.program import Program

    rollouts = fill(Program.parse(f'request "{REQUEST}"\n...\n'), policy, machine, n=5)
    assert [r.filled for r in rollouts] == [True] * 5
    assert len(engine.calls) == 10
    learned = copy.deepcopy(agent)
    learned.write.signature = learned.write.signature.with_instructions("Write better.")
    assert learned.as_policy().version != policy.version
    assert learned.around is agent.around


def test_limits_and_seeds_reach_the_model(machine: Machine) -> None:
    seen: list[Any] = []

    class Engine:
        def complete(self, request: Any) -> Any:
            seen.append(request.config)
            return lm15.Response(
                id=None,
                model=request.model,
                message=lm15.Message.assistant("# nothing\n"),
                finish_reason="stop",
                usage=lm15.Usage(),
            )

    lm = dspy.LM("scripted/model", engine=Engine(), cache=False, temperature=0.1)
    with dspy.context(lm=lm):
        agent = ProgramAgent(machine)
        limits = Limits(max_tokens=33, temperature=0.9, top_p=0.8)
        said = (Message(Role.SYSTEM, CARDS["full"]), Message(Role.USER, "go"))
        dialogues = [Dialogue("a", 1, said), Dialogue("b", 2, said)]
        emissions = AgentPolicy(agent, threads=1).act(dialogues, limits)
        AgentPolicy(agent, "lm").act(dialogues[:1], limits)
    assert [e.stop for e in emissions] == [Stop.END, Stop.END]
    assert [(c.max_tokens, c.temperature, c.top_p) for c in seen[:2]] == [(33, 0.9, 0.8)] * 2
    assert seen[0].seed != seen[1].seed
    assert (seen[2].max_tokens, seen[2].temperature) == (None, 0.1)


def test_threads_do_not_share_their_model(machine: Machine) -> None:
    agent = ProgramAgent(machine)
    made: dict[str, Any] = {}

    def work(word: str) -> None:
        lm, engine = scripted(lambda said: LOOK if len(said) == 2 else WRITE.replace("VELM", word))
        with dspy.context(lm=lm):
            made[word] = (agent(request=REQUEST), len(engine.calls))

    threads = [threading.Thread(target=work, args=(f"W{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for word, (prediction, calls) in made.items():
        assert f'require text("{word}")' in prediction.program
        assert calls == 2
    assert len(made) == 4


def test_importing_the_package_does_not_import_dspy() -> None:
    import subprocess

    code = "import sys, genevolve.programs.modules, genevolve.programs.policies.endpoint; print('dspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
