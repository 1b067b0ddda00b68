"""Quoted texts can be read back from the picture by an OCR engine, wherever and on whatever they stand."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from storyboard_scenes import draw, photograph, read_back, scene, squeezed

from genevolve.interpreter.renderers.storyboard.scene import Box
from genevolve.interpreter.renderers.storyboard.typeset import Typesetter, fit

TITLES = [
    "PARIS",
    "Summer 1994",
    "The Long Way Home",
    "FALCON 9",
    "11 FEBRUARY 2015",
    "Fish & Chips",
    "50% OFF",
]
PLACES = [
    "across the top",
    "at the bottom",
    "in the centre",
    "in the top left corner",
    "in the lower right corner",
]
GROUNDS = [
    "A forest.",
    "A city street at night.",
    "A beach at sunset.",
    "A room.",
    "Outer space with a planet.",
]


@pytest.mark.parametrize(("title", "place"), list(itertools.product(TITLES[:5], PLACES)))
def test_titles_are_read_back_at_every_place(title: str, place: str) -> None:
    rendering = draw(f'A cat. The title "{title}" stands {place}.')
    assert squeezed(title) in read_back(rendering.image)


@pytest.mark.parametrize(
    ("title", "ground"), list(itertools.product([*TITLES[5:], "Zebra Crossing"], GROUNDS))
)
def test_titles_are_read_back_on_every_ground(title: str, ground: str) -> None:
    rendering = draw(f'{ground} The title "{title}" in bold serif letters at the top.')
    assert squeezed(title) in read_back(rendering.image)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seed", [1, 2])
def test_texts_are_read_back_over_a_busy_photograph(tmp_path: Path, place: str, seed: int) -> None:
    busy = photograph(tmp_path / "busy.png", seed=seed)
    prompt = f'The wall from the first reference image. The title "NORTH STAR" stands {place}.'
    assert "NORTHSTAR" in read_back(draw(prompt, references=[busy]).image)


@pytest.mark.parametrize("colour", ["red", "yellow", "white", "black", "cream", "navy blue", "pink"])
@pytest.mark.parametrize("ground", ["on a white background", "on a black background", "on a beach"])
def test_asked_for_colours_stay_legible(colour: str, ground: str) -> None:
    rendering = draw(f'A plain picture {ground}. Large {colour} letters in the centre read "HARVEST".')
    assert "HARVEST" in read_back(rendering.image)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ('A wooden sign says "OPEN".', "OPEN"),
        ('A blue mug that says "BOSS" on a desk.', "BOSS"),
        ('A large billboard reads "DRINK WATER".', "DRINKWATER"),
        ('A banner with the words "GOOD LUCK".', "GOODLUCK"),
        ('A bottle labelled "TONIC".', "TONIC"),
        ('"EXIT" is written on a door.', "EXIT"),
        ('A chalkboard on which "MENU" is written, next to a chair.', "MENU"),
    ],
)
def test_texts_on_things_are_read_back_and_stand_on_them(prompt: str, text: str) -> None:
    rendering = draw(prompt)
    assert text in read_back(rendering.image)


@pytest.mark.parametrize("size", [(320, 320), (512, 768), (1024, 1024), (1536, 640), (2048, 2048)])
def test_texts_are_read_back_at_every_size(size: tuple[int, int]) -> None:
    prompt = 'A lighthouse. The title "HARBOUR" at the top and the line "open every day" at the bottom.'
    found = read_back(draw(prompt, size=size).image)
    assert "HARBOUR" in found
    assert "OPENEVERYDAY" in found


def test_a_long_text_wraps_and_is_read_back_whole() -> None:
    text = "The quick brown fox jumps over the lazy dog while seven wizards quietly boil twelve jugs of amber tea"
    rendering = draw(f'The text "{text}" in the centre.', size=(900, 700))
    (placed,) = scene(rendering)["texts"]
    assert placed["lines"] > 1
    assert squeezed(text) in read_back(rendering.image)


def test_several_texts_are_all_read_back() -> None:
    prompt = """A menu card. The heading "ESPRESSO BAR" at the top. Below it small letters read
    - "SINGLE 2.40"
    - "DOUBLE 3.20"
    The caption "corner of Mill Lane" at the bottom. "No. 17" in the top right corner."""
    rendering = draw(prompt, size=(832, 1216))
    found = read_back(rendering.image)
    for text in ("ESPRESSOBAR", "SINGLE2.40", "DOUBLE3.20", "CORNEROFMILLLANE", "NO.17"):
        assert text in found


def test_accents_and_other_alphabets_are_typeset() -> None:
    rendering = draw('"Café Zürich" at the top, "Θάλασσα" in the centre, "Москва" at the bottom.')
    assert {t["shown"] for t in scene(rendering)["texts"]} == {"Café Zürich", "Θάλασσα", "Москва"}
    assert not rendering.notes


@pytest.mark.parametrize(("text", "kept"), [("你好 hello", "hello"), ("🙂 smile 🚀", "smile")])
def test_missing_characters_are_noted_and_never_boxed(text: str, kept: str) -> None:
    rendering = draw(f'The title "{text}" at the top.')
    assert scene(rendering)["texts"][0]["shown"] == kept
    assert any("no glyphs" in n for n in rendering.notes)
    assert kept.upper() in read_back(rendering.image)


def test_a_text_without_any_glyph_is_left_out_and_noted() -> None:
    rendering = draw('The title "你好" at the top.')
    assert scene(rendering)["texts"] == []
    assert any("no glyphs" in n for n in rendering.notes)


def test_right_to_left_text_is_set_whole() -> None:
    rendering = draw('The title "שלום עולם" at the top and "مرحبا" at the bottom.')
    assert {t["shown"] for t in scene(rendering)["texts"]} == {"שלום עולם", "مرحبا"}
    assert not rendering.notes


def test_texts_never_overlap_and_stay_inside() -> None:
    many = " ".join(f'"Line number {n}" {place}.' for n, place in enumerate(PLACES * 4))
    rendering = draw(many)
    found = [Box(*t["box"]) for t in scene(rendering)["texts"]]
    assert len(found) >= 10
    for i, a in enumerate(found):
        assert a.x0 >= 0
        assert a.y0 >= 0
        assert a.x1 <= 768
        assert a.y1 <= 768
        assert not any(a.inset(0.5).overlaps(b) for b in found[i + 1 :])
    left_out = 20 - len(found)
    assert sum("No room is left for the text" in n for n in rendering.notes) == left_out


def test_things_keep_clear_of_texts() -> None:
    rendering = draw(
        'Nine cats and four houses. The title "KEEP CLEAR" at the top, "thank you" at the bottom.'
    )
    texts = [Box(*t["box"]) for t in scene(rendering)["texts"]]
    for thing in scene(rendering)["things"]:
        assert not any(Box(*thing["box"]).overlaps(t) for t in texts)


@pytest.mark.parametrize(
    "text", ["word", "two words", "incomprehensibilities", "a b c d e f g h i j", "x" * 300]
)
@pytest.mark.parametrize("room", [(300, 60), (80, 300), (30, 30)])
def test_fitted_texts_never_leave_their_room(text: str, room: tuple[int, int]) -> None:
    face, shown, _ = Typesetter().choose(text, serif=True, bold=True)
    fitted = fit(shown, face, *room, cap=80, floor=7)
    if fitted is None:
        assert len(text) > 20
        return
    assert fitted.width <= room[0] + 1
    assert fitted.height <= room[1] + 1
    assert "".join(fitted.lines).replace(" ", "") == text.replace(" ", "")
