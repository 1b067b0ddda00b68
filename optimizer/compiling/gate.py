"""The gate: new weights replace the best ones only when they earn more on validation, request for request.

Both versions answer the same requests with the same seeds. The mean of the differences is bootstrapped over requests; a
candidate is accepted when the lower end of the 95 % interval lies above the margin (0 by default).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from genevolve.interpreter.judges.formulas import DIMENSIONS
from genevolve.optimizer.evaluation.statistics import NONE, Interval, bootstrap
from genevolve.optimizer.profile import profile

if TYPE_CHECKING:
    from genevolve.optimizer.evolution import Group, Request, Scored, Step

LEAST = 2
"""Requests that an interval needs at least."""


class Makes(Protocol):
    """What rolls out and scores: `Evolution`, without a memory and with one sibling a request."""

    def step(self, requests: Sequence[Request], number: int) -> Step:
        """Roll out and score."""


@dataclass(frozen=True)
class About:
    """What records tell of a request besides its id."""

    track: str = ""
    skills: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Whether a candidate replaces the best version, and why."""

    accepted: bool
    interval: Interval
    why: str


def evaluate(
    makes: Makes, requests: Sequence[Request], about: Mapping[str, About], batch: int
) -> list[dict[str, Any]]:
    """What a policy earns on validation: a record for each request.

    Args:
        makes: Rolls out once for each request; the same policy and settings give the same records.
        requests: The validation requests.
        about: By the id of a request.
        batch: Requests that the policy is shown together.
    """
    records: list[dict[str, Any]] = []
    for start in range(0, len(requests), batch):
        step = makes.step(requests[start : start + batch], 0)
        records += [_record(group, about.get(group.request.wanted.id, About())) for group in step.groups]
    return records


def means(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means of records: KScore and reward, and over how many requests."""
    scores = [float(r["score"]) for r in records if r["score"] is not None]
    rewards = [float(r["reward"]) for r in records if r["reward"] is not None]
    return {
        "kscore": sum(scores) / len(scores) if scores else None,
        "reward": sum(rewards) / len(rewards) if rewards else None,
        "requests": len(records),
        "unscored": len(records) - len(scores),
    }


def decide(
    candidate: Sequence[Mapping[str, Any]],
    best: Sequence[Mapping[str, Any]],
    *,
    measure: str = "score",
    margin: float = 0.0,
    seed: int = 0,
) -> Decision:
    """Whether a candidate is better than the best version.

    Args:
        candidate: Its records.
        best: Those of the best version; requests that either lacks, or that were not scored, are left out.
        measure: Which number is compared: `score` (KScore of the picture) or `reward` (R).
        margin: What the lower end of the interval must lie above.
        seed: Of the resamples.
    """
    before = {r["id"]: r[measure] for r in best}
    pairs = [
        (float(r[measure]), float(before[r["id"]]))
        for r in candidate
        if r[measure] is not None and before.get(r["id"]) is not None
    ]
    if len(pairs) < LEAST:
        return Decision(False, NONE, f"{len(pairs)} requests were scored for both; {LEAST} are needed")
    interval = bootstrap([a - b for a, b in pairs], seed=seed)
    low = interval.low
    assert low is not None  # there are values
    told = f"{interval.mean:+.4f} [{low:+.4f}, {interval.high:+.4f}] over {interval.n} requests"
    if low > margin:
        how = "better" if low > 0 else f"let through by the margin of {margin:g}"
        return Decision(True, interval, f"{how}: {told}")
    return Decision(False, interval, f"not known to be better by more than {margin:g}: {told}")


def _record(group: Group, about: About) -> dict[str, Any]:
    (scored,) = group.scored
    reward = scored.reward
    return {
        "id": group.request.wanted.id,
        "score": None if reward is None else reward.image,
        "reward": None if reward is None else reward.total,
        "dimensions": {} if reward is None else {name: getattr(reward, name) for name in DIMENSIONS},
        "track": about.track,
        "skills": list(about.skills),
        "profile": _profile(scored),
        "why": "" if scored.png is not None else " ".join(scored.why.split())[:300],
    }


def _profile(scored: Scored) -> dict[str, Any] | None:
    if scored.rollout.program is None:
        return None
    found = profile(scored.rollout.program.tree)
    return {
        "skills": sorted(found.skills),
        "searches": len(found.searches),
        "pictures": len(found.pictures),
        "references": len(found.notes),
        "words": found.prompt.words,
    }
