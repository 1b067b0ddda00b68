"""Where pictures are drawn and judged: in worker processes, or on a loop of their own beside the policy.

Drawing and reading pixels with local code is work for a processor: it goes to processes. Renderers and judges that ask
services wait for others most of the time, and a diffusion pipeline must not be loaded twice: they share one loop, on
which at most so many pieces are at work.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from genevolve.grammar.errors import (
    AuthorError,
    ConfigurationError,
    GenevolveError,
    ProgramError,
    RunError,
    ServiceError,
)
from genevolve.interpreter.judges.protocol import Case, Judge, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

    from genevolve.grammar.tree import Tree
    from genevolve.grammar.z import Constraint, Z
    from genevolve.interpreter.protocols import CallContext, Renderer
    from genevolve.interpreter.session import Session
    from genevolve.interpreter.values import ImageHandle, Value

LOCAL_RENDERERS = ("studio", "storyboard")
LOCAL_JUDGES = ("inspector", "sufficiency")

Kind: TypeAlias = Literal["input", "service"]


@dataclass(frozen=True)
class Wanted:
    """What is known of the picture that a program is to give.

    Attributes:
        request: What was asked for.
        id: Of the request.
        category: Of the request.
        constraints: What the ground truth holds.
        truth: The file of the ground truth, which was found to lie where it may.
    """

    request: str
    id: str = ""
    category: str = ""
    constraints: tuple[Constraint, ...] = ()
    truth: Path | None = None


@dataclass(frozen=True)
class Piece:
    """A z to be drawn and judged; everything in it can be sent to another process."""

    wanted: Wanted
    z: Z
    references: tuple[ImageHandle, ...]
    program: str
    tree: Tree
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What became of a piece.

    Attributes:
        z: What was drawn; None when the program gave none.
        png: The picture with its program inside; None when there is none.
        error: Why there is none; `kind` tells whether the program or a service is to blame.
        verdict: What the judge said; None when there was nothing to judge.
    """

    z: Z | None = None
    png: bytes | None = None
    error: str = ""
    kind: Kind = "input"
    verdict: Verdict | None = None


class Workshop(Protocol):
    """Draws and judges pieces."""

    def take(self, session: Session, tree: Tree, wanted: Wanted) -> Future[Done]:
        """Begin a piece; what the program is to blame for is in `Done`, anything else is raised by the future."""

    def draw(self, piece: Piece) -> Future[Done]:
        """As `take`, for a z that is known already."""

    def close(self) -> None:
        """Stop the work and free what is held."""


# ---- processes ---------------------------------------------------------------------------------------

_opened: dict[str, tuple[Renderer, Judge | None]] = {}
"""Of this worker process: the renderer and the judge by their specs."""


class Processes:
    """Worker processes, each with its own renderer and judge.

    Args:
        renderer: Spec of a renderer of `LOCAL_RENDERERS`.
        judge: Spec of a judge of `LOCAL_JUDGES`; None judges nothing.
        count: How many processes.
    """

    def __init__(self, renderer: str, judge: str | None, count: int) -> None:
        # Not forked: threads of libraries that are loaded already would be cut off in the middle.
        self._pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)
        self._specs = (renderer, judge)

    def take(self, session: Session, tree: Tree, wanted: Wanted) -> Future[Done]:
        """See `Workshop`."""
        from genevolve.interpreter.blocking import blocking

        try:
            run = blocking(session.finish())
        except (AuthorError, ProgramError) as error:
            return _at_once(_refused(error))
        return self.draw(Piece(wanted, run.z, run.references, run.program, tree, run.values))

    def draw(self, piece: Piece) -> Future[Done]:
        """See `Workshop`."""
        try:
            return self._pool.submit(_make, *self._specs, piece)
        except BrokenProcessPool as error:
            raise ServiceError(
                "the processes that draw and judge have died; is there enough memory?"
            ) from error

    def close(self) -> None:
        """See `Workshop`."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def is_local(renderer: str, judge: str | None) -> bool:
    """Whether both are plain local code, which processes can do at the same time."""
    names = [
        spec.replace("?", ":").partition(":")[0].strip() for spec in (renderer, judge or LOCAL_JUDGES[0])
    ]
    return names[0] in LOCAL_RENDERERS and names[1] in LOCAL_JUDGES


def _begin() -> None:
    """Ctrl-C is for the process that gives the work; this one ends with it, even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    giver = parent_process()
    if giver is not None:

        def end_with() -> None:
            giver.join()
            os._exit(1)

        # A worker holds both ends of its own queue: it would wait for work for ever.
        threading.Thread(target=end_with, name="end", daemon=True).start()


