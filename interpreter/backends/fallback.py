"""Several backends in order: the next one answers when one cannot."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from genevolve.grammar.errors import ConfigurationError, OperatorError, ServiceError
from genevolve.interpreter.backends.protocol import SearchBackend
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images

T = TypeVar("T", Evidence, Images)


class FallbackBackend:
    """Asks its backends in order until one answers.

    That another one had to answer is told in a note, and such an answer is not cached. Finding nothing is an answer,
    unless `next_when_empty`: then the first backend that finds something counts, and nothing is found only if all that
    answered found nothing.

    Args:
        backends: at least one.
        next_when_empty: whether the next one is asked when one finds nothing.
        seconds: that one backend may take; those before the last leave time for the others.
    """

    def __init__(
        self, backends: Sequence[SearchBackend], *, next_when_empty: bool = False, seconds: float = math.inf
    ) -> None:
        if not backends:
            raise ConfigurationError("[search] backends: at least one is needed")
        self.backends = tuple(backends)
        self._next_when_empty = next_when_empty
        self._seconds = seconds

    @property
    def name(self) -> str:
        """All names, in order."""
        return ",".join(b.name for b in self.backends)

    @property
    def version(self) -> str | None:
        """Changes when one of them does; None when one of them has none."""
        versions = [b.version for b in self.backends]
        if any(v is None for v in versions):
            return None
        return "+".join(v for v in versions if v is not None)

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """Passages from the first backend that answers. Raises `ServiceError` with the reasons of all."""
        return await self._first(lambda b, c: b.search(queries, top_k, c), context, Evidence())

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """Pictures from the first backend that answers. Raises `ServiceError` with the reasons of all."""
        return await self._first(lambda b, c: b.image_search(query, top_k, c), context, Images())

    async def _first(
        self, ask: Callable[[SearchBackend, CallContext], Awaitable[T]], context: CallContext, nothing: T
    ) -> T:
        reasons: list[str] = []
        retryable = False
        empty: list[str] = []
        for index, backend in enumerate(self.backends):
            context.check()
            try:
                answer = await self._one(ask, backend, context, len(self.backends) - index)
            except OperatorError as error:
                reasons.append(_reason(backend, error))
                retryable |= isinstance(error, ServiceError) and error.retryable
                continue
            if answer == nothing and self._next_when_empty and index + 1 < len(self.backends):
                empty.append(backend.name)
                continue
            self._tell(context, backend, reasons, empty)
            return answer
        if empty:  # one has answered: there is nothing to be found
            self._tell(context, None, reasons, empty)
            return nothing
        raise ServiceError("; ".join(reasons), retryable=retryable)

    async def _one(
        self,
        ask: Callable[[SearchBackend, CallContext], Awaitable[T]],
        backend: SearchBackend,
        context: CallContext,
        left: int,
    ) -> T:
        """One backend, with its share of the time."""
        seconds = min(self._seconds, context.remaining() / left)
        own = context
        if math.isfinite(seconds):
            own = replace(context, deadline=min(context.deadline, time.monotonic() + seconds))
        try:
            async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
                return await ask(backend, own)
        except TimeoutError:
            raise ServiceError(f"no answer within {seconds:.3g} s", retryable=True) from None

    def _tell(
        self, context: CallContext, used: SearchBackend | None, reasons: list[str], empty: list[str]
    ) -> None:
        found = [f"{name} found nothing" for name in empty]
        if reasons or found:
            answered = f"{used.name} answered" if used is not None else "nothing was found"
            # What a backend that failed would have said may be known in an hour.
            context.note(f"{answered}; {'; '.join([*reasons, *found])}", fleeting=bool(reasons))


def _reason(backend: SearchBackend, error: OperatorError) -> str:
    said = str(error)
    return said if said.startswith(f"{backend.name}") else f"{backend.name}: {said}"
