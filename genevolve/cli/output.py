"""What commands print: findings, JSON, and text that cannot drive the terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from genevolve.grammar.diagnostics import Findings

FORMATS = ("text", "json", "github", "sarif")


def printable(text: str) -> str:
    """The text with control characters (all but line breaks and tabs) shown as escapes."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def wants_color(stream: IO[str]) -> bool:
    """Whether to colour what goes there: terminals do, unless NO_COLOR says otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def print_json(data: Any) -> None:
    """Print data as indented JSON."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


def print_findings(
    findings: Sequence[Findings], *, style: str = "text", stream: IO[str] | None = None
) -> None:
    """Print diagnostics in one of `FORMATS`; text prints nothing when there are none."""
    from genevolve.grammar import report

    out = stream or sys.stdout
    if style == "json":
        text = report.to_json(findings)
    elif style == "github":
        text = report.to_github(findings)
    elif style == "sarif":
        text = report.to_sarif(findings, base=str(Path.cwd()))
    else:
        width = shutil.get_terminal_size().columns if out.isatty() else 120
        text = report.to_text(findings, color=wants_color(out), width=width)
    if text:
        print(text.rstrip("\n"), file=out)
