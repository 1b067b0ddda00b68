"""The service under more load than it can carry, told to stop, and left by its clients; real processes."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from service_process import ServerProcess, base64_of, opened, png, until

Serve = Callable[..., ServerProcess]


async def _flood(url: str, rate: float, seconds: float) -> list[tuple[int, httpx2.Response, float]]:
    """Requests at a fixed rate, whatever becomes of the earlier ones: (seed, answer, seconds)."""
    limits = httpx2.Limits(max_connections=400, max_keepalive_connections=50)
    async with httpx2.AsyncClient(base_url=url, timeout=30, limits=limits, trust_env=False) as client:

        async def one(seed: int) -> tuple[int, httpx2.Response, float]:
            began = time.monotonic()
            body = {"prompt": "a picture", "width": 32, "height": 32, "seed": seed}
            answer = await client.post("/generate", json=body)
            return seed, answer, time.monotonic() - began

        tasks = []
        start = time.monotonic()
        for seed in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + seed / rate - time.monotonic()))
            tasks.append(asyncio.create_task(one(seed)))
        return await asyncio.gather(*tasks)


def test_overload_loses_no_accepted_request_and_bounds_the_wait(serve: Serve) -> None:
    render, queue = 0.1, 8
    server = serve("--queue", str(queue), seconds=render)
    answers = asyncio.run(_flood(server.url, rate=4 / render, seconds=6))
    counts = Counter(answer.status_code for _, answer, _ in answers)
    assert set(counts) == {200, 429}
    assert counts[429] > counts[200]
    drawn = {seed for seed, answer, _ in answers if answer.status_code == 200}
    assert sorted(drawn) == sorted(server.events("end"))  # each accepted one is answered, once
    assert len(server.events("start")) == len(drawn)
    for seed, answer, _ in answers:
        if answer.status_code == 200:
            assert opened(answer.json()["image"]).getpixel((0, 0)) == (seed % 256, 0, 0)
        else:
            assert answer.json()["success"] is False
            assert 1 <= int(answer.headers["retry-after"]) <= 120
    waits = sorted(answer.json()["queued_seconds"] for _, answer, _ in answers if answer.status_code == 200)
    p99 = waits[int(0.99 * (len(waits) - 1))]
    # Whoever is accepted has at most a full queue and one render before it. Renders take longer on a busy machine,
    # so the yardstick is what they really took.
    took = sum(a.json()["seconds"] for _, a, _ in answers if a.status_code == 200) / len(drawn)
    assert p99 <= (queue + 1) * took * 1.5 + 0.2
    refused = [seconds for _, answer, seconds in answers if answer.status_code == 429]
    assert sorted(refused)[len(refused) // 2] < 0.5  # at once, not after a wait


def test_those_who_come_back_when_told_are_all_served(serve: Serve) -> None:
    server = serve("--queue", "2", seconds=0.1)

    def persistent(seed: int) -> int:
        for tries in range(1, 30):
            answer = server.generate(seed=seed)
            if answer.status_code == 200:
                return tries
            assert answer.status_code == 429
            time.sleep(int(answer.headers["retry-after"]))
        return 0

    with ThreadPoolExecutor(16) as pool:
        tries = list(pool.map(persistent, range(16)))
    assert all(tries)
    assert max(tries) <= 5


def test_sigterm_finishes_what_was_accepted_and_refuses_the_rest(serve: Serve) -> None:
    server = serve("--queue", "8", seconds=0.3)
    with ThreadPoolExecutor(12) as pool:
        accepted = [pool.submit(server.generate, seed=seed) for seed in range(6)]
        until(lambda: (h := server.health())["waiting"] + h["in_flight"] == 6)
        server.terminate()
        until(lambda: server.health()["status"] == "draining", 1)
        late = server.generate(seed=99)
        assert late.status_code == 503
        assert int(late.headers["retry-after"]) >= 1
        assert [f.result().status_code for f in accepted] == [200] * 6
    assert server.wait() == 0
    assert 99 not in server.events("start")
    assert not list(server.temporary.iterdir())


def test_sigint_ends_an_idle_service(serve: Serve) -> None:
    server = serve()
    server.process.send_signal(signal.SIGINT)
    assert server.wait(5) == 0


@pytest.mark.parametrize("prompt", ["a long one", "a stubborn one"])
def test_what_takes_longer_than_the_grace_is_given_up(serve: Serve, prompt: str) -> None:
    server = serve("--grace", "0.5", seconds=60)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.generate, seed=1, prompt=prompt)
        server.wait_for("start", 1)
        second = pool.submit(server.generate, seed=2)
        until(lambda: server.health()["waiting"] == 1)
        began = time.monotonic()
        server.terminate()
        for future in (first, second):
            assert future.result().status_code == 503
            assert "retry-after" in future.result().headers
    assert server.wait() == 3  # accepted requests were lost: whoever runs the service should know
    assert time.monotonic() - began < 10


def test_a_second_signal_stops_at_once(serve: Serve) -> None:
    server = serve("--grace", "60", seconds=60)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.generate, seed=1)
        server.wait_for("start", 1)
        server.terminate()
        until(lambda: server.health()["status"] == "draining", 2)
        server.terminate()
        assert future.result().status_code == 503
    assert server.wait(10) == 3


class _Leaver:
    """A client that hangs up when told."""

    def __init__(self, server: ServerProcess, **body: object) -> None:
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(server, body))
        self._thread.start()

    def _run(self, server: ServerProcess, body: dict[str, object]) -> None:
        async def ask() -> None:
            async with httpx2.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
                full = {"prompt": "a picture", "width": 32, "height": 32} | body
                task = asyncio.create_task(client.post("/generate", json=full))
                while not self._left.is_set() and not task.done():  # noqa: ASYNC110  # set by another thread
                    await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(ask())

    def leave(self) -> None:
        self._left.set()
        self._thread.join(10)


def test_a_client_that_leaves_the_queue_is_not_drawn(serve: Serve) -> None:
    server = serve(seconds=0.6)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.generate, seed=1)
        server.wait_for("start", 1)
        leaver = _Leaver(server, seed=2)
        until(lambda: server.health()["waiting"] == 1)
        third = pool.submit(server.generate, seed=3)
        until(lambda: server.health()["waiting"] == 2)
        leaver.leave()
        until(lambda: server.health()["waiting"] == 1)
        assert first.result().status_code == third.result().status_code == 200
    assert server.events("start") == [1, 3]


def test_a_client_that_leaves_while_its_picture_is_drawn_stops_the_render(serve: Serve) -> None:
    server = serve(seconds=60)
    leaver = _Leaver(server, seed=1, images=[base64_of(png())])
    server.wait_for("start", 1)
    assert len(server.spooled()) == 1
    leaver.leave()
    server.wait_for("cancelled", 1, 5)
    until(lambda: server.health()["in_flight"] == 0, 5)
    until(lambda: not server.spooled(), 5)
    with server.client() as client:
        assert 'genevolve_requests_total{outcome="gone",route="/generate"} 1.0' in client.get("/metrics").text


def test_a_render_that_takes_too_long_is_a_504(serve: Serve) -> None:
    server = serve("--timeout", "0.3", seconds=60)
    answer = server.generate()
    assert answer.status_code == 504
    assert "out of time" in answer.json()["error"]


def test_a_killed_service_leaves_nothing_for_long(serve: Serve, tmp_path: Path) -> None:
    first = serve(seconds=60)
    leaver = _Leaver(first, seed=1, images=[base64_of(png())])
    first.wait_for("start", 1)
    (left,) = first.temporary.iterdir()
    assert left.stat().st_mode & 0o077 == 0
    first.process.kill()
    first.wait()
    leaver.leave()
    assert first.spooled()
    second = serve(seconds=0)
    assert not second.spooled()
    assert left not in second.temporary.iterdir()
