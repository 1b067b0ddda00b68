"""Elaboration: prompts, ordinals, layout, guards, constraints, settings, and values that mean harm."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genevolve.grammar.elaborate import elaborate, evaluate, evaluate_text, negative_prompt
from genevolve.grammar.errors import InternalError, ProgramError
from genevolve.grammar.layout import clean_value, join_lines
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Call, Interpolation, Let, Prompt, String, Tree
from genevolve.grammar.z import Constraint, Reference, Settings, Z


@dataclass(frozen=True)
class Pixels:
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Picture:
    path: str
    width: int = 10
    height: int = 10


def tree_of(text: str) -> Tree:
    parsed = parse(Source(text, "test.gprog"))
    assert parsed.diagnostics == ()
    assert parsed.tree is not None
    return parsed.tree


def reference(n: int, name: str) -> Reference:
    return Reference(n, name, "copy it", "0" * 64)


def program(*lines: str) -> Tree:
    return tree_of("\n".join(['request "a picture"', *lines]))


def prompt_of(prompt: str, values: dict[str, object] | None = None, refs: tuple[str, ...] = ()) -> str:
    references = [reference(i, name) for i, name in enumerate(refs, 1)]
    return elaborate(program(f"prompt {prompt}"), values or {}, references).gen_prompt


def fault(
    tree: Tree, values: dict[str, object], *refs: str, source: Source | None = None
) -> list[tuple[str, str]]:
    references = [reference(i, name) for i, name in enumerate(refs, 1)]
    with pytest.raises(ProgramError) as caught:
        elaborate(tree, values, references, source=source or Source(""))
    findings = caught.value.findings
    return [(d.code, findings.source.slice(d.span)) for d in findings.diagnostics]


COVER = '''program travel_cover(title: text = "PARIS", travellers: int = 2)

request "A 1990s travel-magazine cover: {travellers} backpackers, titled {title}."

let towers = image_search("Eiffel Tower at golden hour, full view", top_k: 5)

ref tower = towers[0] for "copy the lattice structure and the light"
use skill spatial_layout
use skill text_rendering

prompt """
A 1990s travel-magazine cover. Exactly {travellers} backpackers stand in the lower third, in front of the
tower from {tower}. The title "{title}" runs across the top in bold serif capitals.
"""
avoid "warped lettering, a second tower"
require text(title, at: "top")
require count("backpacker") == travellers
require resembles(tower)
render size: 1024x768, steps: 40, guidance: 4, seed: 7
'''


def test_the_example_of_the_language() -> None:
    z = elaborate(
        tree_of(COVER),
        {"title": "PARIS", "travellers": 2},
        [reference(1, "tower")],
        {"text_rendering": ["Warped Lettering", "gibberish"], "spatial_layout": ["merged objects"]},
    )
    assert z == Z(
        request="A 1990s travel-magazine cover: 2 backpackers, titled PARIS.",
        gen_prompt=(
            "A 1990s travel-magazine cover. Exactly 2 backpackers stand in the lower third, in front of the tower "
            'from the first reference image. The title "PARIS" runs across the top in bold serif capitals.'
        ),
        negative_prompt="warped lettering, a second tower, merged objects, gibberish",
        reference_images=(reference(1, "tower"),),
        settings=Settings(1024, 768, 40, 4.0, 7),
        constraints=(
            Constraint("text", {"value": "PARIS", "at": "top"}),
            Constraint("count", {"what": "backpacker", "operator": "==", "n": 2}),
            Constraint("resembles", {"ref": 1}),
        ),
        skills=("spatial_layout", "text_rendering"),
    )
    assert isinstance(z.settings.guidance, float)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{a} stands here.", "The first reference image stands here."),
        ("As in {a}.", "As in the first reference image."),
        ("Fog. {b} stands here.", "Fog. The second reference image stands here."),
        ("Fog! “{b}” stands.", "Fog! “The second reference image” stands."),
        ("He said “Go.” {a} follows.", "He said “Go.” The first reference image follows."),
        ("See e.g. {a} here.", "See e.g. the first reference image here."),
        ("The {a} stands.", "The first reference image stands."),
        ("like the {b}, {a} stands", "like the second reference image, the first reference image stands"),
        ("Colours: {a}.", "Colours: the first reference image."),
        ("bathe {a} in light", "bathe the first reference image in light"),
        ("From {a}'s light", "From the first reference image's light"),
        ("{a} and {b}", "The first reference image and the second reference image"),
        ("霧。{a}", "霧。The first reference image"),
        ("Fog.\\n- {b} left", "Fog.\n- The second reference image left"),
        ("{{a}} {a}", "{a} the first reference image"),
    ],
)
def test_ordinals_read_as_written_by_a_person(written: str, expected: str) -> None:
    assert prompt_of(f'"{written}"', refs=("a", "b")) == expected


def test_ten_references_have_words_and_an_eleventh_has_none() -> None:
    names = tuple(f"r{i}" for i in range(1, 12))
    text = prompt_of(f'"x {" ".join(f"{{{n}}}" for n in names[:10])}"', refs=names)
    assert text.endswith("the ninth reference image the tenth reference image")
    assert fault(program('prompt "x {r11}"'), {}, *names)[0][0] == "GP403"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo", "one two"),
        ("one\n\n\ntwo", "one\n\ntwo"),
        ("one  \n  two", "one two"),
        ("well-\nknown", "well-known"),
        ("Paris -\nLyon", "Paris - Lyon"),
        ("山の上に\n城が", "山の上に城が"),
        ("한국어\n글", "한국어 글"),
        ("Left:\n- a cat\n  that sleeps\n- a dog", "Left:\n- a cat that sleeps\n- a dog"),
        ("Steps:\n1. draw\n2. paint", "Steps:\n1. draw\n2. paint"),
        ("in the year\n12. It rained", "in the year 12. It rained"),
        ("A poem:\n    roses  are\n    red\nend", "A poem:\n    roses  are\n    red\nend"),
        ("-\na cat\n    that sleeps", "- a cat that sleeps"),
        ("1.\ndraw\n    slowly", "1. draw slowly"),
        ("    verbatim\n•\na\n    b", "    verbatim\n• a b"),
        ("Paris\n-\nLyon", "Paris - Lyon"),
        ('says "A  B\nC" there', 'says "A  B C" there'),
        ("", ""),
        ("\n\n", ""),
    ],
)
def test_lines_are_joined_for_the_generator(text: str, expected: str) -> None:
    assert join_lines(text) == expected


@given(st.text("ab -.1:\n\t山\u00a0", max_size=60))
@example("-\n1\n\t1")
@example("\u00a0- a\n    a")
def test_joining_lines_is_idempotent_and_loses_no_words(text: str) -> None:
    joined = join_lines(text)
    assert join_lines(joined) == joined
    assert "".join(joined.split()) == "".join(text.split())


def test_escapes_in_a_one_line_string_are_deliberate_layout() -> None:
    assert prompt_of(r'"one\ntwo"') == "one\ntwo"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("PARIS", "PARIS"),
        ("a\nb\tc", "a b c"),
        ("a\x1b[31mb", "a [31mb"),
        ("a\r\n\x00b", "a b"),
        ("left\u202eright", "leftright"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\ud800x", "\ufffdx"),
        ("{tower} {{x}}", "{tower} {{x}}"),
        (3, "3"),
        (2.5, "2.5"),
        (4.0, "4.0"),
        (Pixels(640, 480), "640x480"),
    ],
)
def test_values_come_in_as_one_clean_line(value: object, expected: str) -> None:
    assert prompt_of('"[{v}]"', {"v": value, "tower": "no"}) == f"[{expected}]"


@pytest.mark.parametrize(
    "value", [True, None, [1], Picture("x.png"), pytest.param(10**5000, id="5000 digits")]
)
def test_other_values_cannot_stand_in_a_string(value: object) -> None:
    (code, _), *_ = fault(program('prompt "[{v}]"'), {"v": value})
    assert code == ("GP312" if isinstance(value, int) and not isinstance(value, bool) else "GP307")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("like the second reference image", "GP401"),
        ("reference image\n2", "GP401"),
        ("IMG_002", "GP404"),
        ("see https://example.org/a.png", "GP405"),
        ("data:image/png;base64,AAAA", "GP405"),
    ],
)
@pytest.mark.parametrize(
    "where", ['prompt "x {v} y"', 'prompt "ok" avoid "{v}"', 'ref r = image("a") for "{v}" prompt "{r}"']
)
def test_values_cannot_smuggle_what_authors_may_not_write(value: str, code: str, where: str) -> None:
    source = Source(f'request "a picture" {where}', "smuggler.gprog")
    tree = tree_of(source.text)
    assert fault(tree, {"v": value}, "r", source=source) == [(code, "{v}")]


def test_a_value_cannot_complete_a_phrase_that_the_author_began() -> None:
    source = Source('request "x" prompt "Copy the {n} reference image, image {k}, {i}_01"')
    found = fault(tree_of(source.text), {"n": "second", "k": 3, "i": "IMG"}, source=source)
    assert found == [("GP401", "{n}"), ("GP401", "{k}"), ("GP404", "{i}")]


def test_a_value_cannot_count_a_reference() -> None:
    source = Source('request "A kite."\nprompt "A kite, {said} {kite}."')
    found = fault(parse(source).tree, {"said": "like the second"}, "kite", source=source)
    assert found == [("GP401", "{kite}")]


def test_a_whole_prompt_from_a_name_is_judged_too() -> None:
    source = Source('request "x" prompt p')
    assert fault(tree_of(source.text), {"p": "reference 2"}, source=source) == [("GP401", "p")]
    assert elaborate(tree_of(source.text), {"p": "a  cat\n"}).gen_prompt == "a  cat"


def test_references_themselves_break_nothing() -> None:
    assert prompt_of('"{a} beside {b}"', refs=("a", "b")).count("reference image") == 2


def test_ordinals_in_a_request_are_the_requesters_own_words() -> None:
    tree = tree_of('request "like the first reference image" prompt "a cat"')
    assert elaborate(tree, {}).request == "like the first reference image"


def test_calls_that_no_name_holds_are_looked_up() -> None:
    tree = program('prompt ask(facts, "what colour?")')
    call = next(s.text for s in tree.statements if isinstance(s, Prompt))
    assert isinstance(call, Call)
    assert elaborate(tree, {}, calls={call: "a red  hat"}).gen_prompt == "a red  hat"
    assert fault(tree, {})[0][0] == "GP310"


@pytest.mark.parametrize(
    ("lines", "values", "code"),
    [
        (["prompt ?"], {}, "GP601"),
        (["...", 'prompt "x"'], {}, "GP601"),
        (["use skill ?", 'prompt "x"'], {}, "GP601"),
        (['prompt "x"', "require ?"], {}, "GP601"),
        ([], {}, "GP504"),
        (['prompt ""'], {}, "GP310"),
        (['prompt "{v}"'], {"v": " \n"}, "GP310"),
        (['prompt "{v}"'], {}, "GP201"),
        (['prompt "{v}"'], {"v": "x" * 20_001}, "GP509"),
        (['prompt "x"', 'require count("cat") == v'], {"v": -1}, "GP312"),
        (['prompt "x"', 'require count("cat") == v'], {"v": 1.5}, "GP301"),
        (['prompt "x"', 'require count("cat") == v'], {"v": True}, "GP301"),
        (['prompt "x"', 'require text("hi", at: v)'], {"v": "middle"}, "GP315"),
        (['prompt "x"', "require text(v)"], {"v": ""}, "GP312"),
        (['prompt "x"', "require text(v)"], {"v": "y" * 401}, "GP312"),
        (['prompt "x"', "require resembles(v)"], {"v": "tower"}, "GP410"),
        (['prompt "x"', 'require nothing("x")'], {}, "GP202"),
        (['prompt "x"', "require text()"], {}, "GP302"),
        (['prompt "x"', 'require "x"'], {}, "GP309"),
        (['prompt "x"', "render steps: v"], {"v": 0}, "GP314"),
        (['prompt "x"', "render steps: v"], {"v": "ten"}, "GP313"),
        (['prompt "x"', "render steps: v"], {"v": True}, "GP313"),
        (['prompt "x"', "render guidance: v"], {"v": float("nan")}, "GP314"),
        (['prompt "x"', "render guidance: v"], {"v": float("inf")}, "GP314"),
        (['prompt "x"', "render seed: v"], {"v": 2**63}, "GP314"),
        (['prompt "x"', "render size: v"], {"v": Pixels(10, 5000)}, "GP314"),
        (['prompt "x"', "render size: v"], {"v": "1024x1024"}, "GP313"),
        (['prompt "x"', "render size: v"], {"v": Picture("a.png")}, "GP313"),
        (['prompt "x"', "render colour: 3"], {}, "GP208"),
    ],
)
def test_what_cannot_be_elaborated_is_told(lines: list[str], values: dict[str, object], code: str) -> None:
    assert fault(program(*lines), values)[0][0] == code


def test_a_program_needs_a_request() -> None:
    assert fault(tree_of('prompt "x"'), {})[0][0] == "GP502"


def test_a_reference_outside_the_prompt_is_told() -> None:
    assert fault(program('prompt "{r}"', 'avoid "{r}"'), {}, "r")[0][0] == "GP409"


def test_references_out_of_order_are_a_bug_of_the_caller() -> None:
    with pytest.raises(InternalError):
        elaborate(program('prompt "x"'), {}, [reference(2, "a")])


def test_settings_that_are_not_written_are_left_to_the_renderer() -> None:
    assert elaborate(program('prompt "x"'), {}).settings == Settings(1024, 1024, None, None, 0)
    z = elaborate(program('prompt "x"', "render size: s, seed: n"), {"s": Pixels(640, 480), "n": 3})
    assert z.settings == Settings(640, 480, None, None, 3)


@pytest.mark.parametrize(
    ("avoided", "guards", "expected"),
    [
        ([], [], ""),
        (["blur, "], ["blur"], "blur"),
        (["Blur"], ["blur", "BLUR", "noise"], "Blur, noise"),
        (["extraordinary light"], ["extra"], "extraordinary light, extra"),
        ([" ", "a", "b"], [" ", "a"], "a, b"),
    ],
)
def test_guards_follow_what_is_avoided(avoided: list[str], guards: list[str], expected: str) -> None:
    assert negative_prompt(avoided, guards) == expected


def test_evaluation_is_shared_with_the_interpreter() -> None:
    tree = program('let q = "a {size} tower by {who}"', 'prompt "x"')
    (let,) = (s for s in tree.statements if isinstance(s, Let))
    assert isinstance(let.value, String)
    assert evaluate_text(let.value, {"size": Pixels(1, 2), "who": "Eiffel"}) == "a 1x2 tower by Eiffel"
    assert evaluate_text(let.value, {"size": 3}, {"who": 2}) == "a 3 tower by the second reference image"
    assert evaluate(let.value, {"size": 1, "who": "me"}) == "a 1 tower by me"
    with pytest.raises(ProgramError, match="GP201"):
        evaluate_text(let.value, {})


# ---- properties ----

TEXTS = st.text(max_size=40)
VALUES = st.one_of(
    TEXTS, st.integers(), st.floats(), st.builds(Pixels, st.integers(1, 5000), st.integers(1, 5000))
)
PARTS = st.lists(st.one_of(TEXTS, st.builds(Interpolation, st.sampled_from("vwr"))), max_size=8)


@given(PARTS, VALUES, VALUES, st.booleans())
def test_elaboration_is_deterministic_and_z_survives_its_json(
    parts: list[str | Interpolation], v: object, w: object, triple: bool
) -> None:
    base = program('prompt "x"', "use skill s", 'avoid "{v}"', "require text(w)", "require resembles(r)")
    string = String(tuple(parts), "", triple)
    tree = Tree(tuple(Prompt(string) if isinstance(s, Prompt) else s for s in base.statements))

    def once() -> Z | list[tuple[str, str]]:
        try:
            return elaborate(tree, {"v": v, "w": w}, [reference(1, "r")], {"s": ["blur"]})
        except ProgramError as error:
            return [(d.code, d.message) for d in error.findings.diagnostics]

    first = once()
    assert once() == first
    if isinstance(first, Z):
        again = Z.from_dict(first.to_dict())
        assert again == first
        assert again.to_json() == first.to_json()
        assert again.to_json().encode() == first.to_json().encode()
        assert again.digest == first.digest


@given(st.text(max_size=100))
def test_clean_values_are_one_line_and_stay_clean(text: str) -> None:
    cleaned = clean_value(text)
    assert clean_value(cleaned) == cleaned
    assert len(cleaned.splitlines()) <= 1
    cleaned.encode()
