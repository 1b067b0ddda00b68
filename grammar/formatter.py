"""Tree to text, in one canonical layout.

    let a=search( "x" ,top_k:5 )   # why   →   let a = search("x", top_k: 5)  # why

One statement a line, groups kept by single blank lines, comments kept. What does not fit into `WIDTH` columns is
broken one argument a line; strings are never touched, since their line breaks and indentation may mean something.

Parsing what is written gives an equal tree, and formatting it again gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from genevolve.grammar import tree as nodes
from genevolve.grammar.lexer import write_number
from genevolve.grammar.parser import parse_literal
from genevolve.grammar.strings import quote_parts
from genevolve.grammar.tree import Argument, Expression, Statement, Tree

WIDTH = 100
"""Columns that a line may have when breaking it can help."""

_INDENT = "    "
_LINE_BREAKS = re.compile(r"[\r\n]+")


def format_tree(tree: Tree) -> str:
    """The program as text, with a line break at its end.

    Raises:
        ValueError: The tree holds what no program can: half of a surrogate pair, an infinite number.
    """
    lines: list[str] = []
    for statement in tree.statements:
        if statement.trivia.blank_before and lines:
            lines.append("")
        lines.append(format_statement(statement))
    if tree.comments and lines:
        lines.append("")
    lines.extend(_comment(text) for text in tree.comments)
    return "\n".join(lines) + "\n" if lines else ""


def format_statement(statement: Statement) -> str:
    """One statement with its comments, without a line break at its end."""
    lines = [_comment(text) for text in statement.trivia.leading]
    lines.append(_statement(statement))
    text = "\n".join(lines)
    if statement.trivia.trailing is not None:
        text += f"  {_comment(statement.trivia.trailing)}"
    return text


def format_expression(expression: Expression) -> str:
    """An expression on one line (strings of several lines keep theirs)."""
    match expression:
        case nodes.String():
            return _string(expression)
        case nodes.Number():
            return _number(expression)
        case nodes.Boolean(value=value):
            return "true" if value else "false"
        case nodes.Size(width=width, height=height):
            return f"{width}x{height}"
        case nodes.Name(name=name):
            return name
        case nodes.Hole():
            return "?"
        case nodes.Call(name=name, arguments=arguments):
            return f"{name}({', '.join(map(_argument, arguments))})"
        case nodes.Index(operand=operand, index=index):
            return f"{format_expression(operand)}[{format_expression(index)}]"
        case nodes.Comparison(left=left, operator=operator, right=right):
            return f"{format_expression(left)} {operator} {format_expression(right)}"


# ---- statements -------------------------------------------------------------------------------------


def _statement(statement: Statement) -> str:
    match statement:
        case nodes.ProgramHeader():
            return _header(statement)
        case nodes.Request(text=value):
            return _broken("request ", value)
        case nodes.Let(name=name, value=value):
            return _broken(f"let {name} = ", value)
        case nodes.Ref():
            return _ref(statement)
        case nodes.Use(skill=skill):
            return f"use skill {'?' if isinstance(skill, nodes.Hole) else skill}"
        case nodes.Prompt(text=value):
            return _broken("prompt ", value)
        case nodes.Avoid(text=value):
            return _broken("avoid ", value)
        case nodes.Require(predicate=value):
            return _broken("require ", value)
        case nodes.Render():
            return _render(statement)
        case nodes.StatementHole():
            return "..."


def _header(statement: nodes.ProgramHeader) -> str:
    head = f"program {statement.name}"
    if not statement.parameters:
        return head
    parameters = [_parameter(parameter) for parameter in statement.parameters]
    flat = f"{head}({', '.join(parameters)})"
    return flat if _fits(flat) else _bracketed(f"{head}(", parameters, ")", "")


def _parameter(parameter: nodes.ProgramParameter) -> str:
    text = f"{parameter.name}: {parameter.type}"
    if parameter.default is not None:
        text += f" = {format_expression(parameter.default)}"
    return text


def _ref(statement: nodes.Ref) -> str:
    head = f"ref {statement.name} = "
    if statement.purpose is None:
        return _broken(head, statement.value)
    purpose = f"for {format_expression(statement.purpose)}"
    flat = f"{head}{format_expression(statement.value)} {purpose}"
    if _fits(flat):
        return flat
    value = _broken(head, statement.value)
    # A value that had to be broken ends with a bracket of its own line; the purpose may go on there.
    if "\n" in value and _fits(f"{value} {purpose}"):
        return f"{value} {purpose}"
    return f"{value}\n{_INDENT}{purpose}"


def _render(statement: nodes.Render) -> str:
    if not statement.settings:
        return "render"
    settings = [_argument(setting) for setting in statement.settings]
    flat = f"render {', '.join(settings)}"
    if _fits(flat):
        return flat
    return "render\n" + ",\n".join(f"{_INDENT}{setting}" for setting in settings)


# ---- breaking lines ---------------------------------------------------------------------------------


def _fits(text: str) -> bool:
    """Whether the first and the last line fit; lines between belong to strings, which stay as they are."""
    first, _, _ = text.partition("\n")
    return len(first) <= WIDTH and len(text) - (text.rfind("\n") + 1) <= WIDTH


def _broken(head: str, value: Expression, indent: str = "", tail: str = "") -> str:
    """`head value tail` on one line if it fits, else with the arguments of its outermost call on their own."""
    flat = f"{indent}{head}{format_expression(value)}{tail}"
    if _fits(flat):
        return flat
    match value:
        case nodes.Call(name=name, arguments=arguments) if arguments:
            inner = indent + _INDENT
            broken = [_broken(_label(a), a.value, inner, ",") for a in arguments]
            return "\n".join((f"{indent}{head}{name}(", *broken, f"{indent}){tail}"))
        case nodes.Index(operand=operand, index=index):
            return _broken(head, operand, indent, f"[{format_expression(index)}]{tail}")
        case nodes.Comparison(left=left, operator=operator, right=right):
            return _broken(head, left, indent, f" {operator} {format_expression(right)}{tail}")
        case _:
            return flat


def _bracketed(opening: str, items: Sequence[str], closing: str, indent: str) -> str:
    lines = (f"{indent}{_INDENT}{item}," for item in items)
    return "\n".join((f"{indent}{opening}", *lines, f"{indent}{closing}"))


# ---- pieces -----------------------------------------------------------------------------------------


def _label(argument: Argument) -> str:
    return "" if argument.name is None else f"{argument.name}: "


def _argument(argument: Argument) -> str:
    return _label(argument) + format_expression(argument.value)


def _comment(text: str) -> str:
    text = _LINE_BREAKS.sub(" ", text).strip()
    return f"# {text}" if text else "#"


def _string(node: nodes.String) -> str:
    """As it was written, unless that says something else: nodes may have been changed since."""
    if node.raw and parse_literal(node.raw) == node:
        return node.raw
    return quote_parts(node.parts, node.triple)


def _number(node: nodes.Number) -> str:
    if node.raw:
        written = parse_literal(node.raw)
        # 1 and 1.0 are equal, but one is an int and the other a float.
        if isinstance(written, nodes.Number) and written == node and type(written.value) is type(node.value):
            return node.raw
    return write_number(node.value)
