"""Real pipelines behind the service: text to image in batches, references through both protocols."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import tiny_pipelines as tiny
from in_thread import serving
from PIL import Image, ImageChops
from service_process import ServerProcess, base64_of, opened, png, until

from genevolve.grammar.errors import Cancelled, ConfigurationError, ServiceError
from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.diffusers import DiffusersRenderer, Options
from genevolve.interpreter.service.batching import DiffusersDrawer, can_batch
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.limits import Limits, Refusal
from genevolve.interpreter.service.schemas import parse_generate
from genevolve.interpreter.service.server import ServerSettings, make_service, open_renderers
from genevolve.interpreter.service.service import Service
from genevolve.interpreter.service.spool import Spool

Official = Callable[..., openai.OpenAI]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    base = tmp_path_factory.mktemp("pipelines")

    def folder(name: str) -> Path:
        made = base / name
        return made if made.exists() else Path(getattr(tiny, name)(made))

    return folder


def settings(folder: Path, **more: Any) -> ServerSettings:
    return ServerSettings(renderer=f"diffusers:{folder}?device=cpu", **more)


@pytest.fixture(scope="module")
def drawer(
    folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DiffusersDrawer]:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    yield DiffusersDrawer(DiffusersRenderer(folders("stable_diffusion"), Options(device="cpu")), spool, 4)
    spool.close()


def program(prompt: str, seed: int, **more: Any) -> Z:
    kept = {k: more.pop(k) for k in ("negative_prompt",) if k in more}
    wanted = {"width": 64, "height": 64, "steps": 3, "guidance": 5.0, "seed": seed} | more
    return Z(request=prompt, gen_prompt=prompt, settings=Settings(**wanted), **kept)


def jobs_of(*programs: Z) -> list[Job]:
    async def make() -> list[Job]:
        return [Job(f"job-{i}", z) for i, z in enumerate(programs)]

    return asyncio.run(make())


def distance(a: Image.Image, b: Image.Image) -> int:
    return max(high for _, high in ImageChops.difference(a, b).getextrema())


# ---- batches ----


def test_a_batch_draws_what_each_request_gets_alone(drawer: DiffusersDrawer) -> None:
    programs = [
        program("a red apple", 3, negative_prompt="blur"),
        program("a blue boat on a wide river, seen from far above", 3, negative_prompt="people, text"),
        program("a red apple", 4, negative_prompt="blur"),
        program("x", 5, negative_prompt="y"),
    ]
    assert len({drawer.batch_key(z) for z in programs}) == 1
    together = drawer.draw(CallContext(), jobs_of(*programs))
    pictures = []
    for z, result in zip(programs, together, strict=True):
        assert isinstance(result, Rendering)
        alone = drawer.renderer.render(CallContext(), z, ())
        assert distance(result.image, alone.image) <= 2
        assert result.info["batch"] == 4
        pictures.append(result.image)
    for i, one in enumerate(pictures):  # and they are four different pictures
        assert all(distance(one, other) > 8 for other in pictures[i + 1 :])


def test_only_equal_settings_go_together(drawer: DiffusersDrawer) -> None:
    base = drawer.batch_key(program("a", 1))
    assert base is not None
    assert drawer.batch_key(program("b", 2)) == base
    for other in (
        program("a", 1, width=128),
        program("a", 1, steps=4),
        program("a", 1, guidance=6.0),
        program("a", 1, negative_prompt="x"),
    ):
        assert drawer.batch_key(other) != base


def test_pipelines_that_take_pictures_are_never_batched(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    spool = Spool(tmp_path)
    for name in ("image_to_image", "flux_kontext", "qwen_edit"):
        renderer = DiffusersRenderer(folders(name), Options(device="cpu"))
        assert not can_batch(renderer)
        made = DiffusersDrawer(renderer, spool, 4)
        assert made.most_together == 1
        assert made.batch_key(program("a", 1)) is None
    spool.close()


def test_a_batch_stops_when_it_is_cancelled_or_late(drawer: DiffusersDrawer) -> None:
    jobs = jobs_of(program("a", 1), program("b", 2))
    stopped = CallContext()
    stopped.cancelled.set()
    with pytest.raises(Cancelled):
        drawer.draw(stopped, jobs)
    with pytest.raises(ServiceError, match="time"):
        drawer.draw(CallContext(deadline=0.0), jobs)
    assert isinstance(drawer.draw(CallContext(), jobs)[0], Rendering)


def test_a_safety_checker_withholds_each_picture_of_a_batch(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tiny.stable_diffusion(tmp_path / "checked", checked=True)
    spool = Spool(tmp_path)
    made = DiffusersDrawer(DiffusersRenderer(folder, Options(device="cpu")), spool, 4)
    results = made.draw(CallContext(), jobs_of(program("a", 1), program("b", 2)))
    assert all(isinstance(r, ServiceError) and "safety checker" in str(r) for r in results)
    spool.close()


def test_a_batch_that_does_not_fit_is_drawn_one_by_one_and_later_ones_are_smaller(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    spool = Spool(tmp_path)
    renderer = DiffusersRenderer(folders("stable_diffusion"), Options(device="cpu"))
    made = DiffusersDrawer(renderer, spool, 4)
    unet = renderer.load().pipeline.unet

    def small_memory(module: Any, given: tuple[Any, ...]) -> None:
        if given[0].shape[0] > 4:  # with guidance, two rows a picture
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] can't allocate memory")

    hook = unet.register_forward_pre_hook(small_memory)
    results = made.draw(CallContext(), jobs_of(*(program("a", seed) for seed in range(4))))
    assert all(isinstance(r, Rendering) for r in results)
    assert made.most_together == 2
    again = made.draw(CallContext(), jobs_of(program("a", 1), program("a", 2)))
    assert [r.info.get("batch") for r in again if isinstance(r, Rendering)] == [2, 2]
    hook.remove()
    spool.close()


# ---- text to image, end to end ----


def test_waiting_requests_are_drawn_together(folders: Callable[[str], Path]) -> None:
    with serving(settings(folders("stable_diffusion"))) as (url, service):

        def ask(prompt: str, seed: int, steps: int = 3) -> Any:
            body = {"prompt": prompt, "seed": seed, "width": 64, "height": 64, "steps": steps}
            return httpx2.post(f"{url}/generate", json=body, timeout=60, trust_env=False).json()

        alone = [ask(f"picture {i}", i) for i in range(4)]
        with ThreadPoolExecutor(5) as pool:
            first = pool.submit(ask, "a long one", 9, 60)
            until(lambda: service.queue.running == 1)
            futures = [pool.submit(ask, f"picture {i}", i) for i in range(4)]
            answers = [future.result() for future in futures]
            assert first.result()["success"]
        text = service.metrics.exposition().decode()
    assert 'genevolve_batch_size_bucket{le="4.0"} 6.0' in text  # four alone, the long one, and one of several
    for one, other in zip(alone, answers, strict=True):
        assert distance(opened(one["image"]), opened(other["image"])) <= 2


def test_a_process_serves_a_folder(
    serve: Callable[..., ServerProcess], folders: Callable[[str], Path]
) -> None:
    spec = f"diffusers:{folders('stable_diffusion')}?device=cpu"
    server = serve("--warm-up", renderer=spec)
    health = server.health()
    assert health["status"] == "ready"
    assert health["model"].startswith("StableDiffusionPipeline ")
    assert health["devices"] == ["cpu"]
    answer = server.generate(
        prompt="a red apple", width=64, height=64, num_inference_steps=2, true_cfg_scale=4.0
    )
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["image"]).size == (64, 64)
    refused = server.generate(prompt="a red apple", width=100, height=64)
    assert refused.status_code == 400
    assert "nearest: 96x64" in refused.json()["error"]
    refused = server.generate(prompt="a red apple", width=64, height=64, images=[base64_of(png())])
    assert refused.status_code == 400
    assert "draws from text alone" in refused.json()["error"]
    server.terminate()
    assert server.wait() == 0


# ---- references, through both protocols ----


@pytest.fixture(scope="module")
def qwen(folders: Callable[[str], Path]) -> Iterator[tuple[str, Service]]:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus

    with pytest.MonkeyPatch.context() as patch:
        # The pipeline reads each reference at a megapixel, whatever its size: most of a tiny model's time.
        patch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", 128 * 128)
        with serving(settings(folders("qwen_edit"), key="a-key-of-the-tests-0123456789")) as running:
            yield running


@pytest.fixture
def official() -> Iterator[Callable[..., openai.OpenAI]]:
    """Makes OpenAI's own client for a service."""
    with ExitStack() as stack:

        def make(url: str, key: str = "a-key-of-the-tests-0123456789", retries: int = 0) -> openai.OpenAI:
            http = openai.DefaultHttpxClient(trust_env=False)
            client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=retries, http_client=http)
            return stack.enter_context(client)

        yield make


