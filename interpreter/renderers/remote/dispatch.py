"""Which of several servers draws: the least busy one that is well.

A server that fails rests for a growing while, is then asked whether it is well, and comes back. What it was asked for
goes to another one. A server that says when to return (`Retry-After`) is left alone until then. One `Dispatcher` serves
all threads and event loops of a process.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx2

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.net.client import ApiClient, StatusError
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.retry import RetryPolicy

T = TypeVar("T")

HEALTH_PATHS = ("/healthz", "/health")
_HEALTH_SECONDS = 3.0
_EXAMINATION_SECONDS = 10.0
_WELL_FOR = 30.0
"""Seconds for which a server that was well is taken to be well."""
_FIRST_REST, _LONGEST_REST = 1.0, 60.0
"""Seconds that a server is left out after its first failure, and at most."""
_SHORTEST_PAUSE = 0.1
_MAX_RESPONSE = 96 * 1024 * 1024
_MISPLACED = frozenset({401, 403, 404, 405, 410, 421, 501})
"""Statuses by which a server says that it is not the right one; another one may be."""


@dataclass(eq=False)
class Server:
    """One endpoint and how it fares. Times are on the dispatcher's clock.

    After a failure a server rests, and is asked nevertheless when all of them rest; before `returns_at`, which it told
    itself, it is never asked.
    """

    client: ApiClient
    url: str
    busy: int = 0
    failures: int = 0
    rests_until: float = float("-inf")
    returns_at: float = float("-inf")
    seen_well: float = float("-inf")
    turn: int = 0

    @classmethod
    def open(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: frozenset[str] = frozenset(),
        seconds: float = 600.0,
    ) -> Server:
        """A server at an address. Raises `ConfigurationError` when it is no http(s) address, or holds a password."""
        address = url.strip().rstrip("/")
        try:
            user = httpx2.URL(address).userinfo
        except (httpx2.InvalidURL, ValueError, TypeError):
            user = b""  # the client says what is wrong
        if user:
            raise ConfigurationError(
                "the address of a renderer holds a password; keys belong in the environment"
            )
        once = RetryPolicy(attempts=1)
        client = ApiClient(
            address,
            headers=headers or {},
            secrets=secrets,
            seconds=seconds,
            max_response=_MAX_RESPONSE,
            retry=once,
        )
        return cls(client, address)

    @property
    def place(self) -> str:
        """Host and port: what a rate is kept for."""
        return httpx2.URL(self.url).netloc.decode()


@dataclass
class Dispatcher:
    """Sends requests to the least busy of its servers.

    Attributes:
        servers: at least one.
        limiter: requests a minute to one host and port.
        retry: how often a request is tried again when no other server can take it over.
        health: paths that tell whether a server is well; one that has none of them counts as well. Not asked when there
            is only one server.
        redactor: masks keys in what services say.
    """

    servers: Sequence[Server]
    limiter: RateLimiter | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    health: Sequence[str] = HEALTH_PATHS
    redactor: Redactor = field(default_factory=Redactor, repr=False)
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        if not self.servers:
            raise ConfigurationError("a remote renderer needs the address of a server")
        self._lock = threading.Lock()
        self._turns = 0

    async def send(self, ask: Callable[[Server], Awaitable[T]], seconds: float) -> T:
        """Have one server do `ask`, another one if it fails; all together at most `seconds`. Raises `ServiceError`."""
        last: ServiceError | None = None
        try:
            async with asyncio.timeout(seconds) as timer:
                task = _Task(set(), self.clock() + seconds)
                while True:
                    server = None
                    try:
                        server = await self._choose(task)
                        return await self._ask(server, ask)
                    except ServiceError as error:
                        error.args = (self.redactor.text(str(error)),)
                        last = error
                        pause = self._pause(task, server, error)
                        if pause is None:
                            raise
                    await asyncio.sleep(pause)
        except TimeoutError:
            if not timer.expired():
                raise
            before = f" (before that: {last})" if last is not None else ""
            names = ", ".join(s.url for s in self.servers)
            message = f"{names}: no picture within {seconds:.3g} s{before}"
            raise ServiceError(message, retryable=True) from None

    async def examine(self, path: str | None = None) -> dict[str, str | None]:
        """What is wrong with each server, by its address; None where nothing is. Nothing is drawn.

        Args:
            path: must be there and let us in; without one the servers' health is asked.
        """

        async def one(server: Server) -> str | None:
            if path is None:
                return await self._examine(server)
            try:
                await server.client.get_bytes(path, seconds=_EXAMINATION_SECONDS)
            except ServiceError as error:
                return self.redactor.text(str(error))
            return None

        found = await asyncio.gather(*(one(server) for server in self.servers))
        return {server.url: problem for server, problem in zip(self.servers, found, strict=True)}

    async def _choose(self, task: _Task) -> Server:
        """The least busy server that is well, counted as busy from here on. Raises `ServiceError` when none is."""
        tried: dict[Server, str] = {}
        while True:
            server = self._least_busy(task.barred | tried.keys())
            if server is None:
                raise self._nobody(task, tried)
            try:
                problem = None if self._known_well(server) else await self._examine(server)
            except BaseException:
                self._release(server)
                raise
            if problem is None:
                return server
            self._release(server)
            self._rest(server)
            tried[server] = problem

    def _least_busy(self, without: set[Server]) -> Server | None:
        with self._lock:
            now = self.clock()
            usable = [s for s in self.servers if s not in without and s.returns_at <= now]
            if not usable:
                return None
            # When all of them rest, the one that is next to come back is asked nevertheless.
            ready = [s for s in usable if s.rests_until <= now] or [min(usable, key=lambda s: s.rests_until)]
            server = min(ready, key=lambda s: (s.busy, s.turn))
            self._turns += 1
            server.turn = self._turns
            server.busy += 1
            return server

    def _nobody(self, task: _Task, tried: Mapping[Server, str]) -> ServiceError:
        with self._lock:
            now = self.clock()
            waits = [s.returns_at - now for s in self.servers if s not in task.barred and s.returns_at > now]
        told = [*tried.values(), *([f"{len(waits)} asked to be left alone for now"] if waits else [])]
        message = f"no server of the renderer can draw: {'; '.join(told)}"
        return ServiceError(message, retryable=True, retry_after=min(waits) if waits else None)

    def _known_well(self, server: Server) -> bool:
        return len(self.servers) == 1 or self.clock() - server.seen_well < _WELL_FOR

    async def _examine(self, server: Server) -> str | None:
        """What is wrong with a server; None when nothing is."""
        for path in self.health:
            try:
                await server.client.get_bytes(path, seconds=_HEALTH_SECONDS)
            except StatusError as error:
                if error.status in _MISPLACED:  # it has no such path, or keeps it to itself
                    continue
                return str(error)
            except ServiceError as error:
                return str(error)
            break
        with self._lock:
            server.seen_well = self.clock()
        return None

    async def _ask(self, server: Server, ask: Callable[[Server], Awaitable[T]]) -> T:
        try:
            if self.limiter is not None:
                await self.limiter.wait(server.place)
            answer = await ask(server)
            with self._lock:
                server.failures, server.rests_until, server.seen_well = 0, float("-inf"), self.clock()
            return answer
        finally:
            self._release(server)

    def _release(self, server: Server) -> None:
        with self._lock:
            server.busy -= 1

    def _rest(self, server: Server) -> None:
        """Leave a server out for a time that doubles with each failure."""
        with self._lock:
            server.failures += 1
            seconds = min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(server.failures - 1, 10))
            server.rests_until = self.clock() + seconds
            server.seen_well = float("-inf")

    def _pause(self, task: _Task, server: Server | None, error: ServiceError) -> float | None:
        """Seconds until the next try, or None when there is to be none."""
        told_to_wait = error.retryable and error.retry_after is not None
        if not told_to_wait:
            task.attempts += 1
        if server is not None:
            self._judge(task, server, error)
        left = [s for s in self.servers if s not in task.barred]
        if not left or not (error.retryable or server in task.barred):
            return None
        with self._lock:
            now = self.clock()
            another = any(s is not server and max(s.rests_until, s.returns_at) <= now for s in left)
        if another and task.attempts < self.retry.attempts + len(self.servers):
            return 0.0
        remaining = task.deadline - now
        if told_to_wait:
            # A server that says when to come back is not failing: this does not use up the attempts.
            pause = max(error.retry_after or 0.0, self.rng.uniform(_SHORTEST_PAUSE, 5 * _SHORTEST_PAUSE))
            return pause if pause < remaining else None
        again = ServiceError(str(error), retryable=True)
        return self.retry.pause(again, task.attempts, remaining, self.rng)

    def _judge(self, task: _Task, server: Server, error: ServiceError) -> None:
        """What a failure says about the server."""
        if error.retryable and error.retry_after is not None:
            with self._lock:
                server.returns_at = self.clock() + error.retry_after
        elif error.retryable:
            self._rest(server)
        elif not isinstance(error, StatusError) or error.status in _MISPLACED or error.status < 400:
            # What it answered is of no use, and asking it again would not help; another one may do better.
            task.barred.add(server)
            self._rest(server)


@dataclass
class _Task:
    """A request on its way: servers that will not do for it, when it must be done, failures so far."""

    barred: set[Server]
    deadline: float
    attempts: int = 0
