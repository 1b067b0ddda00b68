"""Parameter values: typed, completed, and checked in their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from check_cases import check_text
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.parameters import Values, check_parameters, convert
from genevolve.grammar.tree import Size
from genevolve.grammar.types import Type

PROGRAM = """\
program cover(title: text = "PARIS", number: int, weight: float = 2, dark: bool = true, big: size = 512x768,
    photo: image = "a.png")
request "{number} signs, {title}, {weight}, {big}"
ref own = photo for "the light"
prompt "{number} signs that say {title}, weight {weight}, {big}, in the light of {own}."
require text(title)
render size: big, steps: number, guidance: weight
"""


class Pair(NamedTuple):
    width: int
    height: int


def given_values(values: Mapping[str, object], program: str = PROGRAM) -> Values:
    return check_parameters(check_text(program), values)


def test_defaults_complete_what_is_given() -> None:
    assert given_values({"number": 3}) == Values(
        {"title": "PARIS", "number": 3, "weight": 2.0, "dark": True, "big": Size(512, 768), "photo": "a.png"}
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Type.INT, "3", 3),
        (Type.INT, " -7 ", -7),
        (Type.INT, 3, 3),
        (Type.INT, "3.0", None),
        (Type.INT, 3.0, None),
        (Type.INT, True, None),
        (Type.INT, "9" * 5_000, None),
        (Type.INT, 10**30, None),
        (Type.INT, "٣", None),
        (Type.INT, None, None),
        (Type.FLOAT, "4.5", 4.5),
        (Type.FLOAT, "4", 4.0),
        (Type.FLOAT, 4, 4.0),
        (Type.FLOAT, "1e3", 1000.0),
        (Type.FLOAT, "nan", None),
        (Type.FLOAT, "inf", None),
        (Type.FLOAT, float("nan"), None),
        (Type.FLOAT, "1e999", None),
        (Type.FLOAT, 10**400, None),
        (Type.BOOL, "true", True),
        (Type.BOOL, "FALSE", False),
        (Type.BOOL, "no", False),
        (Type.BOOL, True, True),
        (Type.BOOL, 1, None),
        (Type.BOOL, "maybe", None),
        (Type.SIZE, "1024x768", Size(1024, 768)),
        (Type.SIZE, "1024 X 768", Size(1024, 768)),
        (Type.SIZE, (1024, 768), Size(1024, 768)),
        (Type.SIZE, Pair(3, 4), Size(3, 4)),
        (Type.SIZE, Size(3, 4), Size(3, 4)),
        (Type.SIZE, "0x5", None),
        (Type.SIZE, "1024", None),
        (Type.SIZE, (0, 5), None),
        (Type.SIZE, (True, 5), None),
        (Type.SIZE, ("1", "2"), None),
        (Type.TEXT, "3", "3"),
        (Type.TEXT, "", ""),
        (Type.TEXT, 3, None),
        (Type.TEXT, b"x", None),
        (Type.TEXT, "a\x00b", None),
        (Type.IMAGE, "a.png", "a.png"),
        (Type.IMAGE, Path("b") / "a.png", "b/a.png"),
        (Type.IMAGE, "", None),
        (Type.IMAGE, 3, None),
        (Type.EVIDENCE, "x", None),
    ],
)
def test_values_are_typed(kind: Type, value: object, expected: object) -> None:
    found = convert(value, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("values", "codes", "message"),
    [
        ({}, ["GP317"], "the parameter 'number' has no value"),
        ({"number": "three"}, ["GP318"], "the parameter 'number' takes an int, not 'three'"),
        ({"number": 3, "big": "x"}, ["GP318"], "the parameter 'big' takes a size, not 'x'"),
        ({"number": 3, "photo": 4}, ["GP318"], "the parameter 'photo' takes a path of an image, not 4"),
        ({"number": 3, "dark": []}, ["GP318"], "the parameter 'dark' takes a bool, not a list"),
        (
            {"number": 3, "titel": "x"},
            ["GP319"],
            "the program has no parameter 'titel'; did you mean 'title'?",
        ),
        ({"nmuber": 3}, ["GP319", "GP317"], "the program has no parameter 'nmuber'; did you mean 'number'?"),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, object], codes: list[str], message: str) -> None:
    found = given_values(values)
    assert not found.ok
    assert [d.code for d in found.diagnostics] == codes
    assert message in [d.message for d in found.diagnostics]


def test_a_program_without_header_has_no_parameters() -> None:
    text = 'request "a"\nprompt "a"\n'
    assert given_values({}, text) == Values({})
    (found,) = given_values({"n": 1}, text).diagnostics
    assert found.code == "GP319"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"number": 0}, "GP314"),
        ({"number": 3, "big": "32x32"}, "GP314"),
        ({"number": 3, "weight": 51}, "GP314"),
        ({"number": 3, "title": "www.example.org"}, "GP405"),
        ({"number": 3, "title": "IMG_001"}, "GP404"),
        ({"number": 3, "title": "the first reference image"}, "GP401"),
        ({"number": 3, "title": ""}, "GP312"),
        ({"number": 3, "title": "x" * 401}, "GP312"),
    ],
)
def test_values_count_like_what_is_written(values: dict[str, object], code: str) -> None:
    checked = check_text(PROGRAM)
    assert checked.ok
    found = check_parameters(checked, values).diagnostics
    assert code in [d.code for d in found]
    assert all(d.related for d in found if d.code == "GP314")


def test_values_may_contradict_each_other() -> None:
    text = 'program p(a: int, b: int)\nrequest "a"\nprompt "{a} {b} kites"\n'
    text += 'require count("kite") == a\nrequire count("kite") == b\n'
    assert given_values({"a": 1, "b": 1}, text).ok
    assert [d.code for d in given_values({"a": 1, "b": 2}, text).diagnostics] == ["GP513"]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())
)


@given(st.dictionaries(st.sampled_from(["title", "number", "weight", "dark", "big", "photo", "x"]), SCALARS))
def test_any_value_ends_in_values_or_diagnostics(values: dict[str, object]) -> None:
    found = given_values(values)
    assert found.ok or found.diagnostics
    assert set(found.values) <= {"title", "number", "weight", "dark", "big", "photo"}
