"""Compare two programs by what they say: calls, queries, skills, references, prompt clauses, constraints, settings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.inputs import Input, collect, read_input
from genevolve.cli.output import print_findings, print_json, wants_color
from genevolve.grammar.diagnostics import Findings
from genevolve.grammar.parser import parse
from genevolve.grammar.reader import read_source
from genevolve.grammar.tree import Tree


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("first", metavar="A", help="a program, or - for standard input")
    parser.add_argument("second", metavar="B", help="the program to compare with")
    parser.add_argument("--json", action="store_true", help="print data instead of text")
    parser.add_argument("--exit-code", action="store_true", help="exit 1 when they differ, as diff(1) does")


def execute(arguments: argparse.Namespace) -> int:
    """Print the differences."""
    from genevolve.grammar.diff import diff

    trees = [_read(arguments.first), _read(arguments.second)]
    if trees[0] is None or trees[1] is None:
        return WRONG_INPUT
    difference = diff(trees[0], trees[1])
    if arguments.json:
        print_json(difference.to_dict())
    elif difference.empty:
        print("the programs say the same")
    else:
        print(difference.to_text(color=wants_color(sys.stdout)).rstrip("\n"))
    return WRONG_INPUT if arguments.exit_code and not difference.empty else OK


def _read(path: str) -> Tree | None:
    program: Input = next(iter(collect(["-"]))) if path == "-" else read_input(Path(path))
    source, problems = read_source(program.data, program.name)
    parsed = parse(source)
    problems = (*problems, *parsed.diagnostics)
    if problems:
        print_findings([Findings(source, problems)], stream=sys.stderr)
        return None
    return parsed.tree
