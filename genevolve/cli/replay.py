"""Run a recorded run again, without any network or tool; z must come out the same, byte for byte."""

from __future__ import annotations

import argparse
from pathlib import Path

from genevolve.cli.app import OK
from genevolve.cli.output import print_exactly, print_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("record", type=Path, metavar="RUN", help="a run folder (runs/<id>) or a trace file")
    parser.add_argument("--z", action="store_true", help="print the canonical z instead of a summary")
    parser.add_argument("--json", action="store_true", help="print data instead of text")


def execute(arguments: argparse.Namespace) -> int:
    """Replay and report."""
    from genevolve.interpreter.replay import replay

    run = replay(arguments.record)
    if arguments.z:
        print_exactly(run.z.to_json())
    elif arguments.json:
        print_json({"digest": run.z.digest, "same": True, "z": run.z.to_dict()})
    else:
        print(f"the same z: {run.z.digest}")
    return OK
