from __future__ import annotations

import asyncio
import base64
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from fake_services import QwenService, b64, png
from pictures import png_bomb
from remote_cases import cancelled_after, picture_file, remote, render, run, until, z_of
from servers import (
    FaultyServer,
    Reply,
    Request,
    busy,
    drip,
    gzip_bomb,
    half_closed,
    html_reply,
    json_reply,
    redirect,
    reset,
    truncated,
)

from genevolve.grammar.errors import AuthorError, Cancelled, ConfigurationError, ServiceError
from genevolve.interpreter.protocols import CallContext, Renderer
from genevolve.interpreter.renderers.remote.qwen_service import QwenOptions, QwenServiceRenderer
from genevolve.interpreter.values import ImageHandle

GOOD = json_reply({"success": True, "image": b64(png())})


@pytest.fixture
def tower(tmp_path: Path) -> ImageHandle:
    return picture_file(tmp_path / "tower.jpg")


def against(*replies: Reply, server: FaultyServer, **options: Any) -> QwenServiceRenderer:
    server.on("/generate", *replies)
    return QwenServiceRenderer([server.url()], remote(**options))


class TestProtocol:
    def test_the_body_holds_the_released_defaults(self, tower: ImageHandle) -> None:
        with QwenService() as service:
            renderer = QwenServiceRenderer([service.url], remote())
            rendering = render(renderer, z_of([tower]), [tower])
        assert isinstance(renderer, Renderer)
        assert rendering.image.size == (64, 48)
        assert rendering.notes == ()
        assert rendering.info["service"] == service.url
        assert service.requests[0].body == {
            "prompt": "A tower as in the first reference image.",
            "image_urls": [f"data:image/jpeg;base64,{b64(tower.file.read_bytes())}"],
            "negative_prompt": " ",
            "num_inference_steps": 40,
            "true_cfg_scale": 4.0,
            "guidance_scale": 1.0,
            "num_images_per_prompt": 1,
            "width": 64,
            "height": 48,
            "seed": 0,
        }
        assert "authorization" not in service.requests[0].headers

    def test_the_body_holds_what_the_program_says(self, tmp_path: Path) -> None:
        pictures = [picture_file(tmp_path / f"{i}.png", (20 + i, 20), "PNG") for i in range(3)]
        z = z_of(pictures, "fog", steps=12, guidance=2.5, seed=7, width=96, height=160)
        with QwenService(data_uri=True) as service:
            rendering = render(
                QwenServiceRenderer([service.url], remote({"GENEVOLVE_SERVICE_KEY": "k" * 20})), z, pictures
            )
        body = service.requests[0].body
        assert rendering.image.size == (96, 160)
        assert [body[k] for k in ("negative_prompt", "num_inference_steps", "true_cfg_scale", "seed")] == [
            "fog",
            12,
            2.5,
            7,
        ]
        sent = [base64.b64decode(uri.partition(",")[2]) for uri in body["image_urls"]]
        assert sent == [p.file.read_bytes() for p in pictures]
        assert service.requests[0].headers["authorization"] == "Bearer " + "k" * 20

    def test_one_renderer_serves_several_event_loops(self, tower: ImageHandle) -> None:
        with QwenService() as service:
            renderer = QwenServiceRenderer([service.url], remote())
            for _ in range(3):
                assert render(renderer, z_of([tower]), [tower]).image.size == (64, 48)

    def test_the_size_may_follow_the_first_reference(self, tmp_path: Path) -> None:
        wide = picture_file(tmp_path / "wide.jpg", (300, 100))
        with QwenService() as service:
            renderer = QwenServiceRenderer([service.url], remote(), QwenOptions(size="reference"))
            rendering = render(renderer, z_of([wide], width=1024, height=1024), [wide])
            assert rendering.image.size == (1024, 336)
            assert rendering.notes == ("drawn at 1024x336, the shape of the first reference image",)
            assert render(renderer, z_of([wide], width=128, height=64), [wide]).image.size == (128, 64)


class TestRefusals:
    def test_a_program_without_references(self) -> None:
        renderer = QwenServiceRenderer(["http://127.0.0.1:9"], remote())
        with pytest.raises(AuthorError, match="one or more reference images") as caught:
            render(renderer, z_of())
        assert caught.value.code == "GP524"
        assert (
            QwenServiceRenderer(["http://127.0.0.1:9"], remote(), QwenOptions(text=True)).refusals(z_of())
            == []
        )

    def test_sizes_between_the_steps(self, tower: ImageHandle) -> None:
        renderer = QwenServiceRenderer(["http://127.0.0.1:9"], remote())
        (told,) = renderer.refusals(z_of([tower], width=1000, height=1024))
        assert "nearest: 992x1024" in told


