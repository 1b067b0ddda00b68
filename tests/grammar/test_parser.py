from __future__ import annotations

import logging
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from time import perf_counter
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark
from lark.exceptions import UnexpectedInput
from strategies import word_salads

from genevolve.grammar import lalr_table
from genevolve.grammar import tree as nodes
from genevolve.grammar.builder import Builder
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.explanations import STARTS
from genevolve.grammar.generate import build, grammar_text
from genevolve.grammar.parser import (
    MAX_STATEMENTS,
    Parsed,
    parse,
    parse_literal,
    parse_statement,
)
from genevolve.grammar.span import Source, Span
from genevolve.grammar.strings import RESERVED

EXAMPLE = '''program travel_cover(title: text = "PARIS", travellers: int = 2)

request "A cover: {travellers} backpackers, titled {title}."

# evidence first
let facts = search("Eiffel Tower lattice structure", top_k: 5)
let towers = image_search("Eiffel Tower at golden hour", top_k: 5) # many

ref tower = towers[0] for "copy the light"
use skill text_rendering
use skill ?
...
prompt """
Exactly {travellers} backpackers before the
tower from {tower}.
"""
avoid "warped lettering"
require count("backpacker") == travellers
render size: 1024x1024, steps: 40, guidance: 4.0, seed: ?
# the end
'''


def read(text: str) -> Parsed:
    return parse(Source(text))


def told(text: str) -> list[str]:
    parsed = read(text)
    return [
        "{} {}:{} {}".format(d.code, *parsed.source.position(d.span.start), parsed.source.slice(d.span))
        for d in parsed.diagnostics
    ]


