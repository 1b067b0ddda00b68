"""One message of the released model: what it says, what is wrong with it, and what it is never read as."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import check
from genevolve.grammar.parser import parse
from genevolve.grammar.scope import Scope
from genevolve.grammar.span import Source
from genevolve.grammar.types import SkillInfo
from genevolve.programs.policies.released.broken import Broken, Violation
from genevolve.programs.policies.released.gallery import Gallery, id_number
from genevolve.programs.policies.released.markup import Round, read_round
from genevolve.programs.policies.released.mentions import with_names
from genevolve.programs.policies.released.statements import (
    Setting,
    Translation,
    prompt_text,
    refused,
    translate,
)

ENVIRONMENT = builtin_environment({n: SkillInfo(n, "a skill") for n in ("text_rendering", "spatial_layout")})
START = 'request "A stamp."\nlet i1 = image_search("a tower", top_k: 3)\nlet i2 = image_search("a hat")\n'


def setting(text: str = START, **options: Any) -> Setting:
    scope = Scope.root(ENVIRONMENT)
    for statement in parse(Source(text, "start")).tree.statements:
        scope = scope.extend(statement).scope
    gallery = Gallery()
    gallery.show("i1", ["x", "y", "z"])
    gallery.show("i2", ["y", "v"])
    return Setting(scope, gallery, **options)


def call(name: str = "search", **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def answer(prompt: Any = "The tower of the first reference image.", *references: Any, **more: Any) -> str:
    listed = list(references) or [{"img_id": "IMG_002", "note": "the tower"}]
    payload = {"gen_prompt": prompt, "reference_images": listed, **more}
    return f"<answer>{json.dumps(payload)}</answer>"


def ref(identity: str, note: str = "its shape") -> dict[str, str]:
    return {"img_id": identity, "note": note}


def taken(said: str, **options: Any) -> str:
    found = translate(said, setting(**options))
    assert isinstance(found, Translation), found
    return found.text


def wrong(said: str, **options: Any) -> str:
    found = translate(said, setting(**options))
    assert isinstance(found, Violation), found
    return found.message


# ---- what is taken -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "statements"),
    [
        (call(queries=["a", 'b "c" {d}']), 'let s1 = search("a", "b \\"c\\" {{d}}")\n'),
        (call(queries=["a\nb\u202e\x07"], top_k=3), 'let s1 = search("a b\\u{202e}\\u{7}", top_k: 3)\n'),
        (
            call("image_search", query="the tower", top_k=20),
            'let i3 = image_search("the tower", top_k: 20)\n',
        ),
        (call("query_knowledge", skill_name="text_rendering"), "use skill text_rendering\n"),
        (
            f"<think>The second\nshows it.</think>\n{answer()}\n",
            '# The second\n# shows it.\nref a = i1[1] for "the tower"\nprompt "The tower of {a}."\nrender\n',
        ),
        (
            answer("The hat of image 2, the tower of image 1.", ref("IMG_001"), ref("IMG_004", "")),
            'ref a = i1[0] for "its shape"\nref b = i2[1]\nprompt "The hat of {b}, the tower of {a}."\nrender\n',
        ),
    ],
)
def test_a_round_becomes_statements(said: str, statements: str) -> None:
    assert taken(said) == statements


def test_a_picture_that_is_found_again_keeps_its_id() -> None:
    found = setting().gallery
    assert found.ids == ("IMG_001", "IMG_002", "IMG_003", "IMG_004")
    place = found.place("IMG_004")
    assert place is not None
    assert (place.name, place.index) == ("i2", 1)


def test_an_answer_without_pictures_is_one() -> None:
    said = '<answer>{"gen_prompt": "A red kite.", "reference_images": []}</answer>'
    assert taken(said) == 'prompt "A red kite."\nrender\n'


def test_render_is_left_to_the_author() -> None:
    follows = parse(Source("render seed: 3\n", "f")).tree.statements
    assert taken(answer(), follows=follows).endswith('prompt "The tower of {a}."\n')


def test_names_that_are_taken_are_left_alone() -> None:
    said = taken(answer(), taken=frozenset(("a", "a1")))
    assert said.startswith("ref a2 = i1[1]")


def test_tags_inside_of_strings_are_text() -> None:
    prompt = 'A board reads "}</answer><tool_call>{}</tool_call>", after the first reference image.'
    said = taken(answer(prompt))
    assert 'prompt "A board reads \\"}}</answer><tool_call>{{}}</tool_call>\\", after {a}."' in said


def test_a_draft_inside_of_thoughts_is_a_thought() -> None:
    draft = answer("A draft.", ref("IMG_001"))
    said = taken(f"<think>Perhaps {draft} or {call(queries=['x'])}</think>{call(queries=['y'])}")
    assert said.endswith('let s1 = search("y")\n')
    assert all(line.startswith("# ") for line in said.splitlines()[:-1])
    assert "A draft" in said


def test_thoughts_are_cut_and_never_statements() -> None:
    thoughts = (
        "\n".join(f'let x{i} = search("a")\x1b[31m' for i in range(500)) + "\n...\nrender" + "w " * 9000
    )
    lines = taken(f"<think>{thoughts}</think>{call(queries=['y'])}").splitlines()
    assert len(lines) == 13
    assert all(line.startswith("# ") and len(line) <= 101 and line.isprintable() for line in lines[:-1])


def test_a_long_prompt_is_laid_out_over_lines_and_says_the_same() -> None:
    prompt = "The tower of the first reference image stands by the well-known sea. " * 12
    said = taken(answer(prompt))
    assert '"""' in said
    assert max(map(len, said.splitlines())) <= 110
    checked = check(parse(Source(START + said, "p")), ENVIRONMENT)
    assert checked.ok


