"""Which entities and which phrasings belong to which split, and which skills never meet in training.

Splits share nothing but words: groups of entities (whole, so that relations stay inside) and the phrasings of every
category are dealt out once. Pairs of skills in `RESERVED` occur together in the split `heldout_combos` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genevolve.interpreter.studio.world import World, seeded

SPLITS = ("train", "validation", "heldout", "heldout_combos")
COMBOS = "heldout_combos"
DEFAULT_SIZES: dict[str, int] = {"train": 1200, "validation": 150, "heldout": 400, "heldout_combos": 200}
"""How many requests a split has."""
PHRASINGS = 48
"""Phrasings of each category, in all splits together."""
RESERVED: tuple[frozenset[str], ...] = (
    frozenset(("text_rendering", "creative_drawing")),
    frozenset(("quantity_counting", "anatomy_body_coherence")),
    frozenset(("physical_material_consistency", "spatial_layout")),
    frozenset(("attribute_binding", "aesthetic_drawing")),
    frozenset(("quantity_counting", "physical_material_consistency")),
    frozenset(("spatial_layout", "anatomy_body_coherence")),
)
"""Pairs of skills that no request outside of `heldout_combos` needs together."""
_GROUP_SHARES = {"validation": 0.1, "heldout": 0.22, "heldout_combos": 0.14}
_PHRASING_COUNTS = {"validation": 4, "heldout": 10, "heldout_combos": 6}


@dataclass(frozen=True)
class Shares:
    """What a split may draw on: groups of entities, and phrasing numbers by category."""

    groups: tuple[int, ...]
    phrasings: Mapping[str, tuple[int, ...]]


def deal(world: World, categories: Iterable[str]) -> dict[str, Shares]:
    """The shares of every split; disjoint, and the same for the same world."""
    groups = list(world.groups)
    seeded(world.seed, "split groups").shuffle(groups)
    dealt: dict[str, tuple[int, ...]] = {}
    taken = 0
    for split, share in _GROUP_SHARES.items():
        size = max(1, round(share * len(groups)))
        dealt[split] = tuple(groups[taken : taken + size])
        taken += size
    dealt["train"] = tuple(groups[taken:])
    numbers = {category: _deal_phrasings(world, category) for category in categories}
    return {s: Shares(dealt[s], {c: numbers[c][s] for c in numbers}) for s in SPLITS}


def is_reserved(skills: Iterable[str]) -> bool:
    """Whether a pair of skills among these is kept for `heldout_combos`."""
    needed = frozenset(skills)
    return any(pair <= needed for pair in RESERVED)


def _deal_phrasings(world: World, category: str) -> dict[str, tuple[int, ...]]:
    numbers = list(range(PHRASINGS))
    seeded(world.seed, "split phrasings", category).shuffle(numbers)
    found: dict[str, tuple[int, ...]] = {}
    for split, size in _PHRASING_COUNTS.items():
        found[split], numbers = tuple(numbers[:size]), numbers[size:]
    found["train"] = tuple(numbers)
    return found
