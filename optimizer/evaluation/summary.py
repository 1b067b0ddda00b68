"""From rows to figures: means with 95 % intervals, over all rows and by track, category, difficulty and skill.

Two readings of failures stand side by side. `score` is over the rows that have a score (success only);
`missing_as_zero` counts a row without a picture as 0. A row that the judge could not tell is in neither reading: it
says nothing of the policy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from genevolve.interpreter.judges.formulas import DIMENSIONS
from genevolve.optimizer.evaluation.records import Result, Scored
from genevolve.optimizer.evaluation.statistics import bootstrap

SCHEMA = "genevolve.bench-summary/1"
Groups = Callable[[Result], Iterable[str]]
GROUPINGS: Mapping[str, Groups] = {
    "track": lambda r: (r.track,),
    "category": lambda r: (r.category,),
    "difficulty": lambda r: (r.difficulty,),
    "skill": lambda r: r.skills,
    "eval_type": lambda r: (r.eval_type,),
}


def summarize(results: Sequence[Result], *, seed: int = 0) -> dict[str, Any]:
    """The figures of a run, as JSON data; `seed` is of the intervals."""
    by: dict[str, dict[str, Any]] = {}
    for name, groups in GROUPINGS.items():
        members = grouped(results, groups)
        if members and not (len(members) == 1 and name == "eval_type"):
            by[name] = {group: figures(rows, seed=seed) for group, rows in members.items()}
    rollouts = [r for result in results for r in result.rollouts]
    return {
        "schema": SCHEMA,
        "overall": figures(results, seed=seed),
        "by": by,
        "constraints": constraints(results, seed=seed),
        "outcomes": dict(Counter(r.outcome for r in rollouts).most_common()),
        "reasons": _reasons(rollouts),
        "spent": _spent(rollouts),
    }


def grouped(results: Sequence[Result], groups: Groups) -> dict[str, list[Result]]:
    """The rows by group, in the order of names; rows without a group are left out."""
    found: dict[str, list[Result]] = {}
    for result in results:
        for group in groups(result):
            if group:
                found.setdefault(group, []).append(result)
    return dict(sorted(found.items()))


def figures(results: Sequence[Result], *, seed: int = 0) -> dict[str, Any]:
    """Counts, scores and dimensions of some rows."""
    names = dimension_names(results)
    return {
        "rows": len(results),
        **{state: sum(r.state == state for r in results) for state in ("scored", "failed", "unscored")},
        "score": bootstrap(_known(r.score for r in results), seed=seed).to_dict(),
        "missing_as_zero": bootstrap(_known(r.missing_as_zero for r in results), seed=seed).to_dict(),
        "dimensions": {
            name: bootstrap(_known(r.dimension(name) for r in results), seed=seed).to_dict() for name in names
        },
    }


def dimension_names(results: Sequence[Result]) -> tuple[str, ...]:
    """The dimensions that were scored, those of KScore first and in its order."""
    found = dict.fromkeys(name for r in results for rollout in r.rollouts for name in rollout.dimensions)
    return (*(n for n in DIMENSIONS if n in found), *sorted(n for n in found if n not in DIMENSIONS))


def constraints(results: Sequence[Result], *, seed: int = 0) -> dict[str, Any]:
    """How many of the requests' known constraints hold, by the skill that each needs; empty where none is known."""
    found: dict[str, list[float]] = {}
    for result in results:
        for skill, value in constraint_scores(result):
            found.setdefault(skill, []).append(value)
    return {skill: bootstrap(values, seed=seed).to_dict() for skill, values in sorted(found.items())}


def constraint_scores(result: Result) -> list[tuple[str, float]]:
    """For each constraint of a row that has a skill and a score: the skill, and whether it holds, in [0, 1].

    A picture that is missing holds none; of several rollouts the mean counts.
    """
    known = [r for r in result.rollouts if r.state != "unscored"]
    found = []
    for kind, text, skill in result.constraints:
        values = [_holds(kind, text, r) for r in known]
        scores = [v for v in values if v is not None]
        if skill and scores:
            found.append((skill, sum(scores) / len(scores)))
    return found


def _holds(kind: str, text: str, rollout: Scored) -> float | None:
    """Whether a rollout's picture holds a constraint, as the judge's parts tell; None when they do not tell."""
    if rollout.state == "failed":
        return 0.0
    parts = rollout.parts
    if kind == "text":
        texts = [v for name, v in parts.items() if name.startswith(("text ", "place of text "))]
        return float(min(texts) >= 0.999) if texts else None
    if kind == "attribute" and text.startswith("attribute(what='picture'"):
        moods = [parts[name] for name in ("light", "style") if name in parts]
        return float(min(moods) >= 0.999) if moods else None
    return float(parts[text] >= 0.999) if text in parts else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _reasons(rollouts: Sequence[Scored]) -> list[dict[str, Any]]:
    """The most common reasons of what failed or could not be told."""
    found = Counter((r.state, r.reason[:200]) for r in rollouts if r.state != "scored")
    return [{"state": state, "reason": reason, "count": n} for (state, reason), n in found.most_common(10)]


def _spent(rollouts: Sequence[Scored]) -> dict[str, float]:
    """What the policy spent in the mean, for a rollout."""
    names = sorted({name for r in rollouts for name in r.cost})
    count = max(1, len(rollouts))
    return {name: round(sum(r.cost.get(name, 0.0) for r in rollouts) / count, 3) for name in names}
