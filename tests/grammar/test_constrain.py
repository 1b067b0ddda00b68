"""The grammar of the next statement: what it is derived from, what it takes, what it leaves out."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import llguidance
import pytest
from constrain_cases import ENVIRONMENT, ODD_CHOICES, after, grown
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genevolve.grammar.codes import CODES
from genevolve.grammar.constrain import Following, next_statement
from genevolve.grammar.constrain_lark import write_grammar
from genevolve.grammar.constrain_shapes import RULES, TERMINALS, read_shapes, shapes
from genevolve.grammar.constrain_spelled import DEAD
from genevolve.grammar.constrain_text import Kind, Text, folded
from genevolve.grammar.formatter import format_statement
from genevolve.grammar.generate import grammar_text
from genevolve.grammar.parser import parse, parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.span import Source
from genevolve.grammar.strings import quote
from genevolve.grammar.tree import (
    PLAIN,
    Call,
    Comparison,
    ProgramHeader,
    Statement,
    StatementHole,
    String,
)
from genevolve.programs.policies.inside import Cursor
from genevolve.programs.session import open_environment

BYTES = llguidance.LLTokenizer("byte")
ROOT = Path(__file__).parents[2]
LIBRARY_ENVIRONMENT = open_environment()
LIBRARY = sorted((ROOT / "programs" / "library").glob("*.gprog"))


def sound(text: str) -> bool:
    """Whether no text spells what it must not: decoders keep that apart from the grammar."""
    cursor = Cursor()
    for byte in text.encode("utf-8", "surrogateescape"):
        cursor.feed(bytes((byte,)))
        if cursor.spelled and cursor.state == DEAD:
            return False
    return True


@lru_cache(maxsize=16)
def compiled(grammar: str) -> llguidance.LLMatcher:
    matcher = llguidance.LLMatcher(BYTES, grammar)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def accepts(following: Following, text: str) -> bool:
    """Whether llguidance takes the text with the grammar, pauses included."""
    if not sound(text):
        return False
    grammar, rest = following.grammar, text
    while True:
        matcher = compiled(grammar).deep_copy()
        tokens = BYTES.tokenize_str(rest)
        taken = 0
        for token in tokens:
            if matcher.is_stopped() or matcher.try_consume_tokens([token]) != 1:
                break
            taken += 1
        if taken == len(tokens):
            return matcher.is_accepting()
        if not matcher.is_stopped() or matcher.is_error():
            return False
        whole = text.encode()
        done = len(whole) - len(rest.encode()) + taken
        node = following.resume(whole[:done].decode())
        if node is None:
            return False
        grammar, rest = write_grammar(node), whole[done:].decode()


def completes(following: Following, text: str) -> bool:
    """The same with the tree itself."""
    if not sound(text):
        return False
    node, start = following.node, 0
    while True:
        rest = node.complete(text[start:])
        if rest == "":
            return text.endswith("\n")
        if rest is not None:
            return False
        ends = max(node.walk(text[start:], 0, {}).ends, default=0)
        after_pause = following.resume(text[: start + ends]) if ends else None
        if after_pause is None:
            return False
        node, start = after_pause, start + ends


# ---- derivation ---------------------------------------------------------------------------------------


def test_every_rule_and_token_of_the_language_is_covered() -> None:
    assert set(shapes().rules) == set(RULES)
    assert set(shapes().patterns) == set(TERMINALS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("          | statement_hole\n", "          | statement_hole\n          | animate\n"),
        ("       | index\n", "       | index\n        | sum\n"),
        ("size: SIZE", "size: SIZE | HEX"),
    ],
)
def test_a_language_that_grows_needs_a_derivation(old: str, new: str) -> None:
    grammar = grammar_text()
    assert grammar.count(old) >= 1
    more = 'animate: "animate" expression\nsum: operand "+" operand\nHEX: /#[0-9a-f]+/\n'
    unused = (
        ""
        if "animate" in new
        else "".join(line + "\n" for line in more.splitlines() if line.split(":")[0] in new)
    )
    with pytest.raises(NotImplementedError, match=r"animate|sum|HEX"):
        read_shapes(
            grammar.replace(old, new, 1) + (more.splitlines()[0] + "\n" if "animate" in new else unused)
        )


def test_a_word_that_changes_changes_the_grammar() -> None:
    changed = read_shapes(grammar_text().replace('"avoid" expression', '"without" expression'))
    node = changed.build("avoid", expression_0=Text(Kind()))
    assert node.shortest == 'without "x"'


@pytest.mark.parametrize(
    "kind",
    [
        Kind(),
        Kind(names=("a", "bc")),
        Kind(least=3, most=9),
        Kind(names=("a",), mentions=("a",)),
        Kind(without=("red ball", 'a "b" \\ {c}', "straße")),
        Kind(triple=True, names=("a", "b"), mentions=("a", "b")),
    ],
)
def test_strings_stay_inside_the_tokens_of_the_language(kind: Kind) -> None:
    parts: dict[str, str] = {}
    body = Text(kind).regex(lambda text: parts.setdefault(text, f"P{len(parts)}"))
    base = shapes().patterns["TRIPLE_STRING" if kind.triple else "STRING"].replace("\n", "\\n")
    grammar = [f"start: T\nT: ({body}) & ~BASE\nBASE: /{base}/", *(f"{n}: {t}" for t, n in parts.items())]
    outside = llguidance.LLMatcher(BYTES, "\n".join(grammar))
    inside = llguidance.LLMatcher(BYTES, "\n".join(grammar).replace("& ~BASE", "& BASE"))
    # No first byte, so no text; what comes behind the 256 bytes are tokens without text.
    assert not any(outside.compute_bitmask()[:32])
    assert any(inside.compute_bitmask()[:32])


# ---- what is taken ------------------------------------------------------------------------------------


def left_out(statement: Statement) -> str | None:
    """Why a statement of the library is no statement of a policy's."""
    text = format_statement(statement)
    if isinstance(statement, ProgramHeader):
        return "the header is the author's"
    if text.startswith("ref") and re.search(r"\b(image_)?search\(", text):
        return "calls that cost stand in 'let'"
    return None


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_the_library_could_have_been_written_by_a_policy(path: Path) -> None:
    scope = Scope.root(LIBRARY_ENVIRONMENT)
    for statement in parse(Source(path.read_text(encoding="utf-8"))).tree.statements:
        statement = replace(statement, trivia=PLAIN)
        text = format_statement(statement) + "\n"
        following = next_statement(scope)
        taken = accepts(following, text)
        assert taken == completes(following, text)
        assert taken is (left_out(statement) is None), text
        scope = scope.extend(statement).scope
    assert not [d for d in scope.finish() if d.is_error]


