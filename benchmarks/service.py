"""The renderer service for a minute under four times its capacity.

    python benchmarks/service.py [--seconds N] [--render SECONDS] [--queue N] [--factor N]

A real server process with a renderer that takes a fixed time. Requests come at a fixed rate, whatever becomes of the
earlier ones. What is looked at:

1. no accepted request is lost: each is answered with its own picture, drawn once;
2. the wait of accepted requests: its 99th percentile against what a full queue takes;
3. refused ones: told at once, and told when to return;
4. what the service itself costs: the share of the time that the device was drawing, and its memory;
5. SIGTERM at the end, still under load: what was accepted is finished, exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from PIL import Image

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "service.json"
_SIDE = 256

_RENDERER = """
import time
from PIL import Image
from genevolve.interpreter.protocols import Rendering


class Timed:
    name, version = "timed", "timed 1"

    def __init__(self, argument):
        self.seconds, self.log = argument.split(",", 1)

    def refusals(self, z):
        return []

    def render(self, context, z, references):
        time.sleep(float(self.seconds))
        with open(self.log, "a") as log:
            log.write(f"{z.settings.seed}\\n")
        seed = z.settings.seed
        return Rendering(Image.new("RGB", (z.settings.width, z.settings.height), (seed >> 8 & 255, seed & 255, 7)))
"""


@dataclass(frozen=True)
class Answer:
    """What became of one request; times in seconds."""

    seed: int
    status: int
    seconds: float
    sent: float
    waited: float | None = None
    rendered: float | None = None
    retry_after: int | None = None
    right: bool = True


@contextmanager
def running(folder: Path, render: float, queue: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    packages = folder / "packages"
    info = packages / "timed_renderer-1.dist-info"
    info.mkdir(parents=True)
    (packages / "timed_renderer.py").write_text(_RENDERER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: timed-renderer\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[genevolve.renderers]\ntimed = timed_renderer:Timed\n")
    command = [sys.executable, "-m", "genevolve", "serve", "renderer", "--port", "0", "--queue", str(queue)]
    command += ["--renderer", f"timed:{render},{folder / 'drawn'}"]
    path = os.pathsep.join(p for p in (str(packages), os.environ.get("PYTHONPATH", "")) if p)
    errors = (folder / "errors").open("w+")
    process = subprocess.Popen(
        command, stderr=errors, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        for _ in range(600):
            found = re.search(r" on (http://\S+)", (folder / "errors").read_text())
            if found or process.poll() is not None:
                break
            time.sleep(0.1)
        if not found:
            raise SystemExit((folder / "errors").read_text())
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        errors.close()


async def load(
    url: str, rate: float, seconds: float, process: subprocess.Popen[str]
) -> tuple[list[Answer], list[int]]:
    limits = httpx2.Limits(max_connections=500, max_keepalive_connections=100)
    memory: list[int] = []
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        start = time.monotonic()
        tasks = []
        total = int(rate * seconds)
        for seed in range(total):
            await asyncio.sleep(max(0.0, start + seed / rate - time.monotonic()))
            tasks.append(asyncio.create_task(_one(client, seed, start)))
            if seed % max(1, int(rate * 5)) == 0:
                memory.append(_resident(process.pid))
        process.send_signal(signal.SIGTERM)  # while the queue is full
        for seed in range(total, total + int(rate)):
            await asyncio.sleep(1 / rate)
            tasks.append(asyncio.create_task(_one(client, seed, start)))
        return list(await asyncio.gather(*tasks)), memory


async def _one(client: httpx2.AsyncClient, seed: int, start: float) -> Answer:
    began = time.monotonic()
    body = {"prompt": "a picture", "width": _SIDE, "height": _SIDE, "seed": seed}
    try:
        answer = await client.post("/generate", json=body)
    except httpx2.TransportError:
        return Answer(seed, 0, time.monotonic() - began, began - start)
    seconds = time.monotonic() - began
    if answer.status_code != 200:
        told = answer.headers.get("retry-after")
        return Answer(
            seed, answer.status_code, seconds, began - start, retry_after=int(told) if told else None
        )
    data = answer.json()
    picture = Image.open(io.BytesIO(base64.b64decode(data["image"]))).convert("RGB")
    right = picture.size == (_SIDE, _SIDE) and picture.getpixel((0, 0)) == (seed >> 8 & 255, seed & 255, 7)
    return Answer(seed, 200, seconds, began - start, data["queued_seconds"], data["seconds"], right=right)


def _resident(pid: int) -> int:
    """Memory of the server in MiB; 0 where it cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(
    answers: list[Answer], drawn: list[int], render: float, queue: int, seconds: float
) -> dict[str, object]:
    served = [a for a in answers if a.status == 200]
    refused = [a for a in answers if a.status in (429, 503)]
    waits = [a.waited for a in served if a.waited is not None]
    renders = [a.rendered for a in served if a.rendered is not None]
    took = statistics.mean(renders)
    bound = (queue + 1) * took
    within = [a for a in served if a.sent + a.seconds <= seconds]
    return {
        "requests": len(answers),
        "statuses": dict(sorted(Counter(a.status for a in answers).items())),
        "accepted_and_drawn_exactly_once": sorted(a.seed for a in served) == sorted(drawn),
        "wrong_pictures": sum(not a.right for a in served),
        "wait_s": {
            name: round(percentile(waits, p), 3) for name, p in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        },
        "render_s_mean": round(took, 4),
        "full_queue_s": round(bound, 3),
        "p99_wait_of_full_queue": round(percentile(waits, 0.99) / bound, 3),
        "refused_without_retry_after": sum(a.retry_after is None for a in refused),
        "retry_after_s": {
            "min": min(a.retry_after or 0 for a in refused),
            "max": max(a.retry_after or 0 for a in refused),
        },
        "refusal_s": {
            name: round(percentile([a.seconds for a in refused], p), 4)
            for name, p in (("p50", 0.5), ("p99", 0.99))
        },
        "device_busy": round(len(within) * render / seconds, 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--render", type=float, default=0.1)
    parser.add_argument("--queue", type=int, default=16)
    parser.add_argument("--factor", type=float, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with running(folder, options.render, options.queue) as (process, url):
            rate = options.factor / options.render
            answers, memory = asyncio.run(load(url, rate, options.seconds, process))
            code = process.wait(60)
        drawn = [int(line) for line in (folder / "drawn").read_text().split()]
    result = report(answers, drawn, options.render, options.queue, options.seconds)
    result |= {"memory_mib": {"first": memory[0], "last": memory[-1]}, "exit_code": code}
    settings = {
        "seconds": options.seconds,
        "render_s": options.render,
        "queue": options.queue,
        "factor": options.factor,
    }
    where = {"python": platform.python_version(), "cores": os.cpu_count()}
    RESULTS.write_text(
        json.dumps({"settings": settings, "machine": where, "result": result}, indent=2) + "\n"
    )
    for name, value in result.items():
        print(f"{name:<34}{value}")
    sound = (
        result["accepted_and_drawn_exactly_once"] is True
        and result["wrong_pictures"] == 0
        and result["refused_without_retry_after"] == 0
        and code == 0
        and set(Counter(a.status for a in answers)) <= {200, 429, 503, 0}
        and percentile([a.waited for a in answers if a.waited is not None], 0.99)
        <= 1.2
        * (options.queue + 1)
        * statistics.mean([a.rendered for a in answers if a.rendered is not None])
    )
    print("sound" if sound else "NOT sound")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
