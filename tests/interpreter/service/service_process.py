"""`genevolve serve renderer` as a process of its own, with a renderer that takes as long as it is told."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

ROOT = Path(__file__).parents[3]

_SLOW = '''
import time
from PIL import Image
from genevolve.grammar.errors import ServiceError
from genevolve.interpreter.protocols import Rendering


class Slow:
    """Takes `seconds` for a picture, in steps of 10 ms, and writes down what happened to each."""

    name, version = "slow", "slow 1"

    def __init__(self, argument):
        seconds, _, self.log = argument.partition(",")
        self.seconds = float(seconds)

    def note(self, what, z):
        with open(self.log, "a") as log:
            log.write(f"{what} {z.settings.seed}\\n")

    def refusals(self, z):
        return ["slow draws no elephants"] if "elephant" in z.gen_prompt else []

    def render(self, context, z, references):
        self.note("start", z)
        if "crash" in z.gen_prompt:
            raise ZeroDivisionError("secret detail")
        if "fail" in z.gen_prompt:
            raise ServiceError("the pipeline failed: no luck")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(0.01)
            if "stubborn" in z.gen_prompt:
                continue
            if context.cancelled.is_set():
                self.note("cancelled", z)
            context.check()
            if context.remaining() <= 0:
                raise ServiceError("slow ran out of time")
        sizes = [Image.open(r.file).size for r in references]
        self.note("end", z)
        picture = Image.new("RGB", (z.settings.width, z.settings.height), (z.settings.seed % 256, 0, 0))
        return Rendering(picture, (f"references {sizes}",))
'''


@dataclass
class ServerProcess:
    """A running server; `lines` is what it wrote to its error stream."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    temporary: Path
    lines: list[str] = field(default_factory=list)

    def client(self, **more: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=30, trust_env=False, **more)

    def generate(self, **body: Any) -> httpx2.Response:
        with self.client() as client:
            return client.post("/generate", json={"prompt": "a picture", "width": 32, "height": 32} | body)

    def events(self, what: str) -> list[int]:
        """The seeds of the renders to which this happened, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(what + " ")]

    def wait_for(self, what: str, seed: int, seconds: float = 10) -> None:
        until(lambda: seed in self.events(what), seconds)

    def health(self) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.get("/healthz").json())

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 20) -> int:
        return self.process.wait(seconds)

    def spooled(self) -> list[Path]:
        return [p for p in self.temporary.rglob("*") if p.is_file() and p.name != "lock"]


def until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment in which the renderer `slow` is installed."""
    packages = folder / "packages"
    info = packages / "slow_renderer-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (packages / "slow_renderer.py").write_text(_SLOW)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-renderer\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[genevolve.renderers]\nslow = slow_renderer:Slow\n")
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GENEVOLVE_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
        **more,
    }


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "genevolve", "serve", "renderer", *options]


@contextmanager
def start(
    folder: Path, *options: str, seconds: float = 0.1, renderer: str = "", env: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    log = folder / "events.log"
    spec = renderer or f"slow:{seconds},{log}"
    process = subprocess.Popen(
        command("--renderer", spec, "--port", "0", *options),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(folder, **(env or {})),
    )
    server = ServerProcess(process, "", log, folder / "temporary")
    reader = threading.Thread(target=_read, args=(server,), daemon=True)
    reader.start()
    try:
        until(lambda: server.url or process.poll() is not None, 60)
        assert server.url, "".join(server.lines)
        until(lambda: server.health()["status"] != "loading", 60)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        reader.join(10)
        if process.stderr is not None:
            process.stderr.close()


def _read(server: ServerProcess) -> None:
    assert server.process.stderr is not None
    for line in server.process.stderr:
        server.lines.append(line)
        if found := re.search(r" on (http://\S+)", line):
            server.url = found[1]


def png(width: int = 40, height: int = 30, color: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "PNG")
    return out.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(encoded: str) -> Image.Image:
    """Exactly as GenEvolve's published client reads an answer: no strictness, no look at a prefix."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    image.load()
    return image
