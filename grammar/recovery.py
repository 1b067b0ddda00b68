"""What to do with a piece of program that does not parse: repair what is certain, explain the rest.

    promt "a castle"          GP117 with a fix; goes on as `prompt "a castle"`
    search("x", top_k=5)      GP120 with a fix; goes on as `top_k: 5`
    let a = search("x"        GP113 at the bracket; goes on as if it were closed

A repaired statement stays in the tree, so its names are known to the checker and one mistake is told once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix, Related
from genevolve.grammar.explanations import STARTS, explain_failure, found, near, note_for_start
from genevolve.grammar.lalr import END, ParseFailure
from genevolve.grammar.lexer import Lexeme
from genevolve.grammar.reader import MAX_DIAGNOSTICS
from genevolve.grammar.span import Span
from genevolve.grammar.strings import RESERVED
from genevolve.grammar.tree import Statement

MAX_DEPTH = 50
"""How deep brackets may nest; a chain of indexes counts as nested too, as its tree is."""

_CLOSES = {"LPAR": ("RPAR", ")"), "LSQB": ("RSQB", "]")}
_CLOSERS = {"RPAR": ")", "RSQB": "]"}
_DEFINES = {"LET", "REF", "PROGRAM"}
_BEFORE_VALUE = {"LPAR", "LSQB", "COMMA", "COLON"}
_AFTER_NAME = {"COLON", "COMMA", "RPAR", "RSQB"}
_TAKES_VALUE = {"EQUAL", "REQUEST", "PROMPT", "AVOID", "REQUIRE", "SKILL", "FOR"}
# Mistakes of characters that leave a piece incomplete: what the parser says of it then is only their echo.
_ECHOING = {"GP102", "GP103", "GP104"}


def cut(text: str, tokens: Sequence[Lexeme]) -> Iterator[tuple[int, int]]:
    """The pieces `tokens[first:last]` that begin with a statement's keyword, in order.

    What stands before the first keyword is a piece too. A keyword where only a name can stand does not cut.
    """
    first = 0
    for at, token in enumerate(tokens):
        if token.type in STARTS and at > first and not _misplaced(text, tokens, at):
            yield first, at
            first = at
    if first < len(tokens):
        yield first, len(tokens)


def _misplaced(text: str, tokens: Sequence[Lexeme], at: int) -> bool:
    """Whether a keyword (or `...`) stands where no statement can start: it was meant as a name (or a `?`)."""
    token, before = tokens[at], tokens[at - 1]
    after = tokens[at + 1] if at + 1 < len(tokens) else None
    inside = before.type in _BEFORE_VALUE and after is not None and after.type in _AFTER_NAME
    if inside or "\n" in text[before.end : token.start]:
        return inside
    if token.type == "ELLIPSIS":
        # A comma may end the settings of `render`, so `...` behind one can be a statement.
        return before.type in _TAKES_VALUE or before.type in _BEFORE_VALUE - {"COMMA"}
    if before.type in _DEFINES or before.type == "SKILL":
        return True
    # `let a = request` and then the end of the line
    return before.type == "EQUAL" and (after is None or "\n" in text[token.end : after.start])


def too_deep(piece: Sequence[Lexeme]) -> Lexeme | None:
    """The first bracket that nests too deeply in a piece; `a[0][1]` counts as two."""
    open_brackets: list[int] = []
    total = chain = 0
    for token in piece:
        if token.type == "LPAR" or token.type == "LSQB":
            # Indexes that follow each other build a tree as deep as brackets inside each other do.
            size = chain + 1 if token.type == "LSQB" else 1
            open_brackets.append(size)
            total += size
            if total > MAX_DEPTH:
                return token
            chain = 0
        elif token.type in _CLOSERS:
            chain = open_brackets.pop() if open_brackets else 0
            total -= chain
        else:
            chain = 0
    return None


class Recovery:
    """Takes the failed pieces of one text; collects diagnostics, and the names that broken statements define.

    Args:
        text: The source text.
        tokens: All its tokens.
        parse_piece: Parses the tokens of one statement or raises `ParseFailure`.
        lexical: What the lexer reported, in the order of places.
    """

    def __init__(
        self,
        text: str,
        tokens: Sequence[Lexeme],
        parse_piece: Callable[[list[Lexeme]], Statement],
        lexical: Sequence[Diagnostic],
    ) -> None:
        self.text = text
        self.tokens = tokens
        self.parse_piece = parse_piece
        self.diagnostics: list[Diagnostic] = []
        self.lost: set[str] = set()
        self._echoes = [d.span.start for d in lexical if d.code in _ECHOING]

    @property
    def full(self) -> bool:
        """Whether enough has been said about this text."""
        return len(self.diagnostics) >= MAX_DIAGNOSTICS

    def report(self, diagnostic: Diagnostic) -> None:
        """Add a finding, unless there are enough of them."""
        if not self.full:
            self.diagnostics.append(diagnostic)

    def recover(self, first: int, last: int) -> Iterator[Statement]:
        """The statements that can be had from `tokens[first:last]`, which does not parse as it is."""
        limit = self.tokens[last].start if last < len(self.tokens) else len(self.text) + 1
        at = bisect_left(self._echoes, self.tokens[first].start if first else 0)
        echo = at < len(self._echoes) and self._echoes[at] < limit
        piece = list(self.tokens[first:last])
        deep = too_deep(piece)
        if deep is not None:
            message = f"brackets nest at most {MAX_DEPTH} deep"
            self.report(Diagnostic("GP112", message, deep.span))
            self._lose(piece)
            return
        while piece and not self.full:
            start = self._with_keyword(piece)
            if start is None:
                piece = self._next_line(piece)
                continue
            statement, piece = self._parse_first(start, echo)
            if statement is not None:
                yield statement

    def _parse_first(self, piece: list[Lexeme], echo: bool) -> tuple[Statement | None, list[Lexeme]]:
        """The statement that starts a piece, if it can be had, and what is left after it."""
        repair = _Repair(piece, echo)
        tokens = repair.tokens
        try:
            statement: Statement | None = self.parse_piece(tokens)
            rest: list[Lexeme] = []
        except ParseFailure as failure:
            at = failure.at
            if END in failure.accepts and 0 < at < len(tokens) and self._starts_line(tokens, at):
                statement, rest = self.parse_piece(tokens[:at]), _from(piece, tokens[at])
            else:
                statement, rest = None, self._misspelt_rest(tokens, piece, at)
                if not echo and not repair.unbalanced:
                    self.report(explain_failure(tokens, at, failure.accepts))
                self._lose(piece)
        for diagnostic in repair.diagnostics:
            # What comes later is looked at again, as the start of another statement.
            if not rest or diagnostic.span.start < rest[0].start:
                self.report(diagnostic)
        return statement, rest

    def _misspelt_rest(self, tokens: list[Lexeme], piece: list[Lexeme], at: int) -> list[Lexeme]:
        """From the next line that starts with a misspelt keyword, if there is one."""
        for i in range(max(at, 1), len(tokens)):
            if self._on_new_line(tokens, i) and near(tokens[i]):
                return _from(piece, tokens[i])
        return []

    def _on_new_line(self, tokens: Sequence[Lexeme], at: int) -> bool:
        return "\n" in self.text[tokens[at - 1].end : tokens[at].start]

    def _starts_line(self, tokens: Sequence[Lexeme], at: int) -> bool:
        """Whether a complete statement ends before `at`, and another was meant to start there."""
        token = tokens[at]
        if near(token):
            return True
        return token.type not in ("FOR", "COMPARATOR", "LSQB", "LPAR") and self._on_new_line(tokens, at)

    # ---- pieces that do not start with a keyword ----

    def _with_keyword(self, piece: list[Lexeme]) -> list[Lexeme] | None:
        """The piece with the keyword that was meant; None after reporting that there is none to guess."""
        token = piece[0]
        if token.type in STARTS:
            return piece
        span = token.span
        word = near(token)
        if word is not None:
            fix = Fix(f"write '{word}'", (Edit(span, word),))
            message = f"no statement starts with '{token.text}'; did you mean '{word}'?"
            self.report(Diagnostic("GP117", message, span, fix=fix))
            return [Lexeme(word.upper(), word, *span), *piece[1:]]
        insert = ""
        if token.type == "SKILL":
            insert, message = "use", "a skill is named by 'use skill'"
        elif token.type == "NAME" and len(piece) > 1 and piece[1].type == "EQUAL":
            insert, message = "let", f"a name is defined by 'let': let {token.text} = …"
        if not insert:
            message = f"no statement starts with {found(token)}"
            self.report(Diagnostic("GP117", message, span, note_for_start(token)))
            return None
        fix = Fix(f"write '{insert}' before it", (Edit(Span(span.start, span.start), f"{insert} "),))
        self.report(Diagnostic("GP117", message, span, fix=fix))
        return [Lexeme(insert.upper(), insert, *span), *piece]

    def _next_line(self, piece: list[Lexeme]) -> list[Lexeme]:
        """From the next line whose keyword can be guessed; the lines between have been reported as one."""
        for at in range(1, len(piece)):
            token = piece[at]
            if not self._on_new_line(piece, at):
                continue
            assigned = at + 1 < len(piece) and piece[at + 1].type == "EQUAL"
            if near(token) or (assigned and token.type == "NAME"):
                return piece[at:]
        return []

    # ---- what is left out ----

    def _lose(self, piece: Sequence[Lexeme]) -> None:
        if len(piece) > 1 and piece[0].type in ("LET", "REF") and piece[1].type == "NAME":
            self.lost.add(piece[1].text)
        elif piece[0].type == "PROGRAM":
            pairs = pairwise(piece)
            self.lost.update(a.text for a, b in pairs if a.type == "NAME" and b.type in ("COLON", "EQUAL"))


def _from(piece: Sequence[Lexeme], token: Lexeme) -> list[Lexeme]:
    """The part of a piece from where a token of its repaired copy stands."""
    return [original for original in piece if original.start >= token.start]


class _Repair:
    """One walk over a piece: words that are reserved, `=` in calls, `...` in expressions, brackets."""

    def __init__(self, piece: list[Lexeme], echo: bool) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.piece = piece
        self.echo = echo
        self.unbalanced = False
        self.open: list[Lexeme] = []
        self.tokens: list[Lexeme] = []
        for at in range(len(piece)):
            if at == 1 and piece[0].type == "USE" and piece[1].type == "NAME":
                self._insert_skill(piece[1])
            token = self._token(at)
            if token is not None:
                self.tokens.append(token)
        self._close()

    def _report(self, diagnostic: Diagnostic) -> None:
        if len(self.diagnostics) < MAX_DIAGNOSTICS:
            self.diagnostics.append(diagnostic)

    def _token(self, at: int) -> Lexeme | None:
        token = self.piece[at]
        kind = token.type
        if kind in _CLOSES:
            self.open.append(token)
        elif kind in _CLOSERS:
            return self._closer(token)
        elif at > 0 and kind == "ELLIPSIS":
            return self._expression_hole(token)
        elif at > 0 and kind == "EQUAL":
            return self._equal(at)
        elif at > 0 and token.text in RESERVED and kind != "NAME":
            return self._keyword(at)
        return token

    def _insert_skill(self, name: Lexeme) -> None:
        place = Span(name.start, name.start)
        fix = Fix("write 'skill' before it", (Edit(place, "skill "),))
        message = f"expected 'skill' after 'use', but found {found(name)}"
        self._report(Diagnostic("GP101", message, name.span, fix=fix))
        self.tokens.append(Lexeme("SKILL", "skill", *place))

    def _keyword(self, at: int) -> Lexeme:
        token, before = self.piece[at], self.piece[at - 1]
        after = self.piece[at + 1].type if at + 1 < len(self.piece) else ""
        defined = before.type in _DEFINES or before.type == "SKILL"
        named = after in ("COLON", "EQUAL") and (bool(self.open) or self.piece[0].type == "RENDER")
        allowed = (
            token.type in ("TRUE", "FALSE")
            or (token.type == "FOR" and not self.open)
            or (token.type == "SKILL" and before.type == "USE")
        )
        if allowed and not defined and not named:
            return token
        message = f"'{token.text}' is a reserved word and cannot be a name"
        self._report(Diagnostic("GP122", message, token.span))
        return Lexeme("NAME", token.text, token.start, token.end)

    def _expression_hole(self, token: Lexeme) -> Lexeme:
        fix = Fix("write '?'", (Edit(token.span, "?"),))
        message = "'...' stands for statements; the hole of an expression is written '?'"
        self._report(Diagnostic("GP604", message, token.span, fix=fix))
        return Lexeme("QMARK", "?", token.start, token.end)

    def _equal(self, at: int) -> Lexeme:
        token, before = self.piece[at], self.piece[at - 1]
        statement = self.piece[0].type
        named = self.open and self.open[-1].type == "LPAR" and (statement != "PROGRAM" or len(self.open) > 1)
        if before.type != "NAME" or not (named or statement == "RENDER"):
            return token
        after = self.piece[at + 1].start if at + 1 < len(self.piece) else token.end
        sign = ":" if after > token.end else ": "
        fix = Fix("write ':'", (Edit(Span(before.end, token.end), sign),))
        message = f"a named argument is written with ':', not with '=': {before.text}: …"
        self._report(Diagnostic("GP120", message, token.span, fix=fix))
        return Lexeme("COLON", ":", token.start, token.end)

    def _closer(self, token: Lexeme) -> Lexeme | None:
        if not self.open:
            if not self.echo and not self.unbalanced:
                message = f"this '{token.text}' closes no bracket"
                self._report(Diagnostic("GP101", message, token.span))
            self.unbalanced = True
            return None
        opener = self.open.pop()
        kind, closer = _CLOSES[opener.type]
        if kind == token.type:
            return token
        if not self.echo:
            related = (Related(f"this '{token.text}' stands where '{closer}' is needed", token.span),)
            message = f"this '{opener.text}' is not closed by '{closer}'"
            self._report(Diagnostic("GP113", message, opener.span, related=related))
        self.unbalanced = True
        return Lexeme(kind, closer, token.start, token.end)

    def _close(self) -> None:
        if not self.open:
            return
        opener = self.open[-1]
        if not self.echo:
            message = f"this '{opener.text}' is never closed"
            self._report(Diagnostic("GP113", message, opener.span))
        self.unbalanced = True
        end = self.piece[-1].end
        for bracket in reversed(self.open):
            kind, closer = _CLOSES[bracket.type]
            self.tokens.append(Lexeme(kind, closer, end, end))
