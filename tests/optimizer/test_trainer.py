"""The trainer: exactly TRL's GRPO without distillation, and exactly the equations with it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from genevolve.optimizer.sdl import Normaliser, SDLSettings, sdl_terms

pytestmark = pytest.mark.filterwarnings("default")  # TRL and transformers warn about their own defaults

WORDS, SIBLINGS = 41, 3


def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<end>": 1} | {f"w{i}": i for i in range(2, WORDS)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="w2")), pad_token="<pad>", eos_token="<end>"
    )


def policy() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def rollouts(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """Made-up rollouts: unequal lengths, observation tokens, rewards, advice for two rows in three."""
    r = random.Random(len(prompts) + 1000 * int(trainer.state.global_step))
    out: dict[str, Any] = {
        k: []
        for k in (
            "prompt_ids",
            "completion_ids",
            "logprobs",
            "env_mask",
            "reward",
            "teacher_prompt_ids",
            "train_row",
        )
    }
    for i, prompt in enumerate(prompts):
        g = random.Random(prompt)
        ids = [g.randint(2, WORDS - 1) for _ in range(12 + g.randint(0, 8))]
        n = r.randint(4, 14)
        out["prompt_ids"].append(ids)
        out["completion_ids"].append([r.randint(2, WORDS - 1) for _ in range(n)])
        out["logprobs"].append([-1.0] * n)
        out["env_mask"].append([0 if 2 <= t < 4 else 1 for t in range(n)])
        out["reward"].append(None if i == 4 else round(r.random(), 2))
        advice = [g.randint(2, WORDS - 1) for _ in range(9)]
        out["teacher_prompt_ids"].append(advice + ids if i % 3 else None)
        out["train_row"].append(0 if i == 4 else 1)
    return out


def scored_rollouts(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """The same, all of them scored."""
    made = rollouts(prompts, trainer)
    made["reward"] = [0.5 if r is None else r for r in made["reward"]]
    made["train_row"] = [1] * len(prompts)
    return made


def plain_rollouts(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """Those, as TRL's own trainer takes them."""
    made = scored_rollouts(prompts, trainer)
    del made["teacher_prompt_ids"], made["train_row"]
    return made


def arguments(folder: Path, **more: Any) -> Any:
    from trl import GRPOConfig

    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 6,
        "num_generations": SIBLINGS,
        "gradient_accumulation_steps": 1,
        "max_steps": 2,
        "learning_rate": 0.05,
        "optim": "sgd",  # Adam would turn rounding of gradients near 0 into whole steps
        "beta": 0.0,
        "use_bias_correction_kl": False,  # the KL term of the equations, not multiplied by the ratio
        "loss_type": "luspo",
        "epsilon": 0.2,
        "epsilon_high": 0.28,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "max_completion_length": 16,
        "logging_steps": 1,
        "disable_tqdm": True,
        "seed": 3,
    }
    return GRPOConfig(**(settings | more))


def dataset() -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"prompt": f"w{i} w{i + 1}"} for i in range(2, 14)])


def build(folder: Path, distillation: Any = None, rollout_func: Any = rollouts, **more: Any) -> Any:
    from genevolve.optimizer.trainer import VEDTrainer, precomputed_reward

    return VEDTrainer(
        model=policy(),
        args=arguments(folder, **more),
        distillation=distillation,
        reward_funcs=[precomputed_reward],
        train_dataset=dataset(),
        processing_class=tokenizer(),
        rollout_func=rollout_func,
    )


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in trainer.model.named_parameters()}


