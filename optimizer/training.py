"""Evolving a policy: steps of rollouts, rewards, contrast and distillation, driven by TRL's trainer.

    ended = evolve(model, tokenizer, policy, evolution, requests, Schedule(steps=200), Distillation(), out=…,
                   on_step=…, on_saved=…)

Which requests a step has depends on the seed and its number alone, and so do the seeds of its rollouts. With the
checkpoints of the trainer and a memory of the same moment, a run that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import os
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.optimizer.chance import undisturbed

if TYPE_CHECKING:
    from genevolve.optimizer.evolution import Evolution, Request, Step
    from genevolve.optimizer.trainer import Distillation
    from genevolve.programs.policies.local import LocalPolicy

_SPLITS = 1_000_003
"""Steps of one seed never use the numbers of another's."""


@dataclass(frozen=True)
class Schedule:
    """How long, how fast and on what; the defaults are the paper's (METHOD §3).

    Attributes:
        steps: Steps of the optimizer, each with rollouts of its own.
        requests: Requests of a step; each has K siblings (`evolution.Settings`).
        learning_rate: At the start.
        scheduler: `cosine`, `linear` or `constant`.
        warmup: Share of the steps in which the learning rate rises.
        rows_per_pass: Rows of one forward and backward pass, a multiple of K; 0 is all of a step.
        max_grad_norm: Gradients are clipped to this norm.
        epsilon_low: The ratio is clipped below at 1 − this.
        epsilon_high: And above at 1 + this.
        temperature: At which rollouts are sampled and log-probabilities are taken.
        bf16: Mixed precision.
        gradient_checkpointing: Compute activations twice instead of keeping them.
        save_every: Steps between checkpoints; 0 saves none.
        keep: Checkpoints that are kept.
        seed: Of the order of requests, and of the trainer.
        report_to: Trackers of transformers: `trackio`, `tensorboard`, `wandb`.
    """

    steps: int = 200
    requests: int = 8
    learning_rate: float = 1e-6
    scheduler: str = "cosine"
    warmup: float = 0.0
    rows_per_pass: int = 0
    max_grad_norm: float = 1.0
    epsilon_low: float = 0.2
    epsilon_high: float = 0.28
    temperature: float = 0.7
    bf16: bool = False
    gradient_checkpointing: bool = False
    save_every: int = 0
    keep: int = 2
    seed: int = 0
    report_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepRecord:
    """One step that was taken. `step` counts from 1; `figures` are of the rollouts and of the trainer."""

    step: int
    made: Step
    figures: Mapping[str, float]


Listener: TypeAlias = Callable[[StepRecord], "str | None"]
"""Told after each step; a text ends the run and is its reason."""
Saved: TypeAlias = Callable[[int, Path], None]
"""Told when the trainer's checkpoint of a step is complete on disk."""


def schedule_of(requests: Sequence[Request], schedule: Schedule, step: int) -> list[Request]:
    """The requests of a step (from 1): each pass over all of them is a permutation of its own.

    Raises:
        AuthorError: There are fewer requests than a step has.
    """
    if len(requests) < schedule.requests:
        raise AuthorError(
            f"a step has {schedule.requests} requests, but there are only {len(requests)} to learn from"
        )
    found: list[Request] = []
    place = (step - 1) * schedule.requests
    while len(found) < schedule.requests:
        turn, at = divmod(place + len(found), len(requests))
        order = list(range(len(requests)))
        random.Random(f"{schedule.seed}:{turn}").shuffle(order)  # noqa: S311  # repeatable chance, no secrets
        found.append(requests[order[at]])
    return found