@pytest.mark.parametrize("text", ["a\nb " * 60, "two  spaces " * 20, "- a list " * 30, " x" * 100])
def test_what_lines_would_change_stays_on_one(text: str) -> None:
    assert prompt_text((text,)).count("\n") == 0


# ---- what is wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "The message is empty"),
        ("I will look for the tower.", "There is no action"),
        (f"<think>so: {answer()}</think>", "The action stands inside <think>"),
        (f"<think>so: {answer()}", "<think> is not closed"),
        (f"<think>thinking {call(queries=['a'])}", "inside <think> is thinking and is never carried out"),
        (f"so</think>{answer()}", "</think> stands without <think>"),
        (call(queries=["a"]) + call(queries=["b"]), "two tool calls in one round"),
        (call(queries=["a"]) + "\n" + answer(), "a tool call and an answer in one round"),
        (answer() + call(queries=["a"]), "a tool call and an answer in one round"),
        (answer() + answer(), "two answers in one round"),
        (answer() + " I hope it fits.", "Nothing may stand after </answer>; here is 'I hope it fits.'"),
        (f"{call(queries=['a'])}<think>done</think>", "Nothing may stand after </tool_call>"),
        (answer().removesuffix("</answer>"), "</answer> is missing"),
        (call(queries=["a"]).removesuffix("</tool_call>"), "</tool_call> is missing"),
        ('<tool_call>{"name": "search", "arguments": {"queries": ["a"]}}</answer>', "comes </tool_call>"),
        ('<tool_call>{"name": "search"</tool_call>', "is not closed: 1 brackets"),
        ('<answer>{"gen_prompt": "a </answer>', "is not closed: it begins with"),
        ('<answer>{"gen_prompt": "a\nb", "reference_images": []}</answer>', "Write line breaks as \\n"),
        ('<answer>{"a": [}]}</answer>', "closes a bracket that is not open"),
        ("<answer>```json\n{}\n```</answer>", "'{' must come first"),
        ("<answer></answer>", "'{' must come first"),
        ("<answer>", "'{' must come first; here is nothing"),
        ("<answer>" + '{"a": ' * 40 + "1" + "}" * 40 + "</answer>", "nested more than 16 deep"),
        ("<answer>{'gen_prompt': 'a'}</answer>", "This is not JSON"),
        ('<answer>{"gen_prompt": "a",}</answer>', "This is not JSON"),
        ('<answer>{"a": 1, "a": 2}</answer>', "gives 'a' twice"),
        ('<answer>{"a": NaN}</answer>', "NaN, which is no number"),
        ('<answer>{"a": -Infinity}</answer>', "-Infinity, which is no number"),
        ('<answer>{"a": 1e999}</answer>', "a number that is too large"),
        ('<answer>{"a": ' + "9" * 5000 + "}</answer>", "a number of 5000 digits"),
        ('<answer>{"gen_prompt": "\\ud83d", "reference_images": []}</answer>', "half of a surrogate pair"),
    ],
)
def test_broken_rounds_are_told(said: str, told: str) -> None:
    assert told in wrong(said)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('<tool_call>{"name": "search"}</tool_call>', "a tool call needs arguments"),
        ('<tool_call>{"name": 3, "arguments": {}}</tool_call>', '"name" must be a string, and is a number'),
        ('<tool_call>{"name": "search", "arguments": "a"}</tool_call>', '"arguments" must be an object'),
        ('<tool_call>{"name": "search", "arguments": {}, "id": 1}</tool_call>', "no member 'id'"),
        (call("serach", queries=["a"]), "There is no tool 'serach'; did you mean 'search'?"),
        (call("browse", url="x"), "There is no tool 'browse'"),
        (call(queries="a"), '"queries" must be an array of strings, and is a string'),
        (call(queries=[]), '"queries" is empty'),
        (call(queries=["a", 3]), 'query 2 of "queries" must be a string, and is a number'),
        (call(queries=["  "]), 'query 1 of "queries" is empty'),
        (call(queries=["a" * 401]), "has 401 characters; 400 are allowed"),
        (call(queries=["a"], top_k="5"), '"top_k" must be a whole number, and is a string'),
        (call(queries=["a"], top_k=5.0), '"top_k" must be a whole number, and is a number'),
        (call(queries=["a"], top_k=True), '"top_k" must be a whole number, and is true or false'),
        (call(queries=["a"], top_k=None), '"top_k" must be a whole number, and is null'),
        (call(queries=["a"], top_k=0), '"top_k" must be from 1 to 20, and is 0'),
        (call(query="a"), "search has no member 'query'; its members are queries and top_k"),
        (call("image_search", query=["a"]), '"query" must be a string, and is an array'),
        (call("query_knowledge", skill="text_rendering"), "no member 'skill'"),
        (call("query_knowledge", skill_name="text_rending"), "did you mean 'text_rendering'?"),
    ],
)
def test_wrong_calls_are_told(said: str, told: str) -> None:
    assert told in wrong(said)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("<answer>{}</answer>", "an answer needs gen_prompt and reference_images"),
        (answer(3), '"gen_prompt" must be a string, and is a number'),
        (answer("  "), '"gen_prompt" is empty'),
        (answer(negative_prompt="fog"), "an answer has no member 'negative_prompt'"),
        (
            '<answer>{"gen_prompt": "a", "reference_images": {"img_id": "IMG_001"}}</answer>',
            "must be an array of objects",
        ),
        (
            '<answer>{"gen_prompt": "a", "reference_images": null}</answer>',
            "must be an array of objects, and is null",
        ),
        (answer("a", "IMG_001"), 'entry 1 of "reference_images" must be an object'),
        (answer("a", {"img_id": "IMG_001"}), "needs note"),
        (answer("a", {"id": "IMG_001", "note": ""}), "has no member 'id'"),
        (
            answer("a", {"img_id": 1, "note": ""}),
            '"img_id" of entry 1 of "reference_images" must be a string',
        ),
        (answer("a", {"img_id": "IMG_001", "note": 1}), '"note" of entry 1'),
        (answer("a", ref("tower.png")), "'tower.png' in entry 1 of \"reference_images\" is no image id"),
        (answer("a", ref("IMG_009")), "No search showed IMG_009"),
        (answer("a", ref("IMG_009")), "Shown were: IMG_001, IMG_002, IMG_003, IMG_004."),
        (answer("a", ref("IMG_001"), ref("IMG_001")), "takes IMG_001 twice"),
        (answer("a", ref("IMG_001"), ref("IMG_002"), ref("IMG_001")), "takes IMG_001 twice"),
        (
            answer(
                "The first reference image and the second reference image.", ref("IMG_003"), ref("IMG_001")
            ),
            "is not sorted by img_id: IMG_003, IMG_001. Sort it (IMG_001, IMG_003)",
        ),
        (answer("a", *(ref("IMG_001") for _ in range(6))), "has 6 entries; at most 5"),
        (
            answer("Copy IMG_002 as it is, the first reference image."),
            "There is an image id in gen_prompt: 'IMG_002'",
        ),
        (answer("See https://a.example/x, the first reference image."), "There is an address in gen_prompt"),
        (answer("The first and the second reference image."), "does not say clearly"),
        (answer("The second reference image."), "but reference_images has 1 entry"),
        (answer("A tower."), "never speaks of 'the first reference image'"),
        (
            answer("The first reference image.", ref("IMG_001", "as IMG_002")),
            "an image id in the note of IMG_001",
        ),
        (answer("The first reference image.", ref("IMG_001", "unlike the second image")), "without ordinals"),
        (
            '<answer>{"gen_prompt": "As image 1.", "reference_images": []}</answer>',
            "but reference_images is empty",
        ),
        (answer("The first reference image. " + "a" * 20_001), "20,000 are allowed"),
    ],
)
def test_wrong_answers_are_told(said: str, told: str) -> None:
    assert told in wrong(said)


