"""A page of one run, or of two side by side: one file with its pictures inside, for a desk and for a phone.

Everything in it was written by strangers: requests, answers of models, ids. All of it is escaped, nothing is loaded
from elsewhere, and the page's policy lets no other script run than its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from genevolve.optimizer.evaluation.compare import compare
from genevolve.optimizer.evaluation.folder import Bench
from genevolve.optimizer.evaluation.records import Result, Scored
from genevolve.optimizer.evaluation.report_assets import SCRIPT, STYLE
from genevolve.optimizer.evaluation.thumbnails import Thumbnails
from genevolve.optimizer.report.page import bar, cut, ends, figure, page

MOST_ROWS = 3_000
"""Rows that a page lists; of more, those with the lowest scores."""


def report_html(bench: Bench, other: Bench | None = None) -> str:
    """The page.

    Args:
        bench: The run; of two, the first is called A.
        other: A run of the same suite, called B.

    Raises:
        AuthorError: The two cannot be compared.
    """
    comparison = None if other is None else compare(bench, other)
    benches = [bench] if other is None else [bench, other]
    rows = _rows(benches)
    body = [
        _head(benches),
        _tiles(benches, comparison),
        _table(benches),
        _groups(benches, comparison),
        _filters(bench.results, compared=comparison is not None),
        f'<section id="rows">{"".join(rows)}</section>',
    ]
    return page(f"{_name(bench)} on {bench.facts['suite']}", "\n".join(body), style=STYLE, script=SCRIPT)


# ---- figures -----------------------------------------------------------------------------------------


def _head(benches: Sequence[Bench]) -> str:
    first = benches[0].facts
    lines = [("suite", first["suite"]), ("renderer", first["renderer"]), ("judge", first["judge"])]
    lines.append(("formula", first["formula"]))
    lines += [(f"policy {mark}".strip(), _name(b)) for mark, b in zip(_marks(benches), benches, strict=True)]
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in lines)
    heading = "Two runs compared" if len(benches) > 1 else "Benchmark"
    return f"<h1>{heading}</h1><dl>{facts}</dl>"


def _tiles(benches: Sequence[Bench], comparison: Mapping[str, Any] | None) -> str:
    tiles = []
    for mark, bench in zip(_marks(benches), benches, strict=True):
        overall = bench.summary()["overall"]
        name = f"score {mark}".strip()
        tiles.append((figure(overall["score"]["mean"]), f"{name} {ends(overall['score'])}"))
        if len(benches) == 1:
            tiles.append((figure(overall["missing_as_zero"]["mean"]), "missing pictures as 0"))
        counts = " / ".join(str(overall[state]) for state in ("scored", "failed", "unscored"))
        tiles.append((counts, f"scored / failed / unscored {mark}".strip()))
    if comparison is not None:
        found = comparison["overall"]["score"]["difference"]
        tiles.insert(0, (figure(found["mean"], "+"), f"B - A {ends(found, '+')}"))
    shown = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(t)}</span></div>' for b, t in tiles)
    return f'<div class="tiles">{shown}</div>'


def _table(benches: Sequence[Bench]) -> str:
    """Dimensions of all rows and of each track: a column each, so that they fit on a phone."""
    columns: list[tuple[str, Mapping[str, Any]]] = []
    for mark, bench in zip(_marks(benches), benches, strict=True):
        summary = bench.summary()
        for name, found in {"all": summary["overall"], **summary["by"].get("track", {})}.items():
            columns.append((f"{mark} {name}".strip(), found))
    names = list(dict.fromkeys(d for _, found in columns for d in found["dimensions"]))
    lines: list[tuple[str, list[str]]] = [
        ("rows", [str(f["rows"]) for _, f in columns]),
        ("score", [figure(f["score"]["mean"]) for _, f in columns]),
        ("missing as 0", [figure(f["missing_as_zero"]["mean"]) for _, f in columns]),
        *((d, [figure(f["dimensions"].get(d, {}).get("mean")) for _, f in columns]) for d in names),
    ]
    body = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td>{''.join(f'<td>{escape(c)}</td>' for c in cells)}</tr>"
        for name, cells in lines
    )
    head = "".join(f"<th>{escape(h)}</th>" for h in ("", *(name for name, _ in columns)))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="card scroll">{table}</div>'


def _groups(benches: Sequence[Bench], comparison: Mapping[str, Any] | None) -> str:
    summaries = [b.summary() for b in benches]
    cards = []
    for grouping, groups in summaries[0]["by"].items():
        bars = []
        for group in groups:
            found = [s["by"].get(grouping, {}).get(group) for s in summaries]
            intervals = [None if f is None else f["missing_as_zero"] for f in found]
            told = None if comparison is None else comparison["by"][grouping][group]["score"]["difference"]
            bars.append(bar(group, intervals, told))
        cards.append(
            f'<div class="card"><h2>By {escape(grouping.replace("_", " "))}</h2>{"".join(bars)}</div>'
        )
    if summaries[0]["constraints"]:
        bars = [
            bar(skill, [s["constraints"].get(skill) for s in summaries], _told(comparison, skill))
            for skill in summaries[0]["constraints"]
        ]
        cards.append(f'<div class="card"><h2>Constraints held, by skill</h2>{"".join(bars)}</div>')
    key = '<p class="key dim"><i class="a"></i>A<i class="b"></i>B</p>' if comparison is not None else ""
    note = "Missing pictures count 0; whiskers are 95 % intervals over rows."
    return f'<h2>Groups</h2><p class="dim">{note}</p>{key}<div class="groups">{"".join(cards)}</div>'


def _told(comparison: Mapping[str, Any] | None, skill: str) -> Mapping[str, Any] | None:
    """The difference of the constraints of a skill, in a comparison that has it."""
    found = None if comparison is None else comparison["constraints"].get(skill)
    return None if found is None else found["difference"]


# ---- rows --------------------------------------------------------------------------------------------


def _filters(results: Sequence[Result], *, compared: bool) -> str:
    tracks = _options("track", "every track", {r.track for r in results})
    categories = _options("category", "every category", {r.category for r in results})
    skills = _options("skill", "every skill", {s for r in results for s in r.skills})
    states = _options("state", "every state", {r.state for r in results})
    orders = [("n", "in order"), ("worst", "worst first"), ("best", "best first")]
    if compared:
        orders.insert(0, ("changed", "changed most"))
    order = "".join(f'<option value="{k}">{t}</option>' for k, t in orders)
    return (
        '<h2>Rows <span class="dim" id="shown"></span></h2><div class="filters">'
        '<input id="q" type="search" placeholder="search in rows" aria-label="search in rows">'
        f'{states}{tracks}{categories}{skills}<select id="order" aria-label="order">{order}</select></div>'
    )


def _options(name: str, all_of_them: str, values: Iterable[str]) -> str:
    found = sorted(v for v in values if v)
    if len(found) < 2:
        return ""
    options = "".join(f'<option value="{escape(v)}">{escape(v)}</option>' for v in found)
    return (
        f'<select id="{name}" aria-label="{name}"><option value="">{all_of_them}</option>{options}</select>'
    )


def _rows(benches: Sequence[Bench]) -> list[str]:
    first, *rest = benches
    others = [{r.id: r for r in b.results} for b in rest]
    chosen = list(enumerate(first.results))
    if len(chosen) > MOST_ROWS:
        chosen.sort(key=lambda pair: -1.0 if pair[1].score is None else pair[1].score)
        chosen = sorted(chosen[:MOST_ROWS])
    thumbnails = Thumbnails(len(chosen) * (1 + len(benches)))
    return [
        _row(number, [result, *(o[result.id] for o in others if result.id in o)], benches, thumbnails)
        for number, result in chosen
    ]


def _row(number: int, results: Sequence[Result], benches: Sequence[Bench], thumbnails: Thumbnails) -> str:
    first = results[0]
    scores = [r.missing_as_zero for r in results]
    change = ""
    if len(results) == 2 and scores[0] is not None and scores[1] is not None:
        change = f"{abs(scores[1] - scores[0]):.4f}"
    data = {
        "n": str(number),
        "score": "" if scores[0] is None else f"{scores[0]:.4f}",
        "change": change,
        "state": first.state,
        "track": first.track,
        "category": first.category,
        "skills": " ".join(first.skills),
    }
    attributes = " ".join(f'data-{k}="{escape(v)}"' for k, v in data.items())
    pictures = _pictures(results, benches, thumbnails)
    facts = " · ".join(escape(v) for v in (first.id, first.category, first.difficulty, *first.skills) if v)
    marks = _marks(benches)
    pills = "<br>".join(f"{m} {_pill(r)}".strip() for m, r in zip(marks, results, strict=False))
    details = "".join(_details(m, r) for m, r in zip(marks, results, strict=False))
    return (
        f'<details class="row" {attributes}><summary><div class="pictures">{pictures}</div>'
        f'<div><div class="ask">{escape(cut(first.request))}</div><div class="small wrap">{facts}</div></div>'
        f'<div class="pill">{pills}</div></summary>'
        f'<div class="body">{details}</div></details>'
    )


def _pictures(results: Sequence[Result], benches: Sequence[Bench], thumbnails: Thumbnails) -> str:
    """What was drawn, and the ground truth; small in the line of a row, large when it is open."""
    found: list[tuple[str, str]] = []
    for mark, result, bench in zip(_marks(benches), results, benches, strict=False):
        picture = next((r.picture for r in result.rollouts if r.picture), "")
        found.append((f"drawn {mark}".strip(), thumbnails.of(bench.folder, picture)))
    if results[0].truth:
        found.append(("ground truth", thumbnails.of(benches[0].truths, results[0].truth)))
    return "".join(
        f"<figure>{_image(caption, uri)}<figcaption>{caption}</figcaption></figure>" for caption, uri in found
    )


def _image(caption: str, uri: str) -> str:
    if not uri:
        return '<span class="none">none</span>'
    return f'<img alt="{caption}" loading="lazy" src="{uri}">'


def _details(mark: str, result: Result) -> str:
    parts = []
    for rollout in result.rollouts:
        name = f"{mark} seed {rollout.seed}".strip() if len(result.rollouts) > 1 else mark
        parts.append(_rollout(name, rollout))
    return "".join(parts)


def _rollout(name: str, rollout: Scored) -> str:
    dimensions = ", ".join(
        f"{k.replace('_', ' ')} {'none asked for' if v is None else format(v, 'g')}"
        for k, v in rollout.dimensions.items()
    )
    missed = [k for k, v in rollout.parts.items() if v < 0.999]
    lines = [
        (name or "result", f"{rollout.state}, {figure(rollout.score)}, {rollout.outcome}"),
        ("dimensions", dimensions),
        ("not met", "; ".join(missed)),
        ("said", rollout.reason),
        ("prompt", rollout.prompt),
    ]
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(cut(v))}</dd>" for k, v in lines if v)
    program = f"<pre>{escape(cut(rollout.program))}</pre>" if rollout.program else ""
    return f"<dl>{facts}</dl>{program}"


def _pill(result: Result) -> str:
    if result.score is None:
        return f'<span class="bad">{result.state}</span>'
    style = "good" if result.score >= 0.8 else "mid" if result.score >= 0.5 else "bad"
    return f'<span class="{style}">{result.score:.2f}</span>'


# ---- words -------------------------------------------------------------------------------------------


def _marks(benches: Sequence[Bench]) -> tuple[str, ...]:
    return ("",) if len(benches) == 1 else ("A", "B")


def _name(bench: Bench) -> str:
    policy = bench.facts["policy"]
    return str(policy.get("name", "")) if isinstance(policy, Mapping) else str(policy)
