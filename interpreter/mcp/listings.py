"""Lists of servers' tools, kept between runs, so that programs are checked without starting any server."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genevolve.interpreter.mcp.settings import McpServer

SCHEMA = "genevolve.mcp/1"
_MAX_BYTES = 64 * 1024 * 1024


def read_listing(cache: Path, server: McpServer) -> tuple[Mapping[str, Any], ...] | None:
    """The tools that a server listed when it was last asked; None when that is not known for these settings."""
    try:
        path = _path(cache, server)
        if path.stat().st_size > _MAX_BYTES:
            return None
        data = json.loads(path.read_bytes())
        tools = data["tools"]
        if data["schema"] != SCHEMA or not isinstance(tools, list):
            return None
        return tuple(t for t in tools if isinstance(t, dict) and isinstance(t.get("name"), str))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_listing(cache: Path, server: McpServer, tools: tuple[Mapping[str, Any], ...]) -> None:
    """Keep a list. What cannot be written is asked for again."""
    path = _path(cache, server)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        text = json.dumps({"schema": SCHEMA, "server": server.name, "tools": list(tools)})
        if path.is_file() and path.read_text() == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        part.replace(path)
    except (OSError, ValueError, RecursionError):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _path(cache: Path, server: McpServer) -> Path:
    return cache / "mcp" / f"{server.digest}.json"
