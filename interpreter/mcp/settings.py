"""`[mcp.servers.NAME]`: which MCP servers there are, and what of them programs may use.

Only the shape is checked here, and nothing is started: `genevolve check` reads these settings, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from genevolve.grammar.strings import RESERVED
from genevolve.grammar.suggest import closest, did_you_mean

MAX_SERVERS = 32
_KEYS = (
    *("command", "url", "env", "bearer", "folder", "tools", "names", "returns"),
    *("timeout", "start", "reply", "price", "cache"),
)
RETURNS = ("text", "evidence", "images", "image")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_EMPTY: Mapping[str, str] = MappingProxyType({})


class McpServer(NamedTuple):
    """One server.

    Attributes:
        name: as in the settings; its tools are called NAME_tool.
        command: the program and its arguments, for a server that speaks over its standard streams.
        url: the address of a server that speaks over HTTP; empty with a command.
        env: names of environment variables that the command gets, besides a few harmless ones.
        bearer: name of the variable whose value is sent as `Authorization: Bearer …`; empty for none.
        folder: where the command runs.
        tools: the server's tools that programs may use; None for all.
        names: names of our own for its tools.
        returns: what its tools return, where their schemas do not tell: one of `RETURNS`.
        timeout: seconds that one call may take.
        start: seconds from starting to the list of its tools.
        reply: bytes of one message of the server.
        price: money per call.
        cache: whether equal calls are answered from the cache.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: tuple[str, ...] = ()
    bearer: str = ""
    folder: Path = Path()
    tools: tuple[str, ...] | None = None
    names: Mapping[str, str] = _EMPTY
    returns: Mapping[str, str] = _EMPTY
    timeout: float = 60.0
    start: float = 20.0
    reply: int = 32 * 1024 * 1024
    price: float = 0.0
    cache: bool = False

    @property
    def digest(self) -> str:
        """Changes with everything that its list of tools depends on."""
        import hashlib
        import json

        parts = [
            self.name, self.command, self.url, self.env, self.bearer, str(self.folder), self.tools,
            dict(self.names), dict(self.returns),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class McpSettings(NamedTuple):
    """`[mcp]`: the servers by name."""

    servers: Mapping[str, McpServer] = MappingProxyType({})


def parse_servers(value: object, folder: Path) -> Mapping[str, McpServer]:
    """The servers of a table; relative folders start from `folder`. Raises `ValueError` with what is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError('expected tables such as [mcp.servers.docs] with command = ["docs-server"]')
    if len(value) > MAX_SERVERS:
        raise ValueError(f"at most {MAX_SERVERS} servers are possible")
    servers = {}
    for name, table in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"{name!r} cannot begin the names of tools; use a letter, then letters, digits and _"
            )
        if not isinstance(table, Mapping):
            raise ValueError(f"{name}: expected a table, written [mcp.servers.{name}]")
        try:
            servers[name] = _server(name, table, folder)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return MappingProxyType(servers)


def is_name(text: str) -> bool:
    """Whether a program can call something by this name."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", text) is not None and text not in RESERVED


def _server(name: str, table: Mapping[object, object], folder: Path) -> McpServer:
    for key in table:
        if key not in _KEYS:
            raise ValueError(f"unknown setting {key}{did_you_mean(closest(str(key), _KEYS))}")
    command, url = _texts(table, "command") or (), _text(table, "url")
    if bool(command) is bool(url):
        raise ValueError("give either command or url")
    if url and not re.fullmatch(r"https?://[^/@\s?#]+([/?#]\S*)?", url):
        raise ValueError("url: expected http://host/path or https://host/path, without a password")
    bearer = _text(table, "bearer")
    env = _texts(table, "env") or ()
    for variable in (*env, *([bearer] if bearer else ())):
        if not _VARIABLE.fullmatch(variable):
            raise ValueError("env and bearer take names of environment variables, never their values")
    names, returns = _table(table, "names"), _table(table, "returns")
    for given in names.values():
        if not is_name(given):
            raise ValueError(f"names: a program cannot call {given!r}")
    for kind in returns.values():
        if kind not in RETURNS:
            raise ValueError(f"returns: expected one of {', '.join(RETURNS)}")
    cache = table.get("cache", False)
    if not isinstance(cache, bool):
        raise ValueError("cache: expected true or false")
    return McpServer(
        name, command, url, env, bearer,
        folder=folder / Path(_text(table, "folder") or ".").expanduser(),
        tools=_texts(table, "tools"),
        names=names,
        returns=returns,
        timeout=_number(table, "timeout", 60.0, 0.01),
        start=_number(table, "start", 20.0, 0.01),
        reply=int(_number(table, "reply", 32 * 1024 * 1024, 1024)),
        price=_number(table, "price", 0.0, 0.0),
        cache=cache,
    )  # fmt: skip


def _text(table: Mapping[object, object], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or "\0" in value or (key in table and not value.strip()):
        raise ValueError(f"{key}: expected a text that is not empty")
    return value.strip()


def _texts(table: Mapping[object, object], key: str) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list | tuple) or (not value and key == "command"):
        raise ValueError(f"{key}: expected a list of texts")
    if not all(isinstance(v, str) and "\0" not in v for v in value) or (value and not value[0]):
        raise ValueError(f"{key}: expected a list of texts")
    return tuple(str(v) for v in value)


def _table(table: Mapping[object, object], key: str) -> Mapping[str, str]:
    value = table.get(key, {})
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError(f'{key}: expected a table such as {{ tool = "…" }}')
    return MappingProxyType({str(k): str(v) for k, v in value.items()})


def _number(table: Mapping[object, object], key: str, default: float, least: float) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e9:
        raise ValueError(f"{key}: expected a number from {least:g}")
    return float(value)
