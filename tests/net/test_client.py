"""Requests to configured services: retries, deadlines, bounds, and keys that never show."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import gzip
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from servers import (
    FaultyServer,
    Reply,
    Request,
    bad_chunks,
    busy,
    drip,
    gzip_bomb,
    half_closed,
    header_flood,
    html_reply,
    huge,
    json_reply,
    not_http,
    redirect,
    reset,
    truncated,
)

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.net.client import ApiClient, StatusError, parse_retry_after
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.retry import RetryPolicy

MB = 1024 * 1024
KEY = "sk-0123456789abcdef+/="
QUICK = RetryPolicy(attempts=3, base=0.01, cap=0.05)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def call(
    server: FaultyServer, work: Callable[[ApiClient], Awaitable[Any]] | None = None, **options: Any
) -> Any:
    """One piece of work (by default a POST of `{}` to /api) with a client of its own."""
    options.setdefault("retry", QUICK)
    options.setdefault("seconds", 5.0)
    options.setdefault("headers", {"X-API-KEY": KEY})

    async def main() -> Any:
        client = ApiClient(options.pop("base", server.url()), **options)
        return await (work or (lambda c: c.post_json("/api", {})))(client)

    return asyncio.run(main())


def failure(server: FaultyServer, work: Any = None, **options: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(server, work, **options)
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


def test_json_there_and_back(server: FaultyServer) -> None:
    server.on("/v1/api", lambda r: json_reply({"got": r.json(), "key": r.headers["x-api-key"]}))
    result = call(server, lambda c: c.post_json("api", {"q": "é"}), base=server.url("/v1/"))
    assert result == {"got": {"q": "é"}, "key": KEY}
    server.on("/v1/list", lambda r: json_reply(r.query))
    assert call(server, lambda c: c.get_json("/list", params={"a": "1 2"}), base=server.url("/v1")) == {
        "a": ["1 2"]
    }


def test_forms_with_files_and_bytes(server: FaultyServer) -> None:
    server.on("/edit", lambda r: json_reply({"type": r.headers["content-type"], "size": len(r.body)}))
    files = [("image", ("a.png", b"\x89PNG" * 100, "image/png"))]
    result = call(server, lambda c: c.post_multipart("/edit", {"prompt": "x"}, files))
    assert result["type"].startswith("multipart/form-data; boundary=")
    assert result["size"] > 400
    server.on("/raw", Reply(body=b"\x00\x01", headers={"Content-Type": "image/x"}))
    reply = call(server, lambda c: c.get_bytes("/raw"))
    assert (reply.data, reply.content_type) == (b"\x00\x01", "image/x")


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500),
        Reply(502),
        Reply(503),
        Reply(504),
        busy(),
        reset(),
        truncated(b"{}"),
        half_closed(b"{}"),
        not_http(),
        bad_chunks(),
        Reply(raw=b""),
        Reply(body=gzip.compress(b"{}")[:-9], headers={"Content-Encoding": "gzip"}),
    ],
)
def test_what_passes_is_tried_again(server: FaultyServer, fault: Reply) -> None:
    server.on("/api", fault, json_reply({"ok": 1}))
    assert call(server) == {"ok": 1}
    assert server.count() == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422, 501])
def test_what_the_service_refuses_is_not(server: FaultyServer, status: int) -> None:
    server.on("/api", json_reply({"error": "no such model"}, status))
    error = failure(server)
    assert isinstance(error, StatusError)
    assert (error.status, error.retryable, server.count()) == (status, False, 1)
    assert "no such model" in str(error)
    assert f"127.0.0.1:{server.port}/api" in str(error)


def test_tries_are_bounded(server: FaultyServer) -> None:
    server.on("/api", Reply(503))
    assert failure(server).retryable
    assert server.count() == 3


def test_retry_after_in_seconds_and_as_a_date(server: FaultyServer) -> None:
    date = email.utils.formatdate(time.time() + 2.0, usegmt=True)
    server.on("/api", busy("1"), busy(date), json_reply({}))
    call(server, seconds=10)
    first, second, third = (r.at for r in server.requests)
    assert 0.95 < second - first < 2
    assert third - first > 0.9  # a date has whole seconds only


def test_retry_after_beyond_the_deadline_fails_at_once(server: FaultyServer) -> None:
    server.on("/api", busy("60"))
    began = time.monotonic()
    error = failure(server)
    assert (error.retry_after, server.count()) == (60, 1)
    assert time.monotonic() - began < 2


def test_a_limiter_holds_everybody_back(server: FaultyServer) -> None:
    server.on("/api", busy("1"), json_reply({}))
    limiter = RateLimiter(6000)

    async def work(client: ApiClient) -> None:
        first = asyncio.create_task(client.post_json("/api", {}))
        await asyncio.sleep(0.2)
        await client.post_json("/api", {})
        await first

    call(server, work, limiter=limiter)
    moments = sorted(r.at for r in server.requests)
    assert moments[1] - moments[0] > 0.95


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5.0),
        (" 0 ", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("9" * 500, 86400.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86400.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
    ],
)
def test_retry_after_is_read_with_care(text: str | None, seconds: float | None) -> None:
    found = parse_retry_after(text)
    assert found == seconds or (seconds is None and found in (None, 0.0))


# ---- bounds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        drip(0.1, byte=b" "),
        drip(0.1, chunked=True),
        Reply(delay=30),
        Reply(body=b"{", length=100, ending="hang"),
        Reply(raw=b"HTTP/1.1 103 X\r\n\r\n" * 100, ending="hang"),
    ],
)
def test_the_deadline_ends_everything(server: FaultyServer, reply: Reply) -> None:
    server.on("/api", reply)
    began = time.monotonic()
    error = failure(server, lambda c: c.post_json("/api", {}, seconds=0.5))
    assert "did not answer" in str(error)
    assert error.retryable
    assert time.monotonic() - began < 1.5


def test_the_deadline_covers_all_tries_and_tells_what_was_before(server: FaultyServer) -> None:
    server.on("/api", Reply(500, b"overloaded"), Reply(delay=30))
    assert "overloaded" in str(failure(server, seconds=0.5))


@pytest.mark.parametrize("reply", [huge(200 * MB), huge(200 * MB, chunked=True), gzip_bomb(300 * MB)])
def test_answers_are_bounded_while_they_stream(server: FaultyServer, reply: Reply) -> None:
    server.on("/api", reply)
    tracemalloc.start()
    error = failure(server, max_response=MB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 1,048,576 bytes" in str(error)
    assert peak < 16 * MB
    assert server.count() == 1


def test_too_many_headers(server: FaultyServer) -> None:
    server.on("/api", header_flood())
    failure(server)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (html_reply("<html>\x1b[31m gateway"), r"not JSON: <html>\x1b[31m gateway"),
        (Reply(), "not JSON: nothing"),
        (Reply(body=b'{"a": '), "not JSON"),
        (Reply(body=b"[" * 200_000), "not JSON"),
        (Reply(body=b"\xff\xfe\x00"), "not JSON"),
        (Reply(body=b"{}", headers={"Content-Encoding": "br"}), "not asked for"),
    ],
)
def test_what_is_not_json_is_told_with_its_beginning(server: FaultyServer, reply: Reply, told: str) -> None:
    server.on("/api", reply)
    assert told in str(failure(server))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: FaultyServer, status: int) -> None:
    with FaultyServer() as other:
        server.on("/api", redirect(other.url("/steal"), status))
        assert "not followed" in str(failure(server))
        assert other.connections == 0
        assert server.count() == 1


# ---- keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "echo",
    [
        lambda r: json_reply({"error": f"bad key {r.headers['x-api-key']}"}, 401),
        lambda r: Reply(body=f"<p>{r.headers['x-api-key']}".encode()),
        lambda r: Reply(403, b"x" * 1990 + r.headers["x-api-key"].encode()),
        lambda r: Reply(401, b"key=sk-0123456789abcdef%2B%2F%3D"),
        lambda r: Reply(
            raw=b"HTTP/1.1 401 " + r.headers["x-api-key"].encode() + b"\r\nContent-Length: 0\r\n\r\n"
        ),
        lambda r: Reply(raw=r.headers["x-api-key"].encode() + b"\r\n\r\n"),
    ],
)
def test_keys_are_masked_in_every_message(server: FaultyServer, echo: Callable[[Request], Reply]) -> None:
    server.on("/api", echo)
    error = failure(server)
    assert "sk-0123" not in str(error)
    assert "sk-0123" not in getattr(error, "body", "")


def test_keys_in_the_path_are_masked(server: FaultyServer) -> None:
    error = failure(server, lambda c: c.get_json(f"/{KEY}?key={KEY}"), secrets=frozenset({KEY}), headers={})
    assert "sk-0123" not in str(error)


def test_keys_are_not_shown() -> None:
    client = ApiClient("http://x.example", {"Authorization": f"Bearer {KEY}"}, frozenset({KEY}))
    assert KEY not in repr(client)


@pytest.mark.parametrize("value", ["key\nX-Injected: 1", "key\r", "schlüssel", "\0", " key"])
def test_a_key_that_no_header_can_hold_is_told_without_it(value: str) -> None:
    with pytest.raises(ConfigurationError, match="X-API-KEY") as caught:
        ApiClient("http://x.example", {"X-API-KEY": value})
    assert value.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", "x.example", "ftp://x.example", "http://", "file:///x", "http://x.example/?key=1", "http://[::1"],
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ConfigurationError, match="address of a service"):
        ApiClient(address)


# ---- surroundings --------------------------------------------------------------------------------------


def test_proxies_are_honoured_but_not_for_loopback(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("/api", json_reply({"from": "service"}))
    with FaultyServer() as proxy:
        proxy.on("*", json_reply({"from": "proxy"}))
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("http_proxy", proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert call(server) == {"from": "service"}
        assert call(server, base=server.url(host="localhost")) == {"from": "service"}
        assert call(server, base="http://service.example") == {"from": "proxy"}


def test_netrc_is_not_read(server: FaultyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter22")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    server.on("/api", json_reply({}))
    call(server)
    assert "authorization" not in server.requests[0].headers


def test_credentials_of_the_address_are_used_and_not_shown(server: FaultyServer) -> None:
    base = f"http://me:hunter22pass@127.0.0.1:{server.port}"
    server.on("/api", Reply(404))
    assert "hunter22pass" not in str(failure(server, base=base, headers={}))
    expected = base64.b64encode(b"me:hunter22pass").decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"


def test_one_client_in_several_event_loops(server: FaultyServer) -> None:
    server.on("/api", json_reply({}, keep=True))
    client = ApiClient(server.url())

    async def twice() -> None:
        await client.post_json("/api", {})
        await client.post_json("/api", {})

    for _ in range(3):
        asyncio.run(twice())
    assert server.count() == 6
    assert server.connections == 3  # kept open within a loop


def test_cancelling_leaves_nothing_running(server: FaultyServer) -> None:
    server.on("/api", Reply(delay=30))

    async def work(client: ApiClient) -> set[Any]:
        task = asyncio.create_task(client.post_json("/api", {}))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert call(server, work) == set()


def test_a_hundred_requests_at_once(server: FaultyServer) -> None:
    server.on("/api", lambda r: json_reply({"n": json.loads(r.body)["n"]}))

    async def work(client: ApiClient) -> list[Any]:
        return list(await asyncio.gather(*(client.post_json("/api", {"n": n}) for n in range(100))))

    assert [r["n"] for r in call(server, work)] == list(range(100))
