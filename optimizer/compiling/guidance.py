"""Does the start follow advice? Reward with a guide minus without, on validation, before anything is evolved.

A teacher that does no better with its guide has nothing to teach. Each request is attempted without a guide; what the
contrast of its own attempts tells is the guide with which it is attempted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genevolve.optimizer.coldstart import guide_of
from genevolve.optimizer.contrast import Summarise, summarise
from genevolve.optimizer.evaluation.statistics import bootstrap

if TYPE_CHECKING:
    from genevolve.optimizer.compiling.gate import Makes
    from genevolve.optimizer.evolution import Group, Request

PLAIN, GUIDED = 1, 2
"""Numbers of the two rounds: their attempts are drawn by seeds of their own."""


def check_guides(
    makes: Makes,
    requests: Sequence[Request],
    *,
    min_gap: float,
    batch: int,
    seed: int = 0,
    summariser: Summarise = summarise,
) -> dict[str, Any]:
    """What guides change for a policy as it is.

    Requests whose attempts earn too much alike have no guide, and such as could not be scored have no difference; both
    are counted, and left out of the means.

    Args:
        makes: Rolls out K times for each request, without a memory.
        requests: Of validation.
        min_gap: As `contrast` takes it.
        batch: Requests that the policy is shown together.
        seed: Of the resamples.
        summariser: Words the guides.
    """
    plain = _groups(makes, requests, PLAIN, batch)
    guides = [guide_of(group, min_gap=min_gap, summariser=summariser) for group in plain]
    told = [
        (replace(request, guide=guide), _mean(group))
        for request, guide, group in zip(requests, guides, plain, strict=True)
        if guide is not None
    ]
    guided = _groups(makes, [request for request, _ in told], GUIDED, batch)
    pairs = [
        (after, before)
        for (_, before), group in zip(told, guided, strict=True)
        if before is not None and (after := _mean(group)) is not None
    ]
    interval = bootstrap([after - before for after, before in pairs], seed=seed)
    return {
        "requests": len(requests),
        "guided": len(told),
        "compared": len(pairs),
        "without": sum(before for _, before in pairs) / len(pairs) if pairs else None,
        "with": sum(after for after, _ in pairs) / len(pairs) if pairs else None,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
    }


def guide_text_of(found: dict[str, Any]) -> str:
    """The finding in a sentence."""
    counted = f"{found['compared']} of {found['requests']} requests"
    if found.get("difference") is None:
        return (
            f"guides before evolving: nothing to compare ({found['guided']} of {found['requests']} had one)"
        )
    return (
        f"guides before evolving: reward {found['without']:.4f} without, {found['with']:.4f} with, "
        f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}] on {counted}"
    )


def _groups(makes: Makes, requests: Sequence[Request], number: int, batch: int) -> list[Group]:
    return [
        group
        for start in range(0, len(requests), batch)
        for group in makes.step(requests[start : start + batch], number).groups
    ]


def _mean(group: Group) -> float | None:
    totals = [s.total for s in group.scored if s.total is not None]
    return sum(totals) / len(totals) if totals else None
