"""`search("…", top_k: 5) -> evidence`: passages of the library's documents."""

from __future__ import annotations

from genevolve.grammar.builtins import SEARCH
from genevolve.grammar.types import Signature
from genevolve.interpreter.library import Library
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence


class SearchTool:
    """Searches the documents of a library. Several queries are searched for together, their rankings fused."""

    signature: Signature = SEARCH

    def __init__(self, library: Library) -> None:
        self.library = library

    @property
    def version(self) -> str:
        """Changes with the files of the library and with the embedding model."""
        return f"library-1:{self.library.version}"

    def __call__(self, context: CallContext, /, *queries: str, top_k: int = 5) -> Evidence:
        """The passages that answer, best first; empty when none does."""
        context.check()
        return self.library.search(queries, top_k, check=context.check)
