"""`genevolve experience list`, `show`, `search`: nothing here changes the store."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

from genevolve.cli.app import OK
from genevolve.cli.experience_options import (
    add_filters,
    add_paging,
    add_store_options,
    columns,
    filters_of,
    find,
    open_store,
    place_of,
    print_lines,
)
from genevolve.cli.output import print_json, wants_color

if TYPE_CHECKING:
    from genevolve.experience_store.experience import Experience


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments of one of the actions."""
    if action == "list":
        add_paging(parser)
        add_filters(parser)
    elif action == "show":
        parser.add_argument("ids", nargs="+", metavar="ID", help="the beginning of an id")
        parser.add_argument("--programs", action="store_true", help="print both programs as well")
    else:
        parser.add_argument("request", help="the request")
        parser.add_argument("-k", type=_count, default=5, metavar="N", help="at most so many (default 5)")
        parser.add_argument(
            "--gate",
            type=_cosine,
            metavar="X",
            help="the smallest cosine that counts (default: the configured one)",
        )
        parser.add_argument(
            "--exclude-request",
            action="store_true",
            help="leave out what this very request taught, as evaluations do",
        )
    add_store_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Do one of the actions."""
    return {"list": _list, "show": _show, "search": _search}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from genevolve.cli.experience_text import table

    filters = filters_of(arguments)
    with open_store(arguments) as store:
        total = store.count(filters)
        found = store.list(filters, limit=arguments.limit, offset=arguments.offset)
        generation = store.generation
    if arguments.json:
        data = [_plain(e) for e in found]
        print_json(
            {"total": total, "offset": arguments.offset, "generation": generation, "experiences": data}
        )
        return OK
    if found:
        print_lines(table(found, columns()))
    first, last = arguments.offset + 1, arguments.offset + len(found)
    more = f"; --offset {last} goes on" if last < total else ""
    told = f"{first} to {last} of {total:,}{more}" if found else f"none of {total:,} experiences"
    print(told, file=sys.stderr)
    return OK


def _show(arguments: argparse.Namespace) -> int:
    from genevolve.cli.experience_text import describe, program_diff, programs

    with open_store(arguments) as store:
        found = [find(store, beginning) for beginning in arguments.ids]
    if arguments.json:
        data = []
        for experience in found:
            difference = program_diff(experience)
            data.append({**_plain(experience), "diff": None if difference is None else difference.to_dict()})
        print_json(data if len(data) > 1 else data[0])
        return OK
    color = wants_color(sys.stdout)
    for index, experience in enumerate(found):
        if index:
            print("\n" + "-" * min(columns(), 100) + "\n")
        print_lines(describe(experience, columns(), color=color))
        if arguments.programs:
            print_lines(["", *programs(experience, color=color)])
    return OK


def _search(arguments: argparse.Namespace) -> int:
    from genevolve.cli.experience_text import table

    gate = place_of(arguments).settings.gate if arguments.gate is None else arguments.gate
    exclude = arguments.request if arguments.exclude_request else None
    with open_store(arguments) as store:
        hits = store.search(arguments.request, arguments.k, gate=-1.0, exclude_request=exclude)
    passed = [h for h in hits if h.similarity >= gate]
    if arguments.json:
        nearest = hits[0].similarity if hits else None
        data = [{"similarity": h.similarity, "experience": _plain(h.experience)} for h in passed]
        print_json({"gate": gate, "nearest": nearest, "hits": data})
        return OK
    if passed:
        print_lines(table([h.experience for h in passed], columns(), [h.similarity for h in passed]))
    elif hits:
        print(f"nothing above the gate {gate:g}; the nearest is {hits[0].similarity:.3f}", file=sys.stderr)
    else:
        print("nothing found: the store is empty", file=sys.stderr)
    return OK


def _plain(experience: Experience) -> dict[str, object]:
    return {"id": experience.id, **experience.to_dict()}


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError("expected a number from 1 to 1000")
    return number


def _cosine(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or abs(number) > 1:
        raise argparse.ArgumentTypeError("expected a cosine, from -1 to 1")
    return number
