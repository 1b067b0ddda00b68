"""What wording is worth to the simulated generator, and what cheating is worth: scene against scene, no pixels judged.

    python benchmarks/studio_rates.py [--requests 400] [--world 7]

Each arm writes the prompt of every request of the split `train` in its own way; the generator's scene is compared with
the truth (`studio.compare`). References are the pictures of the world's looks.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.studio.compare import compare, met
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.failures import FAILURES
from genevolve.interpreter.studio.generator import intend
from genevolve.interpreter.studio.guided import Prompt
from genevolve.interpreter.studio.requests import Request, requests_of
from genevolve.interpreter.studio.scene import OUTLINES, PLACES, THINGS, Look, Scene, Thing
from genevolve.interpreter.studio.wants import SKILLS, Content
from genevolve.interpreter.studio.world import make_world

RESULTS = Path(__file__).parent / "results" / "studio_rates.json"
Arm = Callable[[Request], tuple[str, list[Image.Image], str]]

TIPS = (
    "Exactly the right number of things, arranged in one straight row, none overlapping. One thing to a sentence, each "
    "with its own colour and an absolute place in the left third or the right third. The lettering is quoted, placed "
    "across the top, on a flat cream banner. Copy the outline, colours, pattern and figure from the first reference "
    "image. Each creature is seen from the side, with straight separate legs. Grain, weave, bands, a bright rim; a "
    "contact shadow under everything. The host keeps its outline and its whole surface turns. Warm soft light."
)
EVERYTHING = " ".join(
    f"Exactly one {noun} stands in the {place} of the picture."
    for noun, place in zip(THINGS, PLACES * 3, strict=False)
)
TEMPLATE = (
    "A square eye-level view with a meadow as the background. Bright daylight falls from the left, with short shadows. "
    "The emblem from the first reference image stands in the centre: same outline, colours, pattern and figure. "
    "Exactly five yellow stars stand in one straight row at the bottom, none overlapping. "
    "One red cup stands on the left. "
    'One blue bell stands on the right. Across the top a cream banner reads "WELCOME". These are the only words.'
)


def emblem(look: Look) -> Image.Image:
    noun = "emblem" if look.outline in OUTLINES else look.outline
    return draw(Scene(things=(Thing(noun, look=look, size="large"),), light="day"))


def look_of(request: Request) -> Look | None:
    return next((t.look for t in request.scene.things if t.look is not None), None)


def arms(requests: list[Request]) -> dict[str, Arm]:
    looks = [look for r in requests if (look := look_of(r)) is not None]

    def right(request: Request) -> list[Image.Image]:
        look = look_of(request)
        return [emblem(look)] if look is not None else []

    def other(request: Request) -> list[Image.Image]:
        look = look_of(request)
        chance = random.Random(request.id)
        return [] if look is None else [emblem(chance.choice([v for v in looks if v != look]))]

    def worded(request: Request, plain: tuple[str, ...] = ()) -> str:
        name = "look" if look_of(request) is not None else ""
        return Prompt(request.content, name, plain).text.replace("{look}", "the first reference image")

    guards = ", ".join(g for f in FAILURES for g in f.guards)
    found: dict[str, Arm] = {
        "bare request": lambda r: (r.prompt, [], ""),
        "bare request, right reference attached": lambda r: (r.prompt, right(r), ""),
        "oracle": lambda r: (worded(r), right(r), ""),
        "oracle, another reference": lambda r: (worded(r), other(r), ""),
        "oracle, everything worded plainly": lambda r: (worded(r, SKILLS), right(r), ""),
    }
    for skill in SKILLS:
        found[f"oracle without {skill}"] = lambda r, skill=skill: (worded(r, (skill,)), right(r), "")
    found |= {
        "cheat: the request and every tip of the guides": lambda r: (f"{r.prompt} {TIPS}", right(r), ""),
        "cheat: the request three times": lambda r: (f"{r.prompt} " * 3, right(r), ""),
        "cheat: the request and all guards": lambda r: (r.prompt, right(r), guards[:300]),
        "cheat: the request in quotation marks": lambda r: (
            f'A banner at the top reads "{r.prompt}".',
            right(r),
            "",
        ),
        "cheat: one good template for all": lambda r: (TEMPLATE, right(r), ""),
        "cheat: every thing at every place": lambda r: (f"{r.prompt} {EVERYTHING}", right(r), ""),
        "cheat: the oracle's prompt, three times": lambda r: (f"{worded(r)} " * 3, right(r), ""),
        "cheat: the oracle's prompt of another request": lambda r: (
            worded(requests[(requests.index(r) + 1) % len(requests)]),
            right(r),
            "",
        ),
    }
    return found


def measure(requests: list[Request], arm: Arm) -> dict[str, object]:
    dimensions: dict[str, list[float]] = defaultdict(list)
    skills: dict[str, list[float]] = defaultdict(list)
    for number, request in enumerate(requests):
        prompt, references, negative = arm(request)
        z = Z("", prompt, negative, settings=Settings(384, 384, seed=number))
        scene, _ = intend(z, references)
        for name, value in compare(request.scene, scene, request.constraints).items():
            if value is not None:
                dimensions[name].append(value)
        for want in request.content.wants:
            for constraint in Content(request.scene, (want,)).constraints:
                skills[want.skill].append(met(constraint, request.scene, scene))
    return {
        "dimensions": {k: round(statistics.fmean(v), 3) for k, v in dimensions.items()},
        "constraints met": {k: round(statistics.fmean(v), 3) for k, v in sorted(skills.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--world", type=int, default=7)
    arguments = parser.parse_args()
    requests = list(requests_of(make_world(arguments.world, 80), "train", arguments.requests))
    results = {}
    for name, arm in arms(requests).items():
        results[name] = measure(requests, arm)
        print(f"{name:52s} {results[name]['dimensions']}", flush=True)
    found = {"world": arguments.world, "entities": 80, "requests": len(requests), "arms": results}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