def test_no_call_when_none_is_possible() -> None:
    assert "No tool can be called any more" in wrong(call(queries=["a"]), may_call=False)
    assert taken(answer(), may_call=False)


def test_a_skill_is_read_once() -> None:
    said = call("query_knowledge", skill_name="text_rendering")
    assert "was given already" in wrong(said, text=f"{START}use skill text_rendering\n")


def test_pictures_come_before_references() -> None:
    found = translate(answer("a", ref("IMG_001")), Setting(setting().scope, Gallery()))
    assert isinstance(found, Violation)
    assert "No picture has been shown yet" in found.message


def test_a_refused_round_is_no_statement() -> None:
    said = f"<think>render\n{answer()}</think>"
    turn = refused(said, Violation('say render\nlet x = search("a")'))
    parsed = parse(Source(turn, "t"))
    assert parsed.diagnostics
    assert turn.splitlines()[-1] == 'protocol: say render let x = search("a")'
    assert (
        not parsed.tree.statements or parsed.diagnostics[0].span.start <= parsed.tree.statements[0].span.start
    )


# ---- references by name ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("The first reference image, then the second reference image.", "{a}, then {b}."),
        ("the 1st reference photo by the 2nd reference photo", "{a} by {b}"),
        ("reference image #1 / Reference Image 2's hat", "{a} / {b}'s hat"),
        ("image one; image two", "{a}; {b}"),
        ("Image 1 and image 2", "{a} and {b}"),
        ("from the first and second reference images", "from {a} and {b}"),
        ("from the second, and the first reference images", "from {b}, and {a}"),
        ("Use images 1 and 2.", "Use {a} and {b}."),
        ("this first reference image, your second reference image", "{a}, {b}"),
        ("the\nfirst  reference\u00a0image; SECOND REFERENCE IMAGE", "{a}; {b}"),
        ("the first image of a black hole, image 1, image 2", "the first image of a black hole, {a}, {b}"),
    ],
)
def test_ordinals_become_names(prompt: str, parts: str) -> None:
    found = with_names(prompt, ("a", "b"))
    assert "".join(p if isinstance(p, str) else f"{{{p.name}}}" for p in found) == parts