class TestSpecification:
    def test_several_addresses_and_options(self) -> None:
        renderer = QwenServiceRenderer.parse("http://a:1, http://b:2/x/?text=true&size=reference", remote())
        assert [s.url for s in renderer.dispatcher.servers] == ["http://a:1", "http://b:2/x"]
        assert renderer.options == QwenOptions(text=True, size="reference")

    @pytest.mark.parametrize(
        ("argument", "told"),
        [
            ("", "address of a service"),
            ("ftp://a", "http"),
            ("http://user:secret@a", "keys belong in the environment"),
            ("http://a?sise=program", "did you mean"),
            ("http://a?size=none", "one of"),
            ("http://a?text", "name=value"),
        ],
    )
    def test_what_is_wrong_is_told(self, argument: str, told: str) -> None:
        with pytest.raises(ConfigurationError, match=told) as caught:
            QwenServiceRenderer.parse(argument, remote())
        assert "secret" not in str(caught.value)


class TestFaults:
    def test_a_500_is_tried_again(self, tower: ImageHandle) -> None:
        with FaultyServer() as server:
            renderer = against(Reply(500, b"oops"), GOOD, server=server)
            assert render(renderer, z_of([tower]), [tower]).image.size == (64, 48)
            assert server.count("/generate") == 2

    def test_a_500_for_ever_ends(self, tower: ImageHandle) -> None:
        with FaultyServer() as server:
            renderer = against(Reply(500, b'{"detail": "CUDA out of memory"}'), server=server, retries=1)
            with pytest.raises(ServiceError, match="status 500: CUDA out of memory"):
                render(renderer, z_of([tower]), [tower])
            assert server.count("/generate") == 2

    def test_a_400_is_not_tried_again(self, tower: ImageHandle) -> None:
        with FaultyServer() as server:
            renderer = against(json_reply({"detail": "steps are too many"}, 400), server=server)
            with pytest.raises(ServiceError, match="steps are too many"):
                render(renderer, z_of([tower]), [tower])
            assert server.count("/generate") == 1

    def test_retry_after_is_waited_for_and_uses_up_no_attempt(self, tower: ImageHandle) -> None:
        with FaultyServer() as server:
            renderer = against(*[busy("1")] * 2, GOOD, server=server, retries=0)
            render(renderer, z_of([tower]), [tower])
            times = [r.at for r in server.requests]
            assert len(times) == 3
            assert all(b - a >= 0.95 for a, b in itertools.pairwise(times))

    def test_a_retry_after_beyond_the_time_fails_at_once(self, tower: ImageHandle) -> None:
        with FaultyServer() as server:
            renderer = against(busy("3600"), server=server, seconds=5.0)
            began = time.monotonic()
            with pytest.raises(ServiceError, match="429") as caught:
                render(renderer, z_of([tower]), [tower])
            assert caught.value.retry_after == 3600
            assert time.monotonic() - began < 2

    def test_a_slow_server_is_left_when_the_time_is_over(self, tower: ImageHandle) -> None:
        with QwenService() as service:
            service.delay = 20
            renderer = QwenServiceRenderer([service.url], remote(seconds=0.5))
            began = time.monotonic()
            with pytest.raises(ServiceError, match=r"no picture within 0\.5 s"):
                render(renderer, z_of([tower]), [tower])
            assert time.monotonic() - began < 2
            until(lambda: service.gone == 1)

    def test_the_deadline_of_the_run_counts_too(self, tower: ImageHandle) -> None:
        with QwenService() as service:
            service.delay = 20
            renderer = QwenServiceRenderer([service.url], remote())
            with pytest.raises(ServiceError, match="no picture within 0"):
                render(renderer, z_of([tower]), [tower], CallContext(time.monotonic() + 0.4))

    def test_dripping_does_not_extend_the_time(self, tower: ImageHandle) -> None:
        with FaultyServer() as server:
            renderer = against(drip(0.1), server=server, seconds=0.8)
            with pytest.raises(ServiceError, match="no picture within"):
                render(renderer, z_of([tower]), [tower])

    @pytest.mark.parametrize("fault", [truncated(GOOD.body), half_closed(GOOD.body[:50]), reset(b"{")])
    def test_a_broken_answer_is_tried_again(self, tower: ImageHandle, fault: Reply) -> None:
        with FaultyServer() as server:
            renderer = against(fault, GOOD, server=server, seconds=5.0)
            assert render(renderer, z_of([tower]), [tower]).image.size == (64, 48)
            assert server.count("/generate") == 2

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            (Reply(body=b"{'success': true"), "not JSON"),
            (html_reply(), "not JSON"),
            (json_reply(["no", "object"]), "no object"),
            (json_reply({"success": False, "error": "the prompt is too long"}), "the prompt is too long"),
            (json_reply({"success": False}), "gives no reason"),
            (json_reply({"image": b64(png())}), "reports a failure"),
            (json_reply({"success": True}), "nothing where base64 belongs"),
            (json_reply({"success": True, "image": "!!! not base64"}), "base64 is broken"),
            (json_reply({"success": True, "image": b64(b"<html>no picture</html>")}), "not a PNG"),
            (json_reply({"success": True, "image": b64(png()[:-40])}), "damaged or cut short"),
            (json_reply({"success": True, "image": b64(png_bomb(20000, 20000))}), "pixels"),
            (json_reply({"success": True, "image": b64(png((48, 64)))}), "drew 48x64, although 64x48"),
            (json_reply({"success": True, "image": "data:image/png,raw"}), "holds no base64"),
            (gzip_bomb(200 * 1024 * 1024), "more than"),
            (redirect("http://169.254.169.254/"), "redirects"),
        ],
    )
    def test_a_useless_answer_is_told_and_not_tried_again(
        self, tower: ImageHandle, fault: Reply, told: str
    ) -> None:
        with FaultyServer() as server:
            renderer = against(fault, server=server)
            with pytest.raises(ServiceError, match=told):
                render(renderer, z_of([tower]), [tower])
            assert server.count("/generate") == 1

    def test_keys_stay_out_of_messages(self, tower: ImageHandle) -> None:
        key = "very-secret-key-0123"

        def echo(request: Request) -> Reply:
            return json_reply({"success": False, "error": f"bad key {request.headers['authorization']}"})

        with FaultyServer() as server:
            server.on("/generate", echo)
            renderer = QwenServiceRenderer([server.url()], remote({"GENEVOLVE_SERVICE_KEY": key}))
            with pytest.raises(ServiceError) as caught:
                render(renderer, z_of([tower]), [tower])
            assert "bad key Bearer [redacted]" in str(caught.value)
            assert key not in repr(renderer.remote)


