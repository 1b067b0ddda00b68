"""`VEDTrainer`: TRL's GRPO with the distillation loss of METHOD §3 beside it.

    L = L_GRPO + λ·SDL

Where it hooks into TRL's trainer, and how it departs from it:
- Completions come from a `rollout_func`, whose answer may hold `teacher_prompt_ids` (a list of token ids for each
  completion whose teacher sees a bundle, None for the others) and `train_row` (0 for rows that must not be trained
  on: unscored ones and those of degenerate groups).
- One forward pass of the student serves GRPO and SDL; common beginnings are computed once (`scoring`).
- The reference of the KL term is a copy made here: TRL would load it anew by name, which a model in memory has not.
  Of a PEFT model the adapter alone is kept, as it was at the start.
- Weights that are split over processes are refused: averaged and earlier weights would be wrong without a word.
- Rows that must not be trained on count nowhere: the loss is the mean over the others, as if those had not been made.
- Micro-batches are shuffled by group, so that siblings stay together and share their prompt.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import add_fused_lm_head, pad, split_tensor_dict

from genevolve.grammar.errors import ConfigurationError
from genevolve.optimizer.scoring import score_completions
from genevolve.optimizer.sdl import SDLSettings, sdl_metrics, sdl_terms
from genevolve.optimizer.weights import Shadow

TEACHER_FILE = "teacher.safetensors"
_MEAN_OVER_ROWS = ("grpo", "luspo", "sapo", "dr_grpo")
"""Losses of TRL that divide by the number of rows; the others divide by the number of tokens that count."""


class Teacher(Enum):
    """Whose weights re-score the student's tokens under the advice."""

    LIVE = "live"
    EMA = "ema"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Distillation:
    """How the teacher is had and what its word weighs.

    Attributes:
        weight: λ, the weight of SDL beside the GRPO loss; 0 trains by GRPO alone.
        teacher: Whose weights the teacher has.
        ema_rate: How far an averaged teacher moves towards the student after each step, in [0, 1].
        kl_weight: β of the KL term towards the weights at the start.
        loss: The numbers of the loss itself.
        share_prefixes: Whether common beginnings are computed once.
        recompute_rows: See `score_completions`: 0 keeps all activations of the student's pass.
    """

    weight: float = 2.0
    teacher: Teacher = Teacher.EMA
    ema_rate: float = 0.05
    kl_weight: float = 1e-3
    loss: SDLSettings = field(default_factory=SDLSettings)
    share_prefixes: bool = True
    recompute_rows: int = 0


class VEDTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL's trainer is not typed
    """Visual experience distillation on TRL's GRPO trainer.

    Args:
        model: A causal language model of transformers in memory, or a PEFT model.
        args: TRL's settings; `beta` must be 0 (the KL term is `Distillation.kl_weight`).
        distillation: The distillation's own settings.
        **rest: As for `GRPOTrainer`: `reward_funcs`, `train_dataset`, `processing_class`, `rollout_func` …

    Raises:
        ValueError: `args.beta` is not 0.
        ConfigurationError: Weights would be split over processes, or batches over several visible GPUs.
    """

    def __init__(
        self, model: Any, args: GRPOConfig, *, distillation: Distillation | None = None, **rest: Any
    ) -> None:
        if args.beta != 0.0:
            raise ValueError("set the KL term by Distillation.kl_weight and leave beta at 0")
        self.distillation = distillation or Distillation()
        reference = _reference(model) if self.distillation.kl_weight and not _is_peft(model) else None
        super().__init__(model=model, args=args, **rest)
        check_place(str(self.accelerator.distributed_type.value), self.args.n_gpu)
        self.beta = self.distillation.kl_weight
        self._start: Shadow | None = None
        if self.distillation.kl_weight and _is_peft(self.accelerator.unwrap_model(self.model)):
            self._start = Shadow(self.accelerator.unwrap_model(self.model))
        if reference is not None:
            self.ref_model = self.accelerator.prepare_model(reference, evaluation_mode=True)
            # TRL does this for the reference it loads itself; its own way of scoring needs it.
            add_fused_lm_head(self.ref_model, temperature=self.temperature)
        self._teacher = None
        if self.distillation.weight and self.distillation.teacher is not Teacher.LIVE:
            self._teacher = Shadow(self.accelerator.unwrap_model(self.model))
        if self._teacher is not None and self.distillation.teacher is Teacher.EMA:
            self.add_callback(_Following(self._teacher, self.distillation.ema_rate))
        self._buffered_inputs: Any = None
        self._student: torch.Tensor | None = None
        self._score_mask: torch.Tensor | None = None

    # ---- generation: what the teacher reads joins the batch ----

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        out = self._generated(inputs)
        device = out["completion_ids"].device
        rows = torch.tensor([float(x.get("train_row", 1)) for x in inputs], device=device)
        given = [x.get("teacher_prompt_ids") for x in inputs]
        taught = torch.tensor([float(bool(ids)) for ids in given], device=device) * rows
        mask = out.get("tool_mask", torch.ones_like(out["completion_mask"]))
        out["tool_mask"] = mask * rows[:, None].to(mask.dtype)
        everything = torch.stack([rows.sum(), torch.tensor(float(len(rows)), device=device)])
        kept, made = self.accelerator.gather(everything[None]).sum(0)
        out["row_scale"] = made / kept.clamp(min=1)
        if "num_items_in_batch" in out:
            left = (out["completion_mask"] * out["tool_mask"]).sum()
            out["num_items_in_batch"] = self.accelerator.gather(left).sum()
        # A row without advice has a prompt of one token here; it is masked and never read.
        prompts = [torch.tensor(ids or [0], device=device) for ids in given]
        out["teacher_prompt_ids"] = pad(prompts, 0, "left")
        out["teacher_prompt_mask"] = pad([torch.ones_like(p) for p in prompts], 0, "left")
        out["sdl_rows"] = taught
        out["sdl_count"] = taught.sum()  # 0-dim: shuffling and splitting leave it whole
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["sdl/rows_with_bundle"].append(float(taught.mean()))
        self._metrics[mode]["rollouts/trained_rows"].append(float(rows.mean()))
        return out

    def _generated(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch; of a PEFT model the reference is the adapter at the start, where TRL's would have none."""
        if self._start is None:
            made: dict[str, Any] = super()._generate_and_score_completions(inputs)
            return made
        beta, self.beta = self.beta, 0.0
        try:
            made = super()._generate_and_score_completions(inputs)
        finally:
            self.beta = beta
        ids = torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1)
        mask = torch.cat([made["prompt_mask"], made["completion_mask"]], dim=1)
        length, rows = made["completion_ids"].shape[1], self.args.per_device_train_batch_size
        with torch.no_grad(), self._start.worn():
            found = self._get_per_token_logps_and_entropies(self.model, ids, mask, length, batch_size=rows)
        return made | {"ref_per_token_logps": found[0]}

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """As TRL's, but siblings stay together when the batch is shuffled and split."""
        if not self.model.training:
            found: dict[str, Any] = super()._prepare_inputs(generation_batch)
            return found
        every = self.args.steps_per_generation * self.num_iterations
        if self._step % every == 0 or self._buffered_inputs is None:
            made = self._generate_and_score_completions(generation_batch)
            made = shuffle_groups(made, self.num_generations)
            self._buffered_inputs = split_tensor_dict(made, self.args.steps_per_generation)
        batch: dict[str, Any] = self._buffered_inputs[self._step % self.args.steps_per_generation]
        return batch

    # ---- scoring: one pass of the student for both losses ----

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **multimodal: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if not self._shares(multimodal) or compute_aux_loss:
            found: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
            found = super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **multimodal,
            )
        else:
            split = input_ids.shape[1] - logits_to_keep
            scored = attention_mask[:, split:]
            if self._score_mask is not None:
                scored = scored * self._score_mask
            with self.accelerator.autocast():
                result = score_completions(
                    self.accelerator.unwrap_model(model),
                    input_ids[:, :split],
                    attention_mask[:, :split],
                    input_ids[:, split:],
                    scored,
                    temperature=self.temperature,
                    recompute_rows=self.distillation.recompute_rows,
                )
            found = (result.log_probs, result.entropies if compute_entropy else None, None)
        if torch.is_grad_enabled():
            self._student = found[0]
        return found

    def _shares(self, multimodal: Mapping[str, Any]) -> bool:
        """Whether the passes may share beginnings: not across processes, pictures or checkpointed layers."""
        return (
            self.distillation.share_prefixes
            and self.accelerator.num_processes == 1
            and not self.args.gradient_checkpointing
            and all(value is None for value in multimodal.values())
        )

    def _teacher_log_probs(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(B, C) log q: the same completions after the teacher's prompts, without gradient."""
        ids = torch.cat([inputs["teacher_prompt_ids"], inputs["completion_ids"]], dim=1)
        mask = torch.cat([inputs["teacher_prompt_mask"], inputs["completion_mask"]], dim=1)
        length = inputs["completion_ids"].shape[1]
        with torch.no_grad(), self._teacher.worn() if self._teacher is not None else nullcontext():
            return self._get_per_token_logps_and_entropies(model, ids, mask, length)[0]

    # ---- the loss ----

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        mask = inputs["completion_mask"] * inputs["tool_mask"]
        if not bool(mask.any()):
            return _nothing(model)
        taught = mask * inputs["sdl_rows"][:, None].to(mask.dtype)
        self._student, self._score_mask = None, mask
        try:
            # The teacher goes first: weights are exchanged for it, and the student's graph needs the student's.
            wanted = bool(self.distillation.weight) and bool(taught.any()) and torch.is_grad_enabled()
            self._score_mask = taught
            log_q = self._teacher_log_probs(model, inputs) if wanted else None
            self._score_mask = mask
            loss: torch.Tensor = super()._compute_loss(model, inputs)
            if self.loss_type in _MEAN_OVER_ROWS:
                loss = loss * inputs["row_scale"]
            student: torch.Tensor | None = self._student
        finally:
            self._student, self._score_mask = None, None
        if log_q is None or student is None:
            return loss
        return loss + self.distillation.weight * self._sdl(student, log_q, taught, inputs)

    def _sdl(
        self, student: torch.Tensor, log_q: torch.Tensor, taught: torch.Tensor, inputs: Mapping[str, Any]
    ) -> torch.Tensor:
        """The mean over all rows with a bundle of one accumulation window; this micro-batch's share of it."""
        old = inputs.get("old_per_token_logps")
        terms = sdl_terms(
            student, log_q, student.detach() if old is None else old, taught, self.distillation.loss
        )
        count = inputs["sdl_count"].clamp(min=1)
        scale = self.current_gradient_accumulation_steps / self.args.steps_per_generation
        rows = inputs["sdl_rows"]
        loss: torch.Tensor = (terms.per_row * rows).sum() / (count * scale)
        mean = float((terms.per_row.detach() * rows).sum() / rows.sum().clamp(min=1))
        for name, value in {"sdl/loss": mean, **sdl_metrics(terms, taught, self.distillation.loss)}.items():
            self._metrics["train"][name].append(value)
        return loss

    # ---- checkpoints: the teacher is part of the state ----

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self._teacher is not None and self.is_world_process_zero():
            from safetensors.torch import save_file

            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            state = {name: value.contiguous() for name, value in self._teacher.state_dict().items()}
            save_file(state, str(folder / TEACHER_FILE))
            settings = {"teacher": self.distillation.teacher.value, "ema_rate": self.distillation.ema_rate}
            (folder / "teacher.json").write_text(json.dumps(settings))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self._teacher is not None and checkpoint is not None:
            from safetensors.torch import load_file

            self._teacher.load_state_dict(load_file(str(Path(checkpoint) / TEACHER_FILE)))


class _Following(TrainerCallback):  # type: ignore[misc]  # transformers' class is not typed here
    """Moves the averaged teacher after each step of the optimizer."""

    def __init__(self, shadow: Shadow, rate: float) -> None:
        self._shadow, self._rate = shadow, rate

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._shadow.follow(self._rate)


def shuffle_groups(batch: dict[str, Any], siblings: int) -> dict[str, Any]:
    """Shuffle the groups of a generation batch; the siblings of a group keep their order and stay neighbours.

    Values are tensors or lists of length B, 0-dim tensors, or None; what is not of length B is left as it is.
    """
    rows = len(batch["prompt_ids"])
    order = torch.randperm(rows // siblings)
    index = (order[:, None] * siblings + torch.arange(siblings)).flatten()
    return {name: _taken(value, index, rows) for name, value in batch.items()}


def _taken(value: Any, index: torch.Tensor, rows: int) -> Any:
    if isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == rows:
        return value[index.to(value.device)]
    if isinstance(value, list) and len(value) == rows:
        return [value[i] for i in index.tolist()]
    return value


def precomputed_reward(
    prompts: Sequence[Any], completions: Sequence[Any], reward: Sequence[float | None], **_: Any
) -> list[float | None]:
    """TRL's reward function: rewards were computed with the rollouts; None marks an unscored one."""
    return list(reward)


def check_place(kind: str, gpus: int) -> None:
    """Refuse places where this trainer would be wrong without a word.

    Args:
        kind: accelerate's name of how processes work together: `NO`, `MULTI_GPU`, `FSDP`, `DEEPSPEED`, …
        gpus: Devices that transformers would split each batch over, in one process.

    Raises:
        ConfigurationError: See `VEDTrainer`.
    """
    if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise ConfigurationError(
            f"{kind} splits weights over processes, and averaged or earlier weights cannot be kept of split ones; "
            "train in one process on one device (docs/scale.md)"
        )
    if gpus > 1:
        raise ConfigurationError(
            f"{gpus} GPUs are visible to one process; name one of them, as in CUDA_VISIBLE_DEVICES=0 (docs/scale.md)"
        )


def _is_peft(model: Any) -> bool:
    return hasattr(model, "peft_config")


def _reference(model: Any) -> Any:
    # Before the trainer is made: it may patch the model's forward, and a copy would share the patch.
    return copy.deepcopy(model).eval().requires_grad_(False)


def _nothing(model: Any) -> torch.Tensor:
    """A loss of 0 that backward accepts, for a micro-batch in which no row may be trained on."""
    smallest = min((p for p in model.parameters() if p.requires_grad), key=lambda p: p.numel())
    return (smallest * 0.0).sum()
