import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.interpreter.studio.reading import ReadThing, count_words, read, sentences

ALL = {"outline", "colours", "pattern", "figure"}


def only(prompt: str) -> ReadThing:
    reading = read(prompt)
    assert len(reading.things) == 1, reading.things
    return reading.things[0]


@pytest.mark.parametrize(
    "prompt",
    [
        "Exactly five yellow stars stand in one straight row along the bottom.",
        "Along the bottom stand exactly five yellow stars in a row.",
        "A row of exactly 5 yellow stars at the bottom of the picture.",
        "In the lower strip, exactly five stars in yellow form a single line.",
        "There are exactly five golden stars. They stand in one line at the bottom.",
        "At the bottom: a straight row of yellow stars, exactly five.",
    ],
)
def test_counted_groups_in_many_words(prompt: str) -> None:
    thing = only(prompt)
    assert (thing.noun, thing.colours, thing.count, thing.exact) == ("star", ["yellow"], 5, True)
    assert (thing.arranged, thing.places) == ("row", ["bottom"])


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("in the upper left corner of the picture", "upper left"),
        ("at the top left", "upper left"),
        ("in the left third", "left"),
        ("on the right side of the picture", "right"),
        ("in the right half of the frame", "right"),
        ("in the middle of the picture", "centre"),
        ("at the centre", "centre"),
        ("at the bottom", "bottom"),
        ("in the lower quarter, on the right", "lower right"),
        ("in the upper middle", "top"),
        ("at the left edge", "left"),
        ("in the lower left third", "lower left"),
    ],
)
@pytest.mark.parametrize(
    "form", ["A red cup stands {}.", "There is a mug {}; it is red.", "{}, a red cup stands."]
)
def test_places_in_many_words(form: str, words: str, place: str) -> None:
    thing = only(form.format(words) if not form.startswith("{}") else form.format(words.capitalize()))
    assert (thing.noun, thing.colours) == ("cup", ["red"])
    assert thing.places == [place]


@pytest.mark.parametrize(
    "prompt",
    [
        "The emblem from the first reference image stands on the left; copy its outline, colours, pattern and figure.",
        "From the first reference image, copy the emblem with its outline, colours, pattern and badge; it stands left.",
        "On the left the crest of reference image 1, same shape, same colours, same pattern, same symbol.",
        "An emblem stands on the left. It keeps the design of the first reference picture exactly.",
        "On the left stands the coat of arms, identical in every detail of its look to the first reference image.",
    ],
)
def test_references_in_many_words(prompt: str) -> None:
    thing = only(prompt)
    assert (thing.noun, thing.references, thing.copying) == ("emblem", [1], True)
    assert thing.copied == ALL
    assert thing.places == ["left"]


def test_a_reference_without_a_noun_is_a_thing_of_its_own() -> None:
    assert only("Copy everything from the second reference image.").references == [2]


@pytest.mark.parametrize(
    "prompt",
    [
        'Across the top, on a cream banner, bold black capitals read "HARBOUR DAYS".',
        'A cream banner at the top reads "HARBOUR DAYS" in black letters.',
        "A cream ribbon across the top says “HARBOUR DAYS” in black capitals.",
        'At the top there is a cream banner with the words "HARBOUR DAYS" in black.',
    ],
)
def test_lettering_in_many_words(prompt: str) -> None:
    reading = read(prompt)
    (text,) = reading.texts
    assert (text.text, text.place, text.surface) == ("HARBOUR DAYS", "top", "banner")
    assert (text.colour, text.ground) == ("black", "cream")
    assert not reading.things


def test_two_texts_of_one_sentence_are_crowded() -> None:
    reading = read('The banner at the top reads "ONE" and the sign at the bottom reads "TWO".')
    assert [(t.text, t.place, t.surface, t.crowded) for t in reading.texts] == [
        ("ONE", "top", "banner", True),
        ("TWO", "bottom", "sign", True),
    ]


def test_unquoted_words_are_a_text_all_the_same() -> None:
    (text,) = read("A sign that says OPEN LATE at the top.").texts
    assert (text.text, text.quoted) == ("OPEN LATE", False)


def test_only_words_closes_the_list() -> None:
    assert read('A sign reads "A". These are the only words in the picture.').closed
    assert read('A sign reads "A". There is no other text.').closed
    assert not read('A sign reads "A". Only the cup is red.').closed


def test_colours_are_bound_by_their_noun_or_handed_out_in_order() -> None:
    one = {t.noun: t for t in read("A red cup stands left. A blue bell stands right.").things}
    assert one["cup"].bound
    assert one["cup"].sharing < 0
    for prompt in ("A cup and a bell in red and blue.", "A red cup and a blue bell."):
        both = {t.noun: t for t in read(prompt).things}
        assert (both["cup"].colours, both["bell"].colours) == (["red"], ["blue"])
        assert both["cup"].sharing >= 0
        assert not both["cup"].bound


def test_one_noun_of_two_colours_is_two_things() -> None:
    assert [t.colours for t in read("A red and a blue cup.").things] == [["red"], ["blue"]]
    assert [t.colours for t in read("Red and blue cups.").things] == [["red"], ["blue"]]


