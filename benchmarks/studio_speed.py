"""How fast the studio draws: scenes never drawn before, whole renders, references seen for the first time.

    python benchmarks/studio_speed.py [--count 200] [--processes 2]

Budget: 25 ms a drawing of 384 x 384 pixels on one core, 40 renders a second on two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.generator import intend
from genevolve.interpreter.studio.guided import Prompt
from genevolve.interpreter.studio.requests import requests_of
from genevolve.interpreter.studio.sight import see
from genevolve.interpreter.studio.world import make_world

RESULTS = Path(__file__).parent / "results" / "studio_speed.json"


def work(part: int, count: int) -> dict[str, list[float]]:
    """Milliseconds of each piece of work, for requests that no other part has."""
    requests = list(requests_of(make_world(11 + part, 80), "train", count))
    found: dict[str, list[float]] = {"draw": [], "read and intend": [], "render": [], "see": []}
    random.Random(part).shuffle(requests)
    for number, request in enumerate(requests):
        begin = time.perf_counter()
        truth = draw(request.scene)
        found["draw"].append((time.perf_counter() - begin) * 1000)
        begin = time.perf_counter()
        see(truth)
        found["see"].append((time.perf_counter() - begin) * 1000)
        prompt = Prompt(request.content, "look").text.replace("{look}", "the first reference image")
        begin = time.perf_counter()
        scene, _ = intend(Z("", prompt, settings=Settings(384, 384, seed=number)), [truth])
        middle = time.perf_counter()
        draw(scene)
        end = time.perf_counter()
        found["read and intend"].append((middle - begin) * 1000)
        found["render"].append((end - begin) * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="requests for each process")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.processes) as pool:
        parts = list(pool.map(work, range(arguments.processes), [arguments.count] * arguments.processes))
    summary = {}
    for name in parts[0]:
        times = sorted(v for part in parts for v in part[name])
        summary[name] = {
            "median_ms": round(statistics.median(times), 2),
            "p95_ms": round(times[int(len(times) * 0.95)], 2),
            "mean_ms": round(statistics.fmean(times), 2),
        }
    renders = sum(len(p["render"]) for p in parts) / max(sum(p["render"]) / 1000 for p in parts)
    found = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(v, 2) for v in os.getloadavg()],
        "processes": arguments.processes,
        "requests": arguments.count * arguments.processes,
        "times": summary,
        "renders_a_second": round(renders, 1),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