def kept_from(scope: Scope, line: str) -> bool:
    """Whether a policy is kept from a count that checks.

    What it named before it writes in lower case, and nothing is fewer than none, also where only the run tells what
    is counted.
    """
    comparison = getattr(parse_statement(line)[0], "predicate", None)
    if not isinstance(comparison, Comparison) or not isinstance(comparison.left, Call):
        return False
    what = comparison.left.arguments[0].value
    if line.endswith("< 0"):
        return True
    text = what.plain if isinstance(what, String) else None
    return text is not None and folded(text) in scope.constraints.things and text != folded(text)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 9))
def test_statements_that_check_are_taken(seed: int, steps: int) -> None:
    scope, good = grown(random.Random(seed), steps)
    following = next_statement(scope)
    for line in [g for g in good if not kept_from(scope, g)][:6]:
        text = f"{line}\n"
        assert completes(following, text), text
        assert accepts(following, text), text
        assert accepts(following, f'# why\n# and how, "{{so}}"\n{text}')


def completed(following: Following, cut: str) -> str:
    """A beginning of a statement with what completes it; what stands behind a pause is completed there."""
    node, start, reserve = following.node, 0, following.reserve
    while (rest := node.complete(cut[start:])) is None:
        ends = max(node.walk(cut[start:], 0, {}).ends, default=0)
        after_pause = following.resume(cut[: start + ends]) if ends else None
        assert after_pause is not None, cut
        node, start, reserve = after_pause, start + ends, following.reserve_in(after_pause)
    assert len(rest.encode("utf-8", "surrogateescape")) <= reserve
    whole = (cut + rest).encode("utf-8", "surrogateescape").decode()
    paused = following.resume(whole)
    return whole if paused is None else whole + (paused.shortest or "")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 9))
