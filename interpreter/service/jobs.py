"""One accepted request on its way through the queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field

from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.service.pictures import Picture


@dataclass(eq=False)
class Job:
    """What is to be drawn, for whom, and how far it is. Times are of `time.monotonic`.

    Attributes:
        id: the request's id.
        z: what is to be drawn.
        pictures: the references, in the order of z.
        batch_key: jobs with equal keys may be drawn by one call; None is drawn alone.
        result: the picture or the reason why there is none; must be made inside the event loop.
        stop: set when nobody waits for the result any more.
        batch: how many jobs were drawn together; 0 before the render.
    """

    id: str
    z: Z
    pictures: tuple[Picture, ...] = ()
    batch_key: Hashable = None
    result: asyncio.Future[Rendering] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    stop: threading.Event = field(default_factory=threading.Event)
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    ended_at: float | None = None
    batch: int = 0

    def context(self, seconds: float) -> CallContext:
        """The context of a render that starts now."""
        return CallContext(deadline=time.monotonic() + seconds, cancelled=self.stop)

    @property
    def waited(self) -> float:
        """Seconds in the queue, so far or in all."""
        return (self.started_at or self.ended_at or time.monotonic()) - self.queued_at

    @property
    def rendered(self) -> float:
        """Seconds of the render, so far or in all; 0 before it."""
        return 0.0 if self.started_at is None else (self.ended_at or time.monotonic()) - self.started_at

    def settle(self, outcome: Rendering | BaseException) -> None:
        """Hand the result to whoever waits; a second one is dropped."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
        if self.result.done():
            return
        if isinstance(outcome, BaseException):
            self.result.set_exception(outcome)
            self.result.exception()  # nobody may be waiting any more: that is no error
        else:
            self.result.set_result(outcome)
