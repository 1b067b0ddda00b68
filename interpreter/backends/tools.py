"""The tools `search` and `image_search` over any backend."""

from __future__ import annotations

from genevolve.grammar.builtins import IMAGE_SEARCH, SEARCH
from genevolve.grammar.types import Signature
from genevolve.interpreter.backends.protocol import SearchBackend
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images


class BackendSearchTool:
    """`search("…", top_k: 5) -> evidence`, answered by a backend."""

    signature: Signature = SEARCH

    def __init__(self, backend: SearchBackend) -> None:
        self.backend = backend

    @property
    def version(self) -> str | None:
        """The backend's."""
        return self.backend.version

    async def __call__(self, context: CallContext, /, *queries: str, top_k: int = 5) -> Evidence:
        """The passages that answer, best first; empty when none does. Raises `ServiceError`."""
        return await self.backend.search(queries, top_k, context)


class BackendImageSearchTool:
    """`image_search("…", top_k: 5) -> images`, answered by a backend."""

    signature: Signature = IMAGE_SEARCH

    def __init__(self, backend: SearchBackend) -> None:
        self.backend = backend

    @property
    def version(self) -> str | None:
        """The backend's."""
        return self.backend.version

    async def __call__(self, context: CallContext, query: str, /, *, top_k: int = 5) -> Images:
        """The pictures that fit, best first; empty when none does. Raises `ServiceError`."""
        return await self.backend.image_search(query, top_k, context)
