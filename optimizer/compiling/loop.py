"""The part of a run between two checkpoints: what is done after each step, and what makes a checkpoint complete.

A checkpoint counts once everything of its moment is on the disk: the trainer's folder, a copy of the experience store,
the gate's verdict and the version that it was about, and how far the files of lines go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genevolve.optimizer.chance import undisturbed
from genevolve.optimizer.compiling import gate
from genevolve.optimizer.compiling.card import model_card
from genevolve.optimizer.compiling.folder import STORE, RunFolder
from genevolve.optimizer.compiling.ground import bounds_of
from genevolve.optimizer.compiling.monitor import Monitor
from genevolve.optimizer.compiling.records import money_of, write_step
from genevolve.optimizer.compiling.start import save_version
from genevolve.optimizer.compiling.versions import Version, Versions
from genevolve.optimizer.evolution import Settings

if TYPE_CHECKING:
    from genevolve.experience_store.store import ExperienceStore
    from genevolve.optimizer.compiling.ground import Ground
    from genevolve.optimizer.compiling.settings import CompileSettings
    from genevolve.optimizer.evolution import Request
    from genevolve.optimizer.trainer import Distillation
    from genevolve.optimizer.training import Schedule, StepRecord
    from genevolve.programs.policies.local.policy import LocalPolicy

_MANY = 1 << 20


class Listener(Protocol):
    """Told how a run goes."""

    def phase(self, text: str) -> None:
        """What is begun now."""

    def step(self, step: int, steps: int, figures: Mapping[str, float], seconds: float) -> None:
        """A step was made; `seconds` is wall time of all sessions."""

    def version(self, version: Version) -> None:
        """A version was measured."""


@dataclass(frozen=True)
class Validation:
    """What the gate measures with; None where there is no validation suite."""

    requests: Sequence[Request]
    about: Mapping[str, gate.About]
    makes: gate.Makes


@dataclass
class Run:
    """A run under way: its listeners of `training.evolve`.

    Attributes:
        best: Name of the best accepted version.
        gated: The step of the last gate.
        done: The last step that was taken.
    """

    folder: RunFolder
    settings: CompileSettings
    ground: Ground
    policy: LocalPolicy
    store: ExperienceStore | None
    monitor: Monitor
    versions: Versions
    validation: Validation | None
    about: Mapping[str, gate.About]
    listener: Listener
    best: str = "v000"
    gated: int = 0
    done: int = 0
    reason: str = ""

    # ---- after a step ----

    def on_step(self, record: StepRecord) -> str | None:
        """Write down what a step made; a text ends the run."""
        self.done = record.step
        write_step(self.folder, record, self.about, pictures=self.settings.output.pictures)
        rollouts = sum(len(group.scored) for group in record.made.groups)
        picture = self.ground.config.prices.get("renderer", 0.0)
        money = money_of(record, self.ground.machine.environment(), picture) + self.ground.meter.take()
        reason = self.monitor.note(record.step, record.figures, rollouts, money)
        steps = self.settings.training.steps
        self.listener.step(record.step, steps, record.figures, self.monitor.seconds)
        self.folder.set_state(step=record.step)
        if record.step < steps:
            self.reason = reason or ""
        return self.reason or None

    # ---- a checkpoint ----

    def on_saved(self, step: int, checkpoint: Path) -> None:
        """Measure what the gate wants measured, and make the checkpoint count."""
        accepted = None
        if self._gate_is_due(step):
            with undisturbed():
                accepted = self._through_gate(step)
        if self.store is not None:
            self.store.backup(checkpoint / STORE)
        facts = {
            "store": None if self.store is None else {"generation": self.store.generation},
            "best": self.best,
            "gated": self.gated,
            "monitor": self.monitor.to_dict(),
        }
        self.folder.seal(checkpoint, step, facts)
        self.folder.prune(self.settings.output.checkpoints)
        self.folder.set_state(best=self.best)
        if accepted is not None:
            self.publish()

    def _gate_is_due(self, step: int) -> bool:
        if self.validation is None or step <= self.gated:
            return False
        every = self.settings.gate.every
        last = step >= self.settings.training.steps or bool(self.reason)
        return last or bool(every and step - self.gated >= every)

    def _through_gate(self, step: int) -> Version | None:
        """Measure the policy as it is; the version if it was accepted."""
        assert self.validation is not None
        self.listener.phase(f"gate at step {step}")
        records = self.measure()
        before = self.versions.read_evaluation(self.best) or []
        section = self.settings.gate
        decision = gate.decide(
            records, before, measure=section.measure, margin=section.margin, seed=section.seed
        )
        found = gate.means(records)
        interval = decision.interval
        version = Version(
            self.versions.next_name(),
            step,
            self.best,
            decision.accepted,
            decision.why,
            {"mean": interval.mean, "low": interval.low, "high": interval.high, "requests": interval.n},
            found,
        )
        self.versions.write_evaluation(version.name, records)
        self.versions.add(version, lambda part: save_version(self.policy, self.policy.model, part))
        self.gated = step
        self.monitor.validated(step, found["kscore" if section.measure == "score" else "reward"])
        self.listener.version(version)
        if not decision.accepted:
            return None
        self.best = version.name
        return version

    def measure(self) -> list[dict[str, Any]]:
        """What the policy as it is earns on validation."""
        assert self.validation is not None
        self.policy.refresh()
        model = self.policy.model
        training = bool(model.training)
        model.eval()
        try:
            return gate.evaluate(
                self.validation.makes,
                self.validation.requests,
                self.validation.about,
                self.settings.gate.batch,
            )
        finally:
            model.train(training)
            # What was kept of the evaluation's prompts must not be found by the next step's rollouts.
            self.policy.refresh()

    def publish(self) -> Path:
        """Put the best version where users find it."""
        return self.versions.publish(self.best, model_card(self.folder.path, self.best))


def evolution_settings(settings: CompileSettings) -> Settings:
    """The numbers of a step."""
    return Settings(
        siblings=settings.rollouts.siblings,
        alpha=settings.reward.alpha,
        formula=settings.reward.formula,  # type: ignore[arg-type]  # the settings have checked it
        min_gap=settings.memory.min_gap,
        most_pairs=settings.memory.most_pairs,
        gate=settings.memory.gate,
        seed=settings.training.seed,
        bounds=bounds_of(settings.rollouts),
        train_forced=settings.policy.train_forced,
        least_allowed=settings.policy.least_allowed,
    )


def gate_settings(settings: CompileSettings) -> Settings:
    """The numbers of an evaluation: one rollout a request, always with the same seeds."""
    return Settings(
        siblings=1,
        alpha=settings.reward.alpha,
        formula=settings.reward.formula,  # type: ignore[arg-type]  # the settings have checked it
        seed=settings.gate.seed,
        bounds=bounds_of(settings.rollouts, settings.gate.temperature),
    )


def schedule_of(settings: CompileSettings) -> Schedule:
    """The schedule of the trainer."""
    from genevolve.optimizer.training import Schedule

    t = settings.training
    return Schedule(
        steps=t.steps,
        requests=settings.rollouts.requests,
        learning_rate=t.learning_rate,
        scheduler=t.scheduler,
        warmup=t.warmup,
        rows_per_pass=t.rows_per_pass,
        max_grad_norm=t.max_grad_norm,
        epsilon_low=t.epsilon_low,
        epsilon_high=t.epsilon_high,
        temperature=settings.rollouts.temperature,
        bf16=t.bf16,
        gradient_checkpointing=t.gradient_checkpointing,
        save_every=t.save_every,
        keep=_MANY,  # the run folder removes them, complete ones alone
        seed=t.seed,
        report_to=t.report_to,
    )


def distillation_of(settings: CompileSettings) -> Distillation:
    """The distillation's settings."""
    from genevolve.optimizer.sdl import Normaliser, SDLSettings
    from genevolve.optimizer.trainer import Distillation, Teacher

    d = settings.distillation
    loss = SDLSettings(d.keep, d.clamp, d.max_ratio, d.max_token, d.attach_ratio, Normaliser(d.normaliser))
    return Distillation(
        weight=d.weight,
        teacher=Teacher(d.teacher),
        ema_rate=d.ema_rate,
        kl_weight=d.kl_weight,
        loss=loss,
        share_prefixes=d.share_prefixes,
        recompute_rows=d.recompute_rows,
    )
