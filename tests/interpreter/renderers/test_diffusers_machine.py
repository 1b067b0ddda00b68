"""Whole programs on the diffusers renderer: a run with references, a refusal before anything is spent, a stop."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from pathlib import Path

import pytest
import tiny_pipelines as tiny
from PIL import Image

from genevolve.grammar import builtins
from genevolve.grammar.checker import check
from genevolve.grammar.errors import RunError
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.types import Signature
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.renderers.diffusers import DiffusersRenderer, Options
from genevolve.interpreter.renderers.diffusers.loading import device_lock
from genevolve.interpreter.run import Run
from genevolve.interpreter.values import ImageHandle, Images

PROGRAM = """
request "A tower at dusk."
let towers = image_search("a tower at dusk", top_k: 2)
ref tower = towers[0] for "copy its outline"
prompt "The tower of {tower} at dusk."
avoid "blurry"
render size: 64x64, steps: STEPS, seed: 3
"""


class Pictures:
    """An image search over two ramps, which counts its calls."""

    signature: Signature = builtins.IMAGE_SEARCH
    version = "1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = 0

    def __call__(self, context: CallContext, /, *args: object, **named: object) -> Images:
        self.calls += 1
        found = []
        for i, turn in enumerate((0, 90)):
            path = self.folder / f"{i}.png"
            Image.linear_gradient("L").rotate(turn).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append(ImageHandle(str(path), digest, 256, 256, title=f"tower {i}"))
        return Images(tuple(found))


def run(renderer: DiffusersRenderer, search: Pictures, steps: int = 3) -> Run:
    machine = Machine([search], renderer=renderer)
    checked = check(parse(Source(PROGRAM.replace("STEPS", str(steps)), "tower.gprog")), machine.environment())
    assert not [d for d in checked.diagnostics if d.is_error]
    return asyncio.run(machine.run(checked))


def test_a_program_with_a_reference_becomes_a_picture(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.image_to_image(tmp_path / "i2i"), Options(device="cpu"))
    done = run(renderer, Pictures(tmp_path))
    assert done.prompt == "The tower of the first reference image at dusk."
    assert done.image is not None
    assert done.image.size == (64, 64)
    assert any("draws over its reference image" in note for note in done.notes)
    with Image.open(io.BytesIO(done.png)) as kept:
        assert kept.size == (64, 64)
    again = run(renderer, Pictures(tmp_path))
    assert again.png == done.png


def test_what_cannot_be_honoured_ends_the_run_before_a_search(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.stable_diffusion(tmp_path / "t2i"), Options(device="cpu"))
    search = Pictures(tmp_path)
    with pytest.raises(RunError) as caught:
        run(renderer, search)
    (finding,) = caught.value.findings.errors
    assert finding.code == "GP524"
    assert "draws from text alone" in finding.message
    assert search.calls == 0
    assert not renderer.loaded


def test_a_cancelled_run_leaves_the_device_free(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.image_to_image(tmp_path / "i2i"), Options(device="cpu"))
    renderer.load()
    machine = Machine([Pictures(tmp_path)], renderer=renderer)
    checked = check(parse(Source(PROGRAM.replace("STEPS", "500"), "tower.gprog")), machine.environment())

    async def stopped() -> None:
        task = asyncio.create_task(machine.run(checked))
        while not device_lock("cpu").locked():  # noqa: ASYNC110  # a thread takes it, no event of this loop tells
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        task.cancel()
        await task

    before = threading.active_count()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    assert not device_lock("cpu").locked()
    assert threading.active_count() <= before