def _make(renderer_spec: str, judge_spec: str | None, piece: Piece) -> Done:
    from genevolve.interpreter.judges.catalog import open_judge
    from genevolve.interpreter.renderers.catalog import open_renderer

    key = f"{renderer_spec}\0{judge_spec}"
    if key not in _opened:
        judge = None if judge_spec is None else open_judge(judge_spec)
        _opened[key] = open_renderer(renderer_spec), judge
    renderer, judge = _opened[key]
    return asyncio.run(draw_and_judge(renderer, judge, piece))


async def draw_and_judge(renderer: Renderer, judge: Judge | None, piece: Piece) -> Done:
    """Draw one z and judge the picture; what renderer and judge raise becomes a reason."""
    from genevolve.interpreter.protocols import CallContext

    drawn = await _drawn(renderer, piece, CallContext())
    if isinstance(drawn, Done):
        return drawn
    image, png = drawn
    verdict = None if judge is None else await judged(judge, piece, image)
    return Done(piece.z, png, verdict=verdict)


def draw_only(renderer: Renderer, piece: Piece, context: CallContext) -> Done | tuple[Image, bytes]:
    """The picture of a z and its PNG, or why there is none; for a thread without a loop."""
    return asyncio.run(_drawn(renderer, piece, context))


async def _drawn(renderer: Renderer, piece: Piece, context: CallContext) -> Done | tuple[Image, bytes]:
    from genevolve.interpreter.png import png_bytes
    from genevolve.interpreter.run import version

    refusals = renderer.refusals(piece.z)
    if refusals:
        return Done(piece.z, error=f"the renderer {renderer.name} cannot honour this program: {refusals[0]}")
    try:
        made = renderer.render(context, piece.z, piece.references)
        rendering = await made if inspect.isawaitable(made) else made
    except ConfigurationError:
        raise
    except AuthorError as error:
        return Done(piece.z, error=str(error))
    except GenevolveError as error:
        return Done(piece.z, error=str(error), kind="service")
    return rendering.image, png_bytes(rendering.image, piece.program, piece.z, version())


async def judged(judge: Judge, piece: Piece, image: Image | None) -> Verdict:
    """What a judge says of a picture; a ground truth that cannot be read, or a judge that fails, is `unscored`."""
    wanted = piece.wanted
    try:
        case = Case(
            wanted.request,
            None if image is None else image.convert("RGB"),
            None if wanted.truth is None else _opened_picture(wanted.truth),
            wanted.constraints,
            piece.z,
            piece.tree,
            piece.values,
            wanted.id,
            wanted.category,
        )
        said = judge.score(case)
        return await said if inspect.isawaitable(said) else said
    except ConfigurationError:
        raise
    except GenevolveError as error:
        return Verdict(None, unscored=str(error), judge=judge.name)
    except Exception as error:  # other people's code: a picture that it cannot judge is unscored, not 0
        said_why = " ".join(str(error).split())[:300]
        return Verdict(
            None, unscored=f"the judge raised {type(error).__name__}: {said_why}", judge=judge.name
        )


def _opened_picture(path: Path) -> Image:
    from genevolve.interpreter.images import DEFAULT_LIMITS, decode, read_bytes

    return decode(read_bytes(path, path.name, DEFAULT_LIMITS.max_bytes), path.name)[0].convert("RGB")


