from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import strings, texts

from genevolve.grammar.parser import parse_literal
from genevolve.grammar.reader import check_text
from genevolve.grammar.span import Span
from genevolve.grammar.strings import quote, quote_parts, read_string
from genevolve.grammar.tree import Interpolation, String


def parts(raw: str) -> tuple[str | Interpolation, ...]:
    node, diagnostics = read_string(raw)
    assert diagnostics == ()
    return node.parts


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('""', ()),
        ('"a castle"', ("a castle",)),
        (r'"a\n\t\"\\b"', ('a\n\t"\\b',)),
        (r'"\u{1F600}\u{41}"', ("\U0001f600A",)),
        ('"{title}"', (Interpolation("title"),)),
        ('"a {b}{c} d"', ("a ", Interpolation("b"), Interpolation("c"), " d")),
        ('"{{title}}"', ("{title}",)),
        ('"{{{title}}}"', ("{", Interpolation("title"), "}")),
    ],
)
def test_one_line(raw: str, expected: tuple[str | Interpolation, ...]) -> None:
    assert parts(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('""""""', ""),
        ('"""\n"""', ""),
        ('"""\n\n"""', ""),
        ('"""\n\n\n"""', "\n"),
        ('"""a"""', "a"),
        ('"""  a  """', "  a  "),
        ('"""\na\nb\n"""', "a\nb"),
        ('"""\n    a\n      b\n    """', "a\n  b"),
        ('"""\n    a\n\n    b\n"""', "a\n\nb"),
        ('"""\n    a\n          \n    b\n"""', "a\n\nb"),
        ('"""\n\ta\n\t b\n"""', "a\n b"),
        ('"""\n\ta\n    b\n"""', "\ta\n    b"),
        ('"""first\n    second\n    third"""', "first\nsecond\nthird"),
        ('"""  \n  a\n"""', "a"),
        ('"""\n\\u{20} a\n  b\n"""', "  a\n  b"),
        ('"""\na "quoted" ""word\\"\n"""', 'a "quoted" ""word"'),
        ('"""\n  a\\n  b\n"""', "a\n  b"),
    ],
)
def test_several_lines(raw: str, expected: str) -> None:
    node, diagnostics = read_string(raw)
    assert diagnostics == ()
    assert node.triple
    assert node.plain == expected


def test_spans_of_interpolations_survive_the_layout() -> None:
    raw = '"""\n    a \\n {one}\n      {two}\n    """'
    node, _ = read_string(raw, 100)
    assert node.span == Span(100, 100 + len(raw))
    spans = [part.span for part in node.interpolations]
    assert [raw[a - 100 : b - 100] for a, b in spans] == ["{one}", "{two}"]


@pytest.mark.parametrize(
    ("raw", "code", "marked", "fixed"),
    [
        (r'"\q"', "GP105", r"\q", r'"\\q"'),
        (r'"\u{110000}"', "GP105", r"\u{110000}", None),
        (r'"\u{d800}"', "GP105", r"\u{d800}", None),
        (r'"\u41"', "GP105", r"\u", None),
        ('"""a\\\nb"""', "GP105", "\\\n", '"""a\\\\\nb"""'),
        ('"a {b"', "GP106", "{", '"a {{b"'),
        ('"a {"', "GP106", "{", '"a {{"'),
        ('"""{a\n}}"""', "GP106", "{", '"""{{a\n}}"""'),
        ('"a } b"', "GP107", "}", '"a }} b"'),
        ('"{}"', "GP108", "{}", '"{{}}"'),
        ('"{ a }"', "GP108", "{ a }", '"{a}"'),
        ('"{a.b}"', "GP108", "{a.b}", None),
        ('"{prompt}"', "GP108", "{prompt}", None),
        ('"{a!r}"', "GP108", "{a!r}", None),
        ('"{\u00e9}"', "GP108", "{\u00e9}", None),
    ],
)
def test_mistakes(raw: str, code: str, marked: str, fixed: str | None) -> None:
    node, (found,) = read_string(raw, 10)
    assert found.code == code
    assert raw[found.span.start - 10 : found.span.end - 10] == marked
    assert node.raw == raw
    if fixed is None:
        assert found.fix is None
    else:
        assert found.fix is not None
        (edit,) = found.fix.edits
        repaired = raw[: edit.span.start - 10] + edit.text + raw[edit.span.end - 10 :]
        assert repaired == fixed
        assert read_string(repaired)[1] == ()


def test_unclosed_strings_keep_what_they_have() -> None:
    assert read_string('"a {b} c', closed=False)[0].parts == ("a ", Interpolation("b"), " c")
    assert read_string('"""\n  a\n  b\n', closed=False)[0].plain == "a\nb"


def test_few_mistakes_are_reported_of_many() -> None:
    assert len(read_string('"' + "} " * 5_000 + '"')[1]) == 50


@given(texts, st.sampled_from((None, True, False)))
@settings(max_examples=1000, deadline=None)
def test_quoted_texts_come_back(text: str, triple: bool | None) -> None:
    literal = quote(text, triple)
    node = parse_literal(literal)
    assert isinstance(node, String)
    assert node.plain == text
    assert triple is None or node.triple is triple
    assert check_text(literal) == ()


@given(strings())
@settings(max_examples=500, deadline=None)
def test_quoted_parts_come_back(node: String) -> None:
    assert parse_literal(quote_parts(node.parts, node.triple)) == node


@given(st.text('a{}\\\n\t "u20', max_size=30), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_any_body_is_read_with_spans_inside(body: str, triple: bool) -> None:
    quotes = '"""' if triple else '"'
    raw = f"{quotes}{body}{quotes}"
    node, diagnostics = read_string(raw, 5)
    for span in (*(d.span for d in diagnostics), *(i.span for i in node.interpolations)):
        assert 5 <= span.start < span.end <= 5 + len(raw)


def test_texts_without_a_literal_are_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        quote("\ud800")
    with pytest.raises(ValueError, match="between braces"):
        quote_parts((Interpolation("let"),), triple=False)
