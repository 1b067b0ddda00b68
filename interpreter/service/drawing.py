"""Drawing accepted jobs on one device: one by one with any renderer, several in one call with diffusers."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Sequence
from typing import Protocol, TypeAlias

from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Renderer, Rendering
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.spool import Spool

Result: TypeAlias = Rendering | BaseException
"""What became of one job."""


class Drawer(Protocol):
    """A renderer on one device, as the queue uses it.

    Attributes:
        device: where it draws, for logs.
        most_together: most jobs of one call; it may shrink when memory runs out.
    """

    device: str
    most_together: int

    def load(self) -> None:
        """Get ready to draw; blocks. Raises `GenevolveError`."""

    def refusals(self, z: Z) -> Sequence[str]:
        """What of z cannot be honoured."""

    def batch_key(self, z: Z) -> Hashable:
        """Jobs with equal keys may be drawn together; None: alone."""

    def draw(self, context: CallContext, jobs: Sequence[Job]) -> list[Result] | Awaitable[Rendering]:
        """Draw the jobs in a worker thread, results in their order; what is raised is the result of all."""

    def finish(self, jobs: Sequence[Job]) -> None:
        """Nothing of these jobs goes on any more; called on the event loop, so it must be quick."""


class RendererDrawer:
    """Any renderer, one job at a time.

    Args:
        renderer: what draws.
        spool: where references lie while a job is drawn.
        device: for logs and metrics.
    """

    most_together = 1

    def __init__(self, renderer: Renderer, spool: Spool, device: str = "cpu") -> None:
        self.renderer = renderer
        self.device = device
        self._spool = spool

    def load(self) -> None:
        """Nothing: renderers load when they first draw."""

    def refusals(self, z: Z) -> Sequence[str]:
        """What the renderer says."""
        return self.renderer.refusals(z)

    def batch_key(self, z: Z) -> Hashable:
        """None: one at a time."""
        return None

    def draw(self, context: CallContext, jobs: Sequence[Job]) -> list[Result] | Awaitable[Rendering]:
        """Draw the only job."""
        (job,) = jobs
        references = self._spool.write(job)
        asynchronous = False
        try:
            result = self.renderer.render(context, job.z, references)
            if isinstance(result, Rendering):
                return [result]
            asynchronous = True  # its references are read later; `finish` removes them
            return result
        finally:
            if not asynchronous:
                self._spool.remove(job)

    def finish(self, jobs: Sequence[Job]) -> None:
        """Remove what an asynchronous render left."""
        for job in jobs:
            self._spool.remove(job)
