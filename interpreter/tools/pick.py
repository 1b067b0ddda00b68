"""`pick(images, "…") -> image`: the candidate whose caption fits best."""

from __future__ import annotations

from genevolve.grammar.builtins import PICK
from genevolve.grammar.errors import AuthorError
from genevolve.grammar.types import Signature
from genevolve.interpreter.library.embedder import Embedder
from genevolve.interpreter.library.ranking import relevance
from genevolve.interpreter.library.store import spoken
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import ImageHandle, Images


class PickTool:
    """Chooses by words and by meaning, as searches do. Among equals the earlier candidate wins."""

    signature: Signature = PICK

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder

    @property
    def version(self) -> str:
        """The answer depends on the arguments and on the embedding model only."""
        return f"pick-1:{self.embedder.name if self.embedder is not None else 'words'}"

    def __call__(self, context: CallContext, images: Images, criterion: str, /) -> ImageHandle:
        """The best candidate; the first one when no caption says anything about the criterion.

        Raises `AuthorError` (GP525) when there are no candidates.
        """
        context.check()
        if not images.items:
            raise AuthorError(
                "there are no candidates to pick from: the search found no pictures", code="GP525"
            )
        fits = relevance(criterion, [spoken(i.title, "", i.caption) for i in images.items], self.embedder)
        best = max(range(len(fits)), key=lambda i: (fits[i], -i))
        return images.items[best]
