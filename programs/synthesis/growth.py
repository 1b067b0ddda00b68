"""A sketch being filled: what stands so far, the next hole, and what may be written there.

The author's statements are executed as they are written; a policy's are let in one at a time. A statement is let in
when it is right by itself, when what the author wrote after it stays right, and when the author's own calls can still
be paid for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace

from genevolve.grammar.checker import check
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.elaborate import evaluate
from genevolve.grammar.errors import AuthorError, ProgramError
from genevolve.grammar.formatter import format_statement, format_tree
from genevolve.grammar.parameters import check_parameters
from genevolve.grammar.parser import parse
from genevolve.grammar.scope import Scope
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import (
    Index,
    Let,
    Name,
    Number,
    Prompt,
    Ref,
    Render,
    Request,
    Statement,
    StatementHole,
    Tree,
    Trivia,
)
from genevolve.grammar.types import Environment
from genevolve.interpreter.session import Observation, Refuse, Session
from genevolve.interpreter.values import Images, Value
from genevolve.programs.policies.observation import COMPACT, diagnostics
from genevolve.programs.policies.protocol import Reach
from genevolve.programs.policies.quoting import one_line
from genevolve.programs.program import Program
from genevolve.programs.synthesis.merge import Mismatch, filled_in, has_holes

_SHOWN = 160


@dataclass(frozen=True)
class Sketch:
    """A program to be filled, checked, and the environment that it is checked against."""

    program: Program
    environment: Environment

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What the author wrote."""
        return self.program.tree.statements

    @classmethod
    def of(cls, program: Program, environment: Environment, parameters: dict[str, object]) -> Sketch:
        """The sketch of a program that may be filled with these parameters.

        Raises:
            ProgramError: It has errors besides its holes, or a parameter is wrong or missing.
            AuthorError: It has no request: a policy answers one, and makes none up.
        """
        findings = program.check(environment)
        if not findings.ok:
            raise ProgramError(findings)
        bound = check_parameters(program.checked(environment), parameters)
        if not bound.ok:
            raise ProgramError.at(findings.source, *bound.diagnostics)
        if not any(isinstance(s, Request) for s in program.tree.statements):
            raise AuthorError('the sketch has no request; write what is asked for: request "…"')
        return cls(program, environment)


class AuthorFailed(Exception):
    """A statement of the author's could not be executed; `str(error)` says which and why.

    `service` tells that a tool or a service is at fault and not the program.
    """

    def __init__(self, reason: str, *, service: bool = False) -> None:
        super().__init__(reason)
        self.service = service


class Refused(Exception):
    """A statement of the policy's is not let in.

    Attributes:
        observation: Of the step, when it came to one.
        budget: Whether it is for want of calls.
    """

    def __init__(self, reason: str, observation: Observation | None = None, *, budget: bool = False) -> None:
        super().__init__(reason)
        self.observation = observation
        self.budget = budget


