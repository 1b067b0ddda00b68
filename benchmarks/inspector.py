"""How well the inspector sees: agreement with known scenes, planted defects found, pictures a second.

    python benchmarks/inspector.py [--images 1000] [--defects 1000] [--processes 2] [--seed 7]

Agreement: a request's ground truth and a picture of it with zero to three mistakes are drawn. The dimension scores that
follow from the two scenes are compared with those that follow from the pixels. Defects: one defect is planted; its
dimension must score lower than for the clean picture, and no other. Speed: drawing the picture and judging it against
its ground truth, which is read as well, by so many processes. Results go to benchmarks/results/inspector.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from genevolve.interpreter.judges.formulas import DIMENSIONS
from genevolve.interpreter.judges.inspector import Inspector
from genevolve.interpreter.judges.inspector.comparison import compare
from genevolve.interpreter.judges.inspector.seen import from_scene
from genevolve.interpreter.judges.protocol import Case
from genevolve.interpreter.studio.defects import DEFECTS, NotApplicable, plant
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.requests import Request, requests_of
from genevolve.interpreter.studio.scene import Scene
from genevolve.interpreter.studio.world import make_world

RESULTS = Path(__file__).parent / "results" / "inspector.json"


def spoiled(scene: Scene, chance: random.Random) -> Scene:
    """The scene with zero to three defects, and scattered anew."""
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        try:
            scene = plant(scene, chance.choice(sorted(DEFECTS)), chance.randrange(10**6)).scene
        except NotApplicable:
            continue
    return replace(scene, seed=chance.randrange(10**6))


def agreement(requests: Sequence[Request], seed: int) -> dict[str, Any]:
    """Shares of pictures on which scenes and pixels give the same score, by dimension."""
    inspector = Inspector()
    same: Counter[str] = Counter()
    misses: list[dict[str, Any]] = []
    for number, request in enumerate(requests):
        scene = spoiled(request.scene, random.Random(seed * 1_000_003 + number))
        wanted = compare(from_scene(request.scene), from_scene(scene), request.constraints).dimensions
        found = inspector.score(
            Case(request.prompt, draw(scene), draw(request.scene), request.constraints)
        ).dimensions
        for name in DIMENSIONS:
            same[name] += wanted[name] == found[name]
            if wanted[name] != found[name]:
                misses.append(
                    {"id": request.id, "dimension": name, "scene": wanted[name], "pixels": found[name]}
                )
    return {
        "images": len(requests),
        **{name: same[name] / len(requests) for name in DIMENSIONS},
        "misses": misses[:20],
    }


def planted(requests: Sequence[Request], seed: int) -> dict[str, Any]:
    """Of each defect how many were planted, found in the right dimension, and found there alone."""
    inspector = Inspector()
    rows: dict[str, Counter[str]] = {name: Counter() for name in DEFECTS}
    for number, (request, name) in enumerate(_plantable(requests, seed)):
        worse = plant(request.scene, name, seed + number)
        truth = draw(request.scene)
        clean = inspector.score(Case(request.prompt, truth, truth)).dimensions
        found = inspector.score(Case(request.prompt, draw(worse.scene), truth)).dimensions
        lower = {d for d in DIMENSIONS if _less(found[d], clean[d])}
        rows[name]["planted"] += 1
        rows[name]["right"] += worse.dimension in lower
        rows[name]["alone"] += lower == {worse.dimension}
    total = sum((c for c in rows.values()), Counter[str]())
    return {
        "planted": total["planted"],
        "right_dimension": total["right"] / total["planted"],
        "right_and_no_other": total["alone"] / total["planted"],
        "by_defect": {name: {"dimension": DEFECTS[name][0], **rows[name]} for name in DEFECTS},
    }


def _plantable(requests: Sequence[Request], seed: int) -> Iterator[tuple[Request, str]]:
    """Each request with a defect that can befall it, all defects in turn."""
    names = sorted(DEFECTS)
    for number, request in enumerate(requests):
        for step in range(len(names)):
            name = names[(number + step) % len(names)]
            try:
                plant(request.scene, name, seed + number)
            except NotApplicable:
                continue
            yield request, name
            break


def _less(found: float | None, clean: float | None) -> bool:
    return found is not None and clean is not None and found < clean


def _speed_part(task: tuple[int, int, int, int, bool]) -> tuple[int, float, float, float]:
    """Judge one process's share; pictures, when it began and ended, and the processor's time in between."""
    seed, part, parts, images, with_ocr = task
    requests = list(requests_of(make_world(seed), "validation", 40 + images))[part::parts]
    inspector = Inspector(read_text=with_ocr)
    warm = 40 // parts
    began = spent = 0.0
    for number, request in enumerate(requests):
        if number == warm:
            began, spent = time.time(), time.process_time()
        scene = spoiled(request.scene, random.Random(number))
        inspector.score(Case(request.prompt, draw(scene), draw(request.scene), request.constraints))
    return len(requests) - warm, began, time.time(), time.process_time() - spent


def speed(seed: int, processes: int, images: int, *, with_ocr: bool) -> dict[str, float]:
    """Renders and inspections a second: of all processes together by the clock, and of two idle cores by their time.

    The two agree on an idle machine; on a busy one the clock also counts what others do.
    """
    tasks = [(seed, part, processes, images, with_ocr) for part in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.map(_speed_part, tasks, chunksize=1)
    number = sum(n for n, *_ in parts)
    wall = max(end for _, _, end, _ in parts) - min(start for _, start, *_ in parts)
    return {
        "a_second": round(number / wall, 1),
        "a_second_by_processor_time_of_two_cores": round(2 * number / sum(cpu for *_, cpu in parts), 1),
    }


def _run(task: tuple[str, list[Request], int]) -> dict[str, Any]:
    kind, requests, seed = task
    return agreement(requests, seed) if kind == "agreement" else planted(requests, seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--defects", type=int, default=1000)
    parser.add_argument("--speed-images", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    world = make_world(options.seed)
    tasks = [
        ("agreement", list(requests_of(world, "heldout", options.images)), options.seed),
        ("planted", list(requests_of(world, "train", options.defects)), options.seed),
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        agreed, defects = pool.map(_run, tasks, chunksize=1)
    report = {
        "command": f"python benchmarks/inspector.py --images {options.images} --defects {options.defects}"
        f" --seed {options.seed}",
        "cores": os.cpu_count(),
        "processes": options.processes,
        "agreement": agreed,
        "defects": defects,
        "speed_without_ocr": speed(options.seed, options.processes, options.speed_images, with_ocr=False),
        "speed_with_ocr": speed(options.seed, options.processes, options.speed_images, with_ocr=True),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
