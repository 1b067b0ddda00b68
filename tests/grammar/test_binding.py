"""Arguments to parameters: the table of what goes where."""

from __future__ import annotations

import pytest
from check_cases import environment

from genevolve.grammar.binding import Bound, bind
from genevolve.grammar.fixes import apply_fixes
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Call, Expression, Let, Number, Require, String
from genevolve.grammar.types import Parameter, Signature, Type

MIXED = Signature(
    "mix",
    (
        Parameter("first", Type.TEXT),
        Parameter("second", Type.INT, required=False, default=2),
        Parameter("third", Type.TEXT, required=False, named_only=True),
    ),
    Type.TEXT,
)
SIGNATURES = {**environment().signatures, "mix": MIXED}


def bound(text: str) -> Bound:
    statement = parse(Source(f"let x = {text}")).tree.statements[0]
    assert isinstance(statement, Let)
    assert isinstance(statement.value, Call)
    return bind(statement.value, SIGNATURES[statement.value.name])


def pairs(text: str) -> list[tuple[str, object]]:
    return [(p.name, literal(a.value)) for p, a in bound(text).pairs]


def literal(value: Expression) -> object:
    assert isinstance(value, Number | String)
    return value.value if isinstance(value, Number) else value.plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('search("a")', [("query", "a")]),
        ('search("a", "b", top_k: 3)', [("query", "a"), ("query", "b"), ("top_k", 3)]),
        ('search(query: "a")', [("query", "a")]),
        ('mix("a", 1, third: "c")', [("first", "a"), ("second", 1), ("third", "c")]),
        ('mix(third: "c", first: "a")', [("third", "c"), ("first", "a")]),
        ('mix("a")', [("first", "a")]),
    ],
)
def test_arguments_go_to_their_parameters(text: str, expected: list[tuple[str, object]]) -> None:
    assert bound(text).ok
    assert pairs(text) == expected


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("mix()", ["GP302"]),
        ('mix(second: 1, third: "c")', ["GP302"]),
        ('mix("a", 1, "c")', ["GP303"]),
        ('mix("a", first: "b")', ["GP212"]),
        ('mix(first: "a", second: 1, second: 2)', ["GP212"]),
        ('mix(frist: "a")', ["GP207"]),
        ('mix("a", fourth: 4)', ["GP207"]),
        ('search(query: "a", query: "b")', ["GP212"]),
        ('search("a", query: "b")', ["GP212"]),
        ("search(top_k: 3)", ["GP302"]),
        ('mix("a", 1, 2, 3, fifth: 5)', ["GP207", "GP303"]),
    ],
)
def test_what_is_wrong_is_said(text: str, codes: list[str]) -> None:
    found = bound(text)
    assert not found.ok
    assert [d.code for d in found.diagnostics] == codes


def test_a_positional_argument_after_a_named_one_is_bound_all_the_same() -> None:
    call = bound('search("b", top_k: 3)').call
    turned = Call("search", call.arguments[::-1])
    found = bind(turned, SIGNATURES["search"])
    assert [d.code for d in found.diagnostics] == ["GP119"]
    assert [p.name for p, _ in found.pairs] == ["top_k", "query"]


def test_views_of_a_bound_call() -> None:
    found = bound('search("a", "b", top_k: 3)')
    assert [e.plain for e in found.variadic if isinstance(e, String)] == ["a", "b"]
    assert list(found.values) == ["top_k"]
    assert found.value("query") is found.variadic[0]
    assert found.value("nothing") is None
    assert bound('mix("a")').variadic == ()
    assert list(bound('mix("a", 1)').values) == ["first", "second"]


def test_places_are_those_of_the_arguments() -> None:
    text = 'require text("OPEN", "red", "big", at: "top")'
    statement = parse(Source(text)).tree.statements[0]
    assert isinstance(statement, Require)
    assert isinstance(statement.predicate, Call)
    (found,) = bind(statement.predicate, SIGNATURES["text"]).diagnostics
    assert found.code == "GP303"
    assert Source(text).slice(found.span) == '"red", "big"'


def test_a_lone_surplus_argument_is_offered_its_name() -> None:
    text = 'let x = image_search("kite", 3)'
    statement = parse(Source(text)).tree.statements[0]
    assert isinstance(statement, Let)
    assert isinstance(statement.value, Call)
    diagnostics = bind(statement.value, SIGNATURES["image_search"]).diagnostics
    assert apply_fixes(text, diagnostics) == ('let x = image_search("kite", top_k: 3)', 1)


def test_a_tool_without_parameters() -> None:
    nothing = Signature("now", (), Type.TEXT)
    assert bind(Call("now", ()), nothing).ok
    (found,) = bind(Call("now", bound('mix("a")').call.arguments), nothing).diagnostics
    assert found.message == "'now' takes no arguments, and this is one more"
