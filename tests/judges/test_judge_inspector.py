from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from genevolve.grammar.z import Constraint
from genevolve.interpreter.judges.inspector import Inspector
from genevolve.interpreter.judges.inspector.comparison import compare, similarity
from genevolve.interpreter.judges.inspector.reading import read
from genevolve.interpreter.judges.inspector.seen import from_scene
from genevolve.interpreter.judges.protocol import Case
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.palette import LIGHTS
from genevolve.interpreter.studio.scene import LIGHT_SIDES, STYLES, Lettering, Look, Scene, Thing

LOOK = Look("shield", "blue", "yellow", "cross", "anchor")
SCENE = Scene(
    (
        Thing("emblem", look=LOOK, place="centre"),
        Thing("kite", "red", count=5, place="bottom"),
        Thing("cat", "green", place="upper left"),
    ),
    (Lettering("HARBOUR DAYS", "top"),),
    background="meadow",
)
CONSTRAINTS = (
    Constraint("resembles", {"ref": 1, "what": "emblem"}),
    Constraint("count", {"what": "kite", "operator": "==", "n": 5}),
    Constraint("attribute", {"what": "kite", "value": "red"}),
    Constraint("count", {"what": "leg of the cat", "operator": "==", "n": 4}),
    Constraint("text", {"value": "HARBOUR DAYS", "at": "top"}),
)
INSPECTOR = Inspector()
ALL = {"faithfulness": 1.0, "visual_correctness": 1.0, "text_accuracy": 1.0, "aesthetics": 1.0}


def changed(index: int, **what: object) -> Scene:
    things = list(SCENE.things)
    things[index] = replace(things[index], **what)  # type: ignore[arg-type]  # fields by name
    return replace(SCENE, things=tuple(things))


def judged(image: Image.Image, constraints: tuple[Constraint, ...] = CONSTRAINTS) -> dict[str, float | None]:
    verdict = INSPECTOR.score(Case("r", image, draw(SCENE), constraints))
    assert verdict.score is not None
    return dict(verdict.dimensions)


class TestReading:
    @pytest.mark.parametrize(
        ("light", "style"), [*zip(LIGHTS, STYLES, strict=True), *zip(LIGHTS, STYLES[::-1], strict=True)]
    )
    def test_a_scene_is_read_in_every_light_and_style(self, light: str, style: str) -> None:
        scene = replace(
            SCENE, light=light, style=style, light_from=LIGHT_SIDES[len(light) % 3], seed=len(style)
        )
        seen, known = read(draw(scene), ["HARBOUR DAYS"], with_ocr=False), from_scene(scene)
        assert (seen.light, seen.side, seen.style, seen.background) == (
            light,
            scene.light_from,
            style,
            "meadow",
        )
        things = {(t.noun, t.colour, t.material, t.legs, t.look, t.count, t.shadows) for t in seen.things}
        wanted = {(t.noun, t.colour, t.material, t.legs, t.look, t.count, t.shadows) for t in known.things}
        assert things == wanted
        assert [t.text for t in seen.texts] == ["HARBOUR DAYS"]

    @pytest.mark.parametrize("size", [(256, 256), (512, 384), (768, 768), (384, 640)])
    def test_other_sizes_are_understood(self, size: tuple[int, int]) -> None:
        scene = replace(SCENE, width=size[0], height=size[1])
        result = compare(from_scene(scene), read(draw(scene), ["HARBOUR DAYS"], with_ocr=False), CONSTRAINTS)
        assert result.dimensions == ALL, result.failures

    @pytest.mark.parametrize(
        "image",
        [
            Image.new("RGB", (1, 1)),
            Image.new("RGB", (3, 900), "red"),
            Image.new("L", (500, 20), 7),
            Image.new("RGBA", (64, 64), (1, 2, 3, 0)),
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)),
            Image.radial_gradient("L").convert("RGB"),
        ],
        ids=["dot", "strip", "grey", "clear", "noise", "gradient"],
    )
    def test_any_picture_is_read(self, image: Image.Image) -> None:
        result = judged(image)
        assert result["faithfulness"] == 0
        assert result["visual_correctness"] == 0
        assert result["text_accuracy"] == 0


