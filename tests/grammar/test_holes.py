"""Sketches: every hole has a place and a type, and a sketch checks clean."""

from __future__ import annotations

import pytest
from check_cases import GOLDEN, check_text, codes, environment

from genevolve.grammar.holes import find_holes, hole_diagnostics
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Argument, Call, Hole, Let, Tree


def holes(text: str) -> list[tuple[str, str]]:
    return [(h.type, h.where) for h in find_holes(parse(Source(text)).tree, environment())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let x = search(?)", [("text", "argument query of search")]),
        (
            "let x = search(?, ?, top_k: ?)",
            [("text", "argument query of search")] * 2 + [("int", "argument top_k of search")],
        ),
        ("let x = ?", [("unknown", "value of let x")]),
        (
            "let x = pick(?, ?)",
            [("images", "argument images of pick"), ("text", "argument criterion of pick")],
        ),
        ("ref t = ? for ?", [("image", "image of ref t"), ("text", "purpose of ref t")]),
        ("ref t = towers[?]", [("int", "index of image of ref t")]),
        ("ref t = ?[0]", [("images", "images of image of ref t")]),
        ("use skill ?", [("skill", "skill of use")]),
        ("...", [("statements", "statements")]),
        ("prompt ?", [("text", "text of prompt")]),
        ("avoid ?", [("text", "text of avoid")]),
        ("request ?", [("text", "text of request")]),
        ("require ?", [("predicate", "predicate of require")]),
        ("require text(?, at: ?)", [("text", "argument value of text"), ("text", "argument at of text")]),
        (
            "require count(?) == ?",
            [("text", "argument what of count"), ("int", "number of predicate of require")],
        ),
        ("require resembles(?)", [("reference", "argument ref of resembles")]),
        ("render size: ?, steps: ?", [("size", "setting size"), ("int", "setting steps")]),
        ("program p(n: int = ?)", [("int", "default of parameter n")]),
        (
            "let x = nothing(?, name: ?)",
            [("unknown", "argument 1 of nothing"), ("unknown", "argument name of nothing")],
        ),
        ('let x = search("a")', []),
    ],
)
def test_holes_have_types_and_places(text: str, expected: list[tuple[str, str]]) -> None:
    assert holes(text) == expected


def test_spans_and_statements() -> None:
    text = "let x = search(?)\n...\nprompt ?\n"
    found = find_holes(parse(Source(text)).tree, environment())
    assert [Source(text).slice(h.span) for h in found] == ["?", "...", "?"]
    assert [h.statement for h in found] == [0, 1, 2]


def test_every_hole_is_told_to_who_runs_a_sketch() -> None:
    text = (GOLDEN / "clean-sketch.gprog").read_text(encoding="utf-8")
    tree = parse(Source(text)).tree
    found = hole_diagnostics(tree, environment())
    assert len(found) == text.count("?") + text.count("...")
    assert {d.code for d in found} == {"GP601"}
    assert "this hole is not filled: argument query of search, of type text" in [d.message for d in found]
    assert "this hole is not filled: the name of a skill" in [d.message for d in found]


def test_nesting_by_hand_is_bounded() -> None:
    expression = Call("image_search", (Argument(Hole()),))
    for _ in range(5_000):
        expression = Call("image_search", (Argument(expression),))
    assert find_holes(Tree((Let("x", expression),)), environment()) == ()


SKETCH = """\
program p(n: int)
request "kites"
let k = image_search("kite")
ref t = k[0] for "the tail"
use skill text_rendering
"""


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("...", []),
        ("prompt ?", ["GP510"]),
        ('prompt "{t}, {n}"\n...', []),
        ('prompt "a kite"', ["GP213", "GP402", "GP510"]),
        # The prompt is written, so nothing that fills the holes can still mention the reference.
        ('prompt "a kite"\n...', ["GP402"]),
        ('prompt "a kite {t}"\navoid ?\nrequire text(?)', []),
        ('...\nprompt ?\nrequire text("OPEN")', []),
        ('...\nprompt "{t}"\nrequire text("OPEN")', ["GP511"]),
        ('...\nlet unused = "a"\nprompt "{t} {n}"', ["GP210"]),
        ('let unused = "a"\n...\nprompt "{t} {n}"', []),
    ],
)
def test_rules_wait_only_for_what_a_hole_can_still_do(rest: str, expected: list[str]) -> None:
    assert sorted(codes(SKETCH + rest)) == expected


def test_a_request_may_come_out_of_a_hole_only_where_it_can_stand() -> None:
    assert codes('...\nprompt "a"') == []
    assert codes('program p\n...\nprompt "a"') == []
    assert codes('prompt "a"\n...') == ["GP502"]


def test_holes_fit_where_their_type_is_known() -> None:
    assert check_text('request "a"\nlet k = ?\nprompt "{k}"').diagnostics[0].code == "GP603"
    assert codes('request "a"\nref k = ?[0] for "b"\nprompt "{k}"') == []
