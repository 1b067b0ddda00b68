"""How messages travel to a server and back: over the standard streams of a process, or over HTTP.

The SDK reads messages of any length and starts processes that may outlive us; these transports bound what is read
and put every process under a guard (`guard.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.mcp.guard import NOT_STARTED
from genevolve.interpreter.mcp.health import Health
from genevolve.interpreter.mcp.settings import McpServer

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams

_GUARD = Path(__file__).with_name("guard.py")
_MAX_GARBAGE = 100
_CHUNK = 64 * 1024
_FAREWELL = 0.3
"""Seconds in which a server may end by itself after its input has ended."""
_GUARDED = 2.0
"""Seconds in which the guard has ended everything, with room to spare."""
_PASSED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "SYSTEMROOT", "TERM", "TMPDIR", "TZ", "USER")


def environment_of(server: McpServer, values: Mapping[str, str]) -> dict[str, str]:
    """The variables that a server's process gets: a few harmless ones and the named ones, nothing else.

    Raises `ConfigurationError` when a named one is not set.
    """
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return passed | {name: variable(server, name, values) for name in server.env}


def variable(server: McpServer, name: str, values: Mapping[str, str]) -> str:
    """The value of a variable that a server needs. Raises `ConfigurationError`, by name, when it is not set."""
    value = values.get(name) or os.environ.get(name)
    if not value:
        raise ConfigurationError(
            f"the MCP server {server.name!r} needs the variable {name}: set it in the environment or in .env"
        )
    return value


def transport(
    server: McpServer, values: Mapping[str, str], health: Health
) -> contextlib.AbstractAsyncContextManager[TransportStreams]:
    """The connection to a server. `values` are variables from `.env` and from the environment."""
    return _http(server, values, health) if server.url else _process(server, values, health)


# ---- a process ---------------------------------------------------------------------------------------


@asynccontextmanager
async def _process(
    server: McpServer, values: Mapping[str, str], health: Health
) -> AsyncIterator[TransportStreams]:
    """Start the command and speak over its standard streams, one message a line."""
    if os.name != "posix":
        raise ServiceError("servers that are started by a command need Linux or macOS; give the url of one")
    environment = environment_of(server, values)
    if (
        shutil.which(server.command[0], path=environment.get("PATH")) is None
        and not (server.folder / server.command[0]).is_file()
    ):
        raise ServiceError(f"there is no program {server.command[0]!r}")
    lifeline, held = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_GUARD), str(lifeline), *server.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=server.folder,
            pass_fds=(lifeline,),
            start_new_session=True,
            limit=server.reply,
        )  # fmt: skip
    except BaseException as error:
        os.close(held)  # a process that was started all the same sees its lifeline end
        if isinstance(error, OSError):
            raise ServiceError(f"it cannot be started: {error.strerror or error}") from error
        raise
    finally:
        os.close(lifeline)
    to_us, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_us = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, process, to_us, health, server.reply)
        tasks.start_soon(_write, process, from_us, health)
        tasks.start_soon(_hear, process, health)
        try:
            yield incoming, outgoing
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process, held)
            for stream in (to_us, incoming, outgoing, from_us):
                stream.close()
            tasks.cancel_scope.cancel()


async def _read(
    process: asyncio.subprocess.Process,
    out: MemoryObjectSendStream[SessionMessage | Exception],
    health: Health,
    limit: int,
) -> None:
    assert process.stdout is not None
    with out, contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        while health.garbage <= _MAX_GARBAGE:
            try:
                line = (await process.stdout.readuntil(b"\n")).strip()
            except asyncio.IncompleteReadError as rest:
                if rest.partial.strip():
                    health.misread(rest.partial)
                health.fail(await _ending(process))
                return
            except asyncio.LimitOverrunError:
                health.fail(f"it sent a message of more than {limit:,} bytes")
                return
            if not line:
                continue
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except (ValueError, RecursionError):
                health.misread(line)
                continue
            await out.send(SessionMessage(message))
        health.fail("what it writes to its standard output are no messages")


async def _ending(process: asyncio.subprocess.Process) -> str:
    try:
        async with asyncio.timeout(_FAREWELL):
            code = await process.wait()
    except TimeoutError:
        return "it closed its standard output"
    if code == NOT_STARTED:
        return "it could not be started"
    return f"it ended with signal {code - 128}" if code > 128 else f"it ended with exit code {code}"


async def _write(
    process: asyncio.subprocess.Process, messages: MemoryObjectReceiveStream[SessionMessage], health: Health
) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError, anyio.ClosedResourceError):
        async with messages:
            async for message in messages:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(line.encode() + b"\n")
                await process.stdin.drain()


async def _hear(process: asyncio.subprocess.Process, health: Health) -> None:
    assert process.stderr is not None
    while data := await process.stderr.read(_CHUNK):
        health.hear(data)


async def _end(process: asyncio.subprocess.Process, lifeline: int) -> None:
    """Close its input, wait a moment, then cut the lifeline: the guard ends whatever is left."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await process.wait()
    finally:
        os.close(lifeline)
    with anyio.move_on_after(_GUARDED):
        # Not `wait`: it also waits for pipes that a runaway may hold.
        while process.returncode is None:  # noqa: ASYNC110  (nothing else tells it)
            await asyncio.sleep(0.01)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    # Nothing public closes the pipes when somebody who left the group still holds them.
    inner = getattr(process, "_transport", None)
    if inner is not None:
        inner.close()


# ---- HTTP --------------------------------------------------------------------------------------------


class _Bounded(httpx2.AsyncByteStream):
    """A body that is not read beyond a limit."""

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int, health: Health) -> None:
        self._inner = inner
        self._limit = limit
        self._health = health

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._limit:
                reason = f"it sent an answer of more than {self._limit:,} bytes"
                self._health.fail(reason)
                raise httpx2.ReadError(reason)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


@asynccontextmanager
async def _http(
    server: McpServer, values: Mapping[str, str], health: Health
) -> AsyncIterator[TransportStreams]:
    """Speak with a server that is there already. Redirects are followed within its own origin only."""
    # Nothing packed is asked for, so that nothing can unpack to more than the limit.
    headers = {"Accept-Encoding": "identity"}
    if server.bearer:
        headers["Authorization"] = f"Bearer {variable(server, server.bearer, values)}"

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            health.fail("it packs its answers, though it was asked not to")
            raise httpx2.DecodingError("a packed answer", request=response.request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream, server.reply, health)

    client = httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(min(30.0, server.start), read=max(server.timeout, server.start)),
        trust_env=not _on_this_machine(urlsplit(server.url).hostname or ""),
        event_hooks={"response": [bound]},
    )
    async with (
        client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=server.reply) as streams,
    ):
        yield streams


def _on_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
