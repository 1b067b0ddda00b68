"""The diffusers renderer on real pipeline classes with small random weights, loaded from folders on disk."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines as tiny
import torch
from PIL import Image, ImageChops

from genevolve.grammar.errors import AuthorError, Cancelled, ConfigurationError, InternalError, ServiceError
from genevolve.grammar.z import Reference, Settings, Z
from genevolve.interpreter.protocols import CallContext, Renderer, Rendering
from genevolve.interpreter.renderers.diffusers import DiffusersRenderer, Options
from genevolve.interpreter.renderers.diffusers.loading import device_lock
from genevolve.interpreter.renderers.diffusers.renderer import Watch, open_reference
from genevolve.interpreter.values import ImageHandle


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DiffusersRenderer]:
    """Renderers by the name of their maker in `tiny_pipelines`; each folder and each pipeline is made once."""
    base = tmp_path_factory.mktemp("pipelines")
    renderers: dict[str, DiffusersRenderer] = {}

    def make(name: str) -> DiffusersRenderer:
        if name not in renderers:
            folder = getattr(tiny, name)(base / name)
            renderers[name] = DiffusersRenderer(folder, Options(device="cpu"))
        return renderers[name]

    return make


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageHandle]:
    folder = tmp_path_factory.mktemp("pictures")
    ramp = Image.linear_gradient("L").convert("RGB").resize((128, 128))
    return {
        "ramp": handle(folder / "ramp.png", ramp),
        "red": handle(folder / "red.png", Image.new("RGB", (128, 128), "red")),
        "wide": handle(folder / "wide.png", ramp.resize((200, 50))),
    }


def handle(path: Path, image: Image.Image, **save: Any) -> ImageHandle:
    image.save(path, **save)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ImageHandle(str(path), digest, image.width, image.height, title=path.stem)


def program(references: int = 0, **changes: Any) -> Z:
    settings = {"width": 64, "height": 64, "steps": 2, "guidance": None, "seed": 3}
    settings |= {k: changes.pop(k) for k in tuple(changes) if k in settings}
    bound = tuple(Reference(i + 1, f"r{i}", "the shape", "0" * 64) for i in range(references))
    fields = {"request": "x", "gen_prompt": "a red apple", "reference_images": bound} | changes
    return Z(settings=Settings(**settings), **fields)


def draw(renderer: DiffusersRenderer, *references: ImageHandle, **changes: Any) -> Rendering:
    return renderer.render(CallContext(), program(len(references), **changes), references)


def distance(a: Rendering, b: Rendering) -> int:
    """Largest difference of a pixel, 0 to 255."""
    return max(high for _, high in ImageChops.difference(a.image, b.image).getextrema())


# ---- text to image ----


def test_is_a_renderer_that_loads_lazily_and_once(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.stable_diffusion(tmp_path / "sd"), Options(device="cpu"))
    assert isinstance(renderer, Renderer)
    assert renderer.refusals(program()) == []
    assert renderer.version.startswith("StableDiffusionPipeline sd@")
    assert not renderer.loaded
    first = draw(renderer)
    assert renderer.loaded
    pipeline = renderer.load().pipeline
    assert draw(renderer).info["version"] == first.info["version"]
    assert renderer.load().pipeline is pipeline
    renderer.unload()
    assert not renderer.loaded


def test_seed_repeats_and_matters(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("stable_diffusion")
    first = draw(renderer)
    assert distance(first, draw(renderer)) == 0
    assert distance(first, draw(renderer, seed=4)) > 50
    assert distance(first, draw(renderer, seed=2**63 - 1)) > 50


def test_prompt_negative_prompt_and_guidance_reach_the_model(
    made: Callable[[str], DiffusersRenderer],
) -> None:
    renderer = made("stable_diffusion")
    first = draw(renderer)
    assert distance(first, draw(renderer, gen_prompt="a green pear")) > 5
    assert distance(first, draw(renderer, negative_prompt="blurry")) > 5
    assert distance(first, draw(renderer, guidance=2.0)) > 5
    assert first.notes == ()


def test_negative_prompt_without_guidance_is_noted(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("stable_diffusion")
    done = draw(renderer, negative_prompt="blurry", guidance=1.0)
    assert done.notes == ("the negative prompt was not sent: it has no effect at guidance 1",)
    assert distance(done, draw(renderer, guidance=1.0)) == 0


@pytest.mark.parametrize(("size", "steps"), [((64, 64), 1), ((96, 64), 3), ((64, 128), 5)])
def test_size_and_steps_are_honoured(
    made: Callable[[str], DiffusersRenderer], size: tuple[int, int], steps: int
) -> None:
    done = draw(made("stable_diffusion"), width=size[0], height=size[1], steps=steps)
    assert done.image.size == size
    assert done.image.mode == "RGB"
    assert done.info["steps"] == steps


def test_info_tells_what_made_the_picture(made: Callable[[str], DiffusersRenderer]) -> None:
    info = draw(made("stable_diffusion"), guidance=3.0).info
    assert info["pipeline"] == "StableDiffusionPipeline"
    assert (info["device"], info["dtype"], info["offload"]) == ("cpu", "float32", "none")
    assert info["arguments"] == {"num_inference_steps": 2, "guidance_scale": 3.0}
    assert json.loads(json.dumps(info)) == info
    assert isinstance(info["seconds"], float)
    assert info["seconds"] > 0


def test_a_size_between_latents_is_refused_with_the_nearest(made: Callable[[str], DiffusersRenderer]) -> None:
    (sentence,) = made("stable_diffusion").refusals(program(width=100, height=64))
    assert sentence == (
        "StableDiffusionPipeline draws sizes in steps of 8 pixels, so 100x64 is not possible; "
        "nearest: 96x64, 104x64"
    )


def test_references_are_refused_by_a_text_only_pipeline(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    renderer = made("stable_diffusion")
    first, hint = renderer.refusals(program(2))
    assert first == "StableDiffusionPipeline draws from text alone, but the program binds 2 reference images"
    assert "pipeline=StableDiffusionImg2ImgPipeline" in hint
    with pytest.raises(AuthorError, match="draws from text alone") as caught:
        draw(renderer, pictures["ramp"])
    assert caught.value.code == "GP524"


def test_the_hinted_class_loads_from_the_same_folder(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    options = Options(device="cpu", pipeline="StableDiffusionImg2ImgPipeline", strength=1.0)
    renderer = DiffusersRenderer(made("stable_diffusion").source.location, options)
    done = draw(renderer, pictures["red"], steps=3)
    assert done.info["pipeline"] == "StableDiffusionImg2ImgPipeline"
    assert done.info["steps"] == 3


def test_a_long_prompt_is_noted_with_the_tokens_that_were_cut(
    made: Callable[[str], DiffusersRenderer],
) -> None:
    renderer = made("stable_diffusion")
    fits = "a" * 75  # one token a letter, and two that mark start and end
    assert draw(renderer, gen_prompt=fits).notes == ()
    (note,) = draw(renderer, gen_prompt=fits + "bcd").notes
    assert note == "the prompt is 80 tokens long, and StableDiffusionPipeline reads 77: the last 3 were cut"
    one, other = draw(renderer, gen_prompt=fits + "bcd"), draw(renderer, gen_prompt=fits + "xyz")
    assert distance(one, other) == 0  # what was cut is what the note says


def test_a_size_far_above_the_trained_one_is_noted(made: Callable[[str], DiffusersRenderer]) -> None:
    (note,) = draw(made("stable_diffusion"), width=104, height=64).notes
    assert "was trained for 64x64 pixels" in note


# ---- one reference image ----


@pytest.mark.parametrize("name", ["image_to_image", "edit_without_callback", "flux_kontext"])
def test_the_pixels_of_the_reference_matter(
    name: str, made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    renderer = made(name)
    first = draw(renderer, pictures["ramp"], steps=4)
    assert distance(first, draw(renderer, pictures["ramp"], steps=4)) == 0
    assert distance(first, draw(renderer, pictures["red"], steps=4)) > 3
    assert distance(first, draw(renderer, pictures["ramp"], steps=4, seed=9)) > 3
    assert first.image.size == (64, 64)


@pytest.mark.parametrize("name", ["image_to_image", "edit_without_callback", "qwen_edit_single"])
def test_exactly_one_reference(name: str, made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made(name)
    assert not renderer.refusals(program(1))
    (none,) = renderer.refusals(program(0))
    (two,) = renderer.refusals(program(2))
    assert "takes exactly one reference image, but the program binds none" in none
    assert "takes exactly one reference image, but the program binds 2" in two


def test_image_to_image_takes_the_size_from_the_program(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    done = draw(made("image_to_image"), pictures["wide"], width=96, height=64, steps=4)
    assert done.image.size == (96, 64)
    assert done.notes == (
        "StableDiffusionImg2ImgPipeline draws over its reference image, which was scaled and cut to 96x64",
    )


def test_strength_shortens_the_run_and_may_not_empty_it(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    renderer = made("image_to_image")
    assert draw(renderer, pictures["ramp"], steps=5).info["steps"] == 4  # strength 0.8 by default
    (sentence,) = renderer.refusals(program(1, steps=1))
    assert "1 steps at strength 0.8 are less than one step" in sentence
    full = DiffusersRenderer(renderer.source.location, Options(device="cpu", strength=1.0))
    assert not full.refusals(program(1, steps=1))


def test_strength_for_a_pipeline_without_one_is_refused(made: Callable[[str], DiffusersRenderer]) -> None:
    location = made("stable_diffusion").source.location
    (sentence,) = DiffusersRenderer(location, Options(strength=0.5)).refusals(program())
    assert "has no strength" in sentence


def test_kontext_takes_one_reference_or_none_at_the_size_of_the_program(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    renderer = made("flux_kontext")
    without = draw(renderer, width=96, height=64)
    assert without.image.size == (96, 64)
    assert distance(without, draw(renderer, pictures["ramp"], width=96, height=64)) > 3
    (sentence,) = renderer.refusals(program(2))
    assert "takes zero to one reference images" in sentence


def test_kontext_reads_no_negative_prompt_and_says_so(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("flux_kontext")
    assert not renderer.refusals(program(negative_prompt="blurry"))
    assert draw(renderer, negative_prompt="blurry").notes == (
        "the negative prompt was not sent: FluxKontextPipeline does not read one",
    )


def test_of_two_text_encoders_the_longer_one_counts(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("flux_kontext")
    assert draw(renderer, gen_prompt="b" * 200, steps=1).notes == ()  # CLIP would cut this, T5 reads 512
    (note,) = draw(renderer, gen_prompt="b" * 600, steps=1).notes
    assert note.endswith("reads 512: the last 90 were cut")


# ---- Qwen-Image-Edit-Plus ----


def test_qwen_edit_plus_sees_every_reference_in_order(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    renderer = made("qwen_edit")
    ramp, red = pictures["ramp"], pictures["red"]
    alone = draw(renderer, ramp, steps=1)
    assert alone.image.size == (64, 64)
    assert distance(alone, draw(renderer, red, steps=1)) > 3
    both, swapped = draw(renderer, ramp, red, steps=1), draw(renderer, red, ramp, steps=1)
    assert distance(alone, both) > 3
    assert distance(both, swapped) > 3
    assert distance(both, draw(renderer, ramp, red, steps=1)) == 0
    assert distance(both, draw(renderer, ramp, red, steps=1, seed=4)) > 3


def test_qwen_edit_plus_is_guided_by_true_cfg(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    renderer = made("qwen_edit")
    plain = draw(renderer, pictures["ramp"])
    assert plain.info["arguments"] == {"num_inference_steps": 2, "true_cfg_scale": 4.0}
    assert plain.notes == ()
    assert distance(plain, draw(renderer, pictures["ramp"], guidance=1.5)) > 0
    assert distance(plain, draw(renderer, pictures["ramp"], negative_prompt="blurry")) > 0


def test_qwen_edit_plus_refuses_no_reference_and_odd_sizes(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("qwen_edit")
    (none,) = renderer.refusals(program(0))
    assert "takes one or more reference images, but the program binds none" in none
    assert not renderer.refusals(program(5))
    (size,) = renderer.refusals(program(1, width=1000, height=1024))
    assert "steps of 16 pixels" in size
    assert size.endswith("nearest: 992x1024, 1008x1024")
    assert renderer.capabilities.default_steps == 40


def test_qwen_edit_takes_one_picture(
    made: Callable[[str], DiffusersRenderer], pictures: dict[str, ImageHandle]
) -> None:
    done = draw(made("qwen_edit_single"), pictures["ramp"], steps=1)
    assert done.image.size == (64, 64)


# ---- stopping ----


class StopAfter(threading.Event):
    """Set from the outside, as the machine does, once it was looked at a number of times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0 or super().is_set()


