"""Put programs into their canonical layout. A file with syntax errors is left as it is."""

from __future__ import annotations

import argparse
import difflib
import sys

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.files import replace_file
from genevolve.cli.inputs import Input, collect
from genevolve.cli.output import print_exactly, print_findings, printable
from genevolve.grammar.diagnostics import Findings
from genevolve.grammar.formatter import format_tree
from genevolve.grammar.parser import parse
from genevolve.grammar.reader import read_source


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, folders, or - for standard input")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if something would change"
    )
    parser.add_argument("--diff", action="store_true", help="change nothing; print what would change")


def execute(arguments: argparse.Namespace) -> int:
    """Format each input; standard input is printed, files are rewritten."""
    outcome, changed = OK, 0
    for program in collect(arguments.paths):
        formatted = _format(program)
        if formatted is None:
            outcome = WRONG_INPUT
            continue
        before = program.data.decode("utf-8")
        differs = formatted != before
        changed += differs
        if arguments.diff and differs:
            print_exactly("".join(_unified(before, formatted, printable(program.name))))
        if program.path is None and not (arguments.check or arguments.diff):
            print_exactly(formatted)
        elif program.path is not None and differs:
            if arguments.check or arguments.diff:
                print(printable(f"would change {program.name}"), file=sys.stderr)
            else:
                replace_file(program.path, formatted.encode())
                print(printable(f"formatted {program.name}"), file=sys.stderr)
    if changed and (arguments.check or arguments.diff):
        outcome = WRONG_INPUT
    return outcome


def _format(program: Input) -> str | None:
    """The canonical text, or None after printing why there is none."""
    source, problems = read_source(program.data, program.name)
    parsed = parse(source)
    problems = (*problems, *parsed.diagnostics)
    if problems:
        print_findings([Findings(source, problems)], stream=sys.stderr)
        return None
    text = format_tree(parsed.tree)
    # A checkout with Windows line ends keeps them: who wants others changes the checkout, not each file.
    windows = program.data.split(b"\n", 1)[0].endswith(b"\r")
    return text.replace("\n", "\r\n") if windows else text


def _unified(before: str, after: str, name: str) -> list[str]:
    return list(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} (formatted)"
        )
    )
