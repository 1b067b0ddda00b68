"""Splits: disjoint by entity and by phrasing, with pairs of skills that only one of them has."""

from __future__ import annotations

from itertools import combinations

import pytest

from genevolve.interpreter.studio.requests import CATEGORIES, Request, requests_of
from genevolve.interpreter.studio.splits import COMBOS, PHRASINGS, RESERVED, SPLITS, deal, is_reserved
from genevolve.interpreter.studio.wants import SKILLS
from genevolve.interpreter.studio.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(5, 160)


@pytest.fixture(scope="module")
def by_split(world: World) -> dict[str, list[Request]]:
    return {split: list(requests_of(world, split, 150)) for split in SPLITS}


@pytest.mark.parametrize(("a", "b"), list(combinations(SPLITS, 2)))
def test_splits_share_no_entity_no_phrasing_and_no_prompt(
    by_split: dict[str, list[Request]], a: str, b: str
) -> None:
    for what in (
        lambda r: set(r.entities),
        lambda r: {r.phrasing},
        lambda r: {r.prompt},
        lambda r: {ref.path for ref in r.references},
    ):
        first, second = (set().union(*(what(r) for r in by_split[s])) for s in (a, b))
        assert not first & second


@pytest.mark.parametrize("seed", [0, 7, 99])
@pytest.mark.parametrize("entities", [32, 160])
def test_everything_is_dealt_out_once(seed: int, entities: int) -> None:
    world = make_world(seed, entities)
    shares = deal(world, CATEGORIES)
    groups = [g for s in SPLITS for g in shares[s].groups]
    assert sorted(groups) == list(world.groups)
    assert all(shares[s].groups for s in SPLITS)
    for category in CATEGORIES:
        numbers = [n for s in SPLITS for n in shares[s].phrasings[category]]
        assert sorted(numbers) == list(range(PHRASINGS))


def test_reserved_pairs_occur_in_the_split_of_unseen_combinations_only(
    by_split: dict[str, list[Request]],
) -> None:
    for split, requests in by_split.items():
        assert all(is_reserved(r.skills) == (split == COMBOS) for r in requests)


def test_every_reserved_pair_occurs_and_its_skills_are_trained_one_by_one(
    by_split: dict[str, list[Request]],
) -> None:
    assert all(any(pair <= set(r.skills) for r in by_split[COMBOS]) for pair in RESERVED)
    trained = {skill for r in by_split["train"] for skill in r.skills}
    assert trained == set(SKILLS)
    assert all(len(pair) == 2 and pair <= set(SKILLS) for pair in RESERVED)


def test_near_duplicates_and_their_originals_stay_together(world: World) -> None:
    shares = deal(world, CATEGORIES)
    where = {g: s for s in SPLITS for g in shares[s].groups}
    for twin in (e for e in world.entities.values() if e.twin_of):
        assert where[twin.group] == where[world.entities[twin.twin_of].group]
