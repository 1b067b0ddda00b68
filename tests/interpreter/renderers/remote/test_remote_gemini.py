from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from fake_services import GeminiService, b64, png
from remote_cases import cancelled_after, picture_file, remote, render, until, z_of
from servers import FaultyServer, Reply, json_reply

from genevolve.grammar.errors import AuthorError, ConfigurationError, ServiceError
from genevolve.interpreter.protocols import CallContext, Renderer
from genevolve.interpreter.renderers.remote.gemini import (
    MODEL,
    GeminiRenderer,
    nearest_ratio,
    resolution_of,
)

KEYS = {"GEMINI_API_KEY": GeminiService.KEY}
SQUARE: dict[str, Any] = {"width": 1024, "height": 1024}


def at(url: str, model: str = MODEL, **options: Any) -> GeminiRenderer:
    return GeminiRenderer(model, remote(KEYS, {"GEMINI_BASE_URL": url}, **options))


def answered(parts: list[dict[str, Any]], reason: str = "STOP") -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": reason}]}


class TestProtocol:
    def test_references_stand_in_order_before_the_text(self, tmp_path: Path) -> None:
        pictures = [picture_file(tmp_path / "a.jpg"), picture_file(tmp_path / "b.png", kind="PNG")]
        with GeminiService() as service:
            renderer = at(service.url)
            rendering = render(renderer, z_of(pictures, **SQUARE), pictures)
        assert isinstance(renderer, Renderer)
        assert rendering.image.size == (1024, 1024)
        assert rendering.notes == ()
        assert rendering.info["output_tokens"] == 1290
        (seen,) = service.requests
        assert seen.path == f"/v1beta/models/{MODEL}:generateContent"
        assert seen.headers["x-goog-api-key"] == GeminiService.KEY
        assert seen.body == {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {
                            "inline_data": {
                                "mime_type": "image/jpeg",
                                "data": b64(pictures[0].file.read_bytes()),
                            }
                        },
                        {
                            "inline_data": {
                                "mime_type": "image/png",
                                "data": b64(pictures[1].file.read_bytes()),
                            }
                        },
                        {"text": "A tower as in the first reference image."},
                    ],
                }
            ],
            "generationConfig": {
                "responseModalities": ["TEXT", "IMAGE"],
                "imageConfig": {"aspectRatio": "1:1"},
            },
        }

    def test_what_is_not_heeded_is_noted(self) -> None:
        z = z_of(negative="fog, rain", width=1920, height=1080, steps=20, guidance=3.5, seed=4)
        with GeminiService() as service:
            service.size = (2752, 1536)
            rendering = render(at(service.url), z)
        body = service.requests[0].body
        assert body["generationConfig"]["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "2K"}
        assert body["contents"][0]["parts"][-1]["text"].endswith("The picture must not show: fog, rain.")
        assert rendering.notes == (
            "Gemini takes no steps; 20 was not sent",
            "Gemini takes no guidance; 3.5 was not sent",
            "Gemini takes no seed: the picture differs from run to run",
            "1920x1080 was asked for; Gemini drew 2752x1536",
        )

    def test_the_first_models_get_no_resolution(self) -> None:
        with GeminiService() as service:
            render(at(service.url, "gemini-2.5-flash-image"), z_of(width=2048, height=2048))
        assert service.requests[0].body["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1"}

    @pytest.mark.parametrize(
        ("size", "ratio", "resolution"),
        [
            ((1024, 1024), "1:1", "1K"),
            ((64, 48), "4:3", "1K"),
            ((1080, 1920), "9:16", "2K"),
            ((2560, 1080), "21:9", "2K"),
            ((4096, 4096), "1:1", "4K"),
            ((800, 1000), "4:5", "1K"),
        ],
    )
    def test_shapes(self, size: tuple[int, int], ratio: str, resolution: str) -> None:
        assert nearest_ratio(*size) == ratio
        assert resolution_of(*size) == resolution

    def test_far_shapes_are_refused(self) -> None:
        with pytest.raises(AuthorError, match="far from all of them"):
            render(at("http://127.0.0.1:9"), z_of(width=2048, height=512))


class TestSpecification:
    def test_a_missing_key_fails_by_name(self) -> None:
        with pytest.raises(ConfigurationError, match="GEMINI_API_KEY or GOOGLE_API_KEY"):
            GeminiRenderer.parse("", remote())

    def test_either_key_will_do(self) -> None:
        renderer = GeminiRenderer.parse("models/gemini-2.5-flash-image", remote({"GOOGLE_API_KEY": "x" * 20}))
        assert renderer.version == "gemini-2.5-flash-image"
        assert renderer.dispatcher.servers[0].url == "https://generativelanguage.googleapis.com"

    @pytest.mark.parametrize("model", ["../secret", "a b", "a/b", "x?key=1"])
    def test_models_with_odd_names(self, model: str) -> None:
        with pytest.raises(ConfigurationError):
            GeminiRenderer.parse(model, remote(KEYS))


class TestFaults:
    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (
                {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
                "refuses the prompt: PROHIBITED_CONTENT",
            ),
            (
                {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No."}, "candidates": []},
                r"SAFETY \(No\.\)",
            ),
            (
                {"candidates": [{"finishReason": "IMAGE_SAFETY", "finishMessage": "Unable to show it."}]},
                "refuses to draw this: IMAGE_SAFETY Unable to show it",
            ),
            (answered([], "RECITATION"), "RECITATION"),
            (answered([{"inlineData": {"mimeType": "image/png", "data": b64(b"GIF89a")}}]), "not a PNG"),
        ],
    )
    def test_a_refusal_is_told_and_not_tried_again(self, answer: dict[str, Any], told: str) -> None:
        with GeminiService() as service:
            service.answer = answer
            with pytest.raises(ServiceError, match=told) as caught:
                render(at(service.url), z_of())
            assert not caught.value.retryable
            assert len(service.requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            answered([{"text": "I can draw that!"}]),
            answered([], "NO_IMAGE"),
            {},
            {"candidates": [None, {"content": 3}]},
        ],
    )
    def test_an_answer_without_a_picture_is_tried_again(self, answer: dict[str, Any]) -> None:
        good = answered([{"inline_data": {"mime_type": "image/png", "data": b64(png())}}])
        with FaultyServer() as server:
            server.on(f"/v1beta/models/{MODEL}:generateContent", json_reply(answer), json_reply(good))
            assert render(at(server.url()), z_of()).image.size == (64, 48)
            assert server.count() == 2

    def test_the_words_of_a_model_that_only_talks(self) -> None:
        with GeminiService() as service:
            service.answer = answered([{"text": "I cannot draw this."}])
            with pytest.raises(ServiceError, match=r"no picture \(STOP\), but the words: I cannot draw this"):
                render(at(service.url, retries=0), z_of())

    def test_a_wrong_key_is_told_without_the_key(self) -> None:
        wrong = "AIza-another-key-0123456789"
        with GeminiService() as service:
            renderer = GeminiRenderer(
                MODEL, remote({"GOOGLE_API_KEY": wrong}, {"GEMINI_BASE_URL": service.url})
            )
            with pytest.raises(ServiceError, match=r"400 \(INVALID_ARGUMENT\): API key not valid") as caught:
                render(renderer, z_of())
            assert wrong not in str(caught.value)
            assert len(service.requests) == 1

    def test_the_delay_in_the_body_of_a_429_is_kept(self) -> None:
        told = {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.9s"},
                ],
            }
        }
        good = answered([{"inlineData": {"mimeType": "image/png", "data": b64(png())}}])
        with FaultyServer() as server:
            server.on(f"/v1beta/models/{MODEL}:generateContent", json_reply(told, 429), json_reply(good))
            render(at(server.url(), retries=0), z_of())
            first, second = (request.at for request in server.requests)
            assert second - first >= 0.85

    def test_a_500_is_tried_again(self) -> None:
        good = answered([{"inlineData": {"mimeType": "image/png", "data": b64(png())}}])
        with FaultyServer() as server:
            server.on(f"/v1beta/models/{MODEL}:generateContent", Reply(503), json_reply(good))
            assert render(at(server.url()), z_of()).image.size == (64, 48)

    def test_cancellation_closes_the_connection(self) -> None:
        with GeminiService() as service:
            service.delay = 20
            assert cancelled_after(0.4, at(service.url).render(CallContext(), z_of(), [])) < 2
            until(lambda: service.gone == 1, 2)

    def test_a_slow_answer_ends_in_time(self) -> None:
        with GeminiService() as service:
            service.delay = 20
            began = time.monotonic()
            with pytest.raises(ServiceError, match="no picture within"):
                render(at(service.url, seconds=0.4), z_of())
            assert time.monotonic() - began < 2
