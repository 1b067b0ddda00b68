"""The bounded queue between requests and devices: first come, first served, one worker a device.

All of it lives on one event loop; only the drawing itself runs in threads. What was accepted ends in exactly one of
these ways: its result is set, or its client went away.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections import deque
from collections.abc import Sequence

from genevolve.grammar.errors import Cancelled, GenevolveError, InternalError, ServiceError
from genevolve.interpreter.protocols import Rendering
from genevolve.interpreter.service.drawing import Drawer, Result
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.limits import come_back
from genevolve.interpreter.service.metrics import Metrics
from genevolve.interpreter.service.pace import Pace
from genevolve.interpreter.workers import Workers

log = logging.getLogger("genevolve.service")

_WIND_UP = 2.0  # seconds that stopped renders are given to end


class RenderQueue:
    """Accepted jobs, waiting and being drawn.

    Args:
        drawers: one a device.
        capacity: how many jobs may wait.
        most_together: most jobs in one call of a pipeline.
        render_seconds: time for one call of a pipeline.
        metrics: where counts and times go.
    """

    def __init__(
        self,
        drawers: Sequence[Drawer],
        *,
        capacity: int,
        most_together: int,
        render_seconds: float,
        metrics: Metrics,
    ) -> None:
        self.drawers = tuple(drawers)
        self.capacity = capacity
        self.draining = False
        self.pace = Pace(len(self.drawers))
        self._most_together = most_together
        self._seconds = render_seconds
        self._metrics = metrics
        self._waiting: deque[Job] = deque()
        self._running: dict[Drawer, list[Job]] = {}
        self._proxied: dict[Drawer, asyncio.Future[Rendering]] = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads = Workers()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    # ---- for requests ----

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs being drawn."""
        return sum(len(batch) for batch in self._running.values())

    def check_room(self) -> None:
        """Raise `Refusal` when a job would not be accepted now: 503 while draining, 429 when the queue is full."""
        if self.draining:
            jobs = self.waiting + self.running
            raise come_back(503, "the service is shutting down", max(1, round(self.pace.time_for(jobs))))
        if self.waiting >= self.capacity:
            oldest = max((job.rendered for batch in self._running.values() for job in batch), default=None)
            raise come_back(
                429,
                f"the queue is full ({self.capacity} requests wait); try again later",
                self.pace.retry_after(self.waiting, oldest),
            )

    def submit(self, job: Job) -> None:
        """Accept a job, or raise `Refusal` as `check_room` does."""
        self.check_room()
        self._waiting.append(job)
        self._idle.clear()
        self._changed.set()
        self._measure()

    def abandon(self, job: Job) -> None:
        """Nobody waits for this job any more: it leaves the queue, or its render stops unless shared with others."""
        job.settle(Cancelled("the client went away"))
        with contextlib.suppress(ValueError):
            self._waiting.remove(job)
            self._measure()
            self._note_idle()
            return
        for drawer, batch in self._running.items():
            if job in batch and all(other.result.done() for other in batch):
                self._stop(drawer, batch)

    # ---- for the server ----

    def start(self, drawer: Drawer) -> None:
        """Begin to draw on a device that is loaded."""
        self._tasks.append(asyncio.create_task(self._work(drawer), name=f"device-{drawer.device}"))
        self.pace.workers = len(self._tasks)

    async def drain(self, seconds: float) -> int:
        """Accept nothing more and finish what was accepted; returns how many jobs were given up after `seconds`."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        left = self.waiting + self.running
        self.give_up("the service stopped before the picture was drawn")
        return left

    def refuse_waiting(self, reason: str) -> None:
        """End everything that waits with a 503."""
        while self._waiting:
            self._waiting.popleft().settle(come_back(503, reason, 5))
        self._measure()
        self._note_idle()

    def give_up(self, reason: str) -> None:
        """End everything that waits or is being drawn with a 503."""
        self.draining = True
        self.refuse_waiting(reason)
        for drawer, batch in self._running.items():
            for job in batch:
                job.settle(come_back(503, reason, 5))
            self._stop(drawer, batch)

    async def close(self) -> int:
        """Stop the workers; returns how many threads could not be stopped."""
        self.give_up("the service stopped")
        stuck = await self._threads.join(_WIND_UP)
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return stuck

    # ---- the workers ----

    async def _work(self, drawer: Drawer) -> None:
        while True:
            batch = self._next(drawer)
            if not batch:
                self._changed.clear()
                await self._changed.wait()
                continue
            await self._draw(drawer, batch)

    def _next(self, drawer: Drawer) -> list[Job]:
        """The oldest job and those that can be drawn with it, in their order."""
        if not self._waiting:
            return []
        first = self._waiting.popleft()
        batch = [first]
        most = min(self._most_together, drawer.most_together)
        if first.batch_key is not None and most > 1:
            alike = [job for job in self._waiting if job.batch_key == first.batch_key]
            for job in alike[: most - 1]:
                self._waiting.remove(job)
                batch.append(job)
        return batch

    async def _draw(self, drawer: Drawer, batch: list[Job]) -> None:
        now = time.monotonic()
        for job in batch:
            job.started_at, job.batch = now, len(batch)
            self._metrics.wait_seconds.observe(job.waited)
        self._metrics.batch_size.observe(len(batch))
        self._running[drawer] = batch
        self._measure()
        try:
            results = await self._results(drawer, batch)
        finally:
            del self._running[drawer]
            drawer.finish(batch)
        seconds = time.monotonic() - now
        self._metrics.render_seconds.observe(seconds)
        if not all(isinstance(result, Cancelled) for result in results):
            self.pace.drawn(seconds, len(batch))
        for job, result in zip(batch, results, strict=True):
            job.settle(result)
        self._measure()
        self._note_idle()

    async def _results(self, drawer: Drawer, batch: list[Job]) -> list[Result]:
        """What became of each job. This is the boundary to renderers of others: whatever they raise ends here."""
        context = batch[0].context(self._seconds)
        try:
            results = await self._threads.call(lambda: drawer.draw(context, batch), f"render-{drawer.device}")
            if inspect.isawaitable(results):  # a renderer that itself waits for another service
                work = asyncio.ensure_future(results)
                self._proxied[drawer] = work
                async with asyncio.timeout(self._seconds):
                    return [await work]
        except asyncio.CancelledError:
            if self._closing or not context.cancelled.is_set():  # the worker itself is cancelled
                raise
            return [Cancelled("the client went away")] * len(batch)
        except TimeoutError as error:
            return [_failed(ServiceError("the render ran out of time"), error)] * len(batch)
        except GenevolveError as error:
            return [error] * len(batch)
        except Exception as error:
            log.exception("the renderer failed in an unforeseen way")
            kind = type(error).__name__
            return [_failed(InternalError(f"the renderer failed with {kind}"), error)] * len(batch)
        finally:
            self._proxied.pop(drawer, None)
        return results

    def _stop(self, drawer: Drawer, batch: list[Job]) -> None:
        # The whole batch runs under the context of its first job.
        batch[0].stop.set()
        if drawer in self._proxied:
            self._proxied[drawer].cancel()

    def _measure(self) -> None:
        self._metrics.queue_length.set(self.waiting)
        self._metrics.in_flight.set(self.running)

    def _note_idle(self) -> None:
        if not self._waiting and not self._running:
            self._idle.set()


def _failed(error: GenevolveError, cause: BaseException) -> GenevolveError:
    error.__cause__ = cause
    return error