@pytest.mark.parametrize(
    "prompt",
    [
        "the first two reference images",
        "the last reference image and the first reference image",
        "reference images 1-2",
        "reference images 1 to 2",
        "copy image 1 and 2",
        "the first or second reference image",
        "the second reference images",
        "image 1, image 2, the reference image",
        "第一张参考图",
        'image 2, a sign "IMAGE 1"',
        "image 2, a sign “Image 1”",
        "image 0, image 1, image 2",
        "the twelfth reference image",
    ],
)
def test_what_could_be_read_in_two_ways_is_told(prompt: str) -> None:
    with pytest.raises(Broken):
        with_names(prompt, ("a", "b"))


@pytest.mark.parametrize(
    "prompt", ["the reference image", "The only reference image", "the provided reference photo"]
)
def test_the_only_reference_needs_no_number(prompt: str) -> None:
    (found,) = with_names(prompt, ("a",))
    assert not isinstance(found, str)


# ---- anything at all ---------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "<answer>",
            "</answer>",
            "{",
            "}",
            '"',
            "\\",
            "\n",
        ),
        *(
            call(queries=["a"]),
            answer(),
            '{"name": "search", "arguments": {"queries": ["x"]}}',
            " ",
            "plain",
            "[",
            "]",
        ),
        *('"</answer>"', '"<think>"', "\ud83d", "\x00", "1e999", ":", ","),
    ]
)
MESSAGES = st.lists(PIECES | st.text(max_size=8), max_size=24).map("".join)


