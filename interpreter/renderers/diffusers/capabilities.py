"""What a pipeline can do, found out from its class and its configurations, before any weights are read.

The signature of `__call__` tells most of it. It does not tell whether a list of pictures means several
references or a batch: annotations and a table of families (`FAMILIES`) do. Unknown pipelines that take
`image` are taken to take one.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genevolve.interpreter.renderers.diffusers.source import PipelineSource


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one pipeline takes and how z reaches it.

    Attributes:
        pipeline: name of the class.
        least_references: fewest reference images that it can do with.
        most_references: most reference images that it takes; None is no limit of its own.
        reference_argument: its argument for them, "" when it takes none.
        as_list: whether that argument takes a list, one entry a reference.
        fits_reference: whether the picture is drawn over the reference, so that it is cut to the size first.
        sized: whether it has arguments for height and width.
        multiple: width and height must be multiples of this many pixels; None when not known.
        native: width (= height) in pixels that it was trained for; None when not known.
        steps: whether it has an argument for the number of steps.
        default_steps: steps when the program sets none.
        guidance: its argument that `guidance` goes to, "" when it has none.
        default_guidance: guidance when the program sets none; None leaves it to the pipeline.
        negative_prompt: whether a negative prompt has an effect.
        blank_negative: what is sent for an empty negative prompt; None sends none.
        seeded: whether it takes a random generator.
        strength: whether it has a strength; see `default_strength`.
        default_strength: strength when the options set none.
        area: whether it must be told the area in pixels, or it changes the size to one of its own.
        step_callback: whether it calls back after each step (else the scheduler is watched).
        prompt_tokens: most prompt tokens by the class itself; None leaves it to the tokenizer.
        extra: further arguments that are always given.
        problems: why it cannot be used at all, as sentences; empty when it can.
    """

    pipeline: str
    least_references: int = 0
    most_references: int | None = 0
    reference_argument: str = ""
    as_list: bool = False
    fits_reference: bool = False
    sized: bool = False
    multiple: int | None = None
    native: int | None = None
    steps: bool = False
    default_steps: int | None = None
    guidance: str = ""
    default_guidance: float | None = None
    negative_prompt: bool = False
    blank_negative: str | None = None
    seeded: bool = False
    strength: bool = False
    default_strength: float | None = None
    area: bool = False
    step_callback: bool = False
    prompt_tokens: int | None = None
    extra: tuple[tuple[str, float | int | bool], ...] = ()
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """As plain JSON data."""
        return asdict(self) | {"extra": dict(self.extra), "problems": list(self.problems)}

    @property
    def takes(self) -> str:
        """How many reference images it takes, in words."""
        least, most = self.least_references, self.most_references
        if most == 0:
            return "no reference images"
        if most is None:
            return f"{_number(least)} or more reference images" if least else "any number of reference images"
        if least == most:
            return f"exactly {_number(most)} reference image{'s' if most > 1 else ''}"
        return f"{_number(least)} to {_number(most)} reference images"


@dataclass(frozen=True, slots=True)
class Family:
    """What the signature of a pipeline class does not tell. None: go by the signature."""

    references: tuple[int, int | None] | None = None
    as_list: bool | None = None
    multiple: int | None = None
    steps: int | None = None
    guidance: float | None = None
    blank_negative: str | None = None
    prompt_tokens: int | None = None
    truncates: bool = True
    extra: tuple[tuple[str, float | int | bool], ...] = ()


# Qwen-Image is guided by true CFG, which needs a negative prompt, be it a blank one (METHOD: true CFG 4.0,
# 40 steps, negative prompt " ").
_QWEN = Family(guidance=4.0, blank_negative=" ", prompt_tokens=1024, extra=(("max_sequence_length", 1024),))
_QWEN_EDIT = Family(references=(1, 1), steps=40, guidance=4.0, blank_negative=" ", truncates=False)

FAMILIES: Mapping[str, Family] = {
    "QwenImagePipeline": _QWEN,
    "QwenImageImg2ImgPipeline": _QWEN,
    "QwenImageEditPipeline": _QWEN_EDIT,
    "QwenImageEditPlusPipeline": replace(_QWEN_EDIT, references=(1, None), as_list=True),
    "QwenImage21Pipeline": Family(references=(0, None), as_list=True, blank_negative=" ", truncates=False),
    "FluxKontextPipeline": Family(references=(0, 1), as_list=False),
    "GlmImagePipeline": Family(references=(0, None), as_list=True, multiple=32),
    "JoyImageEditPipeline": Family(references=(0, 1), as_list=False),
    "JoyImageEditPlusPipeline": Family(references=(0, None), as_list=True),
}

