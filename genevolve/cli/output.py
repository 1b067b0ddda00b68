"""What commands print: findings, JSON, and text that cannot drive the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from genevolve.grammar.diagnostics import Findings

_LONE = re.compile("[\ud800-\udfff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")

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
    print(_json_for(sys.stdout, json.dumps(data, ensure_ascii=False, indent=2)))


def _json_for(stream: IO[str], text: str) -> str:
    """The same JSON in characters that the stream takes: what it lacks is escaped as JSON does it."""
    is_unicode = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    # Half a surrogate pair, from the name of a file, has no UTF-8 either.
    return (_LONE if is_unicode else _NOT_ASCII).sub(lambda c: json.dumps(c[0])[1:-1], text)


def print_exactly(text: str) -> None:
    """Write a text to standard output as UTF-8, byte for byte, whatever the encoding of the terminal."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(text)
        return
    buffer.write(text.encode("utf-8", "surrogatepass"))
    buffer.flush()


def print_findings(
    findings: Sequence[Findings], *, style: str = "text", stream: IO[str] | None = None
) -> None:
    """Print diagnostics in one of `FORMATS`; text prints nothing when there are none."""
    from genevolve.grammar import report

    out = stream or sys.stdout
    if style == "json":
        text = _json_for(out, report.to_json(findings))
    elif style == "github":
        text = report.to_github(findings)
    elif style == "sarif":
        text = _json_for(out, report.to_sarif(findings, base=str(Path.cwd())))
    else:
        width = shutil.get_terminal_size().columns if out.isatty() else 120
        text = report.to_text(findings, color=wants_color(out), width=width)
    if text:
        print(text.rstrip("\n"), file=out)
