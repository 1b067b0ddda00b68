"""What the tests of remote renderers start from."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from genevolve.grammar.z import Reference, Settings, Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.remote.common import Remote
from genevolve.interpreter.values import ImageHandle

T = TypeVar("T")


def picture_file(
    path: Path, size: tuple[int, int] = (40, 30), kind: str = "JPEG", **options: Any
) -> ImageHandle:
    """A picture on disk and the handle that a run would hold."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, kind, **options)
    return handle_of(path, out.getvalue(), size, f"image/{kind.lower()}")


def handle_of(path: Path, data: bytes, size: tuple[int, int], media_type: str = "image/png") -> ImageHandle:
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return ImageHandle(str(path), digest, *size, media_type, title=path.stem, source=path.name)


def z_of(references: Sequence[ImageHandle] = (), negative: str = "", **settings: Any) -> Z:
    named = tuple(
        Reference(i, f"r{i}", "its look", handle.sha256, source=handle.source)
        for i, handle in enumerate(references, 1)
    )
    settings = {"width": 64, "height": 48, **settings}
    return Z("A tower.", "A tower as in the first reference image.", negative, named, Settings(**settings))


def remote(
    keys: dict[str, str] | None = None, endpoints: dict[str, str] | None = None, **options: Any
) -> Remote:
    return Remote(**{"seconds": 20.0, "retries": 2, **options}, keys=keys or {}, endpoints=endpoints or {})


def run(work: Coroutine[Any, Any, T], seconds: float = 30.0) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(bounded())


def render(
    renderer: Any, z: Z, references: Sequence[ImageHandle] = (), context: CallContext | None = None
) -> Rendering:
    rendering: Rendering = run(renderer.render(context or CallContext(), z, references))
    return rendering


def cancelled_after(seconds: float, work: Coroutine[Any, Any, Any]) -> float:
    """Seconds that the work needed to end once it was cancelled."""

    async def body() -> float:
        task = asyncio.create_task(work)
        await asyncio.sleep(seconds)
        assert not task.done()
        began = time.monotonic()
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()
        return time.monotonic() - began

    return run(body())


def until(true: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
