"""Reads what a sentence says about the picture as a whole: its light, its style, its ground."""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.interpreter.studio import lexicon as lex
from genevolve.interpreter.studio.reading import Reading

_REACH = 4
"""How many words before a ground its preposition may stand."""
_ON = frozenset({"on", "in", "at", "over", "against", "across", "onto", "is"})


def take_mood(reading: Reading, words: Sequence[str], lettered: bool) -> None:
    """Add light, style and ground of one sentence to a reading.

    Args:
        reading: What was understood so far.
        words: The sentence's tokens.
        lettered: Whether it speaks of lettering, where "print" is no style.
    """
    known = frozenset(words)
    if not known & lex.NEGATIONS:
        for word in words:
            if word in lex.LIGHTS:
                reading.lights.append(lex.LIGHTS[word])
            if word in lex.STYLES and not (
                word == "print" and lettered and not known & lex.STYLE_CUES["print"]
            ):
                reading.styles.append(lex.STYLES[word])
    if known & lex.LIGHT_HEADS:
        reading.light_cues |= known & lex.LIGHT_CUES
        if reading.light_from:
            reading.light_cues.add("from")
    if any(word in lex.STYLES for word in known):
        reading.style_words |= known
    if not reading.background:
        reading.background = _background(words, known)


def _background(words: Sequence[str], known: frozenset[str]) -> str:
    if "plainground" in known:
        return "plain"
    for i, word in enumerate(words):
        if word not in lex.GROUNDS:
            continue
        lies_under = bool(set(words[max(0, i - _REACH) : i]) & _ON)
        if lies_under or (word not in lex.MATERIALS and known & lex.GROUND_HEADS):
            return lex.GROUNDS[word]
    return ""