@example(11187, 6)  # a prompt in three quotes, of which two stand there
@example(11186, 6)  # a relation whose whole line stands behind its pause
@example(11186, 7)  # half a character behind a pause
def test_whatever_was_begun_can_be_completed(seed: int, steps: int) -> None:
    scope, good = grown(random.Random(seed), steps)
    following = next_statement(scope)
    for line in [g for g in good if not kept_from(scope, g)][:4]:
        text = f"{line}\n".encode()
        cuts = [text[:length].decode("utf-8", "surrogateescape") for length in range(len(text) + 1)]
        assert completed(following, cuts[-1]) == cuts[-1]
        for whole in dict.fromkeys(completed(following, cut) for cut in cuts):
            statement, wrong = parse_statement(whole)
            assert statement is not None, (whole, wrong)
            assert scope.extend(statement).ok, whole
            assert accepts(following, whole), whole


@pytest.mark.parametrize("cut", ['prompt ""', 'prompt """', 'prompt """\n', '# why\nprompt ""'])
def test_two_quotes_are_the_beginning_of_three(cut: str) -> None:
    following = next_statement(after(BOUND))
    whole = completed(following, cut)
    assert whole.endswith('prompt """\n{tower}\n"""\n')
    assert accepts(following, whole)


# ---- what is left out ---------------------------------------------------------------------------------

BOUND = (
    'request "a"',
    'let towers = image_search("x", top_k: 3)',
    'ref tower = towers[1] for "light"',
    'let facts = search("a")',
    "use skill spatial_layout",
    'require count("red ball") >= 2',
    'require relation("man", "above", "dog")',
    'require count("cat") == 0',
)


@pytest.mark.parametrize(
    "text",
    [
        'request "b"',  # GP503
        "program p",  # GP507
        "...",
        'let towers = search("a")',  # GP203
        'let search = search("a")',  # GP204
        'let for = search("a")',  # GP122
        'let x = seek("a")',  # GP202
        "let x = search()",  # GP302
        'let x = image_search("a", "b")',  # GP303
        'let x = search("a", depth: 2)',  # GP207
        'let x = search("a", top_k: 1, top_k: 2)',  # GP212
        'let x = search("a", top_k: 21)',  # GP312
        'let x = search("a", top_k: 05)',
        'let x = search("a", top_k: "5")',  # GP301
        'let x = search("")',  # GP312
        'let x = search(" ")',
        'let x = search("{tower}")',  # GP409
        'let x = search("{towers}")',  # GP307
        'let x = search("{nothing}")',  # GP201
        'let x = search("a } b")',  # GP107
        'let x = search("a { b")',  # GP106
        'let x = search("a\\qb")',  # GP105
        'let x = search("a\u200bb")',  # GP116
        'let x = search("a\u202eb")',
        "let x = ?",  # GP603
        "let x = 3",
        'let x = count("a")',  # GP316
        'ref r = towers[1] for "x"',  # GP411
        'ref r = towers[3] for "x"',  # GP306
        'ref r = towers[-1] for "x"',  # GP305
        'ref r = facts[0] for "x"',  # GP304
        'ref r = facts for "x"',  # GP406
        "ref r = towers[0]",  # GP408
        'ref r = towers[0] for "like the first image"',  # GP401
        "use skill spatial_layout",  # GP206
        "use skill nothing",  # GP205
        'prompt "a"',  # GP402
        'prompt "{{tower}}"',
        'prompt "{tower} {towers}"',  # GP407
        'avoid ""',
        "avoid tower",  # GP310
        "render",  # without a prompt
        'require search("a")',  # GP309
        'require count("a")',  # GP320
        'require text("a") == 2',  # GP308
        'require count("a") == -1',  # GP312
        'require count("a") < 0',  # GP513
        'require count("red ball") == 1',
        'require count("Red  BALL") < 2',
        'require attribute("cat", "black")',
        'require relation("dog", "above", "man")',
        'require relation("Man", "below", "DOG")',
        'require relation("tree", "inside", "tree")',
        'require relation("cat", "next_to", "dog")',
        'require relation("a", "near", "b")',  # GP315
        'require text("a", at: "middle")',
        "require resembles(towers)",  # GP410
        "require ?",  # GP602
    ],
)
def test_what_the_checker_would_refuse_is_left_out(text: str) -> None:
    following = next_statement(after(BOUND), images={"towers": 3})
    assert not accepts(following, text + "\n")


@pytest.mark.parametrize("body", ['""', '" "', '"\\n"', '"""\n"""', '"""\n\n"""', '"""\n \n"""'])
def test_no_text_is_empty(body: str) -> None:
    taken = next_statement(after(("program p(title: text)",)))
    assert accepts(taken, 'request "{title}"\n')
    for following, head in ((next_statement(after(BOUND[:2])), "prompt "), (taken, "request ")):
        assert not accepts(following, f"{head}{body}\n")
        assert not completes(following, f"{head}{body}\n")
    for text in (f"avoid {body}", f"let x = search({body})", f"ref r = towers[0] for {body}"):
        following = next_statement(after(BOUND))
        assert not accepts(following, text + "\n")
        assert not completes(following, text + "\n")


