"""What is found out about pipeline classes: the published ones, by their real signatures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genevolve.interpreter.renderers.diffusers import (
    Capabilities,
    PipelineSource,
    inspect_pipeline,
    resolve_class,
)
from genevolve.interpreter.renderers.diffusers.capabilities import FAMILIES, nearest_sizes


def inspect(name: str, source: PipelineSource | None = None) -> Capabilities:
    return inspect_pipeline(resolve_class(name, name), source)


def folder(path: Path, name: str, **components: tuple[str, dict[str, Any]]) -> PipelineSource:
    """A pipeline folder with configurations and no weights."""
    index: dict[str, Any] = {"_class_name": name}
    for component, (cls, config) in components.items():
        index[component] = ["diffusers", cls]
        (path / component).mkdir()
        (path / component / "config.json").write_text(json.dumps(config))
    (path / "model_index.json").write_text(json.dumps(index))
    return PipelineSource(str(path))


@pytest.mark.parametrize(
    ("name", "least", "most", "as_list"),
    [
        ("StableDiffusionPipeline", 0, 0, False),
        ("FluxPipeline", 0, 0, False),
        ("SanaPipeline", 0, 0, False),
        ("QwenImagePipeline", 0, 0, False),
        ("StableDiffusionImg2ImgPipeline", 1, 1, False),
        ("StableDiffusionInstructPix2PixPipeline", 1, 1, False),
        ("Kandinsky3Img2ImgPipeline", 1, 1, False),
        ("FluxKontextPipeline", 0, 1, False),
        ("QwenImageEditPipeline", 1, 1, False),
        ("QwenImageEditPlusPipeline", 1, None, True),
        ("Flux2Pipeline", 0, None, True),
        ("Flux2KleinPipeline", 0, None, True),
    ],
)
def test_references_that_a_class_takes(name: str, least: int, most: int | None, as_list: bool) -> None:
    can = inspect(name)
    assert not can.problems
    assert (can.least_references, can.most_references, can.as_list) == (least, most, as_list)


@pytest.mark.parametrize(
    ("name", "argument", "default", "negative", "blank"),
    [
        ("QwenImageEditPlusPipeline", "true_cfg_scale", 4.0, True, " "),
        ("QwenImagePipeline", "true_cfg_scale", 4.0, True, " "),
        ("QwenImage21Pipeline", "true_cfg_scale", None, True, " "),
        ("FluxPipeline", "guidance_scale", None, False, None),
        ("Flux2Pipeline", "guidance_scale", None, False, None),
        ("StableDiffusionXLPipeline", "guidance_scale", None, True, None),
        ("HunyuanImagePipeline", "distilled_guidance_scale", None, True, None),
        ("Flux2KleinKVPipeline", "", None, False, None),
    ],
)
def test_where_guidance_and_negative_prompt_go(
    name: str, argument: str, default: float | None, negative: bool, blank: str | None
) -> None:
    can = inspect(name)
    assert (can.guidance, can.default_guidance) == (argument, default)
    assert (can.negative_prompt, can.blank_negative) == (negative, blank)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("WanPipeline", "video"),
        ("LTXImageToVideoPipeline", "video"),
        ("StableAudioPipeline", "sound"),
        ("StableDiffusionInpaintPipeline", "mask"),
        ("FluxFillPipeline", "mask"),
        ("StableDiffusionControlNetPipeline", "control picture"),
        ("FluxControlPipeline", "control picture"),
        ("StableDiffusionUpscalePipeline", "enlarges"),
        ("DDPMPipeline", "no prompt"),
        ("KandinskyPriorPipeline", "one stage"),
        ("KandinskyPipeline", "needs image_embeds, negative_image_embeds"),
        ("QwenImageLayeredPipeline", "layers"),
        ("ShapEPipeline", "does not make pictures"),
        ("LongCatImageEditPipeline", "size itself"),
    ],
)
def test_classes_that_cannot_render_say_why(name: str, problem: str) -> None:
    assert any(problem in sentence for sentence in inspect(name).problems)


def test_every_class_of_the_library_is_understood() -> None:
    """Each is either refused for a reason or has a prompt, a seed and a way to say how many references it takes."""
    import diffusers

    names = [n for n in dir(diffusers) if n.endswith("Pipeline")]
    classes = [getattr(diffusers, n) for n in names]
    usable = 0
    for cls in classes:
        if hasattr(cls, "_backends") or not issubclass(cls, diffusers.DiffusionPipeline):
            continue
        can = inspect_pipeline(cls)
        if not can.problems:
            usable += 1
            assert can.seeded, can.pipeline
            assert can.takes.endswith(("image", "images")), can.pipeline
            assert (can.most_references == 0) == (can.reference_argument == ""), can.pipeline
        assert json.loads(json.dumps(can.to_dict()))["pipeline"] == can.pipeline
    assert usable > 60


def test_families_name_classes_that_exist() -> None:
    for name in FAMILIES:
        assert not inspect(name).problems


@pytest.mark.parametrize(
    ("components", "multiple"),
    [
        (
            {"vae": ("AutoencoderKL", {"block_out_channels": [1] * 4}), "unet": ("UNet2DConditionModel", {})},
            8,
        ),
        (
            {
                "vae": ("AutoencoderKL", {"block_out_channels": [1] * 4}),
                "transformer": ("T", {"patch_size": 1}),
            },
            16,
        ),
        (
            {
                "vae": ("AutoencoderKL", {"block_out_channels": [1] * 4}),
                "transformer": ("T", {"patch_size": 2}),
            },
            16,
        ),
        (
            {
                "vae": ("AutoencoderKLQwenImage", {"temperal_downsample": [False, True, True]}),
                "transformer": ("T", {"patch_size": 2}),
            },
            16,
        ),
        (
            {
                "vae": ("AutoencoderDC", {"encoder_block_out_channels": [1] * 6}),
                "transformer": ("T", {"patch_size": 1}),
            },
            32,
        ),
        ({"unet": ("UNet2DConditionModel", {})}, None),
        ({"vae": ("New", {"something": 3})}, None),
    ],
)
def test_sizes_come_from_the_configurations(tmp_path: Path, components: Any, multiple: int | None) -> None:
    source = folder(tmp_path, "StableDiffusionPipeline", **components)
    assert inspect("StableDiffusionPipeline", source).multiple == multiple


def test_the_trained_size_of_a_unet(tmp_path: Path) -> None:
    vae = ("AutoencoderKL", {"block_out_channels": [1] * 4})
    source = folder(
        tmp_path, "StableDiffusionPipeline", vae=vae, unet=("UNet2DConditionModel", {"sample_size": 64})
    )
    assert inspect("StableDiffusionPipeline", source).native == 512


@pytest.mark.parametrize("distilled", [True, False])
def test_guidance_one_is_sent_only_where_the_model_reads_it(tmp_path: Path, distilled: bool) -> None:
    transformer = ("QwenImageTransformer2DModel", {"guidance_embeds": distilled})
    source = folder(tmp_path, "QwenImageEditPlusPipeline", transformer=transformer)
    extra = dict(inspect("QwenImageEditPlusPipeline", source).extra)
    assert extra == ({"guidance_scale": 1.0} if distilled else {})


@pytest.mark.parametrize(
    ("name", "embeds", "argument"),
    [
        ("FluxPipeline", True, "guidance_scale"),
        ("FluxPipeline", False, ""),  # schnell
        ("HunyuanImagePipeline", True, "distilled_guidance_scale"),
        ("HunyuanImagePipeline", False, ""),
        ("StableDiffusion3Pipeline", False, "guidance_scale"),  # true CFG needs no input
    ],
)
def test_distilled_guidance_needs_an_input_of_the_model(
    tmp_path: Path, name: str, embeds: bool, argument: str
) -> None:
    source = folder(tmp_path, name, transformer=("T", {"guidance_embeds": embeds}))
    assert inspect(name, source).guidance == argument


def test_the_table_of_the_documentation_is_what_is_found_out() -> None:
    page = Path(__file__).parents[3] / "docs" / "renderers.md"
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.split("`")[1].endswith("Pipeline")
    ]
    assert len(rows) > 20
    for name, references, steps, guidance, negative in rows:
        can = inspect(name)
        least, most = can.least_references, can.most_references
        shown = f"{least} or more" if most is None else f"{least}" if least == most else f"{least} to {most}"
        assert not can.problems
        assert [references, steps, guidance, negative] == [
            shown,
            str(can.default_steps),
            can.guidance or "none",
            "yes" if can.negative_prompt else "no",
        ], name


def test_nearest_sizes_come_nearest_first_and_are_never_empty() -> None:
    assert nearest_sizes(100, 64, 16) == ((96, 64), (112, 64))
    assert nearest_sizes(3, 3, 16) == ((16, 16),)
    assert nearest_sizes(1000, 1000, 16)[0] in ((992, 992), (1008, 1008), (992, 1008), (1008, 992))
