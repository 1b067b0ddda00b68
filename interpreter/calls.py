"""One call of a tool: from the cache, from somebody who asks the same, or made for real with limits and retries.

This is the boundary to other people's code. Whatever a tool raises or returns leaves here as a checked value, as
`CallFailed`, as `BudgetSpent`, or as cancellation.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from genevolve.grammar.codes import CODES
from genevolve.grammar.errors import AuthorError, Cancelled, GenevolveError, ServiceError
from genevolve.interpreter.budget import Ledger
from genevolve.interpreter.cache import CallCache, arguments_json, call_key, canonical
from genevolve.interpreter.evaluate import Arguments, coerced, flaw
from genevolve.interpreter.flights import Flights
from genevolve.interpreter.protocols import CallContext, Skill, Tool
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.values import Value, to_json
from genevolve.interpreter.workers import Workers

_MAX_NOTES = 20


class Answer(NamedTuple):
    """What a call gave. `cache` is `off`, `miss`, `hit`, or `shared` with an equal call; `attempts` were made here.

    `notes` is what the tool told besides; what comes from the cache has none.
    """

    value: Value
    cache: Literal["off", "miss", "hit", "shared"]
    attempts: int
    notes: tuple[str, ...] = ()
    fleeting: bool = False


class CallFailed(Exception):
    """A call that gave no value, in the terms of a diagnostic."""

    def __init__(
        self,
        code: str,
        message: str,
        *notes: str,
        service: bool = True,
        attempts: int = 1,
        kind: str = "",
        trace: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.notes = notes
        self.service = service
        self.attempts = attempts
        self.kind = kind
        self.traceback = trace


@dataclass(frozen=True)
class Surroundings:
    """What all runs of a machine share."""

    tools: Mapping[str, Tool]
    skills: Mapping[str, Skill] = field(default_factory=dict)
    cache: CallCache | None = None
    redactor: Redactor = field(default_factory=Redactor)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    call_timeout: float = 60.0
    concurrency: int = 16
    verbose: bool = False
    rng: random.Random = field(default_factory=random.Random)
    flights: Flights[Answer] = field(default_factory=Flights)


class Request(NamedTuple):
    """A call with its identity."""

    tool: Tool
    arguments: Arguments
    data: Mapping[str, Any]
    version: str | None
    key: str


class Caller:
    """Makes the calls of one run: equal calls once, so many at a time as the machine allows."""

    def __init__(self, surroundings: Surroundings, ledger: Ledger, workers: Workers) -> None:
        self.ledger = ledger
        self._around = surroundings
        self._workers = workers
        self._answers: dict[str, Value] = {}
        self._versions: dict[str, str | None] = {}
        self._flights: Flights[Answer] = Flights(share_failures=True)
        self._version_flights: Flights[None] = Flights(share_failures=True)
        self._gate = asyncio.Semaphore(surroundings.concurrency)
        # The cache has one connection: more threads than this would only queue up at its lock.
        self._cache_gate = asyncio.Semaphore(2)

    def fork(self, ledger: Ledger, workers: Workers) -> Caller:
        """A caller that remembers the same answers and goes its own way."""
        copy = Caller(self._around, ledger, workers)
        copy._answers, copy._versions = dict(self._answers), dict(self._versions)
        return copy

    async def request(self, tool: Tool, arguments: Arguments) -> Request:
        """Name a call: its tool's version and its key. Raises `CallFailed` when the tool cannot tell its version."""
        name = tool.signature.name
        if name not in self._versions:
            await self._version_flights.join(name, lambda: self._find_version(tool))
        data = arguments_json(arguments.args, arguments.named)
        version = self._versions[name]
        return Request(tool, arguments, data, version, call_key(name, version, data))

    async def _find_version(self, tool: Tool) -> None:
        name = tool.signature.name
        if not isinstance(inspect.getattr_static(tool, "version", None), property):
            self._versions[name] = tool.version
            return
        try:
            # A library works out its version from its files: not on the loop.
            self._versions[name] = await self._workers.call(lambda: tool.version, name)
        except Exception as error:  # other people's code, as below
            raise self._translated(tool, error, 0) from error

    async def answer(self, request: Request) -> Answer:
        """The answer to a call. Raises `CallFailed`, `BudgetSpent` or `CancelledError`."""
        if request.key in self._answers:
            return Answer(self._answers[request.key], "shared", 0)
        answer, shared = await self._flights.join(request.key, lambda: self._find(request))
        if shared:
            return Answer(answer.value, "shared", 0)
        self.ledger.receive(len(canonical(to_json(answer.value))))
        self._answers[request.key] = answer.value
        return answer

    async def _find(self, request: Request) -> Answer:
        if request.version is None:
            return await self._made(request)
        answer, shared = await self._around.flights.join(request.key, lambda: self._cached(request))
        return Answer(answer.value, "shared", 0, answer.notes) if shared else answer

    async def _cached(self, request: Request) -> Answer:
        cache = self._around.cache
        if cache is None:
            return await self._made(request)
        kept = cache.get_now(request.key)
        if kept is None:
            async with self._cache_gate:
                kept = await self._workers.call(lambda: cache.get(request.key), "cache")
        if kept is not None and flaw(kept, request.tool.signature.returns) is None:
            return Answer(kept, "hit", 0)
        made = await self._made(request)
        if not made.fleeting:
            async with self._cache_gate:
                await self._workers.call(lambda: cache.put(request.key, made.value), "cache")
        return made._replace(cache="miss")

    # ---- for real --------------------------------------------------------------------------------

    async def _made(self, request: Request) -> Answer:
        """Call the tool, again where that can help; the value is checked."""
        signature, attempt = request.tool.signature, 0
        while True:
            attempt += 1
            self.ledger.check_time()
            self.ledger.spend_money(signature.price)
            try:
                async with self._gate:
                    given, context = await self._once(request, attempt)
                value = self._accepted(request.tool, given, attempt)
                scrub = self._around.redactor.text
                notes = tuple(scrub(" ".join(str(n).split()))[:1000] for n in context.notes[:_MAX_NOTES])
                return Answer(value, "off", attempt, notes, context.fleeting.is_set())
            except ServiceError as error:
                left = min(self._around.call_timeout, self.ledger.deadline - time.monotonic())
                pause = self._around.retry.pause(error, attempt, left, self._around.rng)
                if pause is None:
                    raise self._translated(request.tool, error, attempt) from error
                await asyncio.sleep(pause)

    async def _once(self, request: Request, attempt: int) -> tuple[object, CallContext]:
        self.ledger.check_time()  # it may have waited at the gate
        name = request.tool.signature.name
        now = time.monotonic()
        limit = min(self._around.call_timeout, self.ledger.deadline - now)
        context = CallContext(now + limit, threading.Event(), attempt)
        try:
            async with asyncio.timeout(None if limit == float("inf") else limit) as timer:
                return await self._invoke(request, context), context
        except ServiceError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self._translated(request.tool, error, attempt) from error
        # Other people's code: whatever it raises must end as a diagnostic and not as a traceback.
        except (Exception, SystemExit) as error:
            if isinstance(error, TimeoutError) and timer.expired():
                self.ledger.check_time()
                message = f"'{name}' took longer than {limit:.3g} seconds"
                raise CallFailed("GP521", message, attempts=attempt, kind="TimeoutError") from error
            raise self._translated(request.tool, error, attempt) from error
        finally:
            # After a timeout or a cancellation a thread may still be at it: this tells it to stop.
            context.cancelled.set()

    async def _invoke(self, request: Request, context: CallContext) -> object:
        tool, given = request.tool, request.arguments
        if is_async(tool):
            result: object = tool(context, *given.args, **given.named)
        else:
            result = await self._workers.call(
                lambda: tool(context, *given.args, **given.named), tool.signature.name
            )
        return await result if inspect.isawaitable(result) else result

    def _accepted(self, tool: Tool, value: object, attempt: int) -> Value:
        """The result, checked, scrubbed of secrets and as its declared type."""
        signature = tool.signature
        wrong = flaw(value, signature.returns)
        if wrong is not None:
            message = f"'{signature.name}' does not keep its promise: {wrong}"
            raise CallFailed("GP526", message, attempts=attempt, kind=type(value).__name__)
        return coerced(self._around.redactor.value(value), signature.returns)  # type: ignore[arg-type]  # `flaw` checked it

    def _translated(self, tool: Tool, error: BaseException, attempt: int) -> CallFailed:
        """Any error of a tool as `CallFailed`."""
        name, scrub = tool.signature.name, self._around.redactor.text
        said = scrub(" ".join(_message(error).split()))[:1000]
        told = traceback.format_exception(error) if self._around.verbose else None
        details: dict[str, Any] = {
            "attempts": attempt,
            "kind": type(error).__name__,
            "trace": None if told is None else scrub("".join(told)),
        }
        tries = () if attempt < 2 else (f"it was tried {attempt} times",)
        match error:
            case AuthorError(code=str() as code) if code in CODES:
                return CallFailed(code, said, *tries, service=False, **details)
            case AuthorError():
                return CallFailed("GP520", f"'{name}' failed: {said}", *tries, service=False, **details)
            case GenevolveError() if not isinstance(error, Cancelled):
                return CallFailed("GP520", f"'{name}' failed: {said}", *tries, **details)
        shown = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return CallFailed("GP520", f"'{name}' failed with {shown}", *tries, **details)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # other people's code: an error that cannot even be shown is told by its kind
        return ""


def is_async(tool: object) -> bool:
    """Whether calling gives a coroutine, so that the call belongs on the event loop and not in a thread."""
    if getattr(tool, "is_async", False) is True:
        return True
    if inspect.iscoroutinefunction(tool):
        return True
    return callable(tool) and inspect.iscoroutinefunction(type(tool).__call__)
