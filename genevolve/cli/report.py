"""One HTML page of a run, with its pictures inside: nothing is loaded from elsewhere.

genevolve report DIR                    DIR/report.html
genevolve report DIR -o page.html       elsewhere; with --open, shown in a browser at once

DIR is the folder of a run of 'genevolve compile' (curves, pictures by step, experiences, decisions, cost), finished or
not, or of 'genevolve bench' (scores and rows). 'genevolve bench report A B' puts two benches side by side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genevolve.cli.app import OK, SERVICE_FAILED
from genevolve.cli.files import check_target
from genevolve.cli.output import print_json, printable


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder of a run")
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, help="the page (default: DIR/report.html)")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument("--json", action="store_true", help="print what the page tells as data")


def execute(arguments: argparse.Namespace) -> int:
    """Write the page, and show it if asked to."""
    from genevolve.optimizer.report.writing import make_report, save_report

    out: Path = arguments.out or arguments.folder / "report.html"
    if arguments.out is not None:
        check_target(out, ".html")
    report = make_report(arguments.folder)
    save_report(report, out)
    size = out.stat().st_size
    if arguments.json:
        print_json(
            {
                "report": str(out),
                "kind": report.kind,
                "bytes": size,
                **report.facts,
                "notes": list(report.notes),
            }
        )
    else:
        for note in report.notes:
            print(printable(f"genevolve: {note}"), file=sys.stderr)
        print(printable(f"{out}: {size / 1e6:.1f} MB"))
    return _show(out) if arguments.open else OK


def _show(page: Path) -> int:
    import webbrowser

    if webbrowser.open(page.resolve().as_uri()):
        return OK
    print(printable(f"genevolve: no browser could be opened for {page}"), file=sys.stderr)
    return SERVICE_FAILED
