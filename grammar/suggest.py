"""Did-you-mean: the known word that a mistyped one most likely stood for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MAX_WORD = 64
"""Longer words are not looked at: nobody mistypes them by a letter or two."""


class Suggestion(NamedTuple):
    """A known word; `sure` when it is so close, and so alone, that replacing it mechanically is safe."""

    word: str
    sure: bool


def closest(word: str, candidates: Iterable[str]) -> Suggestion | None:
    """The candidate nearest to `word`, or None when none is near enough to be meant.

    Near is at most one edit per three letters (insert, delete, replace, swap neighbours), the same letters in
    another case, or the same parts in another order (`search_image` for `image_search`).
    """
    if not word or len(word) > MAX_WORD:
        return None
    limit = max(1, len(word) // 3)
    folded, parts = word.casefold(), sorted(_parts(word))
    best: tuple[int, str] | None = None
    alone = True
    for candidate in candidates:
        if candidate == word or len(candidate) > MAX_WORD:
            continue
        if sorted(_parts(candidate)) == parts:
            distance = 0
        elif abs(len(candidate) - len(word)) <= limit:
            distance = edit_distance(folded, candidate.casefold(), limit)
        else:
            continue
        if distance > limit or distance >= max(len(word), len(candidate)):
            continue
        if best is None or distance < best[0]:
            best, alone = (distance, candidate), True
        elif distance == best[0]:
            alone = False
    if best is None:
        return None
    return Suggestion(best[1], alone and best[0] <= 1 and len(word) >= 3)


def edit_distance(a: str, b: str, limit: int) -> int:
    """Edits between two words (swapping two neighbours is one edit); `limit + 1` as soon as it is more."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return min(row[-1], limit + 1)


def did_you_mean(suggestion: Suggestion | None) -> str:
    """The end of a message: `; did you mean `x`?`, or nothing."""
    return f"; did you mean '{suggestion.word}'?" if suggestion else ""


def listed(words: Iterable[str], limit: int = 12, last: str = "and") -> str:
    """Words for a note: `a, b and c`; long lists are cut. `last` joins the last word."""
    shown = list(words)
    if len(shown) > limit:
        return ", ".join(shown[:limit]) + f" and {len(shown) - limit} more"
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _parts(word: str) -> list[str]:
    return [p for p in word.casefold().replace("-", "_").replace(" ", "_").split("_") if p]
