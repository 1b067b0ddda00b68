"""Pairing two lists of similar things: best pairs overall, at a bounded cost.

Equal keys pair first. What is left is assigned optimally when it is little (the Hungarian method, at most
40 x 40), otherwise greedily among candidates that share their rarest features. Nothing is cubic in the input.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from genevolve.grammar.clauses import Key

_MAX_OPTIMAL = 40
_CANDIDATES = 4


class Item(NamedTuple):
    """A thing to pair: equal `key` means the same; `bag` finds candidates; `label` breaks ties."""

    key: Hashable
    bag: Counter[Key]
    label: str = ""


class Pairs(NamedTuple):
    """Pairs of positions, ordered by the first, and the positions that stayed alone."""

    pairs: tuple[tuple[int, int], ...]
    left: tuple[int, ...]
    right: tuple[int, ...]


def pair(a: Sequence[Item], b: Sequence[Item], score: Callable[[int, int], float], threshold: float) -> Pairs:
    """Pair the items of two lists.

    Items with equal keys are pairs whatever their score (those of one label first, then in order). Others are
    pairs when `score(i, j)` is at least `threshold`, such that the sum of the scores is as large as can be.
    """
    found = _equal(a, b)
    mine, yours = {i for i, _ in found}, {j for _, j in found}
    left = [i for i in range(len(a)) if i not in mine]
    right = [j for j in range(len(b)) if j not in yours]
    if left and right:
        if max(len(left), len(right)) <= _MAX_OPTIMAL:
            close = _optimal(left, right, score, threshold, max(len(a), len(b)))
        else:
            close = _greedy(left, right, a, b, score, threshold)
        found += close
        mine, yours = {i for i, _ in close}, {j for _, j in close}
        left = [i for i in left if i not in mine]
        right = [j for j in right if j not in yours]
    return Pairs(tuple(sorted(found)), tuple(left), tuple(right))


def _equal(a: Sequence[Item], b: Sequence[Item]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    for with_label in (True, False):
        waiting: dict[Hashable, list[int]] = defaultdict(list)
        for j in reversed(range(len(b))):
            if j not in taken_b:
                waiting[(b[j].key, b[j].label if with_label else "")].append(j)
        for i, item in enumerate(a):
            places = waiting.get((item.key, item.label if with_label else ""))
            if i not in taken_a and places:
                j = places.pop()
                found.append((i, j))
                taken_a.add(i)
                taken_b.add(j)
    return found


def _optimal(
    left: Sequence[int],
    right: Sequence[int],
    score: Callable[[int, int], float],
    threshold: float,
    length: int,
) -> list[tuple[int, int]]:
    """The pairs of the greatest total score; among equals those that keep their places."""
    gains: list[list[float]] = []
    for i in left:
        row = []
        for j in right:
            value = score(i, j)
            row.append(value - 1e-4 * abs(i - j) / length if value >= threshold else 0.0)
        gains.append(row)
    return [(left[i], right[j]) for i, j in _assign(gains) if gains[i][j] > 0]


def _assign(gains: list[list[float]]) -> list[tuple[int, int]]:
    """Maximum-weight assignment of rows to columns by shortest augmenting paths, O(rows² · columns)."""
    if len(gains) > len(gains[0]):
        turned = [list(column) for column in zip(*gains, strict=True)]
        return [(i, j) for j, i in _assign(turned)]
    rows, columns = len(gains), len(gains[0])
    row_price = [0.0] * (rows + 1)
    column_price = [0.0] * (columns + 1)
    owner = [0] * (columns + 1)  # which row (from 1) holds a column; column 0 is the one being placed
    for row in range(1, rows + 1):
        owner[0] = row
        column = 0
        cheapest = [float("inf")] * (columns + 1)
        came_from = [0] * (columns + 1)
        done = [False] * (columns + 1)
        while owner[column]:
            done[column] = True
            current, delta, nearest = owner[column], float("inf"), 0
            for j in range(1, columns + 1):
                if done[j]:
                    continue
                cost = -gains[current - 1][j - 1] - row_price[current] - column_price[j]
                if cost < cheapest[j]:
                    cheapest[j], came_from[j] = cost, column
                if cheapest[j] < delta:
                    delta, nearest = cheapest[j], j
            for j in range(columns + 1):
                if done[j]:
                    row_price[owner[j]] += delta
                    column_price[j] -= delta
                else:
                    cheapest[j] -= delta
            column = nearest
        while column:
            owner[column] = owner[came_from[column]]
            column = came_from[column]
    return [(owner[j] - 1, j - 1) for j in range(1, columns + 1) if owner[j]]


def _greedy(
    left: Sequence[int],
    right: Sequence[int],
    a: Sequence[Item],
    b: Sequence[Item],
    score: Callable[[int, int], float],
    threshold: float,
) -> list[tuple[int, int]]:
    scored: list[tuple[float, int, int, int]] = []
    for i, j in _candidates(left, right, a, b):
        value = score(i, j)
        if value >= threshold:
            scored.append((-value, abs(i - j), i, j))
    found: list[tuple[int, int]] = []
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    for _, _, i, j in sorted(scored):
        if i not in taken_a and j not in taken_b:
            found.append((i, j))
            taken_a.add(i)
            taken_b.add(j)
    return found


def _candidates(
    left: Sequence[int], right: Sequence[int], a: Sequence[Item], b: Sequence[Item]
) -> list[tuple[int, int]]:
    """At most 20 partners for each item: those nearest in order among the users of its four rarest features."""
    users: dict[Hashable, list[int]] = defaultdict(list)
    for j in right:
        for feature in (*b[j].bag, ("label", b[j].label)):
            users[feature].append(j)
    found: list[tuple[int, int]] = []
    for i in left:
        features: list[Hashable] = [f for f in (*a[i].bag, ("label", a[i].label)) if f in users]
        features.sort(key=lambda f: (len(users[f]), str(f)))
        partners: set[int] = set()
        for rare in features[:_CANDIDATES]:
            places = users[rare]
            at = bisect_left(places, i)
            partners.update(places[max(0, at - _CANDIDATES + 1) : at + _CANDIDATES - 1])
        found += [(i, j) for j in sorted(partners)]
    return found


def moved(partners: Sequence[int]) -> set[int]:
    """The fewest positions that break the order: all but a longest increasing run of `partners`.

    Of several such runs the one with the most things that keep their very place stays.
    """
    best = _PrefixBest(max(partners, default=-1) + 2)
    previous: list[int] = []
    for position, value in enumerate(partners):
        length, kept, before = best.up_to(value)
        previous.append(before)
        best.put(value + 1, (length + 1, kept + (position == value), position))
    position = best.up_to(len(best.tree) - 1)[2]
    stays: set[int] = set()
    while position >= 0:
        stays.add(position)
        position = previous[position]
    return set(range(len(partners))) - stays


class _PrefixBest:
    """The best run (its length, how many keep their place, where it ends) among the values up to a bound."""

    def __init__(self, size: int) -> None:
        self.tree = [(0, 0, -1)] * size  # a Fenwick tree, indices from 1

    def up_to(self, index: int) -> tuple[int, int, int]:
        found = (0, 0, -1)
        while index > 0:
            found = max(found, self.tree[index])
            index -= index & -index
        return found

    def put(self, index: int, run: tuple[int, int, int]) -> None:
        while index < len(self.tree):
            self.tree[index] = max(self.tree[index], run)
            index += index & -index
