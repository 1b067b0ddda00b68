"""`genevolve experience browse`: look through the store on the whole screen."""

from __future__ import annotations

import argparse
import sys

from genevolve.cli.app import OK
from genevolve.cli.experience_options import add_filters, add_store_options, filters_of, open_store
from genevolve.grammar.errors import AuthorError, ConfigurationError


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--read-only", action="store_true", help="look only; nothing can be removed")
    add_filters(parser)
    add_store_options(parser, json=False)


def execute(arguments: argparse.Namespace) -> int:
    """Show the view until the person leaves it."""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise AuthorError("browse needs a terminal; 'genevolve experience list' and 'show' work without one")
    try:
        from genevolve.cli.experience_browse import Browser
    except ImportError as error:
        raise ConfigurationError(
            f"browse needs the package textual: pip install textual ({error})"
        ) from error
    with open_store(arguments, write=not arguments.read_only) as store:
        browser = Browser(store, filters_of(arguments))
        browser.run()
    if browser.removed:
        print(f"{len(browser.removed):,} removed")
    return OK
