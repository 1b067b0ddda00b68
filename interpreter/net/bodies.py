"""Reads the body of a response within a limit, on the wire and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing

ACCEPTED = "gzip"
"""The `Accept-Encoding` to send with a request whose body is read here."""

_PIECE = 64 * 1024


class BodyError(Exception):
    """The body cannot be used; `truncated` when it only ended too early."""

    def __init__(self, message: str, *, truncated: bool = False) -> None:
        super().__init__(message)
        self.truncated = truncated


class TooLarge(BodyError):
    """The body passed the limit; the rest was not read."""


async def read_body(chunks: AsyncIterable[bytes], encoding: str, limit: int) -> bytes:
    """The whole body, decompressed. Both what arrives and what it unpacks to are at most `limit` bytes long.

    Raises `TooLarge`, or `BodyError` when the encoding is not gzip or deflate, broken or cut short.
    """
    inflate = _Inflate.of(encoding)
    received, data = 0, bytearray()
    async with aclosing(_generator(chunks)) as pieces:
        async for chunk in pieces:
            received += len(chunk)
            if received > limit:
                raise TooLarge(f"larger than {limit:,} bytes")
            if inflate is None:
                data += chunk
                continue
            for piece in inflate.feed(chunk):
                if len(data) + len(piece) > limit:
                    raise TooLarge(f"larger than {limit:,} bytes when it is unpacked")
                data += piece
            if inflate.ended:
                break
    if inflate is not None and not inflate.ended and received:
        raise BodyError("the compressed body ends too early", truncated=True)
    return bytes(data)


class _Inflate:
    """Decompression in small pieces: a chunk of 64 KiB can unpack to 64 MiB."""

    def __init__(self, wbits: int) -> None:
        self._zlib = zlib.decompressobj(wbits)

    @classmethod
    def of(cls, encoding: str) -> _Inflate | None:
        match encoding.strip().lower():
            case "" | "identity":
                return None
            case "gzip" | "x-gzip":
                return cls(31)
            case "deflate":
                return cls(15)
            case other:
                raise BodyError(f"it is encoded as {other[:40]!r}, which was not asked for")

    @property
    def ended(self) -> bool:
        """What follows the end is thrown away; zlib would hoard it."""
        return self._zlib.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        pending = chunk
        while True:
            try:
                piece = self._zlib.decompress(pending, _PIECE)
            except zlib.error as error:
                raise BodyError(f"broken compression: {error}") from error
            pending = self._zlib.unconsumed_tail
            yield piece
            # A full piece may leave output inside zlib although all input is consumed.
            if self._zlib.eof or (not pending and len(piece) < _PIECE):
                return


async def _generator(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        yield chunk
