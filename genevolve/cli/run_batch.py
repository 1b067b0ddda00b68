"""`genevolve run` for many programs, or for one program and many rows.

Everything that can be wrong with the call, the settings, the template or the output folder is told before anything is
spent. Ctrl-C and SIGTERM stop the batch; rows that have ended stay.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import INTERRUPTED, OK, SERVICE_FAILED, WRONG_INPUT
from genevolve.cli.options import machine_flags
from genevolve.cli.output import print_json, printable
from genevolve.cli.progress import Progress
from genevolve.grammar.errors import AuthorError, ConfigurationError, ProgramError

if TYPE_CHECKING:
    from genevolve.grammar.checker import Checked
    from genevolve.interpreter.config import Config
    from genevolve.programs.batch.folder import BatchFolder
    from genevolve.programs.batch.journal import Journal
    from genevolve.programs.batch.runner import BatchRunner, Options, Tally
    from genevolve.programs.batch.work import Work
    from genevolve.programs.opened import OpenedMachine
    from genevolve.programs.program import Program

_TOLD = 10
"""Failures that are printed; all of them are in the results."""

_PLAIN_EVERY = 30.0
"""Seconds between two lines of progress where no terminal is."""


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only batches have."""
    batch = parser.add_argument_group("batches")
    batch.add_argument(
        "--input",
        metavar="ROWS.jsonl",
        type=Path,
        help="run the program once for each row: JSON lines with id and question (or prompt)",
    )
    batch.add_argument("--parallel", metavar="N", type=_positive, help="rows at the same time (default: 4)")
    batch.add_argument(
        "--resume", action="store_true", help="go on where an earlier batch in this folder ended"
    )
    batch.add_argument("--limit", metavar="N", type=_positive, help="only the first N rows")
    batch.add_argument(
        "--max-cost",
        metavar="X",
        type=_money,
        help="start no row that might bring the cost of the batch above X, by the configured prices",
    )


def is_batch(arguments: argparse.Namespace) -> bool:
    """Whether the call asks for more than one picture."""
    if arguments.input is not None or arguments.resume or len(arguments.programs) > 1:
        return True
    if any(value is not None for value in (arguments.parallel, arguments.limit, arguments.max_cost)):
        return True
    given = arguments.programs[0]
    return given != "-" and Path(given).is_dir()


def execute_batch(arguments: argparse.Namespace, values: dict[str, object]) -> int:
    """Run the batch and say how it ended; the exit code tells it, too."""
    from genevolve.interpreter.config import load_config
    from genevolve.programs.batch.folder import BatchFolder, check_folder
    from genevolve.programs.batch.journal import Journal

    if arguments.dry_run:
        raise AuthorError("--dry-run shows the plan of one program; leave the options of batches out")
    if arguments.out is None:
        raise AuthorError("a batch needs a folder for its results: --out FOLDER")
    check_folder(arguments.out, resume=arguments.resume)
    config = load_config(file=arguments.config, flags=machine_flags(arguments))
    with terminable():
        source, base = _source(arguments, config)
        # A missing key is told before a long file is read.
        with _open(config, base, arguments) as machine:
            options = _options(arguments, config, machine)
            with Progress(sys.stderr, every=_PLAIN_EVERY) as progress:
                work = _work(arguments, source, machine, values, progress)
            identity = {**work.identity, "renderer": config.render.renderer, "render": options.render}
            with (
                BatchFolder(arguments.out, identity, resume=arguments.resume) as folder,
                Journal(folder.journal, work.count, folder.has_picture) as journal,
            ):
                return _run(arguments, machine, work, folder, journal, options)


def _run(
    arguments: argparse.Namespace,
    machine: OpenedMachine,
    work: Work,
    folder: BatchFolder,
    journal: Journal,
    options: Options,
) -> int:
    from genevolve.programs.batch.runner import BatchRunner

    if journal.damaged:
        told = f"{folder.journal}: {journal.damaged} lines cannot be read; their rows are run again"
        print(printable(told), file=sys.stderr)
    failures = _Failures()
    with Progress(sys.stderr, every=_PLAIN_EVERY) as progress:

        def on_end(tally: Tally, record: dict[str, Any]) -> None:
            failures.note(record)
            ended = tally.done + tally.failed
            progress.update("rows", ended, tally.rows, _note(tally))

        runner = BatchRunner(machine, work, folder, journal, options, on_end)
        ended = runner.tally
        progress.update("rows", ended.done + ended.failed, ended.rows, _note(ended))
        try:
            tally = asyncio.run(_stoppable(runner))
        except (KeyboardInterrupt, asyncio.CancelledError):
            tally = runner.tally
            print(f"interrupted: {_standing(tally)}; --resume goes on", file=sys.stderr)
            return INTERRUPTED
    journal.write_outputs(folder.path / "output.jsonl", folder.path / "results.json")
    failures.tell(tally)
    _report(arguments, folder, tally)
    return _code(tally)


async def _stoppable(runner: BatchRunner) -> Tally:
    """Run until the end, Ctrl-C or SIGTERM; both cancel what is running."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    # Not on Windows, and not outside the main thread.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
    return await runner.run()


@contextmanager
def terminable() -> Iterator[None]:
    """While no event loop runs, SIGTERM does what Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# ---- what is run -------------------------------------------------------------------------------------


