"""The checker as a whole: scopes that grow step by step, rules that golden files cannot show, hostile trees."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from check_cases import GOLDEN, check_text, codes, environment
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.checker import Scope, check
from genevolve.grammar.diagnostics import Diagnostic, ordered
from genevolve.grammar.inference import MAX_FINDINGS
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source, Span
from genevolve.grammar.suggest import closest, edit_distance
from genevolve.grammar.tree import (
    Argument,
    Avoid,
    Call,
    Comparison,
    Index,
    Interpolation,
    Let,
    Name,
    Number,
    Prompt,
    Require,
    Statement,
    String,
    Tree,
)
from genevolve.grammar.types import Parameter, Signature, Type

ENVIRONMENT = environment()
CASES = sorted(GOLDEN.glob("*.gprog"))


def statements(text: str) -> tuple[Statement, ...]:
    parsed = parse(Source(text))
    assert parsed.ok
    return parsed.tree.statements


def step_by_step(tree: Tree) -> tuple[Diagnostic, ...]:
    scope = Scope.root(ENVIRONMENT)
    found: list[Diagnostic] = []
    for statement in tree.statements:
        scope, diagnostics = scope.extend(statement)
        found += diagnostics
    return ordered((*found, *scope.finish(tree.span)))


def facts(scope: Scope) -> dict[str, object]:
    """Everything that a scope tells."""
    names = [n for n in dir(Scope) if isinstance(getattr(Scope, n), property)]
    return {n: dict(v) if hasattr(v := getattr(scope, n), "items") else v for n in names}


# ---- step by step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_step_by_step_says_the_same_as_the_whole(case: object) -> None:
    parsed = parse(Source(case.read_text(encoding="utf-8")))  # type: ignore[attr-defined]  # a path from glob
    whole = check(parsed, ENVIRONMENT).diagnostics
    if not any(d.code in ("GP211", *(p.code for p in parsed.diagnostics)) for d in whole):
        assert step_by_step(parsed.tree) == whole


def test_a_name_that_comes_later_is_unknown_step_by_step() -> None:
    parsed = parse(Source('request "a"\nprompt "{sky}"\nlet sky = "blue"\n'))
    assert [d.code for d in check(parsed, ENVIRONMENT).diagnostics] == ["GP211"]
    assert [d.code for d in step_by_step(parsed.tree)] == ["GP201", "GP210"]


POOL = [
    s
    for case in CASES
    if case.stem.startswith(("clean", "GP2", "GP4", "GP5", "GP6"))
    for s in parse(Source(case.read_text(encoding="utf-8"))).tree.statements
]


@given(st.lists(st.sampled_from(POOL), max_size=14))
def test_any_statements_step_by_step_and_as_a_whole(chosen: list[Statement]) -> None:
    # Places tell diagnostics apart, so that the same statement twice has two.
    moved = [
        replace(s, span=Span(10_000 * i + s.span.start, 10_000 * i + s.span.end))
        for i, s in enumerate(chosen)
    ]
    tree = Tree(tuple(moved), span=Span(0, 200_000))
    parsed = replace(parse(Source("")), tree=tree, diagnostics=())
    whole = check(parsed, ENVIRONMENT).diagnostics
    if all(d.code != "GP211" for d in whole):
        assert step_by_step(tree) == whole


@given(st.lists(st.sampled_from(POOL), max_size=8), st.sampled_from(POOL))
def test_extending_leaves_the_old_scope_as_it_was(chosen: list[Statement], last: Statement) -> None:
    scope = Scope.root(ENVIRONMENT)
    for statement in chosen:
        scope = scope.extend(statement).scope
    before, end = facts(scope), scope.finish(Span(0, 9))
    first, second = scope.extend(last), scope.extend(last)
    assert facts(scope) == before
    assert scope.finish(Span(0, 9)) == end
    assert first.diagnostics == second.diagnostics
    assert facts(first.scope) == facts(second.scope)


def test_two_continuations_share_a_scope() -> None:
    scope = Scope.root(ENVIRONMENT)
    for statement in statements('request "a"\nlet kites = image_search("kite", top_k: 3)\n'):
        scope = scope.extend(statement).scope
    (one,) = statements('ref a = kites[0] for "b"')
    (two,) = statements('ref c = kites[3] for "d"')
    assert scope.extend(one).ok
    assert [d.code for d in scope.extend(two).diagnostics] == ["GP306"]
    assert scope.references == ()


# ---- what a scope tells ------------------------------------------------------------------------------


def test_facts_for_a_policy() -> None:
    text = """\
