from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from strategies import expressions, programs, word_salads

from genevolve.grammar import tree as nodes
from genevolve.grammar.formatter import WIDTH, format_expression, format_statement, format_tree
from genevolve.grammar.parser import parse, parse_statement
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Expression, Tree


def reformat(text: str) -> str:
    parsed = parse(Source(text))
    assert parsed.diagnostics == ()
    return format_tree(parsed.tree)


@given(programs())
@settings(max_examples=400, deadline=None)
def test_parsing_what_is_written_gives_an_equal_tree(tree: Tree) -> None:
    text = format_tree(tree)
    parsed = parse(Source(text))
    assert parsed.tree == tree
    assert all(d.code in ("GP110", "GP116") for d in parsed.diagnostics)
    assert format_tree(parsed.tree) == text


@given(expressions)
@settings(max_examples=300, deadline=None)
def test_expressions_come_back(expression: Expression) -> None:
    statement, diagnostics = parse_statement(f"require {format_expression(expression)}")
    assert diagnostics == ()
    assert statement == nodes.Require(expression)


@given(word_salads)
@settings(max_examples=500, deadline=None)
def test_formatting_texts_is_idempotent_and_keeps_the_tree(text: str) -> None:
    parsed = parse(Source(text))
    tree = parsed.tree
    once = format_tree(tree)
    again = parse(Source(once)).tree
    if any(d.code == "GP122" for d in parsed.diagnostics):
        return  # A reserved word that was taken for a name is one again when it is read again.
    assert again == tree
    assert format_tree(again) == once


@pytest.mark.parametrize(
    ("written", "formatted"),
    [
        ('let  a=search( "x" ,top_k:5 , )', 'let a = search("x", top_k: 5)\n'),
        ("program p()", "program p\n"),
        ('program p(a:text="x",b :int,)', 'program p(a: text = "x", b: int)\n'),
        ("render", "render\n"),
        ("render size:512x512,steps: 007", "render size: 512x512, steps: 007\n"),
        ("use\nskill\n?", "use skill ?\n"),
        ('require count("a")==3', 'require count("a") == 3\n'),
        ("let a = b[0][?]", "let a = b[0][?]\n"),
        ('ref a = b for "c"', 'ref a = b for "c"\n'),
        ("let a=1 let b=2", "let a = 1\nlet b = 2\n"),
        ("\n\n\nlet a=1\n\n\n\nlet b=2\nlet c=3\n\n", "let a = 1\n\nlet b = 2\nlet c = 3\n"),
        ("#one\n#\n# two\nlet a = 1 #three", "# one\n#\n# two\nlet a = 1  # three\n"),
        ('let a = search( # why\n  "x" # what\n)', '# why\n# what\nlet a = search("x")\n'),
        ("let a = 1\n# end", "let a = 1\n\n# end\n"),
        ("# only a comment", "# only a comment\n"),
        ("...", "...\n"),
        ("", ""),
    ],
)
def test_canonical_layout(written: str, formatted: str) -> None:
    tree = parse(Source(written)).tree
    assert format_tree(tree) == formatted
    assert format_tree(parse(Source(formatted)).tree) == formatted


def test_long_calls_are_broken_one_argument_a_line() -> None:
    query = "a very long description of what to look for in the library " * 2
    assert reformat(f'let facts = search("{query}", "short", top_k: 5)') == (
        f'let facts = search(\n    "{query}",\n    "short",\n    top_k: 5,\n)\n'
    )


def test_only_what_does_not_fit_is_broken() -> None:
    name = "x" * 40
    text = reformat(f'let a = pick(image_search("{name}", top_k: 5), outer({name}, {name}, {name}))[0]')
    assert text == (
        f'let a = pick(\n    image_search("{name}", top_k: 5),\n'
        f"    outer(\n        {name},\n        {name},\n        {name},\n    ),\n)[0]\n"
    )
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_long_statements_of_every_kind() -> None:
    word = "w" * 60
    assert (
        reformat(f"render {word}: 1, b: 2, {word}: 3")
        == f"render\n    {word}: 1,\n    b: 2,\n    {word}: 3\n"
    )
    assert (
        reformat(f"program p({word}: text, {word}: int)")
        == f"program p(\n    {word}: text,\n    {word}: int,\n)\n"
    )
    assert (
        reformat(f'ref a = towers[0] for "{word} {word}"') == f'ref a = towers[0]\n    for "{word} {word}"\n'
    )
    assert (
        reformat(f'ref a = pick({word}, {word}) for "c"')
        == f'ref a = pick(\n    {word},\n    {word},\n) for "c"\n'
    )
    assert (
        reformat(f'require f("{word}", "{word}") == 3')
        == f'require f(\n    "{word}",\n    "{word}",\n) == 3\n'
    )


def test_triple_quoted_strings_stay_as_they_are_written() -> None:
    text = 'let a = search("""\n      one\n        two\n      """, top_k: 5)\n'
    assert reformat(text) == text
    indented = '    prompt """\n        one\n          two\n        """\n'
    tree = parse(Source(indented)).tree
    assert format_tree(tree) == indented[4:]
    assert parse(Source(format_tree(tree))).tree == tree
    prompt = tree.statements[0]
    assert isinstance(prompt, nodes.Prompt)
    assert isinstance(prompt.text, nodes.String)
    assert prompt.text.parts == ("one\n  two",)


def test_changed_nodes_are_written_anew() -> None:
    statement, _ = parse_statement('prompt "old"')
    assert isinstance(statement, nodes.Prompt)
    assert isinstance(statement.text, nodes.String)
    changed = replace(statement, text=replace(statement.text, parts=('say "new"',)))
    assert format_statement(changed) == 'prompt "say \\"new\\""'
    number, _ = parse_statement("let a = 4")
    assert isinstance(number, nodes.Let)
    assert isinstance(number.value, nodes.Number)
    assert format_statement(replace(number, value=replace(number.value, value=4.0))) == "let a = 4.0"


def test_comments_made_by_hand_stay_on_their_line() -> None:
    trivia = nodes.Trivia(leading=("one\ntwo", ""), trailing="three\r\n")
    assert format_statement(nodes.StatementHole(trivia=trivia)) == "# one two\n#\n...  # three"


@pytest.mark.parametrize(
    "expression",
    [nodes.Number(float("nan"), ""), nodes.Number(float("inf"), ""), nodes.String(("\ud800",), "")],
)
def test_what_no_program_can_hold_is_refused(expression: Expression) -> None:
    with pytest.raises(ValueError, match="cannot be written in a program"):
        format_expression(expression)


def test_small_and_large_floats_have_no_exponent() -> None:
    assert format_expression(nodes.Number(1e-7, "")) == "0.0000001"
    assert format_expression(nodes.Number(1e22, "")) == "10000000000000000000000.0"
    assert format_expression(nodes.Number(2.0, "")) == "2.0"
