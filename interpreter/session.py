"""A program that grows one statement at a time, each executed as it comes: how a policy acts.

    session = machine.session(environment, {"title": "PARIS"})
    seen = await session.step('let towers = image_search("Eiffel Tower at dusk", top_k: 3)')
    seen.value, seen.diagnostics
    run = await session.finish()

What goes wrong in a step is an observation and not an exception: the policy reads it and tries something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from genevolve.grammar.checker import Scope, check
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.errors import ProgramError, RunError
from genevolve.grammar.formatter import format_statement, format_tree
from genevolve.grammar.holes import hole_diagnostics
from genevolve.grammar.parser import Parsed, parse, parse_statement
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Let, ProgramHeader, Ref, Statement, Tree, Use
from genevolve.interpreter.budget import BudgetSpent
from genevolve.interpreter.execution import Execution
from genevolve.interpreter.plan import Plan, Planner
from genevolve.interpreter.record import RunRecord
from genevolve.interpreter.run import Run
from genevolve.interpreter.start import Start, bind_parameters, check_tools
from genevolve.interpreter.trace import TraceWriter
from genevolve.interpreter.values import Value, to_json

if TYPE_CHECKING:
    from genevolve.interpreter.machine import Machine


@dataclass(frozen=True)
class Observation:
    """What one step showed.

    `ok` tells whether the statement is now part of the program. `value` is what a `let` or `ref` names, `guide` the
    text of a skill. `diagnostics` are warnings of an accepted statement, or what is wrong with a refused one; their
    spans are places in `source`. `notes` is what tools told besides their answers. `service` tells of a refused
    statement that a tool or a service is at fault and not the statement.
    """

    ok: bool
    source: Source
    statement: Statement | None = None
    value: Value | None = None
    guide: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    calls_left: int | None = None
    notes: tuple[str, ...] = ()
    service: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data: what a policy is shown."""
        return {
            "ok": self.ok,
            "value": None if self.value is None else to_json(self.value),
            "guide": self.guide,
            "diagnostics": [
                {
                    "code": d.code,
                    "message": d.message,
                    "where": self.source.where(d.span),
                    "notes": list(d.notes),
                }
                for d in self.diagnostics
            ],
            "calls_left": self.calls_left,
            "notes": list(self.notes),
        }


Refuse: TypeAlias = Callable[[Mapping[str, Value]], Sequence[Diagnostic]]
"""What `Session.step` may be asked to look at besides."""