@pytest.mark.parametrize("beta", [0.0, 0.01])
def test_without_distillation_it_is_grpo(
    tmp_path: Path, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import GRPOTrainer

    from genevolve.optimizer import trainer as module

    settings = module.Distillation(weight=0.0, kl_weight=beta)
    ours = build(tmp_path / "ours", settings, scored_rollouts)
    ours.train()
    policy().save_pretrained(tmp_path / "reference")  # TRL loads its reference by name
    model = policy()
    model.config._name_or_path = str(tmp_path / "reference")
    theirs = GRPOTrainer(
        model=model,
        args=arguments(tmp_path / "theirs", beta=beta),
        reward_funcs=[module.precomputed_reward],
        train_dataset=dataset(),
        processing_class=tokenizer(),
        rollout_func=plain_rollouts,
    )
    monkeypatch.setattr(
        "trl.trainer.grpo_trainer.shuffle_sequence_dict",
        lambda batch: module.shuffle_groups(batch, SIBLINGS),
    )
    theirs.train()
    for (name, a), b in zip(weights(ours).items(), weights(theirs).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=name)
    start = policy().state_dict()
    assert any((start[n] - p).abs().max() > 1e-4 for n, p in weights(ours).items())


def captured(trainer: Any) -> tuple[Any, dict[str, Any]]:
    """A trainer's model and one batch as the loss sees it."""
    rows = [{"prompt": p} for p in ("w2 w3", "w5 w6") for _ in range(SIBLINGS)]
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer.model, trainer._generate_and_score_completions(rows)


def log_probs(model: Any, prompt: torch.Tensor, mask: torch.Tensor, completion: torch.Tensor) -> torch.Tensor:
    """(B, C) by a plain pass in float64, row by row."""
    rows = []
    for p, m, c in zip(prompt, mask, completion, strict=True):
        ids = torch.cat([p[m.bool()], c])
        logits = model(ids[None]).logits[0, :-1].log_softmax(-1)
        rows.append(logits.gather(1, ids[1:, None])[-len(c) :, 0])
    return torch.stack(rows)


@pytest.mark.parametrize("teacher", ["live", "ema", "frozen"])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("normaliser", list(Normaliser))
def test_the_loss_is_the_equations(tmp_path: Path, teacher: str, share: bool, normaliser: Normaliser) -> None:
    """GRPO (clipped, seq-mean-token-sum), KL and SDL written out in float64, and the gradient of their sum."""
    from genevolve.optimizer.trainer import Distillation, Teacher

    numbers = SDLSettings(keep=0.3, normaliser=normaliser)
    settings = Distillation(
        weight=2.0, teacher=Teacher(teacher), kl_weight=0.05, loss=numbers, share_prefixes=share
    )
    trainer = build(tmp_path, settings, temperature=1.0)
    with torch.no_grad():  # away from the start, so that reference and teacher differ from the student
        torch.manual_seed(7)
        for p in trainer.model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    model, batch = captured(trainer)
    old = torch.randn(batch["completion_ids"].shape) * 0.3
    student = log_probs(model, batch["prompt_ids"], batch["prompt_mask"], batch["completion_ids"]).detach()
    batch["old_per_token_logps"] = student + old  # importance ratios away from 1, some beyond the clip
    loss = trainer._compute_loss(model, batch)
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters()}

    exact = policy().double()  # made anew: a copy would share the forward that TRL patches
    exact.load_state_dict({n: p.double() for n, p in model.state_dict().items()})
    start = policy().double()
    lp = log_probs(exact, batch["prompt_ids"], batch["prompt_mask"], batch["completion_ids"])
    with torch.no_grad():
        ref = log_probs(start, batch["prompt_ids"], batch["prompt_mask"], batch["completion_ids"])
        taught_by = exact if teacher == "live" else start  # an average that has not moved yet is the start
        lq = log_probs(
            taught_by, batch["teacher_prompt_ids"], batch["teacher_prompt_mask"], batch["completion_ids"]
        )
    mask = (batch["completion_mask"] * batch["tool_mask"]).double()
    before = batch["old_per_token_logps"].double()
    ratio = torch.exp(lp - before)
    advantage = batch["advantages"].double()[:, None]
    clipped = ratio.clamp(0.8, 1.28)
    token = -torch.minimum(ratio * advantage, clipped * advantage)
    token = token + 0.05 * (torch.exp(ref - lp) - (ref - lp) - 1)
    grpo = (token * mask).sum() / (mask.sum(-1) > 0).sum()  # the unscored row is no row
    rows = batch["sdl_rows"].double()
    terms = sdl_terms(lp, lq, before, mask * rows[:, None], numbers)  # itself held against a plain reference
    wanted = grpo + 2.0 * (terms.per_row * rows).sum() / rows.sum()
    wanted.backward()
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)
    for name, p in exact.named_parameters():
        torch.testing.assert_close(
            found[name].double(), p.grad, rtol=1e-3, atol=1e-5 * float(p.grad.abs().max())
        )


def test_without_bundles_distillation_adds_exactly_nothing(tmp_path: Path) -> None:
    from genevolve.optimizer.trainer import Distillation

    model, batch = captured(build(tmp_path / "a", Distillation(weight=2.0)))
    trainer = build(tmp_path / "b", Distillation(weight=2.0))
    plain = build(tmp_path / "c", Distillation(weight=0.0))
    for t in (trainer, plain):
        t.current_gradient_accumulation_steps = 1
    batch["sdl_rows"] = batch["sdl_rows"] * 0
    batch["sdl_count"] = batch["sdl_count"] * 0
    assert float(trainer._compute_loss(model, batch)) == float(plain._compute_loss(model, batch))


