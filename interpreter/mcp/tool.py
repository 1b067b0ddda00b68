"""A tool of an MCP server, as programs call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genevolve.grammar.errors import OperatorError, ServiceError
from genevolve.grammar.types import Signature, Type
from genevolve.interpreter.mcp.client import McpHub
from genevolve.interpreter.mcp.settings import McpServer
from genevolve.interpreter.mcp.typing import TypedTool
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Value

if TYPE_CHECKING:
    from genevolve.interpreter.net.fetcher import Fetcher


class McpTool:
    """Calls its server; whatever goes wrong there is a `ServiceError` that names the server.

    Args:
        server: the settings of the server.
        typed: the tool as programs see it.
        hub: holds the connection.
        fetcher: opens the store of pictures and downloads linked ones; called when there is a picture.
        listed: the version that the server tells of itself.
    """

    def __init__(
        self, server: McpServer, typed: TypedTool, hub: McpHub, fetcher: Callable[[], Fetcher], listed: str
    ) -> None:
        self.server = server
        self.typed = typed
        self.signature: Signature = typed.signature
        self._hub = hub
        self._fetcher = fetcher
        self._listed = listed

    @property
    def version(self) -> str | None:
        """None unless the settings allow answers from the cache: what a server answers may change any time."""
        return f"mcp-1:{self.server.digest}:{self._listed}" if self.server.cache else None

    async def __call__(self, context: CallContext, /, *args: str, **named: Value) -> Value:
        """The tool's answer as text, evidence or pictures. Raises `ServiceError`."""
        arguments = self._arguments(args, named)
        result = await self._hub.call(self.server.name, self.typed.remote, arguments, context.remaining())
        from genevolve.interpreter.mcp import results

        try:
            if (reason := results.failure(result)) is not None:
                raise ServiceError(f"it failed: {reason}")
            match self.signature.returns:
                case Type.EVIDENCE:
                    return results.as_evidence(result)
                case Type.IMAGES | Type.IMAGE:
                    images = await results.as_images(result, self._fetcher(), context, self.server.name)
                    if self.signature.returns is Type.IMAGES:
                        return images
                    if not images.items:
                        raise ServiceError("it answered without a picture")
                    return images.items[0]
                case _:
                    return results.as_text(result)
        except OperatorError as error:
            raise ServiceError(
                f"the MCP server {self.server.name!r}, tool {self.typed.remote!r}: {error}"
            ) from error

    def _arguments(self, args: tuple[str, ...], named: dict[str, Value]) -> dict[str, object]:
        """The call's arguments under the server's names; what a program leaves out is left to the server."""
        parameters = self.signature.parameters
        given: dict[str, object] = dict(named)
        if self.signature.variadic:
            given[parameters[0].name] = list(args)
        else:
            given |= {p.name: a for p, a in zip(parameters, args, strict=False)}
        return {self.typed.keys[name]: value for name, value in given.items()}
