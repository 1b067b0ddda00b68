"""Fixes: made whole, in a safe order, never over one another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix
from genevolve.grammar.fixes import apply_fixes
from genevolve.grammar.span import Span


def fix(*edits: tuple[int, int, str], code: str = "GP201") -> Diagnostic:
    made = tuple(Edit(Span(start, end), text) for start, end, text in edits)
    return Diagnostic(code, "wrong", Span(0, 1), fix=Fix("write it right", made))


def test_fixes_apply_in_any_order() -> None:
    text = "let a = serch(x) ref b = a[0]"
    found = [fix((21, 22, "tower")), fix((8, 13, "search")), Diagnostic("GP201", "no fix", Span(0, 3))]
    assert apply_fixes(text, found) == ("let a = search(x) ref tower = a[0]", 2)
    assert apply_fixes(text, reversed(found)) == apply_fixes(text, found)


def test_a_fix_of_several_edits_is_made_whole_or_not_at_all() -> None:
    text = "'PARIS'"
    both = fix((0, 1, '"'), (6, 7, '"'))
    assert apply_fixes(text, [both]) == ('"PARIS"', 1)
    assert apply_fixes(text, [both, fix((5, 7, "x"))]) == ('"PARIS"', 1)
    assert apply_fixes("-'PARIS'", [fix((0, 2, "x")), fix((1, 2, '"'), (7, 8, '"'))]) == ("xPARIS'", 1)


def test_of_two_fixes_at_one_place_the_first_is_made() -> None:
    assert apply_fixes("abcdef", [fix((1, 4, "X")), fix((3, 5, "Y"))]) == ("aXef", 1)
    assert apply_fixes("abcdef", [fix((3, 5, "Y")), fix((1, 4, "X"))]) == ("aXef", 1)
    assert apply_fixes("abcdef", [fix((1, 3, "X")), fix((0, 1, "-"), (2, 5, "Z"))]) == ("-bZf", 1)


def test_neighbours_are_both_made_but_insertions_at_a_seam_wait() -> None:
    assert apply_fixes("abcd", [fix((0, 2, "X")), fix((2, 4, "Y"))]) == ("XY", 2)
    assert apply_fixes("abcd", [fix((0, 2, "X")), fix((2, 2, "+"))]) == ("Xcd", 1)
    assert apply_fixes("abcd", [fix((1, 1, "+")), fix((1, 1, "-"))]) == ("a+bcd", 1)


def test_the_same_fix_offered_twice_counts_once() -> None:
    assert apply_fixes("abc", [fix((0, 1, "X")), fix((0, 1, "X"), code="GP202")]) == ("Xbc", 1)


def test_broken_fixes_are_left_out() -> None:
    assert apply_fixes("abc", [fix((2, 9, "X")), fix((2, 1, "X")), fix((0, 2, "X"), (1, 3, "Y")), fix()]) == (
        "abc",
        0,
    )


EDITS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 6), st.text("xy", max_size=3)), min_size=1, max_size=3
)


@given(st.text("abc ", max_size=30), st.lists(EDITS, max_size=8))
def test_what_no_fix_touches_stays(text: str, groups: list[list[tuple[int, int, str]]]) -> None:
    found = [fix(*((start, start + length, new) for start, length, new in group)) for group in groups]
    result, made = apply_fixes(text, found)
    assert 0 <= made <= len(found)
    assert (made > 0) or result == text
    touched: set[int] = set()
    for d in found:
        assert d.fix is not None
        for e in d.fix.edits:
            touched |= set(range(e.span.start, e.span.end))
    kept = [c for i, c in enumerate(text) if i not in touched and c in "abc "]
    remaining = iter(result)
    assert all(c in remaining for c in kept)


def test_thousands_of_fixes_are_quick() -> None:
    text = "ab" * 20_000
    result, made = apply_fixes(text, [fix((i, i + 1, "X")) for i in range(0, 40_000, 2)])
    assert (result, made) == ("Xb" * 20_000, 20_000)
