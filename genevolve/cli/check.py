"""Say what is wrong in programs, without running them. Exit code 1 when there is an error."""

from __future__ import annotations

import argparse
import sys

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.files import replace_file
from genevolve.cli.inputs import Input, collect
from genevolve.cli.output import FORMATS, print_findings, printable
from genevolve.grammar.checker import check
from genevolve.grammar.diagnostics import Findings, Severity, ordered
from genevolve.grammar.parser import parse
from genevolve.grammar.reader import read_source
from genevolve.grammar.types import Environment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, folders, or - for standard input")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", dest="style", help="how to print findings"
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="style", help="the same as --format json"
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--fix", action="store_true", help="make the fixes that are safe")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("--config", metavar="FILE", help="use this configuration file")


def execute(arguments: argparse.Namespace) -> int:
    """Check every input and print the findings together."""
    from genevolve.programs.session import open_environment

    environment = open_environment(config_file=arguments.config)
    found = [_check(program, environment, fix=arguments.fix) for program in collect(arguments.paths)]
    worst = OK
    for findings in found:
        failing = findings.errors or (
            arguments.strict and any(d.severity is Severity.WARNING for d in findings.diagnostics)
        )
        worst = WRONG_INPUT if failing else worst
    shown = [Findings(f.source, f.errors) for f in found] if arguments.quiet else found
    print_findings(shown, style=arguments.style)
    if arguments.style == "text" and not arguments.quiet and not any(f.diagnostics for f in found):
        print(
            f"{len(found)} program{'s' if len(found) != 1 else ''} checked, nothing to say", file=sys.stderr
        )
    return worst


def _check(program: Input, environment: Environment, *, fix: bool) -> Findings:
    findings = check_bytes(program.data, program.name, environment)
    if not fix or program.path is None:
        return findings
    from genevolve.grammar.fixes import apply_fixes

    # Fixes change what is wrong and not how the file's lines end.
    line_end = "\r\n" if b"\r\n" in program.data else "\n"
    # A fix can uncover the next fault; a few rounds are enough for any real file.
    for _ in range(5):
        text, count = apply_fixes(findings.source.text, findings.diagnostics)
        if not count:
            break
        replace_file(program.path, text.replace("\n", line_end).encode())
        print(printable(f"fixed {count} in {program.name}"), file=sys.stderr)
        findings = check_bytes(text.encode(), program.name, environment)
    return findings


def check_bytes(data: bytes, name: str, environment: Environment) -> Findings:
    """All findings of one program text, those of reading included."""
    source, problems = read_source(data, name)
    checked = check(parse(source), environment)
    return Findings(source, ordered((*problems, *checked.diagnostics)))
