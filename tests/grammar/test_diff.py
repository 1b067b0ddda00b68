"""Structural diff: what changed is told once, in the right slot, whatever the layout and the names.

`GENEVOLVE_UPDATE_GOLDEN=1` writes the expected files of `tests/golden/diff` anew; look at them before keeping them.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.grammar.changes import Change, Kind, ProgramDiff, Slot
from genevolve.grammar.clauses import likeness, split_clauses, tokens, word_edits, words
from genevolve.grammar.diff import diff
from genevolve.grammar.matching import Item, moved, pair
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import String, Tree

GOLDEN = Path(__file__).parents[1] / "golden" / "diff"
DOCS = Path(__file__).parents[2] / "docs"
CASES = sorted(path.name.removesuffix(".a.gprog") for path in GOLDEN.glob("*.a.gprog"))


def tree_of(text: str) -> Tree:
    parsed = parse(Source(text, "test.gprog"))
    assert parsed.diagnostics == ()
    return parsed.tree


def program(*lines: str, prompt: str = "a cat") -> Tree:
    return tree_of("\n".join(['request "a picture"', *lines, f'prompt "{prompt}"']))


def told(found: ProgramDiff) -> list[str]:
    """The lines of the text, without the headings of slots."""
    return [line.strip() for line in found.to_text().splitlines() if line.startswith("  ")]


# ---- golden cases ----


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    a, b = (tree_of((GOLDEN / f"{case}.{side}.gprog").read_text(encoding="utf-8")) for side in "ab")
    found = diff(a, b)
    text, data = found.to_text(), json.dumps(found.to_dict(), ensure_ascii=False, indent=2) + "\n"
    if os.environ.get("GENEVOLVE_UPDATE_GOLDEN"):
        (GOLDEN / f"{case}.txt").write_text(text, encoding="utf-8")
        (GOLDEN / f"{case}.json").write_text(data, encoding="utf-8")
    assert text == (GOLDEN / f"{case}.txt").read_text(encoding="utf-8")
    assert data == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")
    assert diff(b, a) == found.reversed()
    assert diff(a, a).empty
    assert diff(b, b).empty


def test_there_are_golden_cases() -> None:
    assert len(CASES) >= 8


# ---- what makes no difference ----

BASE = (
    'let towers = image_search("Eiffel Tower at dusk", top_k: 3)',
    'ref tower = towers[0] for "copy the light"',
    "use skill text_rendering",
)


@pytest.mark.parametrize(
    "lines",
    [
        ('# why\nlet towers =\n  image_search( "Eiffel Tower at dusk" , top_k: 3 )  # wide', *BASE[1:]),
        ('let towers = image_search("""Eiffel Tower\nat dusk""", top_k: 3)', *BASE[1:]),
        ('ref tower = image_search("Eiffel Tower at dusk", top_k: 3)[0] for "copy the light"', BASE[2]),
        (
            'let t = image_search("Eiffel Tower at dusk", top_k: 3)[0]',
            'ref tower = t for "copy the light"',
            BASE[2],
        ),
    ],
)
def test_layout_and_bookkeeping_make_no_difference(lines: tuple[str, ...]) -> None:
    found = diff(program(*BASE, prompt="see {tower}"), program(*lines, prompt="see {tower}"))
    assert [c for c in found.changes if c.what != "value"] == []


def test_written_defaults_make_no_difference() -> None:
    a = tree_of('request "x" let a = search("x", top_k: 5) prompt "y" render size: 1024x1024, seed: 0')
    b = tree_of('request "x" let a = search("x") prompt "y"')
    assert diff(a, b).empty


def test_renaming_is_told_as_renaming_and_nothing_else() -> None:
    a = tree_of(
        'program p(n: int = 2) request "{n} cats" let found = image_search("{n} cats") let first = found[0] '
        'ref cat = first for "the fur" prompt "{n} cats like {cat}" require count("cat") == n require resembles(cat)'
    )
    b = tree_of(
        'program q(k: int = 2) request "{k} cats" let cats = image_search("{k} cats") let best = cats[0] '
        'ref tom = best for "the fur" prompt "{k} cats like {tom}" require count("cat") == k require resembles(tom)'
    )
    found = diff(a, b)
    assert found.equivalent
    assert not found.empty
    assert sorted(told(found)) == [
        "= name: found is now called cats",
        "= parameter: n is now called k",
        "= program: p is now called q",
        "= reference: cat is now called tom",
        "= value: first is now called best",
    ]


def test_swapped_names_are_two_renamings() -> None:
    a = program('let x = search("old maps")', 'let y = search("new cars")', prompt="p")
    b = program('let y = search("old maps")', 'let x = search("new cars")', prompt="p")
    assert Counter(c.kind for c in diff(a, b).changes) == {Kind.RENAMED: 2}


# ---- single changes ----


@pytest.mark.parametrize(
    ("before", "after", "slot", "lines"),
    [
        (
            'let a = search("red cats asleep")',
            'let a = search("red dogs asleep")',
            Slot.SEARCH,
            ["~ search query: red [-cats-] {+dogs+} asleep"],
        ),
        (
            'let a = search("x y")',
            'let a = search("x y", "old maps")',
            Slot.SEARCH,
            ["+ search query: old maps"],
        ),
        (
            'let a = search("x y", "z w")',
            'let a = search("z w", "x y")',
            Slot.SEARCH,
            ["> search query “x y”: from place 1 to 2"],
        ),
        ('let a = search("x", top_k: 3)', 'let a = search("x")', Slot.SEARCH, ["~ search top_k: 3 → 5"]),
        ('let a = search("x")', "", Slot.SEARCH, ['- call: search("x")']),
        (
            'let a = search("maps of Rome")',
            'let a = image_search("maps of Rome")',
            Slot.SEARCH,
            ['+ call: image_search("maps of Rome")', '- call: search("maps of Rome")'],
        ),
        ("use skill s", "use skill t", Slot.KNOWLEDGE, ["+ skill t", "- skill s"]),
        (
            "use skill s use skill t",
            "use skill t use skill s",
            Slot.KNOWLEDGE,
            ["> skill s: from place 1 to 2"],
        ),
        ('avoid "blur, noise"', 'avoid "blur, hands"', Slot.FAILURES, ["+ avoid: hands", "- avoid: noise"]),
        (
            'require count("cat") == 2',
            'require count("cat") >= 3',
            Slot.FAILURES,
            ['~ constraint count: count("cat") == 2 → count("cat") >= 3'],
        ),
        (
            'require attribute("cat", "red")',
            'require attribute("dog", "red")',
            Slot.FAILURES,
            [
                '+ constraint attribute: attribute("dog", "red")',
                '- constraint attribute: attribute("cat", "red")',
            ],
        ),
    ],
)
def test_one_change(before: str, after: str, slot: Slot, lines: list[str]) -> None:
    found = diff(program(before), program(after))
    assert {c.slot for c in found.changes} == {slot}
    assert sorted(told(found)) == sorted(lines)


def test_a_changed_search_is_told_once_however_much_depends_on_it() -> None:
    text = 'let s = image_search("{}") let p = pick(s, "front view") ref r = p for "the face" require resembles(r)'
    a, b = (program(text.format(q), prompt="like {r}") for q in ("young cat asleep", "old cat asleep"))
    (change,) = diff(a, b).changes
    assert (change.what, change.part, change.removed_words, change.added_words) == (
        "query",
        "query",
        ("young",),
        ("old",),
    )


def test_references() -> None:
    head = 'let s = image_search("cats") '
    a = program(head + 'ref x = s[0] for "the fur" ref y = s[1] for "the eyes"', prompt="{x} {y}")
    b = program(head + 'ref y = s[1] for "the eyes" ref x = s[2] for "the long fur"', prompt="{x} {y}")
    assert told(diff(a, b)) == [
        "> reference x: from place 1 to 2",
        "~ reference x, image: s[0] → s[2]",
        "~ reference x, purpose: the {+long+} fur",
    ]


def test_references_of_one_image_are_one_under_any_name() -> None:
    head = 'let s = image_search("cats") '
    a = program(head + 'ref x = s[0] for "the fur" ref y = s[1] for "the eyes"', prompt="{x} above {y}")
    b = program(head + 'ref y = s[0] for "the fur" ref x = s[1] for "the eyes"', prompt="{y} above {x}")
    assert diff(a, b).equivalent
    swapped = program(head + 'ref x = s[0] for "the fur" ref y = s[1] for "the eyes"', prompt="{y} above {x}")
    assert told(diff(a, swapped)) == ["~ clause: {+{y} above+} {x} [-above {y}-]"]


def test_clauses() -> None:
    a = program(prompt="A red tower at dusk. Rain falls on it. Two men wait.")
    b = program(prompt="Two men wait. A blue tower at dusk. The title glows.")
    assert told(diff(a, b)) == [
        "~ clause: A [-red-] {+blue+} tower at dusk",
        "> clause “A blue tower at dusk”: from place 1 to 2",
        "- clause: Rain falls on it",
        "+ clause: The title glows",
    ]


@pytest.mark.parametrize("prompt", ["?", "caption", 'ask(facts, "what is it?")'])
def test_prompts_that_are_no_string(prompt: str) -> None:
    a, b = tree_of(f'request "x" prompt {prompt}'), tree_of('request "x" prompt "A cat"')
    assert diff(a, a).empty
    assert {c.kind for c in diff(a, b).of(Slot.PROMPT)} == {Kind.ADDED, Kind.REMOVED}


def test_sketches_and_settings() -> None:
    a = tree_of('request "x" ... prompt "y" render steps: 3, guidance: 2')
    b = tree_of('request "x" prompt "y" render steps: ?, seed: 4')
    assert (
        told(diff(a, b))
        == [
            "- setting guidance: 2",
            "+ setting seed: 4",
            "~ setting steps: 3 → ?",
            "- hole: ...",
        ]
        or len(diff(a, b).changes) == 4
    )


def test_texts_of_strangers_cannot_drive_the_terminal() -> None:
    found = diff(program(prompt=r"a \n b"), program(prompt=r"a\u{7}"))
    assert "\u0007" not in found.to_text()
    plain = found.to_text()
    assert re.sub(r"\x1b\[[\d;]*m", "", found.to_text(color=True)) == plain


def test_an_empty_diff_says_so() -> None:
    a = program()
    assert diff(a, a).to_text() == "no differences\n"
    assert diff(Tree(()), Tree(())).empty
    assert diff(a, a).to_dict()["empty"] is True


# ---- pieces ----


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        ("At 4.5 m, e.g. a cat. Dr. Who waits.", ["At 4.5 m, e.g. a cat.", " Dr. Who waits."]),
        ('The title "Stop. Go." glows. End', ['The title "Stop. Go." glows.', " End"]),
        ('He says "Go." Then rain.', ['He says "Go."', " Then rain."]),
        ("A (small. very) cat. B", ["A (small. very) cat.", " B"]),
        ("left; right", ["left;", " right"]),
        ("golden hour, 35mm film, wide shot", ["golden hour,", " 35mm film,", " wide shot"]),
        ("A cat, a dog, and a bird sleep.", ["A cat, a dog, and a bird sleep."]),
        ("one\n\ntwo", ["one\n", "\n", "two"]),
        ('6" wide. 3" tall', ['6" wide.', ' 3" tall']),
        ('a 6" plank. Two', ['a 6" plank.', " Two"]),
        ("霧がある。城。", ["霧がある。", "城。"]),
        ("", []),
    ],
)
def test_clauses_are_cut_where_a_reader_would(text: str, pieces: list[str]) -> None:
    assert split_clauses(text) == pieces


@given(st.text('ab .,;"“”()\n1', max_size=60))
def test_clauses_joined_are_the_text(text: str) -> None:
    assert "".join(split_clauses(text)) == text


@given(
    st.lists(st.sampled_from(["a", "b", "cat,", "Dog."]), max_size=12),
    st.lists(st.sampled_from(["a", "b", "cat,"]), max_size=12),
)
def test_word_edits_lead_from_one_text_to_the_other(left: list[str], right: list[str]) -> None:
    a, b = (tokens(String((" ".join(side),), ""), lambda name: 0) for side in (left, right))
    edits = word_edits(a, b)
    for side, gone in ((a, "add"), (b, "remove")):
        kept = "".join(e.text for e in edits if e.action != gone)
        assert kept.replace(" ", "") == "".join(t.shown for t in side)
    assert 0 <= likeness(words(a), words(b)) <= 1


@given(st.permutations(range(7)))
def test_the_fewest_things_move(order: list[int]) -> None:
    found = moved(order)
    stays = [v for i, v in enumerate(order) if i not in found]
    assert stays == sorted(stays)
    longest = max(len(kept) for kept in _subsequences(order) if list(kept) == sorted(kept))
    assert len(stays) == longest


def _subsequences(items: list[int]) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for item in items:
        found += [[*kept, item] for kept in found]
    return found


@given(st.integers(1, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_pairs_are_the_best_overall(n: int, m: int, chance: random.Random) -> None:
    scores = [[chance.choice([0, 0.2, 0.5, 0.7, 1.0]) for _ in range(m)] for _ in range(n)]
    a, b = ([Item((side, i), Counter()) for i in range(k)] for side, k in (("a", n), ("b", m)))
    found = pair(a, b, lambda i, j: scores[i][j], 0.3)
    total = sum(scores[i][j] for i, j in found.pairs)
    long = max(n, m)
    best = max(
        sum(scores[i][j] for i, j in enumerate(p[:n]) if j < m and scores[i][j] >= 0.3)
        for p in permutations(range(long))
    )
    assert total == pytest.approx(best, abs=0.01)
    assert sorted([i for i, _ in found.pairs] + list(found.left)) == list(range(n))
    assert sorted([j for _, j in found.pairs] + list(found.right)) == list(range(m))


# ---- properties ----

QUERIES = st.lists(
    st.sampled_from(["cat", "dog", "red", "old", "map", "Rome", "at", "dusk"]), min_size=1, max_size=4
).map(" ".join)
NAMES = st.sampled_from(["a", "b", "c", "d"])
LINES = st.one_of(
    st.builds('let {} = search("{}")'.format, NAMES, QUERIES),
    st.builds('let {} = image_search("{}", top_k: {})'.format, NAMES, QUERIES, st.integers(1, 6)),
    st.builds('let {} = "{}"'.format, NAMES, QUERIES),
    st.builds("let {} = {}[{}]".format, NAMES, NAMES, st.integers(0, 3)),
    st.builds('ref {} = {}[{}] for "{}"'.format, NAMES, NAMES, st.integers(0, 3), QUERIES),
    st.builds('ref {} = pick({}, "{}")'.format, NAMES, NAMES, QUERIES),
    st.builds("use skill {}".format, NAMES),
    st.builds('prompt "{}. {{{}}} {}, {}"'.format, QUERIES, NAMES, QUERIES, QUERIES),
    st.builds('avoid "{}, {}"'.format, QUERIES, QUERIES),
    st.builds('require count("{}") == {}'.format, QUERIES, st.integers(0, 4)),
    st.builds('require text("{}")'.format, QUERIES),
    st.builds("render steps: {}, seed: {}".format, st.integers(1, 5), st.integers(0, 3)),
    st.just("..."),
    st.just("let e = search(?)"),
)
TREES = st.lists(LINES, max_size=12).map(lambda lines: tree_of("\n".join(['request "x"', *lines])))


@settings(max_examples=300)
@given(TREES, TREES)
def test_diffs_are_antisymmetric(a: Tree, b: Tree) -> None:
    there, back = diff(a, b), diff(b, a)
    assert back == there.reversed()
    assert back.reversed() == there
    counts = [there.to_dict()["counts"], back.to_dict()["counts"]]
    assert (counts[0]["added"], counts[0]["removed"]) == (counts[1]["removed"], counts[1]["added"])
    assert json.loads(json.dumps(there.to_dict())) == there.to_dict()


@given(TREES)
def test_a_program_does_not_differ_from_itself(a: Tree) -> None:
    assert diff(a, a).changes == ()


@given(TREES, TREES)
def test_diffs_are_deterministic(a: Tree, b: Tree) -> None:
    assert diff(a, b).to_text() == diff(a, b).to_text()
    assert [type(c) for c in diff(a, b).changes] == [Change] * len(diff(a, b).changes)


def test_large_programs_take_no_time_to_speak_of() -> None:
    chance = random.Random(7)
    vocabulary = [f"w{i}" for i in range(300)]

    def large(seed: int) -> Tree:
        pick = random.Random(seed)
        lines = ['request "x"']
        for i in range(330):
            lines.append(f'let n{i} = search("{" ".join(pick.choices(vocabulary, k=5))}")')
            lines.append(f'avoid "{" ".join(chance.choices(vocabulary, k=4))}"')
            lines.append(f'require text("{" ".join(pick.choices(vocabulary, k=4))}")')
        lines.append(
            'prompt "' + " ".join(" ".join(pick.choices(vocabulary, k=8)) + "." for _ in range(800)) + '"'
        )
        return tree_of("\n".join(lines))

    a, b = large(1), large(2)
    start = time.perf_counter()
    found = diff(a, b)
    assert time.perf_counter() - start < 20
    assert len(found.changes) > 1_000


# ---- documentation ----


def test_the_example_of_the_documentation_is_what_is_printed() -> None:
    page = (DOCS / "diff.md").read_text(encoding="utf-8")
    a, b, text = re.findall(r"```(?:gprog|text)\n(.*?)```", page, re.DOTALL)[:3]
    assert diff(tree_of(a), tree_of(b)).to_text() == text
    (data,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert json.loads(data) in diff(tree_of(a), tree_of(b)).to_dict()["changes"]
