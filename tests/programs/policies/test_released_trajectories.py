"""Whole trajectories: upstream's as programs, ours as upstream's, and back again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.tree import Let, Ref, Render, Statement, Trivia
from genevolve.grammar.types import SkillInfo
from genevolve.grammar.z import Reference, Z
from genevolve.programs.policies.released import to_upstream
from genevolve.programs.policies.released.actions import ImageSearch
from genevolve.programs.policies.released.exported import Untold, export_program, export_rollout
from genevolve.programs.policies.released.imported import Unreadable, import_row, read_rows
from genevolve.programs.program import Program

SKILLS = ("text_rendering", "spatial_layout")
ENVIRONMENT = builtin_environment({n: SkillInfo(n, f"about {n}") for n in SKILLS})

ANSWER = {
    "gen_prompt": "The tower of the first reference image under the sky of the second reference image.",
    "reference_images": [{"img_id": "IMG_002", "note": "shape"}, {"img_id": "IMG_003", "note": ""}],
}
FOUND = """<tool_response>
--- image search result for [a tower] ---
IMG_001: title: Tower, seen: from afar
  url: https://a.example/1.jpg
  local_path: /somewhere/else/one.png
  page_url: https://a.example/
IMG_002: title: Tower by night
  url: https://a.example/2.jpg
  local_path: /somewhere/else/two.png
--- end of image search result ---
</tool_response>"""
PASSAGES = """<tool_response>
--- search result for [tower] ---
1. title: On towers
  url: https://b.example/
  snippet: Built in 1889.
and painted since
2. title: More
  snippet: It is tall.
