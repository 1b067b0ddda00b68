"""Holes of a sketch: where they are, what type their place asks for, and what they stand for in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from genevolve.grammar.binding import bind
from genevolve.grammar.builtins import RENDER_SETTINGS
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.span import Span
from genevolve.grammar.tree import (
    Avoid,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Let,
    ProgramHeader,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    Statement,
    StatementHole,
    Tree,
    Use,
)
from genevolve.grammar.types import Environment, Type

SKILL, STATEMENTS = "skill", "statements"
"""What a hole is filled with when it is no value: the name of a skill, any number of statements."""

_SETTINGS = {p.name: p.type for p in RENDER_SETTINGS}
_TYPES = {t.value: t for t in Type}
_MAX_DEPTH = 60


class HoleSite(NamedTuple):
    """One hole.

    `type` is the spelling of a language type (`text`, `int`, `image` …, `unknown`), `skill` or `statements`.
    `where` names the place in words: "argument query of search". `statement` counts from 0.
    """

    span: Span
    type: str
    where: str
    statement: int


def find_holes(tree: Tree, environment: Environment) -> tuple[HoleSite, ...]:
    """All holes of a program, in the order in which they are written."""
    sites: list[HoleSite] = []
    for number, statement in enumerate(tree.statements):
        sites += (HoleSite(*found, number) for found in _in_statement(statement, environment))
    return tuple(sites)


def hole_diagnostics(tree: Tree, environment: Environment) -> tuple[Diagnostic, ...]:
    """GP601 for each hole: what a program with holes is answered when somebody runs it."""
    return tuple(_unfilled(site) for site in find_holes(tree, environment))


def _unfilled(site: HoleSite) -> Diagnostic:
    if site.type == STATEMENTS:
        message = "this hole is not filled: any number of statements"
    elif site.type == SKILL:
        message = "this hole is not filled: the name of a skill"
    else:
        message = f"this hole is not filled: {site.where}, of type {site.type}"
    return Diagnostic("GP601", message, site.span, ("a program runs when nothing is left open",))


_Found = tuple[Span, str, str]


def _in_statement(statement: Statement, environment: Environment) -> Iterator[_Found]:
    match statement:
        case StatementHole():
            yield statement.span, STATEMENTS, "statements"
        case Use(Hole() as hole):
            yield hole.span, SKILL, "skill of use"
        case _:
            for expression, kind, where in _operands(statement):
                yield from _in(expression, kind, where, environment)


def _operands(statement: Statement) -> Iterator[tuple[Expression, Type, str]]:
    """The expressions of a statement, with the type that each place asks for and its name."""
    match statement:
        case Request(text) | Prompt(text) | Avoid(text):
            yield text, Type.TEXT, f"text of {type(statement).__name__.lower()}"
        case Let(name, value):
            yield value, Type.UNKNOWN, f"value of let {name}"
        case Ref(name, value, purpose):
            yield value, Type.IMAGE, f"image of ref {name}"
            if purpose is not None:
                yield purpose, Type.TEXT, f"purpose of ref {name}"
        case Require(predicate):
            yield predicate, Type.PREDICATE, "predicate of require"
        case Render(settings):
            for setting in settings:
                yield (
                    setting.value,
                    _SETTINGS.get(setting.name or "", Type.UNKNOWN),
                    f"setting {setting.name}",
                )
        case ProgramHeader(_, parameters):
            for parameter in parameters:
                if parameter.default is not None:
                    kind = _TYPES.get(parameter.type, Type.UNKNOWN)
                    yield parameter.default, kind, f"default of parameter {parameter.name}"


def _in(
    expression: Expression, kind: Type, where: str, environment: Environment, depth: int = 0
) -> Iterator[_Found]:
    if depth > _MAX_DEPTH:  # the checker refuses this; nothing below can run
        return
    match expression:
        case Hole(span=span):
            yield span, kind.value, where
        case Index(operand, index):
            yield from _in(operand, Type.IMAGES, f"images of {where}", environment, depth + 1)
            yield from _in(index, Type.INT, f"index of {where}", environment, depth + 1)
        case Comparison(left, _, right):
            yield from _in(left, Type.QUANTITY, f"left side of {where}", environment, depth + 1)
            yield from _in(right, Type.INT, f"number of {where}", environment, depth + 1)
        case Call():
            yield from _in_call(expression, environment, depth)


def _in_call(call: Call, environment: Environment, depth: int) -> Iterator[_Found]:
    signature = environment.signatures.get(call.name)
    parameters = {id(a): p for p, a in bind(call, signature).pairs} if signature is not None else {}
    for position, argument in enumerate(call.arguments, 1):
        parameter = parameters.get(id(argument))
        name = parameter.name if parameter is not None else argument.name or str(position)
        kind = parameter.type if parameter is not None else Type.UNKNOWN
        yield from _in(argument.value, kind, f"argument {name} of {call.name}", environment, depth + 1)
