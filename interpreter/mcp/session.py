"""A client session of the SDK that leaves the judging of results to us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mcp import ClientSession
from mcp_types import CallToolResult, Implementation

from genevolve.interpreter.run import version

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage


class _Session(ClientSession):
    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Nothing: what we take from a result is checked as it is taken.

        The SDK would match a stranger's texts against a stranger's regular expressions, which may take for ever.
        """


@asynccontextmanager
async def open_session(
    incoming: ReadStream[SessionMessage | Exception], outgoing: WriteStream[SessionMessage]
) -> AsyncIterator[ClientSession]:
    """A session over a transport's streams; not greeted yet."""
    about = Implementation(name="genevolve", version=version())
    async with _Session(incoming, outgoing, client_info=about) as session:
        yield session