@pytest.mark.parametrize(
    "text",
    [
        'let x = search("a", "b", top_k: 20)',
        'ref r = towers[0] for "x"',
        'prompt "{tower} at dawn"',
        'prompt """\nA "tower" like {tower}.\n\n- and more\n"""',
        "use skill text_rendering",
        'require count("red ball") <= 4',
        'require count("red balls") == 1',
        'require attribute("dog", "black")',
        'require relation("man", "above", "tree")',
        'require relation("dog", "next_to", "man")',
        "require resembles(tower)",
        'let t = weather("Oslo", exact: false, days: 3)',
    ],
)
def test_what_is_right_is_taken(text: str) -> None:
    assert accepts(next_statement(after(BOUND), images={"towers": 3}), text + "\n")


def test_pictures_that_were_not_found_are_not_indexed() -> None:
    scope = after(BOUND)
    assert accepts(next_statement(scope, images={"towers": 3}), 'ref r = towers[2] for "x"\n')
    assert not accepts(next_statement(scope, images={"towers": 2}), 'ref r = towers[2] for "x"\n')
    assert not accepts(next_statement(scope, images={"towers": 0}), 'ref r = towers[0] for "x"\n')


def test_the_last_turn_cannot_call() -> None:
    following = next_statement(after(BOUND), may_call=False)
    for text in ('let x = search("a")', "use skill text_rendering", 'let t = weather("Oslo")'):
        assert not accepts(following, text + "\n")
    assert accepts(following, 'let x = ask(facts, "why")\n')


def test_the_budget_is_kept() -> None:
    scope = after(('request "a"', *(f'let s{n} = search("{n}")' for n in range(9))))
    following = next_statement(scope)
    assert accepts(following, 'let x = search("a")\n')
    assert not accepts(following, 'let x = weather("Oslo")\n')  # costs 2
    later, _ = parse_statement("use skill text_rendering")
    assert later is not None
    assert not accepts(next_statement(scope, follows=(later,)), 'let x = search("a")\n')


def test_references_end_with_their_number_and_with_the_prompt() -> None:
    lines = ['request "a"', 'let a = image_search("x", top_k: 9)']
    lines += (f'ref r{n} = a[{n}] for "x"' for n in range(5))
    assert not accepts(next_statement(after(tuple(lines))), 'ref more = a[7] for "x"\n')
    lines[3:] = ['prompt "{r0}"']
    following = next_statement(after(tuple(lines)))
    assert not accepts(following, 'ref more = a[7] for "x"\n')
    assert not accepts(following, 'prompt "b"\n')
    assert accepts(following, "render size: 1024x1024, seed: 9223372036854775807\n")
    assert following.may_end
    rendered = after((*lines, "render"))
    assert (
        next_statement(rendered).grammar.startswith("start: \n")
        or next_statement(rendered).node.shortest is None
    )


def test_what_the_author_wrote_behind_the_hole_is_not_free() -> None:
    follows = parse(
        Source(
            'let sky = search("a")\nprompt "a"\nuse skill text_rendering\nrequire count("ball") == 2\nrender\n'
        )
    ).tree.statements
    following = next_statement(after(('request "a"', 'let a = image_search("x")')), follows=follows)
    for text in (
        'let sky = search("b")',
        'prompt "b"',
        "use skill text_rendering",
        'require count("ball") == 3',
        "render",
        'ref r = a[0] for "x"',  # the prompt behind the hole could not mention it
    ):
        assert not accepts(following, text + "\n"), text
    assert accepts(following, 'require count("ball") >= 2\n')
    assert following.may_end
    assert not following.must_prompt


def test_only_a_request_comes_first() -> None:
    scope = after(("program p(title: text, photo: image)",))
    following = next_statement(scope)
    assert accepts(following, 'request "a {title}"\n')
    assert not accepts(following, 'request "a {photo}"\n')
    assert not accepts(following, 'let x = search("a")\n')
    assert not following.may_end


# ---- strangers ----------------------------------------------------------------------------------------