_REFERENCE_ARGUMENTS = ("image", "images", "input_images", "reference_image", "reference_images")
_MOVING = {
    "num_frames", "video", "frames", "video_length", "num_clips", "audio_length_in_s", "audio_end_in_s",
    "audio_duration", "duration", "conditioning_frames",
}  # fmt: skip
_UNSUITED: tuple[tuple[str, str], ...] = (
    ("Control|Adapter", "it needs a control picture (edges, depth, a pose), which programs do not have"),
    ("Upscale|SuperResolution|Refiner", "it only enlarges or refines a finished picture"),
    ("Prior|UnCLIP", "it is one stage of a chain of pipelines and does not draw a picture from a prompt"),
    ("Layered", "it takes a picture apart into layers"),
    ("OmniGen", "it names references in its prompt by marks of its own"),
    ("VisualCloze|LEdits|PaintByExample", "it takes its task in a form of its own"),
    ("ShapE|Marigold|Proteina|LLaDA|DiffusionGemma", "it does not make pictures"),
    ("LongCatImageEdit", "it chooses the picture's size itself"),
    ("Onnx", "it is an ONNX pipeline"),
)


def inspect_pipeline(cls: type, source: PipelineSource | None = None) -> Capabilities:
    """What a pipeline class can do.

    Args:
        cls: a pipeline class of diffusers.
        source: its files, for what the components' configurations tell (sizes); None leaves that unknown.
    """
    parameters = inspect.signature(cls.__call__).parameters
    family = FAMILIES.get(cls.__name__, Family())
    argument = next((a for a in _REFERENCE_ARGUMENTS if a in parameters), "")
    least, most, as_list = _references(cls, argument, family)
    guidance, default_guidance = _guidance(parameters, family, source)
    strength = "strength" in parameters and bool(argument)
    sized = "height" in parameters and "width" in parameters
    return Capabilities(
        pipeline=cls.__name__,
        least_references=least,
        most_references=most,
        reference_argument=argument,
        as_list=as_list,
        fits_reference=bool(argument) and (strength or not sized),
        sized=sized,
        multiple=family.multiple or (size_multiple(source) if source else None),
        native=native_size(source) if source else None,
        steps="num_inference_steps" in parameters,
        default_steps=family.steps or _default(parameters, "num_inference_steps", int),
        guidance=guidance,
        default_guidance=default_guidance,
        negative_prompt=_reads_negative(parameters),
        blank_negative=family.blank_negative,
        seeded="generator" in parameters,
        strength=strength,
        default_strength=_default(parameters, "strength", float) if strength else None,
        area="max_area" in parameters,
        step_callback="callback_on_step_end" in parameters,
        prompt_tokens=_prompt_tokens(parameters, family),
        extra=(*family.extra, *_guidance_input(parameters, source)),
        problems=_problems(cls, parameters, argument),
    )


def size_multiple(source: PipelineSource) -> int | None:
    """Pixels that width and height must be multiples of: the autoencoder's factor times the latents' patch.

    Transformers see latents in patches of at least two by two, whether they make them themselves
    (`patch_size`) or the pipeline packs them; only behind a deep-compression autoencoder they take
    single ones.
    """
    name = next((n for n in ("vae", "movq", "vqvae") if source.config(n)), "")
    if not name:
        return None
    config = source.config(name)
    factor = _autoencoder_factor(config)
    if factor is None or "transformer" not in source.components:
        return factor
    patch = source.config("transformer").get("patch_size")
    deep = source.component_class(name).startswith("AutoencoderDC")
    if isinstance(patch, int) and patch > 1:
        return factor * patch
    return factor if deep else factor * 2


def native_size(source: PipelineSource) -> int | None:
    """The side in pixels that a U-Net pipeline was trained for, None when its files do not tell."""
    sample = source.config("unet").get("sample_size")
    factor = _autoencoder_factor(source.config("vae"))
    return sample * factor if isinstance(sample, int) and factor else None


