"""The queue by itself: who is drawn with whom, who stops what, several devices, an unforeseen failure."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genevolve.grammar.errors import Cancelled, ConfigurationError, InternalError, ServiceError, StorageError
from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.service.auth import Access, is_loopback
from genevolve.interpreter.service.drawing import Result
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.limits import Limits, Refusal
from genevolve.interpreter.service.metrics import Metrics
from genevolve.interpreter.service.pace import LONGEST, Pace
from genevolve.interpreter.service.queue import RenderQueue
from genevolve.interpreter.service.schemas import load_json, parse_edits
from genevolve.interpreter.service.spool import Spool


class Gated:
    """A drawer whose calls end when `gate` opens; a call notes its jobs and whether it was stopped."""

    def __init__(self, device: str = "a", most_together: int = 4) -> None:
        self.device, self.most_together = device, most_together
        self.gate = threading.Event()
        self.calls: list[list[str]] = []
        self.stopped: list[list[str]] = []
        self.finished: list[str] = []

    def load(self) -> None:
        pass

    def refusals(self, z: Z) -> Sequence[str]:
        return ()

    def batch_key(self, z: Z) -> Hashable:
        return None

    def finish(self, jobs: Sequence[Job]) -> None:
        self.finished += [job.id for job in jobs]

    def draw(self, context: CallContext, jobs: Sequence[Job]) -> list[Result] | Awaitable[Rendering]:
        names = [job.id for job in jobs]
        self.calls.append(names)
        while not self.gate.wait(0.005):
            if context.cancelled.is_set():
                self.stopped.append(names)
                raise Cancelled("stopped")
        if "crash" in names:
            raise ZeroDivisionError
        picture = Rendering(Image.new("RGB", (1, 1)))
        return [ServiceError("bad") if name == "bad" else picture for name in names]


def job(name: str, key: Hashable = None) -> Job:
    return Job(name, Z(request=name, gen_prompt=name), batch_key=key)


def queue_of(*drawers: Gated, capacity: int = 8) -> RenderQueue:
    queue = RenderQueue(drawers, capacity=capacity, most_together=4, render_seconds=30, metrics=Metrics())
    for drawer in drawers:
        queue.start(drawer)
    return queue


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what is waited for happens in threads
        await asyncio.sleep(0.002)


def test_equal_keys_are_drawn_together_in_order_and_nobody_is_overtaken_for_ever() -> None:
    async def work() -> None:
        drawer = Gated(most_together=3)
        queue = queue_of(drawer)
        queue.submit(job("first"))
        await until(lambda: len(drawer.calls) == 1)
        for name, key in (
            ("a1", "A"),
            ("b1", "B"),
            ("a2", "A"),
            ("x", None),
            ("a3", "A"),
            ("a4", "A"),
            ("b2", "B"),
        ):
            queue.submit(job(name, key))
        drawer.gate.set()
        await until(lambda: not queue.waiting and not queue.running)
        assert drawer.calls == [["first"], ["a1", "a2", "a3"], ["b1", "b2"], ["x"], ["a4"]]
        await queue.close()

    run(work)


def test_one_bad_picture_spoils_only_itself_and_a_crash_ends_in_an_error_of_ours() -> None:
    async def work() -> None:
        drawer = Gated()
        drawer.gate.set()
        queue = queue_of(drawer)
        jobs = [job("good", "A"), job("bad", "A"), job("crash"), job("after")]
        for one in jobs:
            queue.submit(one)
        results = await asyncio.gather(*(one.result for one in jobs), return_exceptions=True)
        assert [type(r) for r in results] == [Rendering, ServiceError, InternalError, Rendering]
        await queue.close()

    run(work)


def test_a_batch_goes_on_for_those_who_stay_and_stops_when_all_have_left() -> None:
    async def work() -> None:
        drawer = Gated()
        queue = queue_of(drawer)
        leaves, stays = job("leaves", "A"), job("stays", "A")
        queue.submit(leaves)
        queue.submit(stays)
        await until(lambda: drawer.calls == [["leaves", "stays"]])
        queue.abandon(leaves)
        await asyncio.sleep(0.05)
        assert not drawer.stopped
        drawer.gate.set()
        assert isinstance(await stays.result, Rendering)

        drawer.gate.clear()
        both = [job("one", "A"), job("two", "A")]
        for one in both:
            queue.submit(one)
        await until(lambda: len(drawer.calls) == 2)
        for one in both:
            queue.abandon(one)
        await until(lambda: drawer.stopped == [["one", "two"]])
        await queue.close()

    run(work)


def test_each_device_works_by_itself() -> None:
    async def work() -> None:
        one, two = Gated("cuda:0", 1), Gated("cuda:1", 1)
        two.gate.set()
        queue = queue_of(one, two)
        for name in "abcdef":
            queue.submit(job(name))
        await until(lambda: queue.waiting == 0 and queue.running == 1)
        assert len(one.calls) == 1
        assert len(two.calls) == 5
        assert queue.pace.workers == 2
        one.gate.set()
        await until(lambda: not queue.running)
        await queue.close()

    run(work)


def test_a_full_queue_and_a_draining_one_refuse() -> None:
    async def work() -> None:
        drawer = Gated()
        queue = queue_of(drawer, capacity=2)
        queue.submit(job("running"))
        await until(lambda: queue.running == 1)
        queue.submit(job("w1"))
        queue.submit(job("w2"))
        with pytest.raises(Refusal) as full:
            queue.submit(job("w3"))
        assert full.value.status == 429
        assert int(full.value.headers["Retry-After"]) >= 1
        draining = asyncio.create_task(queue.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as closed:
            queue.submit(job("w4"))
        assert closed.value.status == 503
        drawer.gate.set()
        assert await draining == 0
        assert await queue.close() == 0

    run(work)


def test_a_renderer_that_waits_for_another_service_is_awaited_and_cancelled() -> None:
    class Proxy(Gated):
        cancelled = False

        def draw(self, context: CallContext, jobs: Sequence[Job]) -> list[Result] | Awaitable[Rendering]:
            async def ask() -> Rendering:
                try:
                    await asyncio.sleep(0.01 if jobs[0].id == "quick" else 60)
                except asyncio.CancelledError:
                    self.cancelled = True
                    raise
                return Rendering(Image.new("RGB", (1, 1)))

            return ask()

    async def work() -> None:
        drawer = Proxy()
        queue = queue_of(drawer)
        quick, slow, after = job("quick"), job("slow"), job("quick")
        queue.submit(quick)
        assert isinstance(await quick.result, Rendering)
        queue.submit(slow)
        await until(lambda: queue.running == 1)
        await asyncio.sleep(0.05)
        queue.abandon(slow)
        await until(lambda: drawer.cancelled)
        assert drawer.finished == ["quick", "slow"]
        queue.submit(after)
        assert isinstance(await after.result, Rendering)
        await queue.close()

    run(work)


def test_a_thread_that_cannot_be_stopped_does_not_hold_the_end_up() -> None:
    async def work() -> None:
        stubborn = threading.Event()

        class Stubborn(Gated):
            def draw(self, context: CallContext, jobs: Sequence[Job]) -> list[Result] | Awaitable[Rendering]:
                stubborn.wait(20)
                return []

        queue = queue_of(Stubborn())
        one = job("one")
        queue.submit(one)
        await until(lambda: queue.running == 1)
        began = time.monotonic()
        assert await queue.close() == 1
        assert time.monotonic() - began < 5
        assert isinstance(one.result.exception(), Refusal)
        stubborn.set()

    run(work)


# ---- pace ----


def test_those_who_are_refused_are_told_different_times_at_the_measured_rate() -> None:
    now = [100.0]
    pace = Pace(workers=2, clock=lambda: now[0])
    pace.drawn(8.0, 2)  # four seconds a picture, two devices: a place every two seconds
    assert [pace.retry_after(16) for _ in range(4)] == [2, 4, 6, 8]
    now[0] += 6
    assert pace.retry_after(16) == 4
    now[0] += 1000
    assert pace.retry_after(16) == 2
    # Not for ever longer: sixteen jobs take 32 seconds.
    assert max(pace.retry_after(16) for _ in range(500)) == 64
    assert max(pace.retry_after(10_000) for _ in range(500)) == LONGEST
    assert pace.time_for(3) == 6.0


def test_before_anything_is_measured_the_running_render_stands_for_the_rate() -> None:
    assert Pace(clock=lambda: 0.0).retry_after(1) == 1
    assert Pace(clock=lambda: 0.0).retry_after(4, oldest=20.0) == 40


# ---- access, bodies, spool ----


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_keys_that_cannot_protect_are_refused() -> None:
    for key in (None, "", "short", "k" * 15):
        with pytest.raises(ConfigurationError, match="GENEVOLVE_SERVICE_KEY"):
            Access("0.0.0.0", key)
    with pytest.raises(ConfigurationError, match="printable ASCII"):
        Access("127.0.0.1", "ключ" * 8)
    assert Access("127.0.0.1").knows({})


def test_a_proxy_may_use_its_own_name() -> None:
    access = Access("127.0.0.1", names=("pictures.example",))
    access.check_origin({"host": "Pictures.example:443"})
    with pytest.raises(Refusal):
        access.check_origin({"host": "other.example"})


def test_brackets_inside_of_strings_are_no_nesting() -> None:
    text = "[" * 1000 + '\\"' + "{" * 1000
    assert load_json(f'{{"prompt": "{text}"}}'.encode())["prompt"].startswith("[[[")


def test_a_form_gives_numbers_and_a_seed_keeps_all_its_digits() -> None:
    picture = b"\x89PNG\r\n\x1a\n"
    with pytest.raises(Refusal, match=r"damaged|not a PNG"):
        parse_edits({"prompt": "x", "seed": "1"}, [("image", picture)], Limits())
    with pytest.raises(Refusal, match="only image"):
        parse_edits({"prompt": "x"}, [("picture", picture)], Limits())
    with pytest.raises(Refusal, match="at least one image"):
        parse_edits({"prompt": "x"}, [], Limits())
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    texts = {
        "prompt": "x",
        "seed": str(2**63 - 1),
        "guidance_scale": "2.5",
        "n": "1",
        "size": "auto",
        "stream": "false",
    }
    wanted = parse_edits(texts, [("image[]", out.getvalue())], Limits())
    assert (wanted.seed, wanted.guidance_scale, wanted.size) == (2**63 - 1, 2.5, None)


def test_folders_of_dead_services_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    living = Spool(tmp_path)
    dead = tmp_path / "genevolve-service-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "1.png").touch()
    other = tmp_path / "genevolve-service-not-ours"
    other.mkdir()
    second = Spool(tmp_path)
    assert not dead.exists()
    assert living.folder.exists()
    assert other.exists()  # without a lock it may be anything
    second.close()
    living.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name]
    with pytest.raises(StorageError):
        Spool(tmp_path / "nowhere")
