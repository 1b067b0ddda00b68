"""What stands before every route: ids, origin, key, size and time of bodies, one line in the log.

Plain ASGI, so that a refused request's body is never read into memory and a client that goes away is noticed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genevolve.interpreter.service.auth import Access
from genevolve.interpreter.service.jobs import Job
from genevolve.interpreter.service.limits import Limits, Outcome, Refusal
from genevolve.interpreter.service.metrics import Metrics

log = logging.getLogger("genevolve.service")

DRAWING = ("/generate", "/v1/images/edits", "/v1/images/generations")
_KNOWN = (*DRAWING, "/healthz", "/metrics", "/openapi.json")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass
class Visit:
    """One request, for its log line and for whoever answers it; `scope["state"]["visit"]`."""

    id: str
    method: str
    path: str
    started: float = field(default_factory=time.monotonic)
    received: int = 0
    status: int = 0
    outcome: Outcome | None = None
    known: bool = False
    job: Job | None = None

    @property
    def route(self) -> str:
        """The path where it is one of ours; names of strangers would fill the metrics."""
        return self.path if self.path in _KNOWN else "other"


class Gate:
    """The middleware.

    Args:
        app: what answers.
        access: who may ask.
        limits: how large and how slow a body may be.
        metrics: where outcomes are counted.
        check_room: raises `Refusal` when no request to draw would be accepted now; asked before a body is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        limits: Limits,
        metrics: Metrics,
        check_room: Callable[[], None],
    ) -> None:
        self._app = app
        self._access = access
        self._limits = limits
        self._metrics = metrics
        self._check_room = check_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let one through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        visit = Visit(given if _ID.fullmatch(given) else uuid.uuid4().hex, scope["method"], scope["path"])
        scope.setdefault("state", {})["visit"] = visit
        answer = self._answering(visit, send)
        try:
            self._admit(visit, headers)
            await self._app(scope, self._reading(visit, receive), answer)
        except Refusal as refusal:
            visit.outcome = refusal.outcome
            if not visit.status:
                await send_refusal(refusal, visit, answer)
        finally:
            self._record(visit)

    def _admit(self, visit: Visit, headers: Headers) -> None:
        self._access.check_origin(headers)
        visit.known = self._access.knows(headers)
        if visit.path != "/healthz":
            self._access.check_key(headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._limits.body_bytes:
            raise self._too_large()
        if visit.method == "POST" and visit.path in DRAWING:
            self._check_room()

    def _too_large(self) -> Refusal:
        most = self._limits.body_bytes
        return Refusal(413, f"the request is larger than {most:,} bytes", "too_large")

    def _reading(self, visit: Visit, receive: Receive) -> Receive:
        """A `receive` that counts and times the body; what comes after it, a disconnect, may take its time."""
        deadline = time.monotonic() + self._limits.body_seconds
        complete = False

        async def limited() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                seconds = f"{self._limits.body_seconds:g}"
                raise Refusal(408, f"the body did not arrive within {seconds} seconds", "timeout") from None
            if message["type"] == "http.request":
                visit.received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if visit.received > self._limits.body_bytes:
                    raise self._too_large()
            return message

        return limited

    def _answering(self, visit: Visit, send: Send) -> Send:
        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = visit.id
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cache-Control"] = "no-store"
            await send(message)

        return answering

    def _record(self, visit: Visit) -> None:
        outcome = visit.outcome or (
            "ok" if visit.status < 400 else "invalid" if visit.status < 500 else "failed"
        )
        self._metrics.requests.labels(visit.route, outcome).inc()
        level = logging.DEBUG if visit.path in ("/healthz", "/metrics") and outcome == "ok" else logging.INFO
        job = visit.job
        drawn = f" wait={job.waited:.3f} render={job.rendered:.3f} batch={job.batch}" if job else ""
        path = visit.path[:80].encode("unicode_escape").decode()
        seconds = time.monotonic() - visit.started
        log.log(
            level,
            "%s %s %s %d %s in=%d seconds=%.3f%s",
            visit.id, visit.method, path, visit.status, outcome, visit.received, seconds, drawn,
        )  # fmt: skip
        if job is not None:
            log.debug("%s prompt=%r", visit.id, job.z.gen_prompt[:500])


async def send_refusal(refusal: Refusal, visit: Visit, send: Send) -> None:
    """Answer with an error in the dialect of the path."""
    body = json.dumps(error_body(refusal, visit)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.lower().encode(), v.encode()) for k, v in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_CODES: dict[Outcome, tuple[str, str | None]] = {
    "unauthorized": ("invalid_request_error", "invalid_api_key"),
    "full": ("rate_limit_error", "queue_full"),
    "unavailable": ("server_error", "unavailable"),
    "failed": ("server_error", None),
    "timeout": ("server_error", "timeout"),
}


def error_body(refusal: Refusal, visit: Visit) -> dict[str, object]:
    """An error as clients of that path expect it."""
    if not visit.path.startswith("/v1/"):
        return {"success": False, "error": refusal.message, "id": visit.id}
    kind, code = _CODES.get(refusal.outcome, ("invalid_request_error", None))
    return {"error": {"message": refusal.message, "type": kind, "code": code, "param": refusal.parameter}}