class Session:
    """A growing program and what its statements observed. Made by `Machine.session`.

    Steps are taken one after the other. The budget is the session's own: failed steps spend it too.
    """

    def __init__(self, machine: Machine, execution: Execution, parameters: dict[str, object]) -> None:
        self._machine = machine
        self._execution = execution
        self._parameters = parameters
        self._given: frozenset[str] = frozenset()
        self._planner = Planner(execution.environment)
        self._statements: tuple[Statement, ...] = ()
        self._scope = Scope.root(execution.environment)
        self._stepping = False
        self.comments: tuple[str, ...] = ()
        """Comments after the last statement; they only belong to the text."""

    @property
    def scope(self) -> Scope:
        """What the next statement may use."""
        return self._scope

    @property
    def tree(self) -> Tree:
        """The program so far."""
        return Tree(self._statements, self.comments)

    @property
    def text(self) -> str:
        """The program so far, formatted."""
        return format_tree(self.tree)

    @property
    def values(self) -> Mapping[str, Value]:
        """What the names of the program so far stand for."""
        return dict(self._execution.frame.values)

    @property
    def calls_left(self) -> int | None:
        """Calls that may still be made; None when they are not limited."""
        limit = self._execution.ledger.budget.calls
        return None if limit is None else max(0, limit - self._execution.ledger.calls)

    async def step(self, statement: Statement | str, *, refuse: Refuse | None = None) -> Observation:
        """Check one statement, execute its calls, and make it part of the program if nothing is wrong.

        Args:
            statement: The statement, or its text.
            refuse: Looks at what all names stand for after the statement, and says what is wrong with that; what it
                finds refuses the statement, whose calls were spent.

        Raises only `ConfigurationError` (the machine lacks a tool) and cancellation.
        """
        if self._stepping:
            raise RuntimeError("a session takes one step at a time; fork it to go two ways")
        self._stepping = True
        try:
            return await self._step(statement, refuse)
        finally:
            self._stepping = False

    async def _step(self, given: Statement | str, refuse: Refuse | None) -> Observation:
        source, statement, found = _read(given)
        if statement is None:
            return self._refused(source, None, found)
        extension = self._scope.extend(statement)
        found += extension.diagnostics
        found += hole_diagnostics(Tree((statement,)), self._execution.environment)
        if any(d.is_error for d in found):
            return self._refused(source, statement, found)
        planner = self._planner.fork()
        nodes = planner.add(statement)
        check_tools(nodes, self._execution.around.tools, self._execution.around.skills)
        frame = self._execution.frame
        before, told = frame.fork(), len(self._execution.notes)
        self._execution.look_at(source, (*self._statements, statement))
        try:
            if isinstance(statement, ProgramHeader):
                self._bind(source, statement)
            # A call that was made before costs a call all the same, as it does in a whole program.
            repeated = planner.cost - self._planner.cost - sum(n.cost for n in nodes)
            self._execution.ledger.check_time()
            self._execution.ledger.spend_calls(repeated)
            await self._execution.perform(nodes)
            wrong = tuple(refuse(self._execution.frame.values)) if refuse is not None else ()
            if wrong:
                self._execution.frame = before
                return self._refused(source, statement, (*found, *wrong))
        except BudgetSpent as error:
            self._execution.frame = before
            spent = Diagnostic("GP523", str(error), statement.span)
            return self._refused(source, statement, (*found, spent))
        except ProgramError as error:
            self._execution.frame = before
            refused = self._refused(source, statement, (*found, *error.findings.diagnostics))
            return replace(refused, service=isinstance(error, RunError) and error.service)
        except asyncio.CancelledError:
            self._execution.frame = before
            raise
        finally:
            await self._execution.close()
        self._planner, self._scope = planner, extension.scope
        self._statements = (*self._statements, statement)
        return self._accepted(source, statement, found, tuple(self._execution.notes[told:]))

    async def finish(self, *, render: bool = False, record: Path | None = None) -> Run:
        """Z of the program so far, as running it as a whole would give it; with `render`, the picture too.

        The session may go on afterwards. Raises `ProgramError` when the program is not complete, and what
        `Machine.run` raises for the rest.
        """
        machine, checked = (
            self._machine,
            check(parse(Source(self.text, "<session>")), self._execution.environment),
        )
        if not checked.ok:
            raise ProgramError(checked.findings)
        kept = None if record is None else RunRecord.create(record, checked.source.text)
        past = self._execution.trace
        trace = TraceWriter(
            None if kept is None else kept.trace_path,
            redactor=past.redactor,
            listener=past.listener,
            started=past.started,
        )
        execution = self._execution.fork(trace)
        execution.look_at(checked.source, checked.tree.statements)
        values = {n: v for n, v in execution.frame.values.items() if n in self._given}
        start = Start(Plan(checked.source, tuple(self._planner.nodes)), values, execution.paths)
        async with machine.closing(execution, kept, checked.source.text):
            machine.announce(trace, execution.environment, start)
            machine.announce_program(execution, checked.tree)
            trace.adopt(past.events)
            return await machine.finish(execution, checked.tree, machine.renderer if render else None, kept)

    def fork(self) -> Session:
        """A session with the same program that goes its own way; nothing is executed again."""
        past = self._execution.trace
        trace = TraceWriter(redactor=past.redactor, listener=past.listener, started=past.started)
        trace.adopt(past.events)
        copy = Session(self._machine, self._execution.fork(trace), self._parameters)
        copy._planner, copy._scope, copy._statements = self._planner, self._scope, self._statements
        copy._given, copy.comments = self._given, self.comments
        return copy

    def _bind(self, source: Source, header: ProgramHeader) -> None:
        checked = check(Parsed(source, Tree((header,), span=header.span)), self._execution.environment)
        values, paths = bind_parameters(checked, self._parameters)
        self._execution.frame.values.update(values)
        self._execution.paths.update(paths)
        self._given = frozenset(values)

    def _accepted(
        self, source: Source, statement: Statement, found: tuple[Diagnostic, ...], notes: tuple[str, ...]
    ) -> Observation:
        value, guide = None, None
        if isinstance(statement, Let | Ref):
            value = self._execution.frame.values[statement.name]
        elif isinstance(statement, Use) and isinstance(statement.skill, str):
            guide = self._execution.around.skills[statement.skill].guide
        return Observation(True, source, statement, value, guide, found, self.calls_left, notes)

    def _refused(
        self, source: Source, statement: Statement | None, found: tuple[Diagnostic, ...]
    ) -> Observation:
        return Observation(False, source, statement, diagnostics=found, calls_left=self.calls_left)


def _read(given: Statement | str) -> tuple[Source, Statement | None, tuple[Diagnostic, ...]]:
    """A statement with the source that its spans point into."""
    source = Source(given if isinstance(given, str) else format_statement(given), "<statement>")
    statement, found = parse_statement(source.text)
    if statement is not None and not isinstance(given, str) and given.trivia.blank_before:
        # The blank line before a statement is not in its own text.
        statement = replace(statement, trivia=replace(statement.trivia, blank_before=True))
    return source, statement, found
