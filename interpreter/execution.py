"""Executes the nodes of a plan for one run or one session, and writes down what happened.

What can go wrong in a node leaves here as a `RunError` that points into the program; nothing else but cancellation
does.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from genevolve.grammar.errors import RunError
from genevolve.grammar.formatter import format_statement
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import PLAIN, Call, Statement
from genevolve.grammar.types import Environment
from genevolve.interpreter.budget import BudgetSpent, Ledger
from genevolve.interpreter.cache import arguments_json
from genevolve.interpreter.calls import Answer, Caller, CallFailed, Request, Surroundings
from genevolve.interpreter.evaluate import Arguments, Frame, arguments, evaluate, failed
from genevolve.interpreter.plan import Node
from genevolve.interpreter.protocols import Tool
from genevolve.interpreter.trace import TraceWriter
from genevolve.interpreter.values import ImageHandle, Value, to_json
from genevolve.interpreter.workers import Workers

_GRACE = 1.0
"""Seconds that threads are given to end after they were told to stop."""


class Execution:
    """One run or session in progress: what is known, what was spent, what happened."""

    def __init__(
        self,
        surroundings: Surroundings,
        environment: Environment,
        source: Source,
        ledger: Ledger,
        trace: TraceWriter,
    ) -> None:
        self.around = surroundings
        self.environment = environment
        self.source = source
        self.ledger = ledger
        self.trace = trace
        self.workers = Workers()
        self.caller = Caller(surroundings, ledger, self.workers)
        self.frame = Frame()
        self.paths: dict[str, str] = {}
        """Paths of the image parameters, by name."""
        self.notes: list[str] = []
        """What tools told besides their answers."""
        self._hashes: dict[int, str] = {}
        self._statements: Sequence[Statement] = ()

    def fork(self, trace: TraceWriter) -> Execution:
        """An execution that has done the same and goes its own way."""
        copy = Execution(self.around, self.environment, self.source, self.ledger.fork(), trace)
        copy.caller = self.caller.fork(copy.ledger, copy.workers)
        copy.frame = self.frame.fork()
        copy.paths, copy._statements = dict(self.paths), self._statements
        copy.notes = list(self.notes)
        return copy

    def look_at(self, source: Source, statements: Sequence[Statement]) -> None:
        """Say which statements the nodes to come belong to, and where they stand."""
        self.source, self._statements = source, statements
        self._hashes.clear()

    def check_calls(self, nodes: Iterable[Node]) -> None:
        """Raise `RunError` (GP523) at the first node that the call budget does not cover; spends nothing."""
        limit, spent = self.ledger.budget.calls, self.ledger.calls
        for node in sorted(nodes, key=lambda n: n.span):
            spent += node.cost
            if limit is not None and spent > limit:
                message = f"the run may make {limit} calls, and this one is beyond them"
                raise failed(self.source, "GP523", message, node.span)

    async def perform(self, nodes: Sequence[Node]) -> None:
        """Do the nodes, independent ones at the same time. Inputs that are not among them are done already.

        When one fails the others are cancelled; the error is the one that stands first in the program among those
        that had failed by then.
        """
        tasks: dict[int, asyncio.Task[None]] = {}
        errors: list[tuple[int, Exception]] = []

        async def work(node: Node) -> None:
            for i in node.inputs:
                if i in tasks:
                    await tasks[i]
            try:
                await self._node(node)
            except Exception as error:
                errors.append((node.index, error))
                raise

        for node in nodes:
            tasks[node.index] = asyncio.create_task(work(node))
        if not tasks:
            return
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        if errors:
            raise min(errors, key=lambda e: e[0])[1]

    async def close(self) -> None:
        """Wait for the threads, for a short while; one that does not listen is left behind as a daemon."""
        left = await self.workers.join(_GRACE)
        if left:
            self.trace.tell("threads_left", number=left)

    # ---- nodes -----------------------------------------------------------------------------------

    async def _node(self, node: Node) -> None:
        match node.kind:
            case "call":
                assert isinstance(node.expression, Call)
                self._spend(node)
                await self._call(node, node.expression)
            case "parameter":
                await self._open(node)
            case "let" | "ref":
                assert node.expression is not None
                value = evaluate(node.expression, self.frame, self.source)
                if node.kind == "ref" and not isinstance(value, ImageHandle):
                    raise failed(self.source, "GP406", f"'{node.name}' needs an image", node.expression.span)
                self.frame.values[node.name] = value
            case "skill":
                self._spend(node)
                guide = self.around.skills[node.name].guide
                self.trace.write(
                    "skill",
                    statement=node.statement,
                    statement_sha256=self.hash(node.statement),
                    skill=node.name,
                    guide_sha256=hashlib.sha256(guide.encode("utf-8", "surrogatepass")).hexdigest(),
                )

    async def _call(self, node: Node, call: Call) -> None:
        tool = self.around.tools[call.name]
        given = arguments(call, self.environment.signatures[call.name], self.frame, self.source)
        self.frame.calls[call] = await self._answer(node, tool, given)

    async def _open(self, node: Node) -> None:
        given = Arguments((self.paths[node.name],), {})
        self.frame.values[node.name] = await self._answer(node, self.around.tools["image"], given)

    async def _answer(self, node: Node, tool: Tool, given: Arguments) -> Value:
        """Call a tool for a node, and write the event. Raises `RunError` at the node's place."""
        began = time.monotonic()
        request: Request | None = None
        self.trace.tell(
            "call_started", statement=node.statement, tool=tool.signature.name, span=list(node.span)
        )
        outcome: dict[str, Any] = {"attempts": 0}
        try:
            request = await self.caller.request(tool, given)
            answer: Answer = await self.caller.answer(request)
            outcome = {
                "attempts": answer.attempts,
                "cache": answer.cache,
                "cached": answer.cache in ("hit", "shared"),
                "value": to_json(answer.value),
            }
            if answer.notes:
                outcome["notes"] = list(answer.notes)
                self.notes += answer.notes
            return answer.value
        except CallFailed as error:
            outcome = {"attempts": error.attempts, "error": _error_data(error)}
            raise failed(
                self.source, error.code, error.message, node.span, *error.notes, service=error.service
            ) from error
        except BudgetSpent as error:
            outcome["error"] = {"code": "GP523", "message": str(error)}
            raise self._spent(error, node.span) from error
        except asyncio.CancelledError:
            outcome["error"] = {"code": "cancelled", "message": "the run was stopped"}
            raise
        finally:
            self.trace.write(
                "call",
                statement=node.statement,
                statement_sha256=self.hash(node.statement),
                span=list(node.span),
                where=self.source.where(node.span),
                tool=tool.signature.name,
                version=None if request is None else request.version,
                key=None if request is None else request.key,
                arguments=arguments_json(given.args, given.named) if request is None else request.data,
                seconds=round(time.monotonic() - began, 6),
                **outcome,
            )

    def _spend(self, node: Node) -> None:
        try:
            self.ledger.spend_calls(node.cost)
        except BudgetSpent as error:
            raise self._spent(error, node.span) from error

    def _spent(self, error: BudgetSpent, span: Span) -> RunError:
        return failed(self.source, "GP523", str(error), span)

    def hash(self, statement: int) -> str:
        """The content hash of a statement, counted from 0."""
        if statement not in self._hashes:
            self._hashes[statement] = statement_hash(self._statements[statement])
        return self._hashes[statement]


def statement_hash(statement: Statement) -> str:
    """SHA-256 of a statement as the formatter writes it, without its comments: layout does not change it."""
    text = format_statement(replace(statement, trivia=PLAIN))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _error_data(error: CallFailed) -> dict[str, Any]:
    data: dict[str, Any] = {"code": error.code, "message": error.message, "type": error.kind}
    if error.traceback is not None:
        data["traceback"] = error.traceback
    return data
