"""Two runs of one suite, row by row: paired differences with bootstrap intervals, and the rows that changed most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.evaluation.folder import Bench
from genevolve.optimizer.evaluation.records import Result
from genevolve.optimizer.evaluation.statistics import bootstrap, chance_above
from genevolve.optimizer.evaluation.summary import GROUPINGS, constraint_scores, dimension_names, grouped

SCHEMA = "genevolve.bench-comparison/1"
MOST_CHANGED = 20
Pairs = Sequence[tuple[Result, Result]]


def compare(a: Bench, b: Bench, *, seed: int = 0, changed: int = MOST_CHANGED) -> dict[str, Any]:
    """What `b` has over `a`, as JSON data: positive differences are in favour of `b`.

    Raises:
        AuthorError: They are not of the same suite, were not judged by the same judge, or one of them is not complete.
    """
    check_comparable(a, b)
    theirs = {r.id: r for r in b.results}
    pairs = [(r, theirs[r.id]) for r in a.results if r.id in theirs]
    by = {}
    for name, groups in GROUPINGS.items():
        members = grouped(a.results, groups)
        if members and not (len(members) == 1 and name == "eval_type"):
            by[name] = {
                group: _differences([(r, theirs[r.id]) for r in rows if r.id in theirs], seed)
                for group, rows in members.items()
            }
    return {
        "schema": SCHEMA,
        "a": a.facts,
        "b": b.facts,
        "rows": len(pairs),
        "overall": _differences(pairs, seed),
        "by": by,
        "constraints": _constraints(pairs, seed),
        "changed": _changed(pairs, changed),
    }


def check_comparable(a: Bench, b: Bench) -> None:
    """Raise `AuthorError` when the difference of two runs would mean nothing."""
    for what in ("suite", "judge", "formula"):
        mine, theirs = a.facts.get(what), b.facts.get(what)
        if what == "suite":
            mine, theirs = a.suite_digest, b.suite_digest
        if mine != theirs:
            told = (
                "are of different suites, or of different parts of one"
                if what == "suite"
                else f"differ in {what}"
            )
            shown = f"{a.facts.get(what)!r:.120} and {b.facts.get(what)!r:.120}"
            raise AuthorError(f"{a.folder} and {b.folder} {told}: {shown}; there is nothing to compare")


def _differences(pairs: Pairs, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": len(pairs)}
    found["score"] = _difference([(x.score, y.score) for x, y in pairs], seed)
    found["missing_as_zero"] = _difference([(x.missing_as_zero, y.missing_as_zero) for x, y in pairs], seed)
    names = dimension_names([r for pair in pairs for r in pair])
    found["dimensions"] = {
        name: _difference([(x.dimension(name), y.dimension(name)) for x, y in pairs], seed) for name in names
    }
    return found


def _difference(pairs: Sequence[tuple[float | None, float | None]], seed: int) -> dict[str, Any]:
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    difference = [y - x for x, y in known]
    return {
        "a": _mean([x for x, _ in known]),
        "b": _mean([y for _, y in known]),
        "difference": bootstrap(difference, seed=seed).to_dict(),
        "chance_b_above_a": chance_above(difference, seed=seed),
    }


def _constraints(pairs: Pairs, seed: int) -> dict[str, Any]:
    """Differences of the constraints held, by skill; paired by row and skill."""
    found: dict[str, list[tuple[float | None, float | None]]] = {}
    for x, y in pairs:
        mine, theirs = _by_skill(x), _by_skill(y)
        for skill in mine.keys() & theirs.keys():
            found.setdefault(skill, []).append((mine[skill], theirs[skill]))
    return {skill: _difference(values, seed) for skill, values in sorted(found.items())}


def _by_skill(result: Result) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for skill, value in constraint_scores(result):
        found.setdefault(skill, []).append(value)
    return {skill: sum(values) / len(values) for skill, values in found.items()}


def _changed(pairs: Pairs, count: int) -> list[dict[str, Any]]:
    """The rows whose scores differ most (a missing picture is 0 here), the largest change first."""
    rows = []
    for x, y in pairs:
        before, after = x.missing_as_zero, y.missing_as_zero
        if before is not None and after is not None and before != after:
            rows.append((round(after - before, 6), x, y))
    rows.sort(key=lambda row: (-abs(row[0]), row[1].id))
    return [
        {
            "id": x.id,
            "request": x.request,
            "category": x.category,
            "difference": change,
            "a": {"score": x.score, "state": x.state, "reason": x.rollouts[0].reason if x.rollouts else ""},
            "b": {"score": y.score, "state": y.state, "reason": y.rollouts[0].reason if y.rollouts else ""},
        }
        for change, x, y in rows[:count]
    ]


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None
