"""A real HTTP server on loopback that misbehaves as told: for tests of everything that speaks HTTP.

    from servers import FaultyServer, Reply, json_reply

    with FaultyServer() as server:
        server.on("/search", Reply(500), json_reply({"organic": []}))  # fails once, then answers for ever
        ...  # ask server.url("/search")
        assert server.count("/search") == 2
        assert server.requests[0].headers["x-api-key"] == "k"

`on(path, …)` scripts the answers of a path: `Reply` objects, given one after another, the last one repeated; or one
function `Request -> Reply`. A path without a script answers 404. The server is asyncio on a raw socket in a thread of
its own, so that it can do what a proper server library would not: announce a wrong length, stop half-way, close only
one direction, drip bytes, send garbage for chunks, stream without end. Each connection serves one request, unless the
reply has `keep=True`.

The makers at the end (`json_reply`, `redirect`, `drip`, `huge`, `truncated`, `reset`, `gzip_bomb`, …) name the faults.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 256 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """What a client sent. Header names are in lower case; `at` is the monotonic clock."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer, right or wrong.

    status: of the status line.
    body: sent at once, unless `pieces` are given.
    headers: besides Content-Length (or Transfer-Encoding) and Connection.
    delay: seconds before the first byte.
    pieces: the body in pieces; a function gives fresh pieces to each request.
    pause: seconds between two pieces.
    length: the announced Content-Length, instead of the real one; None announces nothing (the end is the close).
    chunked: Transfer-Encoding: chunked.
    ending: "close" the connection; "reset" it (RST); "half" closes only the sending direction and waits for the client;
        "hang" says nothing more and keeps it open (at most 60 seconds).
    raw: these bytes and nothing else, no status line.
    keep: leave the connection open for another request.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    pieces: Callable[[], Iterable[bytes]] | None = None
    pause: float = 0.0
    length: int | Literal["real"] | None = "real"
    chunked: bool = False
    ending: Literal["close", "reset", "half", "hang"] = "close"
    raw: bytes | None = None
    keep: bool = False


Script = Reply | Callable[[Request], Reply]


