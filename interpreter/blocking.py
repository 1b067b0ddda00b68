"""Coroutines from plain code: in scripts, and in notebooks, where an event loop is running already."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_GLANCE = 0.05
"""Seconds between two looks at whether the caller was stopped."""

_PATIENCE = 2.0
"""Seconds that stopped work in another thread is given to wind up."""


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result, whether or not a loop is running in this thread.

    Ctrl-C cancels the work, waits for it to wind up, and raises `KeyboardInterrupt` (or, inside a task that
    `asyncio.run` cancels for Ctrl-C, `CancelledError`).
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _Elsewhere(work).result()


class _Elsewhere(Generic[T]):
    """Work on an event loop in a thread of its own, because this thread's loop is busy with the caller."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._stopped = False
        self._value: list[T] = []
        self._error: BaseException | None = None
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._main,), name="genevolve-run", daemon=True
        )

    def result(self) -> T:
        caller = asyncio.current_task()
        self._thread.start()
        try:
            while self._thread.is_alive():
                self._thread.join(_GLANCE)
                # Under `asyncio.run` Ctrl-C does not interrupt: it asks the caller's task to end, which waits here.
                if caller is not None and caller.cancelling():
                    raise asyncio.CancelledError
        except BaseException:  # Ctrl-C reaches the thread that waits, not the one that works
            self._stop()
            raise
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _stop(self) -> None:
        self._stopped = True
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_PATIENCE)

    def _main(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._value.append(runner.run(self._keep()))
        except BaseException as error:  # handed to the thread that waits
            self._error = error

    async def _keep(self) -> T:
        self._task = asyncio.create_task(self._work)
        if self._stopped:  # before there was a task to cancel
            self._task.cancel()
        return await self._task
