"""The service itself, without HTTP: from checked requests to pictures."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from genevolve.grammar.errors import GenevolveError
from genevolve.grammar.z import Reference, Settings, Z
from genevolve.interpreter.protocols import Renderer, Rendering
from genevolve.interpreter.service.drawing import Drawer
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.limits import Limits, Refusal, come_back
from genevolve.interpreter.service.metrics import Metrics
from genevolve.interpreter.service.queue import RenderQueue
from genevolve.interpreter.service.schemas import Wanted, check_size
from genevolve.interpreter.service.spool import Spool
from genevolve.interpreter.workers import Workers

log = logging.getLogger("genevolve.service")

State: TypeAlias = Literal["loading", "ready", "failed", "draining"]

LONG_SIDE = 1024  # METHOD: the long side of a picture whose size nobody says
MULTIPLE = 16  # … rounded to multiples of this
_LOADING_RETRY = 10  # seconds after which to ask a service again that is loading


@dataclass(frozen=True, slots=True)
class Prepared:
    """What will be drawn, and what of the request will not be done as asked."""

    z: Z
    notes: tuple[str, ...]


@dataclass
class Service:
    """Drawers, their queue, and how far they are.

    Args:
        renderer: the renderer that says what can be drawn; each drawer has one like it.
        drawers: one a device.
        spool: closed with the service.
        limits: what one request may ask.
        capacity: how many requests may wait.
        most_together: most requests of one call of a pipeline.
        warm_up: draw one small picture on each device before it takes requests.
    """

    renderer: Renderer
    drawers: Sequence[Drawer]
    spool: Spool
    limits: Limits = field(default_factory=Limits)
    capacity: int = 16
    most_together: int = 4
    warm_up: bool = False
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        """Make the queue."""
        self.queue = RenderQueue(
            self.drawers,
            capacity=self.capacity,
            most_together=self.most_together,
            render_seconds=self.limits.render_seconds,
            metrics=self.metrics,
        )
        self.metrics.queue_capacity.set(self.capacity)
        self.problem = ""
        self._loaded = 0
        self._failed = 0
        self._loaders: list[asyncio.Task[None]] = []
        self._threads = Workers()

    @property
    def state(self) -> State:
        """How far the service is."""
        if self.queue.draining:
            return "draining"
        if self._loaded:
            return "ready"
        return "failed" if self._failed == len(self.drawers) else "loading"

    def start(self) -> None:
        """Load every device in the background; each takes requests as soon as it is ready."""
        self._loaders = [asyncio.create_task(self._load(drawer)) for drawer in self.drawers]

    async def close(self) -> int:
        """Stop everything; returns how many threads could not be stopped."""
        for task in self._loaders:
            task.cancel()
        stuck = await self.queue.close() + await self._threads.join(0.1)
        self.spool.close()
        return stuck

    def check_room(self) -> None:
        """Raise `Refusal` when a request would not be accepted now."""
        if self.state == "failed":
            raise come_back(503, "the renderer could not be loaded", _LOADING_RETRY)
        self.queue.check_room()

    def prepare(self, wanted: Wanted) -> Prepared:
        """What is to be drawn. Reads a few small files at most. Raises `Refusal` for what cannot be."""
        notes: list[str] = []
        settings = self._settings(wanted, notes)
        references = tuple(
            Reference(n, f"image{n}", "", p.sha256, media_type=p.media_type)
            for n, p in enumerate(wanted.pictures, 1)
        )
        z = Z(
            request=wanted.prompt,
            gen_prompt=wanted.prompt,
            negative_prompt=wanted.negative_prompt,
            reference_images=references,
            settings=settings,
        )
        try:
            refused = list(self.renderer.refusals(z))
        except GenevolveError as error:
            raise come_back(503, f"the renderer cannot be used: {error}", _LOADING_RETRY) from error
        if refused:
            raise Refusal(400, "; ".join(refused))
        return Prepared(z, tuple(notes))

    def submit(self, request_id: str, wanted: Wanted, prepared: Prepared) -> Job:
        """Accept a request; its picture will be in the job's result. Raises `Refusal` when it is not accepted."""
        self.check_room()
        key = self.drawers[0].batch_key(prepared.z)
        job = Job(request_id, prepared.z, wanted.pictures, batch_key=key)
        self.queue.submit(job)
        return job

    def _settings(self, wanted: Wanted, notes: list[str]) -> Settings:
        can = getattr(self.renderer, "capabilities", None)
        steps, guidance = wanted.steps, _guidance(wanted, getattr(can, "guidance", None), notes)
        if can is not None and steps is not None and not can.steps:
            notes.append("steps were left out: the renderer has no such setting")
            steps = None
        if can is not None and guidance is not None and not can.guidance:
            notes.append("guidance was left out: the renderer has no such setting")
            guidance = None
        width, height = wanted.size or self._natural_size(wanted, getattr(can, "multiple", None) or 1)
        return Settings(width=width, height=height, steps=steps, guidance=guidance, seed=wanted.seed)

    def _natural_size(self, wanted: Wanted, multiple: int) -> tuple[int, int]:
        """The shape of the first reference with the long side of METHOD, or a square; never above the limits."""
        grid = math.lcm(MULTIPLE, multiple)
        first = wanted.pictures[0] if wanted.pictures else None
        shape = (first.width, first.height) if first else (1, 1)
        long_side = min(LONG_SIDE, self.limits.side)
        scale = long_side / max(shape)
        scale = min(scale, math.sqrt(self.limits.pixels / (shape[0] * shape[1])))
        width, height = (max(grid, round(side * scale / grid) * grid) for side in shape)
        while width * height > self.limits.pixels and max(width, height) > grid:  # rounding went up
            width, height = (max(grid, side - grid) for side in (width, height))
        check_size((width, height), self.limits)
        return width, height

    async def _load(self, drawer: Drawer) -> None:
        try:
            await self._threads.call(drawer.load, f"load-{drawer.device}")
            if self.warm_up:
                await self._warm(drawer)
        except GenevolveError as error:
            self._fail(drawer, str(error))
            return
        except Exception as error:  # a renderer of somebody else: the service stays up and says so
            log.exception("%s cannot be loaded", drawer.device)
            self._fail(drawer, f"{type(error).__name__}: {error}")
            return
        self._loaded += 1
        self.metrics.devices.set(self._loaded)
        self.queue.start(drawer)
        log.info("%s is ready", drawer.device)

    def _fail(self, drawer: Drawer, reason: str) -> None:
        self._failed += 1
        self.problem = reason
        log.error("%s cannot be used: %s", drawer.device, reason)
        if self._failed == len(self.drawers):
            self.queue.refuse_waiting("the renderer could not be loaded")

    async def _warm(self, drawer: Drawer) -> None:
        """One small picture, so that the first client does not wait for kernels and caches; failures only show."""
        can = getattr(self.renderer, "capabilities", None)
        side = math.lcm(MULTIPLE, getattr(can, "multiple", None) or 1) * 4
        steps = 2 if can is not None and can.steps else None
        z = Z(request="warm-up", gen_prompt="a circle", settings=Settings(side, side, steps=steps))
        if drawer.refusals(z):
            log.info("no warm-up on %s: the renderer needs a reference", drawer.device)
            return
        job = Job("warm-up", z)
        result = await self._threads.call(
            lambda: drawer.draw(job.context(self.limits.render_seconds), [job]), f"warm-{drawer.device}"
        )
        first = result[0] if isinstance(result, list) else await result
        if not isinstance(first, Rendering):
            log.warning("the warm-up on %s failed: %s", drawer.device, first)


def _guidance(wanted: Wanted, argument: str | None, notes: list[str]) -> float | None:
    """The one guidance that the renderer has, from the two that clients send.

    Clients of the protocol send true CFG and, always, a `guidance_scale` of 1, which is none. So the true CFG is what
    they mean, also for a pipeline whose own argument is `guidance_scale`, unless that was set to something.
    """
    true_cfg, scale = wanted.true_cfg_scale, wanted.guidance_scale
    if true_cfg is None or scale is None:
        return scale if true_cfg is None else true_cfg
    if argument == "guidance_scale" and scale != 1:
        notes.append("true_cfg_scale was left out: the renderer has guidance_scale only")
        return scale
    if scale != 1:
        notes.append("guidance_scale was left out: the renderer is guided by true_cfg_scale")
    return true_cfg
