"""A service on a real port inside the test's process, for pipelines that are slow to load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from service_process import until

from genevolve.interpreter.protocols import Renderer
from genevolve.interpreter.service.app import create_app
from genevolve.interpreter.service.auth import Access
from genevolve.interpreter.service.protocol import GuardedProtocol
from genevolve.interpreter.service.server import (
    Opened,
    ServerSettings,
    listen,
    make_service,
    open_renderers,
)
from genevolve.interpreter.service.service import Service


@contextmanager
def serving(settings: ServerSettings, renderer: Renderer | None = None) -> Iterator[tuple[str, Service]]:
    """The URL and the service, loaded; with this renderer instead of the one that the settings name."""
    opened = open_renderers(settings) if renderer is None else Opened(renderer, (renderer,))
    service = make_service(settings, opened)
    app = create_app(service, Access(settings.host, settings.key))
    listener = listen(settings.host, 0)
    server = uvicorn.Server(
        uvicorn.Config(app, http=GuardedProtocol, ws="none", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        until(lambda: service.state != "loading", 60)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", service
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
