"""Orders texts by how well they answer queries: by words (BM25), by meaning (cosine), both ranks fused.

What passes is decided per text and query, before ranks are fused, so that nothing is returned only because nothing
better exists:
- by words: the words of the query that the text contains carry at least `COVERAGE` of the query's weight, where the
  weight of a word is its rarity (inverse document frequency; a word that occurs nowhere weighs most);
- by meaning: the cosine lies at least `DEVIATIONS` standard deviations above the mean of the query's cosines to
  sentences that have nothing to do with it (`embedder.BACKGROUND`). Two dozen sentences tell a deviation only roughly,
  so the mean of the query's deviation and of the model's (between these sentences) is taken. The measure is the
  model's own and needs no setting per model.

Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): a text's score is the sum of 1 / (60 + rank) over the
rankings that it passes in. Equal scores keep the order of the texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.interpreter.library.embedder import BACKGROUND, Embedder
from genevolve.interpreter.library.text import terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Vectors = NDArray[np.float32]

COVERAGE = 0.34
DEVIATIONS = 4.0
_PRIOR = 50
"""Texts without any of the words that rarity is reckoned with besides: a library of three files tells little of it."""
_DEPTH = 100
_RRF = 60
_DIGITS = 4
"""Cosines are rounded to so many digits: batches of other sizes change the last ones."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A text that answers, by its position; `score` only orders."""

    index: int
    score: float


class WordIndex:
    """BM25 over texts, and how much of a query each text covers."""

    def __init__(self, bm25: Any, size: int) -> None:
        self._bm25 = bm25
        self._size = size

    @classmethod
    def build(cls, texts: Sequence[str]) -> WordIndex:
        """Index texts by their `terms`."""
        import bm25s

        corpus = [terms(text) for text in texts]
        if not any(corpus):
            return cls(None, len(corpus))
        bm25 = bm25s.BM25()
        bm25.index(corpus, show_progress=False)
        return cls(bm25, len(corpus))

    def save(self, folder: Path) -> None:
        """Write the index into a new folder."""
        folder.mkdir(parents=True)
        if self._bm25 is not None:
            self._bm25.save(str(folder), show_progress=False)

    @classmethod
    def load(cls, folder: Path, size: int) -> WordIndex:
        """Read an index of `size` texts back. Raises `OSError`, `ValueError` or `KeyError` when it is not whole."""
        import bm25s

        if not folder.is_dir():
            raise FileNotFoundError(str(folder))
        if not any(folder.iterdir()):
            return cls(None, size)
        bm25 = bm25s.BM25.load(str(folder), load_corpus=False, show_progress=False)
        if int(bm25.scores["num_docs"]) != size:
            raise ValueError("an index of other texts")
        return cls(bm25, size)

    def score(self, query: str) -> tuple[Scores, Scores]:
        """BM25 score and coverage (0 to 1) of every text, both (n,)."""
        import numpy as np

        scores = np.zeros(self._size)
        covered, _ = self.coverage(query)
        known = [word for word in dict.fromkeys(terms(query)) if len(self._texts_with(word))]
        if known:
            scores += self._bm25.get_scores(known)
        return scores, covered

    def coverage(self, query: str) -> tuple[Scores, Scores]:
        """How much of the query's words every text contains: by the words' rarity, and by their number; (n,) each."""
        import numpy as np

        weighed, counted = np.zeros(self._size), np.zeros(self._size)
        words = list(dict.fromkeys(terms(query)))
        total = 0.0
        for word in words:
            found = self._texts_with(word)
            weight = math.log(1 + (self._size + _PRIOR - len(found) + 0.5) / (len(found) + 0.5))
            total += weight
            weighed[found] += weight
            counted[found] += 1
        return (weighed / total, counted / len(words)) if words else (weighed, counted)

    def _texts_with(self, word: str) -> NDArray[np.int32]:
        """Positions of the texts that contain a word."""
        import numpy as np

        column = self._bm25.vocab_dict.get(word) if self._bm25 is not None else None
        if column is None:
            return np.zeros(0, dtype=np.int32)
        starts = self._bm25.scores["indptr"]
        found: NDArray[np.int32] = self._bm25.scores["indices"][starts[column] : starts[column + 1]]
        return found