@given(MESSAGES)
@settings(max_examples=300, deadline=None)
def test_nothing_raises_and_an_action_is_exactly_one(text: str) -> None:
    found = read_round(text)
    state = setting()
    translated = translate(text, state)
    if isinstance(found, Violation):
        assert isinstance(translated, Violation)
        assert found.message
        return
    # What closes the message is the action, and before it every thought is closed.
    assert text.rstrip(" \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\u00a0\u2028\u2029").endswith(f"</{found.action}>")
    assert _outside(text, found)
    if isinstance(translated, Translation):
        checked = check(parse(Source(START + translated.text, "p")), ENVIRONMENT)
        assert not [d for d in checked.diagnostics if d.is_error and d.code not in ("GP504",)]


def _outside(text: str, found: Round) -> bool:
    """Whether the action begins where no thought is open: counted by hand, from the left."""
    at = 0
    while True:
        think = text.find("<think>", at)
        action = min((i for t in ("<tool_call>", "<answer>") if (i := text.find(t, at)) >= 0), default=-1)
        if think < 0 or action < think:
            return (
                json.loads(text[text.index(">", action) + 1 : text.rindex(f"</{found.action}>")])
                == found.payload
            )
        at = text.index("</think>", think) + len("</think>")


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_action_comes_out_of_thoughts_or_strings(before: str, after: str) -> None:
    draft = f"{before}{answer()}{after}".replace("</think>", "")
    assert isinstance(read_round(f"<think>{draft}"), Violation)
    assert isinstance(read_round(f"<think>{draft}</think>"), Violation)
    said = json.dumps({"gen_prompt": draft + call(queries=["x"]), "reference_images": []})
    found = read_round(f"<answer>{said}</answer>")
    assert isinstance(found, Round) or "surrogate" in found.message
    if isinstance(found, Round):
        assert found.action == "answer"
        assert found.payload["gen_prompt"] == draft + call(queries=["x"])


@given(st.text(max_size=300), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_prompts_are_said_exactly(text: str, mentions: int) -> None:
    from genevolve.grammar.elaborate import evaluate_text
    from genevolve.grammar.strings import read_string
    from genevolve.grammar.tree import Interpolation

    text = text.encode("utf-8", "ignore").decode().replace("\ufdd0", "")
    parts = tuple(p for i in range(mentions + 1) for p in (text, Interpolation(f"n{i}")))
    literal = prompt_text(parts)
    node, found = read_string(literal)
    assert not found
    values = {f"n{i}": f"v{i}" for i in range(mentions + 1)}
    assert evaluate_text(node, values) == "".join(p if isinstance(p, str) else values[p.name] for p in parts)


@given(st.text(max_size=12))
def test_ids_are_read_strictly(text: str) -> None:
    number = id_number(text)
    assert number is None or text.startswith("IMG_")
    assert id_number("IMG_001") == 1
    assert id_number("IMG_1") is None
    assert id_number("IMG_٠٠١") is None
