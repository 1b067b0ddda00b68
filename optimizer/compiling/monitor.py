"""Watches a run and says when it has to end: what was spent, whether it still gets better, whether it has collapsed.

A falling distillation loss is no sign of learning, so it is not looked at: a policy can agree with its teacher and earn
nothing. What counts is the reward, the divergence from the start, and the entropy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.compiling.sections import LimitsSection

_BETTER = 1e-6


@dataclass(frozen=True)
class Spent:
    """What a run has spent so far, all its sessions together."""

    rollouts: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Course:
    """How a run goes: the last figures, and the best so far.

    Attributes:
        rewards, divergences, entropies: Of the last steps, the newest last.
        first: Mean reward of the first full window; None before that.
        best_reward: Of all windows.
        best_validation: Of all gates.
        improved: The last step at which one of the two was better than before.
    """

    rewards: tuple[float, ...] = ()
    divergences: tuple[float, ...] = ()
    entropies: tuple[float, ...] = ()
    first: float | None = None
    best_reward: float | None = None
    best_validation: float | None = None
    improved: int = 0


@dataclass
class Monitor:
    """Counts and judges. What it knows is `to_dict`, and goes into checkpoints.

    Args:
        limits: When to stop.
        spent: What was spent before.
        course: How it went before.
        clock: Seconds.
    """

    limits: LimitsSection
    spent: Spent = field(default_factory=Spent)
    course: Course = field(default_factory=Course)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._since = self.clock()

    @property
    def seconds(self) -> float:
        """Wall time of all sessions."""
        return self.spent.seconds + self.clock() - self._since

    def note(self, step: int, figures: Mapping[str, float], rollouts: int, money: float) -> str | None:
        """Take in a step.

        Args:
            step: Its number.
            figures: `reward/mean`, `rollouts/tokens`, and `kl` and `entropy` where they are known.
            rollouts: How many were made, also of those that failed.
            money: What it cost.

        Returns:
            Why the run has to end, or None.
        """
        tokens = int(figures.get("rollouts/tokens", 0.0))
        self.spent = replace(
            self.spent,
            rollouts=self.spent.rollouts + rollouts,
            tokens=self.spent.tokens + tokens,
            money=self.spent.money + money,
        )
        self._follow(step, figures)
        return self._collapsed() or self._used_up() or self._stuck(step)

    def validated(self, step: int, mean: float | None) -> None:
        """Take in what a gate measured."""
        known = self.course.best_validation
        if mean is not None and (known is None or mean > known + _BETTER):
            self.course = replace(self.course, best_validation=mean, improved=step)

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {"spent": {**asdict(self.spent), "seconds": self.seconds}, "course": asdict(self.course)}

    @classmethod
    def from_dict(
        cls, limits: LimitsSection, data: Mapping[str, Any], clock: Callable[[], float] = time.monotonic
    ) -> Monitor:
        """What `to_dict` wrote. Raises `AuthorError` when it is something else."""
        try:
            spent, course = Spent(**data["spent"]), dict(data["course"])
            for name in ("rewards", "divergences", "entropies"):
                course[name] = tuple(float(v) for v in course[name])
            return cls(limits, spent, Course(**course), clock)
        except (KeyError, TypeError, ValueError) as error:
            raise AuthorError(f"what a checkpoint tells of the run so far is damaged: {error}") from error

    # ---- inside ----

    def _follow(self, step: int, figures: Mapping[str, float]) -> None:
        course, window = self.course, self.limits.window

        def longer(values: tuple[float, ...], name: str) -> tuple[float, ...]:
            value = figures.get(name)
            return values if value is None or not math.isfinite(value) else (*values, float(value))[-window:]

        # A step in which nothing could be scored tells nothing of the policy.
        scored = figures.get("reward/unscored", 0.0) < 1.0
        rewards = longer(course.rewards, "reward/mean") if scored else course.rewards
        course = replace(
            course,
            rewards=rewards,
            divergences=longer(course.divergences, "kl"),
            entropies=longer(course.entropies, "entropy"),
        )
        if len(rewards) == window:
            mean = _mean(rewards)
            first = mean if course.first is None else course.first
            if course.best_reward is None or mean > course.best_reward + _BETTER:
                course = replace(course, best_reward=mean, improved=step)
            course = replace(course, first=first)
        self.course = course

    def _collapsed(self) -> str | None:
        course, limits = self.course, self.limits
        window = limits.window
        if limits.kl and len(course.divergences) == window and _mean(course.divergences) > limits.kl:
            told = f"{_mean(course.divergences):.3g} a token over {window} steps, the limit is {limits.kl:g}"
            return f"collapse: the policy has left its start too far (divergence {told})"
        if limits.collapse and course.first is not None and len(course.rewards) == window:
            least = limits.collapse * course.first
            if _mean(course.rewards) < least:
                return (
                    f"collapse: the moving reward fell to {_mean(course.rewards):.3f}, "
                    f"below {limits.collapse:g} of the first window's {course.first:.3f}"
                )
        if limits.entropy and len(course.entropies) == window and _mean(course.entropies) < limits.entropy:
            return f"collapse: the entropy fell to {_mean(course.entropies):.2g} a token"
        return None

    def _used_up(self) -> str | None:
        limits, spent = self.limits, self.spent
        if limits.hours and self.seconds >= 3600 * limits.hours:
            return f"time: {limits.hours:g} hours are over"
        if limits.rollouts and spent.rollouts >= limits.rollouts:
            return f"budget: {spent.rollouts:,} of {limits.rollouts:,} rollouts are made"
        if limits.tokens and spent.tokens >= limits.tokens:
            return f"budget: {spent.tokens:,} of {limits.tokens:,} tokens are written"
        if limits.money and spent.money >= limits.money:
            return f"budget: {spent.money:.2f} of {limits.money:g} is spent"
        return None

    def _stuck(self, step: int) -> str | None:
        patience = self.limits.patience
        if patience and step - self.course.improved >= patience:
            return f"no progress: neither validation nor the moving reward got better in {patience} steps"
        return None


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
