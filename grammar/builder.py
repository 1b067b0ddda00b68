"""Tokens to nodes: one method per rule of `gprog.lark`, called by `lalr` as it parses.

The methods build and nothing else; they hold no state, so that one parser serves all threads. All tokens of a rule
are among its children, at the places where the grammar writes them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from genevolve.grammar import tree as nodes
from genevolve.grammar.span import Span

# `Any`: one list holds all children of a rule, and what they are differs from rule to rule and place to place.
Children: TypeAlias = list[Any]


class Builder:
    """The methods; `lalr_table` names them as the grammar names the rules."""

    # ---- statements ----

    def program_header(self, c: Children) -> nodes.ProgramHeader:
        """`program NAME`, perhaps with parameters in brackets."""
        name = c[1]
        parameters = tuple(c[3]) if len(c) > 4 else ()
        return nodes.ProgramHeader(
            name.text, parameters, name_span=name.span, span=Span(c[0].start, c[-1].end)
        )

    def program_parameters(self, c: Children) -> list[nodes.ProgramParameter]:
        """Collects; the list becomes a tuple in the header."""
        return _collect(c)

    def program_parameter(self, c: Children) -> nodes.ProgramParameter:
        """`NAME: type`, perhaps with a default."""
        name, kind = c[0], c[2]
        default = c[4] if len(c) > 4 else None
        end = kind.end if default is None else default.span[1]
        return nodes.ProgramParameter(
            name.text,
            kind.text,
            default,
            type_span=kind.span,
            name_span=name.span,
            span=Span(name.start, end),
        )

    def request(self, c: Children) -> nodes.Request:
        """`request text`."""
        return nodes.Request(c[1], span=Span(c[0].start, c[1].span[1]))

    def let(self, c: Children) -> nodes.Let:
        """`let NAME = expression`."""
        name, value = c[1], c[3]
        return nodes.Let(name.text, value, name_span=name.span, span=Span(c[0].start, value.span[1]))

    def ref(self, c: Children) -> nodes.Ref:
        """`ref NAME = image`, perhaps with what to copy."""
        name = c[1]
        purpose = c[5] if len(c) > 4 else None
        span = Span(c[0].start, c[-1].span[1])
        return nodes.Ref(name.text, c[3], purpose, name_span=name.span, span=span)

    def use(self, c: Children) -> nodes.Use:
        """`use skill NAME` or `use skill ?`."""
        name = c[2]
        skill = name if isinstance(name, nodes.Hole) else name.text
        return nodes.Use(skill, name_span=name.span, span=Span(c[0].start, name.span[1]))

    def prompt(self, c: Children) -> nodes.Prompt:
        """`prompt text`."""
        return nodes.Prompt(c[1], span=Span(c[0].start, c[1].span[1]))

    def avoid(self, c: Children) -> nodes.Avoid:
        """`avoid text`."""
        return nodes.Avoid(c[1], span=Span(c[0].start, c[1].span[1]))

    def require(self, c: Children) -> nodes.Require:
        """`require predicate`."""
        return nodes.Require(c[1], span=Span(c[0].start, c[1].span[1]))

    def render(self, c: Children) -> nodes.Render:
        """`render`, perhaps with settings."""
        if len(c) == 1:
            return nodes.Render(span=c[0].span)
        end = c[2].end if len(c) > 2 else c[1][-1].span[1]
        return nodes.Render(tuple(c[1]), span=Span(c[0].start, end))

    def statement_hole(self, c: Children) -> nodes.StatementHole:
        """`...`."""
        return nodes.StatementHole(span=c[0].span)

    # ---- expressions ----

    def comparison(self, c: Children) -> nodes.Comparison:
        """`operand COMPARATOR operand`."""
        left, operator, right = c
        return nodes.Comparison(left, operator.text, right, span=Span(left.span[0], right.span[1]))

    def number(self, c: Children) -> nodes.Number:
        """The lexer has made the node."""
        node: nodes.Number = c[0].node
        return node

    def boolean(self, c: Children) -> nodes.Boolean:
        """`true` or `false`."""
        return nodes.Boolean(c[0].type == "TRUE", span=c[0].span)

    def size(self, c: Children) -> nodes.Size:
        """The lexer has made the node."""
        node: nodes.Size = c[0].node
        return node

    def string(self, c: Children) -> nodes.String:
        """The lexer has made the node."""
        node: nodes.String = c[0].node
        return node

    def name(self, c: Children) -> nodes.Name:
        """A use of a name."""
        return nodes.Name(c[0].text, span=c[0].span)

    def hole(self, c: Children) -> nodes.Hole:
        """`?`."""
        return nodes.Hole(span=c[0].span)

    def call(self, c: Children) -> nodes.Call:
        """`NAME(arguments)`."""
        name = c[0]
        arguments = tuple(c[2]) if len(c) > 3 else ()
        return nodes.Call(name.text, arguments, name_span=name.span, span=Span(name.start, c[-1].end))

    def index(self, c: Children) -> nodes.Index:
        """`operand[expression]`."""
        return nodes.Index(c[0], c[2], span=Span(c[0].span[0], c[3].end))

    # ---- arguments ----

    def arguments(self, c: Children) -> list[nodes.Argument]:
        """Positional ones, then named ones; commas between and perhaps at the end."""
        arguments: list[nodes.Argument] = c[0]
        if len(c) > 2:
            arguments.extend(c[2])
        return arguments

    def positional_arguments(self, c: Children) -> list[nodes.Argument]:
        """Collects."""
        return _collect(c)

    def named_arguments(self, c: Children) -> list[nodes.Argument]:
        """Collects."""
        return _collect(c)

    def argument(self, c: Children) -> nodes.Argument:
        """A positional argument."""
        return nodes.Argument(c[0], span=c[0].span)

    def named_argument(self, c: Children) -> nodes.Argument:
        """`NAME: expression`."""
        name, value = c[0], c[2]
        return nodes.Argument(value, name.text, name_span=name.span, span=Span(name.start, value.span[1]))


def _collect(c: Children) -> Children:
    """One item starts a list, `list "," item` extends it."""
    if len(c) == 1:
        return c
    items: Children = c[0]
    items.append(c[2])
    return items
