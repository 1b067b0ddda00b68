"""Several text-to-image requests in one call of a diffusers pipeline.

The pipeline gets a list of prompts and a list of generators, one seed each, so every picture starts from the noise that
it would start from alone; only rounding differs, because kernels add up a batch in another order. Pipelines that take a
picture are never called this way: their lists mean several references or one batch, depending on the class.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Hashable, Sequence
from types import SimpleNamespace
from typing import Any

from genevolve.grammar.errors import Cancelled, GenevolveError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.diffusers.arguments import Arguments, build, prompt_notes
from genevolve.interpreter.renderers.diffusers.loading import (
    Loaded,
    brief,
    choose_device,
    device_lock,
    is_out_of_memory,
)
from genevolve.interpreter.renderers.diffusers.output import picture
from genevolve.interpreter.renderers.diffusers.renderer import DiffusersRenderer, Watch
from genevolve.interpreter.renderers.diffusers.source import resolve_class
from genevolve.interpreter.service.drawing import RendererDrawer, Result
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.spool import Spool

log = logging.getLogger("genevolve.service")

_OWN = ("prompt", "negative_prompt")  # keywords that each request of a batch has for itself
_GLANCE = 0.1  # seconds between looks at a busy device

# As in the renderer: what pipelines raise for inputs, weights or versions that do not go together.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class DiffusersDrawer(RendererDrawer):
    """A diffusers pipeline on one device.

    Args:
        renderer: the pipeline.
        spool: where references lie while a job is drawn.
        most_together: most requests of one call.
    """

    renderer: DiffusersRenderer

    def __init__(self, renderer: DiffusersRenderer, spool: Spool, most_together: int) -> None:
        super().__init__(renderer, spool, device=renderer.options.device)
        # Asked for now: while it loads, the renderer keeps everybody waiting who asks.
        self._can = renderer.capabilities
        self._batches = can_batch(renderer)
        self.most_together = most_together if self._batches else 1

    def load(self) -> None:
        """Load the weights."""
        self.renderer.load()

    def batch_key(self, z: Z) -> Hashable:
        """The keywords of the call that a batch shares; None when the pipeline takes no batches."""
        if not self._batches or z.reference_images:
            return None
        keywords = self._arguments(z).keywords
        shared = tuple(sorted((k, repr(v)) for k, v in keywords.items() if k not in _OWN))
        return (*shared, "negative_prompt" in keywords)

    def draw(self, context: CallContext, jobs: Sequence[Job]) -> list[Result]:
        """Draw one job as the renderer does, several in one call.

        A batch that fails is drawn again one by one, so that no request suffers from its neighbours. One that
        does not fit into memory makes later batches half as large.
        """
        if len(jobs) == 1:
            return [self._alone(context, jobs[0])]
        try:
            return self._together(context, jobs)
        except (Cancelled, ServiceError):
            raise
        except _FAILURES as error:
            if is_out_of_memory(error):
                self.most_together = max(1, len(jobs) // 2)
                log.warning("a batch of %d does not fit; from now on %d", len(jobs), self.most_together)
            else:
                log.warning("a batch of %d failed and is drawn one by one: %s", len(jobs), brief(error))
        return [self._alone(context, job) for job in jobs]

    def _alone(self, context: CallContext, job: Job) -> Result:
        references = self._spool.write(job)
        try:
            return self.renderer.render(context, job.z, references)
        except GenevolveError as error:
            return error
        finally:
            self._spool.remove(job)

    def _together(self, context: CallContext, jobs: Sequence[Job]) -> list[Result]:
        renderer = self.renderer
        can = self._can
        started = time.monotonic()
        with _Turn(choose_device(renderer.options.device), context):
            loaded = renderer.load()
            arguments = [self._arguments(job.z) for job in jobs]
            watch = Watch(context, can.pipeline)
            result = _call(loaded, arguments, [job.z.settings.seed for job in jobs], watch, can.step_callback)
            counted = [prompt_notes(job.z.gen_prompt, loaded.pipeline, can) for job in jobs]
        info = {
            "version": renderer.version,
            "device": loaded.device,
            "dtype": loaded.dtype,
            "steps": watch.steps,
            "batch": len(jobs),
            "seconds": round(time.monotonic() - started, 3),
        }
        notes = [(*a.notes, *c) for a, c in zip(arguments, counted, strict=True)]
        return [_rendering(result, i, can.pipeline, notes[i], info) for i in range(len(jobs))]

    def _arguments(self, z: Z) -> Arguments:
        return build(z, self._can, [], self.renderer.options.strength)


def can_batch(renderer: DiffusersRenderer) -> bool:
    """Whether the pipeline draws from text alone and its class takes lists of prompts and of generators."""
    can = renderer.capabilities
    if can.most_references != 0 or not can.seeded or can.problems:
        return False
    name = renderer.options.pipeline or renderer.source.class_name
    parameters = inspect.signature(resolve_class(name, renderer.source.location).__call__).parameters
    lists = [n for n in ("prompt", "generator", "negative_prompt") if n in parameters]
    return all("list[" in str(parameters[n].annotation).lower() for n in lists)


def _call(
    loaded: Loaded, arguments: Sequence[Arguments], seeds: Sequence[int], watch: Watch, by_callback: bool
) -> Any:
    import torch

    keywords = dict(arguments[0].keywords)
    for name in _OWN:
        if name in keywords:
            keywords[name] = [a.keywords[name] for a in arguments]
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    pipeline = loaded.pipeline
    try:
        with watch.over(pipeline, by_callback=by_callback) as callback:
            result = pipeline(**keywords, **callback, generator=generators, output_type="np")
    finally:
        pipeline.maybe_free_model_hooks()
    if len(result.images) != len(seeds):
        raise RuntimeError(f"{len(result.images)} pictures for {len(seeds)} prompts")
    return result


def _rendering(
    result: Any, index: int, pipeline: str, notes: tuple[str, ...], info: dict[str, object]
) -> Result:
    flags = getattr(result, "nsfw_content_detected", None)
    flagged = [flags[index]] if isinstance(flags, list | tuple) and index < len(flags) else None
    one = SimpleNamespace(images=[result.images[index]], nsfw_content_detected=flagged)
    try:
        return Rendering(picture(one, pipeline), notes, info)
    except ServiceError as error:
        return error


class _Turn:
    """The device for ourselves; a stopped render stops waiting for it."""

    def __init__(self, device: str, context: CallContext) -> None:
        self._lock = device_lock(device)
        self._device = device
        self._context = context

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_GLANCE):
            self._context.check()
            if self._context.remaining() <= 0:
                raise ServiceError(f"the device {self._device} was busy until the time was over")
        if self._context.cancelled.is_set():
            self._lock.release()
            self._context.check()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