def apply_fixes(text: str, diagnostics: tuple[Diagnostic, ...]) -> str:
    edits = [edit for d in diagnostics if d.fix is not None for edit in d.fix.edits]
    for edit in sorted(edits, key=lambda e: e.span, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def values(statement: object) -> list[object]:
    """All nodes under a node, itself included."""
    found = [statement]
    if is_dataclass(statement):
        for field in fields(statement):
            value = getattr(statement, field.name)
            for item in value if isinstance(value, tuple) and not isinstance(value, Span) else (value,):
                found.extend(values(item) if is_dataclass(item) else ())
    return found


# ---- right programs ---------------------------------------------------------------------------------


def test_the_example() -> None:
    parsed = read(EXAMPLE)
    assert parsed.ok
    header, request, facts, towers, tower, skill, hole, dots, prompt, avoid, require, render = (
        parsed.tree.statements
    )
    assert header == nodes.ProgramHeader(
        "travel_cover",
        (
            nodes.ProgramParameter("title", "text", nodes.String(("PARIS",), "")),
            nodes.ProgramParameter("travellers", "int", nodes.Number(2, "")),
        ),
    )
    assert isinstance(request, nodes.Request)
    assert isinstance(facts, nodes.Let)
    assert facts.value == nodes.Call(
        "search",
        (
            nodes.Argument(nodes.String(("Eiffel Tower lattice structure",), "")),
            nodes.Argument(nodes.Number(5, ""), "top_k"),
        ),
    )
    assert facts.trivia == nodes.Trivia(leading=("evidence first",), blank_before=True)
    assert facts.trivia.blank_before
    assert towers.trivia == nodes.Trivia(trailing="many")
    assert not towers.trivia.blank_before
    assert isinstance(tower, nodes.Ref)
    assert tower.value == nodes.Index(nodes.Name("towers"), nodes.Number(0, ""))
    assert tower.purpose == nodes.String(("copy the light",), "")
    assert skill == nodes.Use("text_rendering")
    assert hole == nodes.Use(nodes.Hole())
    assert dots == nodes.StatementHole()
    assert isinstance(prompt, nodes.Prompt)
    assert isinstance(prompt.text, nodes.String)
    assert [part.name for part in prompt.text.interpolations] == ["travellers", "tower"]
    assert avoid == nodes.Avoid(nodes.String(("warped lettering",), ""))
    count = nodes.Call("count", (nodes.Argument(nodes.String(("backpacker",), "")),))
    assert require == nodes.Require(nodes.Comparison(count, "==", nodes.Name("travellers")))
    assert isinstance(render, nodes.Render)
    assert [setting.name for setting in render.settings] == ["size", "steps", "guidance", "seed"]
    assert render.settings[0].value == nodes.Size(1024, 1024)
    assert parsed.tree.comments == ("the end",)


def test_every_node_says_where_it_stands() -> None:
    seen = set()
    for statement in read(EXAMPLE).tree.statements:
        for node in values(statement):
            if not isinstance(node, nodes.Trivia):
                span = node.span  # type: ignore[attr-defined]  # every node but trivia has one
                assert written_as(node, EXAMPLE[slice(*span)]), node
                seen.add(type(node).__name__)
            name, name_span = getattr(node, "name", None), getattr(node, "name_span", None)
            assert name is None or name_span is None or EXAMPLE[slice(*name_span)] == name
    assert len(seen) == 21


def written_as(node: object, text: str) -> bool:
    """Whether a text can be what a node of the example was built from."""
    match node:
        case nodes.Name() | nodes.Interpolation():
            return text.strip("{}") == node.name
        case nodes.String() | nodes.Number():
            return text == node.raw
        case nodes.Call():
            return text.startswith(f"{node.name}(") and text.endswith(")")
        case nodes.Argument() | nodes.ProgramParameter():
            return text.startswith(node.name or "") and not text.endswith((" ", ",", ")"))
        case nodes.Hole() | nodes.StatementHole():
            return text in ("?", "...")
    exact = {
        nodes.Index: "towers[0]",
        nodes.Size: "1024x1024",
        nodes.Comparison: 'count("backpacker") == travellers',
        nodes.Ref: 'ref tower = towers[0] for "copy the light"',
        nodes.Render: "render size: 1024x1024, steps: 40, guidance: 4.0, seed: ?",
    }
    starts = {nodes.ProgramHeader: "program", nodes.Use: "use skill"}
    if type(node) in exact:
        return text == exact[type(node)]
    return text.startswith(starts.get(type(node), type(node).__name__.lower()))


@pytest.mark.parametrize(
    "text",
    [
        "program p program q() program r(a: int,)",
        "let a = f() let b = f(1,) let c = f(a: 1,) let d = f(1, a: 2, b: 3,)",
        "render render size: 1x1, render steps: 1",
        "require a < b require a <= b require a > b require a >= b require a != b",
        "let a = -5 let b = -0.5 let c = true let d = false let e = ?",
        "let name = 1 let NAME = 2 let _ = 3 let size = 4 let text = 5 let END = 6",
        'let a=f(1)[0][g("x")]...',
        "let a = f( # one\n # two\n 1)",
    ],
)
def test_right_texts(text: str) -> None:
    assert told(text) == []


def test_comments_and_blank_lines() -> None:
    tree = read("# a\n\n#b\nlet x = f(#c\n 1 #  d \n) # e\n\n# f\n\nlet y = 1 let z = 2 # g\n# h\n#").tree
    x, y, z = (statement.trivia for statement in tree.statements)
    assert x == nodes.Trivia(leading=("a", "b", "c", "d"), trailing="e")
    assert y == nodes.Trivia(leading=("f",))
    assert y.blank_before
    assert z == nodes.Trivia(trailing="g")
    assert tree.comments == ("h", "")


# ---- wrong programs ---------------------------------------------------------------------------------


def test_one_mistake_costs_one_statement() -> None:
    parsed = read("let a = = 1\nlet b = 2\nref c d\nuse skill e\nprogram p(x: int, y int)")
    assert [d.code for d in parsed.diagnostics] == ["GP101"] * 3
    assert [type(s).__name__ for s in parsed.tree.statements] == ["Let", "Use"]
    assert parsed.lost == {"a", "c", "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let a = 12abc", ["GP114 1:9 12abc"]),
        ("let a = f(1.2.3)[0]", ["GP114 1:11 1.2.3"]),
        ('promt "x"', ["GP117 1:1 promt"]),
        ('let a = 1\nPROMPT "x"', ["GP117 2:1 PROMPT"]),
        ('let a = 1 promt "x"', ["GP117 1:11 promt"]),
        ("a = 5", ["GP117 1:1 a"]),
        ("let a = f(b=1, c=2)", ["GP120 1:12 =", "GP120 1:17 ="]),
        ("render steps=1", ["GP120 1:13 ="]),
        ("let a = 'b'", ["GP121 1:9 'b'"]),
        ("let a = f(1, 'b'", ["GP113 1:10 (", "GP121 1:14 'b'"]),
        ("let prompt = 1\nlet a = f(use: 2)", ["GP122 1:5 prompt", "GP122 2:11 use"]),
        ("render a: 1, ...", []),
        ("let a = f(...)", ["GP604 1:11 ..."]),
        ("let a = ...", ["GP604 1:9 ..."]),
        ("use text_rendering", ["GP101 1:5 text_rendering"]),
        ("let a = 5;", ["GP102 1:10 ;"]),
        ("let\u00a0a = 5", ["GP102 1:4 \u00a0"]),
        ("let a = b]", ["GP101 1:10 ]"]),
        ('let a = f("b"]', ["GP113 1:10 ("]),
        ("let a =\nlet b = 1", ["GP101 1:8 "]),
        ("let a = f(let: 1, b: 2)", ["GP122 1:11 let"]),
        ("let a = f(a: 1, b)", ["GP119 1:17 b"]),
        ("let a = f(a: 1, g(1, 2)[0])", ["GP119 1:17 g(1, 2)[0]"]),
        ('prompt "a\u202eb"', ["GP116 1:10 \u202e"]),
        ("let a = \ufeff1", ["GP116 1:9 \ufeff"]),
        ("", ["GP110 1:1 "]),
        ("  # nothing\n", ["GP110 1:1 "]),
        ('"""a', ['GP104 1:1 """', 'GP117 1:1 """a']),
    ],
)
def test_what_is_told(text: str, expected: list[str]) -> None:
    assert sorted(told(text)) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ('promt "a"\nreqire text("a")', 'prompt "a"\nrequire text("a")'),
        ("towers = f()\nskill a", "let towers = f()\nuse skill a"),
        ("let a = f(b=1, c = 2)", "let a = f(b: 1, c: 2)"),
        ("render a=1, b = 2", "render a: 1, b: 2"),
        ("prompt 'a \"b\" \\'c\\''", 'prompt "a \\"b\\" \'c\'"'),
        ("prompt \u201ca {b}\u201d", 'prompt "a {{b}}"'),
        ("use a", "use skill a"),
        ("let a == 5", "let a = 5"),
        ('prompt = "a"', 'prompt "a"'),
        ('prompt: "a"', 'prompt "a"'),
        ("let a = f(...)", "let a = f(?)"),
        ("let a = 5;", "let a = 5"),
        ("let\u00a0a = 5", "let a = 5"),
        (
            "let a = 1_000 let b = 1e-3 let c = .5 let d = +5 let e = 5. let f = 1E5",
            "let a = 1000 let b = 0.001 let c = 0.5 let d = 5 let e = 5.0 let f = 100000.0",
        ),
        ("render size: 1024X768, b: 64\u00d732", "render size: 1024x768, b: 64x32"),
    ],
)
def test_fixes_put_it_right(text: str, fixed: str) -> None:
    diagnostics = read(text).diagnostics
    assert diagnostics
    assert apply_fixes(text, diagnostics) == fixed
    assert told(fixed) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('promt "a"', nodes.Prompt),
        ("a = 5", nodes.Let),
        ("skill a", nodes.Use),
        ("use a", nodes.Use),
        ("let a = f(b=1)", nodes.Let),
        ("let a = f(b", nodes.Let),
        ("let a = 12abc", nodes.Let),
        ("let prompt = 1", nodes.Let),
        ("prompt ...", nodes.Prompt),
        ("render size: 10x", nodes.Render),
        ('prompt "open', nodes.Prompt),
        ("prompt 'a'", nodes.Prompt),
    ],
)
def test_repaired_statements_stay_in_the_tree(text: str, kind: type) -> None:
    parsed = read(text)
    assert parsed.diagnostics
    assert [type(statement) for statement in parsed.tree.statements] == [kind]


