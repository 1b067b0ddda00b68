"""The mini policy and its cold start: what is learned, on which tokens, from what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from evolving import MISTAKES, Ground, ground
from tiny_policies import tokenizer

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.optimizer.coldstart import (
    ColdStart,
    Example,
    cold_start,
    dialogues_of,
    guide_of,
    tokens_of,
    told_again,
)
from genevolve.optimizer.evolution import Group, Settings
from genevolve.optimizer.mini import MiniSettings, make_mini, save_policy, size_of
from genevolve.programs.policies.local.chat import chat_format
from genevolve.programs.policies.local.options import POLICY_FILE
from genevolve.programs.policies.local.policy import LocalPolicy
from genevolve.programs.policies.protocol import Dialogue, Limits, Message, Role

SMALL = MiniSettings(
    vocabulary=600, width=32, layers=2, heads=2, key_heads=1, feed=64, context=2048, practice=2
)


@pytest.fixture(scope="module")
def place(small_world: Path, shared_cache: Path) -> Iterator[Ground]:
    with ground(small_world, shared_cache, 4) as made:
        yield made


@pytest.fixture(scope="module")
def groups(place: Ground) -> tuple[Group, ...]:
    """Three attempts at each of four requests, by an oracle that makes mistakes and is read in full."""
    found: tuple[Group, ...] = place.step(place.oracle(MISTAKES), None, Settings(siblings=3, seed=1)).groups
    return found


@pytest.fixture(scope="module")
def dialogues(place: Ground, groups: tuple[Group, ...]) -> list[tuple[tuple[Message, ...], bool]]:
    return dialogues_of(groups, place.machine.environment(), "brief", plain=2)


# ---- what is learned from ----------------------------------------------------------------------------


def test_a_rollout_is_told_again_with_another_card(place: Ground, groups: tuple[Group, ...]) -> None:
    rollout = groups[0].scored[0].rollout
    again = told_again(rollout, place.machine.environment(), "brief")
    turns = [m.text for m in rollout.dialogue.messages if m.role is Role.ASSISTANT]
    assert [m.text for m in again if m.role is Role.ASSISTANT] == turns
    assert again[-1].role is Role.ASSISTANT
    assert len(again[0].text) < 20 < len(rollout.dialogue.messages[0].text)
    assert sum(len(m.text) for m in again) < sum(len(m.text) for m in rollout.dialogue.messages) / 2


def test_texts_alone_cannot_be_told_again(place: Ground, groups: tuple[Group, ...]) -> None:
    from dataclasses import replace

    rollout = groups[0].scored[0].rollout
    bare = tuple(Message(m.role, m.text) for m in rollout.dialogue.messages)
    read = replace(rollout, dialogue=replace(rollout.dialogue, messages=bare))
    with pytest.raises(AuthorError, match="run its programs again"):
        told_again(read, place.machine.environment(), "brief")


def test_the_mix_has_any_attempt_plain_and_the_best_one_with_its_guide(
    groups: tuple[Group, ...], dialogues: list[tuple[tuple[Message, ...], bool]]
) -> None:
    plain = [m for m, guided in dialogues if not guided]
    guided = [m for m, guided in dialogues if guided]
    assert len(plain) == 2 * len(groups)
    assert 1 <= len(guided) <= len(groups)
    assert all("Decision Guide" in m[0].text for m in guided)
    assert not any("Decision Guide" in m[0].text for m in plain)
    for messages in guided:
        assert any(
            [m.text for m in messages if m.role is Role.ASSISTANT]
            == [m.text for m in s.rollout.dialogue.messages if m.role is Role.ASSISTANT]
            for g in groups
            for s in g.scored
            if s.total == max(x.total or 0.0 for x in g.scored)
        )


def test_a_group_without_a_difference_has_no_guide(groups: tuple[Group, ...]) -> None:
    from dataclasses import replace

    same = replace(groups[0], scored=(groups[0].scored[0],) * 3)
    assert guide_of(same) is None


# ---- tokens ------------------------------------------------------------------------------------------


def test_tokens_are_those_of_the_policy_and_only_turns_are_learned(
    dialogues: list[tuple[tuple[Message, ...], bool]],
) -> None:
    made = tokenizer()
    form = chat_format(made)
    policy = LocalPolicy(_random(len(made)), made)
    for messages, guided in dialogues[:4]:
        example = tokens_of(messages, form, guided=guided)
        assert len(example.ids) == len(example.mask)
        assert example.guided == guided
        # What a policy reads before a turn is a beginning of the example, and the turn begins right there.
        for i, message in enumerate(messages):
            if message.role is Role.ASSISTANT:
                prompt = policy.prompt_ids(messages[:i])
                assert list(example.ids[: len(prompt)]) == prompt
                turn = [*form.encode(message.text), form.ends[0]]
                there = slice(len(prompt), len(prompt) + len(turn))
                assert list(example.ids[there]) == turn
                assert set(example.mask[there]) == {1}
        learned = sum(len(form.encode(m.text)) + 1 for m in messages if m.role is Role.ASSISTANT)
        assert sum(example.mask) == learned


def test_a_guide_changes_nothing_that_is_learned(
    dialogues: list[tuple[tuple[Message, ...], bool]],
) -> None:
    from genevolve.programs.policies.context import with_guide

    form = chat_format(tokenizer())
    messages = next(m for m, guided in dialogues if guided)
    guided, plain = (tokens_of(m, form) for m in (messages, with_guide(messages, None)))
    chosen = [[i for i, k in zip(e.ids, e.mask, strict=True) if k] for e in (guided, plain)]
    assert chosen[0] == chosen[1]
    assert len(guided.ids) > len(plain.ids)


# ---- training ----------------------------------------------------------------------------------------


def test_only_turns_are_learned_and_the_same_seed_learns_the_same(tmp_path: Path) -> None:
    ids = tuple(range(5, 35))
    examples = [Example(ids, tuple(int(i >= 15) for i in range(30)), False)] * 8
    weights = []
    for run in ("a", "b"):
        model, made = _mini()
        before = _losses(model, ids)
        settings = ColdStart(epochs=12, batch=4, learning_rate=1e-2, seed=3)
        told = cold_start(model, made, examples, settings, tmp_path / run)
        after = _losses(model, ids)
        weights.append({n: p.detach().clone() for n, p in model.named_parameters()})
        assert told["steps"] == 24
        assert told["last_loss"] < told["first_loss"] / 3
        assert float(after[15:].mean()) < float(before[15:].mean()) / 3
        assert float(after[:10].mean()) > float(after[15:].mean()) * 3  # nothing of the prompt was learned
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])


def test_the_loss_is_that_of_transformers(tmp_path: Path) -> None:
    """One step without a change of weights: the logged loss is the mean over the assistant's tokens."""
    model, made = _mini()
    long, short = tuple(range(5, 45)), tuple(range(60, 75))
    examples = [
        Example(long, tuple(int(i % 3 == 0) for i in range(40)), False),
        Example(short, tuple(int(i > 4) for i in range(15)), True),
    ]
    total = count = 0.0
    for e in examples:
        mask = torch.tensor(e.mask[1:], dtype=torch.float32)
        total += float((_losses(model, e.ids) * mask).sum())
        count += float(mask.sum())
    told = cold_start(model, made, examples, ColdStart(epochs=1, batch=2, learning_rate=0.0), tmp_path)
    assert told["first_loss"] == pytest.approx(total / count, rel=1e-3)
    assert told["guided"] == 1


