"""From settings to tools: which tools of which servers programs may call, and why the others are not there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError, GenevolveError
from genevolve.interpreter.mcp.listings import read_listing, write_listing
from genevolve.interpreter.mcp.settings import McpServer
from genevolve.interpreter.mcp.typing import TypedTool, Untypable, local_name, typed_tool

if TYPE_CHECKING:
    from genevolve.grammar.types import Signature
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.mcp.client import Listing, McpHub
    from genevolve.interpreter.mcp.tool import McpTool
    from genevolve.interpreter.net.fetcher import Fetcher

log = logging.getLogger("genevolve.mcp")


@dataclass
class Offer:
    """What a server offers: its usable tools, and why others are not (`absent`, by the name that programs use)."""

    server: McpServer
    tools: list[TypedTool] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def offer(server: McpServer, definitions: Iterable[Mapping[str, Any]]) -> Offer:
    """The tools of a list that the language can express.

    Raises `ConfigurationError` when two have one name, or when a tool that the settings name is not there.
    """
    from genevolve.interpreter.backends.texts import clean_text

    result = Offer(server)
    owners: dict[str, str] = {}
    listed = []
    for definition in definitions:
        remote = str(definition["name"])
        listed.append(remote)
        if server.tools is not None and remote not in server.tools:
            continue
        shown = clean_text(remote, 80)
        try:
            typed = typed_tool(server, remote, definition)
        except Untypable as error:
            reason = f"the tool {shown!r} of the MCP server {server.name!r} cannot be used: {error}"
            result.absent[_expected(server, remote)] = reason
            continue
        name = typed.signature.name
        if name in owners:
            raise ConfigurationError(
                f"the MCP server {server.name!r} has two tools that programs would call {name!r} "
                f"({owners[name]!r} and {shown!r}); give one a name of its own: "
                f"[mcp.servers.{server.name}.names]"
            )
        owners[name] = shown
        result.tools.append(typed)
    unknown = [w for w in (*(server.tools or ()), *server.names, *server.returns) if w not in listed]
    if unknown:
        known = ", ".join(repr(clean_text(w, 60)) for w in listed[:20]) or "none"
        raise ConfigurationError(
            f"the MCP server {server.name!r} has no tool {unknown[0]!r}; its tools are: {known}"
        )
    return result


def _expected(server: McpServer, remote: str) -> str:
    """The name by which a program would call a tool that it cannot call."""
    try:
        return local_name(server, remote)
    except Untypable:
        return f"{server.name}_?"


def known_signatures(
    config: Config, taken: Iterable[str], *, ask: bool = False
) -> tuple[list[Signature], dict[str, str]]:
    """The signatures of all servers' tools, and why others are absent: as last listed, or as they are now with `ask`.

    Raises what `open_tools` raises.
    """
    if ask:
        served = open_tools(config, taken)
        served.close()
        return [tool.signature for tool in served.tools], dict(served.absent)
    offers, absent = [], {}
    for server in config.mcp.servers.values():
        definitions = read_listing(config.cache.location, server)
        if definitions is None:
            absent[f"{server.name}_*"] = _not_asked(server)
            absent |= dict.fromkeys(server.names.values(), _not_asked(server))
        else:
            offers.append(offer(server, definitions))
    for known in offers:
        absent |= known.absent
    return [t.signature for _, t in _distinct(offers, taken)], absent


def _not_asked(server: McpServer) -> str:
    return (
        f"the tools of the MCP server {server.name!r} are not known yet; 'genevolve doctor' asks it for them, and so "
        "does a run"
    )


def _distinct(offers: Iterable[Offer], taken: Iterable[str]) -> Iterator[tuple[McpServer, TypedTool]]:
    owners = dict.fromkeys(taken, "")
    for one in offers:
        for typed in one.tools:
            name = typed.signature.name
            if name in owners:
                other = f"a tool of the MCP server {owners[name]!r}" if owners[name] else "another tool"
                raise ConfigurationError(
                    f"the tool {typed.remote!r} of the MCP server {one.server.name!r} would be called {name!r}, "
                    f"as {other} is; give it a name of its own: [mcp.servers.{one.server.name}.names]"
                )
            owners[name] = one.server.name
            yield one.server, typed


class McpTools:
    """The tools of all configured servers, connected. Close it.

    Attributes:
        tools: what programs may call.
        absent: why others are not there, as `Environment.absent` has it.
    """

    def __init__(self, hub: McpHub, tools: list[McpTool], absent: Mapping[str, str]) -> None:
        self.tools = tools
        self.absent = absent
        self._hub = hub

    def close(self) -> None:
        """End the connections and the processes behind them."""
        self._hub.close()


def open_tools(config: Config, taken: Iterable[str]) -> McpTools:
    """Connect to all servers and list their tools.

    A server that does not answer, but did before, keeps its tools: calling one tries again and says what is wrong.

    Raises:
        ServiceError: a server that never listed its tools does not answer.
        ConfigurationError: a variable that a server needs is not set, or names collide.
    """
    from genevolve.interpreter.mcp.client import McpHub
    from genevolve.interpreter.mcp.tool import McpTool

    hub = McpHub(config.mcp.servers, config.secrets)
    try:
        offers, versions = [], {}
        for name, answer in hub.connect().items():
            server = config.mcp.servers[name]
            definitions, versions[name] = _definitions(config, server, answer)
            offers.append(offer(server, definitions))
        absent: dict[str, str] = {}
        for one in offers:
            absent |= one.absent
            for reason in one.absent.values():
                log.info("%s", reason)
        fetcher = _Once(config)
        tools = [
            McpTool(server, typed, hub, fetcher, versions[server.name])
            for server, typed in _distinct(offers, taken)
        ]
        return McpTools(hub, tools, absent)
    except BaseException:
        hub.close()
        raise


def _definitions(
    config: Config, server: McpServer, answer: Listing | GenevolveError
) -> tuple[tuple[Mapping[str, Any], ...], str]:
    if not isinstance(answer, GenevolveError):
        write_listing(config.cache.location, server, answer.tools)
        return answer.tools, answer.version
    kept = read_listing(config.cache.location, server)
    if kept is None or isinstance(answer, ConfigurationError):
        raise answer
    log.warning("%s; its tools stay as they were last listed", answer)
    return kept, ""


class _Once:
    """The fetcher, opened by the first picture."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fetcher: Fetcher | None = None

    def __call__(self) -> Fetcher:
        from genevolve.interpreter.backends.catalog import open_fetcher

        if self._fetcher is None:
            self._fetcher = open_fetcher(self._config)
        return self._fetcher
