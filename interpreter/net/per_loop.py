"""Things that belong to one event loop (connections, semaphores), for objects that serve several.

A machine runs each program in an event loop of its own, while its tools live longer. `PerLoop` makes one thing for each
loop that asks and closes it when that loop ends: the thing hangs on an asynchronous generator, and `asyncio.run`
finishes those before it closes the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One `make()` for each event loop, closed by `close` when the loop ends or on `aclose`."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._things: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[T, None]]] = {}

    async def get(self) -> T:
        """The thing of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._things:
            for other in [known for known in list(self._things) if known.is_closed()]:
                self._things.pop(other, None)
            lifetime = self._lifetime(loop)
            self._things[loop] = (await anext(lifetime), lifetime)
        return self._things[loop][0]

    async def aclose(self) -> None:
        """Close the thing of the running loop; another one is made when it is asked for again."""
        _, lifetime = self._things.get(asyncio.get_running_loop(), (None, None))
        if lifetime is not None:
            await lifetime.aclose()

    async def _lifetime(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[T, None]:
        thing = self._make()
        try:
            yield thing
        finally:
            self._things.pop(loop, None)
            await self._close(thing)
