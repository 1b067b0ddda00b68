from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_services import OpenAIService, b64, png
from remote_cases import cancelled_after, picture_file, remote, render, until, z_of
from servers import FaultyServer, html_reply, json_reply

from genevolve.grammar.errors import AuthorError, ConfigurationError, ServiceError
from genevolve.interpreter.config import load_config
from genevolve.interpreter.protocols import CallContext, Renderer
from genevolve.interpreter.renderers.catalog import open_renderer
from genevolve.interpreter.renderers.remote.openai_images import OpenAIOptions, OpenAIRenderer

KEYS = {"OPENAI_API_KEY": OpenAIService.KEY}
SQUARE: dict[str, Any] = {"width": 1024, "height": 1024}


def at(url: str, model: str = "gpt-image-1.5", extras: bool = False, **options: Any) -> OpenAIRenderer:
    endpoints = {"OPENAI_BASE_URL": url}
    return OpenAIRenderer(model, remote(KEYS, endpoints, **options), None, OpenAIOptions(extras))


class TestProtocol:
    def test_without_references_a_picture_is_generated(self) -> None:
        with OpenAIService() as service:
            renderer = at(f"{service.url}/v1")
            rendering = render(renderer, z_of(negative="fog", **SQUARE))
        assert isinstance(renderer, Renderer)
        assert rendering.image.size == (1024, 1024)
        assert rendering.notes == ()
        assert rendering.info["output_tokens"] == 4160
        (seen,) = service.requests
        assert seen.path == "/v1/images/generations"
        assert seen.headers["authorization"] == f"Bearer {OpenAIService.KEY}"
        assert seen.body == {
            "model": "gpt-image-1.5",
            "prompt": "A tower as in the first reference image.\n\nThe picture must not show: fog.",
            "n": 1,
            "size": "1024x1024",
        }

    def test_with_references_a_picture_is_edited(self, tmp_path: Path) -> None:
        pictures = [picture_file(tmp_path / "a.jpg"), picture_file(tmp_path / "b.png", kind="PNG")]
        with OpenAIService() as service:
            rendering = render(at(service.url), z_of(pictures, **SQUARE), pictures)
        assert rendering.image.size == (1024, 1024)
        (seen,) = service.requests
        assert seen.path == "/v1/images/edits"
        assert seen.body == {
            "model": "gpt-image-1.5",
            "prompt": "A tower as in the first reference image.",
            "n": "1",
            "size": "1024x1024",
        }
        assert [(name, kind, data) for name, _, kind, data in seen.files] == [
            ("image[]", "image/jpeg", pictures[0].file.read_bytes()),
            ("image[]", "image/png", pictures[1].file.read_bytes()),
        ]

    def test_servers_of_open_models_get_more(self) -> None:
        z = z_of(negative="fog", steps=20, guidance=3.0, seed=5, width=640, height=480)
        with OpenAIService(strict=False) as service:
            rendering = render(at(service.url, "Qwen/Qwen-Image", extras=True), z)
        assert rendering.notes == ()
        assert service.requests[0].body == {
            "model": "Qwen/Qwen-Image",
            "prompt": "A tower as in the first reference image.",
            "n": 1,
            "size": "640x480",
            "response_format": "b64_json",
            "negative_prompt": "fog",
            "num_inference_steps": 20,
            "guidance_scale": 3.0,
            "true_cfg_scale": 3.0,
            "seed": 5,
        }

    def test_what_is_not_sent_is_noted(self) -> None:
        with OpenAIService() as service:
            rendering = render(at(service.url), z_of(steps=20, seed=5, **SQUARE))
        assert rendering.notes == (
            "the model gpt-image-1.5 takes no steps; 20 was not sent",
            "the model gpt-image-1.5 takes no seed: the picture differs from run to run",
        )


class TestUrls:
    def config(self, tmp_path: Path, service: OpenAIService, allow: str) -> Any:
        environment = {
            "OPENAI_BASE_URL": service.url,
            "GENEVOLVE_CACHE_FOLDER": str(tmp_path / "cache"),
            "GENEVOLVE_RENDER_TIMEOUT": "10",
        }
        return load_config(
            start=tmp_path,
            environment=environment,
            user_file=tmp_path / "none.toml",
            flags={"fetch.allow": [allow] if allow else []},
        )

    def test_a_picture_at_an_allowed_place_is_downloaded(self, tmp_path: Path) -> None:
        with OpenAIService(strict=False, as_url=True) as service:
            renderer = open_renderer(
                "openai:local", self.config(tmp_path, service, f"127.0.0.1:{service.port}")
            )
            assert render(renderer, z_of()).image.size == (64, 48)

    def test_a_picture_at_a_private_address_is_refused(self, tmp_path: Path) -> None:
        with OpenAIService(strict=False, as_url=True) as service:
            renderer = open_renderer("openai:local", self.config(tmp_path, service, ""))
            with pytest.raises(ServiceError, match="not a public address"):
                render(renderer, z_of())

    def test_without_a_fetcher_they_are_refused(self) -> None:
        with FaultyServer() as server:
            server.on("/v1/images/generations", json_reply({"data": [{"url": "file:///etc/passwd"}]}))
            with pytest.raises(ServiceError, match="nothing is set up"):
                render(at(server.url(), "local"), z_of())


