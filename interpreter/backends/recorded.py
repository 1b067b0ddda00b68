"""Recording the answers of a backend, and giving them again without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from genevolve.grammar.errors import InternalError, ServiceError
from genevolve.interpreter.backends.bundle import Bundle, Call, Kept
from genevolve.interpreter.backends.protocol import SearchBackend
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images
from genevolve.interpreter.workers import Workers

T = TypeVar("T", Evidence, Images)


class RecordingBackend:
    """Keeps what another backend answers, and answers from what it has kept.

    So a bundle never holds two answers to one question, and a run that is recorded sees what its replay will see:
    pictures lie in the bundle. A failure is kept too, until the question is answered.
    """

    version = None

    def __init__(self, inner: SearchBackend, bundle: Bundle) -> None:
        self.inner = inner
        self.bundle = bundle

    @property
    def name(self) -> str:
        """The name of the backend that is recorded."""
        return self.inner.name

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """The kept answer, or that of the backend. Raises what the backend raises, and `StorageError`."""
        call = Call("search", tuple(queries), top_k)
        return await self._answer(call, context, lambda c: self.inner.search(queries, top_k, c), Evidence)

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """The kept answer, or that of the backend. Raises what the backend raises, and `StorageError`."""
        call = Call("image_search", (query,), top_k)
        return await self._answer(call, context, lambda c: self.inner.image_search(query, top_k, c), Images)

    async def _answer(
        self, call: Call, context: CallContext, ask: Callable[[CallContext], Awaitable[T]], kind: type[T]
    ) -> T:
        workers = Workers()
        kept = await workers.call(lambda: self.bundle.find(call), "bundle")
        if kept is None or kept.value is None:
            own = replace(context, notes=[])
            try:
                answer = await ask(own)
            except ServiceError as error:
                failed = Kept(None, str(error), tuple(own.notes))
                await workers.call(lambda: self.bundle.add(call, failed, self.name), "bundle")
                raise
            made = Kept(answer, notes=tuple(own.notes))
            kept = await workers.call(lambda: self.bundle.add(call, made, self.name), "bundle")
        return _told(kept, context, kind)


class ReplayBackend:
    """Answers from a bundle, and asks nobody."""

    name = "recorded"
    version = None

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """The kept answer. Raises `ServiceError` when there is none, `StorageError` when it is damaged."""
        return await self._answer(Call("search", tuple(queries), top_k), context, Evidence)

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """The kept answer. Raises `ServiceError` when there is none, `StorageError` when it is damaged."""
        return await self._answer(Call("image_search", (query,), top_k), context, Images)

    async def _answer(self, call: Call, context: CallContext, kind: type[T]) -> T:
        kept = await Workers().call(lambda: self.bundle.find(call), "bundle")
        if kept is None:
            numbers = self.bundle.other_top_ks(call)
            also = f" (there is one for top_k: {', '.join(map(str, numbers))})" if numbers else ""
            raise ServiceError(f"the recording {self.bundle.folder} holds no answer to {call}{also}")
        return _told(kept, context, kind)


def _told(kept: Kept, context: CallContext, kind: type[T]) -> T:
    for note in kept.notes:
        context.note(note)
    if kept.value is None:
        raise ServiceError(kept.error)
    if not isinstance(kept.value, kind):
        raise InternalError("a recording holds an answer of another kind")
    return kept.value
