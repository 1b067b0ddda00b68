"""What a search backend must offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images


@runtime_checkable
class SearchBackend(Protocol):
    """Answers searches for texts and for pictures. One backend may serve several event loops.

    Finding nothing is an answer; not being able to answer is a `ServiceError`. Never the one for the other.
    """

    @property
    def name(self) -> str:
        """What it is called in settings and messages."""

    @property
    def version(self) -> str | None:
        """Changes whenever the same query may have another answer; None when answers are not to be cached."""

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """The `top_k` best passages for all queries together, best first. Raises `ServiceError`."""

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """The `top_k` best pictures, on disk, with ids from `IMG_001`, best first. Raises `ServiceError`."""
