"""The cold start: supervised training on trajectories, on the assistant's tokens alone, with TRL.

    examples = examples_of(rollouts, rewards, environment, form, settings)
    cold_start(model, tokenizer, examples, settings, out)

A small model does not follow a decision guide by itself. So part of the examples show a guide in the system message
and then the best attempt at the request that the guide was drawn from; the others show any attempt without a guide.
Afterwards the same weights do better with a guide than without, which is what a teacher must.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.contrast import MIN_GAP, About, Skipped, Summarise, contrast, summarise
from genevolve.optimizer.evolution import Group, attempt_of
from genevolve.programs.policies.context import answer, guide_text, opening, with_guide
from genevolve.programs.policies.protocol import Message, Role

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment
    from genevolve.programs.policies.language_card import Size
    from genevolve.programs.policies.local.chat import ChatFormat
    from genevolve.programs.synthesis.rollout import Rollout


@dataclass(frozen=True)
class ColdStart:
    """How the cold start trains; the paper's numbers are lr 1e-5, warm-up 0.02, 2 epochs, batches of 32.

    Attributes:
        epochs: Passes over the examples.
        batch: Examples of one step of the optimizer.
        rows_per_pass: Examples of one forward and backward pass; 0 is all of a batch.
        learning_rate: At its highest; it falls as a cosine.
        warmup: Share of the steps in which it rises.
        weight_decay: Of AdamW.
        longest: Tokens of an example; longer ones are left out and counted.
        minutes: Wall time at most; None is no limit.
        seed: Of the order.
        bf16: Mixed precision.
    """

    epochs: float = 2.0
    batch: int = 32
    rows_per_pass: int = 0
    learning_rate: float = 1e-5
    warmup: float = 0.02
    weight_decay: float = 0.0
    longest: int = 4096
    minutes: float | None = None
    seed: int = 0
    bf16: bool = False


@dataclass(frozen=True)
class Example:
    """One dialogue as tokens. `mask` is 1 on the assistant's tokens, the end of each turn included."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    guided: bool


# ---- from rollouts to messages -----------------------------------------------------------------------


def told_again(rollout: Rollout, environment: Environment, card: Size) -> tuple[Message, ...]:
    """The dialogue of a rollout as a policy with another card reads it; the assistant's turns are the same.

    Raises:
        AuthorError: The rollout does not know what its turns told (it was read from a file as text).
    """
    first, user, *rest = rollout.dialogue.messages
    if first.role is not Role.SYSTEM or user.turn is None:
        raise AuthorError("this trajectory holds texts alone; run its programs again to train on them")
    found = list(opening(rollout.sketch.tree, environment, card=card, turn=user.turn))
    for message in rest:
        if message.role is Role.ASSISTANT:
            found.append(message)
        elif message.turn is None:
            raise AuthorError("this trajectory holds texts alone; run its programs again to train on them")
        else:
            found.append(answer(message.turn, environment, card=card))
    while found and found[-1].role is not Role.ASSISTANT:
        found.pop()
    return tuple(found)


def guide_of(group: Group, *, min_gap: float = MIN_GAP, summariser: Summarise = summarise) -> str | None:
    """The guide that a group of attempts teaches; None when there is nothing to tell."""
    about = About(group.request.wanted.request, created=0.0)
    made = contrast(about, [attempt_of(s) for s in group.scored], min_gap=min_gap, summariser=summariser)
    return None if isinstance(made, Skipped) else guide_text(made.bundle.to_dict())


def dialogues_of(
    groups: Sequence[Group],
    environment: Environment,
    card: Size,
    *,
    min_gap: float = MIN_GAP,
    plain: int = 1,
    summariser: Summarise = summarise,
    seed: int = 0,
) -> list[tuple[tuple[Message, ...], bool]]:
    """The dialogues to train on, each with whether it has a guide.

    Of every group `plain` attempts that were filled, drawn by the seed, without a guide: the mix as the teacher policy
    writes it. Of every group whose best and worst differ the best attempt once more, after the guide.
    """
    found: list[tuple[tuple[Message, ...], bool]] = []
    for number, group in enumerate(groups):
        filled = [s for s in group.scored if s.rollout.filled and s.total is not None]
        if not filled:
            continue
        rng = random.Random(f"{seed}:{number}")  # noqa: S311  # repeatable chance, no secrets
        for chosen in rng.sample(filled, min(plain, len(filled))):
            found.append((told_again(chosen.rollout, environment, card), False))
        best = max(filled, key=lambda s: s.total or 0.0)
        guide = guide_of(group, min_gap=min_gap, summariser=summariser)
        if guide is not None:
            found.append((with_guide(told_again(best.rollout, environment, card), guide), True))
    return found


