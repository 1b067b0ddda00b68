"""`genevolve experience calibrate`: how similar requests are by chance, and the gate that follows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import IO, NamedTuple

from genevolve.cli.app import OK
from genevolve.cli.experience_charts import bars
from genevolve.cli.experience_options import add_store_options, columns, open_store, place_of, print_lines
from genevolve.cli.output import print_json, printable
from genevolve.grammar.errors import AuthorError

_MOST = 10_000
_MAX_LINE = 64 * 1024
_NAMES = ("request", "prompt", "question")


class _Asked(NamedTuple):
    """A request and its category, "" when nobody knows it."""

    request: str
    category: str


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "requests",
        nargs="?",
        metavar="FILE",
        help="one request a line, or JSON lines with a request (or prompt, or question) and perhaps a category; "
        "- is standard input (default: the requests of the store)",
    )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="N",
        help="how many experiences the store will have (default: its capacity)",
    )
    parser.add_argument(
        "--risk",
        type=_risk,
        default=0.05,
        metavar="P",
        help="how often a lookup may find something by chance (default 0.05)",
    )
    parser.add_argument(
        "--no-categories", action="store_true", help="take all pairs of requests for unrelated ones"
    )
    add_store_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Measure and propose."""
    from genevolve.experience_store.calibrate import calibrate

    asked = _of_store(arguments) if arguments.requests is None else _of_file(arguments.requests)
    settings = place_of(arguments).settings
    known = all(a.category for a in asked) and not arguments.no_categories
    several = len({a.category for a in asked}) > 1
    found = calibrate(
        [a.request for a in asked],
        settings.embedder,
        categories=[a.category for a in asked] if known and several else None,
        store_size=arguments.size or settings.capacity or 500,
        risk=arguments.risk,
    )
    if arguments.json:
        print_json({**found.to_dict(), "gate_in_force": settings.gate})
        return OK
    size = 2 / len(found.histogram)
    filled = [i for i, n in enumerate(found.histogram) if n]
    pairs = [(f"{i * size - 1:+.2f}", found.histogram[i]) for i in range(filled[0], filled[-1] + 1)]
    which = "of different categories" if known and several else "in all"
    print(printable(f"model      {found.embedder}"))
    print(f"requests   {found.requests:,}; {found.pairs:,} pairs {which}")
    print(
        f"by chance  median {found.quantiles[3]:.3f}, 95 % below {found.quantiles[5]:.3f}, "
        f"99 % below {found.quantiles[6]:.3f}"
    )
    print_lines(["", *bars("similarity of each request's nearest other request", pairs, columns()), ""])
    print(f"gate       {found.gate:.3f} is proposed; {settings.gate:g} is in force")
    print(f"hits       {found.hit_rate:.1%} of these requests have another one above the proposed gate")
    if not found.reliable:
        print(
            "Too few pairs to see so small a risk: the proposal is only as high as the nearest pair seen. "
            "Measure more requests.",
            file=sys.stderr,
        )
    print(f"\nTo use it:  [experience]\n            gate = {found.gate:.3f}")
    return OK


def _of_store(arguments: argparse.Namespace) -> list[_Asked]:
    with open_store(arguments) as store:
        return [_Asked(e.request, e.category) for e in store.list(limit=_MOST)]


def _of_file(name: str) -> list[_Asked]:
    if name == "-":
        return _read(sys.stdin.buffer, "standard input")
    try:
        with Path(name).open("rb") as file:
            return _read(file, name)
    except OSError as error:
        raise AuthorError(f"{name}: cannot be read: {error.strerror}") from error


def _read(file: IO[bytes], name: str) -> list[_Asked]:
    found: list[_Asked] = []
    number = 0
    while len(found) < _MOST and (line := file.readline(_MAX_LINE + 1)):
        number += 1
        where = f"{name}, line {number}"
        if len(line) > _MAX_LINE:
            raise AuthorError(f"{where}: the line is longer than {_MAX_LINE:,} bytes")
        if line.strip():
            found.append(_request(line, where))
    return found


def _request(line: bytes, where: str) -> _Asked:
    from genevolve.experience_store.exchange_lines import parse_json

    try:
        if not line.lstrip().startswith(b"{"):
            return _Asked(line.decode("utf-8-sig").strip(), "")
        data = parse_json(line)
    except ValueError as error:
        raise AuthorError(f"{where}: {error}") from error
    fields = data if isinstance(data, dict) else {}
    for key in _NAMES:
        value, category = fields.get(key), fields.get("category", "")
        if isinstance(value, str) and value.strip():
            return _Asked(value, category if isinstance(category, str) else "")
    raise AuthorError(f"{where}: there is no request, prompt or question in it")


def _size(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10**9:
        raise argparse.ArgumentTypeError("expected a number of experiences")
    return number


def _risk(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError("expected a probability between 0 and 1")
    return number
