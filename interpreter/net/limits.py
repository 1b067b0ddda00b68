"""How often a host may be asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable


class RateLimiter:
    """At most `rpm` requests a minute to each host, evenly spaced, first come first served.

    One limiter serves all clients, threads and event loops of a process: a caller reserves the next free moment under a
    lock and sleeps until then. A caller that is cancelled while it waits leaves its moment unused.
    """

    def __init__(self, rpm: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        if rpm is not None and rpm <= 0:
            raise ValueError("rpm must be positive")
        self._interval = 60.0 / rpm if rpm else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def reserve(self, host: str) -> float:
        """Take the next free moment; returns the seconds until it."""
        if not self._interval:
            return 0.0
        with self._lock:
            now = self._clock()
            moment = max(now, self._next.get(host, now))
            self._next[host] = moment + self._interval
            return moment - now

    def hold_back(self, host: str, seconds: float) -> None:
        """Nobody asks this host for so many seconds (it said `Retry-After`)."""
        with self._lock:
            moment = self._clock() + seconds
            self._next[host] = max(self._next.get(host, moment), moment)

    async def wait(self, host: str) -> None:
        """Wait until the host may be asked."""
        delay = self.reserve(host) if self._interval else self._held_back(host)
        if delay > 0:
            await asyncio.sleep(delay)

    def _held_back(self, host: str) -> float:
        with self._lock:
            return self._next.get(host, 0.0) - self._clock()
