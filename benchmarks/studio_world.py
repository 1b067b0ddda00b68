"""The studio's world: how long it takes, how well it is searched, and what the oracle's switches cost.

    python benchmarks/studio_world.py [--requests 400] [--out benchmarks/results/studio_world.json]

Constraints are checked on the scene that the simulated generator meant to draw (`studio.truth`), not by a judge.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from genevolve.grammar.strings import quote
from genevolve.interpreter.config import load_config
from genevolve.interpreter.library import Library
from genevolve.interpreter.studio.facts import Fact
from genevolve.interpreter.studio.folder import Recipe, make_folder, requests_file
from genevolve.interpreter.studio.generator import intend
from genevolve.interpreter.studio.oracle import (
    Mistakes,
    Oracle,
    SeenValues,
    Switches,
    careless_query,
    fact_words,
    holds,
)
from genevolve.interpreter.studio.requests import Request, read_requests
from genevolve.interpreter.studio.truth import satisfied
from genevolve.interpreter.studio.wants import IDENTITY, SKILLS, Content
from genevolve.interpreter.studio.world import World, careful_query
from genevolve.programs.opened import OpenedMachine
from genevolve.programs.program import Program
from genevolve.programs.session import open_machine

SEED = 7
VARIANTS: dict[str, Switches] = {
    "oracle": Switches(),
    "bare request": Switches(bare=True),
    "random reference": Switches(reference="random"),
    "plain wording, random reference": Switches(drop=frozenset(SKILLS), reference="random"),
    "mistakes": Switches(mistakes=Mistakes(0.3, 0.3, 0.3, 0.2, 0.2)),
    **{f"without {skill}": Switches(drop=frozenset((skill,))) for skill in SKILLS},
}


def searches(world: World, folder: Path, cache: Path, requests: list[Request]) -> dict[str, float]:
    library = Library.open(folder / "library", embedder="none", cache_dir=cache)
    started = time.perf_counter()
    library.index()
    indexed = time.perf_counter() - started
    first = told = asked = 0
    for entity in world.entities.values():
        for fact in Fact:
            found = library.search(careful_query(entity, [fact]), 3).snippets
            first += bool(found) and found[0].source == world.source(entity)
            text = " ".join(s.text for s in found if s.source == world.source(entity))
            told += holds(text, fact_words(entity, fact))
            asked += 1
    about = [r for r in requests if r.entities]
    misled = 0
    for request in about:
        found = library.search(careless_query(world, request), 3).snippets
        misled += not found or found[0].source != f"pages/{request.entities[0]}.md"
    return {
        "index_seconds": round(indexed, 1),
        "careful_queries": asked,
        "careful_rank_1": round(first / asked, 4),
        "fact_in_top_3": round(told / asked, 4),
        "careless_queries": len(about),
        "careless_misled": round(misled / len(about), 4),
    }


async def play(
    world: World, machine: OpenedMachine, folder: Path, request: Request, switches: Switches
) -> Counter[str]:
    session = machine.session()
    await session.step(f"request {quote(request.prompt)}")
    oracle = Oracle(world, request, switches)
    number = 0
    while (turn := oracle.next_turn(SeenValues(session.values), number)) is not None:
        for statement in Program.parse(turn).tree.statements:
            await session.step(statement)
        number += 1
    z = (await session.finish()).z
    images = []
    for reference in z.reference_images:
        with Image.open(folder / "library" / reference.source) as image:
            images.append(image.convert("RGB"))
    scene, _ = intend(z, images)
    counts: Counter[str] = Counter()
    for want in request.content.wants:
        for constraint in Content(request.scene, (want,)).constraints:
            counts[f"{want.skill} asked"] += 1
            counts[f"{want.skill} held"] += satisfied(constraint, scene, request.scene)
    return counts


async def baselines(
    world: World, folder: Path, cache: Path, requests: list[Request]
) -> dict[str, dict[str, float]]:
    flags = {
        "library.folders": [str(folder / "library")],
        "library.embedder": "none",
        "cache.enabled": False,
        "cache.folder": str(cache),
        "runs.record": False,
    }
    found: dict[str, dict[str, float]] = {}
    with open_machine(load_config(flags=flags)) as machine:
        for name, switches in VARIANTS.items():
            asked = [
                r
                for r in requests
                if not switches.drop & set(SKILLS) or len(switches.drop) > 1 or switches.drop <= set(r.skills)
            ]
            total: Counter[str] = Counter()
            for request in asked:
                total += await play(world, machine, folder, request, switches)
            held = sum(n for key, n in total.items() if key.endswith("held"))
            of = sum(n for key, n in total.items() if key.endswith("asked"))
            found[name] = {"requests": len(asked), "all": round(held / of, 4)}
            for skill in (IDENTITY, *SKILLS):
                if total[f"{skill} asked"]:
                    found[name][skill] = round(total[f"{skill} held"] / total[f"{skill} asked"], 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="held-out requests")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/studio_world.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch) / "world", Path(scratch) / "cache"
        started = time.perf_counter()
        made = make_folder(folder, Recipe(SEED))
        seconds = time.perf_counter() - started
        world = World.load(folder)
        requests = list(read_requests(requests_file(folder, "heldout")))[: arguments.requests]
        result = {
            "command": f"python benchmarks/studio_world.py --requests {arguments.requests}",
            "seed": SEED,
            "make": {"seconds": round(seconds, 1), "files": made.written, "entities": len(world.entities)},
            "search": searches(world, folder, cache, requests),
            "constraints_held": asyncio.run(baselines(world, folder, cache, requests)),
        }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
