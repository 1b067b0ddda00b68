"""Run a program and render its picture; or run many programs, or one program for many rows.

The picture carries its program and z; `genevolve extract` gives them back. Each run of a single program keeps a record
under runs/. A batch (several programs, a folder of them, or --input) writes its results into the folder --out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK
from genevolve.cli.files import check_target, replace_file
from genevolve.cli.inputs import collect
from genevolve.cli.options import add_machine_options, machine_flags
from genevolve.cli.output import print_findings, print_json, printable
from genevolve.cli.run_batch import add_batch_options, execute_batch, is_batch
from genevolve.grammar.errors import AuthorError, ProgramError, RunError

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment
    from genevolve.interpreter.events import Event
    from genevolve.interpreter.machine import Machine
    from genevolve.interpreter.run import Run
    from genevolve.programs.program import Program


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "programs",
        nargs="+",
        metavar="PROGRAM",
        help="a .gprog file, or - for standard input; several make a batch",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="values",
        help="a value for a parameter of the program; repeat for several",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.png",
        type=Path,
        help="also write the picture here; the folder of a batch's results",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan and its bound; run nothing")
    parser.add_argument("--no-render", action="store_true", help="stop at z; draw no picture")
    parser.add_argument("--json", action="store_true", help="print the outcome as data")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each call as it ends")
    add_batch_options(parser)
    add_filling_options(parser)
    add_machine_options(parser)


def add_filling_options(parser: argparse.ArgumentParser) -> None:
    """Add what says who fills the holes of a sketch before it is run."""
    from genevolve.cli.synth import add_policy_options

    add_policy_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Check, run, render, and say where the picture lies."""
    from genevolve.interpreter.config import load_config
    from genevolve.programs.session import open_environment, open_machine

    values = parse_values(arguments.values)
    if is_batch(arguments):
        if arguments.policy is not None:
            raise AuthorError("--policy fills one sketch; fill it with 'genevolve synth' before a batch")
        return execute_batch(arguments, values)
    program, folder = load_program(arguments.programs[0])
    if arguments.out is not None:
        check_target(arguments.out, ".png")
    config = load_config(file=arguments.config, flags=machine_flags(arguments))
    # What can be said of the program alone is said before any library or renderer is opened. Which tools MCP servers
    # have is known only when they were asked.
    if not config.mcp.servers:
        require_sound(program, open_environment(config))
    with open_machine(config, program_folder=folder, verbose=arguments.verbose) as machine:
        if config.mcp.servers:
            require_sound(program, machine.environment())
        if arguments.dry_run:
            return _show_plan(machine, program, values, as_json=arguments.json)
        record = config.runs.folder if config.runs.record else None
        if program.holes and arguments.policy is None:
            print("genevolve: this is a sketch; --policy SPEC has its holes filled", file=sys.stderr)
        try:
            if arguments.policy is not None and program.holes:
                from genevolve.cli.run_filled import run_filled

                filled = run_filled(program, machine, arguments, config, values, record)
                if isinstance(filled, int):
                    return filled
                run = filled
            else:
                run = machine.run_sync(
                    program.checked(machine.environment()),
                    values,
                    render=not arguments.no_render,
                    record=record,
                    listener=_progress if arguments.verbose else None,
                )
        except RunError as error:
            if error.folder is not None:
                print(printable(f"record of the failed run: {error.folder}"), file=sys.stderr)
            raise
    _deliver(run, arguments)
    return OK


def load_program(given: str) -> tuple[Program, Path]:
    """The program named on the command line and the folder that its relative paths start from."""
    from genevolve.grammar.reader import read_source
    from genevolve.programs.program import Program

    if given == "-":
        read = next(iter(collect(["-"])))
        return Program(*read_source(read.data, read.name)), Path.cwd()
    path = Path(given)
    return Program.load(path), path.parent


def require_sound(program: Program, environment: Environment) -> None:
    """Raise `ProgramError` with all that is wrong; print what is only a warning."""
    findings = program.check(environment)
    if not findings.ok:
        raise ProgramError(findings)
    if findings.diagnostics:
        print_findings([findings], stream=sys.stderr)


def parse_values(pairs: list[str]) -> dict[str, object]:
    """`["title=ROME", "n=3"]` as a mapping; raises `AuthorError` for what is not NAME=VALUE or given twice."""
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise AuthorError(f"--set {pair}: write NAME=VALUE, such as --set title=ROME")
        if name in values:
            raise AuthorError(f"--set {name}: given twice")
        values[name] = value
    return values


def _show_plan(machine: Machine, program: Program, values: dict[str, object], *, as_json: bool) -> int:
    plan = machine.prepare(program.checked(machine.environment()), values).plan
    if as_json:
        print_json(plan.to_dict())
    else:
        print(printable(plan.to_text().rstrip("\n")))
    return OK


def _deliver(run: Run, arguments: argparse.Namespace) -> None:
    if arguments.out is not None and run.image is not None:
        replace_file(arguments.out, run.png)
    if arguments.json:
        print_json(_outcome(run, arguments.out))
        return
    picture = arguments.out if arguments.out is not None else run.folder and run.folder / "image.png"
    print(f"prompt   {printable(run.prompt)}")
    for reference in run.z.reference_images:
        origin = reference.source or reference.title
        print(printable(f"ref {reference.ordinal}    {reference.name}: {origin} ({reference.note})"))
    for note in run.notes:
        print(printable(f"note     {note}"))
    if run.image is not None and picture:
        print(printable(f"picture  {picture}"))
    if run.folder is not None:
        print(printable(f"record   {run.folder}"))


def _outcome(run: Run, out: Path | None) -> dict[str, Any]:
    picture = out if out is not None else run.folder and run.folder / "image.png"
    return {
        "z": run.z.to_dict(),
        "digest": run.z.digest,
        "picture": str(picture) if run.image is not None and picture else None,
        "record": str(run.folder) if run.folder else None,
        "notes": list(run.notes),
        "timings": dict(run.timings),
        "spent": dict(run.spent),
    }


def _progress(event: Event) -> None:
    if event.kind != "call":
        return
    data = event.data
    came = "from cache" if data.get("cached") else f"{float(data.get('seconds', 0)) * 1000:.0f} ms"
    failed = f"failed: {data['error']}" if data.get("error") else came
    print(printable(f"{data.get('tool')}: {failed}"), file=sys.stderr)
