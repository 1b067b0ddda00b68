"""Requests to services that an operator configured: JSON in, JSON or bytes out, with retries inside a deadline.

Their endpoints may be anywhere (a model server on loopback is normal), so addresses are not restricted; in return
redirects are never followed: an endpoint that redirects is misconfigured or not what it seems.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from genevolve.grammar.errors import ServiceError
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.retry import RetryPolicy

_RETRIED = (408, 425, 429, 500, 502, 503, 504, 529)


class StatusError(ServiceError):
    """The service answered with an error status; `status` and the beginning of the `body` tell more."""

    def __init__(
        self, message: str, status: int, body: str, *, retryable: bool, retry_after: float | None
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response with status 2xx."""

    data: bytes
    content_type: str
    headers: Mapping[str, str]


@dataclass
class ApiClient:
    """One endpoint. `headers` may hold keys; `secrets` are masked in every message.

    `seconds` bounds one request from connecting to its last byte, retries and pauses included.
    Share a `limiter` between clients to share a rate.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    limiter: RateLimiter | None = None
    seconds: float = 120.0
    max_response: int = 64 * 1024 * 1024
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    rng: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        self._redactor = Redactor(self.secrets)
        self._client = httpx2.AsyncClient(
            headers=dict(self.headers),
            follow_redirects=False,
            timeout=httpx2.Timeout(self.seconds, connect=min(10.0, self.seconds)),
        )
        self.host = httpx2.URL(self.base_url).host

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get_json(
        self, path: str, *, params: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> Any:
        """GET and decode JSON. Raises `ServiceError`."""
        return self._json(path, await self.request("GET", path, params=params, seconds=seconds))

    async def post_json(self, path: str, body: Any, *, seconds: float | None = None) -> Any:
        """POST JSON and decode JSON. Raises `ServiceError`."""
        return self._json(path, await self.request("POST", path, json=body, seconds=seconds))

    async def post_multipart(
        self,
        path: str,
        fields: Mapping[str, str],
        files: list[tuple[str, tuple[str, bytes, str]]],
        *,
        seconds: float | None = None,
    ) -> Any:
        """POST a form with files and decode JSON. Raises `ServiceError`.

        `files` are (field, (file name, bytes, media type)).
        """
        reply = await self.request("POST", path, data=dict(fields), files=files, seconds=seconds)
        return self._json(path, reply)

    async def get_bytes(
        self, path: str, *, params: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> Reply:
        """GET a body as it is. Raises `ServiceError`."""
        return await self.request("GET", path, params=params, seconds=seconds)

    async def request(self, method: str, path: str, *, seconds: float | None = None, **options: Any) -> Reply:
        """One request with its retries; `seconds` bounds all of them together. Raises `ServiceError`."""
        end = time.monotonic() + (seconds if seconds is not None else self.seconds)
        attempt = 0
        while True:
            attempt += 1
            left = end - time.monotonic()
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    if self.limiter is not None:
                        await self.limiter.wait(self.host)
                    return await self._attempt(method, path, options)
            except TimeoutError:
                raise ServiceError(f"{self._where(path)} did not answer in time", retryable=True) from None
            except ServiceError as error:
                if self.limiter is not None and error.retry_after:
                    self.limiter.hold_back(self.host, error.retry_after)
                pause = self.retry.pause(error, attempt, end - time.monotonic(), self.rng)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _attempt(self, method: str, path: str, options: Mapping[str, Any]) -> Reply:
        url = self.base_url.rstrip("/") + "/" + path.lstrip("/") if path else self.base_url
        try:
            async with self._client.stream(method, url, **options) as response:
                data = await self._body(path, response)
        except httpx2.TimeoutException as error:
            raise ServiceError(f"{self._where(path)} did not answer in time", retryable=True) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise ServiceError(self._clean(f"{self._where(path)}: {error}")) from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ServiceError(self._clean(f"{self._where(path)}: {reason}"), retryable=True) from error
        if response.is_success:
            return Reply(data, response.headers.get("content-type", ""), dict(response.headers))
        raise self._status_error(path, response, data)

    async def _body(self, path: str, response: httpx2.Response) -> bytes:
        data = bytearray()
        async for chunk in response.aiter_bytes(64 * 1024):
            data += chunk
            if len(data) > self.max_response:
                raise ServiceError(f"{self._where(path)} answered with more than {self.max_response} bytes")
        return bytes(data)

    def _status_error(self, path: str, response: httpx2.Response, data: bytes) -> StatusError:
        status = response.status_code
        body = self._clean(data[:2000].decode("utf-8", "replace"))
        if response.is_redirect:
            hint = "it redirects, which is not followed: configure the final address"
        else:
            hint = _excerpt(body) or response.reason_phrase
        return StatusError(
            f"{self._where(path)} answered with status {status}: {hint}",
            status,
            body,
            retryable=status in _RETRIED,
            retry_after=parse_retry_after(response.headers.get("retry-after")),
        )

    def _json(self, path: str, reply: Reply) -> Any:
        try:
            return json.loads(reply.data)
        except (ValueError, RecursionError) as error:
            start = _excerpt(self._clean(reply.data[:200].decode("utf-8", "replace")))
            raise ServiceError(
                f"{self._where(path)} answered with something that is not JSON: {start}"
            ) from error

    def _where(self, path: str) -> str:
        url = httpx2.URL(self.base_url)
        return f"{url.scheme}://{url.netloc.decode()}/{path.lstrip('/')}".split("?", 1)[0]

    def _clean(self, text: str) -> str:
        return self._redactor.text(text)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header (a number or an HTTP date), never negative; None when there is none."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def _excerpt(text: str) -> str:
    """The beginning of a text on one line, control characters escaped."""
    flat = " ".join(text.split())
    return flat.encode("unicode_escape").decode()[:200] if not flat.isprintable() else flat[:200]
