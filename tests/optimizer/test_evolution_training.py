"""Steps of evolution and the trainer together: a tiny model that learns from real pictures and real advice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from evolving import Ground, ground, memory
from tiny_policies import local, tokenizer

from genevolve.experience_store.store import ExperienceStore
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.optimizer.evolution import Settings
from genevolve.optimizer.trainer import Distillation, Teacher, VEDTrainer, precomputed_reward
from genevolve.programs.policies.protocol import Limits
from genevolve.programs.synthesis.rollout import Bounds

pytestmark = pytest.mark.filterwarnings("default")  # TRL and transformers warn about their own defaults

SETTINGS = Settings(siblings=3, seed=1)


@pytest.fixture(scope="module")
def place(small_world: Path, shared_cache: Path) -> Iterator[Ground]:
    with ground(small_world, shared_cache, 3) as made:
        yield made


def arguments(folder: Path, rows: int, steps: int) -> Any:
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=rows,
        steps_per_generation=1,
        gradient_accumulation_steps=1,
        num_generations=SETTINGS.siblings,
        max_steps=steps,
        learning_rate=0.05,
        lr_scheduler_type="constant",
        optim="sgd",  # Adam would turn rounding of gradients near 0 into whole steps
        max_grad_norm=0.0,
        beta=0.0,
        loss_type="luspo",
        use_bias_correction_kl=False,
        epsilon_high=0.28,
        temperature=0.7,
        max_completion_length=None,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        seed=3,
    )


class Run:
    """A model, its policy, and a trainer whose rollouts are steps of evolution. `made` holds those steps."""

    def __init__(
        self, place: Ground, folder: Path, store: ExperienceStore | None, *, steps: int = 1, **more: Any
    ) -> None:
        from datasets import Dataset

        self.policy = local()
        self.place = replace(place, local=self.policy, **{k: v for k, v in more.items() if k == "judge"})
        self.requests = more.get("requests", place.requests)
        self.settings: Settings = more.get("settings", SETTINGS)
        self.own: bool = more.get("own", False)
        self.store, self.made = store, list[Any]()
        rows = len(self.requests) * self.settings.siblings
        self.start = self.weights()
        self.trainer = VEDTrainer(
            model=self.policy.model,
            args=arguments(folder, rows, steps),
            distillation=more.get("distillation", Distillation(teacher=Teacher.EMA, ema_rate=0.5)),
            reward_funcs=[precomputed_reward],
            train_dataset=Dataset.from_dict({"prompt": ["-"] * rows * 2}),
            processing_class=tokenizer(),
            rollout_func=self._rollout,
        )

    def _rollout(self, prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        number = int(trainer.state.global_step) + 1
        self.policy.model.eval()
        speaker = self.policy if self.own else self.place.oracle()
        step = self.place.step(speaker, self.store, self.settings, requests=self.requests, number=number)
        self.policy.model.train()
        self.made.append(step)
        return dict(step.answer())

    def train(self) -> Run:
        self.trainer.train()
        return self

    def weights(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.policy.model.parameters()]

    def logged(self, name: str) -> list[float]:
        return [entry[name] for entry in self.trainer.state.log_history if name in entry]


def same(a: list[torch.Tensor], b: list[torch.Tensor], atol: float) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=atol)


def test_two_steps_learn_and_are_the_same_again(place: Ground, tmp_path: Path) -> None:
    with memory(tmp_path / "one") as one, memory(tmp_path / "two") as two:
        asked = place.requests[:2]
        run = Run(place, tmp_path / "a", one, steps=2, requests=asked).train()
        again = Run(place, tmp_path / "b", two, steps=2, requests=asked).train()
        assert len(run.made) == 2
        for mine, other in zip(run.made, again.made, strict=True):
            assert mine.rows == other.rows
            assert [g.guide for g in mine.groups] == [g.guide for g in other.groups]
        same(run.weights(), again.weights(), 0.0)
        assert any(not torch.equal(a, b) for a, b in zip(run.start, run.weights(), strict=True))
        versions = {e.step: e.policy for e in one.list()}
        assert set(versions) == {1, 2}
        assert versions[1] == local().version, "what made the first experiences had not learned yet"
        assert versions[1] != versions[2] != run.policy.version
    for number, made in enumerate(run.made):
        taught = [r["teacher_prompt_ids"] is not None for r in made.rows]
        assert any(taught)
        assert run.logged("sdl/rows_with_bundle")[number] == pytest.approx(sum(taught) / 6)
        assert run.logged("rollouts/trained_rows")[number] == pytest.approx(
            sum(r["train_row"] for r in made.rows) / 6
        )
        assert run.logged("sdl/loss")[number] > 0
        assert run.logged("reward")[number] == pytest.approx(made.figures["reward/mean"], rel=1e-5)
        assert run.logged("frac_reward_zero_std")[number] == pytest.approx(made.figures["groups/degenerate"])
        assert math.isfinite(run.logged("loss")[number])
    assert run.logged("kl")[0] == pytest.approx(0, abs=1e-6)
    assert run.logged("kl")[1] > 0


class Partly:
    """A judge that cannot see some pictures: those for which `blind` is true of the case and its number."""

    name, version = "partly", "1"

    def __init__(self, judge: Any, blind: Any) -> None:
        self._judge, self._blind = judge, blind
        self._seen: dict[str, int] = {}

    def score(self, case: Case) -> Verdict:
        number = self._seen[case.id] = self._seen.get(case.id, -1) + 1
        if self._blind(case, number):
            raise RuntimeError("it was too dark")
        verdict: Verdict = self._judge.score(case)
        return verdict


def test_a_group_that_nobody_could_judge_is_as_if_it_had_not_been_rolled_out(
    place: Ground, tmp_path: Path
) -> None:
    lost = place.requests[1].wanted.id
    with memory(tmp_path / "one") as one, memory(tmp_path / "two") as two:
        blind = Partly(place.judge, lambda case, number: case.id == lost)
        partly = Run(place, tmp_path / "a", one, judge=blind).train()
        without = Run(place, tmp_path / "b", two, requests=[place.requests[0], place.requests[2]]).train()
    assert [r["train_row"] for r in partly.made[0].rows] == [1] * 3 + [0] * 3 + [1] * 3
    assert partly.made[0].groups[1].learned == "too few scored"
    same(partly.weights(), without.weights(), 1e-6)
    moved = max(float((a - b).abs().max()) for a, b in zip(partly.start, partly.weights(), strict=True))
    assert moved > 1e-4
    assert partly.logged("loss")[0] == pytest.approx(without.logged("loss")[0], rel=1e-4)


def test_an_unscored_sibling_has_no_advantage_and_no_part_in_that_of_the_others(
    place: Ground, tmp_path: Path
) -> None:
    blind = Partly(place.judge, lambda case, number: number == 1)
    with memory(tmp_path / "store") as store:
        run = Run(place, tmp_path / "a", store, judge=blind)
        run.trainer.model.train()
        batch = run.trainer._generate_and_score_completions([{"prompt": "-"} for _ in range(9)])
    (made,) = run.made
    assert any(not g.degenerate for g in made.groups)
    for i, group in enumerate(made.groups):
        mine = slice(3 * i, 3 * i + 3)
        totals = torch.tensor([math.nan if s.total is None else s.total for s in group.scored])
        known = totals[~totals.isnan()]
        assert len(known) == 2
        wanted = (totals - known.mean()) / (known.std() + 1e-4)
        torch.testing.assert_close(batch["advantages"][mine], wanted.nan_to_num(0.0), rtol=1e-4, atol=1e-5)
        left_out = totals.isnan() | torch.tensor(group.degenerate)
        assert not batch["tool_mask"][mine][left_out].any()
        assert not batch["sdl_rows"][mine][left_out].any()
    kept = sum(r["train_row"] for r in made.rows)
    assert float(batch["row_scale"]) == pytest.approx(9 / kept)


def test_a_step_of_which_nothing_can_be_learned_leaves_the_weights(place: Ground, tmp_path: Path) -> None:
    with memory(tmp_path / "store") as store:
        dark = Partly(place.judge, lambda case, number: True)
        run = Run(place, tmp_path / "a", store, judge=dark, requests=place.requests[:1]).train()
        assert len(store) == 0
    same(run.start, run.weights(), 0.0)
    assert run.logged("loss") == [0.0]
    assert run.made[0].figures["reward/unscored"] == 1


def test_a_model_that_writes_its_own_rollouts_is_scored_on_policy(place: Ground, tmp_path: Path) -> None:
    """Under constrained decoding: what was noted while sampling is what the trainer's own pass finds."""
    settings = replace(SETTINGS, bounds=Bounds(turns=2, turn=Limits(max_tokens=40)))
    run = Run(place, tmp_path / "a", None, own=True, settings=settings, requests=place.requests[:1])
    run.trainer.model.train()
    batch = run.trainer._generate_and_score_completions([{"prompt": "-"} for _ in range(3)])
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    with torch.no_grad():
        logs, _, _ = run.trainer._get_per_token_logps_and_entropies(
            run.trainer.model, ids, mask, batch["completion_ids"].shape[1]
        )
    for i, row in enumerate(run.made[0].rows):
        for t, (noted, chosen) in enumerate(zip(row["logprobs"], row["env_mask"], strict=True)):
            if chosen:
                assert float(logs[i, t]) == pytest.approx(noted, abs=1e-4)
