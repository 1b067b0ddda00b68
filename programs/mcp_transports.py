"""How the MCP server is reached: over standard input and output, or over HTTP behind the service's own access rules."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from genevolve.interpreter.workers import Workers
from genevolve.programs.mcp_server import Desk, make_server

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_MESSAGE = 2 * 1024 * 1024
"""Bytes of one message: a program has at most 256 KiB, which escapes may make longer."""

_ENDS = 4096
_VALUE = rb'(\d{1,18}|"[^"\\]{1,200}")'
_ID = re.compile(
    rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,\s*)*"id"\s*:\s*' + _VALUE + rb"\s*[,}]"
)
_ID_LAST = re.compile(
    rb'\}\s*,\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,\s*)*"id"\s*:\s*'
    + _VALUE
    + rb'\s*(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*)*\}\s*$'
)
_SESSIONS = 64
_GRACE = 5


class InputLines:
    """Lines of standard input, none longer than `MAX_MESSAGE`; a longer one becomes a question that is refused.

    Standard input itself points at nothing while this serves: no tool and no child process may read the client's words.
    """

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(0), "rb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def __aiter__(self) -> AsyncIterator[str]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[str]:
        while line := await Workers().call(self._next, "stdin"):
            yield line.decode("utf-8", "replace")

    def _next(self) -> bytes:
        line = self._stream.readline(MAX_MESSAGE + 1)
        if len(line) <= MAX_MESSAGE:
            return line
        head = tail = line
        while line and not line.endswith(b"\n"):
            line = self._stream.readline(MAX_MESSAGE)
            tail = (tail + line)[-_ENDS:]
        return refused(head[:_ENDS], tail[-_ENDS:])


def refused(head: bytes, tail: bytes) -> bytes:
    """In place of a message that is too long, one that is answered with an error, so that its sender does not wait.

    Its id stands at the beginning or the end, before or after the parameters. (Quotation marks within texts are
    escaped, so a text is not taken for it.)
    """
    found = _ID.match(head) or _ID_LAST.search(tail)
    if found is None:
        return b"\n"
    method = f"a message of more than {MAX_MESSAGE:,} bytes"
    return b'{"jsonrpc":"2.0","id":%b,"method":"%b"}\n' % (found[1], method.encode())


def serve_stdio(make_desk: Callable[[], Desk]) -> None:
    """Serve one client over standard input and output until it closes its end, or until a signal."""
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        desk = make_desk()
        server = make_server(desk)._lowlevel_server  # the SDK's own `run` reads lines of any length
        try:
            lines: Any = InputLines()  # all that the transport does with a file is to go through its lines
            async with stdio_server(stdin=lines) as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())
        finally:
            desk.close()

    async def until_told() -> None:
        work = asyncio.ensure_future(serve())
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # Windows ends the process instead
            loop.add_signal_handler(signal.SIGTERM, work.cancel)
        await work

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(until_told())
    sys.stderr.flush()


def serve_http(
    make_desk: Callable[[], Desk],
    host: str,
    port: int,
    *,
    key: str | None = None,
    names: Sequence[str] = (),
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve over HTTP at `/mcp` until a signal.

    Args:
        make_desk: called on the event loop that serves.
        host: loopback, unless there is a key.
        port: 0 for any.
        key: what clients must show as a bearer token; None: none.
        names: further names of this service in Host headers.
        announce: told the address.

    Raises:
        ConfigurationError: the address cannot be used, or is open to others without a key.
    """
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    from genevolve.interpreter.service.auth import Access
    from genevolve.interpreter.service.protocol import GuardedProtocol
    from genevolve.interpreter.service.server import listen

    access = Access(host, key, names)
    listener = listen(host, port)

    async def serve() -> None:
        desk = make_desk()
        try:
            app = make_server(desk).streamable_http_app(
                max_request_body_size=MAX_MESSAGE,
                max_sessions=_SESSIONS,
                # `Access` knows which names are ours.
                transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            )
            config = uvicorn.Config(
                _Door(app, access),
                http=GuardedProtocol,
                ws="none",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=_GRACE,
            )
            place, number = listener.getsockname()[:2]
            announce(f"http://[{place}]:{number}" if ":" in place else f"http://{place}:{number}")
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            desk.close()

    try:
        asyncio.run(serve())
    finally:
        listener.close()


class _Door:
    """Lets requests in that come from this machine or show the key, and none that a web page sends."""

    def __init__(self, app: ASGIApp, access: Any) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers
        from starlette.responses import JSONResponse

        from genevolve.interpreter.service.limits import Refusal

        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                self._access.check_origin(headers)
                self._access.check_key(headers)
            except Refusal as refusal:
                answer = JSONResponse({"error": refusal.message}, refusal.status, refusal.headers)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
