"""Qwen-Image-Edit behind `POST /generate`: the protocol of GenEvolve's renderer services.

    {"prompt", "image_urls": [data URIs], "negative_prompt", "num_inference_steps", "true_cfg_scale",
     "guidance_scale", "num_images_per_prompt": 1, "width", "height", "seed"}
    → {"success": true, "image": "<base64 or data URI>"}  or  {"success": false, "error": "…"}

`genevolve serve renderer` is such a service.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.net.client import StatusError
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.remote.common import Remote, one_of, retold, split_options
from genevolve.interpreter.renderers.remote.dispatch import Server
from genevolve.interpreter.renderers.remote.encoding import (
    UploadLimits,
    Uploads,
    check_size,
    read_picture,
    read_uploads,
    refuse,
)
from genevolve.interpreter.values import ImageHandle

if TYPE_CHECKING:
    from PIL.Image import Image

KEY = "GENEVOLVE_SERVICE_KEY"
STEPS, TRUE_CFG, GUIDANCE, NEGATIVE = 40, 4.0, 1.0, " "
"""The released defaults of the method (METHOD, section 1)."""
LONG_SIDE, MULTIPLE = 1024, 16
_LIMITS = UploadLimits(each=20 * 1024 * 1024, together=40 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class QwenOptions:
    """What stands after the `?` of a specification.

    Attributes:
        text: whether the service also draws without reference images; Qwen-Image-Edit does not.
        size: `program` draws what the program says; `reference` gives a program of the default size the shape of its
            first reference image, its long side 1024, as GenEvolve's release does.
    """

    text: bool = False
    size: str = "program"


class QwenServiceRenderer:
    """Draws with one or several services that speak the `/generate` protocol.

    Args:
        urls: addresses of the services; `/generate` is appended.
        remote: time, retries, rate and keys. `GENEVOLVE_SERVICE_KEY` is sent as a bearer token where it is set.
        options: see `QwenOptions`.

    Raises:
        ConfigurationError: an address is none.
    """

    name = "qwen-service"

    def __init__(self, urls: Sequence[str], remote: Remote, options: QwenOptions | None = None) -> None:
        self.remote = remote
        self.options = options or QwenOptions()
        key = remote.key(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.dispatcher = remote.dispatcher(urls, headers)

    @classmethod
    def parse(cls, argument: str, remote: Remote) -> QwenServiceRenderer:
        """From `http://host:8001[,http://…][?text=true&size=reference]`. Raises `ConfigurationError`."""
        addresses, options = split_options(argument, ("text", "size"), cls.name)
        urls = [url.strip() for url in addresses.split(",") if url.strip()]
        if not urls:
            raise ConfigurationError(
                "qwen-service needs the address of a service, as in qwen-service:http://host:8001"
            )
        text = one_of(options, "text", ("true", "false"), "false") == "true"
        return cls(
            urls, remote, QwenOptions(text, one_of(options, "size", ("program", "reference"), "program"))
        )

    @property
    def version(self) -> str:
        """The protocol and who is asked; services do not tell which model they run."""
        return f"generate/1 at {', '.join(server.url for server in self.dispatcher.servers)}"

    def refusals(self, z: Z) -> Sequence[str]:
        """Sizes that Qwen-Image cannot draw, and programs without references."""
        found: list[str] = []
        if not z.reference_images and not self.options.text:
            found.append(
                "Qwen-Image-Edit takes one or more reference images, but the program binds none "
                "(write ?text=true after the address of a service that draws from text alone)"
            )
        width, height = z.settings.width, z.settings.height
        if width % MULTIPLE or height % MULTIPLE:
            near = f"{_to_multiple(width)}x{_to_multiple(height)}"
            found.append(
                f"Qwen-Image draws sizes in steps of {MULTIPLE} pixels, so {width}x{height} is not possible; "
                f"nearest: {near}"
            )
        return found

    async def examine(self) -> dict[str, str | None]:
        """What is wrong with each server, by its address, None where nothing is; asks for its health."""
        return await self.dispatcher.examine()

    async def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Have it drawn. A cancelled task closes the connection at once.

        Raises:
            AuthorError: for what `refusals` lists, or a reference that is gone, changed or too large.
            ServiceError: no service gave a usable picture in time.
        """
        refuse(self.refusals(z))
        began = time.monotonic()
        uploads = await read_uploads(z, references, _LIMITS)
        size = self._size(z.settings, references)
        body = request_body(z, uploads, size)

        async def ask(server: Server) -> tuple[Image, str]:
            return await _generate(server, body, size), server.url

        image, url = await self.dispatcher.send(ask, self.remote.time_left(context))
        notes = list(uploads.notes)
        if size != (z.settings.width, z.settings.height):
            notes.append(f"drawn at {size[0]}x{size[1]}, the shape of the first reference image")
        info = {
            "service": url,
            "steps": body["num_inference_steps"],
            "true_cfg_scale": body["true_cfg_scale"],
            "seconds": round(time.monotonic() - began, 3),
        }
        return Rendering(image, tuple(notes), info)

    def _size(self, settings: Settings, references: Sequence[ImageHandle]) -> tuple[int, int]:
        size = settings.width, settings.height
        # z does not tell whether a program wrote the default size or none.
        if self.options.size == "program" or not references or size != (LONG_SIDE, LONG_SIDE):
            return size
        return shape_of(references[0])


def shape_of(reference: ImageHandle) -> tuple[int, int]:
    """The shape of a picture at a long side of 1024, both sides rounded to multiples of 16."""
    scale = LONG_SIDE / max(reference.width, reference.height)
    return _to_multiple(reference.width * scale), _to_multiple(reference.height * scale)


def request_body(z: Z, uploads: Uploads, size: tuple[int, int]) -> dict[str, Any]:
    """The JSON for `/generate`; what the program leaves open has the method's released defaults."""
    settings = z.settings
    return {
        "prompt": z.gen_prompt,
        "image_urls": [upload.data_uri for upload in uploads.items],
        "negative_prompt": z.negative_prompt or NEGATIVE,
        "num_inference_steps": STEPS if settings.steps is None else settings.steps,
        "true_cfg_scale": TRUE_CFG if settings.guidance is None else settings.guidance,
        "guidance_scale": GUIDANCE,
        "num_images_per_prompt": 1,
        "width": size[0],
        "height": size[1],
        "seed": settings.seed,
    }


async def _generate(server: Server, body: dict[str, Any], size: tuple[int, int]) -> Image:
    where = f"{server.url}/generate"
    try:
        answer = await server.client.post_json("generate", body)
    except StatusError as error:
        raise retold(error, where) from error
    if not isinstance(answer, dict):
        raise ServiceError(f"{where} answered with JSON that is no object")
    if answer.get("success") is not True:
        raise ServiceError(f"{where} reports a failure: {_reason(answer)}")
    image = await read_picture(answer.get("image") or answer.get("image_base64"), where)
    check_size(image, size, where)
    return image


def _reason(answer: dict[str, Any]) -> str:
    for name in ("error", "message", "detail"):
        said = answer.get(name)
        if isinstance(said, dict):
            said = said.get("message")
        if isinstance(said, str) and said.strip():
            return " ".join(said.split())[:500]
    return "it gives no reason"


def _to_multiple(side: float) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)