def test_messages_speak_the_author_s_language() -> None:
    terminal = re.compile(
        r"\b(?:ANON|LPAR|RPAR|LSQB|RSQB|QMARK|EQUAL|COMMA|COLON|INT|FLOAT|TRIPLE_STRING|END)\b|\$|__"
    )
    pieces = [
        "let",
        "a",
        "=",
        "5",
        '"x"',
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        "==",
        "?",
        "for",
        "skill",
        "true",
        "1x1",
        "ref",
    ]
    for first in (
        "let a",
        "let a =",
        "let a = f(",
        "ref a = b",
        "render",
        "render a:",
        "use",
        "program p(",
        "prompt",
    ):
        for piece in pieces:
            for found in read(f"{first} {piece}").diagnostics:
                assert not terminal.search(found.message), found.message
                assert not found.message.endswith(".")
                assert len(found.message) < 200


# ---- limits -----------------------------------------------------------------------------------------


def test_statements_are_counted() -> None:
    assert told("...\n" * MAX_STATEMENTS) == []
    parsed = read("...\n" * (MAX_STATEMENTS + 7))
    assert [d.code for d in parsed.diagnostics] == ["GP111"]
    assert len(parsed.tree.statements) == MAX_STATEMENTS


def test_nesting_is_limited() -> None:
    assert told(f"let a = {'f(' * 50}1{')' * 50}") == []
    assert told(f"let a = {'f(' * 51}1{')' * 51}") == ["GP112 1:110 ("]
    assert told(f"let a = b{'[0]' * 50}") == []
    assert told(f"let a = b{'[0]' * 51}") == ["GP112 1:160 ["]
    assert told(f"let a = b{'[0]' * 40}[f({'g(' * 20}1{')' * 20})]")[0].startswith("GP112")
    assert told("let a = f(b[0], b[1]) " + "let a = f(g(1), g(2)) " * 50) == []


