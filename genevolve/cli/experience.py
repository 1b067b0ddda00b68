"""Look into the experience store, and look after it.

genevolve experience list [FILTERS]              what is in it, the newest first
genevolve experience show ID                     one experience: advice, programs' difference, pictures
genevolve experience search REQUEST              what a request would retrieve
genevolve experience stats                       figures, and distributions as bars
genevolve experience verify [--repair]           compare everything with everything
genevolve experience browse                      a full-screen view
genevolve experience add|remove|restore|prune    change what is in it
genevolve experience export|import               JSON lines, Parquet, Hugging Face dataset folders
genevolve experience snapshot|rollback|compact   its history
genevolve experience calibrate|reembed|backup    its gate, its model, a copy

ID is the beginning of an id. 'genevolve experience ACTION --help' tells more.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NamedTuple, Protocol, cast


class _Action(NamedTuple):
    """Where an action lives and what `--help` says of it."""

    module: str
    summary: str


class _Module(Protocol):
    """What the modules of the actions offer, for every action they hold."""

    def configure(self, action: str, parser: argparse.ArgumentParser) -> None:
        """Add the action's arguments."""

    def execute(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code."""


ACTIONS: dict[str, _Action] = {
    "list": _Action("read", "list experiences, the newest first"),
    "show": _Action("read", "show experiences with the difference of their programs"),
    "search": _Action("read", "show what a request would retrieve"),
    "stats": _Action("figures", "figures, and distributions as bars"),
    "verify": _Action("upkeep", "compare everything in the store with everything"),
    "browse": _Action("screen", "look through the store on the whole screen"),
    "add": _Action("write", "add experiences from files, or one from its parts"),
    "remove": _Action("write", "remove experiences by id"),
    "restore": _Action("write", "bring removed experiences back"),
    "prune": _Action("write", "remove experiences by what they are"),
    "export": _Action("files", "write experiences into a file or a dataset folder"),
    "import": _Action("files", "add the experiences of a file or a dataset folder"),
    "compact": _Action("upkeep", "forget what was removed and give the room back"),
    "snapshot": _Action("upkeep", "give the present state a name, or list the names"),
    "rollback": _Action("upkeep", "make the store hold what it held before"),
    "calibrate": _Action("calibrate", "measure similarities of requests and propose a gate"),
    "reembed": _Action("upkeep", "change the embedding model"),
    "backup": _Action("upkeep", "copy the store while others use it"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        sub = commands.add_parser(
            name,
            help=action.summary,
            description=f"{action.summary[0].upper()}{action.summary[1:]}.",
            allow_abbrev=False,
        )
        _module(action).configure(name, sub)


def execute(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    return _module(ACTIONS[arguments.action]).execute(arguments)


def _module(action: _Action) -> _Module:
    return cast(_Module, import_module(f"genevolve.cli.experience_{action.module}"))
