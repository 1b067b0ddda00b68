"""The HTTP routes of the service."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from genevolve.grammar.errors import (
    AuthorError,
    Cancelled,
    ConfigurationError,
    GenevolveError,
    InternalError,
    StorageError,
)
from genevolve.interpreter.protocols import Rendering
from genevolve.interpreter.service import metrics
from genevolve.interpreter.service.auth import Access
from genevolve.interpreter.service.forms import read_form
from genevolve.interpreter.service.gate import Gate, Visit, error_body
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.limits import Refusal
from genevolve.interpreter.service.schemas import (
    GenerateBody,
    ImagesBody,
    Wanted,
    parse_edits,
    parse_generate,
    parse_generations,
)
from genevolve.interpreter.service.service import Prepared, Service

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("genevolve.service")

_CLIENT_GONE = 499  # nobody reads it; it is what the log line shows


def create_app(service: Service, access: Access) -> FastAPI:
    """The application. The service starts and ends with it.

    Args:
        service: what draws.
        access: who may ask.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            app.state.stuck = await service.close()

    app = FastAPI(title="genevolve renderer", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.stuck = 0
    routes = _Routes(service)
    for path, route, schema, media in (
        ("/generate", routes.generate, GenerateBody, "application/json"),
        ("/v1/images/generations", routes.generations, ImagesBody, "application/json"),
        ("/v1/images/edits", routes.edits, ImagesBody, "multipart/form-data"),
    ):
        described = {"requestBody": {"content": {media: {"schema": cast(Any, schema).model_json_schema()}}}}
        app.post(path, openapi_extra=described, response_class=Response)(route)
    app.get("/healthz", response_class=Response)(routes.health)
    app.get("/metrics", response_class=Response)(routes.metrics)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(
        Gate,
        access=access,
        limits=service.limits,
        metrics=service.metrics,
        check_room=service.check_room,
    )
    return app


class _Routes:
    """The routes, which share the service and the readers of bodies."""

    def __init__(self, service: Service) -> None:
        self._service = service
        # Bodies are large, and so is what they decode to: few at a time are in memory.
        self._readers = asyncio.Semaphore(service.capacity + 2 * len(service.drawers))
        self._decoders = asyncio.Semaphore(2)

    async def generate(self, request: Request) -> Response:
        """Draw one picture: the protocol of GenEvolve's clients."""
        wanted, job, image, prepared = await self._draw(request, self._json(parse_generate))
        visit = _visit(request)
        encoded = base64.b64encode(image).decode()
        rendering = job.result.result()
        return JSONResponse(
            {
                "success": True,
                "image": f"data:image/png;base64,{encoded}" if wanted.data_uri else encoded,
                "media_type": "image/png",
                "id": visit.id,
                "model": await asyncio.to_thread(_version, self._service),
                "width": rendering.image.width,
                "height": rendering.image.height,
                "seed": wanted.seed,
                "notes": [*prepared.notes, *rendering.notes],
                "queued_seconds": round(job.waited, 3),
                "seconds": round(job.rendered, 3),
            }
        )

    async def generations(self, request: Request) -> Response:
        """Draw one picture from text, as OpenAI's images API does."""
        return await self._openai(request, self._json(parse_generations))

    async def edits(self, request: Request) -> Response:
        """Draw one picture from text and reference images, as OpenAI's images API does."""

        async def read(of: Request) -> Callable[[], Wanted]:
            texts, files = await read_form(of, self._service.limits)
            return lambda: parse_edits(texts, files, self._service.limits)

        return await self._openai(request, read)

    async def health(self, request: Request) -> Response:
        """Whether requests are drawn: 200 when ready, 503 while loading, draining or after a failure."""
        service = self._service
        body: dict[str, object] = {"status": service.state}
        if _visit(request).known:
            body |= {
                "renderer": service.renderer.name,
                "model": await asyncio.to_thread(_version, service),
                "devices": [drawer.device for drawer in service.drawers],
                "waiting": service.queue.waiting,
                "in_flight": service.queue.running,
                "capacity": service.capacity,
            }
            if service.problem:
                body["problem"] = service.problem
        return JSONResponse(body, 200 if service.state == "ready" else 503)

    async def metrics(self, request: Request) -> Response:
        """Counters and times for Prometheus."""
        return Response(self._service.metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    async def _openai(self, request: Request, read: _Read) -> Response:
        _, job, image, _ = await self._draw(request, read)
        drawn = job.result.result().image
        return JSONResponse(
            {
                "created": int(time.time()),
                "data": [{"b64_json": base64.b64encode(image).decode()}],
                "output_format": "png",
                "size": f"{drawn.width}x{drawn.height}",
            }
        )

    def _json(self, parse: Callable[[bytes, Any], Wanted]) -> _Read:
        async def read(request: Request) -> Callable[[], Wanted]:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":  # also what keeps web pages from posting without asking first
                raise Refusal(415, "the body must be sent as application/json")
            # Not `request.body()`: that would be kept with the request for as long as it waits.
            body = b"".join([chunk async for chunk in request.stream()])
            return lambda: parse(body, self._service.limits)

        return read

    async def _draw(self, request: Request, read: _Read) -> tuple[Wanted, Job, bytes, Prepared]:
        """Read, check, queue, wait. Raises `Refusal` when there is no picture in the end."""
        try:
            async with self._readers:
                parse = await read(request)
                async with self._decoders:
                    wanted = await asyncio.to_thread(parse)
                    del parse  # and the body with it
                    prepared = await asyncio.to_thread(self._service.prepare, wanted)
        except ClientDisconnect:
            raise Refusal(_CLIENT_GONE, "the client went away", "gone") from None
        visit = _visit(request)
        visit.job = job = self._service.submit(visit.id, wanted, prepared)
        rendering = await self._wait(request, job)
        return wanted, job, await asyncio.to_thread(encode, rendering.image), prepared

    async def _wait(self, request: Request, job: Job) -> Rendering:
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            ends: set[asyncio.Future[Any]] = {job.result, gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not job.result.done():
                self._service.queue.abandon(job)
                raise Refusal(_CLIENT_GONE, "the client went away", "gone")
            return job.result.result()
        except GenevolveError as error:
            raise _as_refusal(error) from error
        except asyncio.CancelledError:
            self._service.queue.abandon(job)
            raise
        finally:
            gone.cancel()


_Read: TypeAlias = "Callable[[Request], Awaitable[Callable[[], Wanted]]]"
"""Reads a body and returns the function that makes a `Wanted` of it, to be called in a thread."""


def encode(image: Image) -> bytes:
    """A picture as PNG, without any metadata."""
    out = io.BytesIO()
    clean = image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGB")
    clean.save(out, "PNG", compress_level=1)  # over loopback or a LAN, time counts more than bytes
    return out.getvalue()


def _version(service: Service) -> str:
    try:
        return service.renderer.version
    except GenevolveError:
        return "unknown"


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _visit(request: Request) -> Visit:
    return cast(Visit, request.scope["state"]["visit"])


def _as_refusal(error: GenevolveError) -> Refusal:
    match error:
        case AuthorError():
            return Refusal(400, str(error))
        case Cancelled():
            return Refusal(_CLIENT_GONE, "the client went away", "gone")
        case ConfigurationError() | StorageError() | InternalError():
            log.error("%s", error)
            return Refusal(500, str(error), "failed")
        case _ if "out of time" in str(error) or "the time was over" in str(error):
            return Refusal(504, str(error), "timeout")
        case _:
            return Refusal(500, str(error), "failed")


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        found = cast(HTTPException, error)
        error = Refusal(found.status_code, _sentence(found), headers=dict(found.headers or {}))
    visit = _visit(request)
    visit.outcome = error.outcome
    return JSONResponse(error_body(error, visit), error.status, headers=error.headers)


def _sentence(error: HTTPException) -> str:
    known = {404: "there is nothing at this path", 405: "this path does not take that method"}
    return known.get(error.status_code, str(error.detail))


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback; the client is told no more than that.
    visit = _visit(request)
    visit.outcome = "failed"
    return JSONResponse(error_body(Refusal(500, "internal error", "failed"), visit), 500)
