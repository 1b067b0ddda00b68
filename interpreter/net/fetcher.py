"""The one way by which genevolve downloads what a stranger's page or search result points to.

http and https only; every connection goes through `GuardedBackend`, so each redirect is checked again; bytes, total
time, redirects, decompressed size and pixels are limited while streaming; an image is known by decoding it and is
re-encoded, so that only pixels are kept; the result lies in a content-addressed store.

Proxies of the environment, `.netrc`, cookies and credentials are never used: behind a proxy the address that is
connected to could not be checked.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpcore2
import httpx2

from genevolve.interpreter.net.addresses import AddressPolicy, GuardedBackend, Resolver, resolve
from genevolve.interpreter.net.bodies import ACCEPTED, BodyError, TooLarge, read_body
from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.net.per_loop import PerLoop
from genevolve.interpreter.net.pixels import reencode
from genevolve.interpreter.net.retry_after import parse_retry_after
from genevolve.interpreter.net.store import BlobStore, Meta, StoredBlob
from genevolve.interpreter.net.tls import tls_context
from genevolve.interpreter.net.urls import parse_url, shown
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.workers import Workers

T = TypeVar("T")

_REDIRECTS = (301, 302, 303, 307, 308)
_CONNECT_SECONDS = 10.0
"""For one address of a host: another one may answer."""
_DECODERS = 2
"""Pictures decoded at a time: each may need several bytes for every pixel."""
_AGENT = "genevolve (+https://github.com/genevolve/genevolve)"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one download: bytes on the wire and after decompression, seconds in all, redirects, pixels."""

    bytes: int = 20 * 1024 * 1024
    seconds: float = 30.0
    redirects: int = 5
    pixels: int = 40_000_000
    url_chars: int = 4096


@dataclass(frozen=True, slots=True)
class Body:
    """A downloaded body, decompressed, and the URL it came from in the end. The announced type may be a lie."""

    data: bytes
    url: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Download:
    """An image in the store: pixels only, PNG or JPEG. `url` is the one that was asked for."""

    path: Path
    sha256: str
    media_type: str
    width: int
    height: int
    url: str


class _Connections:
    """What belongs to one event loop."""

    def __init__(self, backend: GuardedBackend, concurrency: int) -> None:
        self.pool = httpcore2.AsyncConnectionPool(
            network_backend=backend,
            ssl_context=tls_context(),
            # The gate bounds them: waiting for it is not waiting for a host.
            max_connections=None,
            max_keepalive_connections=4,
            keepalive_expiry=5.0,
            retries=0,
        )
        self.gate = asyncio.Semaphore(concurrency)
        self.decoders = asyncio.Semaphore(_DECODERS)

    async def aclose(self) -> None:
        await self.pool.aclose()


