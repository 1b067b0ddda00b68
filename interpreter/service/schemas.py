"""From the bytes of a request to what is to be drawn: every field checked, every picture decoded once.

Two dialects. `/generate` is the protocol of GenEvolve's own clients: JSON with base64 images. `/v1/images/…` is what
clients of OpenAI's images API send. Both end as `Wanted`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from genevolve.interpreter.service.limits import Limits, Refusal
from genevolve.interpreter.service.pictures import Picture, from_base64, from_bytes

MOST_SEED = 2**63 - 1
MOST_GUIDANCE = 50.0
LEAST_SIDE = 16
_DEEPEST = 8  # brackets inside each other; requests need two
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)


def _number_from_form(value: object) -> object:
    """Fields of a form are texts; what is no number is left for the schema to refuse."""
    if isinstance(value, str):
        try:
            return int(value) if re.fullmatch(r"[+-]?\d{1,20}", value.strip(), re.ASCII) else float(value)
        except ValueError:
            return value
    return value


_Whole = Annotated[int, BeforeValidator(_number_from_form)]
_Real = Annotated[float, BeforeValidator(_number_from_form)]


class _Settings(BaseModel):
    """Settings that both dialects share; None leaves a setting to the renderer."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)

    prompt: str
    negative_prompt: str | None = None
    num_inference_steps: Annotated[
        _Whole | None, Field(ge=1, validation_alias=AliasChoices("num_inference_steps", "steps"))
    ] = None
    true_cfg_scale: Annotated[_Real | None, Field(ge=0, le=MOST_GUIDANCE)] = None
    guidance_scale: Annotated[
        _Real | None,
        Field(ge=0, le=MOST_GUIDANCE, validation_alias=AliasChoices("guidance_scale", "guidance")),
    ] = None
    seed: Annotated[_Whole | None, Field(ge=0, le=MOST_SEED)] = None


class GenerateBody(_Settings):
    """The JSON of `POST /generate`. Fields that are not listed are ignored."""

    images: Annotated[
        list[str] | None,
        Field(
            validation_alias=AliasChoices("images", "image_urls"),
            description="reference images in order, each base64 or a data URI",
        ),
    ] = None
    width: Annotated[int | None, Field(ge=LEAST_SIDE)] = None
    height: Annotated[int | None, Field(ge=LEAST_SIDE)] = None
    num_images_per_prompt: Annotated[int, Field(ge=1, le=1)] = 1
    image_format: Literal["base64", "data_uri"] = "base64"


