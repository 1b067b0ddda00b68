"""Index and search your own documents and images.

genevolve library index [FOLDER...]           bring the index up to date and say what was read and what was skipped
genevolve library search QUERY [--images]     what a program's search(...) or image_search(...) would find
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK
from genevolve.cli.options import add_config_option, add_library_option
from genevolve.cli.output import print_json, printable

if TYPE_CHECKING:
    from genevolve.interpreter.library.library import Library

_SHOWN_SKIPPED = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    index = commands.add_parser("index", help="bring the index up to date", allow_abbrev=False)
    index.add_argument("folders", nargs="*", metavar="FOLDER", help="default: the configured library")
    index.add_argument("--verify", action="store_true", help="read every file again, changed or not")
    search = commands.add_parser("search", help="search as a program would", allow_abbrev=False)
    search.add_argument("query", nargs="+", help="what to look for; several queries are answered together")
    search.add_argument("--images", action="store_true", help="look for pictures instead of passages")
    search.add_argument(
        "--top-k", type=_positive, default=5, metavar="N", help="how many results (default 5)"
    )
    for parser_ in (index, search):
        parser_.add_argument("--json", action="store_true", help="print data instead of text")
        add_library_option(parser_)
        add_config_option(parser_)


def execute(arguments: argparse.Namespace) -> int:
    """Index or search."""
    library = _open(arguments)
    if arguments.action == "index":
        return _index(library, arguments)
    return _search(library, arguments)


def _open(arguments: argparse.Namespace) -> Library:
    from genevolve.interpreter.config import load_config
    from genevolve.interpreter.library.library import Library
    from genevolve.programs.session import library_folders

    given = [*getattr(arguments, "folders", []), *(arguments.library or [])] or None
    flags = {"library.folders": given, "library.embedder": arguments.embedder}
    config = load_config(file=arguments.config, flags=flags)
    return Library.open(
        library_folders(config), cache_dir=config.cache.location, embedder=config.library.embedder
    )


def _index(library: Library, arguments: argparse.Namespace) -> int:
    from genevolve.cli.progress import Progress

    with Progress(sys.stderr) as progress:
        report = library.index(progress.update, verify=arguments.verify)
    stats = library.stats()
    if arguments.json:
        print_json({"report": _plain(asdict(report)), "library": _plain(asdict(stats))})
        return OK
    print(
        f"{len(report.added)} added, {len(report.changed)} changed, {len(report.removed)} removed, "
        f"{len(report.renamed)} renamed, {report.unchanged} unchanged, {len(report.skipped)} skipped"
    )
    for path, reason in report.skipped[:_SHOWN_SKIPPED]:
        print(printable(f"skipped  {path}: {reason}"))
    if len(report.skipped) > _SHOWN_SKIPPED:
        print(f"skipped  {len(report.skipped) - _SHOWN_SKIPPED} more (--json lists them)")
    model = stats.embedder or "none (words only)"
    print(
        f"library  {stats.documents} documents in {stats.passages} passages, {stats.pictures} pictures, model {model}"
    )
    return OK


def _search(library: Library, arguments: argparse.Namespace) -> int:
    if arguments.images:
        images = library.search_images(" ".join(arguments.query), arguments.top_k)
        if arguments.json:
            print_json([asdict(i) for i in images.items])
        for image in () if arguments.json else images.items:
            print(printable(f"{image.id}  {image.source}  {image.width}x{image.height}\n    {image.caption}"))
        found = len(images.items)
    else:
        evidence = library.search(arguments.query, arguments.top_k)
        if arguments.json:
            print_json([asdict(s) for s in evidence.snippets])
        for snippet in () if arguments.json else evidence.snippets:
            print(printable(f"{snippet.source}  {snippet.title}\n    {snippet.text}"))
        found = len(evidence.snippets)
    if not found and not arguments.json:
        print("nothing found", file=sys.stderr)
    return OK


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _plain(data: Any) -> Any:
    match data:
        case dict():
            return {k: _plain(v) for k, v in data.items()}
        case list() | tuple():
            return [_plain(v) for v in data]
        case Path():
            return str(data)
        case _:
            return data