class Fetcher:
    """Downloads for one process; share it, also between event loops.

    `fetch_image` asked for one URL by many tasks or processes downloads it once (`BlobStore.once`).

    Args:
        store: where images are kept.
        policy: which addresses may be reached; by default public ones only.
        limits: of one download.
        limiter: how often a host may be asked.
        resolver: names to addresses; the system's by default.
        retry: how often a download that failed for the moment is tried again, inside its time limit.
        concurrency: downloads at a time in one event loop. Waiting for a place costs a download none of its time.
    """

    def __init__(
        self,
        store: BlobStore,
        policy: AddressPolicy | None = None,
        limits: FetchLimits | None = None,
        limiter: RateLimiter | None = None,
        resolver: Resolver = resolve,
        retry: RetryPolicy | None = None,
        concurrency: int = 16,
    ) -> None:
        self.store = store
        self.limits = limits or FetchLimits()
        self._limiter = limiter
        self._retry = retry or RetryPolicy(attempts=2, base=0.5, cap=4.0)
        self._rng = random.Random()  # noqa: S311 (it only spreads retries)
        backend = GuardedBackend(policy or AddressPolicy(), resolver)
        self._connections = PerLoop(lambda: _Connections(backend, concurrency), _Connections.aclose)

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
        """Close the connections of this event loop; they are also closed when it ends."""
        await self._connections.aclose()

    async def fetch_image(self, url: str, *, seconds: float | None = None) -> Download:
        """The image behind a URL, from the store when it was fetched before.

        `seconds` bounds the waiting of this caller. A download that others wait for goes on.

        Raises:
            FetchError: it cannot be had; `reason` says why.
            StorageError: the store cannot be written.
        """
        # One name for one place, however it is spelled.
        target = str(parse_url(url, longest=self.limits.url_chars))

        async def download() -> tuple[bytes, Meta]:
            body = await self.fetch_bytes(target)
            return await self._pixels(body)

        async def wait() -> StoredBlob:
            return await self.store.once(target, download)

        blob = await self._within(seconds, wait, target)
        return _as_download(blob, url)

    async def fetch_bytes(self, url: str, *, seconds: float | None = None) -> Body:
        """A body of any type, at most `limits.bytes` long; nothing of it is kept. Raises `FetchError`."""
        target = parse_url(url, longest=self.limits.url_chars)

        async def wait() -> Body:
            connections = await self._connections.get()
            async with connections.gate:
                return await self._within(
                    self.limits.seconds, lambda: self._with_retries(connections, target), str(target)
                )

        return await self._within(seconds, wait, str(target))

    async def _within(self, seconds: float | None, work: Callable[[], Awaitable[T]], url: str) -> T:
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                return await work()
        except TimeoutError:
            waited = time.monotonic() - began
            message = f"{shown(url)} did not arrive within {waited:.1f} s"
            raise FetchError("time", message, retryable=True) from None

    async def _with_retries(self, connections: _Connections, target: httpx2.URL) -> Body:
        end, attempt = time.monotonic() + self.limits.seconds, 0
        while True:
            attempt += 1
            try:
                return await self._follow(connections, target)
            except FetchError as error:
                if self._limiter is not None and error.retry_after:
                    self._limiter.hold_back(target.host, error.retry_after)
                pause = self._retry.pause(error, attempt, end - time.monotonic(), self._rng)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _follow(self, connections: _Connections, target: httpx2.URL) -> Body:
        for _ in range(self.limits.redirects + 1):
            answer = await self._get(connections, target)
            if isinstance(answer, Body):
                return answer
            target = parse_url(answer, target, longest=self.limits.url_chars)
        message = f"more than {self.limits.redirects} redirects, the last one to {shown(str(target))}"
        raise FetchError("redirects", message)

    async def _get(self, connections: _Connections, url: httpx2.URL) -> Body | str:
        """One request: the body, or where it redirects to."""
        if self._limiter is not None:
            await self._limiter.wait(url.host)
        where = shown(str(url))
        headers = [
            (b"Host", url.netloc),
            (b"User-Agent", _AGENT.encode()),
            (b"Accept", b"image/*,*/*;q=0.5"),
            (b"Accept-Encoding", ACCEPTED.encode()),
        ]
        core = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        patience = {"timeout": {"connect": min(_CONNECT_SECONDS, self.limits.seconds)}}
        try:
            async with connections.pool.stream("GET", core, headers=headers, extensions=patience) as response:
                return await self._read(url, response)
        except TooLarge as error:
            raise FetchError("size", f"{where} is {error}") from error
        except BodyError as error:
            raise FetchError("decode", f"{where}: {error}", retryable=error.truncated) from error
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            OSError,
        ) as error:
            said = str(error).encode("unicode_escape").decode()[:200] or type(error).__name__
            raise FetchError("network", f"{where}: {said}", retryable=True) from error

    async def _read(self, url: httpx2.URL, response: httpcore2.Response) -> Body | str:
        headers = {name.lower(): value for name, value in reversed(response.headers)}
        if response.status in _REDIRECTS:
            location = _decoded(headers.get(b"location", b""))
            if not location:
                raise FetchError("status", f"{shown(str(url))} redirects to nowhere")
            return location
        if response.status != 200:
            raise FetchError(
                "status",
                f"{shown(str(url))} answered with status {response.status}",
                retryable=response.status == 429 or response.status >= 500,
                retry_after=parse_retry_after(_decoded(headers.get(b"retry-after", b""))),
            )
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced[:20]) > self.limits.bytes:
            raise TooLarge(f"larger than {self.limits.bytes:,} bytes")
        encoding = _decoded(headers.get(b"content-encoding", b""))
        data = await read_body(response.aiter_stream(), encoding, self.limits.bytes)
        return Body(data, str(url), _decoded(headers.get(b"content-type", b""))[:200])

    async def _pixels(self, body: Body) -> tuple[bytes, Meta]:
        connections = await self._connections.get()
        async with connections.decoders:
            # In a thread, so that other downloads go on, and a daemon, so that the process can always end.
            picture = await Workers().call(
                lambda: reencode(body.data, shown(body.url), self.limits.pixels), "decode"
            )
        meta: Meta = {
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
        }
        return picture.data, meta


def _as_download(blob: StoredBlob, url: str) -> Download:
    meta = blob.meta
    return Download(
        path=blob.path,
        sha256=blob.sha256,
        media_type=str(meta["media_type"]),
        width=int(meta["width"]),
        height=int(meta["height"]),
        url=url,
    )


def _decoded(header: bytes) -> str:
    """A header's text; servers write UTF-8 into it although they should not."""
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")
