"""Connections to the configured servers: one thread with an event loop of its own holds them all.

Runs come and go with their event loops; the connections stay until `close()`. A connection that broke is opened again
by the next call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from genevolve.grammar.errors import GenevolveError, ServiceError
from genevolve.interpreter.mcp.settings import McpServer
from genevolve.interpreter.redact import Redactor

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp_types import CallToolResult

    from genevolve.interpreter.mcp.health import Health

T = TypeVar("T")

MAX_TOOLS = 500
_MAX_PAGES = 50
_CLOSING = 4.0
_QUESTION = 5.0
"""Seconds in which a server answers what it is; then it is greeted the older way."""
_MOMENT = 0.7
"""Seconds in which the transport finds out why a connection ended."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server says of itself: its name and version, and its tools as it defines them."""

    server: str
    version: str
    tools: tuple[Mapping[str, Any], ...]


class McpHub:
    """All connections of a machine.

    Args:
        servers: by name; nothing is started before `connect` or `call`.
        values: variables from `.env` and the environment, for servers that need some.
    """

    def __init__(self, servers: Mapping[str, McpServer], values: Mapping[str, str]) -> None:
        self._connections = {name: _Connection(server, values) for name, server in servers.items()}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._closed = False

    def connect(self) -> dict[str, Listing | GenevolveError]:
        """Ask all servers at the same time for their tools; what failed stands in the place of the list."""

        async def one(connection: _Connection) -> Listing | GenevolveError:
            try:
                return await connection.listing()
            except GenevolveError as error:
                return error

        async def all_of_them() -> dict[str, Listing | GenevolveError]:
            found = await asyncio.gather(*map(one, self._connections.values()))
            return dict(zip(self._connections, found, strict=True))

        return self._submit(all_of_them()).result()

    async def call(
        self, server: str, tool: str, arguments: Mapping[str, Any], seconds: float
    ) -> CallToolResult:
        """Call a tool, from any event loop. Raises `ServiceError` naming the server."""
        work = self._submit(self._connections[server].call(tool, arguments, seconds))
        return await asyncio.wrap_future(work)

    def close(self) -> None:
        """End all connections and the processes behind them; bounded in time, and fine to call twice."""
        with self._guard:
            loop, thread = self._loop, self._thread
            self._closed, self._loop, self._thread = True, None, None
        if loop is None or thread is None:
            return

        async def end() -> None:
            await asyncio.gather(*(c.close() for c in self._connections.values()), return_exceptions=True)
            loop.stop()

        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(end(), loop)
        thread.join(_CLOSING)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._guard:
            if self._closed:
                work.close()
                raise ServiceError("the connections to MCP servers are closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_turn, args=(self._loop,), name="genevolve-mcp", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_MOMENT))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


class _Connection:
    """One server. All of it but the constructor runs on the hub's loop."""

    def __init__(self, server: McpServer, values: Mapping[str, str]) -> None:
        self.server = server
        self._values = values
        passed = (os.environ.get(name, "") for name in (*server.env, server.bearer))
        self._redactor = Redactor([*values.values(), *passed])
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[tuple[ClientSession, Listing]] | None = None
        self._stop = asyncio.Event()
        self._health: Health | None = None

    async def listing(self) -> Listing:
        """The server's tools. Raises `ServiceError`, or `ConfigurationError` for a variable that is not set."""
        return (await self._session())[1]

    async def call(self, tool: str, arguments: Mapping[str, Any], seconds: float) -> CallToolResult:
        session, _ = await self._session()
        health = self._health
        assert health is not None
        seconds = min(seconds, self.server.timeout)
        work = asyncio.ensure_future(session.call_tool(tool, dict(arguments), allow_input_required=False))
        failed = asyncio.ensure_future(health.failed.wait())
        try:
            await asyncio.wait({work, failed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                if failed.done():
                    raise self._error(health.told(health.reason))
                raise self._error(health.told(f"{tool!r} did not answer within {seconds:.3g} seconds"))
            return await work
        except GenevolveError:
            raise
        except Exception as error:  # the SDK raises its own, RuntimeErrors and those of pydantic and anyio
            await self._settled(health)
            if health.failed.is_set():
                raise self._error(health.told(health.reason)) from error
            raise self._error(f"{tool!r} failed: {health.words(_words(error))}") from error
        finally:
            for task in (work, failed):
                task.cancel()
            await asyncio.wait({work, failed}, timeout=_MOMENT)

    async def close(self) -> None:
        self._stop.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_CLOSING - 0.5)

    # ---- opening -------------------------------------------------------------------------------------

    async def _session(self) -> tuple[ClientSession, Listing]:
        broken = self._health is not None and self._health.failed.is_set()
        if self._task is None or self._task.done() or broken:
            self._stop.set()
            if self._task is not None:
                await asyncio.wait({self._task}, timeout=_CLOSING)
            # Another call may have opened it while this one waited.
            if self._task is None or self._task.done():
                self._open()
        assert self._ready is not None
        return await asyncio.shield(self._ready)

    def _open(self) -> None:
        from genevolve.interpreter.mcp.health import Health

        self._stop = asyncio.Event()
        self._health = Health(self._redactor)
        self._ready = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(_seen)
        self._task = asyncio.create_task(self._live(self._ready, self._stop, self._health))

    async def _live(
        self,
        ready: asyncio.Future[tuple[ClientSession, Listing]],
        stop: asyncio.Event,
        health: Health,
    ) -> None:
        """Hold the connection from its opening to its end; says through `ready` how the opening went."""
        from genevolve.interpreter.mcp.session import open_session
        from genevolve.interpreter.mcp.transport import transport

        try:
            async with (
                transport(self.server, self._values, health) as (incoming, outgoing),
                open_session(incoming, outgoing) as session,
            ):
                try:
                    listing = await self._introduced(session, stop, health)
                except TimeoutError:
                    health.fail(f"it did not tell its tools within {self.server.start:.3g} seconds")
                    raise
                ready.set_result((session, listing))
                await _first(stop, health.failed)
        except GenevolveError as error:
            _settle(ready, error if not isinstance(error, ServiceError) else self._error(str(error)))
        except Exception as error:  # the SDK raises its own, groups of them, and those of its libraries
            await self._settled(health)
            health.fail(f"it cannot be talked to: {health.words(_words(error))}")
            _settle(ready, self._error(health.told(health.reason), retryable=True))
        finally:
            health.fail("the connection was closed")
            _settle(ready, self._error(health.told(health.reason)))

    async def _introduced(self, session: ClientSession, stop: asyncio.Event, health: Health) -> Listing:
        """The greeting and the list of tools, given up when the connection fails, is closed or takes too long."""
        work = asyncio.ensure_future(_introduce(session, min(_QUESTION, self.server.start / 3)))
        over = asyncio.ensure_future(_first(stop, health.failed))
        try:
            done, _ = await asyncio.wait(
                {work, over}, timeout=self.server.start, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise TimeoutError
            if work not in done:
                health.fail("the connection was closed")  # unless it failed before
                raise ServiceError(health.told(health.reason))
            try:
                return await work
            except GenevolveError:
                raise
            except Exception as error:
                await self._settled(health)
                if health.failed.is_set():
                    raise ServiceError(health.told(health.reason)) from error
                raise
        finally:
            for task in (work, over):
                task.cancel()
            await asyncio.wait({work, over}, timeout=_MOMENT)

    async def _settled(self, health: Health) -> None:
        """Wait a moment for the transport's own word on why a connection ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT if not self.server.url else 0.05):
                await health.failed.wait()

    def _error(self, reason: str, *, retryable: bool = False) -> ServiceError:
        return ServiceError(
            f"the MCP server {self.server.name!r}: {self._redactor.text(reason)}", retryable=retryable
        )


async def _introduce(session: ClientSession, patience: float) -> Listing:
    from mcp import MCPError
    from mcp_types import PaginatedRequestParams

    try:
        # Newer servers are asked what they are; older ones do not know the question and are greeted. Some of these
        # say nothing at all to what they do not know.
        async with asyncio.timeout(patience):
            await session.discover()
    except (MCPError, TimeoutError):
        await session.initialize()
    tools: list[Mapping[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        tools += [_definition(t.name, t.description, t.input_schema, t.output_schema) for t in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            break
        if len(tools) > MAX_TOOLS:
            raise ServiceError(f"it lists more than {MAX_TOOLS} tools")
    else:
        raise ServiceError("its list of tools does not end")
    about = session.server_info
    return Listing(about.name if about else "", about.version if about else "", tuple(tools[: MAX_TOOLS + 1]))


def _definition(
    name: str, description: str | None, given: Mapping[str, Any], gives: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    return {
        "name": name,
        "description": (description or "")[:4000],
        "inputSchema": given,
        **({"outputSchema": gives} if gives else {}),
    }


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _settle(ready: asyncio.Future[Any], error: GenevolveError) -> None:
    if not ready.done():
        ready.set_exception(error)


def _seen(future: asyncio.Future[Any]) -> None:
    """Nobody may be left to ask for the error; then it is no warning at the end either."""
    if not future.cancelled():
        future.exception()


def _words(error: BaseException) -> str:
    """What an error says; of a group, its first."""
    seen: Sequence[BaseException] = [error]
    while isinstance(seen[0], BaseExceptionGroup):
        seen = seen[0].exceptions
    said = str(seen[0]).strip()
    return said or type(seen[0]).__name__