program p(n: int = 2, photo: image)
request "a"
let kites = image_search("kite", top_k: 3)
let best = kites[0]
let word = "OPEN"
ref a = best for "b"
ref b = photo for "c"
use skill text_rendering
require text(word)
"""
    scope = check_text(text).scope
    kinds = {name: (b.kind, b.type, b.length, b.constant) for name, b in scope.names.items()}
    assert kinds == {
        "n": ("param", Type.INT, None, None),
        "photo": ("param", Type.IMAGE, None, None),
        "kites": ("let", Type.IMAGES, 3, None),
        "best": ("let", Type.IMAGE, None, None),
        "word": ("let", Type.TEXT, None, "OPEN"),
        "a": ("ref", Type.REFERENCE, None, None),
        "b": ("ref", Type.REFERENCE, None, None),
    }
    assert scope.names["n"].default == 2
    assert scope.references == scope.unmentioned == ("a", "b")
    assert scope.skills == ("text_rendering",)
    assert scope.required == {"text"}
    assert (scope.calls_spent, scope.calls_left, scope.references_left) == (2, 8, 3)
    assert (scope.has_header, scope.has_request, scope.has_prompt, scope.has_render) == (
        True,
        True,
        False,
        False,
    )
    assert scope.statements == 9
    assert not scope.has_holes
    assert scope.signatures["search"].returns is Type.EVIDENCE
    with pytest.raises(TypeError):
        scope.names["x"] = scope.names["n"]  # type: ignore[index]  # names cannot be changed


def test_a_thousand_statements_are_the_most() -> None:
    scope = Scope.root(ENVIRONMENT)
    avoid = Avoid(String(("rain",), '"rain"'))
    for _ in range(1_000):
        scope, diagnostics = scope.extend(avoid)
        assert diagnostics == ()
    assert [d.code for d in scope.extend(avoid).diagnostics] == ["GP111"]


# ---- one mistake is told once ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # an unknown call has an unknown type, which fits everywhere
        ('let k = google("a")\nref t = k[0] for "b"\nprompt "{t} {k}"\nrequire resembles(t)', ["GP202"]),
        ('ref t = nothing for "b"\nprompt "{t}"', ["GP201"]),
        ("prompt nothing", ["GP201"]),
        ('prompt "a"\nrequire text(nothing)', ["GP201"]),
        ('prompt "a"\nrequire nothing("a") == 3', ["GP202"]),
        ('prompt "a"\nrequire count(nothing) == "3"', ["GP201", "GP301"]),
        ('let k = image_search(7)[0]\nref t = k for "b"\nprompt "{t}"', ["GP301"]),
        ('let f = search("a")[0]\nref t = f for "b"\nprompt "{t}"', ["GP304"]),
        ('let k = ?\nref t = k[0] for "b"\nprompt "{t} {k}"\nrequire text(k)', ["GP603"]),
        # after a double definition of another type the name fits everywhere
        ('let k = "a"\nlet k = image_search("b")\nref t = k[0] for "c"\nprompt "{t} {k}"', ["GP203"]),
        ('let k = text("a")\nprompt "{k}"\nrequire text(k)', ["GP316"]),
        ('prompt "a"\nrender size: nothing', ["GP201"]),
        ('prompt "a"\nrender sise: 3, sise: 4', ["GP208", "GP208"]),
        ('prompt "a"\nrequire text(top: "a")', ["GP207"]),
    ],
)
def test_one_mistake_is_told_once(text: str, expected: list[str]) -> None:
    assert sorted(codes(f'request "a"\n{text}')) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('let kites = image_search("kite"\nref k = kites[0] for "a"\nprompt "{k}"', ["GP113"]),
        ("request 'a'\nprompt \"a\"", ["GP121"]),
        ('let a = search(top_k=3)\nprompt "{b}"', ["GP120", "GP201"]),
        ('prompt "a"\nrender steps: 40x', ["GP115"]),
    ],
)
def test_syntax_errors_have_no_echo(text: str, expected: list[str]) -> None:
    assert sorted(codes(f'request "a"\n{text}' if "request" not in text else text)) == expected


# ---- texts -------------------------------------------------------------------------------------------

ORDINALS = [
    "the first reference image",
    "The Second Reference",
    "2nd reference",
    "reference image 1",
    "Reference 3",
    "reference no. 2",
    "ref 1",
    "image #2",
    "image 2",
    "image one",
    "the third image",
    "the 2nd uploaded photo",
    "the last reference image",
    "the first of the reference images",
    "[image 1]",
    "the first\n  reference\n  image",
    "第一张参考图",
    "参考图2",
]
INNOCENT = [
    "the first snow",
    "a second tower",
    "World War 1 image",
    "an image 3 metres wide",
    "in the image 3 birds fly",
    "image 16:9",
    "the first image of a black hole",
    "a second image frame",
    "the third image in the triptych",
    "mirror image 5 steps away",
    "a cross-reference 2 pages on",
    "the first reference to the sea",
    "a reference book from 1920",
    "two photographs",
    "three images on a wall",
    "the reference image",
    "a profile: silver",
    "data: five red bars",
]


@pytest.mark.parametrize("text", ORDINALS)
@pytest.mark.parametrize(
    "statement", ['prompt """\nCopy {0}, please.\n"""', 'prompt "a"\navoid """the hat of {0}"""']
)
def test_written_ordinals(text: str, statement: str) -> None:
    assert codes('request "the first reference image"\n' + statement.format(text)) == ["GP401"]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text(text: str) -> None:
    assert codes(f'request "a"\nprompt "Draw {text} here."\navoid "{text}"') == []


def test_the_place_of_a_written_ordinal_is_exact() -> None:
    text = 'request "a"\nprompt """\n  A \\"kite\\" {{of}} image #1 and\n    IMG_003.\n  """\n'
    checked = check_text(text)
    assert [checked.source.slice(d.span) for d in checked.diagnostics] == ["image #1", "IMG_003"]


