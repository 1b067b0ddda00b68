"""What the storyboard understands of a prompt and of its constraints."""

from __future__ import annotations

import pytest
from storyboard_scenes import make_z

from genevolve.grammar.z import Reference, Settings, Z
from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.icons import ICONS
from genevolve.interpreter.renderers.storyboard.meaning import understand
from genevolve.interpreter.renderers.storyboard.phrases import sentences
from genevolve.interpreter.renderers.storyboard.reading import read
from genevolve.interpreter.renderers.storyboard.scene import Scene


def counts(scene: Scene) -> dict[str, int]:
    out: dict[str, int] = {}
    for thing in scene.things:
        out[thing.noun] = out.get(thing.noun, 0) + thing.count
    return out


def links(scene: Scene) -> set[tuple[str, str, str]]:
    return {(k.a.noun, k.kind, k.b.noun) for k in scene.links}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Exactly 2 backpackers stand on a hill.", {"backpacker": 2}),
        ("A dozen cats.", {"cat": 12}),
        ("Half a dozen red apples and three pears.", {"apple": 6, "pear": 3}),
        ("A pair of dogs beside a bicycle.", {"dog": 2, "bicycle": 1}),
        ("Twenty-three blue balls.", {"ball": 23}),
        ("Two sailing boats.", {"boat": 2}),
        ("There are no dogs, only a cat.", {"cat": 1}),
        ("A house without a tree.", {"house": 1}),
        ("The children play. The children wear hats.", {"child": 3}),
        ("Two vases: a white vase on the left and a blue vase on the right.", {"vase": 2}),
        ("One cat like a tiger.", {"cat": 1}),
        ("Five mice and three geese.", {"mouse": 5, "goose": 3}),
        ("On the pad stands a Falcon 9 rocket.", {"rocket": 1}),
        ("On 11 February 2015 a rocket stands in the snow.", {"rocket": 1}),
        ("A Hill With Exactly 3 Cats.", {"cat": 3}),
        ("EXACTLY 4 CATS.", {"cat": 4}),
        ("A postcard, seen straight on. A rocket stands in the center.", {"rocket": 1}),
    ],
)
def test_counts(prompt: str, expected: dict[str, int]) -> None:
    assert counts(read(prompt)) == expected


@pytest.mark.parametrize(
    ("prompt", "noun", "colour", "material"),
    [
        ("A red car.", "car", "red", ""),
        ("A dark green bottle.", "bottle", "dark green", ""),
        ("An orange on a plate.", "orange", None, ""),
        ("An orange car.", "car", "orange", ""),
        ("The car is blue.", "car", "blue", ""),
        ("A wooden chair.", "chair", None, "wooden"),
        ("A child in a yellow raincoat.", "child", "yellow", ""),
        ("A sky blue umbrella.", "umbrella", "sky blue", ""),
        ("A small, round, red apple.", "apple", "red", ""),
    ],
)
def test_attributes(prompt: str, noun: str, colour: str | None, material: str) -> None:
    thing = next(t for t in read(prompt).things if t.noun == noun)
    assert (thing.colours[0][0] if thing.colours else None) == colour
    assert thing.material == material


def test_members_of_a_group_have_colours_of_their_own() -> None:
    scene = read("Two backpackers, one in a red jacket and the other in a blue jacket.")
    (group,) = scene.things
    assert [group.item_colour(i) for i in range(2)] == [lex.COLOURS["red"], lex.COLOURS["blue"]]