HOSTILE = {
    "brackets": "(" * 100_000,
    "calls": "let a = " + "f(" * 100_000,
    "closers": "let a = b" + "])" * 60_000,
    "indexes": "let a = b" + "[0]" * 60_000,
    "quotes": '"' * 100_000,
    "single quotes": "'" * 100_001,
    "open strings": '"a\n' * 60_000,
    "numbers": "let a = " + "1 " * 100_000,
    "keywords": "let " * 60_000,
    "misspelt": "promt " * 40_000,
    "misspelt lines": "let a = b c\npromt d e\n" * 5_000,
    "lines": "a\n" * 100_000,
    "junk": "@ " * 100_000,
    "junk run": "@" * 200_000,
    "junk lines": "let a = $ 1\n" * 20_000,
    "blanks": " " * 260_000,
    "breaks": "\n" * 260_000,
    "comments": "#\n" * 130_000,
    "comment": "let a = 1 #" + "x" * 260_000,
    "escapes": 'prompt "' + "\\a" * 100_000 + '"',
    "open triple": 'prompt """' + "\\a" * 100_000,
    "triples": '"""' * 60_001,
    "margins": 'prompt """' + "\n   a" * 50_000 + '"""',
    "blank margins": 'prompt """' + "\n" + " " * 250_000 + '"""',
    "named": "let a = f(" + "a=1," * 50_000 + ")",
    "arguments": "let a = f(" + "1," * 100_000 + ")",
    "word": "x" * 260_000,
    "wide word": "\u00e9" * 120_000,
    "digits": "0" * 260_000,
    "points": "1." * 120_000,
    "braces": 'prompt "' + "{a " * 80_000 + '"',
    "interpolations": 'prompt "' + "{a}" * 80_000 + '"',
    "bidi": "\u202e" * 80_000,
    "curly": "\u201c" * 80_000,
    "holes": "... " * 60_000,
    "backslashes": "\\" * 200_000,
    "string backslashes": '"' + "\\" * 200_001,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_answered_in_time_that_grows_with_their_length(name: str) -> None:
    text = HOSTILE[name]
    read(text[: len(text) // 8])
    started = perf_counter()
    parsed = read(text)
    seconds = perf_counter() - started
    assert len(parsed.diagnostics) <= 50
    assert all(0 <= d.span.start <= d.span.end <= len(text) for d in parsed.diagnostics)
    # Quadratic behaviour takes minutes on these; a slow machine takes a second or two.
    assert seconds < 20


# ---- one statement, one literal ---------------------------------------------------------------------


def test_one_statement() -> None:
    assert parse_statement("let a = 1 # x") == (
        nodes.Let("a", nodes.Number(1, ""), trivia=nodes.Trivia(trailing="x")),
        (),
    )
    statement, _ = parse_statement("# one\nlet a = 1\n# two")
    assert statement is not None
    assert statement.trivia.leading == ("one", "two")


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "GP110"), ("let a = 1 let b = 2", "GP101"), ("let a", "GP101"), ('promt "a"', "GP117")],
)
def test_not_one_right_statement(text: str, code: str) -> None:
    statement, diagnostics = parse_statement(text)
    assert statement is None
    assert [d.code for d in diagnostics] == [code]


