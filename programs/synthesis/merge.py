"""A statement with holes, and what a policy wrote in its place: the same everywhere but in the holes?

    let towers = image_search(?, top_k: 5)
    let towers = image_search("Eiffel Tower at dusk", top_k: 5)     fits
    let towers = image_search("Eiffel Tower at dusk", top_k: 9)     does not: `top_k: 5` was changed

What is kept is the author's statement with the policy's expressions in its holes, so that nothing that the author
wrote can change, not even in spelling.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

from genevolve.grammar import tree as nodes
from genevolve.grammar.formatter import format_expression, format_statement
from genevolve.grammar.tree import Argument, Expression, Hole, Statement, StatementHole, Trivia
from genevolve.programs.policies.quoting import one_line, without_markers

_SHOWN = 120

Part: TypeAlias = Any
"""A node of the tree, a tuple of them, or a plain value inside one: the fields of all nodes, seen alike."""


class Mismatch(Exception):
    """The statement was changed outside its holes; `str(error)` says where, in a sentence."""


def filled_in(sketch: Statement, written: Statement) -> Statement:
    """The author's statement with its holes filled from the policy's.

    Comments of the policy join those of the author.

    Raises:
        Mismatch: It was changed outside its holes, or a hole is not filled.
    """
    if type(sketch) is not type(written):
        raise Mismatch(
            f"the statement to be filled begins with '{keyword(sketch)}', and this begins with '{keyword(written)}'"
        )
    merged: Statement = _merge(sketch, written)
    return replace(merged, trivia=joined(sketch.trivia, written.trivia))


def joined(author: Trivia, policy: Trivia) -> Trivia:
    """The comments of both: the author's first, on the author's lines."""
    leading = (*author.leading, *policy.leading)
    trailing = author.trailing
    if trailing is None:
        trailing = policy.trailing
    elif policy.trailing is not None:
        leading = (*leading, policy.trailing)
    return Trivia(leading=leading, trailing=trailing, blank_before=author.blank_before)


def has_holes(node: Part) -> bool:
    """Whether a statement or expression is a hole or has one."""
    if isinstance(node, Hole | StatementHole):
        return True
    if isinstance(node, tuple):
        return any(has_holes(part) for part in node)
    if is_dataclass(node) and not isinstance(node, Trivia):
        return any(has_holes(getattr(node, f.name)) for f in fields(node) if f.compare)
    return False


def keyword(statement: Statement) -> str:
    """The word that a statement begins with."""
    return format_statement(replace(statement, trivia=Trivia())).partition(" ")[0].partition("\n")[0]


def _merge(sketch: Part, written: Part) -> Part:
    if isinstance(sketch, Hole):
        if has_holes(written):
            raise Mismatch("a hole is still open: write what stands in place of each '?'")
        return written
    if not has_holes(sketch):
        if not _same(sketch, written):
            raise Mismatch(_changed(sketch, written))
        return sketch
    if isinstance(sketch, tuple):
        return _merge_all(sketch, written)
    if type(sketch) is not type(written):
        raise Mismatch(_changed(sketch, written))
    parts = {
        f.name: _merge(getattr(sketch, f.name), getattr(written, f.name))
        for f in fields(sketch)
        if f.compare and f.name != "trivia"
    }
    return replace(sketch, **parts)


def _merge_all(sketch: tuple[Part, ...], written: Part) -> tuple[Part, ...]:
    if not isinstance(written, tuple) or len(sketch) != len(written):
        given = len(written) if isinstance(written, tuple) else 0
        raise Mismatch(f"the author wrote {len(sketch)} arguments here, and there are {given}")
    return tuple(_merge(a, b) for a, b in zip(sketch, written, strict=True))


def _same(a: Part, b: Part) -> bool:
    """Whether two parts say the same; markers that a prompt had to break count as what they stood for."""
    if isinstance(a, str) and isinstance(b, str):
        return a == b or without_markers(a) == without_markers(b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if type(a) is not type(b):
        return False
    if is_dataclass(a) and not isinstance(a, type):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if _counts(a, f.name))
    return bool(a == b)


def _counts(node: Part, name: str) -> bool:
    # How a string was quoted is layout; the policy may write """…""" as "…".
    if name in ("trivia", "raw") or (isinstance(node, nodes.String) and name == "triple"):
        return False
    return next(f.compare for f in fields(node) if f.name == name)


def _changed(sketch: Part, written: Part) -> str:
    return (
        "only the holes may be filled, and this was changed: "
        f"the author wrote '{_written(sketch)}', and here stands '{_written(written)}'"
    )


def _written(part: Part) -> str:
    if isinstance(part, Argument):
        head = f"{part.name}: " if part.name is not None else ""
        return one_line(head + format_expression(part.value), _SHOWN)
    if isinstance(part, tuple):
        return one_line(", ".join(_written(p) for p in part), _SHOWN)
    if hasattr(part, "trivia"):
        return one_line(format_statement(replace(part, trivia=Trivia())), _SHOWN)
    if is_dataclass(part) and not isinstance(part, nodes.ProgramParameter):
        expression: Expression = part  # type: ignore[assignment]  # all else was handled before
        return one_line(format_expression(expression), _SHOWN)
    if isinstance(part, nodes.ProgramParameter):
        return one_line(f"{part.name}: {part.type}", _SHOWN)
    return one_line("nothing" if part is None else str(part), _SHOWN)
