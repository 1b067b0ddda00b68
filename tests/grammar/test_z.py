"""z: canonical JSON, exact round trips, and data that is no z."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.z import SCHEMA, Constraint, Reference, Settings, Z

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALAR = st.one_of(TEXT, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
REFERENCES = st.builds(Reference, st.integers(1, 10), TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT)
CONSTRAINTS = st.builds(Constraint, TEXT, st.dictionaries(TEXT, SCALAR, max_size=3))
SETTINGS = st.builds(
    Settings,
    st.integers(64, 4096),
    st.integers(64, 4096),
    st.none() | st.integers(1, 500),
    st.none() | st.floats(0, 50),
    st.integers(0, 2**63 - 1),
)
ZS = st.builds(
    Z,
    TEXT,
    TEXT,
    TEXT,
    st.lists(REFERENCES, max_size=3).map(tuple),
    SETTINGS,
    st.lists(CONSTRAINTS, max_size=3).map(tuple),
    st.lists(TEXT, max_size=3).map(tuple),
)


@given(ZS)
def test_z_survives_its_json_byte_for_byte(z: Z) -> None:
    again = Z.from_dict(json.loads(z.to_json()))
    assert again == z
    assert again.to_json().encode() == z.to_json().encode()
    assert again.digest == hashlib.sha256(z.to_json().encode()).hexdigest()


def test_the_json_is_canonical() -> None:
    z = Z("r", "塔", constraints=(Constraint("count", {"what": "cat", "operator": "==", "n": 2}),))
    assert z.to_json() == (
        '{"constraints":[{"arguments":{"n":2,"operator":"==","what":"cat"},"kind":"count"}],"gen_prompt":"塔",'
        '"negative_prompt":"","reference_images":[],"request":"r","schema":"genevolve.z/1",'
        '"settings":{"guidance":null,"height":1024,"seed":0,"steps":null,"width":1024},"skills":[]}\n'
    )
    reordered = Z("r", "塔", constraints=(Constraint("count", {"n": 2, "what": "cat", "operator": "=="}),))
    assert reordered.digest == z.digest


def broken(**changes: Any) -> dict[str, Any]:
    data = Z("r", "p", reference_images=(Reference(1, "a", "n", "0" * 64),)).to_dict()
    data.update(changes)
    return {k: v for k, v in data.items() if v is not ...}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"schema": SCHEMA},
        broken(schema="genevolve.z/2"),
        broken(gen_prompt=3),
        broken(gen_prompt=...),
        broken(skills=[1]),
        broken(skills=None),
        broken(settings={"size": 1}),
        broken(settings=None),
        broken(reference_images=[{"ordinal": 1}]),
        broken(reference_images=[{}]),
        broken(constraints=[{"kind": 3, "arguments": {}}]),
        broken(constraints=[{"kind": "text"}]),
        broken(constraints=[3]),
        broken(constraints=[{"kind": "text", "arguments": {"value": [1]}}]),
        broken(constraints=[{"kind": "count", "arguments": {"n": float("nan")}}]),
        broken(constraints=[{"kind": "count", "arguments": [1]}]),
        broken(settings={"width": 64.5, "height": 64, "steps": None, "guidance": None, "seed": 0}),
        broken(settings={"width": True, "height": 64, "steps": None, "guidance": None, "seed": 0}),
        broken(settings={"width": 64, "height": 64, "steps": None, "guidance": "4", "seed": 0}),
        broken(settings={"width": 64, "height": 64}),
        broken(reference_images=[{"ordinal": "1", "name": "a", "note": "n", "sha256": "0"}]),
        broken(reference_images=[{"ordinal": 1, "name": 3, "note": "n", "sha256": "0"}]),
        broken(reference_images=["a"]),
        [],
        "z",
        None,
    ],
)
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="z"):
        Z.from_dict(data)