@pytest.mark.parametrize(
    ("prompt", "value", "warned"),
    [
        ('"a sign \\"OPEN\\""', '"OPEN"', False),
        ('"a sign that says open"', '"OPEN"', False),
        ('"a sign"', '"OPEN"', True),
        ('"a sign {word}"', "word", False),
        ('"a sign"', "word", True),
        ('"a sign {word}"', '"PARIS"', False),
        ('"a sign PARIS"', "word", False),
        ('"a sign {word} 1990"', '"{word} 1990"', False),
        ('"a sign {fixed}"', '"CLOSED"', False),
        ('"a sign {asked}"', '"CLOSED"', False),
        ("asked", '"CLOSED"', False),
        ('"""two\n   words"""', '"two words"', False),
    ],
)
def test_required_text_is_looked_for_in_the_prompt(prompt: str, value: str, warned: bool) -> None:
    text = f"""\
program p(word: text = "PARIS")
request "{{word}}"
let fixed = "CLOSED"
let asked = ask(search("{{fixed}}"), "which word?")
avoid "{{asked}}"
prompt {prompt}
require text({value})
"""
    assert codes(text) == (["GP511"] if warned else [])


def test_constants_are_followed_through_names() -> None:
    text = """\
request "a"
let many = 30
let first = 7
let where = "topp"
let kites = image_search("kite", top_k: many)
let more = image_search("kite")
ref a = more[first] for "b"
ref b = kites[0] for "b"
prompt "{a} {b} A"
require text("A", at: where)
render steps: many
"""
    assert codes(text) == ["GP312", "GP306", "GP315"]


# ---- environments ------------------------------------------------------------------------------------


