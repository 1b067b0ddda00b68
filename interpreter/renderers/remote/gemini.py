"""Gemini's image models: `POST /v1beta/models/{model}:generateContent`.

The references stand before the text, in the order in which the prompt names them. The model draws shapes, not sizes:
the program's size becomes the nearest aspect ratio that it knows and one of its three resolutions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.net.client import StatusError
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.remote.common import (
    Remote,
    retold,
    split_options,
    unheeded,
    with_avoided,
)
from genevolve.interpreter.renderers.remote.dispatch import Server
from genevolve.interpreter.renderers.remote.encoding import (
    UploadLimits,
    Uploads,
    read_picture,
    read_uploads,
    refuse,
)
from genevolve.interpreter.values import ImageHandle

if TYPE_CHECKING:
    from PIL.Image import Image

KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
ADDRESS = "https://generativelanguage.googleapis.com"
ADDRESS_VARIABLES = ("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL")
MODEL = "gemini-3-pro-image-preview"
RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# A request is at most 20 MiB long, base64 and text included.
_LIMITS = UploadLimits(each=7 * 1024 * 1024, together=13 * 1024 * 1024)
_FAR = 1.2
"""How far a size may be from what the model draws, as a factor."""
_BLOCKED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MAX_TOKENS",
        "MODEL_ARMOR",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    }
)
"""Reasons to finish that the same request would meet again."""


class GeminiRenderer:
    """Draws with an image model of the Gemini API.

    Args:
        model: the model's name.
        remote: time, retries, rate and keys; `GEMINI_API_KEY` or `GOOGLE_API_KEY` is needed, and `GEMINI_BASE_URL` may
            name another address.

    Raises:
        ConfigurationError: the key is missing, or a name is none.
    """

    name = "gemini"

    def __init__(self, model: str, remote: Remote) -> None:
        if not _MODEL_NAME.fullmatch(model):
            raise ConfigurationError(f"{model[:100]!r} is no name of a Gemini model, such as {MODEL}")
        self.model = model
        self.remote = remote
        key = remote.required_key(self.name, *KEYS)
        address = next((remote.endpoints[n] for n in ADDRESS_VARIABLES if n in remote.endpoints), ADDRESS)
        self.dispatcher = remote.dispatcher([address], {"x-goog-api-key": key})

    @classmethod
    def parse(cls, argument: str, remote: Remote) -> GeminiRenderer:
        """From `[MODEL]`. Raises `ConfigurationError`."""
        model, _ = split_options(argument, (), cls.name)
        return cls(model.removeprefix("models/") or MODEL, remote)

    @property
    def version(self) -> str:
        """The model."""
        return self.model

    def refusals(self, z: Z) -> Sequence[str]:
        """Shapes that are far from all that the model draws."""
        width, height = z.settings.width, z.settings.height
        if _distance(nearest_ratio(width, height), width, height) > _FAR:
            return [f"Gemini draws the shapes {', '.join(RATIOS)}; {width}x{height} is far from all of them"]
        return []

    async def examine(self) -> dict[str, str | None]:
        """What is wrong with each server, by its address, None where nothing is.

        It asks for the model, which needs a valid key.
        """
        return await self.dispatcher.examine(f"v1beta/models/{self.model}")

    async def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Have it drawn. A cancelled task closes the connection at once.

        Raises:
            AuthorError: for what `refusals` lists, or a reference that is gone, changed or too large.
            ServiceError: there was no usable picture in time, or the service refuses to draw it.
        """
        refuse(self.refusals(z))
        began = time.monotonic()
        uploads = await read_uploads(z, references, _LIMITS)
        body = request_body(z, uploads, self.model)

        async def ask(server: Server) -> tuple[Image, dict[str, Any]]:
            return await self._generate(server, body)

        image, answer = await self.dispatcher.send(ask, self.remote.time_left(context))
        notes = [*uploads.notes, *unheeded(z, "Gemini", seed=True), *self._shape_notes(z, image)]
        info = {
            "model": answer.get("modelVersion", self.model),
            "seconds": round(time.monotonic() - began, 3),
        }
        return Rendering(image, tuple(notes), info | _usage(answer))

    async def _generate(self, server: Server, body: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
        where = f"Gemini ({self.model})"
        try:
            answer = await server.client.post_json(f"v1beta/models/{self.model}:generateContent", body)
        except StatusError as error:
            raise _delayed(retold(error, where)) from error
        if not isinstance(answer, dict):
            raise ServiceError(f"{where} answered with JSON that is no object")
        return await read_picture(picture_in(answer, where), where), answer

    def _shape_notes(self, z: Z, image: Image) -> list[str]:
        width, height = z.settings.width, z.settings.height
        if image.size == (width, height):
            return []
        return [f"{width}x{height} was asked for; Gemini drew {image.width}x{image.height}"]


def request_body(z: Z, uploads: Uploads, model: str) -> dict[str, Any]:
    """The JSON for `generateContent`."""
    width, height = z.settings.width, z.settings.height
    config: dict[str, str] = {"aspectRatio": nearest_ratio(width, height)}
    resolution = resolution_of(width, height)
    # The first generation of image models knows only one resolution and refuses the field.
    if resolution != "1K" and not model.startswith("gemini-2"):
        config["imageSize"] = resolution
    parts: list[dict[str, Any]] = [
        {"inline_data": {"mime_type": upload.media_type, "data": upload.base64}} for upload in uploads.items
    ]
    return {
        "contents": [{"role": "user", "parts": [*parts, {"text": with_avoided(z)}]}],
        "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": config},
    }