--- end of search result ---
--- search result for [sky] ---
1. title: Sky
--- end of search result ---
</tool_response>"""


def call(name: str, thoughts: str = "so", **arguments: Any) -> str:
    return f"<think>{thoughts}</think>\n<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def messages(*rounds: str, request: str = "A tower\nat dusk.") -> list[dict[str, str]]:
    """Alternating: what the model said, what it was answered."""
    told = [{"role": "system", "content": "s"}, {"role": "user", "content": request}]
    return told + [
        {"role": "assistant" if i % 2 == 0 else "user", "content": text} for i, text in enumerate(rounds)
    ]


def answer(payload: object = None) -> str:
    return f"<think>done</think><answer>{json.dumps(ANSWER if payload is None else payload)}</answer>"


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


UNSORTED = {**ANSWER, "reference_images": [{"img_id": i, "note": ""} for i in ("IMG_003", "IMG_002")]}
PLAIN = {"gen_prompt": "x", "reference_images": []}
TWELVE = [text for i in range(12) for text in (call("search", queries=[f"q{i}"]), PASSAGES)]
LOOK = call("image_search", query="a tower")
SKY = call("image_search", query="sky", top_k=2)
SKY_FOUND = FOUND.replace("IMG_002", "IMG_003").replace("[a tower]", "[sky]")
FACTS = call("search", queries=["tower", "sky"])
WHOLE = messages(LOOK, FOUND, FACTS, PASSAGES, SKY, SKY_FOUND, answer())
PROGRAM = """\
request "A tower at dusk."
# so
let i1 = image_search("a tower")
# so
let s1 = search("tower", "sky")
# so
let i2 = image_search("sky", top_k: 2)
# done
ref a = i1[1] for "shape"
ref b = i2[1]
prompt "The tower of {a} under the sky of {b}."
render
"""


# ---- import ------------------------------------------------------------------------------------------


def test_a_trajectory_becomes_a_program() -> None:
    imported = import_row({"id": 7, "messages": WHOLE}, ENVIRONMENT)
    assert imported.program.source == PROGRAM
    assert imported.program.check(ENVIRONMENT).ok
    first, facts, second = imported.shown
    assert [(p.id, p.title, p.url, p.file) for p in first.pictures] == [
        ("IMG_001", "Tower, seen: from afar", "https://a.example/1.jpg", "/somewhere/else/one.png"),
        ("IMG_002", "Tower by night", "https://a.example/2.jpg", "/somewhere/else/two.png"),
    ]
    assert [(s.title, s.source, s.text) for s in facts.snippets] == [
        ("On towers", "https://b.example/", "Built in 1889.\nand painted since"),
        ("More", "", "It is tall."),
        ("Sky", "", ""),
    ]
    assert isinstance(second.call, ImageSearch)
    assert second.to_dict()["queries"] == ["sky"]


def test_messages_alone_and_in_parts_are_read() -> None:
    parts = [
        {**m, "content": [{"type": "text", "text": m["content"]}, {"type": "image_url", "image_url": {}}]}
        for m in WHOLE
    ]
    assert import_row(parts, ENVIRONMENT).program.source == PROGRAM
    marked = [{**m, "content": m["content"].replace("--- end", "<image>\n--- end")} for m in WHOLE]
    assert import_row(marked, ENVIRONMENT).program.source == PROGRAM


def test_rounds_that_were_refused_leave_nothing_behind() -> None:
    nudge = "<tool_response>\nFormat error: must output one\n</tool_response>"
    failed = "<tool_response>\n[tool error] search: no route\n</tool_response>"
    final = {"role": "user", "content": "\n=== FINAL STEP: OUTPUT ANSWER NOW ===\n"}
    told = messages("<think>hm", nudge, FACTS, failed, LOOK, FOUND, SKY, SKY_FOUND, answer())
    imported = import_row([*told[:-1], final, told[-1]], ENVIRONMENT)
    assert 'search("tower"' not in imported.program.source
    assert len(imported.left_out) == 2
    assert "<think> is not closed" in imported.left_out[0]
    assert "no route" in imported.left_out[1]


def test_the_same_picture_in_two_lists_is_the_first() -> None:
    again = messages(
        LOOK,
        FOUND,
        SKY,
        SKY_FOUND,
        answer(
            {
                **ANSWER,
                "reference_images": [{"img_id": "IMG_001", "note": "x"}],
                "gen_prompt": "The first reference image.",
            }
        ),
    )
    assert "ref a = i1[0]" in import_row(again, ENVIRONMENT).program.source


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (3, "there are no messages"),
        ({}, "there are no messages"),
        ({"messages": [], "error": "llm failed"}, "the trajectory failed: llm failed"),
        ({"messages": []}, "there is no request"),
        ({"messages": [3]}, "message 1 is no object"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "no role that is known"),
        ({"messages": [{"role": "user", "content": None}]}, "message 1 has no text"),
        (messages("", request=" "), "there is no request"),
        (messages(LOOK, FOUND), "there is no answer in 1 rounds"),
        (messages(LOOK, FOUND, FACTS, answer()), "there is no answer in 2 rounds"),
        ([*messages(LOOK, FOUND, FACTS), assistant(answer())], "round 2: the call was never answered"),
        (messages(LOOK + FACTS, FOUND, answer()), "round 1: There are two tool calls"),
        (
            messages(call("image_search", query="x", top_k="5"), FOUND, answer()),
            'round 1: "top_k" must be a whole',
        ),
        (messages(LOOK, FOUND, answer()), "round 2: No search showed IMG_003"),
        (messages(LOOK, FOUND, SKY, SKY_FOUND, answer(UNSORTED)), "is not sorted"),
        (messages(answer(PLAIN), "", LOOK), "round 1 answers, and 1 more follow"),
        ([*WHOLE[:-1], {"role": "user", "content": "again"}, WHOLE[-1]], "answered twice"),
        (messages(*TWELVE, answer()), "round 11: "),
    ],
)
def test_bad_rows_are_told(row: object, why: str) -> None:
    with pytest.raises(Unreadable) as error:
        import_row(row, ENVIRONMENT)
    assert why in str(error.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["messages", "role", "content", "id"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_row_is_read_or_told(row: Any) -> None:
    with pytest.raises(Unreadable):
        import_row(row, ENVIRONMENT)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_trajectory_is_read_or_told(data: st.DataObject) -> None:
    told = [dict(m) for m in WHOLE]
    at = data.draw(st.integers(1, len(told) - 1))
    text = told[at]["content"]
    cut = data.draw(st.integers(0, len(text)))
    told[at]["content"] = (
        text[:cut]
        + data.draw(st.text(max_size=5) | st.sampled_from(["}", '"', "</answer>", "\n"]))
        + text[cut + data.draw(st.integers(0, 9)) :]
    )
    try:
        imported = import_row(told, ENVIRONMENT)
    except Unreadable:
        return
    assert imported.program.check(ENVIRONMENT).ok


def test_rows_of_files(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b"\xef\xbb\xbf" + json.dumps({"messages": WHOLE}).encode() + b"\n\n{broken\n[]\n")
    rows = list(read_rows(lines))
    assert [n for n, _ in rows] == [1, 3, 4]
    assert isinstance(rows[1][1], Unreadable)
    array = tmp_path / "a.json"
    array.write_text(f"\n {json.dumps([{'messages': WHOLE}])}")
    assert [n for n, _ in read_rows(array)] == [1]
    array.write_text(json.dumps(WHOLE))
    ((_, row),) = read_rows(array)
    assert import_row(row, ENVIRONMENT).program.source == PROGRAM


# ---- export ------------------------------------------------------------------------------------------


def bare(statement: Statement) -> Statement:
    return replace(statement, trivia=Trivia())


def without_comments(source: str) -> list[Statement]:
    """The statements without comments and without `render`, which says nothing upstream."""
    return [bare(s) for s in Program.parse(source).tree.statements if not isinstance(s, Render)]


def test_import_and_export_are_inverse() -> None:
    record = export_program(Program.parse(PROGRAM), ENVIRONMENT)
    again = import_row(record, ENVIRONMENT)
    assert again.program.source == PROGRAM.replace('"A tower at dusk."\n#', '"A tower at dusk."\n#')
    assert record["gen_prompt"] == ANSWER["gen_prompt"]
    assert record["rounds"] == 4


def test_an_export_reads_like_the_protocol() -> None:
    told = export_program(Program.parse(PROGRAM), ENVIRONMENT)["messages"]
    assert isinstance(told, list)
    assert [m["role"] for m in told] == ["system", "user", *("assistant", "user") * 3, "assistant"]
    assert told[2]["content"] == (
        '<think>\nso\n</think>\n<tool_call>\n{"name": "image_search", "arguments": {"query": "a tower"}}\n</tool_call>'
    )
    assert told[3]["content"].splitlines()[2:4] == ["IMG_001: title: no title", "IMG_002: title: no title"]


def test_references_are_sorted_and_the_prompt_counts_anew() -> None:
    source = """\
