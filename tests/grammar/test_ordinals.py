"""Written ordinals, image ids and URLs: what breaks the protocol and what only looks like it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import check
from genevolve.grammar.ordinals import find_protocol_breaks, ordinal_before, ordinal_phrase
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source

BREAKS = [
    ("GP401", "the first reference image"),
    ("GP401", "The Second Reference Image"),
    ("GP401", "2nd reference"),
    ("GP401", "the fifth reference"),
    ("GP401", "third ref"),
    ("GP401", "reference image 1"),
    ("GP401", "reference images 1"),
    ("GP401", "reference image #3"),
    ("GP401", "reference image II"),
    ("GP401", "reference photo 2"),
    ("GP401", "image #2"),
    ("GP401", "image 2"),
    ("GP401", "Image no. 2"),
    ("GP401", "Reference 3"),
    ("GP401", "reference #3"),
    ("GP401", "reference-2"),
    ("GP401", "ref. 2"),
    ("GP401", "ref2"),
    ("GP401", "the third image"),
    ("GP401", "1st image"),
    ("GP401", "ref image two"),
    ("GP401", "reference image number two"),
    ("GP401", "reference two"),
    ("GP401", "image two"),
    ("GP401", "photo #4"),
    ("GP401", "the last reference image"),
    ("GP401", "the second uploaded picture"),
    ("GP401", "the first input image"),
    ("GP401", "the first two reference images"),
    ("GP401", "second of the reference images"),
    ("GP401", "the first\nreference\n   image"),
    ("GP401", "the sec\u200bond reference image"),
    ("GP401", "the ｆｉｒｓｔ reference image"),
    ("GP401", "reference image ②"),
    ("GP401", 'the first "reference" image'),
    ("GP401", "the first *reference* image"),
    ("GP404", "IMG_001"),
    ("GP404", "img-12"),
    ("GP404", "IMG 7"),
    ("GP404", "img0042"),
    ("GP405", "http://example.org/a.png"),
    ("GP405", "https://example.org"),
    ("GP405", "HTTPS://EXAMPLE.ORG/IMG_001.png"),
    ("GP405", "ftp://example.org/a"),
    ("GP405", "www.example.org"),
    ("GP405", "data:image/png;base64,AAAA"),
    ("GP405", "data:;base64,AAAA"),
    ("GP405", "data:,hello"),
    ("GP405", "file:///etc/passwd"),
    ("GP405", "file:/etc/passwd"),
]

HARMLESS = [
    "the first snow",
    "a second tower",
    "World War 1",
    "image of two reference books",
    "the first reference book on the shelf",
    "the first reference to the sea",
    "two reference photographs pinned to a wall",
    "the reference image",
    "second-hand reference image",
    "an image 2 metres wide",
    "image 16:9",
    "an image 1024x1024",
    "image 50% brighter",
    "the first image of a black hole",
    "the first photograph ever taken",
    "Picture 3 cats on a sofa",
    "a picture of the second floor",
    "what comes first. Reference image of the harbour",
    "reference two books on the table",
    "image three cats",
    "a self-image 'one'",
    "imaging 12 patients",
    "preference 3",
    "the data: red bars, blue lines",
    "a profile: silver",
    "mirror image",
    "three images on a wall",
    "awww. So cute",
    "the third man",
    "in 1912, first light",
    "",
]


@pytest.mark.parametrize(("code", "text"), BREAKS)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("Copy the hat from ", ", please."), ("(", ")")])
def test_breaks_are_found_whole(code: str, text: str, before: str, after: str) -> None:
    found = find_protocol_breaks(before + text + after)
    assert [b.code for b in found] == [code]
    assert found[0].start <= len(before)
    assert found[0].end >= len(before + text)
    assert (before + text + after)[found[0].start : found[0].end] == found[0].found


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_passes(text: str) -> None:
    assert find_protocol_breaks(text) == []


def test_several_breaks_come_in_order() -> None:
    text = "IMG_003 beside image 2, see https://example.org/IMG_001 and the first reference image"
    assert [b.code for b in find_protocol_breaks(text)] == ["GP404", "GP401", "GP405", "GP401"]


def test_every_ordinal_phrase_would_be_found_if_written_by_hand() -> None:
    for n in range(1, 11):
        phrase = ordinal_phrase(n)
        assert [b.found for b in find_protocol_breaks(f"Copy {phrase} here")] == [phrase]


@pytest.mark.parametrize("n", [0, -1, 11])
def test_ordinals_end_at_ten(n: int) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        ordinal_phrase(n)


WORDS = st.sampled_from(
    ["first", "2nd", "the", "reference", "image", "ref", "IMG_", "1", "#", "two", "of", ".", "data:", "①"]
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=20).map(" ".join)))
def test_positions_are_ordered_and_inside_the_text(text: str) -> None:
    end = 0
    for item in find_protocol_breaks(text):
        assert end <= item.start < item.end <= len(text)
        assert text[item.start : item.end] == item.found
        end = item.end


@pytest.mark.parametrize(
    "piece", ["first ", "image ", "1st-", "data:;a", "reference " * 3, "a" * 50, "ref.", "http:/"]
)
def test_hostile_repetition_stays_linear(piece: str) -> None:
    small, large = piece * (20_000 // len(piece)), piece * (160_000 // len(piece))
    start = time.perf_counter()
    find_protocol_breaks(small)
    middle = time.perf_counter()
    find_protocol_breaks(large)
    end = time.perf_counter()
    assert end - middle < 40 * (middle - start) + 0.5


@pytest.mark.parametrize(
    ("text", "ordinal"),
    [
        ("behind it the second ", "the second"),
        ("from the Second\n   ", "the Second"),
        ("the last ", "the last"),
        ("the 2nd ", "the 2nd"),
        ("a second kite like ", None),
        ("it lasted a second. ", None),
        ("the wayfirst ", None),
        ("", None),
    ],
)
def test_an_ordinal_before_a_reference(text: str, ordinal: str | None) -> None:
    assert ordinal_before(text) == (ordinal and " ".join(ordinal.split()))


def test_a_reference_counted_by_hand_is_told_at_its_name() -> None:
    source = (
        'request "A kite."\nlet kites = image_search("kite")\nref kite = kites[0] for "the shape"\n'
        'prompt "A kite, like the second {kite}."\n'
    )
    checked = check(parse(Source(source, "kite.gprog")), builtin_environment({}))
    (found,) = [d for d in checked.diagnostics if d.code == "GP401"]
    assert source[found.span.start : found.span.end] == "{kite}"
    assert "the second {kite}" in found.message
