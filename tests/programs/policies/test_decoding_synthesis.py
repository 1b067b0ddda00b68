"""A policy that draws at random what the constraint allows, in the loop that fills sketches: nothing is refused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeRenderer, FakeSkill, World
from local_models import tokenizer, vocabulary

from genevolve.programs.policies.decoding import TokenInfo, TurnConstraint
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import fill
from genevolve.programs.synthesis.rollout import Outcome, Rollout

OPEN = 'request "A stamp of a tower."\n\n...\n'
SKETCHES = (
    OPEN,
    'request "A stamp."\nlet towers = image_search(?, top_k: 3)\nref tower = towers[?] for ?\n\n...\n\n'
    'require text("VELM", at: "top")\nrender size: 512x640\n',
    'request "Balloons."\n\n...\n\navoid "clutter"\n'
    'require text("HAPPY", at: ?)\nrequire count("balloon") == 4\nrender\n',
    'program p(title: text = "A")\nrequest "{title}"\n'
    'use skill ?\n...\nprompt "A plain {title}."\n...\nrender seed: ?\n',
    'request "Two."\nrequire count(?) == ?\nrequire relation(?, ?, ?)\nprompt ?\navoid ?\n',
)


class Walk:
    """Writes whatever comes, as the constraint allows it."""

    takes_images, constrained, name, version = False, True, "walk", "1"

    def __init__(self) -> None:
        made = tokenizer()
        self.info = TokenInfo.from_tokenizer(made, vocabulary(), [made.eos_token_id])

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        return [Emission(self._turn(d, limits)) for d in dialogues]

    def _turn(self, dialogue: Dialogue, limits: Limits) -> str:
        assert dialogue.reach is not None
        turn = TurnConstraint(dialogue.reach, self.info, max_tokens=limits.max_tokens)
        rng, text = random.Random(dialogue.seed * 1000 + dialogue.turn), b""
        while not turn.done:
            tokens = turn.forced()
            if not tokens:
                bits = np.unpackbits(turn.mask().view(np.uint8), bitorder="little")
                allowed = np.flatnonzero(bits).tolist()
                closing = [t for t in allowed if self.info.texts[t][:1] in (b'"', b")", b"\n", b" ", b",")]
                tokens = [rng.choice(closing if closing and rng.random() < 0.6 else allowed)]
            for token in tokens:
                turn.advance(token)
                text += self.info.texts[token]
        assert turn.failures == 0
        return text.decode()

    def release(self, ids: Sequence[str]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk()


@pytest.mark.parametrize("sketch", SKETCHES, ids=range(len(SKETCHES)))
def test_nothing_that_the_constraint_allows_is_refused(tmp_path: Path, walk: Walk, sketch: str) -> None:
    skills = {n: FakeSkill(n, guide=f"Guide of {n}.") for n in ("layout", "lettering")}
    machine = World(tmp_path).machine(skills=skills, renderer=FakeRenderer())
    program = Program.parse(sketch)
    rollouts: list[Rollout] = fill(program, walk, machine, n=2, seed=7)
    for rollout in rollouts:
        assert rollout.outcome is Outcome.FILLED, (rollout.outcome, rollout.reason, rollout.partial)
        assert rollout.program is not None
        assert rollout.program.check(machine.environment()).ok
        for turn in rollout.turns:
            assert turn.refused == "" or _failed_when_run(turn.refused), turn.refused


def _failed_when_run(refused: str) -> bool:
    """Whether a statement was right and its execution failed, which no grammar can know: a path, a search."""
    return any(f"GP{code}" in refused for code in (412, 413, 414, 415, 520, 522, 525))
