"""Running the service: socket, signals, graceful end."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import uvicorn

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.config import Config
from genevolve.interpreter.protocols import Renderer
from genevolve.interpreter.service.app import create_app
from genevolve.interpreter.service.auth import Access
from genevolve.interpreter.service.drawing import Drawer, RendererDrawer
from genevolve.interpreter.service.limits import Limits
from genevolve.interpreter.service.protocol import GuardedProtocol
from genevolve.interpreter.service.service import Service
from genevolve.interpreter.service.spool import Spool

log = logging.getLogger("genevolve.service")

_DELIVERY = 10  # seconds for answers that are ready to reach their clients


@dataclass(frozen=True)
class ServerSettings:
    """How a service runs.

    Attributes:
        renderer: as in `genevolve.interpreter.renderers.catalog`.
        devices: torch devices for a diffusers pipeline; empty: all CUDA devices, else the best there is.
        host: the address to listen on.
        port: 0 is any free one.
        key: what clients must show; None: nothing.
        names: further names that clients may know the service by.
        queue: how many requests may wait.
        most_together: most requests of one call of a pipeline.
        grace: seconds to finish what was accepted when the service is told to stop.
        warm_up: draw a small picture first.
        limits: what one request may ask.
        config: settings for a renderer that itself asks another service; read when it is needed by default.
    """

    renderer: str
    devices: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8001
    key: str | None = None
    names: tuple[str, ...] = ()
    queue: int = 16
    most_together: int = 4
    grace: float = 30.0
    warm_up: bool = False
    limits: Limits = field(default_factory=Limits)
    config: Config | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a service ended: accepted requests that were given up, and threads that could not be stopped."""

    given_up: int
    stuck: int


def run_server(settings: ServerSettings, announce: Callable[[str], None]) -> Ending:
    """Serve until a signal ends it.

    SIGTERM or SIGINT refuses what comes from then on and finishes what was accepted; a second one stops at once.

    Args:
        settings: how to run.
        announce: told the service's URL once it listens.

    Raises:
        ConfigurationError: for settings, a renderer or an address that cannot be used.
        StorageError: when there is no room for temporary files.
    """
    access = Access(settings.host, settings.key, settings.names)
    opened = open_renderers(settings)
    listener = listen(settings.host, settings.port)
    try:
        service = make_service(settings, opened)
    except BaseException:
        listener.close()
        raise
    app = create_app(service, access)
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_DELIVERY,
    )
    host, port = listener.getsockname()[:2]
    announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    server = _Server(config, service, settings.grace)
    server.run(sockets=[listener])
    return Ending(server.given_up, app.state.stuck)


@dataclass(frozen=True, slots=True)
class Opened:
    """The renderers of a service.

    Attributes:
        front: says what can be drawn, and never draws itself where others do, so that it answers while they load.
        workers: one a device.
    """

    front: Renderer
    workers: tuple[Renderer, ...]


def make_service(settings: ServerSettings, opened: Opened) -> Service:
    """A service that draws with these renderers."""
    spool = Spool()
    drawers: list[Drawer] = [_drawer(renderer, spool, settings) for renderer in opened.workers]
    return Service(
        opened.front,
        drawers,
        spool,
        limits=settings.limits,
        capacity=settings.queue,
        most_together=settings.most_together,
        warm_up=settings.warm_up,
    )


def open_renderers(settings: ServerSettings) -> Opened:
    """The renderer, once for each device; unusable files are reported here, before anybody is told to wait.

    Raises:
        ConfigurationError: for an unknown renderer, unusable files, or devices that the renderer cannot be put on.
    """
    from genevolve.interpreter.renderers.catalog import open_renderer

    first = open_renderer(settings.renderer, settings.config)
    if first.name != "diffusers":
        if settings.devices:
            raise ConfigurationError(
                f"the renderer {first.name} has no devices to choose; leave --devices out"
            )
        return Opened(first, (first,))
    from dataclasses import replace

    from genevolve.interpreter.renderers.diffusers import DiffusersRenderer

    assert isinstance(first, DiffusersRenderer)
    if problems := first.capabilities.problems:
        raise ConfigurationError(f"{settings.renderer} cannot be used as a renderer: {problems[0]}")
    devices = _devices(settings, first.options.device)
    location, options = first.source.location, first.options
    return Opened(
        first, tuple(DiffusersRenderer(location, replace(options, device=device)) for device in devices)
    )


def _devices(settings: ServerSettings, option: str) -> list[str]:
    from genevolve.interpreter.renderers.diffusers.loading import choose_device

    if settings.devices and option != "auto":
        raise ConfigurationError("the device is given twice: with --devices and in the renderer's options")
    wanted = list(settings.devices) or ([option] if option != "auto" else [])
    if not wanted:
        import torch

        wanted = [f"cuda:{i}" for i in range(torch.cuda.device_count())] or [choose_device("auto")]
    for device in wanted:
        choose_device(device)
    if len(set(wanted)) < len(wanted):
        raise ConfigurationError("a device is given twice; one worker uses a device to the full")
    return wanted


def _drawer(renderer: Renderer, spool: Spool, settings: ServerSettings) -> Drawer:
    if renderer.name != "diffusers":
        return RendererDrawer(renderer, spool)
    from genevolve.interpreter.renderers.diffusers import DiffusersRenderer
    from genevolve.interpreter.service.batching import DiffusersDrawer

    assert isinstance(renderer, DiffusersRenderer)
    return DiffusersDrawer(renderer, spool, settings.most_together)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `ConfigurationError` when the address is taken or not ours."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server, but a signal first drains the queue while new requests are still answered, with 503."""

    def __init__(self, config: uvicorn.Config, service: Service, grace: float) -> None:
        super().__init__(config)
        self.given_up = 0
        self._service = service
        self._grace = grace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came. Unlike uvicorn's, it is not raised again at the end: a drained service ended well."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told_to_stop)
        else:
            sys.exit(0)

    def _told_to_stop(self) -> None:
        if self._drain is None:
            queue = self._service.queue
            log.info("stopping: %d being drawn, %d waiting", queue.running, queue.waiting)
            self._drain = asyncio.create_task(self._finish())
        else:
            log.warning("stopping at once")
            self.given_up = self._service.queue.waiting + self._service.queue.running
            self._drain.cancel()
            self._service.queue.give_up("the service was stopped")
            self.should_exit = True

    async def _finish(self) -> None:
        self.given_up = await self._service.queue.drain(self._grace)
        if self.given_up:
            log.warning("%d accepted requests were not finished in %g seconds", self.given_up, self._grace)
        self.should_exit = True
