"""The entities of a world: eight to a group, tied to each other, plus their near-duplicates.

A group holds one entity of every kind. Relations stay inside a group, so that a whole group belongs to one split and a
chain of two facts never leaves it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from genevolve.interpreter.studio.facts import KINDS, Fact, make_motto
from genevolve.interpreter.studio.names import Names
from genevolve.interpreter.studio.palette import COLOURS, LIGHTS
from genevolve.interpreter.studio.scene import CREATURES, FIGURES, MATERIALS, OUTLINES, PATTERNS, Look

TWIN_SHARE = 0.2
"""How many near-duplicates there are for each entity."""
COUNTED = (
    *(
        "ball",
        "star",
        "lantern",
        "kite",
        "boat",
        "cup",
        "bell",
        "crown",
        "key",
        "heart",
        "umbrella",
        "flower",
    ),
    *("mushroom", "drum", "hat", "bottle", "candle", "anchor", "gem"),
)
"""Nouns of things that requests name. A leaf is none: leaves are also what a thing can be covered in."""
APPEARS_AS: dict[str, tuple[str, ...]] = {
    "place": ("tower", "house"),
    "festival": ("lantern", "drum"),
    "team": ("hat", "ball"),
    "product": ("bottle", "cup"),
    "vehicle": ("boat", "wagon", "rocket"),
    "species": ("fish", "cat", "horse", "bird", "beetle"),
    "building": ("tower", "house"),
    "event": ("kite", "boat"),
}
"""The silhouettes that an entity of a kind is seen as, with its own paint."""
LEAST, MOST = 3, 9
"""Bounds of the number of things that an entity has."""
_FIRST_YEAR, _LAST_YEAR = 1780, 1989
_MASCOTS = tuple(name for name, legs in CREATURES.items() if legs)
_PLAIN_PATTERNS = tuple(p for p in PATTERNS if p != "plain")


@dataclass(frozen=True)
class Former:
    """What was true until a year and is still told and shown."""

    until: int
    colours: tuple[str, str]
    mascot: str
    look: Look


@dataclass(frozen=True)
class Entity:
    """Everything that is true of one entity.

    Attributes:
        id: Lower-case letters, digits and hyphens; unique in the world.
        name: The invented word.
        kind: Of `KINDS`.
        noun: What stands behind the name.
        group: Which group it belongs to.
        founded: A year.
        colours: First and second colour, both of the palette.
        motto: In capitals.
        mascot: A creature with legs.
        things: The noun that its number counts.
        number: How many of them.
        material: What it is known for.
        light: Its usual light.
        emblem: The look of its emblem, in its colours.
        appearance: The look of the thing itself, in its colours.
        former: What is outdated.
        relations: Ids of other entities by the relation's name.
        twin_of: The id of the entity whose near-duplicate this is; empty otherwise.
    """

    id: str
    name: str
    kind: str
    noun: str
    group: int
    founded: int
    colours: tuple[str, str]
    motto: str
    mascot: str
    things: str
    number: int
    material: str
    light: str
    emblem: Look
    appearance: Look
    former: Former
    relations: Mapping[str, str] = field(default_factory=dict)
    twin_of: str = ""

    @property
    def title(self) -> str:
        """The full name: name and noun."""
        return f"{self.name} {self.noun}"

    def values(self, fact: Fact) -> tuple[str, ...]:
        """What a fact says, as words that its page must hold (numbers as figures)."""
        match fact:
            case Fact.COLOURS:
                return self.colours
            case Fact.MOTTO:
                return (self.motto,)
            case Fact.MASCOT:
                return (self.mascot,)
            case Fact.COUNT:
                return (str(self.number), self.things)
            case Fact.MATERIAL:
                return (self.material,)
            case Fact.LIGHT:
                return (self.light,)
            case Fact.FOUNDED:
                return (str(self.founded),)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "relations": dict(self.relations), "title": self.title}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Entity:
        """The inverse of `to_dict`; raises `ValueError` for anything else."""
        try:
            values = {k: v for k, v in data.items() if k != "title"}
            former = dict(values["former"])
            former["look"] = Look(**former["look"])
            former["colours"] = _pair(former["colours"])
            values["former"] = Former(**former)
            values["emblem"], values["appearance"] = Look(**values["emblem"]), Look(**values["appearance"])
            values["colours"] = _pair(values["colours"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no entity: {error}") from error


def make_group(group: int, rng: random.Random, names: Names) -> list[Entity]:
    """One entity of every kind, with the relations between them, and near-duplicates of some."""
    made = {kind: make_entity(kind, group, names.new(), rng) for kind in KINDS}
    tied: list[Entity] = []
    for kind, entity in made.items():
        relations = {r.name: made[r.target].id for r in KINDS[kind].relations}
        tied.append(replace(entity, relations=relations))
    twins = [
        make_entity(e.kind, group, names.near_duplicate(e.name), rng, twin_of=e)
        for e in tied
        if rng.random() < TWIN_SHARE
    ]
    return tied + twins


def make_entity(
    kind: str, group: int, name: str, rng: random.Random, twin_of: Entity | None = None
) -> Entity:
    """An entity without relations. A near-duplicate has the same kind and noun, and no fact of the other."""
    noun = twin_of.noun if twin_of is not None else rng.choice(KINDS[kind].nouns)
    taken: tuple[Sequence[str], ...] = ((), (), (), (), ())
    if twin_of is not None:
        t = twin_of
        taken = (t.colours, (t.mascot,), (t.material,), (t.light,), (str(t.number),))
    first, second, old_first, old_second = _choose(rng, tuple(COLOURS), taken[0], 4)
    mascot, old_mascot = _choose(rng, _MASCOTS, taken[1], 2)
    founded = rng.randint(_FIRST_YEAR, _LAST_YEAR - 40)
    return Entity(
        id=f"{name}-{noun}".lower(),
        name=name,
        kind=kind,
        noun=noun,
        group=group,
        founded=founded,
        colours=(first, second),
        motto=make_motto(rng),
        mascot=mascot,
        things=rng.choice(COUNTED),
        number=int(_choose(rng, tuple(map(str, range(LEAST, MOST + 1))), taken[4], 1)[0]),
        material=_choose(rng, MATERIALS[1:], taken[2], 1)[0],
        light=_choose(rng, tuple(n for n in LIGHTS if n != "flat"), taken[3], 1)[0],
        emblem=_look(rng, rng.choice(OUTLINES), first, second),
        appearance=_look(rng, rng.choice(APPEARS_AS[kind]), first, second),
        former=Former(
            rng.randint(founded + 8, _LAST_YEAR),
            (old_first, old_second),
            old_mascot,
            _look(rng, rng.choice(OUTLINES), old_first, old_second),
        ),
        twin_of=twin_of.id if twin_of is not None else "",
    )


def _look(rng: random.Random, outline: str, first: str, second: str) -> Look:
    return Look(outline, first, second, rng.choice(_PLAIN_PATTERNS), rng.choice(FIGURES))


def _choose(rng: random.Random, among: Sequence[str], taken: Sequence[str], n: int) -> list[str]:
    return rng.sample([word for word in among if word not in taken], n)


def _pair(values: Sequence[str]) -> tuple[str, str]:
    first, second = values
    return first, second
