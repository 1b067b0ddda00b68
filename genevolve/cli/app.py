"""The command line: finds the command, runs it, and turns its outcome into an exit code.

Exit codes: 0 fine, 1 the input is wrong, 2 the call or the configuration is wrong, 3 a service failed, 130
interrupted. Only the module of the command that was asked for is imported: `genevolve check` stays a small tool.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol, cast

from genevolve.grammar.errors import (
    AuthorError,
    Cancelled,
    ConfigurationError,
    GenevolveError,
    OperatorError,
    ProgramError,
    RunError,
)

OK, WRONG_INPUT, USAGE, SERVICE_FAILED, INTERRUPTED = 0, 1, 2, 3, 130


class Command(NamedTuple):
    """A line of the command table: where the command lives and what `--help` says of it."""

    module: str
    summary: str


COMMANDS: dict[str, Command] = {
    "run": Command("run", "run a program and render its picture"),
    "check": Command("check", "say what is wrong in programs, without running them"),
    "fmt": Command("fmt", "put programs into their canonical layout"),
    "explain": Command("explain", "explain a diagnostic code"),
    "synth": Command("synth", "have a policy fill the holes of a sketch, or answer a request"),
    "diff": Command("diff", "compare two programs by what they say"),
    "replay": Command("replay", "run a recorded run again, without any network"),
    "extract": Command("extract", "give back the program that a picture carries"),
    "library": Command("library", "index and search your own documents and images"),
    "trajectories": Command(
        "trajectories", "take in trajectories of the released GenEvolve, and give them out"
    ),
    "studio": Command("studio", "make an invented world with requests whose ground truth is exact"),
    "bench": Command("bench", "measure a policy on a suite, compare runs, show them as a page"),
    "report": Command("report", "write one HTML page of a compile run or a bench"),
    "data": Command("data", "make training data: requests, trajectories, filters, truths, splits"),
    "compile": Command("compile", "train a policy on what its own rollouts teach"),
    "experience": Command("experience", "look into the experience store, and look after it"),
    "serve": Command("serve", "serve a renderer, or genevolve itself to MCP clients"),
    "judge": Command("judge", "judge pictures, and measure judges"),
    "doctor": Command("doctor", "check what is installed and configured"),
    "init": Command("init", "start a project: configuration, a first program, a pre-commit hook"),
}


class CommandModule(Protocol):
    """What every module in this package offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def execute(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code."""


class Parser(argparse.ArgumentParser):
    """Usage errors end with code 2 and say where help is."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit."""
        from genevolve.cli.output import printable

        self.exit(USAGE, f"{self.prog}: {printable(message)}\ntry '{self.prog} --help'\n")


def run_command_line(argv: Sequence[str]) -> int:
    """Run one command and return its exit code. Nothing but a bug of ours escapes as an exception."""
    _prepare_streams()
    try:
        outcome = _dispatch(list(argv))
        # What is still buffered meets a full disk or a closed pipe here, where it can be told.
        sys.stdout.flush()
        return outcome
    except SystemExit as stop:  # argparse: --help and usage errors
        return int(stop.code or 0)
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`genevolve … | head`): not an error of anybody.
        _drop_output()
        return OK
    except GenevolveError as error:
        return _report(error)
    except OSError as error:
        _drop_output()
        _say(f"{error.filename or 'input/output'}: {error.strerror or error}")
        return WRONG_INPUT
    except Exception as error:
        if os.environ.get("GENEVOLVE_DEBUG"):
            raise
        _say(
            f"internal error: {type(error).__name__}: {error}\n"
            "This is a bug in genevolve. GENEVOLVE_DEBUG=1 shows where it happened; please report it."
        )
        return SERVICE_FAILED


def _prepare_streams() -> None:
    """What a terminal's encoding lacks is printed as an escape, and closed streams swallow what goes there."""
    # Python leaves None where a stream is closed, whatever its types say.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for the whole process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let what is still buffered go nowhere, or Python would fail on it once more when it ends."""
    with contextlib.suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)


def _dispatch(argv: list[str]) -> int:
    if not argv or argv == ["help"] or argv[0] in ("-h", "--help"):
        _print_overview()
        return OK if argv else USAGE
    if argv[0] in ("-V", "--version"):
        from genevolve.cli.versions import version

        print(f"genevolve {version()}")
        return OK
    if argv[0] == "help":
        argv = [argv[1], "--help"]
    name = argv[0]
    if name not in COMMANDS:
        _say(f"there is no command {name!r}{_did_you_mean(name)}; 'genevolve --help' lists them")
        return USAGE
    command = COMMANDS[name]
    module = cast(CommandModule, import_module(f"genevolve.cli.{command.module}"))
    parser = Parser(prog=f"genevolve {name}", description=module.__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.configure(parser)
    return module.execute(parser.parse_args(argv[1:]))


def _print_overview() -> None:
    print("usage: genevolve <command> [options]\n\nImage requests as typed programs.\n\ncommands:")
    for name, command in COMMANDS.items():
        print(f"  {name:<13}{command.summary}")
    print("\n'genevolve <command> --help' tells more. Documentation: docs/ in the source, README.md first.")


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _report(error: GenevolveError) -> int:
    match error:
        case ProgramError():
            from genevolve.cli.output import print_findings

            print_findings([error.findings], stream=sys.stderr)
            return SERVICE_FAILED if isinstance(error, RunError) and error.service else WRONG_INPUT
        case AuthorError():
            _say(str(error))
            return WRONG_INPUT
        case ConfigurationError():
            _say(str(error))
            return USAGE
        case OperatorError():
            _say(str(error))
            return SERVICE_FAILED
        case Cancelled():
            _say(str(error))
            return INTERRUPTED
        case _:
            _say(f"internal error: {error}")
            return SERVICE_FAILED


def _say(message: str) -> None:
    from genevolve.cli.output import printable

    print(f"genevolve: {printable(message)}", file=sys.stderr)
