"""What clients may send, and what becomes of everything else; one real process for most of it."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image
from service_process import ROOT, ServerProcess, base64_of, command, environment, opened, png, until

Serve = Callable[..., ServerProcess]

KEY = "a-key-of-the-tests-0123456789"


def bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 by 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif() -> bytes:
    out = io.BytesIO()
    Image.new("P", (20, 10)).save(out, "GIF")
    return out.getvalue()


# ---- the protocol of GenEvolve's clients ----


def test_a_published_client_works_unchanged(shared: ServerProcess) -> None:
    # Field for field what its service generator sends; it calls everything a JPEG, whatever it is.
    uri = f"data:image/jpeg;base64,{base64_of(png(64, 48))}"
    answer = shared.generate(
        image_urls=[uri] * 4,
        prompt="the first reference image at dusk",
        seed=7,
        true_cfg_scale=4.0,
        negative_prompt=" ",
        num_inference_steps=40,
        guidance_scale=1.0,
        num_images_per_prompt=1,
        width=1024,
        height=768,
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["success"] is True
    assert opened(body["image"]).size == (1024, 768)
    assert body["seed"] == 7
    assert body["notes"] == [f"references {[(64, 48)] * 4}"]


@pytest.mark.parametrize("number", [1, 5])
def test_images_may_be_bare_base64_or_data_uris(shared: ServerProcess, number: int) -> None:
    pictures = [png(16 + i, 16) for i in range(number)]
    given = [
        base64_of(p) if i % 2 else f"data:image/png;base64,{base64_of(p)}" for i, p in enumerate(pictures)
    ]
    answer = shared.generate(images=given, image_format="data_uri")
    assert answer.json()["notes"] == [f"references {[(16 + i, 16) for i in range(number)]}"]
    head, _, data = answer.json()["image"].partition(",")
    assert head == "data:image/png;base64"
    assert opened(data).size == (32, 32)


def test_a_size_that_nobody_says_follows_the_first_reference(shared: ServerProcess) -> None:
    def size(*pictures: bytes) -> tuple[int, int]:
        with shared.client() as client:
            body = {"prompt": "x", "images": [base64_of(p) for p in pictures]}
            answer = client.post("/generate", json=body).json()
        return answer["width"], answer["height"]

    assert size() == (1024, 1024)
    assert size(png(400, 300), png(10, 90)) == (1024, 768)
    assert size(png(30, 100)) == (304, 1024)


def test_a_gif_and_a_rotated_photograph_are_taken(shared: ServerProcess) -> None:
    exif = Image.Exif()
    exif[274] = 6
    out = io.BytesIO()
    Image.new("RGB", (64, 32)).save(out, "JPEG", exif=exif)
    answer = shared.generate(images=[base64_of(gif()), base64_of(out.getvalue())])
    assert answer.status_code == 200
    with shared.client() as client:
        sized = client.post("/generate", json={"prompt": "x", "images": [base64_of(out.getvalue())]})
    assert sized.json()["width"] == 512
    assert sized.json()["height"] == 1024


# ---- what is refused ----

_JSON: list[tuple[bytes, int, str]] = [
    (b"", 400, "not valid JSON"),
    (b"{", 400, "not valid JSON (line 1, column 2)"),
    (b"\xff\xfe", 400, "not UTF-8"),
    (b"[]", 400, "not a JSON object"),
    (b"null", 400, "not a JSON object"),
    (b'{"prompt": NaN}', 400, "not valid JSON"),
    (b"[" * 100_000, 400, "nested too deeply"),
    (b'{"a":' * 100_000, 400, "nested too deeply"),
    (b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}", 400, "not valid JSON"),
    (b'{"prompt": "\\ud800"}', 400, "no text"),
    (b'{"prompt": "a\\u0000b"}', 400, "no text"),
]


@pytest.mark.parametrize(("body", "status", "words"), _JSON)
def test_malformed_json(shared: ServerProcess, body: bytes, status: int, words: str) -> None:
    with shared.client() as client:
        answer = client.post("/generate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert words in answer.json()["error"]


_FIELDS: list[tuple[dict[str, Any], int, str]] = [
    ({"prompt": " "}, 400, "prompt is empty"),
    ({"prompt": 7}, 400, "prompt:"),
    ({"prompt": "x" * 201}, 400, "prompt has 201 characters; 200 are allowed"),
    ({"prompt": "an elephant"}, 400, "slow draws no elephants"),
    ({"negative_prompt": "x" * 201}, 400, "negative_prompt has 201 characters"),
    ({"width": 8}, 400, "width:"),
    ({"width": "wide"}, 400, "width:"),
    ({"width": 32.5}, 400, "width:"),
    ({"height": None}, 400, "given together"),
    ({"width": 4096, "height": 4096}, 400, "too large"),
    ({"width": 8192, "height": 16}, 400, "too large"),
    ({"num_inference_steps": 0}, 400, "num_inference_steps:"),
    ({"num_inference_steps": 101}, 400, "101 steps were asked for; 100 are allowed"),
    ({"true_cfg_scale": -1}, 400, "true_cfg_scale:"),
    ({"seed": -1}, 400, "seed:"),
    ({"seed": 2**63}, 400, "seed:"),
    ({"seed": True}, 400, "seed:"),
    ({"num_images_per_prompt": 2}, 400, "num_images_per_prompt:"),
    ({"images": "text"}, 400, "images:"),
    ({"images": [base64_of(png())] * 6}, 400, "6 images were sent; 5 are allowed"),
    ({"images": ["%%%"]}, 400, "images[0] is not valid base64"),
    ({"images": ["data:image/png,abc"]}, 400, "images[0] is a data URI that is not base64"),
    ({"images": ["http://127.0.0.1/x.png"]}, 400, "fetches nothing"),
    ({"images": ["file:///etc/passwd"]}, 400, "fetches nothing"),
    ({"images": [""]}, 400, "images[0] is empty"),
    ({"images": [base64_of(b"just some text")]}, 400, "not a PNG, JPEG or WebP"),
    ({"images": [base64_of(b"<!doctype html><html></html>")]}, 400, "not a PNG, JPEG or WebP"),
    ({"images": [base64_of(png()[:-30])]}, 400, "damaged"),
    ({"images": [base64_of(gif()[:20])]}, 400, "images[0]"),
    ({"images": [base64_of(bomb())]}, 413, "pixels"),
]


@pytest.mark.parametrize(("fields", "status", "words"), _FIELDS)
def test_impossible_requests(shared: ServerProcess, fields: dict[str, Any], status: int, words: str) -> None:
    answer = shared.generate(**fields)
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is False
    assert words in answer.json()["error"]


def test_a_renderer_that_fails_is_a_500_and_the_next_request_is_served(shared: ServerProcess) -> None:
    failed = shared.generate(prompt="fail")
    assert failed.status_code == 500
    assert failed.json()["error"] == "the pipeline failed: no luck"
    crashed = shared.generate(prompt="crash")
    assert crashed.status_code == 500
    assert "secret detail" not in crashed.text
    assert shared.generate().status_code == 200


def test_other_paths_methods_and_types(shared: ServerProcess) -> None:
    with shared.client() as client:
        assert client.get("/nothing").status_code == 404
        assert client.get("/generate").status_code == 405
        assert client.get("/docs").status_code == 404
        text = client.post("/generate", content=b"{}", headers={"content-type": "text/plain"})
        assert text.status_code == 415
        assert client.post("/v1/images/edits", json={}).status_code == 415
        schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/generate", "/v1/images/edits", "/v1/images/generations", "/healthz", "/metrics"
    }  # fmt: skip


# ---- sizes and slowness ----


def test_an_announced_body_that_is_too_large_is_refused_unread(shared: ServerProcess) -> None:
    answer = shared.generate(images=["A" * 1_100_000])
    assert answer.status_code == 413
    assert "larger than 1,048,576 bytes" in answer.json()["error"]


def test_a_chunked_body_without_length_is_stopped_at_the_limit(shared: ServerProcess) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"prompt": "'
        while sent < 64 * 1024 * 1024:
            sent += 65536
            yield b"x" * 65536

    with shared.client() as client:
        try:
            answer = client.post("/generate", content=endless(), headers={"content-type": "application/json"})
        except (httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
            return  # the answer was lost behind what the client still sent
    assert answer.status_code == 413


def _raw(server: ServerProcess, data: bytes) -> socket.socket:
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    connection.sendall(data)
    return connection


_HEAD = b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_body_that_drips_ends(shared: ServerProcess) -> None:
    connection = _raw(shared, _HEAD + b"Content-Length: 100000\r\n\r\n")
    began = time.monotonic()
    answer = b""
    connection.settimeout(0.2)
    while not answer and time.monotonic() - began < 10:
        try:
            connection.sendall(b" ")
            answer = connection.recv(4096)
        except TimeoutError:
            continue
    assert answer.startswith(b"HTTP/1.1 408")
    assert 1.0 < time.monotonic() - began < 6
    connection.close()
    assert shared.generate().status_code == 200


def test_endless_data_after_a_refusal_is_cut_off(shared: ServerProcess) -> None:
    connection = _raw(shared, _HEAD + b"Content-Length: 99999999999\r\n\r\n")
    began = time.monotonic()

    def pour() -> None:
        while time.monotonic() - began < 20:
            connection.sendall(b"x" * 1000)
            time.sleep(0.01)

    with pytest.raises(OSError):
        pour()
    assert time.monotonic() - began < 15
    connection.close()


def test_a_client_that_leaves_within_its_body_is_forgotten(shared: ServerProcess) -> None:
    _raw(shared, _HEAD + b'Content-Length: 100\r\n\r\n{"prompt"').close()
    with shared.client() as client:
        until(lambda: 'outcome="gone",route="/generate"' in client.get("/metrics").text)
    assert shared.health()["waiting"] == 0


def test_what_is_not_http_is_answered_and_closed(shared: ServerProcess) -> None:
    connection = _raw(shared, b"\x16\x03\x01\x00 hello\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    connection.close()
    assert shared.generate().status_code == 200


# ---- who may ask ----


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8001", "localhost.evil.example", "10.0.0.1", "a@localhost", ""]
)
def test_names_that_are_not_ours_are_refused_on_loopback(shared: ServerProcess, host: str) -> None:
    with shared.client() as client:
        answer = client.get("/healthz", headers={"host": host})
    assert answer.status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:8001", "127.8.9.1", "[::1]:8001"])
def test_names_of_loopback_are_served(shared: ServerProcess, host: str) -> None:
    with shared.client() as client:
        assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_web_pages_are_refused(shared: ServerProcess) -> None:
    with shared.client() as client:
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            answer = client.post("/generate", json={"prompt": "x"}, headers={"origin": origin})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
        assert client.options("/generate", headers={"origin": "https://evil.example"}).status_code == 403
        own = client.get("/healthz", headers={"origin": shared.url})
    assert own.status_code == 200


def test_listening_wider_needs_a_key(serve: Serve, tmp_path: Path) -> None:
    def refused(*options: str, **variables: str) -> str:
        made = subprocess.run(
            command("--renderer", "storyboard", "--port", "0", *options),
            env=environment(tmp_path, **variables), cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert made.returncode == 2, made.stderr
        assert "Traceback" not in made.stderr
        return made.stderr

    assert "set GENEVOLVE_SERVICE_KEY" in refused("--host", "0.0.0.0")
    assert "too short" in refused("--host", "0.0.0.0", GENEVOLVE_SERVICE_KEY="short")

    server = serve("--host", "0.0.0.0", seconds=0, env={"GENEVOLVE_SERVICE_KEY": KEY})
    server.url = server.url.replace("0.0.0.0", "127.0.0.1")
    with server.client() as client:
        assert client.post("/generate", json={"prompt": "x"}).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").json() == {"status": "ready"}
        for headers in ({"authorization": f"Bearer {KEY}x"}, {"x-api-key": KEY[:-1]}, {"authorization": KEY}):
            answer = client.post("/generate", json={"prompt": "x"}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for headers in ({"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}):
            assert client.post("/generate", json={"prompt": "x"}, headers=headers).status_code == 200
            assert client.get("/healthz", headers=headers).json()["model"] == "slow 1"
    server.terminate()
    assert server.wait() == 0
    assert KEY not in "".join(server.lines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--renderer", "storybord"), "did you mean 'storyboard'"),
        (("--renderer", "diffusers:/nowhere/at/all"), "/nowhere/at/all"),
        (("--renderer", "storyboard", "--devices", "cpu"), "no devices to choose"),
        (("--renderer", "storyboard", "--host", "no.such.host.invalid"), "no address"),
        (("--renderer", "storyboard", "--queue", "0"), "at least 1"),
        (("--renderer", "storyboard", "--grace", "nan"), "above 0"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    made = subprocess.run(
        command("--port", "0", *options),
        env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert made.returncode == 2
    assert words in made.stderr
    assert "Traceback" not in made.stderr
    assert not list((tmp_path / "temporary").iterdir())


def test_a_port_that_is_taken(shared: ServerProcess, tmp_path: Path) -> None:
    port = str(urlsplit(shared.url).port)
    made = subprocess.run(
        command("--renderer", "storyboard", "--port", port),
        env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert made.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in made.stderr


# ---- what is told ----


def test_every_answer_carries_an_id_and_the_log_a_line_without_the_prompt(shared: ServerProcess) -> None:
    with shared.client() as client:
        given = client.post(
            "/generate", json={"prompt": "my secret wish"}, headers={"x-request-id": "mine-1"}
        )
        made = client.post("/generate", json={}, headers={"x-request-id": "bad id\tx"})
    assert given.headers["x-request-id"] == given.json()["id"] == "mine-1"
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["x-request-id"])
    until(lambda: any("mine-1 POST /generate 200 ok" in line for line in shared.lines))
    assert not any("my secret wish" in line for line in shared.lines)


def test_metrics_count_outcomes_and_times(serve: Serve) -> None:
    server = serve("-v", seconds=0.05)
    for body in ({}, {}, {"prompt": " "}, {"prompt": "fail"}):
        server.generate(**body)
    with server.client() as client:
        client.get("/some/strange/path")
        text = client.get("/metrics").text
    expected = {
        'genevolve_requests_total{outcome="ok",route="/generate"}': 2.0,
        'genevolve_requests_total{outcome="invalid",route="/generate"}': 1.0,
        'genevolve_requests_total{outcome="failed",route="/generate"}': 1.0,
        'genevolve_requests_total{outcome="invalid",route="other"}': 1.0,
        "genevolve_queue_length": 0.0,
        "genevolve_queue_capacity": 16.0,
        "genevolve_in_flight": 0.0,
        "genevolve_devices_ready": 1.0,
        "genevolve_wait_seconds_count": 3.0,
        "genevolve_render_seconds_count": 3.0,
        'genevolve_batch_size_bucket{le="1.0"}': 3.0,
    }
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert {name: float(values[name]) for name in expected} == expected
    assert float(values["genevolve_render_seconds_sum"]) >= 0.1
    until(lambda: any("prompt='a picture'" in line for line in server.lines))  # -v shows them


def test_nothing_of_a_request_is_left_on_disk(serve: Serve) -> None:
    server = serve(seconds=0)
    files = {"image": ("a.png", png() + b"\0" * 3_000_000, "image/png")}
    assert server.generate(images=[base64_of(png())] * 5).status_code == 200
    with server.client() as client:
        answer = client.post("/v1/images/edits", data={"prompt": "x", "size": "32x32"}, files=files)
    assert answer.status_code == 200
    assert not server.spooled()
    json.dumps(answer.json())
    assert base64.b64decode(answer.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")
