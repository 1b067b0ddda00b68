"""From z to the keywords of a pipeline call: what is refused, what is sent, what is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genevolve.grammar.z import Z
from genevolve.interpreter.renderers.diffusers.capabilities import Capabilities, nearest_sizes

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Arguments:
    """Keywords of the call, without generator and callback, and what the person should know of them."""

    keywords: dict[str, object]
    notes: tuple[str, ...]


def refusals(z: Z, can: Capabilities, strength: float | None = None) -> tuple[str, ...]:
    """What of z the pipeline cannot honour, as sentences; empty when all of it can be.

    Args:
        z: what is to be drawn.
        can: what the pipeline takes.
        strength: the strength that the options set; None is the pipeline's own.
    """
    if can.problems:
        return tuple(f"{can.pipeline} cannot be used as a renderer: {problem}" for problem in can.problems)
    found = [*_reference_refusals(z, can), *_size_refusals(z, can)]
    if z.settings.steps is not None and not can.steps:
        found.append(f"{can.pipeline} has no setting for steps")
    if z.settings.guidance is not None and not can.guidance:
        found.append(f"{can.pipeline} has no setting for guidance")
    if strength is not None and not can.strength:
        found.append(f"{can.pipeline} has no strength; leave that option out")
    found += _strength_refusals(z, can, strength)
    return tuple(found)


def _reference_refusals(z: Z, can: Capabilities) -> list[str]:
    given = len(z.reference_images)
    most = can.most_references
    if can.least_references <= given and (most is None or given <= most):
        return []
    bound = f"the program binds {given if given else 'none'}"
    if most == 0:
        return [f"{can.pipeline} draws from text alone, but {bound} reference image{'s' * (given > 1)}"]
    return [f"{can.pipeline} takes {can.takes}, but {bound}"]


def _size_refusals(z: Z, can: Capabilities) -> list[str]:
    width, height = z.settings.width, z.settings.height
    if can.multiple is None or (width % can.multiple == 0 and height % can.multiple == 0):
        return []
    shown = ", ".join(f"{w}x{h}" for w, h in nearest_sizes(width, height, can.multiple))
    return [
        f"{can.pipeline} draws sizes in steps of {can.multiple} pixels, so {width}x{height} is not possible; "
        f"nearest: {shown}"
    ]


def _strength_refusals(z: Z, can: Capabilities, strength: float | None) -> list[str]:
    if not can.strength:
        return []
    used = strength if strength is not None else can.default_strength
    steps = z.settings.steps or can.default_steps
    if used is None or steps is None or int(steps * used) >= 1:
        return []
    return [
        f"{can.pipeline} runs steps times strength, "
        f"and {steps} steps at strength {used:g} are less than one step"
    ]


def build(z: Z, can: Capabilities, references: Sequence[Image], strength: float | None = None) -> Arguments:
    """The keywords for a z that nothing of is refused.

    Args:
        z: what is to be drawn.
        can: what the pipeline takes.
        references: the opened reference images in order, RGB.
        strength: the strength that the options set; None is the pipeline's own.
    """
    notes: list[str] = []
    keywords: dict[str, object] = {"prompt": z.gen_prompt, **dict(can.extra)}
    width, height = z.settings.width, z.settings.height
    if can.sized:
        keywords |= {"width": width, "height": height}
    if can.area:
        keywords["max_area"] = width * height
    steps = z.settings.steps or can.default_steps
    if can.steps and steps is not None:
        keywords["num_inference_steps"] = steps
    guidance = z.settings.guidance if z.settings.guidance is not None else can.default_guidance
    if can.guidance and guidance is not None:
        keywords[can.guidance] = guidance
    if can.strength and strength is not None:
        keywords["strength"] = strength
    keywords |= _negative(z, can, guidance, notes)
    if references:
        keywords[can.reference_argument] = _references(references, can, (width, height), notes)
    if can.native is not None and max(width, height) > 1.5 * can.native:
        notes.append(
            f"{can.pipeline} was trained for {can.native}x{can.native} pixels; "
            f"at {width}x{height} it may repeat things"
        )
    return Arguments(keywords, tuple(notes))


def _negative(z: Z, can: Capabilities, guidance: float | None, notes: list[str]) -> dict[str, object]:
    """The negative prompt where it has an effect, a note where it has none."""
    written = z.negative_prompt.strip()
    # Guidance of 1 or less is no guidance: the pipeline then never looks at the negative prompt.
    unguided = guidance is not None and guidance <= 1
    if can.negative_prompt and not unguided:
        text = z.negative_prompt if written else can.blank_negative
        return {} if text is None else {"negative_prompt": text}
    if written and not can.negative_prompt:
        notes.append(f"the negative prompt was not sent: {can.pipeline} does not read one")
    elif written:
        notes.append(f"the negative prompt was not sent: it has no effect at guidance {guidance:g}")
    return {}


def _references(
    references: Sequence[Image], can: Capabilities, size: tuple[int, int], notes: list[str]
) -> object:
    pictures = list(references)
    if can.fits_reference:
        pictures = [_fitted(picture, size) for picture in pictures]
        if any(picture.size != size for picture in references):
            notes.append(
                f"{can.pipeline} draws over its reference image, "
                f"which was scaled and cut to {size[0]}x{size[1]}"
            )
    return pictures if can.as_list else pictures[0]


def _fitted(picture: Image, size: tuple[int, int]) -> Image:
    from PIL import Image as pil
    from PIL import ImageOps

    return picture if picture.size == size else ImageOps.fit(picture, size, pil.Resampling.LANCZOS)


def prompt_notes(prompt: str, pipeline: Any, can: Capabilities) -> tuple[str, ...]:
    """A note when the text encoders do not read the prompt to its end, counted with their own tokenizers.

    Of several encoders the one that reads furthest counts. `pipeline` is the loaded pipeline.
    """
    counted = []
    for name in pipeline.components:
        tokenizer = getattr(pipeline, name, None) if name.startswith("tokenizer") else None
        if tokenizer is None:
            continue
        limit = _token_limit(tokenizer, can)
        if limit is None:
            return ()
        counted.append((limit, len(tokenizer(prompt, truncation=False, verbose=False).input_ids)))
    if not counted:
        return ()
    limit, tokens = max(counted)
    if tokens <= limit:
        return ()
    return (
        f"the prompt is {tokens} tokens long, and {can.pipeline} reads {limit}: "
        f"the last {tokens - limit} were cut",
    )


def _token_limit(tokenizer: Any, can: Capabilities) -> int | None:
    """CLIP has a fixed context; other encoders read as far as the pipeline lets them."""
    if "CLIP" in type(tokenizer).__name__:
        return int(tokenizer.model_max_length)
    return can.prompt_tokens
