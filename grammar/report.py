"""Reports of diagnostics: text for people, JSON for programs, GitHub commands and SARIF for services.

Each takes the findings of several files. `docs/diagnostics.md` shows all four formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from genevolve.grammar.codes import CODES
from genevolve.grammar.diagnostics import Diagnostic, Findings, Fix, Severity
from genevolve.grammar.display import harmless
from genevolve.grammar.report_text import summary, to_text
from genevolve.grammar.span import Source, Span

__all__ = ["SCHEMA", "summary", "to_dict", "to_github", "to_json", "to_sarif", "to_text"]

SCHEMA = "genevolve.diagnostics/1"


def to_dict(findings: Iterable[Findings]) -> dict[str, Any]:
    """All findings as plain data: the schema's name, the files with their diagnostics, and counts.

    Lines and columns count from 1, offsets from 0, all in characters; the end of a span is exclusive.
    """
    files = list(findings)
    found = [d.severity for f in files for d in f.diagnostics]
    return {
        "schema": SCHEMA,
        "files": [
            {"name": f.source.name, "diagnostics": [_diagnostic(f.source, d) for d in f.diagnostics]}
            for f in files
        ],
        "summary": {"files": len(files), **{f"{s.value}s": found.count(s) for s in Severity}},
    }


def to_json(findings: Iterable[Findings]) -> str:
    """`to_dict` as indented JSON in ASCII, ending with a line break."""
    return json.dumps(to_dict(findings), indent=2) + "\n"


def _diagnostic(source: Source, diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "title": CODES[diagnostic.code].title,
        "message": diagnostic.message,
        "span": _span(source, diagnostic.span),
        "notes": list(diagnostic.notes),
        "related": [{"message": r.message, "span": _span(source, r.span)} for r in diagnostic.related],
        "fix": _fix(source, diagnostic.fix),
    }


def _fix(source: Source, fix: Fix | None) -> dict[str, Any] | None:
    if fix is None:
        return None
    edits = [{"span": _span(source, e.span), "text": e.text} for e in fix.edits]
    return {"message": fix.message, "edits": edits}


def _span(source: Source, span: Span) -> dict[str, dict[str, int]]:
    ends = {}
    for key, offset in (("start", span.start), ("end", max(span.start, span.end))):
        line, column = source.position(offset)
        ends[key] = {"line": line, "column": column, "offset": offset}
    return ends


def to_sarif(findings: Iterable[Findings], *, base: str = "", version: str | None = None) -> str:
    """All findings as one SARIF 2.1.0 log; see `report_sarif.to_sarif`."""
    # Imported late: `genevolve check` starts faster without hashing and URL parsing.
    from genevolve.grammar import report_sarif

    return report_sarif.to_sarif(findings, base=base, version=version)


_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "notice"}


def to_github(findings: Iterable[Findings]) -> str:
    """All findings as GitHub workflow commands, one a line, which become annotations of a pull request.

    Notes and the fix follow the message on lines of their own. Columns are told only for places within one
    line, as GitHub takes no others.
    """
    return "".join(_command(f.source, d) + "\n" for f in findings for d in f.diagnostics)


def _command(source: Source, diagnostic: Diagnostic) -> str:
    start = source.position(diagnostic.span.start)
    end = source.position(max(diagnostic.span.start, diagnostic.span.end))
    place = {"file": source.name, "line": str(start.line), "endLine": str(end.line)}
    if start.line == end.line:
        place["col"] = str(start.column)
        place["endColumn"] = str(max(start.column, end.column - 1))
    place["title"] = f"{diagnostic.code}: {CODES[diagnostic.code].title}"
    properties = ",".join(f"{key}={_property(value)}" for key, value in place.items())
    lines = [diagnostic.message, *(f"note: {note}" for note in diagnostic.notes)]
    if diagnostic.fix is not None:
        lines.append(f"fix: {diagnostic.fix.message}")
    return f"::{_COMMANDS[diagnostic.severity]} {properties}::{_data(chr(10).join(lines))}"


def _data(text: str) -> str:
    # A log is read on terminals, too.
    text = "".join(c if c in "\r\n" or c.isprintable() else harmless(c) for c in text)
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
