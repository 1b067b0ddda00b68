"""Calls in flight: whoever asks the same thing at the same time waits for one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Failed(Generic[T]):
    def __init__(self, error: Exception | None) -> None:
        self.error = error


class _Landed(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class Flights(Generic[T]):
    """Work in flight by key, apart for each event loop (futures belong to one).

    When the one who flies fails or is cancelled, somebody who waits takes over; with `share_failures` all who wait
    get the same error instead.
    """

    def __init__(self, *, share_failures: bool = False) -> None:
        self._share_failures = share_failures
        self._tables: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[str, asyncio.Future[_Landed[T] | _Failed[T]]]
        ] = WeakKeyDictionary()

    async def join(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result of `work`, and whether somebody else's was shared."""
        loop = asyncio.get_running_loop()
        table = self._tables.setdefault(loop, {})
        while (flight := table.get(key)) is not None:
            await asyncio.wait({flight})
            outcome = flight.result()
            if isinstance(outcome, _Landed):
                return outcome.value, True
            if self._share_failures and outcome.error is not None:
                raise outcome.error
        mine: asyncio.Future[_Landed[T] | _Failed[T]] = loop.create_future()
        table[key] = mine
        end: _Landed[T] | _Failed[T] = _Failed(None)
        try:
            value = await work()
            end = _Landed(value)
            return value, False
        except Exception as error:  # noted for those who wait, then raised as it is
            end = _Failed(error)
            raise
        finally:
            del table[key]
            mine.set_result(end)