@pytest.mark.parametrize(
    ("prompt", "x", "y"),
    [
        ("A cat in the lower third.", None, (2 / 3, 1)),
        ("A cat in the top left corner.", (0, 0.36), (0, 0.36)),
        ("On the left side stands a cat.", (0, 0.42), None),
        ("A cat fills the right half.", (0.5, 1), None),
        ("In the upper two thirds a cat.", None, (0, 2 / 3)),
    ],
)
def test_places(prompt: str, x: tuple[float, float] | None, y: tuple[float, float] | None) -> None:
    place = read(prompt).things[0].place
    assert place is not None
    for found, wanted in ((place.x, x), (place.y, y)):
        assert found == (pytest.approx(wanted) if wanted is not None else None)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A cat left of a dog.", {("cat", "left_of", "dog")}),
        ("A cat to the right of a dog.", {("cat", "right_of", "dog")}),
        ("A cup on a table.", {("cup", "on", "table")}),
        ("On a table stands a cup.", {("cup", "on", "table")}),
        ("In front of a house stand two men.", {("man", "in_front_of", "house")}),
        ("A bird above a house.", {("bird", "above", "house")}),
        ("A man in front of a house.", {("man", "in_front_of", "house")}),
        ("A vase with five roses.", {("rose", "inside", "vase")}),
        (
            "A cup next to a lamp on a desk.",
            {("cup", "next_to", "lamp"), ("cup", "on", "desk"), ("lamp", "on", "desk")},
        ),
        ("A dog sits between a tree and a bench.", {("dog", "between", "tree")}),
    ],
)
def test_relations(prompt: str, expected: set[tuple[str, str, str]]) -> None:
    assert links(read(prompt)) == expected


def test_texts_with_place_style_and_carrier() -> None:
    scene = read(
        'The title "Paris" runs across the top in bold serif capitals. A wooden sign says "OPEN". '
        'At the bottom, in small white italic letters: "since 1990".'
    )
    title, on_sign, last = scene.texts
    assert (title.shown, title.role, title.serif) == ("PARIS", "title", True)
    assert title.place is not None
    assert title.place.y == (0.0, 0.3)
    assert on_sign.carrier is not None
    assert on_sign.carrier.noun == "sign"
    assert last.italic
    assert last.colour == lex.COLOURS["white"]
    assert last.place is not None
    assert last.place.y == (0.7, 1.0)


def test_references_are_linked_to_what_they_show() -> None:
    scene = read("The tower from the first reference image, in the light of the second reference image.")
    tower, light = scene.things
    assert (tower.noun, tower.ref, tower.role) == ("tower", 1, "subject")
    assert (light.ref, light.role) == (2, "style")


def test_several_references_in_one_phrase() -> None:
    scene = read("The first and second reference images stand side by side.")
    assert [t.ref for t in scene.things] == [1, 2]
    assert scene.side_by_side


def test_setting_and_light() -> None:
    scene = read("At golden hour a child plays on a beach.")
    assert (scene.setting, scene.lights) == ("beach", ["goldenhour"])


def test_a_last_paragraph_of_evidence_is_not_drawn() -> None:
    scene = read("A cat.\n\nFrom the guide: three dogs and five horses live here.")
    assert counts(scene) == {"cat": 1}
    assert any("last paragraph" in n for n in scene.notes)


def test_what_is_not_understood_is_said() -> None:
    scene = read("A cat. Reflective understatement prevails everywhere.")
    assert any("Reflective understatement prevails" in n for n in scene.notes)


def test_quotes_of_many_kinds() -> None:
    scene = read("“One” «Two» 「Three」 'Four' \"Five\" — it's the cats' house, don't quote that.")
    assert [t.value for t in scene.texts] == ["One", "Two", "Three", "Four", "Five"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (("count", {"what": "cat", "operator": "==", "n": 5}), {"cat": 5}),
        (("count", {"what": "cat", "operator": ">=", "n": 2}), {"cat": 3}),
        (("count", {"what": "cat", "operator": ">", "n": 3}), {"cat": 4}),
        (("count", {"what": "cat", "operator": "<=", "n": 2}), {"cat": 2}),
        (("count", {"what": "cat", "operator": "<", "n": 3}), {"cat": 2}),
        (("count", {"what": "cat", "operator": "!=", "n": 3}), {"cat": 4}),
        (("count", {"what": "dog", "operator": "==", "n": 2}), {"cat": 3, "dog": 2}),
    ],
)
def test_counts_of_constraints_are_stronger_than_the_prompt(
    rule: tuple[str, dict[str, str | int]], expected: dict[str, int]
) -> None:
    assert counts(understand(make_z("Three cats.", require=[rule]))) == expected


