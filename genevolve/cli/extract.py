"""Give back the program and z that a picture carries."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genevolve.cli.app import OK
from genevolve.cli.files import replace_file
from genevolve.cli.output import print_exactly, print_json, printable


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("picture", type=Path, metavar="PICTURE.png")
    parser.add_argument("--z", action="store_true", help="print z (canonical JSON) instead of the program")
    parser.add_argument("--json", action="store_true", help="print both as data")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to a file instead of printing")


def execute(arguments: argparse.Namespace) -> int:
    """Print the program, or z, or both."""
    from genevolve.interpreter.png import extract

    found = extract(arguments.picture)
    if arguments.json:
        print_json({"program": found.program, "z": found.z.to_dict()})
        return OK
    text = found.z.to_json() if arguments.z else found.program
    if arguments.out is not None:
        replace_file(arguments.out, text.encode())
    elif sys.stdout.isatty():
        # On a terminal a stranger's program must not move the cursor; into a pipe it goes as it is.
        print(printable(text).rstrip("\n"))
    else:
        print_exactly(text)
    return OK