def _refused(error: GenevolveError) -> Done:
    service = isinstance(error, RunError) and error.service
    if isinstance(error, ProgramError) and error.findings.errors:
        return Done(
            error="; ".join(f"{d.code} {d.message}" for d in error.findings.errors),
            kind="service" if service else "input",
        )
    return Done(error=str(error), kind="service" if service else "input")


def _at_once(done: Done) -> Future[Done]:
    future: Future[Done] = Future()
    future.set_result(done)
    return future


# ---- one loop ----------------------------------------------------------------------------------------


class Loop:
    """One thread with a loop, on which at most `count` pieces are at work.

    Args:
        judge: Judges; None judges nothing. It is closed with the workshop.
        count: How many pieces at a time.
        renderer: Draws what comes without a machine (`draw`).
    """

    def __init__(self, judge: Judge | None, count: int, renderer: Renderer | None = None) -> None:
        self._judge, self._renderer = judge, renderer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="workshop", daemon=True)
        self._thread.start()
        self._places = self._wait(_semaphore(count))

    def take(self, session: Session, tree: Tree, wanted: Wanted) -> Future[Done]:
        """See `Workshop`."""
        return asyncio.run_coroutine_threadsafe(self._make(session, tree, wanted), self._loop)

    def draw(self, piece: Piece) -> Future[Done]:
        """See `Workshop`; raises `ConfigurationError` when it was made without a renderer."""
        if self._renderer is None:
            raise ConfigurationError("there is no renderer here that could draw")
        return asyncio.run_coroutine_threadsafe(self._draw(self._renderer, piece), self._loop)

    def close(self) -> None:
        """See `Workshop`."""
        if self._loop.is_closed():
            return
        self._wait(_cancel_all())
        close = getattr(self._judge, "aclose", None)
        if callable(close):
            self._wait(close())
        self._wait(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _make(self, session: Session, tree: Tree, wanted: Wanted) -> Done:
        async with self._places:
            try:
                run = await session.finish(render=True)
            except (AuthorError, ProgramError) as error:
                _raise_configuration(error)
                return _refused(error)
            if self._judge is None:
                return Done(run.z, run.png)
            piece = Piece(wanted, run.z, run.references, run.program, tree, run.values)
            return Done(run.z, run.png, verdict=await self._say(piece, run.image))

    async def _draw(self, renderer: Renderer, piece: Piece) -> Done:
        from genevolve.interpreter.protocols import CallContext

        async with self._places:
            if inspect.iscoroutinefunction(renderer.render):
                return await draw_and_judge(renderer, self._judge, piece)
            # A renderer that is plain code must not stop the loop; the judge may be of the loop's own.
            drawn = await asyncio.to_thread(draw_only, renderer, piece, CallContext())
            if isinstance(drawn, Done) or self._judge is None:
                return drawn if isinstance(drawn, Done) else Done(piece.z, drawn[1])
            return Done(piece.z, drawn[1], verdict=await self._say(piece, drawn[0]))

    async def _say(self, piece: Piece, image: Image | None) -> Verdict:
        assert self._judge is not None
        if inspect.iscoroutinefunction(self._judge.score):
            return await judged(self._judge, piece, image)
        return await asyncio.to_thread(lambda: asyncio.run(judged_with(self._judge, piece, image)))

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def judged_with(judge: Judge | None, piece: Piece, image: Image | None) -> Verdict:
    """As `judged`, for a judge that may be None: then nothing is scored."""
    return Verdict(None, unscored="there is no judge") if judge is None else await judged(judge, piece, image)


async def _semaphore(count: int) -> asyncio.Semaphore:
    return asyncio.Semaphore(count)


async def _cancel_all() -> None:
    others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _raise_configuration(error: BaseException) -> None:
    """A missing key or setting would fail every row, so it ends the bench."""
    from genevolve.programs.batch.outcome import configuration_error

    wrong = configuration_error(error)
    if wrong is not None:
        raise wrong from error