class ImagesBody(_Settings):
    """The fields of `/v1/images/generations` (JSON) and `/v1/images/edits` (form). Others are ignored."""

    size: str | None = None
    n: Annotated[_Whole | None, Field(ge=1, le=1)] = None
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png"] | None = None
    background: Literal["auto", "opaque"] | None = None
    stream: Annotated[Literal[False] | None, BeforeValidator(lambda v: False if v == "false" else v)] = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checked request. `size` is None when the client leaves it to us; guidances as they were named."""

    prompt: str
    negative_prompt: str
    pictures: tuple[Picture, ...]
    size: tuple[int, int] | None
    steps: int | None
    true_cfg_scale: float | None
    guidance_scale: float | None
    seed: int
    data_uri: bool = False


def parse_generate(body: bytes, limits: Limits) -> Wanted:
    """A body of `/generate`. Raises `Refusal`."""
    fields = _checked(GenerateBody, load_json(body))
    given = fields.images or []
    _count(len(given), limits)
    if (fields.width is None) != (fields.height is None):
        raise Refusal(400, "width and height are given together or not at all", parameter="width")
    size = None if fields.width is None or fields.height is None else (fields.width, fields.height)
    pictures = tuple(from_base64(text, f"images[{i}]", limits) for i, text in enumerate(given))
    return _wanted(fields, pictures, size, limits, data_uri=fields.image_format == "data_uri")


def parse_generations(body: bytes, limits: Limits) -> Wanted:
    """A body of `/v1/images/generations`. Raises `Refusal`."""
    fields = _checked(ImagesBody, load_json(body))
    return _wanted(fields, (), _size(fields.size), limits)


def parse_edits(texts: Mapping[str, str], files: Sequence[tuple[str, bytes]], limits: Limits) -> Wanted:
    """The texts and the files (field name, content) of a form for `/v1/images/edits`. Raises `Refusal`."""
    fields = _checked(ImagesBody, dict(texts))
    for name, _ in files:
        if name not in ("image", "image[]"):
            why = "masks are not supported" if name == "mask" else "only image and image[] take files"
            raise Refusal(400, why, parameter=name)
    if not files:
        raise Refusal(400, "an edit needs at least one image", parameter="image")
    _count(len(files), limits)
    pictures = tuple(from_bytes(data, f"image {i}", limits) for i, (_, data) in enumerate(files, 1))
    return _wanted(fields, pictures, _size(fields.size), limits)


def load_json(body: bytes) -> dict[str, Any]:
    """A JSON object that is not nested deeply. Raises `Refusal`."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(400, "the body is not UTF-8") from None
    _refuse_depth(text)
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        place = (
            f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise Refusal(400, f"the body is not valid JSON{place}") from None
    if not isinstance(data, dict):
        raise Refusal(400, "the body is not a JSON object")
    return data


_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def _refuse_depth(text: str) -> None:
    """Deep nesting is looked for outside of strings before a parser recurses into it."""
    depth = 0
    for bracket in re.findall(r"[\[{\]}]", _STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            raise Refusal(400, "the body is nested too deeply")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _checked(model: type[Any], data: dict[str, Any]) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1]) or "body"
        text = str(first["msg"])
        raise Refusal(400, f"{where}: {text[:1].lower()}{text[1:]}", parameter=where) from None


def _count(given: int, limits: Limits) -> None:
    if given > limits.images:
        raise Refusal(400, f"{given} images were sent; {limits.images} are allowed", parameter="images")


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None or text == "auto":
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Refusal(400, "size is written like 1024x1024, or is auto", parameter="size")
    return int(match[1]), int(match[2])


def _wanted(
    fields: _Settings,
    pictures: tuple[Picture, ...],
    size: tuple[int, int] | None,
    limits: Limits,
    *,
    data_uri: bool = False,
) -> Wanted:
    for name, text in (("prompt", fields.prompt), ("negative_prompt", fields.negative_prompt or "")):
        if len(text) > limits.prompt:
            raise Refusal(
                400, f"{name} has {len(text):,} characters; {limits.prompt:,} are allowed", parameter=name
            )
        if any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
            raise Refusal(400, f"{name} holds characters that are no text", parameter=name)
    if not fields.prompt.strip():
        raise Refusal(400, "prompt is empty", parameter="prompt")
    steps = fields.num_inference_steps
    if steps is not None and steps > limits.steps:
        raise Refusal(400, f"{steps} steps were asked for; {limits.steps} are allowed", parameter="steps")
    if size is not None:
        check_size(size, limits)
    return Wanted(
        prompt=fields.prompt,
        negative_prompt=fields.negative_prompt or "",
        pictures=pictures,
        size=size,
        steps=steps,
        true_cfg_scale=fields.true_cfg_scale,
        guidance_scale=fields.guidance_scale,
        seed=fields.seed or 0,
        data_uri=data_uri,
    )


def check_size(size: tuple[int, int], limits: Limits) -> None:
    """Raise `Refusal` for a picture that is too large or too small to be drawn."""
    width, height = size
    if min(size) < LEAST_SIDE:
        raise Refusal(400, f"{width}x{height} is too small; {LEAST_SIDE} pixels a side are the least")
    if max(size) > limits.side or width * height > limits.pixels:
        raise Refusal(
            400,
            f"{width}x{height} is too large; {limits.pixels:,} pixels in all and {limits.side} a side are allowed",
        )
