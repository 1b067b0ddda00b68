"""Pieces of constrained decoding: characters, texts that spell nothing, numbers between bounds, trees that complete."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.constrain_alphabet import character_class, endings, ranges
from genevolve.grammar.constrain_nodes import EMPTY, NOTHING, Digit, Lit, alt, joined, one_of, optional, seq
from genevolve.grammar.constrain_numbers import float_between, int_between, size_between
from genevolve.grammar.constrain_shapes import without_lookaround
from genevolve.grammar.constrain_spelled import DEAD, START, automaton, refused
from genevolve.grammar.constrain_text import Comment, Kind, NewName, Text, folded
from genevolve.grammar.lexer import MAX_INT
from genevolve.grammar.ordinals import find_protocol_breaks, ordinal_before
from genevolve.grammar.parser import parse_literal
from genevolve.grammar.reader import is_unseen
from genevolve.grammar.strings import quote
from genevolve.grammar.tree import Interpolation, Number, Prompt, Size, String
from genevolve.programs.program import Program

LIBRARY = sorted((Path(__file__).parents[2] / "programs" / "library").glob("*.gprog"))


def reads(node: object, text: str) -> bool:
    return len(text) in node.walk(text, 0, {}).ends  # type: ignore[attr-defined]  # any node


# ---- characters ---------------------------------------------------------------------------------------


def test_no_character_hides_anything() -> None:
    characters = [chr(p) for low, high in ranges() for p in range(low, high + 1)]
    assert len(characters) == len(set(characters)) > 30_000
    for character in characters:
        if character.isascii():
            continue
        folded_form = unicodedata.normalize("NFKC", character)
        assert not is_unseen(character), character
        assert unicodedata.category(character) not in ("Cf", "Cc", "Cn", "Co", "Mn", "Me", "Nd", "Zs"), (
            character
        )
        assert folded_form == character or not any(c.isascii() for c in folded_form), character


@pytest.mark.parametrize("character", "éßж東한→🌲Ωא")
def test_people_write_in_their_own_scripts(character: str) -> None:
    assert any(low <= ord(character) <= high for low, high in ranges())


@pytest.mark.parametrize(
    "character", ["Ａ", "①", "ﬁ", "\u200b", "\u0301", "\u00a0", "\t", "²", "٣", "\u212a", "\ue000"]
)
def test_characters_that_stand_for_others_are_left_out(character: str) -> None:
    assert not any(low <= ord(character) <= high for low, high in ranges())


def test_characters_can_be_taken_out_of_the_class() -> None:
    assert character_class("b").startswith("[\\x{20}-\\x{61}\\x{63}-")
    assert character_class(" ").startswith("[\\x{21}-")


@given(
    st.sampled_from([chr(p) for low, high in ranges() for p in range(low, high + 1, 97) if p > 0x7F]),
    st.data(),
)
def test_a_character_cut_short_can_be_ended(character: str, data: st.DataObject) -> None:
    whole = character.encode()
    begun = whole[: data.draw(st.integers(1, len(whole) - 1))]
    found = endings(begun)
    assert found
    assert all(c.encode().startswith(begun) for c in found)


# ---- texts that spell nothing -------------------------------------------------------------------------

_TRACES = (
    *(
        "first",
        "second",
        "last",
        "3rd",
        "12th",
        "the",
        "of",
        "two",
        "ten",
        "IV",
        "i",
        "no.",
        "#",
        "№",
        "number",
    ),
    *(
        "image",
        "images",
        "img",
        "reference",
        "ref",
        "ref.",
        "references",
        "picture",
        "photos",
        "input",
        "given",
    ),
    *(
        "2",
        "10",
        " ",
        " ",
        " ",
        "-",
        "\n",
        "  ",
        '"',
        "(",
        ".",
        ",",
        "—",
        "metres",
        "book",
        "kite",
        "://",
        "www.",
    ),
    *("http", "data:", "file:", "a/b", ";x", "第", "一", "张", "参考图", "图片", "é"),
)
automaton()  # made once; the first text would take as long as it takes
traced = st.lists(st.sampled_from(_TRACES), max_size=9).map("".join)


@given(traced)
def test_whatever_breaks_the_protocol_is_refused(text: str) -> None:
    if find_protocol_breaks(text):
        assert refused(quote(text, triple=False)[1:-1])
        assert refused(text.replace("{", "{{"))  # as it stands between triple quotes


@given(traced)
def test_references_that_are_counted_by_hand_are_refused(text: str) -> None:
    if ordinal_before(text) is not None:
        assert refused(quote(text, triple=False)[1:-1] + "{tower}")


@given(traced, traced)
def test_what_is_not_refused_may_go_on_anyhow(before: str, after: str) -> None:
    table = automaton()
    state = table.run(before.encode())
    assert table.run(after.encode(), state) == table.run((before + after).encode())
    if state == DEAD:
        assert table.run(after.encode(), state) == DEAD


@pytest.mark.parametrize(
    "text",
    [
        "{ref1} and {img2}",
        "a second kite like {tower}",
        "images of two boats",
        "{{",
        "refs",
        "the last light",
    ],
)
def test_names_between_braces_spell_nothing(text: str) -> None:
    assert not refused(text)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_prompts_of_the_library_are_not_refused(path: Path) -> None:
    prompts = [s for s in Program.load(path).tree.statements if isinstance(s, Prompt)]
    assert prompts
    for prompt in prompts:
        assert isinstance(prompt.text, String)
        assert not refused(prompt.text.raw)


def test_the_start_is_the_start() -> None:
    assert automaton().run(b"") == START


# ---- numbers ------------------------------------------------------------------------------------------

bounds = st.integers(-(10**6), 10**6) | st.integers(-30, 30) | st.integers(0, MAX_INT)


@given(bounds, bounds, st.data())
def test_whole_numbers_between_bounds(a: int, b: int, data: st.DataObject) -> None:
    low, high = min(a, b), max(a, b)
    node = int_between(low, high)
    near = [low - 1, low, low + 1, high - 1, high, high + 1, 10 * high, -low, -high, 0]
    inside = data.draw(st.integers(low, high))
    for number in [n for n in (*near, inside) if abs(n) <= MAX_INT]:
        assert reads(node, str(number)) == (low <= number <= high)
    assert not reads(node, f"0{inside}" if inside >= 0 else f"-0{-inside}")
    assert low <= int(node.shortest or "") <= high


@given(st.integers(-5000, 5000), st.integers(-5000, 5000), st.integers(-6000, 6000))
def test_floats_between_bounds(a: int, b: int, n: int) -> None:
    low, high = min(a, b) / 100, max(a, b) / 100
    text = f"{n / 100:.2f}"
    if n or not text.startswith("-"):
        assert reads(float_between(low, high), text) == (low <= n / 100 <= high)


def test_numbers_without_bounds_are_numbers_of_the_language() -> None:
    for node, kind in (
        (int_between(None, None), int),
        (float_between(None, 3), float),
        (int_between(5, None), int),
    ):
        literal = parse_literal(node.shortest or "")
        assert isinstance(literal, Number)
        assert type(literal.value) is kind
    assert isinstance(parse_literal(size_between(None, None).shortest or ""), Size)
    assert int_between(3, 2) is NOTHING
    assert float_between(0.001, 0.004) is NOTHING


# ---- trees --------------------------------------------------------------------------------------------


def test_nothing_swallows_and_empty_is_empty() -> None:
    assert seq((Lit("a"), NOTHING)) is NOTHING
    assert alt((NOTHING, NOTHING)) is NOTHING
    assert optional(NOTHING) is EMPTY
    assert joined((), ", ") is EMPTY
    assert NOTHING.shortest is None
    assert NOTHING.complete("") is None
    assert EMPTY.complete("") == ""


def test_the_shortest_way_is_taken() -> None:
    node = seq((one_of(("let", "lettuce")), Lit(" "), alt((Lit("be"), seq((Digit("3", "5"), Lit("!")))))))
    assert node.shortest == "let be"
    assert node.complete("lett") == "uce be"
    assert node.complete("let 4") == "!"
    assert node.complete("let 6") is None
    assert node.longest_rest >= len("lettuce 3!")


@given(st.text('ab{}x\\"n \n', max_size=12))
def test_any_beginning_of_a_string_that_is_right_so_far_can_be_ended(body: str) -> None:
    kind = Kind(names=("ab", "abx"), mentions=("ab",), without=("x",))
    whole = f'"{body}' + Text(kind).finish(body)
    literal = parse_literal(whole)
    # What was wrong before stays wrong; a right beginning gets a right end.
    if isinstance(literal, String) and all(
        p.name in kind.names for p in literal.parts if isinstance(p, Interpolation)
    ):
        assert any(isinstance(p, Interpolation) and p.name == "ab" for p in literal.parts)


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        ("", 'x\n"""'),
        ("a", '\n"""'),
        ("a\n", '"""'),
        ('a\n"', '""'),
        ('a\n""', '"'),
        ('say "', '.\n"""'),
        ('say \\"', '\n"""'),
        ("a {", '{\n"""'),
        ("a }", '}\n"""'),
        ("a \\", '\\\n"""'),
        ("a {t", 'wo}\n"""'),
    ],
)
def test_lines_between_triple_quotes_are_ended(body: str, rest: str) -> None:
    text = Text(Kind(names=("one", "two"), triple=True))
    assert text.finish(body) == rest
    assert parse_literal(f'"""\n{body}{rest}') is not None


