"""The curves of a run: rewards, memory, the losses, the optimizer's health; and the score of each version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from genevolve.optimizer.evaluation.statistics import Interval, bootstrap
from genevolve.optimizer.report.charts import Mark, Series, chart, marks, smoothing
from genevolve.optimizer.report.lines import mapping
from genevolve.optimizer.report.page import figure, safe, table
from genevolve.optimizer.report.run_folder import Judged, RunFolder, StepLine, Version

MOST_OTHERS = 48
"""Curves of figures that no chart below names."""
_MOST_MARKS = 200


class _Chart(NamedTuple):
    title: str
    series: Sequence[tuple[str, str]]
    note: str = ""


CHARTS = (
    _Chart("Reward", (("R", "reward/mean"), ("picture", "reward/image"), ("program", "reward/text"))),
    _Chart(
        "What the judge saw",
        (
            ("faithfulness", "reward/faithfulness"),
            ("visual correctness", "reward/visual_correctness"),
            ("text accuracy", "reward/text_accuracy"),
            ("aesthetics", "reward/aesthetics"),
        ),
    ),
    _Chart("Gap", (("best minus worst", "reward/gap"),), "between the siblings of a request, mean"),
    _Chart(
        "Memory",
        (("hit rate", "memory/hit_rate"),),
        "share of requests whose teacher had an experience",
    ),
    _Chart(
        "Groups without use",
        (("degenerate groups", "groups/degenerate"), ("unscored rollouts", "reward/unscored")),
        "shares",
    ),
    _Chart("Distillation loss", (("SDL", "sdl/loss"),)),
    _Chart("Loss", (("all terms", "loss"),)),
    _Chart("KL", (("to the reference", "kl"),)),
    _Chart("Entropy", (("of the tokens", "entropy"),)),
    _Chart("Gradient", (("norm", "grad_norm"),)),
    _Chart(
        "Teacher and student",
        (("log-probability gap", "sdl/abs_gap"), ("at kept tokens", "sdl/abs_gap_kept")),
    ),
    _Chart(
        "Cut off", (("GRPO clip, high", "clip/high"), ("SDL ratio", "sdl/ratio_clipped")), "shares of tokens"
    ),
    _Chart("Rollouts", (("turns", "rollouts/turns"), ("calls", "rollouts/calls")), "means of a rollout"),
    _Chart("Programs", (("filled", "rollouts/filled"),), "share of rollouts that ended with a program"),
    _Chart("Speed", (("tokens per second", "tokens_per_second"),)),
)


def curves(run: RunFolder) -> str:
    """The section with all curves."""
    if not run.steps:
        return '<p class="dim">There is no step yet.</p>'
    xs = [s.step for s in run.steps]
    cards = [chart(c.title, xs, [_series(run.steps, *s) for s in c.series], c.note) for c in CHARTS]
    told = f"By step. {smoothing(len(xs))}"
    return f'<p class="dim">{safe(told)}</p><div class="charts">{"".join(cards)}</div>{_others(run, xs)}'


def _series(steps: Sequence[StepLine], name: str, key: str) -> Series:
    return Series(name, [s.figures.get(key) for s in steps])


def _others(run: RunFolder, xs: Sequence[int]) -> str:
    """Figures that no chart above shows, closed; what programs use has a section of its own."""
    drawn = {key for c in CHARTS for _, key in c.series}
    names = dict.fromkeys(k for s in run.steps for k in s.figures)
    rest = sorted(k for k in names if k not in drawn and not k.startswith(("tools/", "skills/", "seconds/")))
    if not rest:
        return ""
    cards = "".join(chart(k, xs, [_series(run.steps, k.rpartition("/")[2], k)]) for k in rest[:MOST_OTHERS])
    told = f"{len(rest)} other figures"
    if len(rest) > MOST_OTHERS:
        told += f", of which the first {MOST_OTHERS} are drawn"
    return (
        f'<details class="fold"><summary>{told}</summary>'
        f'<div class="inside"><div class="charts">{cards}</div></div></details>'
    )


# ---- versions ----------------------------------------------------------------------------------------


def score_of(rows: Sequence[Judged]) -> Interval:
    """The mean score of a version and its interval over requests; those without a score are left out."""
    return bootstrap([r.score for r in rows if r.score is not None])


def versions(run: RunFolder) -> str:
    """The section with the validation score of each version, and what the gate decided."""
    if not run.versions and not run.evaluations:
        return '<p class="dim">No version has been evaluated yet.</p>'
    known = {v.name: v for v in run.versions}
    names = [*known, *(n for n in run.evaluations if n not in known)]
    points, rows = [], []
    for name in names:
        version = known.get(name, Version(name, None, "", None, "", None, {}))
        found = score_of(run.evaluations.get(name, ()))
        mean = found.mean if found.mean is not None else version.validation.get("kscore")
        style, word = _decision(version, run.best)
        if mean is not None and version.step is not None:
            label = f"{name}, step {version.step}: {figure(mean)} ({word})"
            points.append(Mark(float(version.step), mean, found.low, found.high, style, label))
        rows.append(_row(version, found, mean, word))
    keys = (("taken", "accepted"), ("aside", "kept aside"), ("untold", "undecided"))
    used = {p.style for p in points}
    drawn = marks(
        "KScore on validation",
        points[:_MOST_MARKS],
        [k for k in keys if k[0] in used],
        "by the step of the version; lines are 95 % intervals over requests",
    )
    by = " in reward" if mapping(run.settings.get("gate")).get("measure") == "reward" else ""
    head = ("version", "step", "KScore", "requests", f"difference{by}", "decision", "why")
    return f'{drawn}<div class="card">{table(head, rows, prose=True)}</div>'


def _decision(version: Version, best: str) -> tuple[str, str]:
    """The style of a version's mark, and what became of it."""
    if version.accepted is None:
        return "untold", "undecided"
    if version.name == best:
        return "taken", "accepted, in use"
    return ("taken", "accepted") if version.accepted else ("aside", "kept aside")


def _row(version: Version, found: Interval, mean: float | None, word: str) -> tuple[str, ...]:
    score = figure(mean)
    if found.low is not None and found.high is not None:
        score += f" [{found.low:.3f}, {found.high:.3f}]"
    gate = version.gate
    difference = "-"
    if gate is not None and gate.mean is not None:
        parent = f" to {version.parent}" if version.parent else ""
        between = "" if gate.low is None or gate.high is None else f" [{gate.low:+.3f}, {gate.high:+.3f}]"
        difference = f"{gate.mean:+.3f}{between}{parent}"
    count = gate.requests if gate is not None and gate.requests is not None else found.n
    step = "-" if version.step is None else str(version.step)
    unscored = version.validation.get("unscored", 0.0)
    counted = f"{count} ({unscored:.0f} unscored)" if count and unscored else str(count or "-")
    return version.name, step, score, counted, difference, word, version.why