def nearest_sizes(width: int, height: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """The possible sizes around an impossible one, nearest first, at most four."""
    sides = [
        sorted({max(1, s // multiple) * multiple, math.ceil(s / multiple) * multiple})
        for s in (width, height)
    ]
    sizes = [(w, h) for w in sides[0] for h in sides[1]]
    return tuple(sorted(sizes, key=lambda s: (abs(s[0] - width) + abs(s[1] - height), s)))


def _number(n: int) -> str:
    return ("zero", "one", "two", "three", "four", "five")[n] if n < 6 else str(n)


def _autoencoder_factor(config: Mapping[str, Any]) -> int | None:
    """How many pixels of a side become one latent."""
    for key, halvings in (
        ("temperal_downsample", 0),  # (sic) Qwen's and Wan's autoencoders: one halving an entry
        ("encoder_block_out_channels", -1),
        ("block_out_channels", -1),
        ("down_block_types", -1),
    ):
        value = config.get(key)
        if isinstance(value, list) and value:
            return int(2 ** (len(value) + halvings))
    for key in ("spatial_compression_ratio", "scale_factor_spatial"):
        if isinstance(value := config.get(key), int) and value > 0:
            return value
    return None


def _default(parameters: Mapping[str, inspect.Parameter], name: str, kind: type[Any]) -> Any:
    value = parameters[name].default if name in parameters else None
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _references(cls: type, argument: str, family: Family) -> tuple[int, int | None, bool]:
    """Fewest and most references, and whether they go as a list."""
    if not argument:
        return 0, 0, False
    parameter = inspect.signature(cls.__call__).parameters[argument]
    # `list[PIL.Image.Image]` alone is a list of references; beside arrays and tensors it is a batch.
    written = str(parameter.annotation).lower()
    # An image-to-image pipeline starts from its picture, so its list is always a batch.
    as_list = "list[pil" in written and "ndarray" not in written and not _starts_from_picture(cls)
    if family.as_list is not None:
        as_list = family.as_list
    if family.references is not None:
        return *family.references, as_list
    optional = as_list or _documented_optional(cls, argument) or "optional" in written
    return (0 if optional else 1), (None if as_list else 1), as_list


def _starts_from_picture(cls: type) -> bool:
    return "strength" in inspect.signature(cls.__call__).parameters


def _prompt_tokens(parameters: Mapping[str, inspect.Parameter], family: Family) -> int | None:
    if not family.truncates:
        return None
    return family.prompt_tokens or _default(parameters, "max_sequence_length", int)


def _documented_optional(cls: type, argument: str) -> bool:
    document = inspect.getdoc(cls.__call__) or ""
    found = re.search(rf"^\s*{argument} \(([^\n]*)\)", document, re.MULTILINE)
    return bool(found and "*optional*" in found.group(1))


def _guidance(
    parameters: Mapping[str, inspect.Parameter], family: Family, source: PipelineSource | None
) -> tuple[str, float | None]:
    """The argument that guidance goes to, and its default where ours differs from the pipeline's.

    A pipeline with both takes true CFG as its guidance when that is on by default (Qwen-Image), and the
    distilled guidance otherwise (Flux). Distilled guidance is an input of the transformer; models without that
    input (Flux schnell) ignore the argument, so they have no guidance.
    """
    if source is not None and source.index.get("is_distilled") is True:  # Flux 2 klein
        return "", None
    true_cfg = _default(parameters, "true_cfg_scale", float)
    if true_cfg is not None and (true_cfg > 1 or "guidance_scale" not in parameters):
        return "true_cfg_scale", family.guidance
    without_input = source is not None and source.config("transformer").get("guidance_embeds") is False
    for name in ("guidance_scale", "distilled_guidance_scale"):
        if name in parameters:
            distilled = name.startswith("distilled") or true_cfg is not None
            return ("", None) if distilled and without_input else (name, family.guidance)
    return "", None


def _guidance_input(
    parameters: Mapping[str, inspect.Parameter], source: PipelineSource | None
) -> tuple[tuple[str, float], ...]:
    """METHOD's guidance 1.0 beside true CFG, only where the transformer has an input for it."""
    distilled = source is not None and source.config("transformer").get("guidance_embeds") is True
    both = "guidance_scale" in parameters and (_default(parameters, "true_cfg_scale", float) or 0) > 1
    return (("guidance_scale", 1.0),) if distilled and both else ()


def _reads_negative(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether a negative prompt has an effect: not where it hangs on a true CFG that is off by default."""
    if "negative_prompt" not in parameters:
        return False
    true_cfg = _default(parameters, "true_cfg_scale", float)
    return not (true_cfg is not None and true_cfg <= 1 and "guidance_scale" in parameters)


def _problems(cls: type, parameters: Mapping[str, inspect.Parameter], argument: str) -> tuple[str, ...]:
    found: list[str] = []
    if "prompt" not in parameters:
        found.append("it takes no prompt")
    if _MOVING & set(parameters) or re.search("Video|Audio|Music|Animate", cls.__name__):
        found.append("it makes video or sound, not a picture")
    if "mask_image" in parameters or "Inpaint" in cls.__name__:
        found.append("it fills a masked part of a picture, and programs have no masks")
    found += [text for pattern, text in _UNSUITED if re.search(pattern, cls.__name__)]
    if "generator" not in parameters and not found:
        found.append("it takes no random generator, so a seed could not be honoured")
    known = {"self", "prompt", argument}
    needs = [
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and name not in known
    ]
    if needs and not found:
        found.append(f"it needs {', '.join(needs)}, which programs do not have")
    return tuple(found)