def test_half_a_character_is_one_character() -> None:
    text = Text(Kind(least=3))
    assert text.finish("塔".encode()[:1].decode("utf-8", "surrogateescape")).endswith('xx"')
    assert text.finish("塔") == 'xx"'


def test_mentions_come_where_nothing_counts_them() -> None:
    text = Text(Kind(names=("one", "two"), mentions=("one", "two"), spelled=True))
    assert text.finish("the second ") == '.{one}{two}"'
    assert text.finish("{one} and {{two}} ") == '{two}"'


def test_new_names_are_new() -> None:
    name = NewName(frozenset({"a", "b", "long_name"}))
    assert name.shortest == "c"
    assert name.complete("a") == "a"
    assert name.complete("let") == "a"
    assert name.complete("long_name") == "a"
    assert not reads(name, "b")
    assert reads(name, "bb")


def test_comments_end_with_their_line() -> None:
    assert Comment().complete("") == "# .\n"
    assert Comment().complete("# why") == "\n"
    assert Comment().complete("# ") == ".\n"


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [(r"[0-9]+(?!\w|\.(?!\.\.))", "[0-9]+"), ('"(?!"")[^"]*"', '"[^"]*"'), (r"(?<=a)b(?:c)", "b(?:c)")],
)
def test_lookaround_is_dropped(pattern: str, plain: str) -> None:
    assert without_lookaround(pattern) == plain


def test_texts_are_compared_as_constraints_compare_them() -> None:
    assert folded("  Red\n BALL ") == "red ball"
