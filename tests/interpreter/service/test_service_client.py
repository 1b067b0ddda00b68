"""Our own client of `/generate` against our own service."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from in_thread import serving
from service_process import ServerProcess, png, until

from genevolve.grammar.errors import GenevolveError
from genevolve.grammar.z import Reference, Settings, Z
from genevolve.interpreter.config import load_config
from genevolve.interpreter.protocols import CallContext, Renderer, Rendering
from genevolve.interpreter.renderers.catalog import open_renderer
from genevolve.interpreter.service.server import ServerSettings
from genevolve.interpreter.values import ImageHandle

KEY = "a-key-of-the-tests-0123456789"


def client(*urls: str, folder: Path, key: str = KEY) -> Renderer:
    config = load_config(start=folder, environment={"GENEVOLVE_SERVICE_KEY": key}, user_file=folder / "none")
    return open_renderer(f"qwen-service:{','.join(urls)}?text=true", config)


def program(prompt: str, references: int = 0, seed: int = 0, side: int = 256) -> Z:
    bound = tuple(
        Reference(i + 1, f"r{i}", "the colour", hashlib.sha256(png(64, 64)).hexdigest())
        for i in range(references)
    )
    return Z(
        request=prompt, gen_prompt=prompt, reference_images=bound, settings=Settings(side, side, seed=seed)
    )


async def draw(renderer: Renderer, z: Z, *references: ImageHandle) -> Rendering:
    made = renderer.render(CallContext(), z, references)
    assert inspect.isawaitable(made)
    return await made


def test_a_picture_comes_back_as_it_is_drawn_without_the_service(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(png(64, 64))
    handle = ImageHandle(
        str(path), hashlib.sha256(path.read_bytes()).hexdigest(), 64, 64, title="reference image 1"
    )
    z = program('three apples beside the first reference image, titled "Market"', references=1)
    with serving(ServerSettings(renderer="storyboard", key=KEY)) as (url, _):
        remote = asyncio.run(draw(client(url, folder=tmp_path), z, handle))
    local = open_renderer("storyboard").render(CallContext(), z, [handle])
    assert isinstance(local, Rendering)
    assert remote.image.convert("RGB").tobytes() == local.image.convert("RGB").tobytes()


def test_several_services_share_the_work(tmp_path: Path) -> None:
    settings = ServerSettings(renderer="storyboard", key=KEY)
    with serving(settings) as (one, first), serving(settings) as (two, second):
        renderer = client(one, two, folder=tmp_path)

        async def all_of_them() -> list[Rendering]:
            return await asyncio.gather(*(draw(renderer, program(f"{i} cats", seed=i)) for i in range(8)))

        assert len(asyncio.run(all_of_them())) == 8
        for service in (first, second):
            until(lambda: 'outcome="ok",route="/generate"' in service.metrics.exposition().decode())  # noqa: B023 (called here)


def test_the_client_comes_back_when_the_queue_was_full(
    serve: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = serve("--queue", "1", seconds=0.3)
    renderer = client(server.url, folder=tmp_path)

    async def all_of_them() -> list[Rendering]:
        return await asyncio.gather(*(draw(renderer, program("x", seed=i, side=64)) for i in range(5)))

    pictures = asyncio.run(all_of_them())
    assert {p.image.getpixel((0, 0)) for p in pictures} == {(i, 0, 0) for i in range(5)}
    with server.client() as http:
        assert 'outcome="full"' in http.get("/metrics").text


def test_a_wrong_key_and_an_impossible_request_are_told_in_words(tmp_path: Path) -> None:
    with serving(ServerSettings(renderer="storyboard", key=KEY)) as (url, _):
        with pytest.raises(GenevolveError, match="key"):
            asyncio.run(draw(client(url, folder=tmp_path, key="another-key-0123456789"), program("x")))
        with pytest.raises(GenevolveError, match="too large"):
            asyncio.run(draw(client(url, folder=tmp_path), program("x", side=4080)))


def test_the_openai_renderer_draws_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(png(64, 64))
    handle = ImageHandle(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), 64, 64, title="red")
    with serving(ServerSettings(renderer="storyboard", key=KEY)) as (url, service):
        config = load_config(
            start=tmp_path,
            environment={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{url}/v1"},
            user_file=tmp_path / "none",
        )
        renderer = open_renderer("openai:any?extras=true", config)
        for references in ((), (handle,)):
            z = program(
                "a cat beside the first reference image", references=len(references), seed=5, side=512
            )
            assert not renderer.refusals(z)
            drawn = asyncio.run(draw(renderer, z, *references))
            assert drawn.image.size == (512, 512)
        # A request is counted after its answer has been sent: the client may know of it first.
        for path in ("generations", "edits"):
            counted = f'outcome="ok",route="/v1/images/{path}"}} 1.0'
            until(lambda: counted in service.metrics.exposition().decode())  # noqa: B023 (called here)
