"""The beginning and the end of the page: what was run and where it stands, what it cost, and its settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from genevolve.optimizer.report.curves import score_of
from genevolve.optimizer.report.decisions import FIRST, ends_of
from genevolve.optimizer.report.learnt import Memory
from genevolve.optimizer.report.lines import mapping, number, text
from genevolve.optimizer.report.page import compact, cut, duration, facts, figure, safe, share, tiles
from genevolve.optimizer.report.run_folder import RunFolder, State, StepLine

_PHASES = {
    "cold_start": "in its cold start",
    "evolving": "evolving",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
}
_STYLES = {"finished": "good", "stopped": "mid", "failed": "bad"}
_WHOLE = "seconds/step"
"""All of a step, which is no part of it."""
_DEEPEST = 4
_MOST_ENTRIES = 200
_LONGEST_VALUE = 600


def title_of(run: RunFolder) -> str:
    """What was run on what, on one line."""
    policy = _brief(_name_of(run.identity.get("policy"))) or "a policy"
    suite = _brief(_name_of(run.identity.get("suite")))
    return f"{policy} compiled on {suite}" if suite else f"{policy} compiled"


def _name_of(data: object) -> str:
    return text(data.get("name")) if isinstance(data, dict) else text(data)


def _brief(name: str) -> str:
    """A name without the beginning of a long path."""
    kind, colon, path = name.partition(":") if ":" in name else ("", "", name)
    parts = path.split("/")
    return name if len(parts) <= 2 else f"{kind}{colon}{'/'.join(parts[-2:])}"


def named(data: object) -> str:
    """A thing that is told by its name, or by an object with name and version."""
    if isinstance(data, dict):
        return " ".join(t for t in (text(data.get("name")), text(data.get("version"))) if t)
    return text(data)


def head(run: RunFolder) -> str:
    """The heading: what was run, where it stands, and why it ended."""
    identity = run.identity
    suite, validation = mapping(identity.get("suite")), mapping(identity.get("validation"))
    libraries = ", ".join(f"{k} {text(v)}" for k, v in mapping(identity.get("libraries")).items())
    pairs: list[tuple[str, object]] = [
        ("policy", named(identity.get("policy"))),
        ("requests", _suite(suite) or named(identity.get("suite"))),
        ("validation", _suite(validation) or named(identity.get("validation"))),
        ("sketch", _suite(mapping(identity.get("sketch")))),
        ("renderer", named(identity.get("renderer"))),
        ("judge", named(identity.get("judge"))),
        ("best version", _best(run)),
        ("began", moment(identity.get("created"))),
        ("last change", moment(run.state.updated)),
        ("libraries", libraries),
    ]
    return f"<h1>{safe(title_of(run))}</h1>{_state(run.state)}{facts(pairs)}"


def _suite(data: Mapping[str, object]) -> str:
    rows = number(data.get("rows"))
    counted = "" if rows is None else f"{rows:,.0f} rows"
    digest = text(data.get("digest"))[:12]
    return ", ".join(t for t in (named(data), counted, digest and f"digest {digest}") if t)


def _best(run: RunFolder) -> str:
    if not run.best:
        return "none accepted yet"
    step = next((v.step for v in run.versions if v.name == run.best), None)
    return run.best if step is None else f"{run.best}, of step {step}"


def _state(state: State) -> str:
    phase = _PHASES.get(state.phase, state.phase or "in a state that is not told")
    at = "" if state.step is None else f" at step {state.step}"
    of = "" if state.steps is None or not at else f" of {state.steps}"
    style = _STYLES.get(state.phase, "")
    why = f": {safe(state.reason)}" if state.reason else ""
    kind = " bad" if state.phase == "failed" else ""
    mark = f' class="warn{kind}"' if why else ""
    return f'<p{mark}><span class="state {style}">The run is {safe(phase)}</span>{at}{of}{why}</p>'


def moment(data: object) -> str:
    """A time, given as seconds since 1970 or as text."""
    seconds = number(data)
    if seconds is None:
        return text(data)
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return ""


def summary(run: RunFolder, memory: Memory) -> str:
    """The figures that matter most, as tiles."""
    found: list[tuple[str, str]] = []
    best, first = (score_of(run.evaluations.get(name, ())) for name in (run.best, FIRST))
    if best.mean is not None and best.low is not None and best.high is not None:
        ends = f"[{best.low:.3f}, {best.high:.3f}]"
        found.append((figure(best.mean), f"KScore of {run.best} on validation {ends}"))
        if first.mean is not None and run.best != FIRST:
            found.append(
                (figure(best.mean - first.mean, "+"), f"change since {FIRST} ({figure(first.mean)})")
            )
    if run.steps:
        a, b = ends_of(run.steps)
        before, after = (mean_of(x, "reward/mean") for x in (a, b))
        found.append((figure(after), f"reward, last {len(b)} steps; first: {figure(before)}"))
        found.append((_share(mean_of(b, "memory/hit_rate")), "of requests found an experience, at the end"))
    if memory.stats is not None:
        found.append((f"{memory.stats.live:,}", "experiences kept"))
    accepted = sum(v.accepted is True for v in run.versions)
    if run.versions:
        found.append((f"{accepted} of {len(run.versions)}", "versions accepted"))
    seconds = [s.seconds for s in run.steps if s.seconds is not None]
    if seconds:
        found.append((duration(math.fsum(seconds)), f"for {len(run.steps)} steps"))
    return tiles(found)


def mean_of(steps: Sequence[StepLine], key: str) -> float | None:
    """The mean of a figure over the steps that have it."""
    values = [v for s in steps if (v := s.figures.get(key)) is not None]
    return math.fsum(values) / len(values) if values else None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


# ---- cost --------------------------------------------------------------------------------------------


def cost(run: RunFolder) -> str:
    """What the run spent: rollouts, tokens, calls, pictures, seconds by part."""
    if not run.steps:
        return f'<p class="dim">Nothing has been spent on steps yet.</p>{_cold_start(run)}'
    rollouts: Counter[int] = Counter()
    for group in run.groups:
        rollouts[group.step] += len(group.rewards)
    total = sum(rollouts.values())
    seconds = [s.seconds for s in run.steps if s.seconds is not None]
    whole = math.fsum(seconds) if seconds else None
    tokens = _sum(run.steps, "rollouts/tokens")
    pairs: list[tuple[str, object]] = [
        ("steps", f"{len(run.steps):,}"),
        ("requests attempted", f"{len(run.groups):,}" if run.groups else ""),
        ("rollouts", f"{total:,}" if total else ""),
        ("tokens written", "" if tokens is None else f"{tokens:,.0f}"),
        ("tokens a rollout", compact(tokens / total) if tokens is not None and total else ""),
        ("tool calls", _times(run.steps, rollouts, "rollouts/calls")),
        ("programs drawn", _times(run.steps, rollouts, "rollouts/filled")),
        ("validation answers", f"{sum(map(len, run.evaluations.values())):,}" if run.evaluations else ""),
        ("time in steps", "" if whole is None else duration(whole)),
        ("a step", "" if whole is None else duration(whole / len(seconds))),
    ]
    note = '<p class="dim small">Tool calls and programs are the means of each step times its rollouts.</p>'
    spent = f'<div class="card"><h3>Spent</h3>{facts(pairs)}{note}</div>'
    return f'<div class="groups">{spent}{_times_card(run, whole)}{_cold_start(run)}</div>'


def _cold_start(run: RunFolder) -> str:
    """What imitation cost before evolution began."""
    found = ""
    if run.cold_start:
        pairs = [(name.replace("_", " "), compact(v)) for name, v in list(run.cold_start.items())[:30]]
        found = f'<div class="card"><h3>Cold start</h3>{facts(pairs)}</div>'
    return found + _start_guide(run)


def _start_guide(run: RunFolder) -> str:
    """What guides changed before anything was evolved."""
    if not run.start_guide:
        return ""
    get = run.start_guide.get
    low, high = get("low"), get("high")
    ends = "" if low is None or high is None else f" [{figure(low, '+')}, {figure(high, '+')}]"
    pairs: list[tuple[str, object]] = [
        ("validation requests", compact(get("requests"))),
        ("compared with and without", compact(get("compared"))),
        ("reward without", figure(get("without"))),
        ("reward with", figure(get("with"))),
        ("difference", f"{figure(get('difference'), '+')}{ends}"),
    ]
    return f'<div class="card"><h3>Guides before evolving</h3>{facts(pairs)}</div>'


def _sum(steps: Sequence[StepLine], key: str) -> float | None:
    values = [v for s in steps if (v := s.figures.get(key)) is not None]
    return math.fsum(values) if values else None


def _times(steps: Sequence[StepLine], rollouts: Mapping[int, int], key: str) -> str:
    """A mean of a rollout, summed over all of them."""
    values = [
        v * rollouts[s.step] for s in steps if (v := s.figures.get(key)) is not None and s.step in rollouts
    ]
    return f"{math.fsum(values):,.0f}" if values else ""


def _times_card(run: RunFolder, whole: float | None) -> str:
    """Seconds by part as shares of all; what no part names is the rest."""
    names = sorted({k for s in run.steps for k in s.figures if k.startswith("seconds/")} - {_WHOLE})[:20]
    parts = [(n.removeprefix("seconds/"), _sum(run.steps, n) or 0.0) for n in names]
    told = math.fsum(v for _, v in parts)
    if whole is not None and whole > told * 1.005:
        parts.append(("everything else", whole - told))
    total = max(told, whole or 0.0)
    if total <= 0:
        return ""
    bars = "".join(share(name, v, total, duration(v)) for name, v in sorted(parts, key=lambda p: -p[1]))
    return f'<div class="card"><h3>Time by part</h3>{bars}<p class="dim small">shares of {duration(total)}</p></div>'


# ---- settings ----------------------------------------------------------------------------------------


def settings(run: RunFolder) -> str:
    """All settings, a card for each section."""
    if not run.settings:
        return '<p class="dim">The run does not tell its settings.</p>'
    loose = {k: v for k, v in run.settings.items() if not isinstance(v, dict)}
    sections = {k: v for k, v in run.settings.items() if isinstance(v, dict)}
    cards = [("settings", loose)] if loose else []
    cards += list(sections.items())
    shown = "".join(
        f'<div class="card"><h3>{safe(name.replace("_", " "), 80)}</h3>{facts(_flat(section))}</div>'
        for name, section in cards[:60]
    )
    return f'<div class="groups">{shown}</div>'


def _flat(data: Mapping[str, object]) -> list[tuple[str, object]]:
    """Names with dots and their values as they are written in a file of settings."""
    found: list[tuple[str, object]] = []
    _flatten(data, "", _DEEPEST, found)
    return found[:_MOST_ENTRIES]


def _flatten(data: Mapping[str, object], prefix: str, depth: int, found: list[tuple[str, object]]) -> None:
    for name, value in data.items():
        if len(found) >= _MOST_ENTRIES:
            return
        if isinstance(value, dict) and depth and value:
            _flatten(value, f"{prefix}{cut(name, 80)}.", depth - 1, found)
        else:
            found.append((f"{prefix}{cut(name, 80)}", _written(value)))


def _written(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return cut(", ".join(_written(v) for v in value[:50]), _LONGEST_VALUE) or "none"
    if isinstance(value, dict):
        return cut(", ".join(f"{k}: …" for k in value), _LONGEST_VALUE) or "none"
    return cut(str(value), _LONGEST_VALUE) or '""'