@pytest.mark.parametrize("name", ["stable_diffusion", "edit_without_callback", "qwen_edit"])
def test_a_stopped_run_ends_within_a_step(
    name: str,
    made: Callable[[str], DiffusersRenderer],
    pictures: dict[str, ImageHandle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renderer = made(name)
    count = renderer.capabilities.least_references
    steps: list[int] = []
    original = Watch.step
    monkeypatch.setattr(Watch, "step", lambda self: (original(self), steps.append(self.steps)))
    context = CallContext(cancelled=StopAfter(4))  # two looks before the first step
    with pytest.raises(Cancelled):
        renderer.render(context, program(count, steps=50), [pictures["ramp"]] * count)
    assert steps == [1, 2]
    assert "step" not in vars(renderer.load().pipeline.scheduler)
    monkeypatch.undo()
    assert draw(renderer, *[pictures["ramp"]] * count, steps=1).info["steps"] == 1


def test_the_deadline_stops_it(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("stable_diffusion")
    renderer.load()
    context = CallContext(deadline=time.monotonic() + 0.5)
    with pytest.raises(ServiceError, match=r"ran out of time after \d+ steps"):
        renderer.render(context, program(steps=500, width=256, height=256), [])
    assert time.monotonic() - context.deadline < 5


def test_one_picture_at_a_time_on_a_device(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("stable_diffusion")
    stopped = CallContext()
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            renderer.render(stopped, program(), [])
        except Cancelled as error:
            raised.append(error)

    with device_lock("cpu"):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        stopped.cancelled.set()
        thread.join(5)
        assert not thread.is_alive()
        with pytest.raises(ServiceError, match="busy until the time was over"):
            renderer.render(CallContext(deadline=time.monotonic()), program(), [])
    assert len(raised) == 1


def test_threads_share_one_pipeline_and_get_what_they_would_alone(
    made: Callable[[str], DiffusersRenderer],
) -> None:
    seeds = range(24)
    renderer = made("stable_diffusion")
    alone = [draw(renderer, seed=seed, steps=1) for seed in seeds]
    done: dict[int, Rendering] = {}

    def work(seed: int) -> None:
        done[seed] = draw(renderer, seed=seed, steps=1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in seeds]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # tokenizers keep settings between calls: many switches would show a mix-up
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert [distance(done[seed], alone[seed]) for seed in seeds] == [0] * len(seeds)


# ---- what comes out ----


def test_numbers_that_are_not_finite_are_no_picture(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.stable_diffusion(tmp_path / "nan"), Options(device="cpu"))
    renderer.load().pipeline.vae.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(ServiceError, match="not finite"):
        draw(renderer)


def test_a_black_picture_is_no_picture(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.stable_diffusion(tmp_path / "black"), Options(device="cpu"))
    with torch.no_grad():
        renderer.load().pipeline.vae.decoder.conv_out.weight.zero_()
        renderer.load().pipeline.vae.decoder.conv_out.bias.fill_(-1.0)
    with pytest.raises(ServiceError, match="entirely black"):
        draw(renderer)


def test_the_safety_checker_is_heard(tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "checked", checked=True)
    with pytest.raises(ServiceError, match="safety checker of StableDiffusionPipeline withheld"):
        draw(DiffusersRenderer(folder, Options(device="cpu")))


def test_a_pipeline_that_fails_is_a_service_error(tmp_path: Path) -> None:
    renderer = DiffusersRenderer(tiny.stable_diffusion(tmp_path / "broken"), Options(device="cpu"))
    renderer.load().pipeline.text_encoder = tiny.clip_text(width=16)  # the U-Net expects 32
    with pytest.raises(ServiceError, match="StableDiffusionPipeline failed"):
        draw(renderer)


def test_memory_that_runs_out_is_a_setting_to_change(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = DiffusersRenderer(made("stable_diffusion").source.location, Options(device="cpu"))
    size = 8 * 2**20  # a side in pixels: its noise alone would be terabytes
    with pytest.raises(ConfigurationError, match="does not fit into the memory of cpu"):
        draw(renderer, width=size, height=size)


# ---- references as files ----


def test_references_are_upright_and_transparency_is_white(tmp_path: Path) -> None:
    turned = Image.new("RGB", (40, 20), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_reference(handle(tmp_path / "turned.jpg", turned, exif=exif)).size == (20, 40)
    clear = open_reference(handle(tmp_path / "clear.png", Image.new("RGBA", (4, 4), (255, 0, 0, 0))))
    assert clear.mode == "RGB"
    assert clear.getpixel((0, 0)) == (255, 255, 255)
    grey = open_reference(handle(tmp_path / "grey.png", Image.new("L", (4, 4), 7)))
    assert grey.getpixel((0, 0)) == (7, 7, 7)


def test_a_reference_that_cannot_be_read_is_the_authors(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "PNG")
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.getvalue()[:500])
    for path, code in ((cut, "GP414"), (tmp_path / "gone.png", "GP413")):
        with pytest.raises(AuthorError) as caught:
            open_reference(ImageHandle(str(path), "0" * 64, 64, 64))
        assert caught.value.code == code


def test_as_many_pictures_as_references(made: Callable[[str], DiffusersRenderer]) -> None:
    with pytest.raises(InternalError, match="1 references in z, 0 given"):
        made("image_to_image").render(CallContext(), program(1), [])


def test_pixels_are_those_of_the_pipeline_itself(made: Callable[[str], DiffusersRenderer]) -> None:
    renderer = made("stable_diffusion")
    direct = renderer.load().pipeline(
        "a red apple",
        width=64,
        height=64,
        num_inference_steps=2,
        generator=torch.Generator("cpu").manual_seed(3),
    )
    assert np.array_equal(np.asarray(direct.images[0]), np.asarray(draw(renderer).image))
