"""Folders of compile runs written by hand, as a run leaves them: real programs, real pictures, a real store."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experience_samples import PlainEmbedder
from PIL import Image, ImageDraw

from genevolve.experience_store.experience import Experience, RewardParts
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.optimizer.contrast import About, Attempt, contrast
from genevolve.optimizer.profile import profile

THINGS = ("lighthouse", "tram", "beetle", "teapot", "harp", "barn owl", "windmill", "fishing boat")
COLOURS = ("red", "green", "white", "copper")


@dataclass(frozen=True)
class Shape:
    """How large a run is."""

    steps: int = 6
    requests: int = 2
    siblings: int = 6
    validation: int = 12
    drawn: bool = True


def request_of(number: int) -> str:
    thing, colour = THINGS[number % len(THINGS)], COLOURS[number // 3 % len(COLOURS)]
    return f"A poster of {2 + number % 4} {colour} {thing}s at dusk, with the word FAIR {number} at the top."


def good_program(number: int) -> str:
    thing, colour, n = THINGS[number % len(THINGS)], COLOURS[number // 3 % len(COLOURS)], 2 + number % 4
    return f'''request "{request_of(number)}"

let photos = image_search("{thing} seen from the side in evening light", top_k: 3)

ref look = pick(photos, "the whole {thing}, nothing cut off")
    for "the outline of the {thing} and its proportions"

use skill text_rendering
use skill quantity_counting

prompt """
A flat poster at dusk. Exactly {n} {colour} {thing}s stand in one row in the middle, a step apart,
each with the outline of {{look}}. Across the top, on a plain dark sky, large cream capitals read
"FAIR {number}". These are the only words.
"""
avoid "warped lettering, a second row"

require count("{thing}") == {n}
require text("FAIR {number}", at: "top")
render size: 512x512, seed: 7
'''


def poor_program(number: int) -> str:
    thing, colour = THINGS[number % len(THINGS)], COLOURS[number // 3 % len(COLOURS)]
    return f'''request "{request_of(number)}"

let photos = image_search("{request_of(number)}", top_k: 3)

ref look = photos[0]

prompt """
A beautiful poster with some {colour} {thing}s like {{look}} and the word FAIR {number} somewhere.
"""

render size: 512x512, seed: 7
'''


def write_picture(path: Path, number: int, *, good: bool) -> None:
    """A small poster: the right number of things in a row with a title, or a wrong number anywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(number)
    ground, thing = ("#27344f", "#d9593d") if good else ("#6b7686", "#a3634f")
    image = Image.new("RGB", (192, 192), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 150, 192, 192), fill="#4b3b30")
    count = 2 + number % 4 + (0 if good else 1)
    for i in range(count):
        x, y = (18 + i * 160 // count, 95) if good else (chance.randrange(150), chance.randrange(40, 130))
        draw.ellipse((x, y, x + 30, y + 58), fill=thing, outline="#f3e8d0")
    if good:
        draw.text((54, 14), f"FAIR  {number}", fill="#f7eed8", font_size=22)
    image.save(path)


def reward(total: float) -> RewardParts:
    step = round(total * 2) / 2
    image = min(1.0, max(0.0, 2 * total - step))
    return RewardParts(
        total,
        image=round(image, 3),
        text=step,
        faithfulness=step,
        visual_correctness=round(image, 2),
        text_accuracy=1.0 if total > 0.5 else 0.0,
        aesthetics=0.5,
    )


def write_run(folder: Path, shape: Shape | None = None, *, seed: int = 0) -> Path:
    """The folder of a run that has finished."""
    shape = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    best = "v002" if shape.steps > 2 else "v000"
    (folder / "compile.json").write_text(json.dumps(_identity(shape)))
    state = {"phase": "finished", "step": shape.steps, "steps": shape.steps, "reason": "", "best": best}
    (folder / "state.json").write_text(json.dumps({**state, "updated": 1_764_000_000.0}))
    taught: list[Experience] = []
    groups = [
        _group(folder, shape, step, i, chance, taught)
        for step in range(1, shape.steps + 1)
        for i in range(shape.requests)
    ]
    write_lines(folder / "groups.jsonl", groups)
    write_lines(folder / "steps.jsonl", [_step(shape, s, chance) for s in range(1, shape.steps + 1)])
    with ExperienceStore.open(folder / "experiences", embedder=PlainEmbedder(), durable=False) as store:
        for experience in taught[:40]:
            store.add(experience)
    (folder / "cold_start.json").write_text('{"examples": 310.0, "first_loss": NaN, "last_loss": 0.42}')
    _write_versions(folder, shape, chance)
    return folder


def write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _identity(shape: Shape) -> dict[str, object]:
    return {
        "schema": 1,
        "settings": {
            "preset": "laptop",
            "rollouts": {
                "siblings": shape.siblings,
                "temperature": 0.7,
                "bounds": {"turns": 11, "turn": {"top_p": 0.95}},
            },
            "training": {"steps": shape.steps, "requests": shape.requests, "learning_rate": 1e-06},
            "distillation": {"weight": 2.0, "teacher": "ema", "loss": {"keep": 0.1, "max_ratio": 2.0}},
            "memory": {"capacity": 500, "gate": 0.84},
            "limits": {"hours": None, "stop_on_kl": 0.5},
            "output": {"report_to": []},
        },
        "policy": {"name": "mini", "version": "a3c9"},
        "suite": {"name": "studio:world/train", "digest": "5ad0" * 16, "rows": 480},
        "validation": {
            "name": "studio:world/validation",
            "digest": "77ab" * 16,
            "rows": shape.validation,
        },
        "renderer": "studio",
        "judge": "inspector:2",
        "libraries": {"genevolve": "0.1.0", "torch": "2.13", "transformers": "5.23", "trl": "1.16"},
        "created": 1_763_990_000.0,
    }


def _group(
    folder: Path, shape: Shape, step: int, i: int, chance: random.Random, taught: list[Experience]
) -> dict[str, object]:
    number = (step - 1) * shape.requests + i
    level = 0.35 + 0.3 * step / shape.steps
    totals = [round(min(1.0, max(0.0, chance.gauss(level, 0.16))), 3) for _ in range(shape.siblings)]
    rewards: list[float | None] = list(totals)
    if number % 5 == 4:
        rewards[-1] = None
    known = [r for r in rewards if r is not None]
    pairs = {
        "best": (max(known), good_program(number), True),
        "worst": (min(known), poor_program(number), False),
    }
    sides: dict[str, object] = {}
    for name, (total, program, good) in pairs.items():
        picture = f"pictures/step-{step:04d}/q{number}-{name}.png"
        if shape.drawn:
            write_picture(folder / picture, number, good=good)
        sides[name] = {
            "reward": reward(total).to_dict(),
            "program": program,
            "picture": picture,
            "why": "the title is legible" if good else "",
        }
    attempts = [
        Attempt(program, parse(Source(program)).tree, reward(total), observations=f"{name}{number}")
        for name, (total, program, _) in pairs.items()
    ]
    about = About(
        request_of(number), "poster", judge="inspector:2", policy="mini a3c9", step=step, created=float(step)
    )
    made = contrast(about, attempts)
    if isinstance(made, Experience):
        taught.append(made)
    guided = step > 2 and chance.random() < 0.3 + 0.5 * step / shape.steps
    return {
        "step": step,
        "request": {
            "id": f"q{number}",
            "prompt": request_of(number),
            "category": "poster",
            "track": "quality" if number % 2 else "knowledge",
        },
        "rewards": rewards,
        "learned": "added" if isinstance(made, Experience) else made.value,
        "similarity": round(chance.uniform(0.84, 0.99), 3) if guided else None,
        "guided": guided,
        "degenerate": False,
        **sides,
    }


def _step(shape: Shape, step: int, chance: random.Random) -> dict[str, object]:
    part = step / shape.steps
    noise = lambda size: chance.gauss(0, size)  # noqa: E731  # one word for one line below
    mean = 0.35 + 0.3 * part + noise(0.03)
    figures = {
        "reward/mean": mean,
        "reward/image": mean - 0.08 + noise(0.02),
        "reward/text": mean + 0.08 + noise(0.02),
        "reward/faithfulness": mean + noise(0.05),
        "reward/visual_correctness": mean - 0.15 + noise(0.05),
        "reward/text_accuracy": mean + 0.05 + noise(0.05),
        "reward/aesthetics": 0.6 + noise(0.03),
        "reward/gap": 0.42 - 0.12 * part + noise(0.04),
        "reward/unscored": max(0.0, noise(0.02)),
        "groups/degenerate": max(0.0, 0.05 + 0.1 * part + noise(0.04)),
        "memory/hit_rate": min(1.0, max(0.0, 0.9 * part + noise(0.06))),
        "memory/added": 1.0,
        "rollouts/filled": 0.92 + 0.06 * part,
        "rollouts/turns": 3.1 + noise(0.1),
        "rollouts/calls": 1.2 + 0.6 * part,
        "rollouts/tokens": shape.requests * shape.siblings * 150.0,
        "tools/search": 0.3 + 0.2 * part,
        "tools/image_search": 0.5 + 0.3 * part + noise(0.04),
        "tools/ref": 0.5 + 0.25 * part,
        "skills/text_rendering": 0.3 + 0.5 * part + noise(0.05),
        "skills/quantity_counting": 0.2 + 0.5 * part + noise(0.05),
        "loss": 1.2 - 0.4 * part + noise(0.05),
        "sdl/loss": 0.55 - 0.2 * part + noise(0.03),
        "sdl/abs_gap": 0.3 - 0.1 * part,
        "sdl/abs_gap_kept": 1.4 - 0.4 * part,
        "sdl/kept_fraction": 0.103,
        "sdl/ratio_clipped": 0.001,
        "clip/high": max(0.0, 0.01 + noise(0.003)),
        "kl": 0.002 + 0.02 * part**2 + abs(noise(0.001)),
        "entropy": 1.1 - 0.35 * part + noise(0.03),
        "grad_norm": 0.9 + abs(noise(0.3)),
        "learning_rate": 1e-6 * (1 + math.cos(math.pi * part)) / 2,
        "seconds/step": 11.5,
        "seconds/rollouts": 7.0 + noise(0.3),
        "seconds/judging": 2.0 + noise(0.1),
        "tokens_per_second": 240 + noise(12),
    }
    if step > shape.steps * 0.6:
        figures["skills/spatial_layout"] = 0.15
    return {
        "step": step,
        "seconds": 11.5 + noise(0.4),
        "figures": {k: round(v, 8) for k, v in figures.items()},
    }


def _write_versions(folder: Path, shape: Shape, chance: random.Random) -> None:
    told = [("v000", 0, None, True, "the policy as it began")]
    if shape.steps > 2:
        third = shape.steps // 3
        told += [
            ("v001", third, "v000", False, "the interval holds 0: no sure gain"),
            ("v002", 2 * third, "v000", True, "better by more than chance explains"),
            ("v003", shape.steps, "v002", False, "worse than the best"),
        ]
    bases = {"v000": 0.33, "v001": 0.36, "v002": 0.47, "v003": 0.44}
    for name, step, parent, accepted, why in told:
        rows = [_judged(i, bases[name], name, chance) for i in range(shape.validation)]
        write_lines(folder / "evaluations" / f"{name}.jsonl", rows)
        scores = [float(str(r["score"])) for r in rows]
        mean = sum(scores) / len(scores)
        gate = None
        if parent is not None:
            difference = bases[name] - bases[parent]
            ends = {"low": difference - 0.05, "high": difference + 0.05}
            gate = {"mean": difference, **ends, "requests": shape.validation}
        data = {
            "name": name,
            "step": step,
            "parent": parent,
            "accepted": accepted,
            "why": why,
            "gate": gate,
            "validation": {"kscore": mean, "reward": mean + 0.05},
        }
        (folder / "versions" / name).mkdir(parents=True)
        (folder / "versions" / name / "version.json").write_text(json.dumps(data))


def _judged(i: int, base: float, name: str, chance: random.Random) -> dict[str, object]:
    tree = parse(Source(good_program(i) if chance.random() < base + 0.2 else poor_program(i))).tree
    made = profile(tree)
    score = round(min(1.0, max(0.0, base + 0.15 * math.sin(i) + chance.gauss(0, 0.06))), 3)
    return {
        "id": f"val{i}",
        "score": score,
        "reward": round(score + 0.05, 3),
        "dimensions": {
            "faithfulness": score,
            "visual_correctness": max(0.0, round(score - 0.1, 3)),
            "text_accuracy": 1.0 if score > 0.4 else 0.5,
            "aesthetics": 0.5,
        },
        "track": "quality" if i % 2 else "knowledge",
        "skills": ["quantity_counting"],
        "profile": {
            "skills": sorted(made.skills),
            "searches": len(made.searches),
            "pictures": len(made.pictures),
            "references": len(made.notes),
            "words": made.prompt.words,
        },
    }
