"""`image_search("…", top_k: 5) -> images`: pictures of the library by their captions."""

from __future__ import annotations

from genevolve.grammar.builtins import IMAGE_SEARCH
from genevolve.grammar.types import Signature
from genevolve.interpreter.library import Library
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Images


class ImageSearchTool:
    """Searches the captions and titles of a library's pictures. Results are IMG_001, IMG_002 … in their order."""

    signature: Signature = IMAGE_SEARCH

    def __init__(self, library: Library) -> None:
        self.library = library

    @property
    def version(self) -> str:
        """Changes with the files of the library and with the embedding model."""
        return f"library-1:{self.library.version}"

    def __call__(self, context: CallContext, query: str, /, *, top_k: int = 5) -> Images:
        """The pictures that fit, best first; empty when none does."""
        context.check()
        return self.library.search_images(query, top_k, check=context.check)
