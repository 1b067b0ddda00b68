"""When a run ends by itself: budgets, time, no progress, collapse; and that it knows after a kill what it knew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.compiling.monitor import Monitor
from genevolve.optimizer.compiling.sections import LimitsSection

NONE = LimitsSection(window=2, kl=0, collapse=0, entropy=0)


def monitor(**limits: float) -> Monitor:
    return Monitor(replace(NONE, **limits), clock=lambda: 0.0)


def figures(reward: float = 0.5, **more: float) -> dict[str, float]:
    return {"reward/mean": reward, "rollouts/tokens": 100.0, **more}


def run(found: Monitor, *steps: dict[str, float]) -> list[str | None]:
    return [found.note(i, s, rollouts=6, money=0.25) for i, s in enumerate(steps, 1)]


@pytest.mark.parametrize(
    ("limits", "at", "said"),
    [
        ({"rollouts": 18}, 3, "budget: 18 of 18 rollouts"),
        ({"tokens": 150}, 2, "budget: 200 of 150 tokens"),
        ({"money": 0.5}, 2, "budget: 0.50 of 0.5 is spent"),
    ],
)
def test_budgets(limits: dict[str, float], at: int, said: str) -> None:
    told = run(monitor(**limits), *[figures()] * 4)
    assert told[: at - 1] == [None] * (at - 1)
    assert said in (told[at - 1] or "")


def test_time_counts_all_sessions() -> None:
    now = [0.0]
    limits = replace(NONE, hours=1.0)
    first = Monitor(limits, clock=lambda: now[0])
    now[0] = 3000.0
    assert first.note(1, figures(), 6, 0.0) is None
    again = Monitor.from_dict(limits, first.to_dict(), clock=lambda: now[0])
    now[0] = 3599.0
    assert again.note(2, figures(), 6, 0.0) is None
    now[0] = 3600.0
    assert (again.note(3, figures(), 6, 0.0) or "").startswith("time:")


def test_no_progress() -> None:
    found = monitor(patience=3)
    assert (
        run(found, *(figures(r) for r in (0.1, 0.3, 0.5, 0.5, 0.5))) == [None] * 5
    )  # the mean of two rises till 4
    assert found.course.improved == 4
    found.validated(5, 0.6)
    told = [found.note(i, figures(0.4), 6, 0.0) for i in (6, 7, 8)]
    assert told[:2] == [None, None]
    assert "no progress" in (told[2] or "")


def test_collapses() -> None:
    assert "divergence" in (run(monitor(kl=4.0), figures(kl=3.0), figures(kl=6.0))[1] or "")
    assert run(monitor(kl=4.0), figures(kl=3.0), figures(kl=4.0)) == [None, None]
    told = run(monitor(collapse=0.5), *(figures(r) for r in (0.6, 0.6, 0.4, 0.1)))
    assert told[:3] == [None] * 3
    assert "moving reward fell to 0.250, below 0.5 of the first window's 0.600" in (told[3] or "")
    assert "entropy" in (run(monitor(entropy=0.01), figures(entropy=0.0), figures(entropy=0.001))[1] or "")
    # One step says nothing: a window has to be full.
    assert run(monitor(kl=4.0, entropy=0.01), figures(kl=99.0, entropy=0.0)) == [None]


def test_steps_without_rewards_or_numbers_tell_nothing() -> None:
    found = monitor(collapse=0.9, kl=1.0)
    nothing = {"reward/mean": 0.0, "reward/unscored": 1.0, "kl": float("nan")}
    assert run(found, figures(), figures(), nothing, nothing, nothing) == [None] * 5
    assert found.course.rewards == (0.5, 0.5)


def test_what_is_known_survives_a_kill() -> None:
    found = monitor(patience=3)
    run(found, *(figures(r, kl=0.1, entropy=1.0) for r in (0.1, 0.3, 0.2)))
    found.validated(3, 0.4)
    again = Monitor.from_dict(found.limits, found.to_dict(), clock=lambda: 0.0)
    assert (again.spent, again.course) == (found.spent, found.course)
    for damaged in ({}, {"spent": {}, "course": {"rewards": 3}}, {"spent": {"x": 1}, "course": {}}):
        with pytest.raises(AuthorError, match="damaged"):
            Monitor.from_dict(NONE, damaged)
