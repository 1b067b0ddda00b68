"""What `genevolve doctor` asks over the network or in other processes: searches, renderers, MCP servers, their keys.

Only what the settings name is asked, once, with short time limits.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from genevolve.cli.doctor_line import Line
from genevolve.grammar.errors import ConfigurationError, GenevolveError, ServiceError, StorageError

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.mcp.client import Listing
    from genevolve.interpreter.mcp.settings import McpServer
    from genevolve.interpreter.protocols import Renderer

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a service may take to answer."""

_SHOWN_TOOLS = 12
_QUESTION = "red balloon"


def keys(config: Config) -> Iterator[Line]:
    """Which keys are there, by name; whether those that are needed work is told where they are used."""
    names = ", ".join(sorted(config.secrets)) or "none"
    yield Line("ok", "keys", f"{names} (names only)")


def searches(config: Config) -> Iterator[Line]:
    """Ask each configured backend of the searches a question."""
    search = config.search
    if search.replay is not None:
        yield from _replay(config)
        return
    for name in dict.fromkeys((*search.backends, *search.image_backends)):
        if name != "library":
            yield from _backend(config, name)


def _replay(config: Config) -> Iterator[Line]:
    from genevolve.interpreter.backends.bundle import Bundle

    assert config.search.replay is not None
    Bundle.open(config.search.replay)
    yield Line("ok", "search", f"every answer comes from {config.search.replay}")


def _backend(config: Config, name: str) -> Iterator[Line]:
    from genevolve.interpreter.backends.catalog import open_backends
    from genevolve.interpreter.protocols import CallContext

    subject = f"search {name}"
    alone = config.search._replace(backends=(name,), image_backends=(), record=None, replay=None)
    try:
        backend, _ = open_backends(replace(config, search=alone), lambda: None)
        began = time.monotonic()
        found = _within(backend.search([_QUESTION], 1, CallContext(time.monotonic() + PATIENCE)))
    except ConfigurationError as error:
        yield Line("fail", subject, str(error), "correct [search] or set the key that it names")
        return
    except StorageError as error:
        yield Line("fail", subject, str(error), "make the folder writable, or set [cache] folder")
        return
    except GenevolveError as error:
        advice = "check the key, the address and the network, or take it out of [search] backends"
        yield Line("fail", subject, str(error), advice)
        return
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    if found.snippets:
        yield Line("ok", subject, f"answered in {took}")
    else:
        advice = "try again; if it stays so, the service may be limiting you"
        yield Line("note", subject, f"answered in {took}, and found nothing for {_QUESTION!r}", advice)


def renderer(config: Config, *, fast: bool) -> Iterator[Line]:
    """Open the renderer; ask the services behind it, or look at the pipeline."""
    from genevolve.interpreter.renderers.catalog import open_renderer

    spec = config.render.renderer
    try:
        opened = open_renderer(spec, config)
    except GenevolveError as error:
        yield Line("fail", "renderer", str(error), "correct [render] renderer, or set the key that it names")
        return
    examine = getattr(opened, "examine", None)
    if examine is not None:
        yield from _examined(spec, examine)
    elif spec.startswith("diffusers:"):
        yield from _pipeline(spec, opened, fast=fast)
    else:
        yield Line("ok", "renderer", f"{spec} ({opened.version})")


def _examined(spec: str, examine: Callable[[], Awaitable[dict[str, str | None]]]) -> Iterator[Line]:
    async def ask() -> dict[str, str | None]:
        return await examine()

    try:
        servers = _within(ask())
    except ServiceError as error:
        yield Line("fail", "renderer", f"{spec}: {error}", "start the service, or correct [render] renderer")
        return
    well = [url for url, problem in servers.items() if problem is None]
    for url, problem in servers.items():
        if problem is None:
            yield Line("ok", "renderer", f"{spec}: {url} is well")
        elif well:
            yield Line(
                "note", "renderer", f"{url}: {problem}", "the other servers draw meanwhile; repair this one"
            )
        else:
            advice = "start the service, check its address and the key, or correct [render] renderer"
            yield Line("fail", "renderer", f"{url}: {problem}", advice)