class TestReferences:
    def test_a_missing_one_is_an_error(self, tower: ImageHandle) -> None:
        with QwenService() as service:
            renderer = QwenServiceRenderer([service.url], remote())
            tower.file.unlink()
            with pytest.raises(AuthorError, match="no file") as caught:
                render(renderer, z_of([tower]), [tower])
            assert caught.value.code == "GP413"
            assert service.requests == []

    def test_a_changed_one_is_an_error(self, tower: ImageHandle, tmp_path: Path) -> None:
        with QwenService() as service:
            renderer = QwenServiceRenderer([service.url], remote())
            picture_file(tmp_path / "tower.jpg", (41, 30))
            with pytest.raises(AuthorError, match="has changed"):
                render(renderer, z_of([tower]), [tower])
            assert service.requests == []


class TestCancellation:
    def test_the_connection_is_closed_at_once(self, tower: ImageHandle) -> None:
        with QwenService() as service:
            service.delay = 20
            renderer = QwenServiceRenderer([service.url], remote())
            took = cancelled_after(0.4, renderer.render(CallContext(), z_of([tower]), [tower]))
            assert took < 2
            until(lambda: service.gone == 1, 2)
            assert renderer.dispatcher.servers[0].busy == 0

    def test_a_stopped_run_asks_nobody(self, tower: ImageHandle) -> None:
        context = CallContext()
        context.cancelled.set()
        with QwenService() as service:
            renderer = QwenServiceRenderer([service.url], remote())
            with pytest.raises(Cancelled):
                render(renderer, z_of([tower]), [tower], context)
            assert service.requests == []


def test_a_rate_is_kept(tower: ImageHandle) -> None:
    with QwenService() as service:
        renderer = QwenServiceRenderer([service.url], remote(rpm=240))

        async def four() -> None:
            await asyncio.gather(*(renderer.render(CallContext(), z_of([tower]), [tower]) for _ in range(4)))

        run(four())
    times = sorted(seen.at for seen in service.requests)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(gaps) == 3
    assert min(gaps) > 0.2
    assert times[-1] - times[0] >= 0.7