def test_registered_tools_are_checked_like_built_in_ones() -> None:
    weather = Signature(
        "weather",
        (
            Parameter("place", Type.TEXT, high=10),
            Parameter("days", Type.INT, required=False, default=1, named_only=True, low=1, high=3),
            Parameter("unit", Type.TEXT, required=False, default="c", named_only=True, choices=("c", "f")),
        ),
        Type.TEXT,
        cost=4,
    )
    known = ENVIRONMENT.with_tools([weather])
    text = """\
request "a"
let one = weather("Paris", days: 2, unit: "f")
let two = weather("a place with a long name", days: 4, unit: "k")
let three = weather("Rome")
prompt "{one} {two} {three}"
"""
    found = check(parse(Source(text)), known)
    assert [d.code for d in found.diagnostics] == ["GP312", "GP312", "GP315", "GP501"]
    assert found.scope.calls_spent == 12
    assert found.scope.calls_left == 0


def test_limits_belong_to_the_environment() -> None:
    few = replace(ENVIRONMENT, max_calls=1, max_references=1, max_prompt_chars=10)
    text = 'request "a"\nlet k = image_search("a")\nuse skill aesthetic_drawing\nref a = k[0] for "b"\n'
    text += 'ref b = k[1] for "b"\nprompt "{a} and {b}, both of them"\n'
    assert [d.code for d in check(parse(Source(text)), few).diagnostics] == ["GP501", "GP403", "GP509"]


# ---- hostile trees -----------------------------------------------------------------------------------


def nested(depth: int) -> Call:
    expression = Call("image_search", (Argument(String(("a",), '"a"')),))
    for _ in range(depth):
        expression = Call("image_search", (Argument(expression),))
    return expression


@pytest.mark.parametrize(
    "statement",
    [
        Let("x", nested(5_000)),
        Let("x", Index(nested(5_000), Number(0, "0"))),
        Require(nested(5_000)),
        Require(Comparison(nested(5_000), "==", Number(1, "1"))),
        Prompt(nested(5_000)),
    ],
)
def test_trees_made_by_hand_may_be_deep(statement: Statement) -> None:
    found = [d.code for d in Scope.root(ENVIRONMENT).extend(statement).diagnostics]
    assert "GP112" in found


def test_a_string_of_unknown_names_ends_in_a_bounded_report() -> None:
    parts = tuple(Interpolation(f"name_{i}", span=Span(i, i + 1)) for i in range(20_000))
    start = time.perf_counter()
    found = Scope.root(ENVIRONMENT).extend(Prompt(String(parts, ""))).diagnostics
    assert len(found) == MAX_FINDINGS
    assert time.perf_counter() - start < 5


def test_many_names_and_many_misspellings_stay_fast() -> None:
    text = 'request "a"\n' + "".join(f'let a_name_number_{i} = "a"\n' for i in range(500))
    text += "".join(f'avoid "{{a_nmae_number_{i}}}"\n' for i in range(450)) + 'prompt "a"\n'
    start = time.perf_counter()
    assert "GP201" in codes(text)
    assert time.perf_counter() - start < 10


# ---- did you mean ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("serach", "search"),
        ("search_image", "image_search"),
        ("imagesearch", "image_search"),
        ("Search", "search"),
        ("towres", None),
        ("x", None),
        ("", None),
        ("s" * 100, None),
    ],
)
def test_closest(word: str, expected: str | None) -> None:
    found = closest(word, ["search", "image_search", "image", "pick", "ask"])
    assert (found.word if found else None) == expected


def test_only_a_single_near_word_is_sure() -> None:
    assert closest("kitte", ["kite", "boat"]) == ("kite", True)
    assert closest("kit", ["kite", "kits"]) == ("kite", False)
    assert closest("image_sreahc", ["image_search"]) == ("image_search", False)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.integers(0, 7))
def test_edit_distance_is_symmetric_and_bounded(a: str, b: str, limit: int) -> None:
    distance = edit_distance(a, b, limit)
    assert distance == edit_distance(b, a, limit)
    assert 0 <= distance <= limit + 1
    assert (distance == 0) == (a == b)
    assert edit_distance(a, b, 20) <= max(len(a), len(b))


def test_names_used_in_braces_and_bare_count_alike() -> None:
    assert codes('request "a"\nlet word = "b"\nprompt word') == []
    assert codes('request "a"\nlet word = "b"\nlet other = word\nprompt "{other}"') == []
    assert Name("a") == Name("a", span=Span(1, 2))