def _pipeline(spec: str, opened: Renderer, *, fast: bool) -> Iterator[Line]:
    if fast:
        yield Line("ok", "renderer", f"{spec} (not looked at: --fast)")
        return
    from genevolve.interpreter.renderers.diffusers import DiffusersRenderer

    assert isinstance(opened, DiffusersRenderer)
    can = opened.capabilities
    for problem in can.problems:
        yield Line("fail", "renderer", f"{spec}: {can.pipeline}: {problem}", "choose another pipeline")
    if not can.problems:
        yield Line("ok", "renderer", f"{spec}: {can.pipeline} takes {can.takes}")


def mcp_servers(config: Config) -> Iterator[Line]:
    """Connect to each MCP server, list its tools, and keep the list for `genevolve check`."""
    if not config.mcp.servers:
        return
    from genevolve.interpreter.mcp.client import McpHub

    hub = McpHub(config.mcp.servers, config.secrets)
    try:
        answers = hub.connect()
    finally:
        hub.close()
    for name, answer in answers.items():
        yield from _server(config, config.mcp.servers[name], answer)
    yield from _collisions(config)


def _server(config: Config, server: McpServer, answer: Listing | GenevolveError) -> Iterator[Line]:
    from genevolve.interpreter.mcp.catalog import offer
    from genevolve.interpreter.mcp.listings import write_listing

    subject = f"mcp {server.name}"
    if isinstance(answer, GenevolveError):
        what = "url" if server.url else "command"
        advice = f"check [mcp.servers.{server.name}] {what}, start it by hand, or take it out"
        yield Line("fail", subject, str(answer), advice)
        return
    try:
        offered = offer(server, answer.tools)
    except ConfigurationError as error:
        yield Line("fail", subject, str(error), f"correct [mcp.servers.{server.name}]")
        return
    write_listing(config.cache.location, server, answer.tools)
    names = [t.signature.name for t in offered.tools]
    more = f" and {len(names) - _SHOWN_TOOLS} more" if len(names) > _SHOWN_TOOLS else ""
    listed = f"{', '.join(names[:_SHOWN_TOOLS])}{more}" or "none that programs can call"
    count = f"{len(names)} tool{'s' if len(names) != 1 else ''}"
    status: Line = Line("ok", subject, f"answered, {count}: {listed}")
    yield status if names else replace(status, status="note", advice="see the reasons below, or take it out")
    for reason in offered.absent.values():
        advice = "programs cannot call it; leave it out with [mcp.servers." + server.name + "] tools"
        yield Line("note", subject, reason, advice)
    for tool in offered.tools:
        for parameter, why in tool.left_out.items():
            found = f"{tool.signature.name}: the parameter {parameter!r} is left out: {why}"
            yield Line("note", subject, found, "programs call the tool without it")


def _collisions(config: Config) -> Iterator[Line]:
    from genevolve.grammar.builtins import PREDICATES, TOOLS
    from genevolve.interpreter.mcp.catalog import known_signatures

    try:
        known_signatures(config, [s.name for s in (*PREDICATES, *TOOLS)])
    except ConfigurationError as error:
        if "has two tools" not in str(error) and "has no tool" not in str(error):  # told with its server
            yield Line("fail", "mcp", str(error), "give one of them a name of its own under names")


def _within(work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """The result of a question, or `ServiceError` when it takes too long."""
    import asyncio

    from genevolve.interpreter.blocking import blocking

    async def ask() -> T:
        try:
            async with asyncio.timeout(PATIENCE + 2):
                return await work
        except TimeoutError:
            raise ServiceError(f"no answer within {PATIENCE:g} seconds") from None

    return blocking(ask())
