"""Connections that are slow on purpose end; times are shortened, the connections are real."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx2
import pytest
from in_thread import serving
from PIL import Image

from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.service import protocol
from genevolve.interpreter.service.server import ServerSettings
from genevolve.interpreter.values import ImageHandle


def connect(url: str, receive_buffer: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(10)
    parts = urlsplit(url)
    connection.connect((parts.hostname, parts.port))
    return connection


def ends_within(connection: socket.socket, seconds: float, send: bytes = b"") -> bool:
    """Whether the other side closes while we send one byte after another."""
    end = time.monotonic() + seconds
    connection.settimeout(0.05)
    while time.monotonic() < end:
        try:
            if send:
                connection.sendall(send)
            if connection.recv(65536) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADER_SECONDS", "ANSWER_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.4)


_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.usefixtures("hasty")
def test_headers_that_never_end() -> None:
    with serving(ServerSettings(renderer="storyboard")) as (url, _):
        silent = connect(url)
        assert ends_within(silent, 3)
        dripping = connect(url)
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        assert ends_within(dripping, 3, b"a")
        later = connect(url)
        later.sendall(_HEALTH)
        assert later.recv(65536).startswith(b"HTTP/1.1 200")
        later.sendall(b"GET /healthz")  # a second request that never ends
        assert ends_within(later, 3, b"a")
        for connection in (silent, dripping, later):
            connection.close()
        assert httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200


class Noise:
    """Pictures that do not compress."""

    name, version = "noise", "noise 1"

    def refusals(self, z: Z) -> Sequence[str]:
        return ()

    def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        size = z.settings.width, z.settings.height
        return Rendering(Image.frombytes("RGB", size, random.Random(0).randbytes(3 * size[0] * size[1])))


@pytest.mark.usefixtures("hasty")
def test_an_answer_that_nobody_takes() -> None:
    body = b'{"prompt": "noise", "width": 2048, "height": 2048}'
    head = "POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with serving(ServerSettings(renderer="noise"), Noise()) as (url, service):
        connection = connect(url, receive_buffer=2048)
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wanted = 'genevolve_requests_total{outcome="ok",route="/generate"} 1.0'
        end = time.monotonic() + 20
        while wanted not in service.metrics.exposition().decode() and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(1.0)  # most of the picture waits in the server's memory; then it is thrown away
        received = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                received += chunk
        length = int(received.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert length > 12_000_000
        assert len(received) < length
        connection.close()
        assert httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200


def test_more_connections_than_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 5)
    with serving(ServerSettings(renderer="storyboard")) as (url, _):
        held = [connect(url) for _ in range(5)]
        time.sleep(0.1)
        surplus = connect(url)
        assert ends_within(surplus, 3)
        surplus.close()
        held.pop().close()
        time.sleep(0.1)
        assert httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200
        for connection in held:
            connection.close()
