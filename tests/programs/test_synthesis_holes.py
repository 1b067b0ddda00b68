"""Holes punched into programs at random and filled again give the program back, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import strategies as trees
from fakes import FakeSkill, World
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from genevolve.grammar import tree as nodes
from genevolve.grammar.errors import GenevolveError
from genevolve.grammar.formatter import format_statement, format_tree
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Hole, Statement, StatementHole, Tree, Trivia
from genevolve.interpreter.machine import Machine
from genevolve.programs.policies.quoting import without_markers
from genevolve.programs.policies.scripted import RecordedProgram
from genevolve.programs.program import Program
from genevolve.programs.synthesis.emission import split_emission
from genevolve.programs.synthesis.fill import fill
from genevolve.programs.synthesis.merge import Mismatch, filled_in, has_holes
from genevolve.programs.synthesis.rollout import Bounds, Outcome

EXPRESSIONS = (
    nodes.Number, nodes.Boolean, nodes.Size, nodes.String, nodes.Name, nodes.Call, nodes.Index, nodes.Comparison,
)  # fmt: skip


def places(node: Any, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The paths of all expressions inside a node."""
    if isinstance(node, EXPRESSIONS):
        yield path
    if isinstance(node, tuple):
        for i, part in enumerate(node):
            yield from places(part, (*path, i))
    elif is_dataclass(node) and not isinstance(node, Trivia | str):
        for f in fields(node):
            if f.compare and f.name != "parts":
                yield from places(getattr(node, f.name), (*path, f.name))
    if isinstance(node, nodes.Use) and isinstance(node.skill, str):
        yield (*path, "skill")


def punched(node: Any, path: tuple[object, ...]) -> Any:
    """The node with a hole at that path."""
    if not path:
        return Hole()
    first, *rest = path
    if isinstance(node, tuple):
        assert isinstance(first, int)
        return (*node[:first], punched(node[first], tuple(rest)), *node[first + 1 :])
    assert isinstance(first, str)
    return replace(node, **{first: punched(getattr(node, first), tuple(rest))})


def bare(statement: Statement) -> Statement:
    return replace(statement, trivia=Trivia())


def unquoted(node: Any) -> Any:
    """The node with all strings quoted alike and chat markers broken, as the comparison sees them."""
    if isinstance(node, str):
        return without_markers(node)
    if isinstance(node, tuple):
        return tuple(unquoted(part) for part in node)
    if is_dataclass(node) and not isinstance(node, type):
        changed = {f.name: unquoted(getattr(node, f.name)) for f in fields(node) if f.compare}
        if isinstance(node, nodes.String):
            changed["triple"] = False
        return replace(node, **changed)
    return node


# ---- one statement -----------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(trees.statements, st.data())
def test_any_statement_comes_back_from_its_holes(statement: Statement, data: st.DataObject) -> None:
    """Of any shape that the grammar allows, right or wrong, written out and read again."""
    assume(not has_holes(statement))
    where = list(places(statement))
    assume(where)
    sketch = statement
    for path in data.draw(st.lists(st.sampled_from(where), min_size=1, max_size=3)):
        if path in list(places(sketch)):
            sketch = punched(sketch, path)
    text = format_statement(bare(statement))
    (written,) = split_emission(text).statements
    filled = filled_in(sketch, written.statement)
    assert bare(filled) == bare(statement)
    assert filled.trivia == statement.trivia
    assert has_holes(sketch)
    with pytest.raises(Mismatch):
        filled_in(sketch, bare(sketch))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(trees.statements, trees.statements, st.data())
def test_another_statement_does_not_pass(a: Statement, b: Statement, data: st.DataObject) -> None:
    assume(not has_holes(a) and not has_holes(b) and list(places(a)))
    sketch = punched(a, data.draw(st.sampled_from(list(places(a)))))
    try:
        filled = filled_in(sketch, b)
    except Mismatch:
        return
    # It fits: then it says what was written; only how its texts are quoted is the author's.
    assert unquoted(bare(filled)) == unquoted(bare(b))


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(trees.programs(6))
def test_a_turn_is_cut_into_its_statements(tree: Tree) -> None:
    text = format_tree(tree)
    assume(parse(Source(text)).ok)  # comments may hold characters that cannot be seen
    split = split_emission(text)
    assert not split.wrong
    assert tuple(w.statement for w in split.statements) == tree.statements
    assert split.comments == (tree.comments if tree.statements else split.comments)
    assert all(parse(Source(w.text)).ok for w in split.statements)


@given(trees.word_salads)
def test_no_text_makes_the_splitter_fail(text: str) -> None:
    split = split_emission(text)
    assert split.empty or split.statements or split.comments or split.wrong
    for written in split.statements:
        # What is let through was written exactly so: it parses by itself.
        assert bare(parse(Source(written.text)).tree.statements[0]) == bare(written.statement)