class TestScores:
    def test_the_ground_truth_meets_itself(self) -> None:
        assert judged(draw(SCENE)) == ALL
        assert judged(draw(replace(SCENE, seed=9))) == ALL

    @pytest.mark.parametrize(
        ("scene", "dimension", "level"),
        [
            (changed(1, count=4), "visual_correctness", 0.5),
            (changed(1, colour="blue"), "visual_correctness", 0.5),
            (changed(2, legs=6), "visual_correctness", 0.5),
            (changed(2, shadow=False), "visual_correctness", 0.5),
            (changed(2, material="wood"), "visual_correctness", 0.5),
            (changed(0, look=Look("disc", "red", "white", "bars", "key")), "visual_correctness", 0.0),
            (replace(SCENE, letterings=(Lettering("HARBOUR DAY", "top"),)), "text_accuracy", 0.5),
            (replace(SCENE, letterings=(Lettering("HARBOUR DAYS", "bottom"),)), "text_accuracy", 0.5),
            (replace(SCENE, letterings=(Lettering("QUIET FIELDS", "top"),)), "text_accuracy", 0.0),
            (replace(SCENE, letterings=()), "text_accuracy", 0.0),
            (replace(SCENE, background="snow"), "faithfulness", 0.5),
            (replace(SCENE, light="night"), "aesthetics", 0.5),
            (replace(SCENE, style="mosaic"), "aesthetics", 0.5),
            (replace(SCENE, contrast=0.45), "aesthetics", 0.5),
            (replace(SCENE, contrast=0.45, light="dusk"), "aesthetics", 0.0),
        ],
    )
    def test_one_mistake_shows_in_one_dimension(self, scene: Scene, dimension: str, level: float) -> None:
        assert judged(draw(scene)) == {**ALL, dimension: level}

    def test_no_text_asked_for_is_no_dimension(self) -> None:
        scene = replace(SCENE, letterings=())
        verdict = INSPECTOR.score(Case("r", draw(scene), draw(scene), CONSTRAINTS[:2]))
        assert verdict.dimensions["text_accuracy"] is None
        assert verdict.score == 1.0

    def test_without_a_picture_it_is_unscored(self) -> None:
        assert INSPECTOR.score(Case("r")).score is None

    @pytest.mark.parametrize(
        ("a", "b", "share"), [("ABCD", "ABCD", 1), ("AB CD", "ABCD", 1), ("ABCD", "ABC", 0.75), ("AB", "", 0)]
    )
    def test_letters_are_compared(self, a: str, b: str, share: float) -> None:
        assert similarity(a, b) == pytest.approx(share)


class TestTricks:
    """Pictures that mean to please a judge of pixels without being what was asked for."""

    def score(self, image: Image.Image) -> float:
        verdict = INSPECTOR.score(Case("r", image, draw(SCENE), CONSTRAINTS))
        assert verdict.score is not None
        return verdict.score

    def test_the_ground_truth_pasted_small(self) -> None:
        field = draw(Scene(background="meadow")).copy()
        field.paste(draw(SCENE).resize((128, 128)), (128, 128))
        assert self.score(field) < 0.3

    def test_two_ground_truths_side_by_side(self) -> None:
        truth = draw(SCENE)
        both = Image.new("RGB", (768, 384))
        both.paste(truth, (0, 0))
        both.paste(truth, (384, 0))
        assert self.score(both) < 0.5

    def test_the_ground_truth_under_an_overlay(self) -> None:
        grid = draw(SCENE).copy()
        pixels = np.array(grid)
        pixels[::6] = 255 - pixels[::6]
        assert self.score(Image.fromarray(pixels)) < 0.5

    def test_every_thing_in_every_colour(self) -> None:
        nouns = ("kite", "cat", "boat", "star", "key", "cup", "bell")
        crowd = Scene(
            tuple(
                Thing(n, "red", count=4, place=p)
                for n, p in zip(nouns, ("top", "left", "right") * 3, strict=False)
            ),
            background="meadow",
        )
        assert self.score(draw(crowd)) < 0.3

    def test_many_lines_of_which_one_is_right(self) -> None:
        lines = tuple(
            Lettering(t, p)
            for t, p in (("HARBOUR DAYS", "top"), ("HARBOUR", "bottom"), ("DAYS", "lower left"))
        )
        verdict = judged(draw(replace(SCENE, letterings=lines)))
        assert verdict["text_accuracy"] == 0.5

    def test_a_list_of_lines(self) -> None:
        def levels(lines: int) -> float | None:
            others = [
                Lettering(f"GUESS {n}", p) for n, p in zip("AB", ("lower left", "lower right"), strict=True)
            ]
            scene = replace(SCENE, letterings=(*SCENE.letterings, *others[:lines]))
            return compare(from_scene(SCENE), from_scene(scene), CONSTRAINTS).dimensions["text_accuracy"]

        assert [levels(n) for n in range(3)] == [1.0, 0.5, 0.0]

    def test_several_emblems_of_which_one_is_right(self) -> None:
        other = Thing("emblem", look=Look("disc", "red", "green", "bars", "star"), place="upper right")
        scene = replace(SCENE, things=(*SCENE.things, other))
        found = compare(from_scene(SCENE), from_scene(scene), CONSTRAINTS)
        assert found.dimensions["visual_correctness"] == 0.0

    def test_the_negative_and_the_mirror_image(self) -> None:
        truth = draw(SCENE)
        assert self.score(Image.fromarray(255 - np.asarray(truth))) < 0.5
        assert judged(truth.transpose(Image.Transpose.FLIP_LEFT_RIGHT))["text_accuracy"] == 0