def test_choices_of_strangers_are_written_so_that_they_read_back() -> None:
    scope = after(('request "a"',))
    following = next_statement(scope)
    for choice in ODD_CHOICES:
        text = f'let x = weather("Oslo", style: {quote(choice, triple=False)})\n'
        assert accepts(following, text), text
        statement, _ = parse_statement(text)
        assert statement is not None
        assert scope.extend(statement).ok
    assert not accepts(following, 'let x = weather("Oslo", style: "other")\n')


@pytest.mark.parametrize("name", ['bad"name', "odd_name", "nothing_fits"])
def test_what_cannot_be_written_cannot_be_called(name: str) -> None:
    assert name in ENVIRONMENT.signatures
    assert f'"{name}" "("' not in next_statement(after(('request "a"',))).grammar


# ---- sketches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sketch", "good", "bad"),
    [
        (
            "let x = search(?, top_k: ?)",
            ['let x = search("a", top_k: 3)'],
            ['let x = search("a", top_k: 30)', 'let y = search("a", top_k: 3)'],
        ),
        (
            "ref r = towers[?] for ?",
            ['ref r = towers[0] for "x"'],
            ['ref r = towers[1] for "x"', 'ref r = towers[9] for "x"'],
        ),
        ("ref r = image_search(?)[?]", ['ref r = image_search("a")[4]'], ['ref r = image_search("a")[5]']),
        (
            'ref r = ? for "the light"',
            ['ref r = towers[2] for "the light"'],
            ['ref r = towers[2] for "more"', 'ref r = facts for "the light"'],
        ),
        ("use skill ?", ["use skill text_rendering"], ["use skill spatial_layout", "use skill nothing"]),
        (
            "prompt ?",
            ['prompt "{tower}"', 'prompt """\n{tower}\n"""'],
            ['prompt "a"', 'prompt "{tower} img 3"'],
        ),
        (
            "require count(?) == 0",
            ['require count("hats") == 0'],
            ['require count("man") == 0', 'require count("red ball") == 0'],
        ),
        (
            'require count("red ball") == ?',
            ['require count("red ball") == 3'],
            ['require count("red ball") == 1'],
        ),
        (
            "require relation(?, ?, ?)",
            ['require relation("a", "above", "b")'],
            ['require relation("dog", "above", "man")', 'require relation("a", "on", "A")'],
        ),
        (
            'require relation("dog", ?, "man")',
            ['require relation("dog", "behind", "man")'],
            ['require relation("dog", "above", "man")'],
        ),
        ("require text(?, at: ?)", ['require text("a", at: "top")'], ['require text("a", at: "up")']),
        (
            "render seed: ?, size: ?",
            ["render seed: 3, size: 64x64"],
            ["render seed: -3, size: 64x64", "render size: 64x64, seed: 3"],
        ),
        ("avoid ?", ['avoid "warped letters"'], ['avoid "image 2"', "avoid ?"]),
    ],
)
def test_a_sketch_keeps_what_was_written_and_fills_its_holes(
    sketch: str, good: list[str], bad: list[str]
) -> None:
    statement, wrong = parse_statement(sketch)
    assert statement is not None, wrong
    following = next_statement(after(BOUND), images={"towers": 3}, statement=statement)
    for text in good:
        assert accepts(following, text + "\n"), text
        assert completes(following, text + "\n"), text
    for text in bad:
        assert not accepts(following, text + "\n"), text
        assert not completes(following, text + "\n"), text


def test_holes_are_not_mistaken_for_names_of_the_author() -> None:
    scope = after(('request "hole hole0q"', "let hole0q = now()"))
    statement, _ = parse_statement('let x = search("hole0q hole_", ?)')
    assert statement is not None
    following = next_statement(scope, statement=statement)
    assert accepts(following, 'let x = search("hole0q hole_", "b")\n')


# ---- documentation ------------------------------------------------------------------------------------


def test_the_page_tells_what_excludes_each_error() -> None:
    page = (ROOT / "docs" / "constrained-decoding.md").read_text(encoding="utf-8")
    told = set(re.findall(r"GP\d{3}", page))
    for first, last in re.findall(r"(GP\d{3})–(GP\d{3})", page):
        told |= {f"GP{n}" for n in range(int(first[2:]), int(last[2:]) + 1)}
    errors = {code for code, entry in CODES.items() if entry.severity.value == "error" and not entry.runtime}
    assert errors - told == set()


def test_a_hole_of_statements_is_no_statement() -> None:
    statement, _ = parse_statement("...")
    assert isinstance(statement, StatementHole)
    assert not accepts(next_statement(after(('request "a"',))), "...\n")
