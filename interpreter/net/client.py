"""Requests to services that an operator configured: JSON in, JSON or bytes out, with retries inside a deadline.

Their endpoints may be anywhere (a model server on loopback is normal), so addresses are not restricted; in return
redirects are never followed: an endpoint that redirects is misconfigured or not what it seems. The proxies of the
environment (`HTTPS_PROXY`, `NO_PROXY`) are honoured, as in other programs, except for endpoints on loopback. `.netrc`
is not read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.net.bodies import ACCEPTED, BodyError, TooLarge, read_body
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.net.per_loop import PerLoop
from genevolve.interpreter.net.retry_after import parse_retry_after
from genevolve.interpreter.net.tls import tls_context
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.retry import RetryPolicy

__all__ = ["ApiClient", "Reply", "StatusError", "parse_retry_after"]

_RETRIED = (429, 500, 502, 503, 504, 529)
_CONNECT_SECONDS = 10.0
_LOOKED_AT = 64 * 1024
"""Bytes of an answer that a message may be made from, scrubbed before anything is cut off."""


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
    """One endpoint, for tasks of any event loop. Its connections are closed with their loop, or by `aclose`.

    Attributes:
        base_url: where paths start, such as `https://api.example.com/v1`.
        headers: sent with every request; they may hold keys.
        secrets: masked in every message, and so is what the headers `Authorization` and `X-API-Key` hold.
        limiter: share one between clients to share a rate.
        seconds: bounds one request from connecting to its last byte, retries and pauses included.
        max_response: bytes of an answer, on the wire and unpacked.
        retry: how often a request is tried again after 429, a status of 500 and more, or trouble on the way.

    Raises:
        ConfigurationError: the address is no URL, or a header holds what no header may hold.
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
        self._base = _endpoint(self.base_url)
        self.host = self._base.host
        for name, value in self.headers.items():
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ConfigurationError(
                    f"the value for the header {name} holds characters that no header can"
                )
        self._redactor = Redactor(_spellings({*self.secrets, *_keys_in(self.headers)}))
        self._clients = PerLoop(self._open, httpx2.AsyncClient.aclose)

    def _open(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers={**self.headers, "Accept-Encoding": ACCEPTED},
            follow_redirects=False,
            timeout=httpx2.Timeout(self.seconds, connect=min(_CONNECT_SECONDS, self.seconds)),
            trust_env=not _is_loopback(self.host),
            verify=tls_context(),
        )

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
        """Close the connections of this event loop."""
        await self._clients.aclose()

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
        allowed = seconds if seconds is not None else self.seconds
        end = time.monotonic() + allowed
        attempt = 0
        last: ServiceError | None = None
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0.0)) as timer:
                    if self.limiter is not None:
                        await self.limiter.wait(self.host)
                    return await self._attempt(method, path, options)
            except TimeoutError:
                assert timer.expired()
                before = f" (before that: {last})" if last is not None else ""
                raise ServiceError(
                    f"{self._where(path)} did not answer within {allowed:.3g} s{before}", retryable=True
                ) from None
            except ServiceError as error:
                last = error
                if self.limiter is not None and error.retry_after:
                    self.limiter.hold_back(self.host, error.retry_after)
                pause = self.retry.pause(error, attempt, end - time.monotonic(), self.rng)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _attempt(self, method: str, path: str, options: Mapping[str, Any]) -> Reply:
        url = f"{str(self._base).rstrip('/')}/{path.lstrip('/')}" if path else str(self._base)
        client = await self._clients.get()
        where = self._where(path)
        try:
            async with client.stream(method, url, **options) as response:
                encoding = response.headers.get("content-encoding", "")
                data = await read_body(response.aiter_raw(), encoding, self.max_response)
        except TooLarge as error:
            raise ServiceError(f"{where} answered with more than {self.max_response:,} bytes") from error
        except BodyError as error:
            raise ServiceError(f"{where}: {error}", retryable=error.truncated) from error
        except httpx2.TimeoutException as error:
            raise ServiceError(f"{where} did not answer in time", retryable=True) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise ServiceError(self._clean(f"{where}: {error}")) from error
        except (httpx2.HTTPError, OSError) as error:
            reason = _excerpt(self._clean(str(error))) or type(error).__name__
            raise ServiceError(f"{where}: {reason}", retryable=True) from error
        if response.is_success:
            return Reply(data, response.headers.get("content-type", ""), dict(response.headers))
        raise self._status_error(path, response, data)

    def _status_error(self, path: str, response: httpx2.Response, data: bytes) -> StatusError:
        status = response.status_code
        body = self._clean(data[:_LOOKED_AT].decode("utf-8", "replace"))[:2000]
        if response.is_redirect:
            hint = "it redirects, which is not followed: configure the final address"
        else:
            hint = _excerpt(body) or _excerpt(self._clean(response.reason_phrase))
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
            start = _excerpt(self._clean(reply.data[:_LOOKED_AT].decode("utf-8", "replace")))
            raise ServiceError(
                f"{self._where(path)} answered with something that is not JSON: {start or 'nothing'}"
            ) from error

    def _where(self, path: str) -> str:
        base = f"{self._base.scheme}://{self._base.netloc.decode()}{self._base.path.rstrip('/')}"
        return self._clean(f"{base}/{path.lstrip('/')}".split("?", 1)[0])

    def _clean(self, text: str) -> str:
        return self._redactor.text(text)


def _endpoint(address: str) -> httpx2.URL:
    try:
        url = httpx2.URL(address.strip())
        valid = url.scheme in ("http", "https") and bool(url.host) and not url.query and not url.fragment
    except (httpx2.InvalidURL, ValueError, TypeError):
        valid = False
    if not valid:
        # What was written may hold a password: it is not repeated.
        raise ConfigurationError("the address of a service must be http(s)://host[:port][/path]")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keys_in(headers: Mapping[str, str]) -> list[str]:
    """What the headers that carry keys hold, without the word before them (`Bearer`)."""
    names = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
    return [value.rpartition(" ")[2] for name, value in headers.items() if name.lower() in names]


def _spellings(secrets: set[str]) -> set[str]:
    """Secrets as they are and as a URL holds them."""
    return secrets | {quote(s, safe="") for s in secrets}


def _excerpt(text: str) -> str:
    """The beginning of a text on one line, control characters escaped."""
    flat = " ".join(text[:2000].split())
    return flat[:200] if flat.isprintable() else flat.encode("unicode_escape").decode()[:200]
