"""The world: a seeded encyclopedia and its truth. `folder` writes it as a library that programs search."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.studio.entities import Entity, make_group
from genevolve.interpreter.studio.facts import KINDS, RELEVANT, Fact
from genevolve.interpreter.studio.names import Names
from genevolve.interpreter.studio.pages import (
    DECOY_SHARE,
    Decoy,
    Page,
    make_decoy,
    make_decoy_page,
    make_page,
)
from genevolve.interpreter.studio.pictures import Picture, decoy_picture, entity_pictures

SCHEMA = "genevolve.studio/1"
GROUP = len(KINDS)
LEAST_ENTITIES = 4 * GROUP
MOST_ENTITIES = 8_000


@dataclass(frozen=True)
class World:
    """All entities of a seed, and what else bears their names.

    Attributes:
        seed: What it was made from.
        entities: By id, in the order of their making. Near-duplicates are entities too.
        decoys: Pages about something else.
    """

    seed: int
    entities: Mapping[str, Entity]
    decoys: tuple[Decoy, ...] = field(default=())

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """The numbers of the groups."""
        return tuple(sorted({e.group for e in self.entities.values()}))

    def related(self, entity: Entity, relation: str) -> Entity:
        """The entity that another one points to; raises `KeyError` when it has no such relation."""
        return self.entities[entity.relations[relation]]

    def source(self, entity: Entity) -> str:
        """The path of an entity's page inside the library."""
        return f"pages/{entity.id}.md"

    def pages(self) -> Iterator[Page]:
        """Every page of the library."""
        for entity in self.entities.values():
            yield make_page(entity, self.entities, self._rng("page", entity.id))
        for decoy in self.decoys:
            yield make_decoy_page(decoy, self._rng("decoy", decoy.of))

    def pictures(self) -> Iterator[Picture]:
        """Every picture of the library."""
        everyone = list(self.entities.values())
        for index, entity in enumerate(everyone):
            near = [everyone[(index + step) % len(everyone)] for step in range(1, 9)]
            yield from entity_pictures(entity, near, self._rng("pictures", entity.id))
        for decoy in self.decoys:
            yield decoy_picture(decoy, self._rng("picture", decoy.of))

    def to_dict(self) -> dict[str, Any]:
        """The truth as plain JSON data."""
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "entities": [e.to_dict() for e in self.entities.values()],
            "decoys": [{"of": d.of, "title": d.title, "facts": dict(d.facts)} for d in self.decoys],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> World:
        """The inverse of `to_dict`; raises `ValueError` for anything else."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f"this is no world of schema {SCHEMA}")
        try:
            entities = [Entity.from_dict(e) for e in data["entities"]]
            decoys = tuple(Decoy(d["of"], d["title"], d["facts"]) for d in data["decoys"])
            return cls(int(data["seed"]), {e.id: e for e in entities}, decoys)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this world is malformed: {error}") from error

    @classmethod
    def load(cls, folder: Path) -> World:
        """The world that lies in a folder; raises `AuthorError` when there is none."""
        path = folder / "world.json"
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise AuthorError(f"there is no studio world in {folder}: it has no world.json") from None
        except (OSError, ValueError) as error:
            raise AuthorError(f"{path} cannot be read: {error}") from error

    def _rng(self, *what: str) -> random.Random:
        return seeded(self.seed, *what)


def seeded(seed: int, *what: str) -> random.Random:
    """A stream of chance for one purpose: adding another purpose changes none."""
    digest = hashlib.sha256("\0".join((str(seed), *what)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311  # repeatable chance, no secrets


def make_world(seed: int, entities: int = 400) -> World:
    """At least so many entities, in whole groups of eight, besides their near-duplicates.

    Raises `AuthorError` when there would be fewer groups than splits, or more entities than fit.
    """
    if entities < LEAST_ENTITIES:
        raise AuthorError(f"a world needs at least {LEAST_ENTITIES} entities, not {entities}")
    if entities > MOST_ENTITIES:
        raise AuthorError(f"a world has at most {MOST_ENTITIES:,} entities, not {entities:,}")
    names = Names(seeded(seed, "names"))
    made: dict[str, Entity] = {}
    for group in range(-(-entities // GROUP)):
        made.update((e.id, e) for e in make_group(group, seeded(seed, "group", str(group)), names))
    chance = seeded(seed, "decoys")
    decoys = [make_decoy(e, chance) for e in made.values() if not e.twin_of and chance.random() < DECOY_SHARE]
    return World(seed, made, tuple(decoys))


def careful_query(entity: Entity, facts: Sequence[Fact]) -> str:
    """The full name and which facts are wanted: what finds the right page."""
    return " ".join((entity.title, *(RELEVANT[f] for f in facts)))
