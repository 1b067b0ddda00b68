"""Text to tree: `parse` never fails, reports several errors, and keeps every statement that is right.

    text → characters (`reader`) → tokens (`lexer`) → statements → nodes (`builder`) → comments put in place

A statement starts with a keyword and no keyword stands anywhere else, so the tokens can be cut into statements
before anything is parsed. Each piece goes through the LALR(1) table alone; only a piece that fails is looked at
again, by `recovery`, which repairs what is certain and explains the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from genevolve.grammar.builder import Builder
from genevolve.grammar.diagnostics import Diagnostic, ordered
from genevolve.grammar.lalr import ParseFailure, Table
from genevolve.grammar.lexer import Lexeme, Lexer
from genevolve.grammar.reader import MAX_DIAGNOSTICS, check_text
from genevolve.grammar.recovery import MAX_DEPTH, Recovery, cut, too_deep
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import Number, Size, Statement, String, Tree
from genevolve.grammar.trivia import attach

MAX_STATEMENTS = 1_000
"""How many statements a program may have."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text and what was understood of it.

    `tree` holds every statement that is right, also when others are not. `lost` are the names that broken
    statements would have defined, so that their uses need not be reported a second time.
    """

    source: Source
    tree: Tree
    diagnostics: tuple[Diagnostic, ...] = ()
    lost: frozenset[str] = frozenset()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with the syntax."""
        return not self.diagnostics


class _Language:
    """The tokens and rules, made once, stateless, shared by all threads."""

    def __init__(self) -> None:
        self.lexer = Lexer()
        self._table = Table(Builder())

    def statement(self, tokens: list[Lexeme]) -> Statement:
        """The statement that the tokens make. Raises `ParseFailure`."""
        node: Statement = self._table.parse(tokens)
        return node


@lru_cache(maxsize=1)
def _language() -> _Language:
    return _Language()


def parse(source: Source) -> Parsed:
    """Parse a whole program; never raises on a bad one.

    Args:
        source: The text; `read_source` makes one from bytes.

    Returns:
        The tree of all statements that are right and at most `MAX_DIAGNOSTICS` findings, in the order of their
        places. The tree of a text that is too large is empty.
    """
    wrong = list(check_text(source.text))
    if any(d.code == "GP111" for d in wrong):
        return Parsed(source, Tree((), span=Span(0, 0)), tuple(wrong))
    language = _language()
    lexed = language.lexer.lex(source.text)
    wrong += lexed.diagnostics
    tokens = lexed.tokens
    if not tokens and not wrong:
        wrong.append(Diagnostic("GP110", "this program has no statements", Span(0, 0)))

    statements: list[Statement] = []
    recovery = Recovery(source.text, tokens, language.statement, lexed.diagnostics)
    for first, last in cut(source.text, tokens):
        if len(statements) >= MAX_STATEMENTS:
            message = f"a program has at most {MAX_STATEMENTS:,} statements; this is one more"
            recovery.report(Diagnostic("GP111", message, tokens[first].span))
            break
        if recovery.full:
            break
        piece = tokens[first:last]
        statement = _attempt(language, piece)
        if statement is not None:
            statements.append(statement)
        else:
            statements += recovery.recover(first, last)
    found = ordered((*wrong, *recovery.diagnostics))[:MAX_DIAGNOSTICS]
    return Parsed(source, attach(source.text, statements, lexed.comments), found, frozenset(recovery.lost))


def parse_statement(text: str) -> tuple[Statement | None, tuple[Diagnostic, ...]]:
    """Parse one statement, as a policy writes them: one at a time.

    Returns:
        The statement with its comments, or None when the text is not exactly one right statement; and what is
        wrong with it, with spans into `text`.
    """
    parsed = parse(Source(text, "<statement>"))
    statements, wrong = parsed.tree.statements, parsed.diagnostics
    if len(statements) > 1:
        message = "only one statement can stand here; this is another"
        wrong = ordered((*wrong, Diagnostic("GP101", message, statements[1].span)))
    if wrong or not statements:
        return None, wrong
    statement = statements[0]
    if parsed.tree.comments:
        trivia = statement.trivia
        leading = (*trivia.leading, *parsed.tree.comments)
        statement = replace(statement, trivia=replace(trivia, leading=leading))
    return statement, ()


def parse_literal(text: str) -> Number | Size | String | None:
    """The node of one literal (`"a"`, `5`, `1024x768`), or None when the text is not exactly one right literal."""
    lexed = _language().lexer.lex(text)
    if len(lexed.tokens) != 1 or lexed.diagnostics or lexed.tokens[0].text != text:
        return None
    return lexed.tokens[0].node


def _attempt(language: _Language, piece: list[Lexeme]) -> Statement | None:
    """The statement that a piece makes, or None when it needs a closer look."""
    if len(piece) > MAX_DEPTH and too_deep(piece) is not None:
        return None
    try:
        return language.statement(piece)
    except ParseFailure:
        return None
