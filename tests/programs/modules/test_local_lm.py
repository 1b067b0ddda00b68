"""Policies as language models of DSPy, through DSPy's own request path."""

from __future__ import annotations

import asyncio
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import dspy
from dspy import lm15

from genevolve.programs.modules.local_lm import LocalLM
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Policy, Role, Stop


class EchoPolicy:
    """Says what it was asked, and how; no model."""

    name, version, takes_images, constrained = "echo", "echo-1", False, False

    def __init__(self, stop: Stop = Stop.END) -> None:
        self.stop = stop
        self.seen: list[tuple[Dialogue, Limits]] = []
        self.released: list[str] = []

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        self.seen += [(d, limits) for d in dialogues]
        texts = [f"{d.messages[-1].text} / {d.seed}" for d in dialogues]
        return [Emission(t, self.stop, error="it broke", prompt_tokens=5, tokens_out=3) for t in texts]

    def release(self, ids: Sequence[str]) -> None:
        self.released += ids

    def close(self) -> None: ...


def test_a_policy_answers_dspy() -> None:
    policy = EchoPolicy()
    assert isinstance(policy, Policy)
    lm = LocalLM(policy, temperature=0.3, max_tokens=40)
    assert isinstance(lm, dspy.BaseLM)
    with dspy.context(lm=lm):
        said = dspy.Predict("question -> answer")
        (text,) = lm("hello")
        with pytest.raises(dspy.AdapterParseError):
            said(question="what?")
    assert text.startswith("hello / ")
    dialogue, limits = policy.seen[0]
    assert (limits.temperature, limits.max_tokens, limits.top_p) == (0.3, 40, 0.95)
    assert dialogue.reach is None
    assert policy.released[0] == dialogue.id
    asked = policy.seen[1][0]
    assert [m.role for m in asked.messages] == [Role.SYSTEM, Role.USER]
    assert "question" in asked.messages[0].text


def test_candidates_differ_and_a_fresh_model_repeats_them() -> None:
    first, second, other = LocalLM(EchoPolicy()), LocalLM(EchoPolicy()), LocalLM(EchoPolicy(), seed=1)
    told = first("hello", n=3)
    assert len(set(told)) == 3
    assert second("hello", n=3) == told
    assert other("hello", n=3) != told
    assert first("hello", seed=9) == second("hello", seed=9)


def test_usage_and_ends_are_told() -> None:
    def ask(stop: Stop) -> lm15.Response:
        request = lm15.Request(model="local/echo-1", messages=(lm15.Message.user("x"),))
        return LocalLM(EchoPolicy(stop))(request)

    done = ask(Stop.END)
    assert (done.finish_reason, done.usage.input_tokens, done.usage.output_tokens) == ("stop", 5, 3)
    assert ask(Stop.LENGTH).finish_reason == "length"
    assert isinstance(ask(Stop.REFUSED).message.parts[0], lm15.RefusalPart)
    with pytest.raises(dspy.LMServerError, match="it broke"):
        ask(Stop.FAILED)


def test_copies_share_the_policy_and_it_can_be_awaited() -> None:
    lm = LocalLM(EchoPolicy())
    module = dspy.Predict("question -> answer")
    module.lm = lm
    other = copy.deepcopy(module)
    assert other.lm.policy is lm.policy
    assert other.lm is not lm
    assert asyncio.run(lm.acall("hello"))[0].startswith("hello / ")


def test_a_saved_module_opens_its_policy_by_spec() -> None:
    lm = LocalLM(EchoPolicy(), seed=4)
    assert lm.dump_state()["engine"]["state"] == {"spec": "echo", "seed": 4}
    with pytest.raises(ValueError, match="Refusing"):
        dspy.BaseLM.load_state(lm.dump_state())