def rank(
    queries: Sequence[str], words: WordIndex, vectors: Vectors | None, embedder: Embedder | None, limit: int
) -> list[Hit]:
    """The texts that answer the queries, best first, at most `limit`.

    Args:
        queries: each is ranked on its own; the rankings are fused.
        words: the word index of the texts.
        vectors: unit vectors of the texts, (n, d); None to rank by words alone.
        embedder: the model of these vectors.
        limit: how many at most.
    """
    fused: dict[int, float] = {}
    for ranking in _rankings(queries, words, vectors, embedder):
        for place, index in enumerate(ranking[:_DEPTH], start=1):
            fused[index] = fused.get(index, 0.0) + 1 / (_RRF + place)
    ordered = sorted(fused.items(), key=lambda item: (-round(item[1], 9), item[0]))
    return [Hit(index, round(score, 6)) for index, score in ordered[:limit]]


def _rankings(
    queries: Sequence[str], words: WordIndex, vectors: Vectors | None, embedder: Embedder | None
) -> Iterator[list[int]]:
    import numpy as np

    for query in queries:
        scores, covered = words.score(query)
        yield _order(scores, np.flatnonzero(covered >= COVERAGE))
    if embedder is None or vectors is None or not len(vectors):
        return
    for cosines, floor in zip(*similarities(queries, vectors, embedder), strict=True):
        yield _order(cosines, np.flatnonzero(cosines >= floor))


def similarities(queries: Sequence[str], vectors: Vectors, embedder: Embedder) -> tuple[Scores, Scores]:
    """Cosines of queries and texts, (q, n), and the cosine from which on each query means a text, (q,)."""
    import numpy as np

    asked = embedder.embed_queries(list(queries))
    background, usual = _background(embedder)
    unrelated = (asked @ background.T).astype(np.float64)
    floors = unrelated.mean(axis=1) + DEVIATIONS * (unrelated.std(axis=1) + usual) / 2
    cosines: Scores = (asked @ vectors.T).astype(np.float64).round(_DIGITS)
    return cosines, np.minimum(floors.astype(np.float64), 0.9)


def relevance(query: str, texts: Sequence[str], embedder: Embedder | None) -> list[float]:
    """How well each of a few texts answers one query: 0 when it does not, else up to 1.

    The mean of two coverages (`WordIndex.coverage`) and, with an embedder, of that and the cosine. Among few texts a
    word's rarity says little, so what passes by words is decided by their number.
    """
    weighed, counted = WordIndex.build(texts).coverage(query)
    by_words = [(float(w) + float(c)) / 2 for w, c in zip(weighed, counted, strict=True)]
    passing = [bool(c >= COVERAGE) for c in counted]
    if embedder is None or not texts:
        return [round(fit, _DIGITS) if passes else 0.0 for fit, passes in zip(by_words, passing, strict=True)]
    cosines, floors = similarities([query], embedder.embed(list(texts)), embedder)
    return [
        round((fit + float(cosine)) / 2, _DIGITS) if passes or cosine >= floors[0] else 0.0
        for fit, cosine, passes in zip(by_words, cosines[0], passing, strict=True)
    ]


_backgrounds: dict[str, tuple[Vectors, float]] = {}


def _background(embedder: Embedder) -> tuple[Vectors, float]:
    """Vectors of the background, and the standard deviation of the cosines between its sentences; once per model."""
    import numpy as np

    if embedder.name not in _backgrounds:
        vectors = embedder.embed(BACKGROUND)
        above = np.triu_indices(len(vectors), k=1)
        _backgrounds[embedder.name] = vectors, float((vectors @ vectors.T)[above].std())
    return _backgrounds[embedder.name]


def _order(scores: Scores, passing: NDArray[np.intp]) -> list[int]:
    """Positions that pass, best first; equal scores keep their order."""
    return [int(i) for i in sorted(passing, key=lambda i: (-float(scores[i]), int(i)))]
