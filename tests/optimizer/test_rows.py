"""Rows of training from rollouts: the sampled tokens, who wrote them, and what they earned."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import pytest

from genevolve.grammar.builtins import builtin_environment
from genevolve.interpreter.judges.protocol import Verdict
from genevolve.optimizer.evolution import _rotated, seed_of
from genevolve.optimizer.rewards import reward_of
from genevolve.optimizer.rows import BrokenTranscript, opening, row_of, teacher_prompt
from genevolve.programs.policies.context import system
from genevolve.programs.policies.protocol import Dialogue, Emission, Message, Role, Tokens
from genevolve.programs.program import Program
from genevolve.programs.synthesis.rollout import Outcome, Rollout, TurnRecord

ENVIRONMENT = builtin_environment(())


def tokens(prompt: Sequence[int], ids: Sequence[int], forced: Sequence[bool] = ()) -> Tokens:
    logs = tuple(-0.1 * i for i in ids)
    return Tokens(tuple(prompt), tuple(ids), logs, logs, tuple(forced))


def rollout(*written: Tokens | None, messages: tuple[Message, ...] = ()) -> Rollout:
    turns = tuple(TurnRecord(Emission("x", tokens=t), 0) for t in written)
    sketch = Program.parse('request "a kite" ...')
    return Rollout(sketch, 0, Outcome.FILLED, "", Dialogue("d", 0, messages), turns)


def test_a_row_holds_turns_and_observations_and_tells_them_apart() -> None:
    row = row_of(rollout(tokens([1, 2], [5, 6]), tokens([1, 2, 5, 6, 8, 9], [7])))
    assert row is not None
    assert row.prompt_ids == (1, 2)
    assert row.completion_ids == (5, 6, 8, 9, 7)
    assert row.mask == (1, 1, 0, 0, 1)
    assert row.log_probs == pytest.approx((-0.5, -0.6, 0.0, 0.0, -0.7))
    assert row.turn_of == (0, 0, 0, 0, 1)
    assert row.chosen == 3


def test_forced_tokens_are_no_decisions_unless_asked_for() -> None:
    made = rollout(tokens([1], [5, 6, 7], [False, True, False]))
    plain, all_of_them = row_of(made), row_of(made, forced=True)
    assert plain is not None
    assert plain.mask == (1, 0, 1)
    assert plain.log_probs[1] == 0
    assert all_of_them is not None
    assert all_of_them.mask == (1, 1, 1)


def test_a_choice_of_the_constraint_is_forced_too() -> None:
    """The second token had 1 % of the policy's probability, and nothing likelier was allowed."""
    logs, masked = (log(0.6), log(0.01), log(0.2)), (log(0.6), log(0.9), log(0.5))
    made = rollout(Tokens((1,), (5, 6, 7), logs, masked, (False, False, False)))
    for least, mask in ((0.0, (1, 1, 1)), (0.1, (1, 0, 1)), (0.5, (1, 0, 0))):
        row = row_of(made, least_allowed=least)
        assert row is not None
        assert row.mask == mask
        assert [p != 0 for p in row.log_probs] == [bool(m) for m in mask]
    every = row_of(made, forced=True, least_allowed=0.5)
    assert every is not None
    assert every.mask == (1, 1, 1)


def test_turns_without_tokens_make_no_row() -> None:
    assert row_of(rollout(None)) is None
    assert row_of(rollout()) is None
    assert row_of(rollout(tokens([1], []), tokens([1], [4]))) is not None


def test_a_prompt_that_does_not_grow_is_refused() -> None:
    with pytest.raises(BrokenTranscript, match="turn 2"):
        row_of(rollout(tokens([1, 2], [5]), tokens([1, 2, 6], [7])))


def spelled(messages: Sequence[Message]) -> list[int]:
    return [ord(c) for m in messages for c in f"{m.role.value}:{m.text}\n"]


def test_the_teacher_reads_the_same_prompt_with_the_guide_in_it() -> None:
    first = (system(ENVIRONMENT), Message(Role.USER, "a kite"))
    prompt = spelled(first)
    made = rollout(tokens(prompt, [5]), messages=(*first, Message(Role.ASSISTANT, "x")))
    assert opening(made) == first
    row = row_of(made)
    assert row is not None
    taught = teacher_prompt(made, "Focus:\n- Look it up.", spelled, row)
    text = "".join(map(chr, taught))
    assert "- Look it up." in text
    assert text.endswith("user:a kite\n")
    assert len(taught) > len(prompt)


def test_a_teacher_that_would_read_something_else_is_refused() -> None:
    first = (system(ENVIRONMENT), Message(Role.USER, "a kite"))
    made = rollout(tokens([1, 2, 3], [5]), messages=first)
    row = row_of(made)
    assert row is not None
    with pytest.raises(BrokenTranscript, match="do not give the prompt"):
        teacher_prompt(made, "Focus:", spelled, row)


def verdict(**dimensions: float | None) -> Verdict:
    return Verdict(0.5, dimensions)


def test_the_reward_is_the_weighted_sum_of_picture_and_program() -> None:
    picture = verdict(faithfulness=1.0, visual_correctness=0.5, text_accuracy=0.5, aesthetics=1.0)
    found = reward_of(picture, Verdict(0.75), alpha=0.25)
    assert found is not None
    assert found.image == pytest.approx(0.1 + 0.2 + 0.2 + 0.1)
    assert found.total == pytest.approx(0.75 * 0.6 + 0.25 * 0.75)
    assert not found.text_accuracy_na


@pytest.mark.parametrize(("formula", "image"), [("paper", 0.4 / 0.6), ("release", 0.6)])
def test_pictures_without_text_follow_the_named_formula(formula: str, image: float) -> None:
    picture = verdict(faithfulness=1.0, visual_correctness=0.5, text_accuracy=None, aesthetics=1.0)
    found = reward_of(picture, Verdict(1.0), formula=formula)  # type: ignore[arg-type]  # one of two names
    assert found is not None
    assert found.image == pytest.approx(image, abs=1e-6)
    assert found.text_accuracy_na
    assert found.scoring == formula


def test_what_could_not_be_judged_has_no_reward() -> None:
    assert reward_of(Verdict(None, unscored="busy"), Verdict(1.0)) is None
    assert reward_of(Verdict(1.0), Verdict(None, unscored="no program")) is None


def test_a_judge_without_our_dimensions_says_the_score_itself() -> None:
    found = reward_of(Verdict(0.3, {"consistency": 0.3}), Verdict(0.5))
    assert found is not None
    assert found.image == 0.3
    assert found.faithfulness is None


def test_alpha_is_a_share() -> None:
    with pytest.raises(ValueError, match="share"):
        reward_of(Verdict(1.0), Verdict(1.0), alpha=1.5)


def test_seeds_differ_by_everything_that_they_are_made_of() -> None:
    seen = {
        seed_of(*parts)
        for parts in ((0, 0, "a", 0), (1, 0, "a", 0), (0, 1, "a", 0), (0, 0, "b", 0), (0, 0, "a", 1))
    }
    assert len(seen) == 5
    assert seed_of(0, 0, "a", 0) == seed_of(0, 0, "a", 0)
    assert all(0 <= s < 2**31 for s in seen)


def test_shuffled_bundles_go_to_another_request() -> None:
    found = _rotated([("a", 0.9, "1"), (None, None, None), ("b", 0.95, "2"), ("c", 1.0, "3")])
    assert found == [("b", 0.95, "2"), (None, None, None), ("c", 1.0, "3"), ("a", 0.9, "1")]
    assert _rotated([("a", 0.9, "1"), (None, None, None)]) == [(None, None, None)] * 2
