"""How often a host may be asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_LONGEST_HOLD = 300.0
"""Seconds for which a `Retry-After` of one caller may hold all others back."""
_LOOK_AGAIN = 0.25
_MANY_HOSTS = 1024


@dataclass
class _Queue:
    """Who waits for a host, in their order, and when it may be asked next."""

    waiting: dict[object, None] = field(default_factory=dict)
    free_at: float = 0.0


class RateLimiter:
    """At most `rpm` requests a minute to each host, evenly spaced, first come first served; None sets no rate.

    One limiter serves all clients, threads and event loops of a process. A caller that is cancelled while it waits
    (its deadline passed) leaves its place to the next.
    """

    def __init__(self, rpm: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        if rpm is not None and not rpm > 0:
            raise ValueError("rpm must be positive")
        self._interval = 60.0 / rpm if rpm else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Queue] = {}

    async def wait(self, host: str) -> None:
        """Wait until the host may be asked."""
        if not self._interval and host not in self._hosts:
            return
        ticket = object()
        with self._lock:
            queue = self._queue(host)
            ahead = len(queue.waiting)
            queue.waiting[ticket] = None
        try:
            while (delay := self._turn(queue, ticket, ahead)) > 0:
                # Not longer: somebody ahead may have given up.
                await asyncio.sleep(min(delay, _LOOK_AGAIN))
                ahead = 0
        finally:
            with self._lock:
                queue.waiting.pop(ticket, None)

    def hold_back(self, host: str, seconds: float) -> None:
        """Nobody asks this host for so many seconds (it said `Retry-After`); five minutes at most."""
        with self._lock:
            queue = self._queue(host)
            queue.free_at = max(queue.free_at, self._clock() + min(seconds, _LONGEST_HOLD))

    def _queue(self, host: str) -> _Queue:
        if host not in self._hosts and len(self._hosts) >= _MANY_HOSTS:
            now = self._clock()
            idle = [name for name, queue in self._hosts.items() if not queue.waiting and queue.free_at <= now]
            for name in idle:
                del self._hosts[name]
        return self._hosts.setdefault(host, _Queue())

    def _turn(self, queue: _Queue, ticket: object, ahead: int) -> float:
        """0 when it is the ticket's turn, which it takes; else the seconds after which to look again."""
        with self._lock:
            now = self._clock()
            wait = max(queue.free_at - now, 0.0)
            if next(iter(queue.waiting)) is not ticket:
                return max(wait + ahead * self._interval, 0.001)
            if wait > 0:
                return wait
            queue.free_at = now + self._interval
            del queue.waiting[ticket]
            return 0.0
