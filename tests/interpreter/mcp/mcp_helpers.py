"""What the tests of the MCP client share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from genevolve.interpreter.config import Config
from genevolve.interpreter.mcp.catalog import McpTools
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Value

SERVERS = Path(__file__).parent / "mcp_servers.py"

Configure = Callable[..., Config]


class Docs:
    """The connected tools, called from plain code."""

    def __init__(self, tools: McpTools) -> None:
        self.served = tools
        self.tools = {t.signature.name.removeprefix("docs_"): t for t in tools.tools}

    def __call__(self, name: str, *args: str, seconds: float = 30.0, **named: Value) -> Value:
        context = CallContext(time.monotonic() + seconds)

        async def call() -> Value:
            return await self.tools[name](context, *args, **named)

        return asyncio.run(call())


def wait_for_port(port: int, seconds: float = 30.0) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on {port}")


def wait_for_file(path: Path, seconds: float = 30.0) -> None:
    """Until it is there and holds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and path.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{path.name} does not appear")


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within some seconds (a zombie that nobody reaps has ended)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False
