import itertools
import json

import pytest

from genevolve.interpreter.studio.layout import lay_out
from genevolve.interpreter.studio.palette import COLOURS, GROUNDS, LIGHTS, distance, lit, nearest
from genevolve.interpreter.studio.scene import (
    ARRANGEMENTS,
    CREATURES,
    LOOK_NOUNS,
    NOUNS,
    PLACES,
    Lettering,
    Look,
    Relation,
    Scene,
    Thing,
    holds,
)

LOOK = Look("shield", "red", "white", "chevron", "key")
FULL = Scene(
    things=(
        Thing("emblem", look=LOOK, place="upper left"),
        Thing("cat", "black", legs=5, place="right"),
        Thing("star", "yellow", count=7, place="bottom", arrangement="grid"),
        Thing("cup", "blue", material="glass", merged_into=1, shadow=False),
    ),
    letterings=(Lettering("HARBOUR DAYS", "top"),),
    relations=(Relation(0, "left_of", 1),),
    light="dusk",
    light_from="left",
    style="ink",
    background="beach",
    seed=5,
)


def test_a_scene_survives_json() -> None:
    assert Scene.from_dict(json.loads(FULL.to_json())) == FULL
    assert Scene.from_dict(json.loads(Scene().to_json())) == Scene()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "genevolve.scene/0"},
        {"colour": "red"},
        {"light": "noon"},
        {"width": 10},
        {"width": True},
        {"contrast": "high"},
        {"contrast": float("nan")},
        {"seed": 2**70},
        {"things": [{"noun": "ball", "wheels": 2}]},
        {"things": [{"noun": "ball", "count": 0}]},
        {"things": [{"noun": "ball", "legs": 2}]},
        {"things": [{"noun": "emblem"}]},
        {"things": [{"noun": "boat", "look": {**FULL.to_dict()["things"][0]["look"]}}]},
        {"things": [{"noun": "ball", "merged_into": 0}]},
        {"things": [{"noun": "ball"}] * 9},
        {"things": [3]},
        {"things": 3},
        {"letterings": [{"text": ""}]},
        {"letterings": [{"text": "a\nb"}]},
        {"letterings": [{"text": "x" * 29}]},
        {"relations": [{"first": 0, "relation": "left_of", "second": 1}]},
    ],
)
def test_what_cannot_be_drawn_is_no_scene(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Scene.from_dict({**Scene().to_dict(), **change})


def test_a_look_has_two_colours_and_fits_its_noun() -> None:
    with pytest.raises(ValueError):
        Look("shield", "red", "red", "cross", "key")
    with pytest.raises(ValueError):
        Thing("key", look=Look("boat", "red", "blue", "cross", "key"))


def test_relations_are_those_of_the_places() -> None:
    assert holds(FULL, FULL.relations[0])
    assert not holds(FULL, Relation(1, "left_of", 0))


def test_colours_of_things_are_told_apart_in_every_light() -> None:
    for light in LIGHTS:
        for name, colour in COLOURS.items():
            assert nearest(lit(colour, light)) == name
            assert min(distance(lit(colour, light), g) for g in GROUNDS.values()) > 90


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 12])
def test_copies_stand_apart_and_inside(arrangement: str, count: int) -> None:
    for seed, place in itertools.product(range(3), PLACES):
        scene = Scene(things=(Thing("ball", count=count, place=place, arrangement=arrangement),), seed=seed)
        boxes = [c.box for c in lay_out(scene).copies]
        assert len(boxes) == count
        assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= 384 and b.y1 <= 384 for b in boxes)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert min(b.width for b in boxes) >= 18


def test_things_at_nine_places_do_not_touch_letterings_or_each_other() -> None:
    for skipped in range(9):
        places = [p for i, p in enumerate(PLACES) if i != skipped]
        scene = Scene(
            things=tuple(Thing("ball", place=p) for p in places),
            letterings=(Lettering("TOP"), Lettering("BOTTOM", "bottom")),
        )
        layout = lay_out(scene)
        boxes = [c.box for c in layout.copies] + list(layout.letterings)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_group_gives_way_to_single_things() -> None:
    scene = Scene(
        things=(
            Thing("star", count=6, place="bottom", arrangement="row"),
            Thing("cup", place="lower left"),
            Thing("key", place="lower left"),
        )
    )
    boxes = [c.box for c in lay_out(scene).copies]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_where_a_thing_stands_does_not_depend_on_others() -> None:
    alone = lay_out(Scene(things=(Thing("cup", place="right"),))).copies[0]
    among = lay_out(
        Scene(
            things=(Thing("cup", place="right"), Thing("star", count=4, place="top")),
            letterings=(Lettering("A"),),
        )
    ).copies[0]
    assert (alone.x, alone.y, alone.side) == (among.x, among.y, among.side)


def test_every_noun_can_be_a_thing() -> None:
    for noun in NOUNS:
        outline = "disc" if noun == "emblem" else noun
        look = Look(outline, "red", "blue", "cross", "key") if noun in LOOK_NOUNS else None
        assert Thing(noun, look=look).leg_count == CREATURES.get(noun, 0)
