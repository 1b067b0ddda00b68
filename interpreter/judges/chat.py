"""A vision model behind an OpenAI-compatible `/chat/completions`: pictures and texts in, one text out.

Keys and addresses: `JUDGE_BASE_URL` with `JUDGE_API_KEY`, else `OPENAI_BASE_URL` with `OPENAI_API_KEY`. Servers differ
in which options they take: when one refuses `temperature` or the name of the token limit, the request is sent again
without it, and that is remembered.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.config import Config, JudgeSettings
from genevolve.interpreter.net.client import ApiClient, StatusError
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.retry import RetryPolicy

if TYPE_CHECKING:
    from PIL.Image import Image

ADDRESS = "https://api.openai.com/v1"
MAX_TOKENS = 8192
_MAX_RESPONSE = 4 * 1024 * 1024
_MANY_TOKENS = 10**9


class Refused(ServiceError):
    """The model declined to judge."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is sent: PNG, and what it is called in the request."""

    label: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Of the bytes that are sent."""
        return hashlib.sha256(self.data).hexdigest()

    def parts(self) -> list[dict[str, Any]]:
        """The label and the picture as parts of a message."""
        uri = f"data:image/png;base64,{base64.b64encode(self.data).decode('ascii')}"
        return [{"type": "text", "text": self.label}, {"type": "image_url", "image_url": {"url": uri}}]


@dataclass(frozen=True, slots=True)
class Said:
    """What the model answered, and how many tokens it read and wrote."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


def encode(label: str, image: Image, side: int) -> Picture:
    """A picture for sending, with at most `side` pixels on its longer side and nothing but pixels in it."""
    from PIL import Image as Pillow

    pixels = image.convert("RGB")
    if max(pixels.size) > side:
        scale = side / max(pixels.size)
        size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
        pixels = pixels.resize(size, Pillow.Resampling.LANCZOS)
    out = io.BytesIO()
    Pillow.frombytes("RGB", pixels.size, pixels.tobytes()).save(out, "PNG")
    return Picture(label, out.getvalue())


class VisionModel:
    """One model at one address; safe for several threads and event loops.

    Args:
        model: the model's name.
        config: time, retries, rate, prices, keys and addresses.
        retry: pauses between attempts; the settings decide how many.

    Raises:
        ConfigurationError: the model's name is missing, a key is missing, or the address is none.
    """

    def __init__(self, model: str, config: Config, *, retry: RetryPolicy | None = None) -> None:
        if not model or len(model) > 256 or not model.isprintable():
            raise ConfigurationError("a judging model needs a name, as in kscore:gpt-5.1")
        self.model = model
        self.settings: JudgeSettings = config.judge
        address, key = _service(config)
        self.address = address
        self._client = ApiClient(
            address,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            secrets=frozenset(config.secrets.values()),
            limiter=None if config.judge.rpm is None else RateLimiter(config.judge.rpm),
            seconds=config.judge.timeout,
            max_response=_MAX_RESPONSE,
            retry=retry or RetryPolicy(attempts=config.judge.retries + 1),
        )
        self._lock = threading.Lock()
        self._left_out: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """The model, and where it is when it is not OpenAI's own."""
        return self.model if self.address == ADDRESS else f"{self.model} at {self.address}"

    def price(self, said: Said) -> float:
        """Money that an answer cost, by the prices in the settings."""
        settings = self.settings
        cost = said.tokens_in * settings.input_price + said.tokens_out * settings.output_price
        return round(cost / 1e6, 9)

    async def ask(self, messages: Sequence[Mapping[str, Any]]) -> Said:
        """Send a conversation. Raises `Refused` when the model declines, `ServiceError` when there is no answer."""
        while True:
            left_out = self._left_out
            try:
                answer = await self._client.post_json("chat/completions", self._body(messages, left_out))
                return _said(answer, self.model)
            except StatusError as error:
                culprit = _refused_option(error, left_out)
                if culprit is None:
                    raise
                with self._lock:
                    self._left_out |= {culprit}

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._client.aclose()

    def _body(self, messages: Sequence[Mapping[str, Any]], left_out: frozenset[str]) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), limit: MAX_TOKENS}
        if "max_completion_tokens" in left_out:
            body.pop(limit)
        if "temperature" not in left_out:
            body["temperature"] = 0
        return body


def _service(config: Config) -> tuple[str, str | None]:
    """Address and key. A key of one service is never sent to another service's address."""
    if address := config.endpoints.get("JUDGE_BASE_URL"):
        return address, config.secrets.get("JUDGE_API_KEY")
    address = config.endpoints.get("OPENAI_BASE_URL", ADDRESS)
    key = config.secrets.get("JUDGE_API_KEY") or config.secrets.get("OPENAI_API_KEY")
    if key is None and urlsplit(address).hostname == urlsplit(ADDRESS).hostname:
        raise ConfigurationError(
            "a judging model needs a key: set JUDGE_API_KEY or OPENAI_API_KEY in the environment or in .env, "
            "or JUDGE_BASE_URL for a server of your own"
        )
    return address, key


def _refused_option(error: StatusError, left_out: frozenset[str]) -> str | None:
    """The option that the server does not take, when the error says so and it was not left out already."""
    if error.status not in (400, 422):
        return None
    words = error.body.lower()
    limit = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
    found = (name for name in ("temperature", limit) if name in words and name not in left_out)
    return next(found, None)


def _said(answer: object, model: str) -> Said:
    """The text of a completion. Raises `Refused` and `ServiceError`."""
    where = f"the model {model}"
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict) or not isinstance(answer, dict):
        raise ServiceError(f"{where} answered without a message")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip():
        raise Refused(f"{where} declined: {' '.join(refusal.split())[:200]}")
    if choice.get("finish_reason") == "content_filter":
        raise Refused(f"{where} declined: its content filter stopped the answer")
    text = _content(message.get("content"))
    if text is None:
        raise ServiceError(f"{where} answered without text")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Said(text, _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens")))


def _content(content: object) -> str | None:
    """The text of a message: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") == "text"]
        return "".join(p for p in parts if isinstance(p, str))
    return None


def _tokens(value: object) -> int:
    """A number of tokens that can be believed; a server that tells nonsense costs nothing."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value < _MANY_TOKENS else 0