def test_what_is_too_long_is_left_out_and_told(tmp_path: Path) -> None:
    model, made = _mini()
    short = Example((5, 6, 7), (0, 1, 1), False)
    long = Example(tuple(range(5, 30)), (1,) * 25, False)
    told = cold_start(model, made, [short, long], ColdStart(epochs=1, batch=1, longest=10), tmp_path)
    assert (told["examples"], told["left_out"]) == (1, 1)
    with pytest.raises(AuthorError, match="longest"):
        cold_start(model, made, [long], ColdStart(longest=10), tmp_path)


def test_training_ends_when_its_time_is_over(tmp_path: Path) -> None:
    model, made = _mini()
    examples = [Example((5, 6, 7), (0, 1, 1), False)] * 400
    told = cold_start(model, made, examples, ColdStart(epochs=50, batch=1, minutes=0.0), tmp_path)
    assert told["steps"] < 5


# ---- the mini policy ---------------------------------------------------------------------------------


def test_a_mini_policy_is_saved_with_its_card_and_opens_again(
    tmp_path: Path, dialogues: list[tuple[tuple[Message, ...], bool]]
) -> None:
    texts = [m.text for messages, _ in dialogues for m in messages]
    model, made = make_mini(texts, SMALL, seed=5)
    again, _ = make_mini(texts, SMALL, seed=5)
    other, _ = make_mini(texts, SMALL, seed=6)
    assert torch.equal(model.get_input_embeddings().weight, again.get_input_embeddings().weight)
    assert not torch.equal(model.get_input_embeddings().weight, other.get_input_embeddings().weight)
    folder = save_policy(model, made, tmp_path / "mini")
    policy = LocalPolicy.open(str(folder))
    assert policy.card == "brief"
    assert policy.format.name == "template"
    assert policy.format.exact
    opening = dialogues[0][0][:2]
    before = LocalPolicy(model, made).act([Dialogue("a", 1, opening)], Limits(max_tokens=8))
    after = policy.act([Dialogue("a", 1, opening)], Limits(max_tokens=8))
    assert before[0].tokens is not None
    assert after[0].tokens is not None
    assert before[0].tokens.ids == after[0].tokens.ids
    assert LocalPolicy.open(f"{folder}?card=compact").card == "compact"