class Growth:
    """See the module. Not to be shared: `fork` it to go several ways."""

    def __init__(self, sketch: Sketch, session: Session) -> None:
        self.sketch = sketch
        self.session = session
        self.position = 0
        self._written: list[Statement] = []
        self._seen: list[Observation] = []
        # Comments that stand before whatever is written next.
        self._comments: list[str] = []
        self._blank = False

    def fork(self) -> Growth:
        """The same program so far, going its own way; nothing is executed again."""
        copy = Growth(self.sketch, self.session.fork())
        copy.position = self.position
        copy._written, copy._seen = list(self._written), list(self._seen)
        copy._comments, copy._blank = list(self._comments), self._blank
        return copy

    # ---- where it stands ----

    @property
    def hole(self) -> Statement | None:
        """The author's statement that is or has the next hole; None when nothing is left to fill."""
        statements = self.sketch.statements
        return statements[self.position] if self.position < len(statements) else None

    @property
    def follows(self) -> tuple[Statement, ...]:
        """The author's statements after the hole."""
        return self.sketch.statements[self.position + 1 :]

    @property
    def holes_after(self) -> int:
        """How many statements with holes come after this one."""
        return sum(has_holes(s) for s in self.follows)

    @property
    def spare_calls(self) -> int:
        """Calls that the policy may spend: those that are left, less what the author's statements will take."""
        left = self.session.scope.calls_left
        if self.session.calls_left is not None:  # failed calls were spent as well
            left = min(left, self.session.calls_left)
        return left - _cost(self.session.scope, (*self._own, *self.follows))

    @property
    def own_calls(self) -> int:
        """What the author's statement that is being filled spends itself."""
        return _cost(self.session.scope, self._own)

    @property
    def _own(self) -> tuple[Statement, ...]:
        hole = self.hole
        return () if hole is None or isinstance(hole, StatementHole) else (hole,)

    @property
    def request(self) -> str:
        """What is asked for, parameters inserted; empty while it is not known."""
        asked = next((s for s in self._written if isinstance(s, Request)), None)
        if asked is None:
            return ""
        try:
            return str(evaluate(asked.text, self.session.values))
        except ProgramError:  # a hole, or a name that comes later
            return ""

    @property
    def text(self) -> str:
        """The program so far."""
        return format_tree(Tree(tuple(self._written), tuple(self._comments)))

    def seen(self) -> tuple[Observation, ...]:
        """What the author's statements showed since this was last asked."""
        seen, self._seen = self._seen, []
        return tuple(seen)

    def reach(self, *, may_call: bool) -> Reach:
        """What the next turn may say."""
        hole, follows = self.hole, self.follows
        scope = self.session.scope
        return Reach(
            scope,
            images={n: len(v.items) for n, v in self.session.values.items() if isinstance(v, Images)},
            statement=None if isinstance(hole, StatementHole) else hole,
            may_call=may_call,
            may_end=scope.has_prompt or any(isinstance(s, Prompt | StatementHole) for s in follows),
            follows=follows,
            avoid_names=frozenset(s.name for s in follows if isinstance(s, Let | Ref)),
            request=self.request,
        )

    # ---- growing ----

    async def go_on(self) -> None:
        """Execute the author's statements up to the next hole, or to the end.

        Raises:
            AuthorFailed: One of them failed.
        """
        while (statement := self.hole) is not None and not has_holes(statement):
            statement = self._commented(statement)
            seen = await self.session.step(statement)
            self._seen.append(seen)
            if not seen.ok:
                why = "; ".join(one_line(d.message, 300) for d in seen.diagnostics if d.is_error)
                raise AuthorFailed(f"'{shown(statement)}' could not be executed: {why}", service=seen.service)
            self._put(statement)
            self.position += 1
        if isinstance(statement, StatementHole):
            trivia = statement.trivia
            self._comments += (*trivia.leading, *((trivia.trailing,) if trivia.trailing is not None else ()))
            self._blank = trivia.blank_before

    async def take(self, statement: Statement, *, may_call: bool) -> tuple[Observation, bool]:
        """Let in a statement of the policy's: one more for `...`, or the one that has holes, filled.

        Returns:
            What it showed, and whether it called.

        Raises:
            Refused: It is not let in; the reason is told in full sentences. Nothing has changed but the budget.
        """
        hole = self.hole
        assert hole is not None
        own: tuple[Statement, ...] = ()
        if not isinstance(hole, StatementHole):
            try:
                statement, own = filled_in(hole, statement), (hole,)
            except Mismatch as error:
                raise Refused(f"Refused: {shown(statement)}\n{error}") from error
        before = self.session.scope
        extension = before.extend(statement)
        cost = extension.scope.calls_spent - before.calls_spent
        twice = tuple(d for d in extension.diagnostics if d.code == "GP206")
        if twice:
            raise Refused(refusal(Source(format_statement(statement)), twice, shown(statement)))
        if extension.ok and not has_holes(statement):
            self._check_calls(statement, cost, _cost(before, own), may_call=may_call)
            broken = self._broken(extension.scope)
            if not isinstance(statement, Render):  # after it nothing can be put right any more
                broken -= self._broken(before, own)
            if broken:
                reasons = "\n".join(f"| {reason}" for reason in sorted(broken))
                raise Refused(
                    f"Refused: {shown(statement)}\nThe program could not go on after it:\n{reasons}"
                )
        statement = self._commented(statement)
        seen = await self.session.step(statement, refuse=self._too_few(statement))
        if not seen.ok:
            budget = any(d.code in ("GP501", "GP523") for d in seen.diagnostics)
            raise Refused(refusal(seen.source, seen.diagnostics, shown(statement)), seen, budget=budget)
        self._put(statement)
        return seen, cost > 0

    def remark(self, comments: Sequence[str]) -> None:
        """Keep comments that stand for themselves: before whatever is written next."""
        self._comments += comments

    def missing(self) -> tuple[str, ...]:
        """What would be wrong if a `...` ended here, in sentences."""
        return tuple(sorted(self._broken(self.session.scope)))

    def close(self) -> None:
        """The hole is filled; what comes next is the author's."""
        self.position += 1
        self._blank = False

    def finished(self) -> Program:
        """The filled program, formatted.

        Raises:
            AuthorFailed: It does not check as a whole (it grew too large).
        """
        comments = (*self._comments, *self.sketch.program.tree.comments)
        text = format_tree(Tree(tuple(self._written), comments))
        self.session.comments = comments
        name = self.sketch.program.name or "filled"
        checked = check(parse(Source(text, f"{name}.gprog")), self.sketch.environment)
        if not checked.ok:
            raise AuthorFailed("; ".join(d.message for d in checked.diagnostics if d.is_error))
        return Program(checked.source)

    # ---- inside ----

    def _commented(self, statement: Statement) -> Statement:
        """The statement with the comments that wait for it."""
        if not (self._comments or self._blank):
            return statement
        trivia = statement.trivia
        leading = (*self._comments, *trivia.leading)
        return replace(
            statement,
            trivia=Trivia(
                leading=leading, trailing=trivia.trailing, blank_before=trivia.blank_before or self._blank
            ),
        )

    def _put(self, statement: Statement) -> None:
        self._written.append(statement)
        self._comments, self._blank = [], False

    def _check_calls(self, statement: Statement, cost: int, own: int, *, may_call: bool) -> None:
        extra = cost - own
        if extra <= 0:
            return
        what = f"Refused: {shown(statement)}\n"
        if not may_call:
            raise Refused(f"{what}No call is possible any more; write what is left without one.", budget=True)
        if extra > self.spare_calls:
            left = max(0, self.spare_calls)
            raise Refused(
                f"{what}It takes {extra} more calls, and {left} are left: the author's statements need the others.",
                budget=True,
            )

    def _too_few(self, statement: Statement) -> Refuse | None:
        """Refuses a search that found fewer pictures than the author's statements take of it."""
        if not isinstance(statement, Let):
            return None
        name = statement.name
        takers = [(needed(s, name), s) for s in self.follows]
        count, taker = max(takers, key=lambda t: t[0], default=(0, statement))

        def refuse(values: Mapping[str, Value]) -> tuple[Diagnostic, ...]:
            found = values.get(name)
            if not isinstance(found, Images) or len(found.items) >= count:
                return ()
            message = f"{len(found.items)} pictures were found, and '{shown(taker)}' takes number {count - 1}"
            note = "pictures count from 0; ask for something that more of them show"
            return (Diagnostic("GP522", message, Span(0, 0), (note,)),)

        return refuse if count else None

    def _broken(self, scope: Scope, own: tuple[Statement, ...] = ()) -> set[str]:
        """The errors that the rest of the sketch has after this scope, in sentences."""
        broken: set[str] = set()
        for statement in (*own, *self.follows):
            extension = scope.extend(statement)
            where = f" (in: {shown(statement)})"
            broken.update(_sentence(d) + where for d in extension.diagnostics if _stops(d))
            scope = extension.scope
        broken.update(_sentence(d) for d in scope.finish() if d.is_error)
        return broken


