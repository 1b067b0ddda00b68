"""Hypothesis strategies for syntax trees, and for texts that are written as people write them.

`programs()` gives trees of any shape that the grammar allows: well-formed, not necessarily well-typed.
"""

from __future__ import annotations

from hypothesis import strategies as st

from genevolve.grammar import tree as nodes
from genevolve.grammar.lexer import MAX_INT
from genevolve.grammar.strings import RESERVED
from genevolve.grammar.tree import Argument, Expression, Interpolation, Statement, String, Trivia

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

names = st.builds(
    str.__add__,
    st.sampled_from(_LETTERS),
    st.text(_LETTERS + "0123456789", max_size=12),
).filter(lambda name: name not in RESERVED)
"""Names, reserved words left out."""

texts = st.one_of(
    st.text(max_size=40),
    st.text("ab \t\n\"\\{}#'\r\u200b\u202e\u00e9", max_size=40),
    st.sampled_from(
        ("a red ball", "PARIS", "  indented\n  text\n", "\n", "\n\n", '"""', "{title}", "\\u{20}")
    ),
)
"""Any text, with those in which the scanner has to look twice."""


@st.composite
def strings(draw: st.DrawFn) -> String:
    """Strings of one or several lines, with and without interpolations, made by hand (no `raw`)."""
    pieces = draw(st.lists(st.one_of(texts, st.builds(Interpolation, names)), max_size=4))
    parts: list[str | Interpolation] = []
    for piece in pieces:
        if isinstance(piece, str) and parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif piece != "":
            parts.append(piece)
    return String(tuple(parts), raw="", triple=draw(st.booleans()))


numbers = st.one_of(
    st.builds(nodes.Number, st.integers(-MAX_INT, MAX_INT), st.just("")),
    st.builds(nodes.Number, st.floats(allow_nan=False, allow_infinity=False), st.just("")),
    st.sampled_from((nodes.Number(4.0, "4.0"), nodes.Number(7, "007"), nodes.Number(4.5, "4.50"))),
)
sizes = st.builds(nodes.Size, st.integers(1, 999_999), st.integers(1, 999_999))
holes = st.just(nodes.Hole())
leaves: st.SearchStrategy[Expression] = st.one_of(
    strings(), numbers, sizes, holes, st.builds(nodes.Boolean, st.booleans()), st.builds(nodes.Name, names)
)


def _arguments(values: st.SearchStrategy[Expression]) -> st.SearchStrategy[tuple[Argument, ...]]:
    positional = st.lists(st.builds(Argument, values), max_size=4)
    named = st.lists(st.builds(Argument, values, names), max_size=3)
    return st.builds(lambda a, b: (*a, *b), positional, named)


def _operands(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    # A comparison is an argument or a whole expression, never the operand of anything.
    values = st.one_of(children, st.builds(nodes.Comparison, children, comparators, children))
    return st.one_of(
        st.builds(nodes.Call, names, _arguments(values)), st.builds(nodes.Index, children, values)
    )


comparators = st.sampled_from(("==", "!=", "<", "<=", ">", ">="))
operands: st.SearchStrategy[Expression] = st.recursive(leaves, _operands, max_leaves=8)
expressions: st.SearchStrategy[Expression] = st.one_of(
    operands, st.builds(nodes.Comparison, operands, comparators, operands)
)
"""Every expression that the grammar allows."""

comments = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20).map(str.strip)
trivia = st.builds(
    Trivia,
    leading=st.lists(comments, max_size=2).map(tuple),
    trailing=st.none() | comments,
    blank_before=st.booleans(),
)
parameters = st.builds(nodes.ProgramParameter, names, names, st.none() | expressions)
settings = st.builds(Argument, expressions, names)

statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(nodes.ProgramHeader, names, st.lists(parameters, max_size=4).map(tuple), trivia=trivia),
    st.builds(nodes.Request, expressions, trivia=trivia),
    st.builds(nodes.Let, names, expressions, trivia=trivia),
    st.builds(nodes.Ref, names, expressions, st.none() | expressions, trivia=trivia),
    st.builds(nodes.Use, st.one_of(names, holes), trivia=trivia),
    st.builds(nodes.Prompt, expressions, trivia=trivia),
    st.builds(nodes.Avoid, expressions, trivia=trivia),
    st.builds(nodes.Require, expressions, trivia=trivia),
    st.builds(nodes.Render, st.lists(settings, max_size=6).map(tuple), trivia=trivia),
    st.builds(nodes.StatementHole, trivia=trivia),
)
"""Every statement that the grammar allows, with comments."""


def programs(max_size: int = 8) -> st.SearchStrategy[nodes.Tree]:
    """Trees of up to `max_size` statements, with comments after the last."""
    return st.builds(
        nodes.Tree,
        st.lists(statements, max_size=max_size).map(tuple),
        st.lists(comments, max_size=2).map(tuple),
    )


# ---- texts as people write them ---------------------------------------------------------------------

_blanks = st.sampled_from((" ", "  ", "\n", "\n\n\n", "\t", "\n    ", " # a comment\n", "\n# above\n"))
_words = st.sampled_from(
    (
        *("program", "request", "let", "ref", "use", "skill", "prompt", "avoid", "require", "render", "for"),
        *("...", "?", "(", ")", "[", "]", ",", ":", "=", "==", "<=", "true", "false"),
        *("a", "towers", "search", "count", "title", "5", "-2", "4.0", "1024x768", "12abc", "0x10"),
        *('"x"', '"{title}"', '"""\n  a\n  b\n"""', "'single'", '"open', '"""', "#", "\\", "\u00e9"),
    )
)
word_salads = st.lists(st.tuples(_words, _blanks), max_size=40).map(
    lambda pieces: "".join(word + blank for word, blank in pieces)
)
"""Texts of tokens in no order: almost never programs, but near enough to reach every corner of the parser."""
