"""The one way by which genevolve downloads what a stranger's page or search result points to.

http and https only; every connection goes through `GuardedBackend`, so each redirect is checked again; bytes, total
time, redirects, decompressed size and pixels are limited while streaming; an image is known by decoding it and is
re-encoded, so that only pixels are kept; the result lies in a content-addressed store.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpcore2

from genevolve.interpreter.net.addresses import AddressPolicy, GuardedBackend, Resolver, resolve
from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.net.pixels import reencode
from genevolve.interpreter.net.store import BlobStore, StoredBlob

_REDIRECTS = (301, 302, 303, 307, 308)
_PIECE = 64 * 1024
_AGENT = "genevolve (+https://github.com/genevolve/genevolve)"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one download: bytes on the wire and after decompression, seconds in all, redirects, pixels."""

    bytes: int = 20 * 1024 * 1024
    seconds: float = 30.0
    redirects: int = 5
    pixels: int = 64 * 1024 * 1024
    url_chars: int = 4096


@dataclass(frozen=True, slots=True)
class Body:
    """A downloaded body, decompressed, and the URL it came from in the end."""

    data: bytes
    url: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Download:
    """An image in the store: pixels only, PNG or JPEG or WebP."""

    path: Path
    sha256: str
    media_type: str
    width: int
    height: int
    url: str


class Fetcher:
    """Downloads for one process; share it. Closing it closes its connections.

    `fetch_image` asked for one URL by many tasks or processes downloads it once (`BlobStore.once`).
    """

    def __init__(
        self,
        store: BlobStore,
        policy: AddressPolicy | None = None,
        limits: FetchLimits | None = None,
        limiter: RateLimiter | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self.store = store
        self.limits = limits or FetchLimits()
        self._limiter = limiter
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=GuardedBackend(policy or AddressPolicy(), resolver),
            max_connections=16,
            max_keepalive_connections=4,
            keepalive_expiry=5.0,
            retries=0,
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
        """Close all connections."""
        await self._pool.aclose()

    async def fetch_image(self, url: str, *, seconds: float | None = None) -> Download:
        """The image behind a URL, from the store when it was fetched before. Raises `FetchError`."""
        self._check_url(url)

        async def download() -> tuple[bytes, dict[str, str | int]]:
            body = await self.fetch_bytes(url, seconds=seconds)
            # Decoding is work for a processor: in a thread, so that other downloads go on.
            picture = await asyncio.to_thread(reencode, body.data, self.limits.pixels)
            meta: dict[str, str | int] = {
                "media_type": picture.media_type,
                "width": picture.width,
                "height": picture.height,
            }
            return picture.data, meta

        blob = await self.store.once(url, download)
        return _as_download(blob, url)

    async def fetch_bytes(self, url: str, *, seconds: float | None = None) -> Body:
        """A body of any type, at most `limits.bytes` long. Raises `FetchError`."""
        allowed = min(self.limits.seconds, seconds if seconds is not None else self.limits.seconds)
        started = time.monotonic()
        try:
            async with asyncio.timeout(allowed):
                return await self._follow(url)
        except TimeoutError:
            waited = time.monotonic() - started
            raise FetchError(
                "time", f"{_shown(url)} did not arrive within {waited:.1f} s", retryable=True
            ) from None

    async def _follow(self, url: str) -> Body:
        for _ in range(self.limits.redirects + 1):
            self._check_url(url)
            answer = await self._get(url)
            if isinstance(answer, Body):
                return answer
            url = urljoin(url, answer)
        raise FetchError("redirects", f"more than {self.limits.redirects} redirects, last to {_shown(url)}")

    async def _get(self, url: str) -> Body | str:
        """One request: the body, or where it redirects to."""
        host = urlsplit(url).hostname or ""
        if self._limiter is not None:
            await self._limiter.wait(host)
        headers = [("User-Agent", _AGENT), ("Accept", "image/*,*/*;q=0.5"), ("Accept-Encoding", "gzip")]
        try:
            async with self._pool.stream("GET", url, headers=headers) as response:
                return await self._read(url, response)
        except FetchError:
            raise
        except (httpcore2.ConnectError, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            reason = str(error) or type(error).__name__
            raise FetchError("network", f"{_shown(url)}: {reason}", retryable=True) from error
        except (httpcore2.TimeoutException, httpcore2.UnsupportedProtocol, ValueError) as error:
            raise FetchError("network", f"{_shown(url)}: {error}") from error

    async def _read(self, url: str, response: httpcore2.Response) -> Body | str:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
        if response.status in _REDIRECTS:
            location = headers.get("location")
            if not location:
                raise FetchError("status", f"{_shown(url)} redirects to nowhere")
            return location
        if response.status != 200:
            transient = response.status == 429 or response.status >= 500
            raise FetchError(
                "status", f"{_shown(url)} answered with status {response.status}", retryable=transient
            )
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self.limits.bytes:
            raise self._too_large(url)
        chunks = _decompressed(response.aiter_stream(), headers.get("content-encoding", ""), url)
        data = bytearray()
        async for chunk in self._counted(url, chunks):
            data += chunk
        return Body(bytes(data), url, headers.get("content-type", ""))

    async def _counted(self, url: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in chunks:
            total += len(chunk)
            if total > self.limits.bytes:
                raise self._too_large(url)
            yield chunk

    def _too_large(self, url: str) -> FetchError:
        return FetchError("size", f"{_shown(url)} is larger than {self.limits.bytes} bytes")

    def _check_url(self, url: str) -> None:
        if len(url) > self.limits.url_chars:
            raise FetchError("refused", f"a URL of {len(url)} characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise FetchError("refused", f"{_shown(url)} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https"):
            raise FetchError("refused", f"{_shown(url)}: only http and https are fetched")
        if not parts.hostname or port == 0 or any(ord(c) <= 32 or ord(c) == 127 for c in url):
            raise FetchError("refused", f"{_shown(url)} is not a URL")
        if parts.username is not None or parts.password is not None:
            raise FetchError("refused", f"the URL for {parts.hostname} carries a user name or password")


async def _decompressed(chunks: AsyncIterator[bytes], encoding: str, url: str) -> AsyncIterator[bytes]:
    """The body without its content encoding; a piece never inflates to more than 64 KiB at once."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        async for chunk in chunks:
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError("decode", f"{_shown(url)} is encoded as {encoding!r}, which was not asked for")
    inflate = zlib.decompressobj(wbits=47 if encoding != "deflate" else 15)
    try:
        async for chunk in chunks:
            pending = chunk
            while True:
                piece = inflate.decompress(pending, _PIECE)
                pending = inflate.unconsumed_tail
                yield piece
                # A full piece may leave output inside zlib although all input is consumed.
                if not pending and len(piece) < _PIECE:
                    break
    except zlib.error as error:
        raise FetchError("decode", f"{_shown(url)}: broken compression: {error}") from error
    if not inflate.eof:
        raise FetchError("decode", f"{_shown(url)}: the compressed body ends too early", retryable=True)


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


def _shown(url: str) -> str:
    """The URL for a message: without its query (it may hold keys), control characters escaped, bounded."""
    bare = url.split("?", 1)[0].split("#", 1)[0]
    return bare.encode("unicode_escape").decode()[:200]
