"""Explain a diagnostic code: what it means, an example, and what to do."""

from __future__ import annotations

import argparse

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.output import print_json
from genevolve.grammar.codes import CODES, explain


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("code", nargs="?", help="a code such as GP301; without one, all codes are listed")
    parser.add_argument("--json", action="store_true", help="print data instead of text")


def execute(arguments: argparse.Namespace) -> int:
    """Print the page of a code, or the list of all."""
    if arguments.code is None:
        return _list(arguments.json)
    code = arguments.code.upper()
    if code not in CODES:
        from difflib import get_close_matches

        close = ", ".join(get_close_matches(code, CODES, n=3))
        hint = f"; did you mean {close}?" if close else ""
        print(f"genevolve explain: there is no code {arguments.code!r}{hint}")
        return WRONG_INPUT
    page = explain(code)
    if arguments.json:
        entry = CODES[code]
        print_json({"code": code, "severity": entry.severity.value, "title": entry.title, "page": page})
    else:
        print(page.rstrip("\n"))
    return OK


def _list(as_json: bool) -> int:
    if as_json:
        print_json([{"code": c, "severity": e.severity.value, "title": e.title} for c, e in CODES.items()])
    else:
        for code, entry in CODES.items():
            print(f"{code}  {entry.severity.value:<8}{entry.title}")
    return OK
