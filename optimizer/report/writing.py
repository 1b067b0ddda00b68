"""The page of a compile run: one file with everything inside, for a desk and for a phone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.optimizer.report import curves, decisions, learnt, overview, steps
from genevolve.optimizer.report.assets import SCRIPT, STYLE
from genevolve.optimizer.report.page import page, safe
from genevolve.optimizer.report.run_folder import RunFolder, is_run, open_run
from genevolve.programs.batch.folder import replacing

_MOST_NOTES = 50


@dataclass(frozen=True)
class Report:
    """A page and what it tells.

    Attributes:
        html: The page.
        kind: "compile" or "bench".
        facts: Its most important figures, as plain data.
        notes: What could not be read, a sentence each.
    """

    html: str
    kind: str
    facts: Mapping[str, object]
    notes: tuple[str, ...] = ()


def make_report(folder: Path) -> Report:
    """The page of a run of `genevolve compile` or of `genevolve bench`.

    Raises:
        AuthorError: The folder is neither.
        StorageError: It cannot be read.
    """
    if is_run(folder):
        return _of_compile(open_run(folder))
    if (folder / "batch.json").is_file():
        return _of_bench(folder)
    if not folder.is_dir():
        raise AuthorError(f"{folder}: there is no such folder")
    raise AuthorError(
        f"{folder} is no run that has a report: 'genevolve compile' leaves a compile.json there, 'genevolve bench' a "
        "batch.json"
    )


def save_report(report: Report, out: Path) -> Path:
    """Write a page as a whole or not at all; returns where it is. Raises `StorageError`."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{out.parent}: cannot be made: {error.strerror or error}") from error
    with replacing(out) as file:
        file.write(report.html.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    return out


def _of_bench(folder: Path) -> Report:
    from genevolve.optimizer.evaluation.folder import open_bench
    from genevolve.optimizer.evaluation.report import report_html

    bench = open_bench(folder)
    overall = bench.summary()["overall"]
    told = {"rows": overall["rows"], "scored": overall["scored"], "score": overall["score"]["mean"]}
    return Report(report_html(bench), "bench", {"policy": overview.named(bench.facts["policy"]), **told})


def _of_compile(run: RunFolder) -> Report:
    memory = learnt.open_memory(run.folder, run.notes)
    sections = [
        ("curves", "Curves", curves.curves(run)),
        ("versions", "Versions", curves.versions(run)),
        ("steps", "Steps", steps.steps(run)),
        ("experiences", "Experiences", learnt.learnt(run, memory)),
        ("decisions", "Decisions", decisions.decisions(run)),
        ("cost", "Cost", overview.cost(run)),
        ("settings", "Settings", overview.settings(run)),
    ]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    body = "\n".join(
        f'<section id="{name}"><h2>{title}</h2>{content}</section>' for name, title, content in sections
    )
    # The notes come last into being and first on the page: reading goes on while sections are made.
    notes = tuple(run.notes.texts())
    top = f"{overview.head(run)}{_notes(notes)}{overview.summary(run, memory)}<nav>{links}</nav>"
    html = page(overview.title_of(run), f"{top}\n{body}", style=STYLE, script=SCRIPT)
    return Report(html, "compile", _facts(run, memory), notes)


def _facts(run: RunFolder, memory: learnt.Memory) -> dict[str, object]:
    best = curves.score_of(run.evaluations.get(run.best, ()))
    return {
        "policy": overview.named(run.identity.get("policy")),
        "phase": run.state.phase,
        "reason": run.state.reason,
        "steps": len(run.steps),
        "groups": len(run.groups),
        "versions": len(run.versions),
        "best": run.best or None,
        "score": best.mean,
        "experiences": len(memory.experiences),
    }


def _notes(notes: tuple[str, ...]) -> str:
    if not notes:
        return ""
    lines = "".join(f"<li>{safe(note, 500)}</li>" for note in notes[:_MOST_NOTES])
    more = f"<li>and {len(notes) - _MOST_NOTES} more</li>" if len(notes) > _MOST_NOTES else ""
    return f'<div class="card notes"><b>Not everything could be read</b><ul>{lines}{more}</ul></div>'