def test_later_sentences_go_on_about_the_same_thing() -> None:
    thing = only(
        "A kite stands in the centre. The kite is green. It is made of cloth with a coarse weave and folds."
    )
    assert (thing.colours, thing.material, thing.places) == (["green"], "cloth", ["centre"])
    assert len(thing.matter) >= 2


def test_listed_places_are_the_places_of_copies() -> None:
    thing = only("Exactly three lanterns: one lantern on the left, one in the middle, one on the right.")
    assert (thing.count, thing.places) == (3, ["left", "centre", "right"])


def test_legs_are_not_a_number_of_things() -> None:
    thing = only(
        "A horse with exactly four legs, seen from the side, each leg apart and touching the ground."
    )
    assert (thing.count, thing.legs) == (None, 4)
    assert len(thing.leg_cues) >= 3


def test_relations_name_their_target() -> None:
    things = {
        t.noun: t for t in read("A kite is to the left of the tower. The boat stands below a cup.").things
    }
    assert things["kite"].relations == [("left_of", "tower")]
    assert things["boat"].relations == [("below", "cup")]
    assert set(things) == {"kite", "tower", "boat", "cup"}


def test_light_style_and_ground() -> None:
    reading = read(
        "A watercolour on rough paper with uneven washes. Warm dusk light from the left, long soft shadows. "
        "A cup stands on a beach."
    )
    assert (reading.lights, reading.light_from, reading.styles, reading.background) == (
        ["dusk"],
        "left",
        ["watercolour"],
        "beach",
    )
    assert len(reading.light_cues) >= 2
    assert not reading.things[0].places


def test_contradictions_are_noticed() -> None:
    assert "light" in read("Dusk light falls. Night light falls.").contradictions
    assert "style" in read("A mosaic. An ink drawing.").contradictions
    assert "count" in read("Exactly three stars. The five stars stand in a row.").contradictions
    assert "place" in read("The cup stands on the left. The cup stands on the right.").contradictions
    assert "place" in read("The cup stands on the left, then on the right.").contradictions
    assert "colour" in read("The cup is red. The cup is blue.").contradictions
    assert not read("A red cup stands on the left. A blue cup stands on the right.").contradictions


def test_unknown_words_are_passed_over() -> None:
    reading = read("A flibbering wug quorks the zany red shiny cup, alas, beside grommets.")
    assert [(t.noun, t.colours) for t in reading.things] == [("cup", ["red"])]


def test_invisible_characters_do_not_hide_words() -> None:
    assert only("A r\u200bed c\u00adup.").colours == ["red"]
    assert only("Ａ ｒｅｄ ｃｕｐ.").noun == "cup"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " \n\t ",
        "\x00\x01\x02" * 50,
        "\x01" + "9" * 40,
        '"' * 1001,
        "cup " * 100_000,
        "a red " * 50_000,
        '"A" ' * 30_000,
        "left " * 100_000,
        "first reference image " * 30_000,
        "." * 200_000,
        "(" * 5000,
        "exactly " * 50_000 + "five",
        "\ud800 a red cup",
        "🏴‍☠️" * 5000,
        "of and the a an with " * 20_000,
    ],
)
def test_hostile_prompts_are_read_quickly(prompt: str) -> None:
    begin = time.perf_counter()
    reading = read(prompt)
    assert time.perf_counter() - begin < 3
    assert len(reading.things) <= 24
    assert len(reading.texts) <= 8
    assert len(reading.notes) <= 20


WORDS = [
    "a",
    "the",
    "red",
    "blue",
    "cup",
    "star",
    "two",
    "exactly",
    "five",
    "row",
    "left",
    "upper",
    "of",
    "in",
    "and",
    ",",
    ".",
    ";",
    ":",
    '"A"',
    "banner",
    "reads",
    "first",
    "reference",
    "image",
    "copy",
    "its",
    "outline",
    "it",
    "legs",
    "four",
    "dusk",
    "light",
    "mosaic",
    "glass",
    "shadow",
    "under",
    "each",
    "one",
    "next",
    "to",
    "is",
    "leaves",
    "skin",
    "with",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_any_order_of_known_words_is_read(prompt: str) -> None:
    read(prompt)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read(prompt: str) -> None:
    read(prompt)


def test_the_order_of_sentences_does_not_matter() -> None:
    parts = [
        "A red cup stands on the left.",
        "Exactly four blue keys stand in a row at the bottom.",
        'A banner at the top reads "OPEN".',
        "Warm dusk light, long shadows.",
    ]
    seen = set()
    for seed in range(6):
        random.Random(seed).shuffle(parts)
        reading = read(" ".join(parts))
        things = sorted((t.noun, tuple(t.colours), t.count, tuple(t.places)) for t in reading.things)
        seen.add((tuple(things), tuple((t.text, t.place) for t in reading.texts), tuple(reading.lights)))
    assert len(seen) == 1


def test_sentences_keep_quotations_whole() -> None:
    parts, quotes = sentences('A sign reads "One. Two! Three?" at the top. Next.')
    assert len(parts) == 2
    assert quotes == ["One. Two! Three?"]


@pytest.mark.parametrize("joint", ["-", ",", "/", "_", " "])
def test_joined_words_count_all_the_same(joint: str) -> None:
    assert count_words(joint.join(["cup"] * 440)) >= 400


def test_a_hyphen_here_and_there_is_free() -> None:
    assert count_words("a square eye-level view of one red cup on a table, well lit") == 13
