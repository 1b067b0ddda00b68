"""Plain functions of tools and renderers run in daemon threads, so that a run can always end.

A thread cannot be killed. It is asked to stop through its `CallContext`, waited for a short while, and then
left alone: a daemon thread does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_MOMENT = 0.05
"""Seconds that a thread may need to end once its function has returned."""

_MANY = 64
"""With so many threads in the list, those that have ended are taken out."""


class Workers:
    """The threads of one run. How many work at a time is bounded by the machine's own semaphore."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()
        self._returned: set[threading.Thread] = set()

    async def call(self, function: Callable[[], T], name: str) -> T:
        """Run `function` in a thread of its own and wait for its result.

        When the waiting is cancelled the thread goes on by itself; `join` waits for it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._returned.add(thread)
            if future.done():  # the waiting was cancelled: nobody asks any more
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]  # a result unless there is an error
            else:
                future.set_exception(error)

        def work() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(function)
            except (StopIteration, GeneratorExit) as stop:  # they would end the coroutine that waits
                error = RuntimeError(f"{type(stop).__name__}: {stop}".removesuffix(": "))
            except BaseException as raised:  # carried over to the waiting task, which judges it
                error = raised
            with suppress(RuntimeError):  # the loop is closed: the run ended without this thread
                loop.call_soon_threadsafe(settle, result, error)

        context = contextvars.copy_context()
        thread = threading.Thread(target=work, name=f"genevolve-{name}", daemon=True)
        if len(self._threads) >= _MANY:
            self._threads = {t for t in self._threads if t.is_alive()}
            self._returned &= self._threads
        thread.start()
        self._threads.add(thread)
        return await future

    async def join(self, seconds: float) -> int:
        """Wait until every thread has ended, `seconds` at most; returns how many have not."""
        for thread in self._returned:
            thread.join(_MOMENT)  # its function has returned, so it is ending right now
        deadline = time.monotonic() + seconds
        while left := sum(t.is_alive() for t in self._threads):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(0.002)
        return left
