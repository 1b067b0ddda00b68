"""What the tests of the checker share: an environment, and diagnostics written down as lines."""

from __future__ import annotations

from pathlib import Path

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import Checked, check
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source, Span
from genevolve.grammar.types import Environment, SkillInfo

GOLDEN = Path(__file__).parent.parent / "golden" / "check"

SKILLS = {
    "spatial_layout": ("relation",),
    "aesthetic_drawing": (),
    "text_rendering": ("text",),
    "creative_drawing": (),
    "anatomy_body_coherence": (),
    "attribute_binding": ("attribute",),
    "physical_material_consistency": ("attribute",),
    "quantity_counting": ("count",),
}


def environment() -> Environment:
    return builtin_environment({name: SkillInfo(name, expects=e) for name, e in SKILLS.items()})


def check_text(text: str, name: str = "test.gprog") -> Checked:
    return check(parse(Source(text, name)), environment())


def codes(text: str) -> list[str]:
    return [d.code for d in check_text(text).diagnostics]


def place(source: Source, span: Span) -> str:
    start, end = source.position(span.start), source.position(span.end)
    return f"{start.line}:{start.column}-{end.line}:{end.column}"


def written_down(source: Source, diagnostics: tuple[Diagnostic, ...]) -> str:
    """One line a diagnostic, followed by its notes, related places and fix, indented."""
    lines: list[str] = []
    for d in diagnostics:
        lines.append(f"{d.code} {d.severity.value} {place(source, d.span)} {d.message}")
        lines += [f"  note: {note}" for note in d.notes]
        lines += [f"  see: {place(source, r.span)} {r.message}" for r in d.related]
        if d.fix is not None:
            lines.append(f"  fix: {d.fix.message}")
            lines += [f"    {place(source, e.span)} -> {e.text!r}" for e in d.fix.edits]
    return "".join(line + "\n" for line in lines) or "(nothing)\n"