def test_the_size_is_that_of_the_settings() -> None:
    model, made = _mini()
    width, feed, layers = SMALL.width, SMALL.feed, SMALL.layers
    key = width // 2
    each = 2 * width * (width + key) + 2 * (width + key) + 3 * width * feed + 2 * width
    assert size_of(model) == len(made) * width + layers * each + width
    full, _ = make_mini(_texts(), MiniSettings(practice=0), seed=0)
    assert 1_000_000 < size_of(full) < 10_000_000


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"vocabulary": 100}, "at least 300"),
        ({"width": 190}, "must divide"),
        ({"heads": 6, "key_heads": 4}, "key heads"),
        ({"layers": 1}, "at least two"),
        ({"practice": -1}, "at least 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(AuthorError, match=said):
        MiniSettings(**sizes)


@pytest.mark.parametrize("text", ["", "[]", '{"card": 7}', '{"card": "huge"}', "{"])
def test_a_damaged_policy_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / POLICY_FILE).write_text(text)
    with pytest.raises(ConfigurationError):
        LocalPolicy.open(str(tmp_path))


def test_a_policy_file_sets_the_card_and_nothing_else(tmp_path: Path) -> None:
    from genevolve.programs.policies.local.options import LocalOptions

    (tmp_path / POLICY_FILE).write_text('{"card": "brief", "trust_remote_code": true, "pickle": true}')
    own = LocalOptions.of_folder(tmp_path)
    assert (own.card, own.trust_remote_code, own.pickle) == ("brief", False, False)


# ---- helpers -----------------------------------------------------------------------------------------


def _texts() -> list[str]:
    return [f"let page{i} = search({i} of the harbour, top_k: 3) and so on with words" for i in range(200)]


def _mini() -> tuple[Any, Any]:
    return make_mini(_texts(), SMALL, seed=1)


def _random(vocabulary: int) -> Any:
    from tiny_policies import model

    assert vocabulary
    return model()


def _losses(model: Any, ids: tuple[int, ...]) -> torch.Tensor:
    """(n − 1,) what each token after the first costs."""
    row = torch.tensor([ids])
    with torch.no_grad():
        logits = model(input_ids=row).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="none")
