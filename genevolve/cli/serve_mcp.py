"""Offer genevolve to MCP clients: check, run, explain and format programs, search experiences.

genevolve serve mcp                          over standard input and output, as clients start it
genevolve serve mcp --http 127.0.0.1:8002    over HTTP, at http://127.0.0.1:8002/mcp

HTTP listens on loopback. To listen wider, set GENEVOLVE_SERVICE_KEY; clients send it as a bearer token.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.cli.app import OK
from genevolve.cli.options import add_machine_options, machine_flags
from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.programs.mcp_server import Search


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--http", metavar="HOST:PORT", type=_address, help="listen here instead of on standard input"
    )
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                        help="a further name in Host headers, as behind a proxy; repeat for several")  # fmt: skip
    parser.add_argument(
        "--experience", metavar="FOLDER", type=Path, help="the experience store (default: the configured one)"
    )
    parser.add_argument(
        "--concurrent", type=_whole, default=2, metavar="N", help="runs at a time (default 2)"
    )
    parser.add_argument(
        "--waiting", type=_whole, default=8, metavar="N", help="runs that may wait (default 8)"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, to standard error")
    add_machine_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Serve until the client goes away or a signal comes."""
    from genevolve.interpreter.config import load_config
    from genevolve.interpreter.service.auth import KEY_VARIABLE
    from genevolve.programs.mcp_server import Desk, ServiceLimits
    from genevolve.programs.mcp_transports import serve_http, serve_stdio

    _log_to_stderr(verbose=arguments.verbose)
    config = load_config(file=arguments.config, flags=machine_flags(arguments))
    limits = ServiceLimits(runs=arguments.concurrent, waiting=arguments.waiting)

    def make_desk() -> Desk:
        return Desk(config, search=_search(config, arguments.experience), limits=limits)

    if arguments.http is None:
        serve_stdio(make_desk)
        return OK
    host, port = arguments.http
    serve_http(
        make_desk, host, port,
        key=config.secrets.get(KEY_VARIABLE),
        names=tuple(arguments.allow_host),
        announce=lambda url: print(f"genevolve: MCP on {url}/mcp", file=sys.stderr, flush=True),
    )  # fmt: skip
    return OK


def _search(config: Config, given: Path | None) -> Search | None:
    """Looks up experiences in the store of the option, else of the settings; None when there is none."""
    from genevolve.experience_store.database import NAME

    folder = given if given is not None else config.experience.location
    if not (folder / NAME).is_file():
        if given is None and config.experience.store is None:
            return None
        raise ConfigurationError(f"there is no experience store {folder}")
    from genevolve.experience_store.store import ExperienceStore

    # Clients may ask from several threads at a time; they only ever read.
    store = ExperienceStore.open(folder, embedder=config.experience.embedder, read_only=True)

    def search(request: str, k: int) -> list[dict[str, object]]:
        hits = store.search(request, k=k, gate=config.experience.gate)
        return [
            {"id": hit.experience.id, "similarity": round(hit.similarity, 6), **hit.experience.to_dict()}
            for hit in hits
        ]

    return search


def _log_to_stderr(*, verbose: bool) -> None:
    """All logs of this process go to standard error: standard output belongs to the protocol."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError("expected HOST:PORT, such as 127.0.0.1:8002")
    return host.strip("[]") or "127.0.0.1", int(port)


def _whole(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