def test_observations_and_rows_left_out_have_no_gradient(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    model, batch = captured(trainer)
    trainer._compute_loss(model, batch)
    seen: list[torch.Tensor] = []

    def watch(*args: Any, **named: Any) -> Any:
        out = original(*args, **named)
        if torch.is_grad_enabled():
            out[0].retain_grad()
            seen.append(out[0])
        return out

    original = trainer._get_per_token_logps_and_entropies
    trainer._get_per_token_logps_and_entropies = watch
    trainer._compute_loss(model, batch).backward()
    assert len(seen) == 1, "the student is run once"
    grad = seen[0].grad
    assert grad is not None
    outside = (batch["completion_mask"] * batch["tool_mask"]) == 0
    assert not grad[outside].any()
    assert not grad[4].any(), "the unscored row"
    assert grad[~outside].any()


def test_rows_left_out_are_as_if_they_had_not_been_made(tmp_path: Path) -> None:
    """The loss and every gradient of a batch with such rows, and of the batch without them."""
    trainer = build(tmp_path)
    model, batch = captured(trainer)
    assert float(batch["sdl_rows"].sum()) > 0

    def gradients(inputs: dict[str, Any]) -> tuple[float, list[torch.Tensor]]:
        model.zero_grad()
        loss = trainer._compute_loss(model, inputs)
        loss.backward()
        return float(loss), [p.grad.clone() for p in model.parameters()]

    whole, with_it = gradients(batch)
    keep = torch.tensor([0, 1, 2, 3, 5])
    fewer = {
        name: value[keep] if isinstance(value, torch.Tensor) and value.dim() and len(value) == 6 else value
        for name, value in batch.items()
    }
    fewer["row_scale"] = torch.tensor(1.0)
    less, without_it = gradients(fewer)
    assert whole == pytest.approx(less, rel=1e-6)
    for a, b in zip(with_it, without_it, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    # Whatever the row would have earned, and whatever it says, changes nothing.
    other = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in batch.items()
    }
    other["completion_ids"][4] = other["completion_ids"][4].flip(0)
    other["advantages"][4] = 7.0
    again, with_other = gradients(other)
    assert again == pytest.approx(whole, rel=1e-6)
    for a, b in zip(with_it, with_other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_a_batch_that_must_not_be_trained_on_changes_nothing(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    model, batch = captured(trainer)
    batch["tool_mask"] = batch["tool_mask"] * 0
    loss = trainer._compute_loss(model, batch)
    loss.backward()
    assert float(loss) == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_metrics_of_distillation_are_logged(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    trainer.train()
    logged = {key for entry in trainer.state.log_history for key in entry}
    assert {
        "sdl/loss",
        "sdl/kept_fraction",
        "sdl/teacher_gap",
        "sdl/ratio_clipped",
        "kl",
        "entropy",
    } <= logged
    assert {"sdl/rows_with_bundle", "rollouts/trained_rows"} <= logged


def test_an_averaged_teacher_moves_and_a_frozen_one_does_not(tmp_path: Path) -> None:
    from genevolve.optimizer.trainer import Distillation, Teacher

    start = policy().state_dict()
    for kind, moves in ((Teacher.EMA, True), (Teacher.FROZEN, False)):
        trainer = build(tmp_path / kind.value, Distillation(teacher=kind, ema_rate=0.25))
        trainer.train()
        kept = trainer._teacher.state_dict()
        assert any(not torch.equal(start[n], v) for n, v in kept.items()) is moves
        live = trainer.model.state_dict()
        assert any(not torch.equal(live[n], v) for n, v in kept.items())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, accumulate: int) -> None:
    more = {
        "save_strategy": "steps",
        "save_steps": 1,
        "gradient_accumulation_steps": accumulate,
        "max_steps": 3,
    }
    whole = build(tmp_path / "whole", **more)
    whole.train()
    again = build(tmp_path / "again", **more)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-1"))
    for (name, a), b in zip(weights(whole).items(), weights(again).values(), strict=True):
        assert torch.equal(a, b), name
    for name, value in whole._teacher.state_dict().items():
        assert torch.equal(value, again._teacher.state_dict()[name]), name


def test_micro_batches_sum_to_the_whole(tmp_path: Path) -> None:
    """The same generation batch in one pass or in two gives the same step, up to rounding."""
    one = build(tmp_path / "one", per_device_train_batch_size=6, max_steps=1)
    two = build(
        tmp_path / "two",
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        steps_per_generation=2,
        max_steps=1,
    )
    for t in (one, two):
        t.train()
    for (name, a), b in zip(weights(one).items(), weights(two).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-6, msg=name)


def test_the_kl_term_is_set_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kl_weight"):
        build(tmp_path, None, beta=0.1)