def test_literals() -> None:
    assert parse_literal("5") == nodes.Number(5, "")
    assert parse_literal('"a"') == nodes.String(("a",), "")
    assert parse_literal("1x2") == nodes.Size(1, 2)
    for text in ("", " 5", "5 ", "a", '"a', '"a" "b"', "5x", "'a'", "let", "?"):
        assert parse_literal(text) is None


# ---- the grammar itself -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare() -> Lark:
    return Lark(grammar_text(), parser="lalr", lexer="basic", start="tree")


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="lark"):
        Lark(grammar_text(), parser="lalr", lexer="basic", start=["tree", "statement"], debug=True)
    assert "onflict" not in caplog.text


def test_the_table_is_that_of_the_grammar() -> None:
    tables = build(grammar_text())
    for name, value in tables._asdict().items():
        assert getattr(lalr_table, name) == value, f"{name} is old: run python -m genevolve.grammar.generate"


def test_rules_are_named_after_nodes(bare: Lark) -> None:
    snake = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", t.__name__).lower()
        for t in get_args(nodes.Statement) + get_args(nodes.Expression)
    }
    rules = {str(rule.origin.name) for rule in bare.rules}
    assert snake - {"statement", "expression"} <= rules
    named = {name for name in rules if not name.startswith("__")}
    assert named - {"tree", "statement", "expression", "operand"} <= {
        name for name in dir(Builder) if name[0] != "_"
    }


def test_keywords_are_those_of_the_grammar(bare: Lark) -> None:
    fixed = {t.pattern.value: t.name for t in bare.terminals if t.pattern.type == "str"}
    assert {text for text in fixed if text.isalpha()} == RESERVED
    assert {fixed[text] for text in fixed if text.isalpha()} >= STARTS - {"ELLIPSIS"}


def _accepted(bare: Lark, text: str) -> bool:
    try:
        bare.parse(text)
    except UnexpectedInput:
        return False
    return True


@given(word_salads)
@settings(max_examples=600, deadline=None)
def test_what_parses_is_what_the_grammar_says(bare: Lark, text: str) -> None:
    # Strings are looked into only after the grammar has found them.
    mine = {d.code for d in read(text).diagnostics} - {"GP110", "GP105", "GP106", "GP107", "GP108"}
    assert (not mine) == _accepted(bare, text)


@given(
    st.lists(
        st.sampled_from(
            ("let a = f(1, b: 2,)", "render", "render a: 1,", "ref a = b[0]", "...", "use skill ?", "a", ")")
        ),
        max_size=6,
    )
)
def test_cutting_at_keywords_changes_nothing(bare: Lark, pieces: list[str]) -> None:
    text = " ".join(pieces)
    mine = {d.code for d in read(text).diagnostics} - {"GP110"}
    assert (not mine) == _accepted(bare, text)


def test_parsing_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from genevolve.grammar.parser import parse; from genevolve.grammar.formatter import format_tree\n"
        "from genevolve.grammar.span import Source\n"
        "assert format_tree(parse(Source('prompt  \"a\"')).tree) == 'prompt \"a\"\\n'\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(sorted(m for m in new if not m.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['genevolve']"