class FaultyServer:
    """The server; a context manager. `requests` holds all requests in their order of arrival.

    Args:
        host: the address to listen on; `::1` works too.
        tls: speak TLS with this context.
    """

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.tls = tls
        self.requests: list[Request] = []
        self.connections = 0
        """Connections that were opened, also those without a request."""
        self.open_now = 0
        """Requests that are being answered."""
        self.most_at_once = 0
        self.sent = 0
        """Bytes of bodies that were handed to the sockets."""
        self._scripts: dict[str, list[Script]] = {}
        self._served: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="faulty-server", daemon=True)
        self._ready = threading.Event()
        self._stop: asyncio.Event
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Named as TCP, or asyncio leaves Nagle's algorithm on and every answer is 40 ms late.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def on(self, path: str, *script: Script) -> FaultyServer:
        """Script the answers of a path ("*" stands for every other path)."""
        assert script
        with self._lock:
            self._scripts[path] = list(script)
            self._served[path] = 0
        return self

    def url(self, path: str = "", host: str | None = None) -> str:
        """The URL of a path, under another spelling of the host if one is given."""
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def count(self, path: str | None = None) -> int:
        """How many requests came, for one path or for all."""
        return sum(1 for r in list(self.requests) if path is None or r.path == path)

    # ---- inside ----------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(
            connected, sock=self._socket, limit=2**20, backlog=512, ssl=self.tls
        )
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await _read_request(reader, writer)
                if request is None:
                    break
                self.requests.append(request)
                self.open_now += 1
                self.most_at_once = max(self.most_at_once, self.open_now)
                try:
                    reply = self._reply(request)
                    await self._answer(reply, request, reader, writer)
                finally:
                    self.open_now -= 1
                if not reply.keep:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which clients under test do on purpose
        finally:
            writer.close()

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            path = request.path if request.path in self._scripts else "*"
            script = self._scripts.get(path)
            if script is None:
                return Reply(404, b"nothing here")
            index = min(self._served[path], len(script) - 1)
            self._served[path] += 1
            chosen = script[index]
        return chosen if isinstance(chosen, Reply) else chosen(request)

    async def _answer(
        self, reply: Reply, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.raw is not None:
            writer.write(reply.raw)
        else:
            writer.write(_head(reply))
            if request.method != "HEAD":
                await self._body(reply, writer)
        await writer.drain()
        await self._end(reply, reader, writer)

    async def _body(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        pieces: Iterable[bytes] = reply.pieces() if reply.pieces is not None else (reply.body,)
        for number, piece in enumerate(pieces):
            if number and reply.pause:
                await asyncio.sleep(reply.pause)
            if reply.chunked and piece:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)
        if reply.chunked and reply.ending == "close":
            writer.write(b"0\r\n\r\n")

    async def _end(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match reply.ending:
            case "reset":
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case "half":
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 60)
            case "hang":
                await asyncio.sleep(60)


def _head(reply: Reply) -> bytes:
    headers = {"Connection": "keep-alive" if reply.keep else "close", **reply.headers}
    if reply.chunked:
        headers["Transfer-Encoding"] = "chunked"
    elif reply.length == "real":
        if reply.pieces is None:
            headers["Content-Length"] = str(len(reply.body))
    elif reply.length is not None:
        headers["Content-Length"] = str(reply.length)
    lines = [f"HTTP/1.1 {reply.status} Status", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        length = int(headers.get("content-length", "0"))
        assert length <= MAX_BODY
        body = await reader.readexactly(length)
    return Request(method, target, headers, body)


# ---- named faults and ordinary answers ---------------------------------------------------------------


def json_reply(data: Any, status: int = 200, **options: Any) -> Reply:
    """JSON."""
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    return Reply(status, json.dumps(data).encode(), headers, **options)


def html_reply(text: str = "<!DOCTYPE html><html><body>Not found</body></html>", status: int = 200) -> Reply:
    """A web page, whatever was asked for."""
    return Reply(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"})


def image_reply(data: bytes, media_type: str = "image/png", **options: Any) -> Reply:
    """The bytes of a picture (or of what claims to be one)."""
    return Reply(200, data, {"Content-Type": media_type, **options.pop("headers", {})}, **options)


def redirect(location: str, status: int = 302) -> Reply:
    """Elsewhere."""
    return Reply(status, headers={"Location": location})


def busy(retry_after: str | None = None, status: int = 429) -> Reply:
    """Too many requests; `retry_after` is seconds or an HTTP date."""
    return Reply(status, b'{"error": "busy"}', {} if retry_after is None else {"Retry-After": retry_after})


def truncated(body: bytes, announced: int | None = None, **options: Any) -> Reply:
    """Announces more than it sends, then closes."""
    return Reply(body=body, length=announced if announced is not None else 2 * len(body) + 100, **options)


def reset(body: bytes = b"") -> Reply:
    """Resets the connection after a part of the body."""
    return Reply(body=body, length=len(body) + 1000, ending="reset")


def half_closed(body: bytes, announced: int | None = None) -> Reply:
    """Closes its sending direction after a part of the body and waits."""
    return Reply(body=body, length=announced if announced is not None else len(body) + 1000, ending="half")


def drip(pause: float, count: int = 10_000, byte: bytes = b"x", **options: Any) -> Reply:
    """One byte after each pause."""
    return Reply(pieces=lambda: (byte for _ in range(count)), pause=pause, length=count, **options)


def huge(total: int, piece: int = 256 * 1024, *, announced: bool = False, **options: Any) -> Reply:
    """`total` zero bytes, as fast as they are read."""

    def pieces() -> Iterator[bytes]:
        block = bytes(piece)
        for _ in range(total // piece):
            yield block

    return Reply(pieces=pieces, length=total if announced else None, **options)


def gzip_bomb(unpacked: int, **options: Any) -> Reply:
    """A small gzip body that unpacks to `unpacked` zero bytes."""
    return Reply(body=_gzip_zeros(unpacked), headers={"Content-Encoding": "gzip"}, **options)


def header_flood(count: int = 20_000) -> Reply:
    """Headers without end."""
    flood = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 100) for i in range(count))
    return Reply(raw=b"HTTP/1.1 200 OK\r\n" + flood + b"\r\n")


def bad_chunks() -> Reply:
    """Says it is chunked and is not."""
    return Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nnot a chunk\r\n")


def not_http() -> Reply:
    """Speaks another protocol."""
    return Reply(raw=b"SSH-2.0-OpenSSH_9.7\r\n")


def _gzip_zeros(unpacked: int) -> bytes:
    import io

    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        block = bytes(1024 * 1024)
        for _ in range(unpacked // len(block)):
            file.write(block)
    return out.getvalue()
