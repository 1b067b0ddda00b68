import random

import numpy as np
import pytest

from genevolve.interpreter.studio.defects import DEFECTS, NotApplicable, another_look, applicable, plant
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.layout import lay_out
from genevolve.interpreter.studio.scene import (
    FIGURES,
    LOOK_COLOURS,
    OUTLINES,
    PATTERNS,
    Lettering,
    Look,
    Relation,
    Scene,
    Thing,
)

RICH = Scene(
    things=(
        Thing("emblem", look=Look("shield", "red", "yellow", "chevron", "key")),
        Thing("cat", "black", place="left"),
        Thing("cup", "blue", material="metal", place="right"),
        Thing("boat", "orange", skin="bricks", place="upper left"),
        Thing("star", "yellow", count=5, place="bottom"),
    ),
    letterings=(Lettering("HARBOUR DAYS"),),
    light="dusk",
    style="watercolour",
    relations=(Relation(1, "left_of", 2),),
)


def test_a_rich_scene_can_have_every_defect() -> None:
    assert set(applicable(RICH)) == set(DEFECTS)


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("seed", range(4))
def test_a_defect_changes_the_picture_and_only_what_it_says(defect: str, seed: int) -> None:
    planted = plant(RICH, defect, seed)
    assert planted == plant(RICH, defect, seed)
    assert planted.dimension == DEFECTS[defect][0]
    worse = planted.scene
    assert (worse.width, worse.height, worse.seed) == (RICH.width, RICH.height, RICH.seed)
    before, after = (np.asarray(draw(s)).astype(int) for s in (RICH, worse))
    assert np.abs(before - after).max() > 20
    same = {
        "faithfulness": ("letterings", "light", "style", "contrast"),
        "visual_correctness": ("letterings", "light", "style", "contrast"),
        "text_accuracy": ("things", "light", "style", "contrast"),
        "aesthetics": ("things", "letterings"),
    }[planted.dimension]
    assert all(getattr(worse, name) == getattr(RICH, name) for name in same)


@pytest.mark.parametrize(
    "defect",
    ["missing thing", "extra thing", "wrong colour", "wrong letters", "misplaced text", "wrong place"],
)
def test_other_things_stay_where_they_are(defect: str) -> None:
    for seed in range(6):
        planted = plant(RICH, defect, seed)
        before = {RICH.things[c.thing].noun: c.box for c in lay_out(RICH).copies}
        after = {planted.scene.things[c.thing].noun: c.box for c in lay_out(planted.scene).copies}
        about = RICH.things[planted.about].noun if planted.about >= 0 else ""
        assert all(after[n] == before[n] for n in before if n in after and n != about)


def test_a_poor_scene_has_fewer_defects() -> None:
    poor = Scene(things=(Thing("cup"),))
    names = applicable(poor)
    assert "wrong count" not in names
    assert "wrong letters" not in names
    assert "flat light" not in names
    with pytest.raises(NotApplicable):
        plant(poor, "wrong letters")
    with pytest.raises(KeyError):
        plant(poor, "wrong smell")
    assert "low contrast" in applicable(Scene()) or applicable(Scene()) == ()


def test_another_look_is_another() -> None:
    chance = random.Random(1)
    for _ in range(200):
        a, b = chance.sample(LOOK_COLOURS, 2)
        look = Look(chance.choice(OUTLINES), a, b, chance.choice(PATTERNS), chance.choice(FIGURES))
        part, whole = (another_look(look, chance, whole=w) for w in (False, True))
        assert part != look
        fields = ("outline", "colour", "second", "pattern", "figure")
        assert 1 <= sum(getattr(part, f) != getattr(look, f) for f in fields) <= 2
        assert all(getattr(whole, f) != getattr(look, f) for f in ("outline", "colour", "pattern", "figure"))