request "x"
let p = image_search("p", top_k: 2)
let q = image_search("q", top_k: 2)
ref late = q[0] for "late"
ref early = p[1] for "early"
prompt "The late one of {late}, the early one of {early}, again {late}."
"""
    record = export_program(Program.parse(source), ENVIRONMENT)
    assert record["gen_prompt"] == (
        "The late one of the second reference image, the early one of the first reference image, "
        "again the second reference image."
    )
    again = import_row(record, ENVIRONMENT).program.source
    assert 'ref a = i1[1] for "early"\nref b = i2[0] for "late"\n' in again
    assert "The late one of {b}, the early one of {a}, again {b}." in " ".join(again.split())


def turn(statement: str, value: object, guide: str | None = None) -> dict[str, Any]:
    return {"statements": [statement], "observations": [{"ok": True, "value": value, "guide": guide}]}


def test_rollouts_are_exported_with_what_they_saw() -> None:
    first = {
        "path": "x.png",
        "sha256": "ab" * 32,
        "width": 8,
        "height": 6,
        "title": "A </tool_response> tower",
    }
    second = {**first, "sha256": "cd" * 32, "title": "B", "source": "https://a.example/1"}
    turns = [
        turn('let t = image_search("tower")', {"type": "images", "value": [first, second]}),
        turn("use skill text_rendering", None, "Spell it."),
        turn('ref r = pick(t, "night")', {"type": "image", "value": second}),
    ]
    source = "\n".join(('request "x"', *(t["statements"][0] for t in turns), 'prompt "As {r}."\n'))
    row = {"schema": "genevolve.rollout/1", "program": source, "turns": turns}
    record = export_rollout(row, ENVIRONMENT)
    told = "\n".join(m["content"] for m in record["messages"][1:])  # type: ignore[attr-defined]  # a list of messages
    assert "IMG_001: title: A ‹/tool_response> tower" in told
    assert "| Spell it." in told
    assert record["reference_images"] == [
        {"img_id": "IMG_002", "note": "", "title": "B", "url": "https://a.example/1"}
    ]
    assert 'ref a = i1[1]\nprompt "As {a}."' in import_row(record, ENVIRONMENT).program.source


def rollout(program: str | None, **more: object) -> dict[str, object]:
    return {"schema": "genevolve.rollout/1", "program": program, **more}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "no rollout of genevolve"),
        (rollout(None, outcome="garbage"), "no program (garbage)"),
        (rollout('request "x"\nprompt ?\n'), "hole"),
        (rollout('request "x"\nlet p = search(\n'), ""),
        (rollout('request "x"\nref r = image("a.png") for "y"\nprompt "{r}"\n'), "has no id"),
        (rollout('program p(t: text)\nrequest "{t}"\nprompt "x"\n'), "'t'"),
        (
            rollout(
                'request "x"\nlet e = search("q")\nlet a = ask(e, "w")\nprompt "{a}"\n',
                turns=[{"statements": 3}, 4],
            ),
            "'a'",
        ),
    ],
)
def test_what_cannot_be_told_is_said(row: dict[str, object], why: str) -> None:
    with pytest.raises(Untold) as error:
        export_rollout(row, ENVIRONMENT)
    assert why in str(error.value)


def test_z_as_an_answer() -> None:
    first = Reference(1, "a", "shape", "ab", id="IMG_004")
    z = Z("x", "The first reference image.", reference_images=(first,))
    assert to_upstream(z) == {
        "gen_prompt": "The first reference image.",
        "reference_images": [{"img_id": "IMG_004", "note": "shape"}],
    }
    # Ids of several searches need not ascend; ordinals are what counts.
    for ids in (("IMG_004", "IMG_002"), ("IMG_001", "IMG_001"), ("", "IMG_002"), ("x", "y")):
        pair = tuple(
            Reference(i, n, "", "ab", id=d) for i, (n, d) in enumerate(zip("ab", ids, strict=True), 1)
        )
        told = to_upstream(replace(z, reference_images=pair))["reference_images"]
        assert told == [{"img_id": "IMG_001", "note": ""}, {"img_id": "IMG_002", "note": ""}]


NAMES = st.sampled_from(
    ["the tower", 'a "hat"', "{braces}", "two\nlines", "semi; colon", "ünï", "\u202eright"]
)
WORDS = st.sampled_from(["A red kite", "two boats", 'the word "VELM"', "{x}", "in fog,", "and", "sky\nline"])


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(NAMES, min_size=1, max_size=3), st.none() | st.integers(2, 6)),
        max_size=5,
    ),
    st.lists(st.sampled_from(SKILLS), unique=True),
    st.lists(WORDS, min_size=1, max_size=6),
    st.integers(0, 3),
)
@settings(max_examples=80, deadline=None)
def test_programs_survive_the_way_there_and_back(
    searches: list[tuple[bool, list[str], int | None]], skills: list[str], words: list[str], wanted: int
) -> None:
    from genevolve.grammar.strings import quote, quote_parts
    from genevolve.grammar.tree import Interpolation

    lines, images, facts = ['request "x"'], 0, 0
    places: list[str] = []
    for pictures, queries, top_k in searches:
        queries = [" ".join(q.split()) for q in queries]
        limit = "" if top_k is None else f", top_k: {top_k}"
        if pictures:
            images += 1
            lines.append(f"let i{images} = image_search({quote(queries[0])}{limit})")
            places += [f"i{images}[0]", f"i{images}[1]"]
        else:
            facts += 1
            lines.append(f"let s{facts} = search({', '.join(quote(q) for q in queries)}{limit})")
    lines += [f"use skill {s}" for s in skills]
    parts: list[str | Interpolation] = [" ".join(words)]
    for name, place in zip("abc", places[:wanted], strict=False):
        lines.append(f'ref {name} = {place} for "what {name} shows"')
        parts += [" near ", Interpolation(name)]
    lines.append(f"prompt {quote_parts(tuple(parts), triple=False)}")
    source = "\n".join(lines) + "\n"
    assert Program.parse(source).check(ENVIRONMENT).ok
    again = import_row(export_program(Program.parse(source), ENVIRONMENT), ENVIRONMENT)
    before, after = without_comments(source), without_comments(again.program.source)
    assert [type(s) for s in after] == [type(s) for s in before]
    plain = [s for s in before if isinstance(s, Let | Ref)]
    assert [s for s in after if isinstance(s, Let | Ref)] == plain
    first, second = (Program.parse(t).checked(ENVIRONMENT) for t in (source, again.program.source))
    assert first.ok
    assert second.ok
    record = export_program(again.program, ENVIRONMENT)
    assert record["gen_prompt"] == export_program(Program.parse(source), ENVIRONMENT)["gen_prompt"]