def nearest_ratio(width: int, height: int) -> str:
    """The aspect ratio of Gemini that is nearest to a size."""
    return min(RATIOS, key=lambda ratio: _distance(ratio, width, height))


def resolution_of(width: int, height: int) -> str:
    """The resolution of Gemini that has as many pixels or not many fewer: 1K, 2K or 4K."""
    side = (width * height) ** 0.5
    return "1K" if side <= 1024 * _FAR else "2K" if side <= 2048 * _FAR else "4K"


def picture_in(answer: dict[str, Any], where: str) -> str:
    """The base64 of the picture in an answer.

    Raises:
        ServiceError: there is none; not retryable when the service refuses to draw.
    """
    feedback = answer.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        said = _told(feedback.get("blockReasonMessage"))
        raise ServiceError(
            f"{where} refuses the prompt: {_told(feedback['blockReason'])}{said and f' ({said})'}"
        )
    reasons: list[str] = []
    words: list[str] = []
    for candidate in _dicts(answer.get("candidates")):
        reasons += [_told(candidate.get("finishReason")), _told(candidate.get("finishMessage"))]
        content = candidate.get("content")
        for part in _dicts(content.get("parts") if isinstance(content, dict) else None):
            if part.get("thought") is True:  # a sketch on the way to the picture
                continue
            inline = part.get("inlineData") or part.get("inline_data")
            if isinstance(inline, dict) and isinstance(inline.get("data"), str) and inline["data"]:
                return str(inline["data"])
            words.append(_told(part.get("text")))
    reason = " ".join(filter(None, reasons)) or "no reason given"
    if any(r in _BLOCKED for r in reasons):
        raise ServiceError(f"{where} refuses to draw this: {reason}")
    said = " ".join(filter(None, words))[:300]
    # The same request may well give a picture the next time.
    raise ServiceError(
        f"{where} sent no picture ({reason}){said and f', but the words: {said}'}", retryable=True
    )


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _told(value: object) -> str:
    return " ".join(value.split())[:300] if isinstance(value, str) else ""


def _distance(ratio: str, width: int, height: int) -> float:
    across, _, down = ratio.partition(":")
    factor = (width / height) / (int(across) / int(down))
    return max(factor, 1 / factor)


def _delayed(error: StatusError) -> StatusError:
    """Gemini writes into the body when to come back, not into a header."""
    if error.status == 429 and error.retry_after is None:
        found = re.search(r'"retryDelay"\s*:\s*"(\d{1,5}(?:\.\d{1,9})?)s"', error.body)
        if found:
            error.retry_after = float(found[1])
    return error


def _usage(answer: dict[str, Any]) -> dict[str, object]:
    usage = answer.get("usageMetadata")
    names = {"promptTokenCount": "input_tokens", "candidatesTokenCount": "output_tokens"}
    return {
        to: usage[name]
        for name, to in names.items()
        if isinstance(usage, dict) and isinstance(usage.get(name), int)
    }
