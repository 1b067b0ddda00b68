"""Applying the fixes that diagnostics offer (`genevolve check --fix`)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from itertools import pairwise

from genevolve.grammar.diagnostics import Diagnostic, Edit
from genevolve.grammar.span import Span


def apply_fixes(text: str, diagnostics: Iterable[Diagnostic]) -> tuple[str, int]:
    """The text with the fixes of the diagnostics made, and how many fixes were made.

    A fix is made whole or not at all. When two fixes touch the same place the one that begins first is made;
    checking the result again offers the other one if it is still needed. The same fix offered twice counts
    once. Fixes whose edits lie outside the text or overlap each other are left out.
    """
    taken: list[Span] = []  # ordered, so that only neighbours can touch
    edits: list[Edit] = []
    made: set[tuple[Edit, ...]] = set()
    fixes = [d.fix.edits for d in diagnostics if d.fix is not None and d.fix.edits]
    for fix in sorted(fixes, key=lambda e: min(edit.span for edit in e)):
        group = tuple(sorted(fix, key=lambda e: e.span))
        if group in made or not _sound(group, len(text)) or any(_blocked(e.span, taken) for e in group):
            continue
        made.add(group)
        edits += group
        for edit in group:
            insort(taken, edit.span)
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda e: e.span):
        pieces += [text[at : edit.span.start], edit.text]
        at = edit.span.end
    return "".join([*pieces, text[at:]]), len(made)


def _sound(group: tuple[Edit, ...], length: int) -> bool:
    inside = all(0 <= e.span.start <= e.span.end <= length for e in group)
    return inside and not any(_touch(a.span, b.span) for a, b in pairwise(group))


def _blocked(span: Span, taken: list[Span]) -> bool:
    at = bisect_left(taken, span)
    return any(_touch(span, other) for other in taken[max(0, at - 1) : at + 1])


def _touch(a: Span, b: Span) -> bool:
    """Whether two edits interfere: they share a character, or one inserts where the other begins or ends.

    An insertion at the seam of another edit could land on either side of it, so it waits for the next round.
    """
    if a.start == a.end or b.start == b.end:
        return a.start <= b.end and b.start <= a.end
    return a.start < b.end and b.start < a.end