def evolve(
    model: Any,
    tokenizer: Any,
    policy: LocalPolicy,
    evolution: Evolution,
    requests: Sequence[Request],
    schedule: Schedule,
    distillation: Distillation,
    *,
    out: Path,
    on_step: Listener | None = None,
    on_saved: Saved | None = None,
    resume: Path | None = None,
) -> str:
    """Train a model in place; why it ended, "" when all steps were taken.

    Args:
        model: The model of `policy`, or a PEFT model around it.
        tokenizer: Its tokenizer.
        policy: The same model as a policy: it makes the rollouts.
        evolution: Makes the steps; its settings say how many siblings a request has.
        requests: What is learned on.
        schedule: How long and how fast.
        distillation: The teacher and its weight.
        out: Where the trainer writes its checkpoints (`checkpoint-N`).
        on_step: Told after each step.
        on_saved: Told after each checkpoint.
        resume: A checkpoint to go on from.

    Raises:
        AuthorError: Rows and passes do not divide, or there are too few requests.
        ConfigurationError: This is one of several processes, or several GPUs are visible.
    """
    check_alone()
    from datasets import Dataset

    from genevolve.optimizer.trainer import VEDTrainer, precomputed_reward

    schedule_of(requests, schedule, 1)
    watch = _Watch(on_step, on_saved, out)

    def rollout(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        number = int(trainer.state.global_step) + 1
        # What was sampled must not depend on how the trainer left its own generators, nor disturb them.
        with undisturbed(schedule.seed * _SPLITS + number):
            model.eval()
            try:
                policy.refresh()
                made = evolution.step(schedule_of(requests, schedule, number), number)
            finally:
                model.train()
        if len(made.rows) != len(prompts):
            raise AuthorError(f"a step made {len(made.rows)} rows where the trainer wants {len(prompts)}")
        watch.begun(made)
        return made.answer()

    rows = schedule.requests * evolution.siblings
    with _quiet():
        trainer = VEDTrainer(
            model=model,
            args=_arguments(schedule, rows, evolution.siblings, out),
            distillation=distillation,
            reward_funcs=precomputed_reward,
            # What stands here is never read: the rows of a step come from `rollout`.
            train_dataset=Dataset.from_dict({"prompt": ["-"] * (schedule.requests * max(2, schedule.steps))}),
            processing_class=tokenizer,
            rollout_func=rollout,
            callbacks=[watch.callback()],
        )
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    model.eval()
    policy.refresh()
    return watch.reason


def check_alone() -> None:
    """Refuse to be one of several processes: each would make the same rollouts, and all would write the same files.

    Raises:
        ConfigurationError: It is one of several, or it sees several GPUs, over which transformers would split batches.
    """
    import torch

    processes = os.environ.get("WORLD_SIZE", "1")
    if processes not in ("", "0", "1"):
        raise ConfigurationError(
            f"this is one of {processes} processes, and evolution uses one; start it without a launcher (docs/scale.md)"
        )
    gpus = torch.cuda.device_count()
    if gpus > 1:
        raise ConfigurationError(
            f"{gpus} GPUs are visible to one process; name one of them, as in CUDA_VISIBLE_DEVICES=0 (docs/scale.md)"
        )


def _arguments(schedule: Schedule, rows: int, siblings: int, out: Path) -> Any:
    import torch
    from trl import GRPOConfig

    each = schedule.rows_per_pass or rows
    if rows % each or each % siblings:
        raise AuthorError(
            f"rows_per_pass must divide the {rows} rows of a step and be a multiple of its {siblings} siblings, "
            f"not {each}"
        )
    return GRPOConfig(
        output_dir=str(out),
        max_steps=schedule.steps,
        per_device_train_batch_size=each,
        gradient_accumulation_steps=rows // each,
        steps_per_generation=rows // each,
        num_generations=siblings,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type=schedule.scheduler,
        warmup_steps=round(schedule.warmup * schedule.steps),
        max_grad_norm=schedule.max_grad_norm,
        beta=0.0,
        loss_type="luspo",
        epsilon=schedule.epsilon_low,
        epsilon_high=schedule.epsilon_high,
        temperature=schedule.temperature,
        use_bias_correction_kl=False,
        bf16=schedule.bf16,
        gradient_checkpointing=schedule.gradient_checkpointing,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="steps" if schedule.save_every else "no",
        save_steps=max(1, schedule.save_every),
        save_total_limit=schedule.keep,
        logging_steps=1,
        report_to=list(schedule.report_to) or "none",
        disable_tqdm=True,
        seed=schedule.seed,
        dataloader_pin_memory=False,
        max_completion_length=None,
        log_completions=False,
    )


class _Watch:
    """Joins what a step's rollouts told with what the trainer logs of it."""

    def __init__(self, on_step: Listener | None, on_saved: Saved | None, out: Path) -> None:
        self._on_step, self._on_saved, self._out = on_step, on_saved, out
        self._made: Step | None = None
        self._began = time.monotonic()
        self.reason = ""

    def begun(self, made: Step) -> None:
        """Rollouts of a step are there."""
        self._made = made

    def ended(self, step: int, logs: Mapping[str, Any]) -> bool:
        """The trainer logged a step; whether the run is to end."""
        if self._made is None or "loss" not in logs:
            return False
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        made, self._made = self._made, None
        figures = dict(made.figures) | trainer_figures(logs)
        apart = sum(figures.get(f"seconds/{part}", 0.0) for part in ("rollouts", "judging", "memory"))
        figures |= {"seconds/step": seconds, "seconds/training": max(0.0, seconds - apart)}
        figures["tokens_per_second"] = figures.get("rollouts/tokens", 0.0) / max(seconds, 1e-9)
        said = self._on_step(StepRecord(step, made, figures)) if self._on_step is not None else None
        self.reason = said or self.reason
        return bool(said)

    def callback(self) -> Any:
        """For the trainer."""
        from transformers import TrainerCallback

        watch = self

        class Watching(TrainerCallback):  # type: ignore[misc]  # transformers' class is not typed here
            """Hears what the trainer logs and saves."""

            def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
                watch._began = time.monotonic()

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
                if watch.ended(int(state.global_step), logs or {}):
                    control.should_training_stop = True
                    # A run that stops by itself leaves a checkpoint to go on from.
                    control.should_save = control.should_save or args.save_strategy != "no"

            def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
                if watch._on_saved is not None:
                    step = int(state.global_step)
                    watch._on_saved(step, watch._out / f"checkpoint-{step}")
                # What a gate takes is no part of the next step.
                watch._began = time.monotonic()

        return Watching()


_TRAINER_NAMES: Mapping[str, str] = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip/both",
    "clip_ratio/high_mean": "clip/high",
    "clip_ratio/low_mean": "clip/low",
    "completions/mean_length": "lengths/row",
}


def trainer_figures(logs: Mapping[str, Any]) -> dict[str, float]:
    """What the trainer logged, under our names: those of the table, and all that begins with `sdl/` or `rollouts/`."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        known = _TRAINER_NAMES.get(name) or (name if name.startswith(("sdl/", "rollouts/")) else None)
        if known is not None:
            found[known] = float(value)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without TRL's notes on experiments that were weighed here."""
    before = os.environ.get("TRL_EXPERIMENTAL_SILENCE")
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl")
            warnings.filterwarnings("ignore", message=".*rollout_func.*", category=UserWarning)
            yield
    finally:
        if before is None:
            os.environ.pop("TRL_EXPERIMENTAL_SILENCE", None)
        else:
            os.environ["TRL_EXPERIMENTAL_SILENCE"] = before
