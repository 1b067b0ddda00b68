"""Real servers for the tests of the MCP client."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mcp_helpers import SERVERS, Configure, Docs, wait_for_port

from genevolve.interpreter.config import Config, load_config
from genevolve.interpreter.mcp.catalog import McpTools, open_tools


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Settings with one server `docs`; keyword arguments replace its settings."""

    def made(kind: str = "stdio", **settings: object) -> Config:
        server: dict[str, object] = {
            "command": [sys.executable, str(SERVERS), kind, str(tmp_path / "pid")],
            "start": 20,
        }
        server |= settings
        if "url" in settings:
            del server["command"]
        flags = {"cache.folder": tmp_path / "cache", "library.embedder": "none", "runs.record": False}
        return load_config(
            start=tmp_path,
            environment={"DOCS_API_KEY": "very-secret-value-1"},
            user_file=tmp_path / "none",
            flags={**flags, "mcp.servers": {"docs": server}},
        )

    return made


@pytest.fixture
def connect(configure: Configure) -> Iterator[Callable[..., Docs]]:
    opened: list[McpTools] = []

    def made(kind: str = "stdio", **settings: object) -> Docs:
        tools = open_tools(configure(kind, **settings), [])
        opened.append(tools)
        return Docs(tools)

    yield made
    for tools in opened:
        tools.close()


@pytest.fixture
def http_server() -> Iterator[str]:
    """The address of a server over HTTP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, str(SERVERS), "http", str(port)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()
