"""Comments and blank lines: found by the lexer beside the tokens, put back beside the statements.

A comment above a statement or inside it leads that statement; one on the line where it ends trails it; those
after the last statement belong to the tree.
"""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.grammar.lexer import Comment
from genevolve.grammar.span import Span
from genevolve.grammar.tree import Statement, Tree, Trivia


def attach(text: str, statements: Sequence[Statement], comments: Sequence[Comment]) -> Tree:
    """The tree of freshly built statements and the comments of their text, both in the order of their places.

    The statements must not be shared yet: each one's `trivia` is set in place.
    """
    at, count, gap_from = 0, len(comments), 0
    limits = [statement.span.start for statement in statements[1:]]
    for statement, limit in zip(statements, (*limits, len(text)), strict=False):
        start, end = statement.span
        above = at
        while at < count and comments[at].start < end:
            at += 1
        leading = comments[above:at]
        top = min(leading[0].start, start) if leading else start
        blank = gap_from > 0 and text.count("\n", gap_from, top) > 1
        trailing = None
        gap_from = end
        if at < count and comments[at].start < limit and text.find("\n", end, comments[at].start) < 0:
            trailing = comments[at].text
            gap_from = comments[at].end
            at += 1
        if leading or blank or trailing is not None:
            trivia = Trivia(leading=tuple(c.text for c in leading), trailing=trailing, blank_before=blank)
            # Nodes are frozen for everybody else; this one was made a moment ago and nobody has it yet.
            object.__setattr__(statement, "trivia", trivia)
    span = Span(statements[0].span.start, statements[-1].span.end) if statements else Span(0, 0)
    return Tree(tuple(statements), tuple(c.text for c in comments[at:]), span=span)
