"""`ask(evidence, "…") -> text`: the sentences of the evidence that answer a question."""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.grammar.builtins import ASK
from genevolve.grammar.errors import AuthorError
from genevolve.grammar.types import Signature
from genevolve.interpreter.library.embedder import Embedder
from genevolve.interpreter.library.ranking import relevance
from genevolve.interpreter.library.text import one_line, sentences
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence

LONGEST = 480
"""Characters of an answer at most."""
SENTENCES = 3
_SENTENCE_LIMIT = 400
"""Sentences of one evidence that are looked at."""
_NEARLY = 0.85
"""A further sentence belongs to the answer when it is at least so relevant as the best one, in parts of it."""


class AskTool:
    """Quotes; nothing is worded anew, so an answer says only what the evidence says.

    The best sentence is the answer, with up to two more that are nearly as relevant, in the order of the evidence.
    """

    signature: Signature = ASK

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder

    @property
    def version(self) -> str:
        """The answer depends on the arguments and on the embedding model only."""
        return f"ask-1:{self.embedder.name if self.embedder is not None else 'words'}"

    def __call__(self, context: CallContext, evidence: Evidence, question: str, /) -> str:
        """The answer on one line, at most `LONGEST` characters.

        Raises `AuthorError` (GP525) when there is no evidence or when it does not answer the question.
        """
        context.check()
        if not evidence.snippets:
            raise AuthorError(
                "there is no evidence to answer from: the search found no passages", code="GP525"
            )
        found = _sentences(evidence)
        fits = relevance(question, [f"{title} {text}" for title, text in found], self.embedder)
        answer = _chosen([text for _, text in found], fits)
        if not answer:
            raise AuthorError(f"the evidence does not answer {one_line(question, 200)!r}", code="GP525")
        return answer


def _sentences(evidence: Evidence) -> list[tuple[str, str]]:
    """Every sentence once, under the title of its passage: a sentence rarely names what the whole passage is about."""
    seen: dict[str, str] = {}
    for snippet in evidence.snippets:
        for sentence in sentences(snippet.text):
            text = one_line(sentence, LONGEST)
            if text and len(seen) < _SENTENCE_LIMIT:
                seen.setdefault(text, one_line(snippet.title, 200))
    return [(title, text) for text, title in seen.items()]


def _chosen(texts: Sequence[str], fits: Sequence[float]) -> str:
    """The best sentences that fit into an answer together, in their order; empty when none is relevant."""
    order = sorted(range(len(texts)), key=lambda i: (-fits[i], i))
    chosen: list[int] = []
    length = 0
    for index in order[:SENTENCES]:
        if not fits[index] or (chosen and fits[index] < _NEARLY * fits[chosen[0]]):
            break
        if length + len(texts[index]) + 1 > LONGEST and chosen:
            continue
        chosen.append(index)
        length += len(texts[index]) + 1
    return " ".join(texts[index] for index in sorted(chosen))
