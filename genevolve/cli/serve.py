"""Serve a part of genevolve to other programs.

genevolve serve renderer [--renderer SPEC] [--host HOST] [--port PORT]   a renderer behind HTTP; see docs/serving.md
genevolve serve mcp [--http HOST:PORT]   check, run and search for MCP clients; see docs/mcp.md
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import cast

from genevolve.cli.app import Command, CommandModule

SERVICES: dict[str, Command] = {
    "renderer": Command("serve_renderer", "a renderer behind HTTP: queue, health, metrics"),
    "mcp": Command("serve_mcp", "check, run and search for MCP clients, over stdio or HTTP"),
}
"""What can be served: a module of this package with `configure` and `execute`, as commands have them."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="service", metavar="SERVICE", required=True)
    for name, command in SERVICES.items():
        module = _module(name)
        sub = commands.add_parser(
            name, help=command.summary, description=module.__doc__, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.configure(sub)


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    return _module(arguments.service).execute(arguments)


def _module(name: str) -> CommandModule:
    return cast(CommandModule, import_module(f"genevolve.cli.{SERVICES[name].module}"))
