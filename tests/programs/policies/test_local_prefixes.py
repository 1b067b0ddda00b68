"""The tree of prompts: what is shared, split, kept, dropped."""

from __future__ import annotations

import torch

from genevolve.programs.policies.local.prefixes import KeyValues, Node, PrefixTree, joined


def kept(tokens: tuple[int, ...]) -> KeyValues:
    """Keys and values that say which tokens they belong to."""
    values = torch.tensor(tokens, dtype=torch.float32)[None, None, :, None]
    return KeyValues(values.clone(), values.clone() * 2)


def fill(path: list[Node]) -> None:
    for node in path:
        if node.kept is None:
            node.kept = kept(node.tokens)


def said(path: list[Node]) -> list[int]:
    return [int(x) for x in joined([n.kept for n in path if n.kept is not None]).keys.flatten()]


def test_common_beginnings_are_shared_and_split() -> None:
    tree = PrefixTree(1 << 20)
    fill(tree.extend([1, 2, 3, 4]))
    fill(tree.extend([1, 2, 5]))
    first, second = tree.extend([1, 2, 3, 4]), tree.extend([1, 2, 5])
    assert first[0] is second[0]
    assert [n.tokens for n in first] == [(1, 2), (3, 4)]
    assert said(first) == [1, 2, 3, 4]
    assert said(second) == [1, 2, 5]
    assert tree.nbytes == 5 * 2 * 4


def test_known_counts_tokens_inside_of_a_node() -> None:
    tree = PrefixTree(1 << 20)
    fill(tree.extend([1, 2, 3, 4]))
    assert tree.known([1, 2, 9]) == 2
    assert tree.known([1, 2, 3, 4, 5]) == 4
    assert tree.known([7]) == 0
    tree.extend([1, 2, 3, 4, 5])  # not computed
    assert tree.known([1, 2, 3, 4, 5]) == 4


def test_a_shorter_prompt_ends_inside_of_a_longer_one() -> None:
    tree = PrefixTree(1 << 20)
    fill(tree.extend([1, 2, 3, 4]))
    assert said(tree.extend([1, 2])) == [1, 2]
    assert said(tree.extend([1, 2, 3, 4])) == [1, 2, 3, 4]
    assert tree.extend([]) == []


def test_what_a_row_computed_is_stored_where_siblings_part() -> None:
    tree = PrefixTree(1 << 20)
    fill(tree.extend([1, 2]))
    tree.store([1, 2, 3, 4, 5], kept((3, 4, 5)))
    tree.store([1, 2, 3, 9], kept((3, 9)))
    assert said(tree.extend([1, 2, 3, 4, 5])) == [1, 2, 3, 4, 5]
    assert said(tree.extend([1, 2, 3, 9])) == [1, 2, 3, 9]
    assert tree.nbytes == 6 * 2 * 4


def test_nothing_is_stored_behind_a_gap() -> None:
    tree = PrefixTree(1 << 20)
    tree.store([1, 2, 3], kept((3,)))  # 1 and 2 were dropped in the meantime
    assert tree.known([1, 2, 3]) == 0


def test_release_drops_what_nobody_else_has() -> None:
    tree = PrefixTree(1 << 20)
    fill(tree.extend([1, 2, 3, 4], "a"))
    fill(tree.extend([1, 2, 5], "b"))
    tree.release("a")
    assert tree.known([1, 2, 3, 4]) == 2
    assert tree.known([1, 2, 5]) == 3
    tree.release("b")
    assert tree.known([1, 2, 5]) == 2  # the common beginning may be wanted again


def test_the_least_recently_used_goes_first_and_what_is_needed_stays() -> None:
    tree = PrefixTree(1 << 20)
    paths = [tree.extend([i, i + 1, i + 2]) for i in (10, 20, 30)]
    for path in paths:
        fill(path)
    tree.extend([10, 11, 12])  # used again
    tree.max_bytes = 2 * 3 * 2 * 4
    tree.evict()
    assert [tree.known([i, i + 1, i + 2]) for i in (10, 20, 30)] == [3, 0, 3]
    tree.max_bytes = 0
    tree.evict([paths[0][-1]])
    assert [tree.known([i, i + 1, i + 2]) for i in (10, 20, 30)] == [3, 0, 0]
    tree.clear()
    assert tree.nbytes == 0
