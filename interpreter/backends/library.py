"""The library as a backend, for use beside others; by itself it needs no backend."""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.interpreter.library import Library
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images
from genevolve.interpreter.workers import Workers


class LibraryBackend:
    """The user's own documents and pictures."""

    name = "library"

    def __init__(self, library: Library) -> None:
        self.library = library

    @property
    def version(self) -> str:
        """Changes with the files and with the embedding model."""
        return f"library-1:{self.library.version}"

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """Passages of the documents."""
        return await Workers().call(
            lambda: self.library.search(queries, top_k, check=context.check), self.name
        )

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """Pictures by their captions."""
        return await Workers().call(
            lambda: self.library.search_images(query, top_k, check=context.check), self.name
        )
