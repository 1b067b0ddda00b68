"""What a request wants, before it is worded: parts of a scene, each tied to the skill that it needs.

A want may say what it wants (`fact` is empty) or leave it to a fact that has to be looked up. The constraints of a
request follow from its wants and its scene:

| want | constraint |
|---|---|
| identity | `resembles {ref: 1, what: noun}` |
| text_rendering | `text {value, at: "top" or "bottom"}` |
| quantity_counting | `count {what: noun, operator: "==", n}` |
| attribute_binding | two of `attribute {what: noun, value: colour}` |
| anatomy_body_coherence | `count {what: "leg of the NOUN", operator: "==", n}` (of each copy) |
| physical_material_consistency | `attribute {what: noun, value: material}` |
| creative_drawing | `attribute {what: noun, value: skin}` |
| aesthetic_drawing | `attribute {what: "picture", value}`, the name of a light or of a style |
| spatial_layout | `relation {a: noun, relation, b: noun}` |

No two things of a scene have the same noun, so a noun names its thing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genevolve.grammar.z import Constraint
from genevolve.interpreter.studio.entities import COUNTED, LEAST, MOST, Entity
from genevolve.interpreter.studio.facts import Fact, make_motto
from genevolve.interpreter.studio.palette import COLOURS, GROUNDS, LIGHTS
from genevolve.interpreter.studio.scene import (
    CREATURES,
    MATERIALS,
    SKINS,
    STYLES,
    Lettering,
    Look,
    Relation,
    Scene,
    Thing,
)

IDENTITY = "identity"
SKILLS = (
    *("text_rendering", "quantity_counting", "attribute_binding", "anatomy_body_coherence"),
    *("physical_material_consistency", "creative_drawing", "aesthetic_drawing", "spatial_layout"),
)
COSTS: dict[str, int] = {skill: 2 if skill == "attribute_binding" else 1 for skill in SKILLS}
"""How many constraints a want of a skill brings."""
LEGGED = tuple(noun for noun, legs in CREATURES.items() if legs)
_RELATIONS = ("left_of", "right_of", "above", "below")
_SEATS = {
    "left_of": ("left", "right"),
    "right_of": ("right", "left"),
    "above": ("top", "centre"),
    "below": ("centre", "top"),
}
_FREE = ("centre", "left", "right", "upper left", "upper right", "top")
_GROUP_PLACE = "bottom"


@dataclass(frozen=True)
class Want:
    """One wish of a request.

    Attributes:
        skill: The skill that it needs, or `IDENTITY`.
        things: Indices of the things that it is about.
        fact: The fact that says what is wanted; empty when the request says it.
    """

    skill: str
    things: tuple[int, ...] = ()
    fact: str = ""


@dataclass(frozen=True)
class Content:
    """What a request asks for, without words: the scene that meets it, and its wants."""

    scene: Scene
    wants: tuple[Want, ...]

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills needed, in the order of `SKILLS`."""
        needed = {w.skill for w in self.wants}
        return tuple(s for s in SKILLS if s in needed)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What the picture must hold; see the module's table."""
        return tuple(c for want in self.wants for c in _constraints(want, self.scene))

    def want(self, skill: str) -> Want | None:
        """The want that needs a skill."""
        return next((w for w in self.wants if w.skill == skill), None)


