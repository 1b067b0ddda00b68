"""What changed in the policy's decisions: tools and skills at the first and the last steps, and on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genevolve.optimizer.evaluation.statistics import NONE, Interval, bootstrap
from genevolve.optimizer.report.charts import Series, chart
from genevolve.optimizer.report.page import bar, safe, table
from genevolve.optimizer.report.run_folder import Judged, RunFolder, StepLine

FIRST = "v000"
_MOST_NAMES = 24
_MOST_STEPS = 20
_DRAWN = 6
_TOOLS = {"search": "searches", "image search": "pictures", "references": "references"}
"""Shares of programs that do a thing at all, by the count in a profile."""
_COUNTS = {
    "words of the prompt": "words",
    "searches": "searches",
    "picture searches": "pictures",
    "references": "references",
}


def decisions(run: RunFolder) -> str:
    """The section: training first, then validation."""
    return _training(run) + _validation(run)


# ---- training ----------------------------------------------------------------------------------------


def ends_of(steps: Sequence[StepLine]) -> tuple[Sequence[StepLine], Sequence[StepLine]]:
    """The first and the last steps that are compared: a fifth each, at least one and at most twenty."""
    count = max(1, min(_MOST_STEPS, len(steps) // 5))
    return steps[:count], steps[-count:]


def _training(run: RunFolder) -> str:
    if len(run.steps) < 2:
        return '<p class="dim">There are not enough steps to compare.</p>'
    first, last = ends_of(run.steps)
    cards, drawn = [], []
    for prefix, title in (("tools/", "Tools"), ("skills/", "Skills")):
        names = sorted({k for s in run.steps for k in s.figures if k.startswith(prefix)})
        if not names:
            continue
        bars = [_used(name, prefix, first, last) for name in names[:_MOST_NAMES]]
        more = (
            f'<p class="dim small">and {len(names) - _MOST_NAMES} more</p>'
            if len(names) > _MOST_NAMES
            else ""
        )
        cards.append(f'<div class="card"><h3>{title}</h3>{"".join(bars)}{more}</div>')
        drawn.append(_over_time(run.steps, title, prefix, names))
    if not cards:
        return '<p class="dim">The steps do not tell what programs use.</p>'
    a, b = (f"step{'s' if len(x) > 1 else ''} {_span(x)}" for x in (first, last))
    key = f'<p class="key dim"><i class="a"></i>{a}<i class="b"></i>{b}</p>'
    note = "Shares of programs that use it; the figure is the change. Whiskers are 95 % intervals over steps."
    return (
        f'<h3>In training</h3><p class="dim">{note}</p>{key}<div class="two">{"".join(cards)}</div>'
        f'<div class="charts more">{"".join(drawn)}</div>'
    )


def _span(steps: Sequence[StepLine]) -> str:
    return str(steps[0].step) if len(steps) == 1 else f"{steps[0].step} to {steps[-1].step}"


def _used(name: str, prefix: str, first: Sequence[StepLine], last: Sequence[StepLine]) -> str:
    # A step names only what was used in it: what is absent was not used.
    before, after = (bootstrap([s.figures.get(name, 0.0) for s in x]) for x in (first, last))
    change = None if before.mean is None or after.mean is None else after.mean - before.mean
    told = {"mean": change, "low": None, "high": None}
    return bar(name.removeprefix(prefix), [_plain(before, 0), _plain(after, 0)], told)


def _over_time(steps: Sequence[StepLine], title: str, prefix: str, names: Sequence[str]) -> str:
    """Curves of what is used most."""
    totals = {n: sum(s.figures.get(n, 0.0) for s in steps) for n in names}
    most = sorted(names, key=lambda n: (-totals[n], n))[:_DRAWN]
    series = [
        Series(n.removeprefix(prefix).replace("_", " "), [s.figures.get(n, 0.0) for s in steps]) for n in most
    ]
    note = "share of programs" + (f"; the {_DRAWN} most used" if len(names) > _DRAWN else "")
    return chart(f"{title} over time", [s.step for s in steps], series, note)


# ---- validation --------------------------------------------------------------------------------------


def _validation(run: RunFolder) -> str:
    first, best = run.evaluations.get(FIRST, ()), run.evaluations.get(run.best, ())
    if not first or run.best == FIRST or not best:
        why = "is the best there is" if run.best == FIRST else "or a better one has no evaluation"
        return f'<h3>On validation</h3><p class="dim">Nothing to compare: {FIRST} {why}.</p>'
    later = {j.id: j for j in best}
    pairs = [(a, later[a.id]) for a in first if a.id in later]
    key = f'<p class="key dim"><i class="a"></i>{FIRST}<i class="b"></i>{safe(run.best)}</p>'
    note = f"{len(pairs)} requests that both versions answered. The figure is the paired change with its 95 % interval."
    cards = [_scores(pairs), *_profiles(pairs)]
    shown = "".join(f'<div class="card">{c}</div>' for c in cards if c)
    return f'<h3>On validation</h3><p class="dim">{note}</p>{key}<div class="groups">{shown}</div>'


Pairs = Sequence[tuple[Judged, Judged]]


def _scores(pairs: Pairs) -> str:
    """KScore in all and by track, the reward, and the dimensions."""
    bars = [_bar("KScore", pairs, lambda j: j.score)]
    tracks = sorted({a.track for a, _ in pairs if a.track})[:_MOST_NAMES]
    for track in tracks if len(tracks) > 1 else ():
        bars.append(_bar(f"KScore, {track}", [p for p in pairs if p[0].track == track], lambda j: j.score))
    bars.append(_bar("reward", pairs, lambda j: j.reward))
    for name in list(dict.fromkeys(d for p in pairs for j in p for d in j.dimensions))[:_MOST_NAMES]:
        bars.append(_bar(name, pairs, _dimension(name)))
    return f"<h3>Scores</h3>{''.join(bars)}"


def _profiles(pairs: Pairs) -> list[str]:
    """Shares of programs that use tools and skills, and how much they use and write."""
    told = [(a, b) for a, b in pairs if a.decided is not None and b.decided is not None]
    if not told:
        return ['<h3>Decisions</h3><p class="dim">The evaluations do not tell what programs decided.</p>']
    tools = "".join(_bar(name, told, _has(key)) for name, key in _TOOLS.items())
    names = sorted({s for p in told for j in p if j.decided for s in j.decided.skills})
    skills = "".join(_bar(name, told, _uses(name)) for name in names[:_MOST_NAMES])
    rows = [row for name, key in _COUNTS.items() if (row := _row(name, told, key)) is not None]
    lengths = table(("mean per program", "before", "after", "change"), rows)
    return [
        f"<h3>Tools</h3>{tools}",
        f"<h3>Skills</h3>{skills}" if skills else "",
        f"<h3>How much</h3>{lengths}" if lengths else "",
    ]


Measure = Callable[[Judged], float | None]


def _has(key: str) -> Measure:
    return lambda j: None if j.decided is None else float(j.decided.counts.get(key, 0.0) > 0)


def _uses(skill: str) -> Measure:
    return lambda j: None if j.decided is None else float(skill in j.decided.skills)


def _dimension(name: str) -> Measure:
    return lambda j: j.dimensions.get(name)


def _bar(name: str, pairs: Pairs, measure: Measure) -> str:
    before, after, change = _compared(pairs, measure)
    told = _plain(change) if change.n else None
    return bar(name, [_plain(before), _plain(after, 0)], told)


def _compared(pairs: Pairs, measure: Measure) -> tuple[Interval, Interval, Interval]:
    """The means of both sides and of the paired difference, over the pairs where both have a value."""
    values = [(a, b) for p in pairs if (a := measure(p[0])) is not None and (b := measure(p[1])) is not None]
    if not values:
        return NONE, NONE, NONE
    return (
        bootstrap([a for a, _ in values]),
        bootstrap([b for _, b in values]),
        bootstrap([b - a for a, b in values]),
    )


def _plain(interval: Interval, n: int | None = None) -> Mapping[str, Any]:
    """As a bar takes it; with another count to be told, 0 for none."""
    return {**interval.to_dict(), **({} if n is None else {"n": n})}


def _row(name: str, pairs: Pairs, key: str) -> tuple[str, ...] | None:
    def measure(judged: Judged) -> float | None:
        return None if judged.decided is None else judged.decided.counts.get(key)

    before, after, change = _compared(pairs, measure)
    if (
        before.mean is None
        or after.mean is None
        or change.mean is None
        or change.low is None
        or change.high is None
    ):
        return None
    between = f"{change.mean:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
    return name, f"{before.mean:.2f}", f"{after.mean:.2f}", between
