"""Ids become file names that never leave the folder and never meet."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.programs.batch.names import safe_name

SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
IDS = [
    "ex01",
    "Ex01",
    "EX01",
    "/etc/passwd",
    "../x",
    "..",
    ".",
    "x" * 300,
    "x" * 301,
    "a\x00b",
    "a\nb",
    "con",
    "CON",
    "con.txt",
    "nul",
    "lpt1",
    "a/b",
    "a\\b",
    "a:b",
    "a b",
    "-rf",
    "été",
    "日本",
    "\ud800",
    "ex01-" + "0" * 20,
]


def test_every_kind_of_id_gets_a_safe_name_of_its_own() -> None:
    names = [safe_name(identity) for identity in IDS]
    assert all(SAFE.fullmatch(name) for name in names)
    assert len({name.casefold() for name in names}) == len(IDS)
    assert names[0] == "ex01"
    devices = {"con", "nul", "lpt1", "aux", "prn"}
    assert not devices.intersection(names)


@given(st.text(max_size=400), st.text(max_size=400))
def test_two_ids_never_share_a_file(one: str, other: str) -> None:
    assert SAFE.fullmatch(safe_name(one))
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize("identity", ["Ex 01", "../x", "con"])
def test_nobody_can_choose_the_name_of_another_id(identity: str) -> None:
    assert safe_name(safe_name(identity)) != safe_name(identity)