# ---- whole programs ----------------------------------------------------------------------------------

_words = st.sampled_from(
    ("a red kite", "the tower, by night", 'a "sign"', "Ünïcödé 漢字", "50% off {{now}}", "x <b> y")
)
_comments = st.lists(st.sampled_from(("why", "look # twice", "...", "render")), max_size=2)


@st.composite
def valid_programs(draw: st.DrawFn) -> str:
    """Programs that check and run on the tools of `World`: two or three searches, references, skills, requirements."""

    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def word() -> str:
        return quote(draw(_words))

    lines = ['request "A picture."', ""]
    refs: list[str] = []
    for i in range(draw(st.integers(0, 3))):
        lines += [f"# {c}" for c in draw(_comments)]
        if draw(st.booleans()):
            lines.append(
                f"let facts{i} = search({word()}, {quote(str(i))}, top_k: {draw(st.integers(1, 5))})"
            )
            if draw(st.booleans()):
                lines.append(f"let said{i} = ask(facts{i}, {word()})")
                lines.append(f'avoid "{{said{i}}}"')
        else:
            lines.append(f"let found{i} = image_search({quote(f'thing {i}')}, top_k: 4)  # found")
            chosen = draw(
                st.sampled_from((f"found{i}[{draw(st.integers(0, 3))}]", f"pick(found{i}, {word()})"))
            )
            lines.append(f"ref r{i} = {chosen} for {word()}")
            refs.append(f"r{i}")
    for skill in draw(st.lists(st.sampled_from(("layout", "lettering", "counting")), unique=True)):
        lines.append(f"use skill {skill}")
    mentions = "".join(f" {{{r}}}" for r in refs)
    lines += ["", f'prompt "A picture with{mentions}, and more."', *(f"# {c}" for c in draw(_comments))]
    for number in draw(st.lists(st.integers(0, 9), max_size=2, unique=True)):
        lines.append(f'require count("thing {number}") == {number}')
    if refs and draw(st.booleans()):
        lines.append(f"require resembles({refs[0]})")
    if draw(st.booleans()):
        lines.append(f"render size: 512x256, seed: {draw(st.integers(0, 99))}")
    return "\n".join(lines) + "\n"


@cache
def machine() -> Machine:
    skills = {n: FakeSkill(n) for n in ("layout", "lettering", "counting")}
    return World(Path(mkdtemp())).machine(skills=skills)


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None
)
@given(valid_programs(), st.data())
def test_a_program_comes_back_from_its_sketch(text: str, data: st.DataObject) -> None:
    original = Program.parse(text)
    assert original.check(machine().environment()).ok
    statements = list(original.tree.statements)
    # `...` in place of some stretches, `?` in some of the statements that are left.
    for _ in range(data.draw(st.integers(0, 3), label="stretches")):
        start = data.draw(st.integers(1, len(statements) - 1))
        stop = min(len(statements), start + data.draw(st.integers(0, 3)))
        if any(isinstance(s, StatementHole) for s in statements[start:stop]):
            continue
        statements[start:stop] = [
            StatementHole(trivia=statements[start].trivia if start < stop else Trivia())
        ]
    for i, statement in enumerate(statements[1:], 1):
        where = [] if isinstance(statement, StatementHole) else list(places(statement))
        if where and data.draw(st.booleans()):
            sketch = punched(statement, data.draw(st.sampled_from(where)))
            if _is_sketch([*statements[:i], sketch, *statements[i + 1 :]]):
                statements[i] = sketch
    if not _is_sketch(statements):
        return
    sketch_program = Program.parse(format_tree(Tree(tuple(statements), original.tree.comments)))
    (rollout,) = fill(sketch_program, RecordedProgram(original), machine(), bounds=Bounds(turns=40))
    assert rollout.outcome is Outcome.FILLED, rollout.reason
    assert rollout.program is not None
    assert [bare(s) for s in rollout.program.tree.statements] == [bare(s) for s in original.tree.statements]
    assert rollout.program.format() == rollout.program.source
    # The comments of the author's statements stand where they stood, in their order, and nothing is told twice.
    kept = [c for s in rollout.program.tree.statements for c in s.trivia.leading]
    for statement in statements:
        for comment in statement.trivia.leading:
            assert comment in kept
    assert rollout.program.run(machine()).z == original.run(machine()).z


def _is_sketch(statements: list[Statement]) -> bool:
    try:
        return Program.parse(format_tree(Tree(tuple(statements)))).check(machine().environment()).ok
    except GenevolveError:
        return False
