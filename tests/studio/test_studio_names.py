"""Invented names: apart from each other, except where they are meant to be confused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.interpreter.library.text import terms
from genevolve.interpreter.studio.names import Names


def distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_new_names_are_never_within_two_letters_of_each_other(seed: int) -> None:
    names = Names(random.Random(seed))
    made = [names.new() for _ in range(40)]
    assert all(distance(a, b) > 2 for i, a in enumerate(made) for b in made[:i])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_a_near_duplicate_is_new_and_within_two_letters(seed: int) -> None:
    names = Names(random.Random(seed))
    made = [names.new() for _ in range(20)]
    twins = [names.near_duplicate(name) for name in made]
    assert all(1 <= distance(a, b) <= 2 for a, b in zip(made, twins, strict=True))
    assert len({*made, *twins}) == 40


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_a_name_is_one_term_that_no_stemmer_changes(seed: int) -> None:
    names = Names(random.Random(seed))
    for _ in range(30):
        name = names.new()
        assert terms(name) == [name.lower()]
        assert name == name.capitalize()


def test_names_grow_longer_when_the_short_ones_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genevolve.interpreter.studio.names._FIRST", ("bel", "kar"))
    monkeypatch.setattr("genevolve.interpreter.studio.names._LAST", ("dun", "fol"))
    names = Names(random.Random(0))
    made = [names.new() for _ in range(60)]
    assert len(set(made)) == 60
    assert max(map(len, made[-10:])) > max(map(len, made[:3]))


def test_the_same_seed_gives_the_same_names() -> None:
    first, second = Names(random.Random(5)), Names(random.Random(5))
    assert [first.new() for _ in range(50)] == [second.new() for _ in range(50)]
