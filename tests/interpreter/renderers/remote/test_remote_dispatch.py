from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from fake_services import QwenService, b64, png
from remote_cases import picture_file, remote, render, run, until, z_of
from servers import FaultyServer, Reply, busy, html_reply, json_reply

from genevolve.grammar.errors import ServiceError
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.remote.qwen_service import QwenServiceRenderer
from genevolve.interpreter.values import ImageHandle

GOOD = json_reply({"success": True, "image": b64(png())})


@pytest.fixture
def tower(tmp_path: Path) -> ImageHandle:
    return picture_file(tmp_path / "tower.jpg")


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def renders(renderer: QwenServiceRenderer, tower: ImageHandle, count: int) -> list[Rendering]:
    async def all_at_once() -> list[Rendering]:
        return await asyncio.gather(
            *(renderer.render(CallContext(), z_of([tower]), [tower]) for _ in range(count))
        )

    return run(all_at_once())


def test_concurrent_renders_spread_evenly(tower: ImageHandle) -> None:
    with QwenService() as a, QwenService() as b, QwenService() as c:
        for service in (a, b, c):
            service.delay = 0.5
        renderer = QwenServiceRenderer([a.url, b.url, c.url], remote())
        assert len(renders(renderer, tower, 9)) == 9
        assert [s.most_at_once for s in (a, b, c)] == [3, 3, 3]
        assert [s.busy for s in renderer.dispatcher.servers] == [0, 0, 0]


def test_the_least_busy_one_gets_the_next(tower: ImageHandle) -> None:
    with QwenService() as slow, QwenService() as fast:
        slow.delay, fast.delay = 2.0, 0.02
        renderer = QwenServiceRenderer([slow.url, fast.url], remote())

        async def body() -> None:
            held = asyncio.create_task(renderer.render(CallContext(), z_of([tower]), [tower]))
            await asyncio.to_thread(until, lambda: slow.requests)
            for _ in range(5):
                await renderer.render(CallContext(), z_of([tower]), [tower])
            assert not held.done()
            await held

        run(body())
        assert (slow.count("/generate"), fast.count("/generate")) == (1, 5)


def test_a_dead_server_is_left_out(tower: ImageHandle) -> None:
    with QwenService() as alive:
        renderer = QwenServiceRenderer([closed_port(), alive.url], remote())
        assert len(renders(renderer, tower, 4)) == 4
        assert alive.count("/generate") == 4
        dead = renderer.dispatcher.servers[0]
        assert dead.failures >= 1
        assert dead.rests_until > renderer.dispatcher.clock()


def test_rests_grow_and_end(tower: ImageHandle) -> None:
    now = [1000.0]
    with QwenService() as ill, QwenService() as well:
        ill.well = False
        renderer = QwenServiceRenderer([ill.url, well.url], remote())
        dispatcher = renderer.dispatcher
        dispatcher.clock = lambda: now[0]
        rests = []
        for _ in range(8):
            render(renderer, z_of([tower]), [tower])
            rests.append(dispatcher.servers[0].rests_until - now[0])
            now[0] = dispatcher.servers[0].rests_until + 0.01
        assert rests == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
        assert ill.count("/generate") == 0
        ill.well = True
        for _ in range(2):
            render(renderer, z_of([tower]), [tower])
        assert ill.count("/generate") == 1
        assert dispatcher.servers[0].failures == 0


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500, b"oops"),
        Reply(404, b"nothing here"),
        Reply(401, b"no"),
        html_reply(),
        busy("30"),
        busy(),
        json_reply({"success": False, "error": "CUDA out of memory"}),
        json_reply({"success": True, "image": b64(b"no picture")}),
    ],
)
def test_a_request_moves_to_another_server(tower: ImageHandle, fault: Reply) -> None:
    with FaultyServer() as bad, FaultyServer() as good:
        bad.on("/generate", fault).on("/healthz", json_reply({"status": "ok"}))
        good.on("/generate", GOOD).on("/healthz", json_reply({"status": "ok"}))
        renderer = QwenServiceRenderer([bad.url(), good.url()], remote(seconds=5.0))
        assert render(renderer, z_of([tower]), [tower]).image.size == (64, 48)
        assert (bad.count("/generate"), good.count("/generate")) == (1, 1)


def test_a_request_that_is_wrong_stays(tower: ImageHandle) -> None:
    with FaultyServer() as a, FaultyServer() as b:
        for server in (a, b):
            server.on("*", Reply(404)).on("/generate", json_reply({"detail": "prompt is empty"}, 422))
        renderer = QwenServiceRenderer([a.url(), b.url()], remote())
        with pytest.raises(ServiceError, match="prompt is empty"):
            render(renderer, z_of([tower]), [tower])
        assert a.count("/generate") + b.count("/generate") == 1


def test_a_server_without_health_paths_counts_as_well(tower: ImageHandle) -> None:
    with FaultyServer() as a, FaultyServer() as b:
        for server in (a, b):
            server.on("/generate", GOOD)
        renderer = QwenServiceRenderer([a.url(), b.url()], remote())
        renders(renderer, tower, 2)
        assert [s.count("/generate") for s in (a, b)] == [1, 1]
        assert [r.path for r in a.requests] == ["/healthz", "/health", "/generate"]


def test_all_dead_is_told_with_each_reason(tower: ImageHandle) -> None:
    first, second = closed_port(), closed_port()
    renderer = QwenServiceRenderer([first, second], remote(retries=1, seconds=5.0))
    with pytest.raises(ServiceError, match="no server of the renderer can draw") as caught:
        render(renderer, z_of([tower]), [tower])
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_a_server_that_asks_to_be_left_alone_is(tower: ImageHandle) -> None:
    with FaultyServer() as a, FaultyServer() as b:
        a.on("/generate", busy("2"), GOOD).on("/healthz", json_reply({}))
        b.on("/generate", GOOD).on("/healthz", json_reply({}))
        renderer = QwenServiceRenderer([a.url(), b.url()], remote())
        for _ in range(6):
            render(renderer, z_of([tower]), [tower])
        assert (a.count("/generate"), b.count("/generate")) == (1, 6)
