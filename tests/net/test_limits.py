"""Requests to a host are spaced, fair, and cancelled ones leave no gap."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

import pytest

from genevolve.interpreter.net.limits import RateLimiter


def test_requests_are_spaced_and_first_come_first_served() -> None:
    limiter, order = RateLimiter(1200), []  # one each 50 ms

    async def ask(number: int) -> None:
        await limiter.wait("a")
        order.append((number, time.monotonic()))

    async def main() -> None:
        await asyncio.gather(*(ask(n) for n in range(6)))

    began = time.monotonic()
    asyncio.run(main())
    assert [n for n, _ in order] == list(range(6))
    gaps = [b - a for (_, a), (_, b) in pairwise(order)]
    assert min(gaps) > 0.045
    assert time.monotonic() - began < 1.0


def test_hosts_do_not_wait_for_each_other() -> None:
    limiter = RateLimiter(1)

    async def main() -> None:
        await asyncio.gather(*(limiter.wait(f"host{n}") for n in range(20)))

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 0.5


def test_callers_that_give_up_leave_no_gap() -> None:
    limiter = RateLimiter(600)  # one each 100 ms

    async def main() -> float:
        await limiter.wait("a")
        for _ in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await limiter.wait("a")
        began = time.monotonic()
        await limiter.wait("a")
        return time.monotonic() - began

    assert asyncio.run(main()) < 0.3  # and not fifty times 100 ms


def test_threads_and_their_event_loops_share_one_rate() -> None:
    limiter, moments = RateLimiter(1200), []
    lock = threading.Lock()

    async def ask() -> None:
        for _ in range(3):
            await limiter.wait("a")
            with lock:
                moments.append(time.monotonic())

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moments.sort()
    assert len(moments) == 9
    assert min(b - a for a, b in pairwise(moments)) > 0.03


def test_no_rate_means_no_waiting_until_somebody_is_held_back() -> None:
    limiter = RateLimiter(None)

    async def main() -> float:
        for _ in range(1000):
            await limiter.wait("a")
        limiter.hold_back("a", 0.2)
        began = time.monotonic()
        await limiter.wait("a")
        return time.monotonic() - began

    assert 0.15 < asyncio.run(main()) < 1.0


def test_holding_back_is_bounded() -> None:
    clock = [0.0]
    limiter = RateLimiter(None, clock=lambda: clock[0])
    limiter.hold_back("a", float("inf"))
    clock[0] = 301.0

    async def main() -> None:
        async with asyncio.timeout(1):
            await limiter.wait("a")

    asyncio.run(main())


def test_hosts_are_forgotten() -> None:
    clock = [0.0]
    limiter = RateLimiter(60, clock=lambda: clock[0])

    async def main() -> None:
        for number in range(5000):
            clock[0] += 2
            await limiter.wait(f"host{number}")

    asyncio.run(main())
    assert len(limiter._hosts) <= 1024


@pytest.mark.parametrize("rpm", [0, -1, float("nan")])
def test_a_rate_is_positive(rpm: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        RateLimiter(rpm)