def test_qwen_edit_sees_its_references_in_order(qwen: tuple[str, Service]) -> None:
    url, service = qwen
    first, second = png(64, 64, "red"), png(64, 48, "blue")

    def ask(*pictures: bytes) -> Image.Image:
        body = {
            "prompt": "the first reference image beside the second reference image",
            "image_urls": [f"data:image/jpeg;base64,{base64_of(p)}" for p in pictures],
            "negative_prompt": " ",
            "num_inference_steps": 2,
            "true_cfg_scale": 4.0,
            "guidance_scale": 1.0,
            "seed": 0,
            "width": 64,
            "height": 64,
        }
        headers = {"x-api-key": "a-key-of-the-tests-0123456789"}
        answer = httpx2.post(f"{url}/generate", json=body, headers=headers, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return opened(answer.json()["image"])

    both = ask(first, second)
    assert distance(both, ask(first, second)) == 0
    assert distance(both, ask(second, first)) > 2
    assert distance(both, ask(first)) > 2
    assert not [p for p in service.spool.folder.iterdir() if p.name != "lock"]


def test_the_official_client_edits(qwen: tuple[str, Service], official: Official) -> None:
    client = official(qwen[0])
    settings_ = {"num_inference_steps": 2, "true_cfg_scale": 4.0, "seed": 3}
    answer = client.images.edit(
        model="whatever",
        image=[("a.png", png(64, 64, "red")), ("b.png", png(64, 64, "blue"))],
        prompt="both at once",
        size="64x64",  # type: ignore[arg-type]  # the client's types know the sizes of OpenAI's own models only
        n=1,
        extra_body=settings_,
    )
    assert answer.data is not None
    (one,) = answer.data
    drawn = Image.open(io.BytesIO(base64.b64decode(one.b64_json or "")))
    assert drawn.size == (64, 64)
    single = client.images.edit(image=png(64, 64), prompt="x", size="64x64", extra_body=settings_)  # type: ignore[arg-type]
    assert single.data


def test_the_official_client_gets_the_errors_it_knows(qwen: tuple[str, Service], official: Official) -> None:
    with pytest.raises(openai.AuthenticationError, match="key is missing or wrong"):
        official(qwen[0], key="another-key-0123456789").images.generate(prompt="x")
    client = official(qwen[0])
    with pytest.raises(openai.BadRequestError, match="one or more reference images"):
        client.images.generate(prompt="x", size="64x64")  # type: ignore[arg-type]
    for fields, words in (
        ({"prompt": "x", "n": 2}, "n: "),
        ({"prompt": "x", "response_format": "url"}, "response_format: "),
        ({"prompt": "x", "size": "big"}, "size is written like"),
        ({"prompt": "x", "mask": png()}, "masks are not supported"),
        ({"prompt": "x", "image": b"no picture"}, "not a PNG, JPEG or WebP"),
        ({"prompt": "x", "extra_body": {"seed": "many"}}, "seed: "),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            client.images.edit(**({"image": png()} | fields))  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="6 images were sent"):
        client.images.edit(image=[png()] * 6, prompt="x")


def test_the_official_client_draws_from_text(folders: Callable[[str], Path], official: Official) -> None:
    with serving(settings(folders("stable_diffusion"))) as (url, _):
        answer = official(url).images.generate(
            prompt="a red apple",
            size="64x64",  # type: ignore[arg-type]
            response_format="b64_json",
            extra_body={"num_inference_steps": 2, "seed": 1},
        )
    assert answer.data
    assert answer.size == "64x64"  # type: ignore[comparison-overlap]


def test_the_official_client_waits_when_the_queue_is_full(
    serve: Callable[..., ServerProcess], official: Official
) -> None:
    server = serve("--queue", "1", seconds=0.4)
    client = official(server.url, key="unused", retries=0)
    with ThreadPoolExecutor(6) as pool:
        ask = lambda c: c.images.generate(prompt="x", size="32x32")  # noqa: E731
        futures = [pool.submit(ask, client) for _ in range(6)]
        errors = [f.exception() for f in futures]
        assert any(isinstance(e, openai.RateLimitError) for e in errors)
        patient = official(server.url, key="unused", retries=8)
        assert all(f.result().data for f in [pool.submit(ask, patient) for _ in range(6)])


def test_image_to_image_takes_one_reference(folders: Callable[[str], Path]) -> None:
    with serving(settings(folders("image_to_image"))) as (url, _):
        body = {
            "prompt": "a red apple",
            "images": [base64_of(png(64, 64))],
            "steps": 4,
            "width": 64,
            "height": 64,
        }
        answer = httpx2.post(f"{url}/generate", json=body, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        body["images"] = []
        refused = httpx2.post(f"{url}/generate", json=body, timeout=60, trust_env=False)
        assert refused.status_code == 400
        assert "exactly one reference image" in refused.json()["error"]


# ---- what cannot be loaded ----


def test_weights_that_cannot_be_loaded_make_the_service_say_so(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tiny.copy(folders("stable_diffusion"), tmp_path / "broken")
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes(b"no weights")
    with serving(settings(folder)) as (url, service):
        assert service.state == "failed"
        health = httpx2.get(f"{url}/healthz", trust_env=False)
        assert health.status_code == 503
        assert health.json()["status"] == "failed"
        assert "cannot load" in health.json()["problem"]
        answer = httpx2.post(f"{url}/generate", json={"prompt": "x"}, trust_env=False)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


def test_requests_are_accepted_while_the_weights_load(folders: Callable[[str], Path]) -> None:
    opened_ = open_renderers(settings(folders("stable_diffusion"), queue=2))
    service = make_service(settings(folders("stable_diffusion"), queue=2), opened_)
    (loading,) = opened_.workers
    assert isinstance(loading, DiffusersRenderer)
    body = b'{"prompt": "a red apple", "width": 64, "height": 64, "steps": 2}'

    async def work() -> None:
        with loading._lock:  # what a renderer holds while it loads
            service.start()
            jobs = []
            for name in ("one", "two"):
                wanted = await asyncio.to_thread(parse_generate, body, service.limits)
                prepared = await asyncio.wait_for(asyncio.to_thread(service.prepare, wanted), 5)
                jobs.append(service.submit(name, wanted, prepared))
            assert service.state == "loading"
            with pytest.raises(Refusal, match="queue is full"):
                service.check_room()
        results = await asyncio.gather(*(job.result for job in jobs))
        assert all(isinstance(r, Rendering) for r in results)
        await service.close()

    asyncio.run(work())


def test_devices_are_checked_before_anything_is_loaded(folders: Callable[[str], Path]) -> None:
    folder = folders("stable_diffusion")
    with pytest.raises(ConfigurationError, match=r"no such CUDA device|is not a device"):
        open_renderers(ServerSettings(renderer=f"diffusers:{folder}", devices=("cuda:7",)))
    with pytest.raises(ConfigurationError, match="given twice"):
        open_renderers(ServerSettings(renderer=f"diffusers:{folder}?device=cpu", devices=("cpu",)))
    with pytest.raises(ConfigurationError, match="given twice"):
        open_renderers(ServerSettings(renderer=f"diffusers:{folder}", devices=("cpu", "cpu")))
    (one,) = open_renderers(ServerSettings(renderer=f"diffusers:{folder}", devices=("cpu",))).workers
    assert isinstance(one, DiffusersRenderer)
    assert one.options.device == "cpu"
    with pytest.raises(ConfigurationError):
        Limits(steps=0)
