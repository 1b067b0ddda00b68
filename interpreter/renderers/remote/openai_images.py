"""OpenAI's images API and servers that speak it: `/v1/images/generations`, and `/v1/images/edits` with references."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.net.client import StatusError
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.remote.common import (
    Remote,
    one_of,
    retold,
    split_options,
    unheeded,
    with_avoided,
)
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

KEY = "OPENAI_API_KEY"
ADDRESS_VARIABLE = "OPENAI_BASE_URL"
ADDRESS = "https://api.openai.com/v1"
_HOSTED = re.compile(r"(?:gpt-image|chatgpt-image|dall-e)")
_THREE_SIZES = re.compile(r"(?:gpt-image-1|chatgpt-image)(?![0-9])")
SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
_MULTIPLE, _LONGEST, _STRETCH = 16, 3840, 3
_LIMITS = UploadLimits(each=25 * 1024 * 1024, together=40 * 1024 * 1024)
_SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")

Fetch = Callable[[str, float], Awaitable[bytes]]
"""Downloads what a URL points to, in so many seconds. Raises `ServiceError`."""


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """What stands after the `?` of a specification.

    Attributes:
        extras: whether `negative_prompt`, `num_inference_steps`, `guidance_scale`, `true_cfg_scale` and `seed` are
            sent, which OpenAI refuses and many servers of open models take.
        quality: OpenAI's `quality`; None leaves it to the model.
    """

    extras: bool = False
    quality: str | None = None


class OpenAIRenderer:
    """Draws with a model behind OpenAI's images API.

    Args:
        model: the model's name.
        remote: time, retries, rate and keys. `OPENAI_BASE_URL` names the address, with `/v1`. `OPENAI_API_KEY` is
            needed for OpenAI itself and sent elsewhere where it is set.
        fetch: downloads pictures that a server answers with as URLs; None refuses such answers.
        options: see `OpenAIOptions`.

    Raises:
        ConfigurationError: the key or the model is missing, or an address is none.
    """

    name = "openai"

    def __init__(
        self, model: str, remote: Remote, fetch: Fetch | None = None, options: OpenAIOptions | None = None
    ) -> None:
        if not model or len(model) > 256 or not model.isprintable():
            raise ConfigurationError("openai needs the name of a model, as in openai:gpt-image-1.5")
        self.model = model
        self.remote = remote
        self.options = options or OpenAIOptions()
        self._fetch = fetch
        address = _address(remote.endpoints.get(ADDRESS_VARIABLE, ADDRESS))
        ours = urlsplit(address).hostname == urlsplit(ADDRESS).hostname
        key = remote.required_key(self.name, KEY) if ours else remote.key(KEY)
        self.dispatcher = remote.dispatcher([address], {"Authorization": f"Bearer {key}"} if key else {})

    @classmethod
    def parse(cls, argument: str, remote: Remote, fetch: Fetch | None = None) -> OpenAIRenderer:
        """From `MODEL[?extras=true&quality=high]`. Raises `ConfigurationError`."""
        model, options = split_options(argument, ("extras", "quality"), cls.name)
        extras = one_of(options, "extras", ("true", "false"), "false") == "true"
        return cls(model, remote, fetch, OpenAIOptions(extras, options.get("quality")))

    @property
    def version(self) -> str:
        """The model, and where it is when it is not OpenAI's own."""
        server = self.dispatcher.servers[0].url
        return self.model if server == ADDRESS else f"{self.model} at {server}"

    def refusals(self, z: Z) -> Sequence[str]:
        """Sizes that the model does not draw, as far as they are known."""
        width, height = size = z.settings.width, z.settings.height
        if _THREE_SIZES.match(self.model):
            if size in SIZES:
                return []
            near = min(SIZES, key=lambda s: abs(s[0] / s[1] - width / height))
            shown = ", ".join(f"{w}x{h}" for w, h in SIZES)
            return [f"{self.model} draws {shown}; nearest to {width}x{height}: {near[0]}x{near[1]}"]
        if _HOSTED.match(self.model) is None:
            return []
        found = []
        if width % _MULTIPLE or height % _MULTIPLE:
            nearest = "x".join(str(max(_MULTIPLE, round(s / _MULTIPLE) * _MULTIPLE)) for s in size)
            found.append(
                f"{self.model} draws sizes in steps of {_MULTIPLE} pixels; nearest to {width}x{height}: {nearest}"
            )
        if max(size) > _LONGEST or max(size) > _STRETCH * min(size):
            found.append(
                f"{self.model} draws up to {_LONGEST} pixels a side and shapes from 1:{_STRETCH} to {_STRETCH}:1, "
                f"not {width}x{height}"
            )
        return found

    async def examine(self) -> dict[str, str | None]:
        """What is wrong with each server, by its address, None where nothing is.

        It asks for the list of models, which needs a valid key.
        """
        return await self.dispatcher.examine("models")

    async def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Have it drawn. A cancelled task closes the connection at once.

        Raises:
            AuthorError: for what `refusals` lists, or a reference that is gone, changed or too large.
            ServiceError: there was no usable picture in time, or the service refuses to draw it.
        """
        refuse(self.refusals(z))
        began = time.monotonic()
        uploads = await read_uploads(z, references, _LIMITS)
        seconds = self.remote.time_left(context)
        end = time.monotonic() + seconds

        async def ask(server: Server) -> tuple[Image, dict[str, Any]]:
            answer = await self._post(server, z, uploads)
            data = await self._picture_data(answer, end)
            return await read_picture(data, self._where), answer

        image, answer = await self.dispatcher.send(ask, seconds)
        check_size(image, (z.settings.width, z.settings.height), self._where)
        notes = list(uploads.notes)
        if not self.options.extras:
            notes += unheeded(z, self._where, seed=True)
        info = {"model": self.model, "seconds": round(time.monotonic() - began, 3)}
        return Rendering(image, tuple(notes), info | _usage(answer))

    @property
    def _where(self) -> str:
        return f"the model {self.model}"

    def fields(self, z: Z) -> dict[str, Any]:
        """The fields of a request, without files."""
        fields: dict[str, Any] = {
            "model": self.model,
            "prompt": z.gen_prompt if self.options.extras else with_avoided(z),
            "n": 1,
            "size": f"{z.settings.width}x{z.settings.height}",
        }
        if not re.match("gpt-image|chatgpt-image", self.model):
            # These always answer with base64 and refuse the field; other servers may prefer URLs.
            fields["response_format"] = "b64_json"
        if self.options.quality is not None:
            fields["quality"] = self.options.quality
        if self.options.extras:
            settings = z.settings
            extras = {
                "negative_prompt": z.negative_prompt or None,
                "num_inference_steps": settings.steps,
                "guidance_scale": settings.guidance,
                "true_cfg_scale": settings.guidance,
                "seed": settings.seed,
            }
            fields |= {name: value for name, value in extras.items() if value is not None}
        return fields

    async def _post(self, server: Server, z: Z, uploads: Uploads) -> dict[str, Any]:
        fields = self.fields(z)
        try:
            if uploads.items:
                files = [("image[]", (u.file_name, u.data, u.media_type)) for u in uploads.items]
                texts = {name: str(value) for name, value in fields.items()}
                answer = await server.client.post_multipart("images/edits", texts, files)
            else:
                answer = await server.client.post_json("images/generations", fields)
        except StatusError as error:
            raise _judged(retold(error, self._where)) from error
        if not isinstance(answer, dict):
            raise ServiceError(f"{self._where} answered with JSON that is no object")
        return answer

    async def _picture_data(self, answer: dict[str, Any], end: float) -> object:
        items = answer.get("data")
        item = items[0] if isinstance(items, list) and items else None
        if not isinstance(item, dict):
            raise ServiceError(f"{self._where} sent no picture")
        if item.get("b64_json"):
            return item["b64_json"]
        url = item.get("url")
        if not isinstance(url, str) or not url:
            raise ServiceError(f"{self._where} sent neither b64_json nor a url")
        if url[:5].lower() == "data:":
            return url
        if self._fetch is None:
            raise ServiceError(f"{self._where} answered with a URL, and nothing is set up to download it")
        return await self._fetch(url, end - time.monotonic())


def _address(written: str) -> str:
    """The base address; `/v1` is added where no path is given."""
    address = written.strip().rstrip("/")
    return f"{address}/v1" if urlsplit(address).path in ("", "/") else address


def _judged(error: StatusError) -> StatusError:
    """A 429 for an account that is used up will not end by waiting."""
    if error.status == 429 and any(word in error.body for word in _SPENT):
        error.retryable, error.retry_after = False, None
    return error


def _usage(answer: dict[str, Any]) -> dict[str, object]:
    usage = answer.get("usage")
    names = ("input_tokens", "output_tokens")
    return {n: usage[n] for n in names if isinstance(usage, dict) and isinstance(usage.get(n), int)}
