"""Diagnostics as SARIF 2.1.0, the format that code-scanning services and editors read.

One run holds all files. Rules are the codes that occur, with the text of their explain pages. Regions count
lines and columns from 1 in Unicode characters, and their end column is the one after the last character.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from genevolve.grammar.codes import CODES, explain
from genevolve.grammar.diagnostics import Diagnostic, Findings, Fix, Severity
from genevolve.grammar.span import Source, Span

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_INFORMATION = "https://github.com/genevolve/genevolve"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "note"}


def to_sarif(findings: Iterable[Findings], *, base: str = "", version: str | None = None) -> str:
    """All findings as one SARIF log, ending with a line break.

    Args:
        findings: One entry per file.
        base: The folder that paths are given relative to (that of the repository). Absolute paths outside it
            stay absolute `file:` URIs; relative names are taken as relative to it.
        version: The version of genevolve, when it is to be told.
    """
    files = list(findings)
    codes = sorted({d.code for f in files for d in f.diagnostics})
    index = {code: i for i, code in enumerate(codes)}
    uris = [_uri(f.source.name, base) for f in files]
    places = {uri: i for i, uri in enumerate(dict.fromkeys(uris))}
    results = [
        _result(file.source, diagnostic, {"uri": uri, "index": places[uri]}, index)
        for file, uri in zip(files, uris, strict=True)
        for diagnostic in file.diagnostics
    ]
    driver: dict[str, Any] = {"name": "genevolve", "informationUri": _INFORMATION}
    if version is not None:
        driver["version"] = version
    driver["rules"] = [_rule(code) for code in codes]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": {"uri": uri}} for uri in places],
        "results": results,
    }
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2) + "\n"


def _rule(code: str) -> dict[str, Any]:
    entry = CODES[code]
    title = entry.title[0].upper() + entry.title[1:] + "."
    try:
        page = explain(code)
    except FileNotFoundError:
        page = title
    return {
        "id": code,
        "shortDescription": {"text": title},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": _LEVELS[entry.severity]},
    }


def _result(
    source: Source, diagnostic: Diagnostic, artifact: Mapping[str, Any], index: Mapping[str, int]
) -> dict[str, Any]:
    message = "\n".join([diagnostic.message, *(f"Note: {note}" for note in diagnostic.notes)])
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": index[diagnostic.code],
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": message},
        "locations": [{"physicalLocation": _location(source, diagnostic.span, artifact)}],
        "partialFingerprints": {"genevolve/v1": _fingerprint(source, diagnostic)},
    }
    if diagnostic.related:
        result["relatedLocations"] = [
            {
                "id": number,
                "message": {"text": related.message},
                "physicalLocation": _location(source, related.span, artifact),
            }
            for number, related in enumerate(diagnostic.related, 1)
        ]
    if diagnostic.fix is not None:
        result["fixes"] = [_fix(source, diagnostic.fix, artifact)]
    return result


def _location(source: Source, span: Span, artifact: Mapping[str, Any]) -> dict[str, Any]:
    return {"artifactLocation": dict(artifact), "region": _region(source, span)}


def _region(source: Source, span: Span) -> dict[str, int]:
    start, end = source.position(span.start), source.position(max(span.start, span.end))
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    }


def _fix(source: Source, fix: Fix, artifact: Mapping[str, Any]) -> dict[str, Any]:
    replacements = [
        {"deletedRegion": _region(source, edit.span), "insertedContent": {"text": edit.text}}
        for edit in sorted(fix.edits, key=lambda e: e.span)
    ]
    change = {"artifactLocation": dict(artifact), "replacements": replacements}
    return {"description": {"text": fix.message}, "artifactChanges": [change]}


def _fingerprint(source: Source, diagnostic: Diagnostic) -> str:
    """The same for the same fault on the same words, wherever lines above it move it."""
    line = source.line(source.position(diagnostic.span.start).line)
    data = "\0".join((diagnostic.code, line[:1_000].strip(), diagnostic.message))
    return hashlib.sha256(data.encode(errors="replace")).hexdigest()[:32]


def _uri(name: str, base: str) -> str:
    path: PurePath = PureWindowsPath(name) if _is_windows(name) else PurePosixPath(name)
    if base and path.is_absolute() and path.is_relative_to(base):
        path = path.relative_to(base)
    text = path.as_posix()
    if path.is_absolute():
        return "file:///" + quote(text.lstrip("/"), safe="/:", errors="replace")
    return quote(text, safe="/", errors="replace")


def _is_windows(name: str) -> bool:
    return "\\" in name or (len(name) > 1 and name[1] == ":" and name[0].isalpha())