# ---- from messages to tokens -------------------------------------------------------------------------


def tokens_of(messages: Sequence[Message], form: ChatFormat, *, guided: bool = False) -> Example:
    """A dialogue as the tokens that a policy reads and writes; it ends with the end of the last turn."""
    from genevolve.programs.policies.local.chat import merged

    ids: list[int] = []
    mask: list[int] = []
    before: Role | None = None
    for message in merged(messages, form):
        joint = list(form.between(before, message.role) or ())
        own = before is Role.ASSISTANT  # the joint after a turn begins with its end
        ids += joint
        mask += [int(own and i == 0) for i in range(len(joint))]
        text = form.encode(message.text)
        ids += text
        mask += [int(message.role is Role.ASSISTANT)] * len(text)
        before = message.role
    if before is Role.ASSISTANT:
        ids.append(form.ends[0])
        mask.append(1)
    return Example(tuple(ids), tuple(mask), guided)


# ---- training ----------------------------------------------------------------------------------------


def cold_start(
    model: Any, tokenizer: Any, examples: Sequence[Example], settings: ColdStart, out: Path
) -> Mapping[str, float]:
    """Train a model in place by TRL's `SFTTrainer`; what is logged at the end is returned.

    Raises:
        AuthorError: No example is short enough.
    """
    import torch
    from datasets import Dataset
    from trl import SFTConfig

    usable = [e for e in examples if len(e.ids) <= settings.longest]
    if not usable:
        raise AuthorError(f"no example has at most {settings.longest} tokens; raise cold_start.longest")
    data = Dataset.from_dict(
        {"input_ids": [list(e.ids) for e in usable], "assistant_masks": [list(e.mask) for e in usable]}
    )
    rows = settings.rows_per_pass or settings.batch
    steps = max(1, round(settings.epochs * -(-len(usable) // settings.batch)))
    config = SFTConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=max(1, settings.batch // rows),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_length=None,
        packing=False,
        bf16=settings.bf16,
        activation_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to=[],
        logging_steps=max(1, steps // 20),
        disable_tqdm=True,
        seed=settings.seed,
        data_seed=settings.seed,
        dataloader_pin_memory=False,
    )
    callbacks = [] if settings.minutes is None else [_clock(settings.minutes)]
    trainer = _trainer_class()(
        model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=callbacks
    )
    trainer.train()
    model.eval()
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return {
        "examples": float(len(usable)),
        "left_out": float(len(examples) - len(usable)),
        "guided": float(sum(e.guided for e in usable)),
        "tokens": float(sum(len(e.ids) for e in usable)),
        "steps": float(trainer.state.global_step),
        "first_loss": losses[0] if losses else float("nan"),
        "last_loss": losses[-1] if losses else float("nan"),
    }


def _trainer_class() -> Any:
    from torch.nn import functional
    from trl import SFTTrainer

    from genevolve.optimizer.scoring import body_of

    class AssistantTrainer(SFTTrainer):  # type: ignore[misc]  # TRL's trainer is not typed
        """TRL's trainer with the head computed where a token is learned, and nowhere else."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if return_outputs or self.accelerator.num_processes > 1:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            whole = self.accelerator.unwrap_model(model)
            # Rows are padded at their end, where a causal model's padding is never looked at: no mask is needed.
            with self.accelerator.autocast():
                hidden = body_of(whole)(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state
                learned = inputs["labels"][:, 1:] != -100
                logits = whole.get_output_embeddings()(hidden[:, :-1][learned])
                total = functional.cross_entropy(
                    logits.float(), inputs["labels"][:, 1:][learned], reduction="sum"
                )
            count = learned.sum() if num_items_in_batch is None else num_items_in_batch
            return total / count

    return AssistantTrainer


def _clock(minutes: float) -> Any:
    import time

    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers' class is not typed here
        """Ends training when its time is over."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.end = time.monotonic() + 60 * minutes

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            control.should_training_stop = control.should_training_stop or time.monotonic() > self.end

    return Clock()
