"""uvicorn's HTTP protocol with an end to clients that are slow on purpose.

uvicorn times idle connections only after their first answer. Here a connection must also send its headers, take its
answer, and end a body that was refused, each within a time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

HEADER_SECONDS = 15.0
"""Time for the headers of a request."""

ANSWER_SECONDS = 60.0
"""Time for a client to take its answer."""

LINGER_SECONDS = 5.0
"""Time that a refused body may go on; closing at once would destroy the answer on its way."""

MOST_CONNECTIONS = 512
"""Connections beyond these are closed unheard."""


class GuardedProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin to wait for headers."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._arm(HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Headers that are complete stop the clock, those of a later request start it again."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()
        elif self._timer is None:
            self._arm(HEADER_SECONDS)

    def on_response_complete(self) -> None:
        """The answer is written: it must be taken, and a body that still comes must end."""
        refused = self.conn.their_state is h11.SEND_BODY
        self._disarm()
        self._arm(LINGER_SECONDS if refused else ANSWER_SECONDS)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to time."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._over)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