class Composer:
    """Puts a scene together, want by want.

    Args:
        rng: Decides whatever is open.
        subject: The entity whose facts are wanted; None when the request says everything itself.
        look: What identifies it: its emblem or its appearance.
    """

    def __init__(self, rng: random.Random, subject: Entity | None = None, look: Look | None = None) -> None:
        self._rng = rng
        self._subject = subject
        self._things: list[Thing] = []
        self._letterings: list[Lettering] = []
        self._relation: Relation | None = None
        self._light, self._style = "flat", "plain"
        self._wants: list[Want] = []
        if subject is not None and look is not None:
            noun = "emblem" if look == subject.emblem else look.outline
            self._wants.append(Want(IDENTITY, (self._add(Thing(noun, look=look)),), "look"))

    def compose(self, skills: Sequence[str], seed: int) -> Content:
        """A scene that needs exactly these skills."""
        for skill in SKILLS:
            if skill in skills:
                self._wants.append(self._want(skill))
        if not self._things:
            self._add(Thing(self._noun(), self._rng.choice(tuple(COLOURS))))
        relations = () if self._relation is None else (self._relation,)
        scene = Scene(
            things=tuple(self._placed()),
            letterings=tuple(self._letterings),
            relations=relations,
            light=self._light,
            style=self._style,
            background=self._rng.choice(tuple(GROUNDS)),
            seed=seed,
        )
        return Content(scene, tuple(self._wants))

    # ---- a want each ----

    def _want(self, skill: str) -> Want:
        match skill:
            case "text_rendering":
                return self._text()
            case "quantity_counting":
                return self._count()
            case "attribute_binding":
                return self._pair()
            case "anatomy_body_coherence":
                return self._creature()
            case "physical_material_consistency":
                return self._material()
            case "creative_drawing":
                skin = self._rng.choice(SKINS)
                return Want(skill, (self._add(replace(self._thing(), skin=skin)),))
            case "aesthetic_drawing":
                return self._mood()
            case _:
                return self._layout()

    def _text(self) -> Want:
        fact, text = "", make_motto(self._rng)
        if self._subject is not None:
            is_year = self._rng.random() < 0.25
            fact = (Fact.FOUNDED if is_year else Fact.MOTTO).value
            text = str(self._subject.founded) if is_year else self._subject.motto
        self._letterings.append(Lettering(text, place=self._rng.choice(("top", "bottom"))))
        return Want("text_rendering", (), fact)

    def _count(self) -> Want:
        noun, number, fact = "", 0, ""
        if self._subject is not None and self._subject.things not in self._nouns():
            noun, number, fact = self._subject.things, self._subject.number, Fact.COUNT.value
        else:
            noun, number = self._noun(), self._rng.randint(LEAST, MOST)
        thing = replace(self._thing(noun), count=number, place=_GROUP_PLACE, arrangement="row")
        return Want("quantity_counting", (self._add(thing),), fact)

    def _pair(self) -> Want:
        if self._subject is not None:
            first, second, fact = *self._subject.colours, Fact.COLOURS.value
        else:
            first, second = self._rng.sample(tuple(COLOURS), 2)
            fact = ""
        indices = (self._add(Thing(self._noun(), first)), self._add(Thing(self._noun(), second)))
        return Want("attribute_binding", indices, fact)

    def _creature(self) -> Want:
        taken = self._nouns()
        if self._subject is not None and self._subject.mascot not in taken:
            noun, fact = self._subject.mascot, Fact.MASCOT.value
        else:
            noun, fact = self._rng.choice([n for n in LEGGED if n not in taken]), ""
        return Want("anatomy_body_coherence", (self._add(self._thing(noun)),), fact)

    def _material(self) -> Want:
        material, fact = self._rng.choice(MATERIALS[1:]), ""
        if self._subject is not None:
            material, fact = self._subject.material, Fact.MATERIAL.value
        return Want(
            "physical_material_consistency", (self._add(replace(self._thing(), material=material)),), fact
        )

    def _mood(self) -> Want:
        if self._subject is not None:
            self._light = self._subject.light
            return Want("aesthetic_drawing", (), Fact.LIGHT.value)
        if self._rng.random() < 0.5:
            self._light = self._rng.choice([n for n in LIGHTS if n != "flat"])
        else:
            self._style = self._rng.choice(STYLES[1:])
        return Want("aesthetic_drawing")

    def _layout(self) -> Want:
        while len(singles := [i for i, t in enumerate(self._things) if t.count == 1]) < 2:
            self._add(self._thing())
        first, second = self._rng.sample(singles, 2)
        self._relation = Relation(first, self._rng.choice(_RELATIONS), second)
        return Want("spatial_layout", (first, second))

    # ---- things ----

    def _add(self, thing: Thing) -> int:
        self._things.append(thing)
        return len(self._things) - 1

    def _thing(self, noun: str = "") -> Thing:
        return Thing(noun or self._noun(), self._rng.choice(tuple(COLOURS)))

    def _nouns(self) -> set[str]:
        return {t.noun for t in self._things}

    def _noun(self) -> str:
        # The subject's own number belongs to its noun; another thing of that noun would be counted with it.
        taken = self._nouns() | ({self._subject.things} if self._subject is not None else set())
        return self._rng.choice([n for n in COUNTED if n not in taken])

    def _placed(self) -> list[Thing]:
        seats: dict[int, str] = {}
        if self._relation is not None:
            places = _SEATS[self._relation.relation]
            seats = dict(zip((self._relation.first, self._relation.second), places, strict=True))
        free = [place for place in _FREE if place not in seats.values()]
        placed = []
        for index, thing in enumerate(self._things):
            if thing.count == 1:
                thing = replace(thing, place=seats[index] if index in seats else free.pop(0))
            placed.append(thing)
        return placed


def _constraints(want: Want, scene: Scene) -> list[Constraint]:
    things = [scene.things[i] for i in want.things]
    match want.skill:
        case "identity":
            return [Constraint("resembles", {"ref": 1, "what": things[0].noun})]
        case "text_rendering":
            lettering = scene.letterings[0]
            return [Constraint("text", {"value": lettering.text, "at": lettering.place})]
        case "quantity_counting":
            return [_count_of(things[0].noun, things[0].count)]
        case "attribute_binding":
            return [_attribute(t.noun, t.colour) for t in things]
        case "anatomy_body_coherence":
            return [_count_of(f"leg of the {things[0].noun}", things[0].leg_count)]
        case "physical_material_consistency":
            return [_attribute(things[0].noun, things[0].material)]
        case "creative_drawing":
            return [_attribute(things[0].noun, things[0].skin)]
        case "aesthetic_drawing":
            wanted = [v for v in (scene.light, scene.style) if v not in ("flat", "plain")]
            return [_attribute("picture", value) for value in wanted]
        case _:
            relation = scene.relations[0]
            a, b = scene.things[relation.first].noun, scene.things[relation.second].noun
            return [Constraint("relation", {"a": a, "relation": relation.relation, "b": b})]


def _count_of(what: str, n: int) -> Constraint:
    return Constraint("count", {"what": what, "operator": "==", "n": n})


def _attribute(what: str, value: str) -> Constraint:
    return Constraint("attribute", {"what": what, "value": value})