def _source(arguments: argparse.Namespace, config: Config) -> tuple[Program | list[Path], Path]:
    """The template of the rows, or the programs; and the folder that relative paths of images start from."""
    from genevolve.cli.run import load_program, require_sound
    from genevolve.programs.session import open_environment

    if arguments.input is None:
        paths = _program_files(arguments.programs)
        return paths, _common(paths)
    if len(arguments.programs) != 1:
        raise AuthorError("--input takes one program, which runs for each row")
    program, base = load_program(arguments.programs[0])
    environment = open_environment(config, ask=True)
    require_sound(program, environment)
    _refuse_holes(program.checked(environment))
    return program, base


def _work(
    arguments: argparse.Namespace,
    source: Program | list[Path],
    machine: OpenedMachine,
    values: dict[str, object],
    progress: Progress,
) -> Work:
    """The rows, all looked at."""
    from genevolve.interpreter.plan import plan
    from genevolve.interpreter.start import check_tools
    from genevolve.programs.batch.files import ProgramWork
    from genevolve.programs.batch.rows import RowWork, Template

    environment = machine.environment()
    if isinstance(source, list):
        return ProgramWork(source, environment, values, limit=arguments.limit)
    checked = source.checked(environment)
    check_tools(plan(checked).nodes, machine.tools, machine.skills)

    def step(number: int) -> None:
        progress.update("checked", number, 0)

    template = Template(checked, values)
    return RowWork(arguments.input, template, limit=arguments.limit, step=step)


def _refuse_holes(checked: Checked) -> None:
    from genevolve.grammar.holes import hole_diagnostics

    holes = hole_diagnostics(checked.tree, checked.environment)
    if holes:
        raise ProgramError.at(checked.source, *holes)


def _program_files(given: list[str]) -> list[Path]:
    from genevolve.cli.inputs import expand

    if "-" in given:
        raise AuthorError("standard input can only be run alone")
    found = [path for name in given for path in expand(Path(name))]
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def _common(paths: list[Path]) -> Path:
    """The folder of the programs when it is one, else the working folder."""
    folders = {path.parent for path in paths}
    return folders.pop() if len(folders) == 1 else Path.cwd()


def _open(config: Config, base: Path, arguments: argparse.Namespace) -> OpenedMachine:
    from genevolve.programs.session import open_machine

    return open_machine(config, program_folder=base, verbose=arguments.verbose)


def _options(arguments: argparse.Namespace, config: Config, machine: OpenedMachine) -> Options:
    from genevolve.programs.batch.runner import Options
    from genevolve.programs.opened import RENDERER

    if arguments.max_cost is not None and not any(price > 0 for price in config.prices.values()):
        raise ConfigurationError(
            "--max-cost needs prices: set them under [prices], such as search = 0.001 and renderer = 0.04"
        )
    return Options(
        parallel=arguments.parallel or 4,
        render=not arguments.no_render,
        max_cost=arguments.max_cost,
        renderer_price=config.prices.get(RENDERER, 0.0),
        retries=config.machine.retries,
        # Records of thousands of rows are only kept when somebody asks for them: each is a folder.
        records=config.runs.folder if arguments.runs is not None and config.runs.record else None,
    )


# ---- what is told ------------------------------------------------------------------------------------


class _Failures:
    """The first failures, for people."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._number = 0

    def note(self, record: dict[str, Any]) -> None:
        error = record.get("error")
        if not error:
            return
        self._number += 1
        if len(self._told) < _TOLD:
            message = str(error["message"])
            message = message if len(message) <= 300 else message[:299] + "…"
            self._told.append(f"{error['where']}: {error['code']}: {message}")

    def tell(self, tally: Tally) -> None:
        for line in self._told:
            print(printable(line), file=sys.stderr)
        if self._number > len(self._told):
            print(f"… and {self._number - len(self._told)} more", file=sys.stderr)
        if tally.stopped_by_cost:
            told = (
                f"the limit of cost is reached; {tally.open} rows are open: raise --max-cost and use --resume"
            )
            print(told, file=sys.stderr)


def _note(tally: Tally) -> str:
    parts = [f"{tally.failed} failed"] if tally.failed else []
    if tally.cost:
        parts.append(f"cost {tally.cost:.4g}")
    return ", ".join(parts)


def _standing(tally: Tally) -> str:
    parts = [f"{tally.done} of {tally.rows} rows done"]
    if tally.failed:
        parts.append(
            f"{tally.failed} failed ({tally.failed_by_input} by their input, {tally.failed_by_service} by a service)"
        )
    if tally.open:
        parts.append(f"{tally.open} open")
    return ", ".join(parts)


def _report(arguments: argparse.Namespace, folder: BatchFolder, tally: Tally) -> None:
    output = folder.path / "output.jsonl"
    if arguments.json:
        print_json(
            {
                "rows": tally.rows,
                "done": tally.done,
                "failed": {"input": tally.failed_by_input, "service": tally.failed_by_service},
                "open": tally.open,
                "stopped": "cost" if tally.stopped_by_cost else None,
                "cost": round(tally.cost, 9),
                "output": str(output),
            }
        )
        return
    print(f"rows     {_standing(tally)}")
    if tally.cost:
        print(f"cost     {tally.cost:g}")
    print(printable(f"results  {output}"))


def _code(tally: Tally) -> int:
    """0 only when every row has its result; a service's failure counts more, because trying again may help."""
    if tally.failed_by_service:
        return SERVICE_FAILED
    return WRONG_INPUT if tally.failed or tally.open else OK


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return number


def _money(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of money")
    return amount