def needed(node: object, name: str) -> int:
    """How many pictures of a list a statement takes: `towers[2]` takes three, `towers[?]` and `pick(towers, …)` one."""
    if isinstance(node, Index) and node.operand == Name(name):
        value = node.index.value if isinstance(node.index, Number) else 0
        return int(value) + 1
    if node == Name(name):
        return 1
    if isinstance(node, tuple):
        return max((needed(part, name) for part in node), default=0)
    if is_dataclass(node) and not isinstance(node, type):
        return max((needed(getattr(node, f.name), name) for f in fields(node) if f.compare), default=0)
    return 0


def _stops(diagnostic: Diagnostic) -> bool:
    """Whether a policy's statement may not cause this: errors, and a skill that is paid for twice."""
    return diagnostic.is_error or diagnostic.code == "GP206"


def _sentence(diagnostic: Diagnostic) -> str:
    return f"{diagnostic.code}: {one_line(diagnostic.message, 240)}"


def _cost(scope: Scope, statements: Sequence[Statement]) -> int:
    """What statements will spend."""
    spent = scope.calls_spent
    for statement in statements:
        scope = scope.extend(statement).scope
    return scope.calls_spent - spent


def shown(statement: Statement) -> str:
    """A statement on one line, for messages."""
    return one_line(format_statement(replace(statement, trivia=Trivia())), _SHOWN)


def refusal(source: Source, found: Sequence[Diagnostic], what: str) -> str:
    """Why a statement, or a text that is none, is refused: what it was, and each finding with its place."""
    errors = tuple(d for d in found if d.is_error) or tuple(found)
    return "\n".join((f"Refused: {what}", *diagnostics(source, errors, limits=replace(COMPACT, line=240))))