def test_counts_distinguish_groups_by_colour() -> None:
    prompt = "A white vase. It holds red dahlias. A blue vase. It holds yellow dahlias."
    rules = [
        ("count", {"what": "red dahlia", "operator": "==", "n": 5}),
        ("count", {"what": "yellow dahlia", "operator": "==", "n": 2}),
        ("count", {"what": "vase", "operator": "==", "n": 2}),
    ]
    scene = understand(make_z(prompt, require=rules))
    found = {(t.noun, t.colours[0][0]): t.count for t in scene.things}
    assert found == {("vase", "white"): 1, ("dahlia", "red"): 5, ("vase", "blue"): 1, ("dahlia", "yellow"): 2}


def test_attributes_of_constraints() -> None:
    rules = [
        ("attribute", {"what": "left panel", "value": "red"}),
        ("attribute", {"what": "right panel", "value": "yellow"}),
        ("attribute", {"what": "cup", "value": "blue porcelain"}),
    ]
    scene = understand(make_z("Two panels. A red cup.", require=rules))
    panel, cup = scene.things
    assert [panel.item_colour(i) for i in range(2)] == [lex.COLOURS["red"], lex.COLOURS["yellow"]]
    assert (cup.colours[0][0], cup.material) == ("blue", "porcelain")


def test_a_relation_of_a_constraint_replaces_that_of_the_prompt() -> None:
    rules = [("relation", {"a": "cat", "relation": "right_of", "b": "dog"})]
    assert links(understand(make_z("A cat left of a dog.", require=rules))) == {("cat", "right_of", "dog")}


def test_required_text_is_set_even_when_the_prompt_does_not_quote_it() -> None:
    scene = understand(make_z("A cover.", require=[("text", {"value": "Hello There", "at": "bottom"})]))
    (text,) = scene.texts
    assert (text.shown, text.exact) == ("Hello There", True)


def test_a_required_text_keeps_its_letters_where_the_prompt_asks_for_capitals() -> None:
    prompt = 'The title "Paris" in capitals at the top.'
    (free,) = understand(make_z(prompt)).texts
    (bound,) = understand(make_z(prompt, require=[("text", {"value": "Paris", "at": "top"})])).texts
    assert (free.shown, bound.shown) == ("PARIS", "Paris")


def test_what_a_reference_shows_is_not_drawn_again() -> None:
    reference = Reference(1, "cup", "the cup, the saucer and the spoon", "0" * 64)
    prompt = "The cup from the first reference image. The saucer is white."
    scene = understand(Z("r", prompt, reference_images=(reference,), settings=Settings()))
    assert counts(scene) == {"cup": 1}


def test_unknown_constraints_and_missing_references_are_noted() -> None:
    scene = understand(
        make_z("The cat from the second reference image.", require=[("mood", {"value": "calm"})])
    )
    assert any("mood" in n for n in scene.notes)
    assert any("no reference image 2" in n for n in scene.notes)


def test_every_word_of_the_vocabulary_names_a_pictogram() -> None:
    assert set(lex.NOUNS.values()) <= set(ICONS)
    assert set(ICONS) >= lex.LIVING


def test_sentences_end_where_they_end() -> None:
    tokens = sentences('A cup, "No. 5". Two cats; a dog.\n\nA bird')
    assert [[t.value for t in s if t.kind == "word"] for s in tokens] == [
        ["a", "cup"], ["two", "cats"], ["a", "dog"], ["a", "bird"]
    ]  # fmt: skip
