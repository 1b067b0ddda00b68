"""Make and look into a studio: an invented world whose requests have exact ground truth.

genevolve studio make DIR --seed 7 --entities 400    write the library, the requests and the ground truth
genevolve studio show DIR REQUEST_ID                 a request, what it needs, and its ground truth
genevolve studio stats DIR                           how many requests of which kind a world has
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK
from genevolve.cli.output import print_json, printable

if TYPE_CHECKING:
    from genevolve.interpreter.studio.requests import Request
    from genevolve.interpreter.studio.world import World

_SIZES = (("train", 1200), ("validation", 150), ("heldout", 400), ("heldout_combos", 200))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = commands.add_parser("make", help="write a world into a folder", allow_abbrev=False)
    make.add_argument("--seed", type=int, default=7, metavar="N", help="same seed, same bytes (default 7)")
    make.add_argument(
        "--entities",
        type=int,
        default=400,
        metavar="N",
        help="at least so many, in groups of eight (default 400)",
    )
    for split, size in _SIZES:
        make.add_argument(
            f"--{split.replace('_', '-')}",
            type=_not_negative,
            default=size,
            metavar="N",
            help=f"requests of this split (default {size})",
        )
    make.add_argument(
        "--ground-truth",
        choices=("heldout", "all", "none"),
        default="heldout",
        help="which ground truths are drawn now; others are drawn when they are needed (default heldout)",
    )
    show = commands.add_parser("show", help="show a request and its truth", allow_abbrev=False)
    stats = commands.add_parser("stats", help="count what a world has", allow_abbrev=False)
    for parser_ in (make, show, stats):
        parser_.add_argument("folder", metavar="DIR", type=Path, help="the folder of the world")
        parser_.add_argument("--json", action="store_true", help="print data instead of text")
    show.add_argument("id", metavar="REQUEST_ID", help="such as heldout-00017")


def execute(arguments: argparse.Namespace) -> int:
    """Make, show or count."""
    match arguments.action:
        case "make":
            return _make(arguments)
        case "show":
            return _show(arguments)
        case _:
            return _stats(arguments)


def _make(arguments: argparse.Namespace) -> int:
    from genevolve.cli.progress import Progress
    from genevolve.interpreter.studio.folder import Recipe, make_folder

    sizes = {split: getattr(arguments, split) for split, _ in _SIZES}
    recipe = Recipe(arguments.seed, arguments.entities, sizes)
    with Progress(sys.stderr) as progress:
        made = make_folder(arguments.folder, recipe, progress.update, ground_truths=arguments.ground_truth)
    if arguments.json:
        print_json({"folder": str(arguments.folder), **asdict(made)})
        return OK
    counts = ", ".join(f"{n} {split}" for split, n in made.requests.items())
    world = f"{made.entities} entities, {made.near_duplicates} near-duplicates, {made.decoys} decoys"
    print(printable(f"{arguments.folder}: {world}, {counts}"))
    print(f"{made.written} files written, {made.kept} were there")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    from genevolve.interpreter.studio.folder import find_request, ground_truth
    from genevolve.interpreter.studio.world import World

    world = World.load(arguments.folder)
    request = find_request(arguments.folder, arguments.id)
    picture = ground_truth(arguments.folder, request)
    facts = _facts(world, request)
    if arguments.json:
        print_json({**request.to_dict(), "facts": facts, "ground_truth": str(picture)})
        return OK
    lines = [
        f"{request.id}  {request.track}, {request.category}, {request.difficulty}, phrasing {request.phrasing}",
        f"    {request.prompt}",
        *(f"fact        {f['title']}, {f['fact']}: {f['value']}" for f in facts),
        *(f"reference   {r.path} for the {r.noun}" for r in request.references),
        *(f"skill       {skill}" for skill in request.skills),
        *(f"constraint  {constraint}" for constraint in request.constraints),
        f"picture     {picture}",
    ]
    print("\n".join(printable(line) for line in lines))
    return OK


def _facts(world: World, request: Request) -> list[dict[str, str]]:
    from genevolve.interpreter.studio.facts import Fact

    known = {fact.value: fact for fact in Fact}
    found = []
    for need in request.facts:
        entity = world.entities[need.entity]
        if need.name in known:
            value = " ".join(entity.values(known[need.name]))
        else:
            value = world.related(entity, need.name).title
        found.append({"entity": entity.id, "title": entity.title, "fact": need.name, "value": value})
    return found


def _stats(arguments: argparse.Namespace) -> int:
    from genevolve.interpreter.studio.folder import requests_file
    from genevolve.interpreter.studio.requests import read_requests, tally
    from genevolve.interpreter.studio.world import World

    world = World.load(arguments.folder)
    counts: dict[str, Any] = {}
    for split, _ in _SIZES:
        path = requests_file(arguments.folder, split)
        counts[split] = tally(list(read_requests(path))) if path.is_file() else {"requests": 0}
    twins = sum(bool(e.twin_of) for e in world.entities.values())
    data = {
        "seed": world.seed,
        "entities": len(world.entities) - twins,
        "near_duplicates": twins,
        "decoys": len(world.decoys),
        "splits": counts,
    }
    if arguments.json:
        print_json(data)
        return OK
    print(
        f"seed {world.seed}: {data['entities']} entities, {twins} near-duplicates, {len(world.decoys)} decoys"
    )
    for split, found in counts.items():
        print(f"\n{split}: {found['requests']} requests")
        for name in ("track", "difficulty", "constraints", "skill", "category") if found["requests"] else ():
            print(f"  {name:<12}" + ", ".join(f"{key} {n}" for key, n in found[name].items()))
    return OK


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number
