"""Planted defects: a scene with exactly one thing wrong, and the dimension in which a judge must notice it.

for name in applicable(scene):
    worse = plant(scene, name, seed=3)
    worse.scene, worse.dimension, worse.about
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from genevolve.interpreter.studio.layout import lay_out
from genevolve.interpreter.studio.mistakes import garbled
from genevolve.interpreter.studio.palette import COLOURS, LOOK_COLOURS, distance
from genevolve.interpreter.studio.scene import (
    CREATURES,
    FIGURES,
    LOOK_NOUNS,
    MATERIALS,
    MAX_COUNT,
    MAX_LETTERINGS,
    OUTLINES,
    PATTERNS,
    PLACES,
    SKINS,
    STYLES,
    THINGS,
    Lettering,
    Look,
    Scene,
    Thing,
    column_of,
    row_of,
)

FAITHFULNESS, VISUAL, TEXT, AESTHETICS = "faithfulness", "visual_correctness", "text_accuracy", "aesthetics"
_CLEAR = 200.0
"""Colours at least this far apart are not mistaken for each other in any light."""


@dataclass(frozen=True)
class Planted:
    """A scene with one defect.

    Attributes:
        scene: The worse scene; the size and the seed are those of the original.
        defect: Its name, a key of `DEFECTS`.
        dimension: In which dimension it shows, and in no other.
        about: Index of the thing or lettering that it concerns, in the original; -1 for the whole picture.
    """

    scene: Scene
    defect: str
    dimension: str
    about: int


class NotApplicable(ValueError):
    """The scene has nothing that this defect could befall."""


def plant(scene: Scene, defect: str, seed: int = 0) -> Planted:
    """Plant one defect.

    Args:
        scene: A scene without defects.
        defect: A key of `DEFECTS`.
        seed: Decides where, when there is a choice.

    Raises:
        NotApplicable: the scene has nothing that this defect could befall.
        KeyError: there is no such defect.
    """
    dimension, make = DEFECTS[defect]
    chance = random.Random(seed)  # noqa: S311 - reproducible, no secret
    worse, about = make(scene, chance)
    if worse == scene:
        raise NotApplicable(f"the defect {defect!r} changes nothing in this scene")
    return Planted(worse, defect, dimension, about)


def applicable(scene: Scene) -> tuple[str, ...]:
    """The defects that can be planted in a scene."""
    found = []
    for name in DEFECTS:
        try:
            plant(scene, name)
        except NotApplicable:
            continue
        found.append(name)
    return tuple(found)


_Made = tuple[Scene, int]


def _pick(indices: list[int], chance: random.Random, what: str) -> int:
    if not indices:
        raise NotApplicable(f"the scene has no {what}")
    return chance.choice(indices)


def _with(scene: Scene, index: int, thing: Thing) -> Scene:
    things = list(scene.things)
    things[index] = thing
    return replace(scene, things=tuple(things))


def _plain(scene: Scene) -> list[int]:
    return [i for i, t in enumerate(scene.things) if t.look is None]


def _count(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k, t in enumerate(scene.things) if t.count > 1], chance, "group")
    count = scene.things[i].count
    wrong = [n for n in (count - 2, count - 1, count + 1, count + 2) if 1 <= n <= MAX_COUNT]
    return _with(scene, i, replace(scene.things[i], count=chance.choice(wrong))), i


def _colour(scene: Scene, chance: random.Random) -> _Made:
    i = _pick(_plain(scene), chance, "thing with a colour")
    own = COLOURS[scene.things[i].colour]
    return _with(scene, i, replace(scene.things[i], colour=chance.choice(_unlike(own)))), i


def _unlike(colour: tuple[int, int, int]) -> list[str]:
    return [name for name, rgb in COLOURS.items() if distance(rgb, colour) > _CLEAR]


def _swap(scene: Scene, chance: random.Random) -> _Made:
    pairs = [
        (i, k)
        for i in _plain(scene)
        for k in _plain(scene)
        if i < k and distance(COLOURS[scene.things[i].colour], COLOURS[scene.things[k].colour]) > _CLEAR
    ]
    if not pairs:
        raise NotApplicable("the scene has no two things of different colours")
    i, k = chance.choice(pairs)
    first, second = scene.things[i], scene.things[k]
    return _with(
        _with(scene, i, replace(first, colour=second.colour)), k, replace(second, colour=first.colour)
    ), i


def _missing(scene: Scene, chance: random.Random) -> _Made:
    if len(scene.things) < 2:
        raise NotApplicable("the scene has only one thing")
    merged = {t.merged_into for t in scene.things}
    i = _pick(
        [k for k, t in enumerate(scene.things) if k not in merged and t.merged_into is None], chance, "thing"
    )
    return _without(scene, i), i


def _without(scene: Scene, i: int) -> Scene:
    things = tuple(t for k, t in enumerate(scene.things) if k != i)
    relations = tuple(
        replace(r, first=r.first - (r.first > i), second=r.second - (r.second > i))
        for r in scene.relations
        if i not in (r.first, r.second)
    )
    things = tuple(
        replace(t, merged_into=t.merged_into - 1) if t.merged_into is not None and t.merged_into > i else t
        for t in things
    )
    return replace(scene, things=things, relations=relations)


def _extra(scene: Scene, chance: random.Random) -> _Made:
    free = _free(scene)
    if not free or len(scene.things) >= 6:
        raise NotApplicable("the scene has no room for another thing")
    there = {t.noun for t in scene.things}
    noun = chance.choice([n for n in THINGS if n not in there])
    thing = Thing(noun, colour=chance.choice(tuple(COLOURS)), place=chance.choice(free))
    return replace(scene, things=(*scene.things, thing)), -1


def _wrong_thing(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k in _plain(scene) if scene.things[k].noun in THINGS], chance, "thing without legs")
    there = {t.noun for t in scene.things}
    noun = chance.choice([n for n in THINGS if n not in there])
    return _with(scene, i, replace(scene.things[i], noun=noun)), i


def _free(scene: Scene) -> list[str]:
    """Places whose cell nothing stands in, by the boxes that are drawn."""
    layout = lay_out(scene)
    found = []
    for place in PLACES:
        trial = (
            replace(scene, things=(*scene.things, Thing("ball", place=place)))
            if len(scene.things) < 8
            else scene
        )
        box = lay_out(trial).copies[-1].box
        taken = [c.box for c in layout.copies] + list(layout.letterings)
        if not any(box.overlaps(b) for b in taken) and lay_out(trial).copies[:-1] == layout.copies:
            found.append(place)
    return found


def _place(scene: Scene, chance: random.Random) -> _Made:
    """A single thing moves to a free place at the other side, or its relation to others turns round."""
    singles = [k for k, t in enumerate(scene.things) if t.count == 1 and t.merged_into is None]
    i = _pick(singles, chance, "single thing")
    own = scene.things[i].place
    far = [
        p
        for p in _free(_without(scene, i) if len(scene.things) > 1 else replace(scene, things=()))
        if abs(row_of(p) - row_of(own)) + abs(column_of(p) - column_of(own)) >= 2
    ]
    if not far:
        raise NotApplicable("the scene has no free place far enough away")
    return _with(scene, i, replace(scene.things[i], place=chance.choice(far))), i


def _relation(scene: Scene, chance: random.Random) -> _Made:
    if not scene.relations:
        raise NotApplicable("the scene has no relation")
    relation = chance.choice(scene.relations)
    first, second = scene.things[relation.first], scene.things[relation.second]
    swapped = _with(scene, relation.first, replace(first, place=second.place))
    return _with(swapped, relation.second, replace(second, place=first.place)), relation.first


def _merge(scene: Scene, chance: random.Random) -> _Made:
    pairs = [
        (i, k)
        for k, b in enumerate(scene.things)
        for i, a in enumerate(scene.things[:k])
        if a.count == b.count == 1 and a.merged_into is None and b.merged_into is None
    ]
    if not pairs:
        raise NotApplicable("the scene has no two single things")
    i, k = chance.choice(pairs)
    return _with(scene, k, replace(scene.things[k], merged_into=i)), k


def _identity(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k, t in enumerate(scene.things) if t.look is not None], chance, "look")
    thing = scene.things[i]
    assert thing.look is not None
    return _with(scene, i, replace(thing, look=another_look(thing.look, chance, whole=True))), i


def _identity_part(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k, t in enumerate(scene.things) if t.look is not None], chance, "look")
    thing = scene.things[i]
    assert thing.look is not None
    return _with(scene, i, replace(thing, look=another_look(thing.look, chance, whole=False))), i


def another_look(look: Look, chance: random.Random, *, whole: bool) -> Look:
    """A look that is not this one: entirely another, or one aspect of it changed."""
    others = [c for c in LOOK_COLOURS if c not in (look.colour, look.second)]
    first, second = chance.sample(others, 2)
    changes: dict[str, dict[str, str]] = {
        "colours": {"colour": first, "second": second},
        "pattern": {"pattern": chance.choice([p for p in PATTERNS if p not in (look.pattern, "plain")])},
        "figure": {"figure": chance.choice([f for f in FIGURES if f != look.figure])},
    }
    if look.outline in OUTLINES:
        changes["outline"] = {"outline": chance.choice([o for o in OUTLINES if o != look.outline])}
    assert look.outline in (*OUTLINES, *LOOK_NOUNS)
    if whole:
        return replace(look, **{k: v for change in changes.values() for k, v in change.items()})
    return replace(look, **chance.choice(list(changes.values())))


def _legs(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k, t in enumerate(scene.things) if CREATURES.get(t.noun)], chance, "creature with legs")
    legs = scene.things[i].leg_count
    wrong = [n for n in (legs - 1, legs + 1, legs + 2) if 1 <= n <= 10]
    return _with(scene, i, replace(scene.things[i], legs=chance.choice(wrong))), i


def _material(scene: Scene, chance: random.Random) -> _Made:
    made = [k for k in _plain(scene) if scene.things[k].material != "plain"]
    i = _pick(made, chance, "thing of a material")
    thing = scene.things[i]
    wrong = ["plain", *(m for m in MATERIALS if m not in ("plain", thing.material))]
    return _with(scene, i, replace(thing, material=chance.choice(wrong))), i


def _skin(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k in _plain(scene) if scene.things[k].skin], chance, "borrowed skin")
    thing = scene.things[i]
    return _with(
        scene, i, replace(thing, skin=chance.choice(["", *(s for s in SKINS if s != thing.skin)]))
    ), i


def _shadow(scene: Scene, chance: random.Random) -> _Made:
    i = _pick([k for k, t in enumerate(scene.things) if t.shadow and t.merged_into is None], chance, "shadow")
    return _with(scene, i, replace(scene.things[i], shadow=False)), i


def _letters(scene: Scene, chance: random.Random) -> _Made:
    i = _pick(list(range(len(scene.letterings))), chance, "lettering")
    return _rewritten(scene, i, garbled(scene.letterings[i].text, chance)), i


def _rewritten(scene: Scene, i: int, text: str) -> Scene:
    letterings = list(scene.letterings)
    letterings[i] = replace(letterings[i], text=text)
    return replace(scene, letterings=tuple(letterings))


def _other_words(scene: Scene, chance: random.Random) -> _Made:
    i = _pick(list(range(len(scene.letterings))), chance, "lettering")
    words = ["MORNING PIER", "Old Mill 1874", "QUIET FIELDS", "North Gate", "FAIR WINDS"]
    return _rewritten(scene, i, chance.choice([w for w in words if w != scene.letterings[i].text])), i


def _no_text(scene: Scene, chance: random.Random) -> _Made:
    i = _pick(list(range(len(scene.letterings))), chance, "lettering")
    return replace(scene, letterings=tuple(v for k, v in enumerate(scene.letterings) if k != i)), i


def _caption(scene: Scene, chance: random.Random) -> _Made:
    taken = {row_of(v.place) for v in scene.letterings}
    free = [p for p in ("top", "bottom") if row_of(p) not in taken]
    if not free or not scene.letterings or len(scene.letterings) >= MAX_LETTERINGS:
        raise NotApplicable("the scene has no room for a caption, or no lettering that it could spoil")
    return replace(
        scene, letterings=(*scene.letterings, Lettering("LOREM SALE", chance.choice(free), "none"))
    ), -1


def _text_place(scene: Scene, chance: random.Random) -> _Made:
    taken = {row_of(v.place) for v in scene.letterings}
    movable = [
        i for i, v in enumerate(scene.letterings) if row_of(v.place) != 1 and 2 - row_of(v.place) not in taken
    ]
    i = _pick(movable, chance, "lettering with the other edge free")
    letterings = list(scene.letterings)
    own = letterings[i].place
    letterings[i] = replace(letterings[i], place=PLACES[3 * (2 - row_of(own)) + column_of(own)])
    return replace(scene, letterings=tuple(letterings)), i


def _flat_light(scene: Scene, chance: random.Random) -> _Made:
    if scene.light == "flat":
        raise NotApplicable("the light of the scene is flat already")
    return replace(scene, light="flat", light_from=""), -1


def _other_light(scene: Scene, chance: random.Random) -> _Made:
    if scene.light == "flat":
        raise NotApplicable("no light was asked for")
    others = {
        "day": ("dusk", "night"),
        "dusk": ("day", "night"),
        "night": ("day", "dusk"),
        "overcast": ("dusk", "lamp"),
    }
    return replace(scene, light=chance.choice(others.get(scene.light, ("night", "overcast")))), -1


def _plain_style(scene: Scene, chance: random.Random) -> _Made:
    if scene.style == "plain":
        raise NotApplicable("the style of the scene is plain already")
    return replace(scene, style="plain"), -1


def _other_style(scene: Scene, chance: random.Random) -> _Made:
    if scene.style == "plain":
        raise NotApplicable("no style was asked for")
    return replace(scene, style=chance.choice([s for s in STYLES if s not in ("plain", scene.style)])), -1


def _contrast(scene: Scene, chance: random.Random) -> _Made:
    return replace(scene, contrast=0.45), -1


DEFECTS: dict[str, tuple[str, Callable[[Scene, random.Random], _Made]]] = {
    "missing thing": (FAITHFULNESS, _missing),
    "extra thing": (FAITHFULNESS, _extra),
    "wrong thing": (FAITHFULNESS, _wrong_thing),
    "wrong count": (VISUAL, _count),
    "wrong colour": (VISUAL, _colour),
    "swapped colours": (VISUAL, _swap),
    "wrong place": (VISUAL, _place),
    "wrong relation": (VISUAL, _relation),
    "merged things": (VISUAL, _merge),
    "wrong identity": (VISUAL, _identity),
    "altered identity": (VISUAL, _identity_part),
    "wrong legs": (VISUAL, _legs),
    "wrong material": (VISUAL, _material),
    "missing skin": (VISUAL, _skin),
    "missing shadow": (VISUAL, _shadow),
    "wrong letters": (TEXT, _letters),
    "other words": (TEXT, _other_words),
    "missing text": (TEXT, _no_text),
    "extra caption": (TEXT, _caption),
    "misplaced text": (TEXT, _text_place),
    "flat light": (AESTHETICS, _flat_light),
    "wrong light": (AESTHETICS, _other_light),
    "missing style": (AESTHETICS, _plain_style),
    "wrong style": (AESTHETICS, _other_style),
    "low contrast": (AESTHETICS, _contrast),
}
"""Defects by name: the dimension in which each shows, and how it is made."""