class TestSizes:
    @pytest.mark.parametrize(
        "model", ["gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "chatgpt-image-latest"]
    )
    def test_the_first_models_draw_three(self, model: str) -> None:
        renderer = at("http://127.0.0.1:9", model)
        assert renderer.refusals(z_of(width=1536, height=1024)) == []
        (told,) = renderer.refusals(z_of(width=1920, height=1080))
        assert told.endswith("nearest to 1920x1080: 1536x1024")

    @pytest.mark.parametrize(
        ("size", "told"),
        [
            ((1536, 864), None),
            ((3840, 2160), None),
            ((1000, 1024), "nearest to 1000x1024: 992x1024"),
            ((4096, 2048), "up to 3840"),
            ((2048, 512), "1:3 to 3:1"),
        ],
    )
    def test_later_ones_draw_steps_of_16(self, size: tuple[int, int], told: str | None) -> None:
        found = at("http://127.0.0.1:9", "gpt-image-2").refusals(z_of(width=size[0], height=size[1]))
        assert (found == []) if told is None else (told in found[0])

    def test_of_other_models_nothing_is_known(self) -> None:
        assert at("http://127.0.0.1:9", "flux").refusals(z_of(width=1000, height=17)) == []

    def test_a_refused_size_costs_nothing(self) -> None:
        with OpenAIService() as service, pytest.raises(AuthorError, match="nearest"):
            render(at(service.url), z_of())
        assert service.requests == []


class TestSpecification:
    def test_a_missing_key_fails_by_name(self) -> None:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            OpenAIRenderer.parse("gpt-image-2", remote())

    def test_other_servers_need_no_key(self) -> None:
        with OpenAIService(strict=False) as service:
            renderer = OpenAIRenderer.parse("local", remote({}, {"OPENAI_BASE_URL": service.url}))
            render(renderer, z_of())
        assert "authorization" not in service.requests[0].headers
        assert renderer.version == f"local at {service.url}/v1"

    @pytest.mark.parametrize("argument", ["", "m?extras=maybe", "m?sise=1"])
    def test_what_is_wrong_is_told(self, argument: str) -> None:
        with pytest.raises(ConfigurationError):
            OpenAIRenderer.parse(argument, remote(KEYS))


class TestFaults:
    def test_a_refusal_of_the_safety_system_is_told(self) -> None:
        with OpenAIService() as service:
            z = z_of(**SQUARE)
            with pytest.raises(ServiceError, match=r"\(moderation_blocked\): Your request was rejected"):
                render(at(service.url), type(z)(z.request, "something forbidden", settings=z.settings))
            assert len(service.requests) == 1

    def test_a_wrong_key_stays_out_of_the_message(self) -> None:
        wrong = "sk-another-key-0123456789"
        with OpenAIService() as service:
            renderer = OpenAIRenderer(
                "gpt-image-1.5", remote({"OPENAI_API_KEY": wrong}, {"OPENAI_BASE_URL": service.url})
            )
            with pytest.raises(ServiceError, match="Incorrect API key provided") as caught:
                render(renderer, z_of(**SQUARE))
            assert wrong not in str(caught.value)

    def test_a_spent_account_is_not_asked_again(self) -> None:
        error = {"message": "You exceeded your current quota.", "code": "insufficient_quota"}
        with FaultyServer() as server:
            server.on(
                "/v1/images/generations", json_reply({"error": error}, 429, headers={"Retry-After": "1"})
            )
            with pytest.raises(ServiceError, match="insufficient_quota"):
                render(at(server.url()), z_of(**SQUARE))
            assert server.count() == 1

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ({"data": []}, "no picture"),
            ({"data": [{}]}, "neither b64_json nor a url"),
            ({"data": [{"b64_json": b64(png()[:60])}]}, "no usable picture"),
            ({"data": [{"b64_json": b64(png((8, 8)))}]}, "drew 8x8, although 64x48"),
            ([], "no object"),
        ],
    )
    def test_useless_answers(self, answer: Any, told: str) -> None:
        with FaultyServer() as server:
            server.on("/v1/images/generations", json_reply(answer))
            with pytest.raises(ServiceError, match=told):
                render(at(server.url(), "local"), z_of())
            assert server.count() == 1

    def test_a_web_page(self) -> None:
        with FaultyServer() as server:
            server.on("*", html_reply())
            with pytest.raises(ServiceError, match="not JSON"):
                render(at(server.url(), "local"), z_of())

    def test_cancellation_closes_the_connection(self) -> None:
        with OpenAIService() as service:
            service.delay = 20
            assert cancelled_after(0.4, at(service.url).render(CallContext(), z_of(**SQUARE), [])) < 2
            until(lambda: service.gone == 1, 2)
