"""What a policy wrote, cut into statements by the real parser.

Statements are taken in order up to the first that is not exactly right: the parser's repairs are for people who look
at them, and what was guessed must not be executed. Comments stay with the statement that they stand above or beside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.parser import parse, parse_statement
from genevolve.grammar.reader import read_source
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Statement

_FENCE = re.compile(r"\A\s*```[A-Za-z]*[ \t]*\n(?P<inside>.*?)(?:\n[ \t]*```\s*|\n?)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """One statement of a turn: its node, with its comments, and its own text."""

    statement: Statement
    text: str


@dataclass(frozen=True, slots=True)
class Split:
    """A turn in pieces.

    Attributes:
        source: The text that was read; the places of `wrong` point into it.
        statements: Those that are right, up to the first that is not.
        comments: Comments after the last statement.
        wrong: What ended the reading; empty when all was read.
        rest: The text that was not read because of that.
    """

    source: Source
    statements: tuple[Written, ...] = ()
    comments: tuple[str, ...] = ()
    wrong: tuple[Diagnostic, ...] = ()
    rest: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing but white space."""
        return not (self.statements or self.comments or self.wrong)


def split_emission(text: str) -> Split:
    """Cut a turn into statements; never raises.

    A Markdown fence around the whole turn is taken off, as many models cannot write code without one.
    """
    fenced = _FENCE.match(text)
    inside = fenced["inside"] if fenced else text
    source, problems = read_source(inside.encode("utf-8", "surrogatepass"), "<turn>")
    if not source.text.strip() and not problems:
        return Split(source)
    parsed = parse(source)
    wrong = tuple(d for d in (*problems, *parsed.diagnostics) if d.is_error)
    if [d.code for d in wrong] == ["GP110"]:  # nothing but comments
        return Split(source, comments=parsed.tree.comments)
    good, end = _right(source.text, parsed.tree.statements, wrong)
    if not wrong and len(good) == len(parsed.tree.statements):
        return Split(source, good, parsed.tree.comments)
    first = min(d.span.start for d in wrong) if wrong else end
    told = tuple(d for d in wrong if d.span.start < first + 400) or wrong[:1]
    return Split(source, good, (), told, source.text[end:].strip())


def _right(
    text: str, statements: tuple[Statement, ...], wrong: tuple[Diagnostic, ...]
) -> tuple[tuple[Written, ...], int]:
    """The statements before the first that is not right, and where they end."""
    limit = min((d.span.start for d in wrong), default=len(text))
    good: list[Written] = []
    end = 0
    for i, statement in enumerate(statements):
        if statement.span.end > limit:
            break
        tail = _line_end(text, statement, statements, i, limit)
        piece = text[end:tail]
        # Near a mistake the tree may hold a repair; only what parses by itself was really written.
        if wrong and parse_statement(piece) != (statement, ()):
            break
        good.append(Written(statement, piece.strip()))
        end = tail
    return tuple(good), end


def _line_end(text: str, statement: Statement, statements: tuple[Statement, ...], i: int, limit: int) -> int:
    """Where a statement ends, its trailing comment included."""
    end = statement.span.end
    if statement.trivia.trailing is None:
        return end
    stop = statements[i + 1].span.start if i + 1 < len(statements) else len(text)
    newline = text.find("\n", end)
    return min(n for n in (newline if newline >= 0 else len(text), stop, max(limit, end)))


def strip_comments(statement: Statement) -> Statement:
    """The statement without comments and blank lines around it."""
    return replace(statement, trivia=type(statement.trivia)())
