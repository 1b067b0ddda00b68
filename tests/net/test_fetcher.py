"""Downloads from servers that misbehave in every way we could think of."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from pictures import SVG, marked, picture, png_bomb
from servers import (
    FaultyServer,
    Reply,
    bad_chunks,
    busy,
    drip,
    gzip_bomb,
    half_closed,
    header_flood,
    html_reply,
    huge,
    image_reply,
    not_http,
    redirect,
    reset,
    truncated,
)

from genevolve.interpreter.net.addresses import AddressPolicy
from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.net.fetcher import Download, Fetcher, FetchLimits
from genevolve.interpreter.net.store import BlobStore
from genevolve.interpreter.net.tls import tls_context
from genevolve.interpreter.retry import RetryPolicy

T = TypeVar("T")
MB = 1024 * 1024
ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=3, base=0.01, cap=0.05)
PNG = picture()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


class Setting:
    """A store in a temporary folder, and fetchers that may reach one server."""

    def __init__(self, folder: Path, server: FaultyServer) -> None:
        self.store = BlobStore(folder / "store")
        self.server = server
        self.allow = [f"127.0.0.1:{server.port}"]

    def run(self, work: Callable[[Fetcher], Awaitable[T]], **options: object) -> T:
        limits = options.pop("limits", FetchLimits(bytes=MB, seconds=5, pixels=1_000_000))
        allow = options.pop("allow", self.allow)
        options.setdefault("retry", ONCE)

        async def main() -> T:
            fetcher = Fetcher(self.store, AddressPolicy.parse(allow), limits, **options)  # type: ignore[arg-type]
            return await work(fetcher)  # not closed: the end of the loop does it

        return asyncio.run(main())

    def image(self, url: str, **options: object) -> Download:
        return self.run(lambda fetcher: fetcher.fetch_image(url), **options)

    def failure(self, url: str, **options: object) -> FetchError:
        with pytest.raises(FetchError) as caught:
            self.image(url, **options)
        assert not list((self.store.folder / "parts").iterdir())
        assert not list((self.store.folder / "blobs").iterdir())
        return caught.value


@pytest.fixture
def setting(tmp_path: Path, server: FaultyServer) -> Setting:
    return Setting(tmp_path, server)


# ---- what works ----------------------------------------------------------------------------------------


def test_an_image_is_stored_under_its_hash_and_fetched_once(setting: Setting, server: FaultyServer) -> None:
    server.on("/a.png", image_reply(marked("PNG"), "text/plain"))
    first = setting.image(server.url("/a.png"))
    second = setting.image(server.url("/a.png"))
    assert (first.width, first.height, first.media_type) == (12, 20, "image/png")
    assert first == second
    assert first.path.name == f"{first.sha256}.png"
    assert b"PRIVATE" not in first.path.read_bytes()
    assert server.count() == 1
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert "cookie" not in server.requests[0].headers
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("chunked", [True, False])
def test_gzip_is_unpacked(setting: Setting, server: FaultyServer, chunked: bool) -> None:
    data = gzip.compress(PNG)
    server.on(
        "/a",
        Reply(
            pieces=lambda: [data[:10], data[10:]],
            chunked=chunked,
            headers={"Content-Encoding": "gzip"},
            length=None,
        ),
    )
    assert setting.image(server.url("/a")).width == 20


def test_redirects_are_followed_relative_ones_too(setting: Setting, server: FaultyServer) -> None:
    server.on("/1", redirect("/2", 301)).on("/2", redirect("3?x=a b", 307)).on("/3", image_reply(PNG))
    assert setting.image(server.url("/1")).width == 20
    assert server.requests[-1].target == "/3?x=a%20b"


def test_one_spelling_of_a_url_for_the_store(setting: Setting, server: FaultyServer) -> None:
    server.on("*", image_reply(PNG))
    for url in (
        server.url("/a"),
        server.url("/a#x"),
        f"HTTP://127.0.0.1:{server.port}/a",
        f" {server.url('/a')} ",
    ):
        setting.image(url)
    assert server.count() == 1


def test_bytes_of_any_type(setting: Setting, server: FaultyServer) -> None:
    server.on("/page", html_reply("<p>hello"))
    body = setting.run(lambda f: f.fetch_bytes(server.url("/page")))
    assert (body.data, body.content_type) == (b"<p>hello", "text/html; charset=utf-8")


# ---- faults on the way ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Reply(500), Reply(503), reset(b"x"), truncated(PNG), half_closed(PNG), not_http()]
)
def test_what_passes_is_tried_again(setting: Setting, server: FaultyServer, fault: Reply) -> None:
    server.on("/a", fault, image_reply(PNG))
    assert setting.image(server.url("/a"), retry=QUICK).width == 20
    assert server.count() == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_does_not_pass_is_not(setting: Setting, server: FaultyServer, status: int) -> None:
    server.on("/a", Reply(status))
    error = setting.failure(server.url("/a"), retry=QUICK)
    assert (error.reason, error.retryable, server.count()) == ("status", False, 1)
    assert str(status) in str(error)


def test_tries_are_bounded(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", Reply(500))
    assert setting.failure(server.url("/a"), retry=QUICK).retryable
    assert server.count() == 3


def test_retry_after_is_waited_for(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", busy("1"), image_reply(PNG))
    setting.image(server.url("/a"), retry=QUICK)
    first, second = server.requests
    assert second.at - first.at > 0.95


def test_retry_after_beyond_the_time_limit_is_not(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", busy("3600"))
    began = time.monotonic()
    error = setting.failure(server.url("/a"), retry=QUICK)
    assert (error.reason, error.retry_after) == ("status", 3600)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (truncated(PNG), "network"),
        (half_closed(PNG), "network"),
        (reset(PNG[:20]), "network"),
        (bad_chunks(), "network"),
        (not_http(), "network"),
        (header_flood(), "network"),
        (Reply(raw=b""), "network"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nhello"), "network"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx"), "size"),
        (Reply(pieces=lambda: [PNG], chunked=True, ending="reset"), "network"),
        (Reply(body=b"xx", headers={"Content-Encoding": "gzip"}), "decode"),
        (Reply(body=gzip.compress(PNG)[:-12], headers={"Content-Encoding": "gzip"}), "decode"),
        (Reply(body=PNG, headers={"Content-Encoding": "br"}), "decode"),
        (Reply(body=gzip.compress(gzip.compress(PNG)), headers={"Content-Encoding": "gzip, gzip"}), "decode"),
        (html_reply(), "type"),
        (image_reply(b""), "type"),
        (image_reply(SVG, "image/svg+xml"), "type"),
        (image_reply(picture(size=(300, 300))[:-40]), "decode"),
        (image_reply(png_bomb(20_000, 20_000)), "pixels"),
        (Reply(302), "status"),
        (Reply(204), "status"),
    ],
)
def test_every_fault_has_its_reason(
    setting: Setting, server: FaultyServer, fault: Reply, reason: str
) -> None:
    server.on("/a", fault)
    assert setting.failure(server.url("/a?key=SECRET")).reason == reason


def test_messages_hold_no_query_and_no_control_characters(setting: Setting, server: FaultyServer) -> None:
    server.on("*", Reply(404))
    said = str(setting.failure(server.url("/%1b[31m\u202eevil?key=SECRET")))
    assert "SECRET" not in said
    assert said.isprintable()


def test_a_closed_port_is_told(setting: Setting) -> None:
    error = setting.failure("http://127.0.0.1:1/x", allow=["127.0.0.1:1"])
    assert (error.reason, error.retryable) == ("network", True)


# ---- limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply", [huge(200 * MB), huge(200 * MB, chunked=True), huge(200 * MB, announced=True)]
)
def test_a_long_stream_ends_at_the_limit_and_fills_no_memory(
    setting: Setting, server: FaultyServer, reply: Reply
) -> None:
    server.on("/a", reply)
    tracemalloc.start()
    error = setting.failure(server.url("/a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.reason == "size"
    assert peak < 16 * MB
    assert server.sent < 16 * MB  # what the sockets' buffers take


def test_a_compression_bomb_ends_at_the_limit(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", gzip_bomb(300 * MB))
    tracemalloc.start()
    error = setting.failure(server.url("/a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.reason == "size"
    assert "unpacked" in str(error)
    assert peak < 16 * MB


def test_what_follows_the_end_of_a_compressed_body_is_not_read(
    setting: Setting, server: FaultyServer
) -> None:
    def pieces() -> Iterator[bytes]:
        yield gzip.compress(PNG)
        for _ in range(800):
            yield bytes(256 * 1024)

    server.on("/a", Reply(pieces=pieces, length=None, headers={"Content-Encoding": "gzip"}))
    assert setting.image(server.url("/a")).width == 20
    assert server.sent < 16 * MB


def test_compressed_nothing_without_end_is_counted(setting: Setting, server: FaultyServer) -> None:
    header = gzip.compress(b"")[:10]
    empty = b"\x00\x00\x00\xff\xff" * 50_000  # stored blocks of length zero

    def pieces() -> Iterator[bytes]:
        yield header
        for _ in range(400):
            yield empty

    server.on("/a", Reply(pieces=pieces, length=None, headers={"Content-Encoding": "gzip"}))
    assert setting.failure(server.url("/a")).reason == "size"


@pytest.mark.parametrize(
    "reply",
    [
        drip(0.1, byte=b"\x89"),
        drip(0.1, chunked=True),
        Reply(delay=30),
        Reply(body=PNG[:10], length=1000, ending="hang"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nX: ", ending="hang"),
    ],
)
def test_slow_answers_end_at_the_time_limit(setting: Setting, server: FaultyServer, reply: Reply) -> None:
    server.on("/a", reply)
    began = time.monotonic()
    error = setting.failure(server.url("/a"), limits=FetchLimits(seconds=0.6), retry=QUICK)
    assert (error.reason, error.retryable) == ("time", True)
    assert 0.5 < time.monotonic() - began < 2.0


def test_interim_answers_without_end_do_too(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", Reply(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, ending="hang"))
    assert setting.failure(server.url("/a"), limits=FetchLimits(seconds=0.6)).reason == "time"


def test_the_caller_may_set_a_shorter_time(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", Reply(delay=30))
    with pytest.raises(FetchError, match="did not arrive within") as caught:
        setting.run(lambda f: f.fetch_image(server.url("/a"), seconds=0.2))
    assert caught.value.reason == "time"


def test_waiting_for_a_place_costs_no_time(setting: Setting, server: FaultyServer) -> None:
    server.on("/slow", drip(0.1)).on("/fast", image_reply(PNG))

    async def work(fetcher: Fetcher) -> Download:
        slow = [asyncio.create_task(fetcher.fetch_bytes(server.url("/slow"))) for _ in range(4)]
        await asyncio.sleep(0.05)
        try:
            return await fetcher.fetch_image(server.url("/fast"))
        finally:
            await asyncio.gather(*slow, return_exceptions=True)

    # Two rounds of slow ones at 0.5 s each come first.
    assert setting.run(work, limits=FetchLimits(seconds=0.5), concurrency=2).width == 20


def test_redirects_are_bounded(setting: Setting, server: FaultyServer) -> None:
    server.on("/loop", redirect("/loop"))
    assert setting.failure(server.url("/loop"), limits=FetchLimits(redirects=3)).reason == "redirects"
    assert server.count() == 4


# ---- where it may go -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "gopher://127.0.0.1:70/",
        "//example.com/a.png",
        "/etc/passwd",
        "",
        "http://",
        "http://:80/",
        "http://user:pass@example.com/a.png",
        "http://user@example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com/\r\nX-Injected: 1",
        "http://example.com/\x00",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://127.1/",
        "http://localhost/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1.:80/",
        "http://example.com/" + "a" * 5000,
    ],
)
def test_addresses_that_are_refused(setting: Setting, server: FaultyServer, url: str) -> None:
    error = setting.failure(url)
    assert error.reason == "refused" or "cannot be resolved" in str(error)
    assert not error.retryable or error.reason == "network"
    assert "pass@" not in str(error)
    assert server.connections == 0


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "127.1", "[::ffff:127.0.0.1]"])
def test_other_spellings_of_an_allowed_address_are_refused(
    setting: Setting, server: FaultyServer, host: str
) -> None:
    server.on("*", image_reply(PNG))
    error = setting.failure(server.url("/", host))
    assert error.reason == "refused"
    assert server.connections == 0


def test_only_the_allowed_port(setting: Setting, server: FaultyServer) -> None:
    server.on("*", image_reply(PNG))
    with FaultyServer() as other:
        other.on("*", image_reply(PNG))
        assert setting.image(server.url("/a")).width == 20
        with pytest.raises(FetchError, match="not a public address"):
            setting.image(other.url("/a"))
        assert other.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_private_addresses_are_refused(
    setting: Setting, server: FaultyServer, status: int
) -> None:
    with FaultyServer() as inside:
        inside.on("*", image_reply(PNG))
        server.on("/a", redirect(inside.url("/admin"), status))
        assert setting.failure(server.url("/a")).reason == "refused"
        assert inside.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//169.254.169.254/",
        "http://user:pass@127.0.0.1/",
        "data:image/png;base64,AA",
        "\\\\127.0.0.1\\x:1",
        "http:///",
    ],
)
def test_redirects_to_other_schemes_are_refused(
    setting: Setting, server: FaultyServer, location: str
) -> None:
    server.on("/a", redirect(location))
    error = setting.failure(server.url("/a"))
    assert error.reason in ("refused", "status")
    assert server.count() <= 2


def test_an_answer_of_dns_that_changes_changes_nothing(setting: Setting, server: FaultyServer) -> None:
    """First a public address, then loopback: the connection goes to the one that was checked."""
    server.on("*", image_reply(PNG))
    answers, asked = [["192.31.196.1"], ["127.0.0.1"]], []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    url = server.url("/a", "rebind.example")
    error = setting.failure(url, resolver=resolver, limits=FetchLimits(seconds=0.5))
    assert error.reason in ("network", "time")  # nobody answers at the public address from here
    assert asked == ["rebind.example"]
    error = setting.failure(url, resolver=resolver)
    assert error.reason == "refused"
    assert server.connections == 0


def test_the_name_is_resolved_once_for_check_and_connection(setting: Setting, server: FaultyServer) -> None:
    server.on("*", image_reply(PNG))
    asked = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["10.1.2.3"]

    allow = [f"media.example:{server.port}"]
    assert setting.image(server.url("/a", "media.example"), resolver=resolver, allow=allow).width == 20
    assert asked == [("media.example", server.port)]
    assert server.requests[0].headers["host"] == f"media.example:{server.port}"


def test_no_proxy_and_no_netrc(
    setting: Setting, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy of the environment would connect where we cannot check."""
    server.on("*", image_reply(PNG))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter22")
    monkeypatch.setenv("NETRC", str(netrc))
    with FaultyServer() as proxy:
        proxy.on("*", image_reply(PNG))
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert setting.image(server.url("/a")).width == 20
        with pytest.raises(FetchError, match="not a public address"):
            setting.image("http://127.0.0.1:9/x")
        assert proxy.connections == 0
    assert "authorization" not in server.requests[0].headers


def test_ipv6(tmp_path: Path) -> None:
    with FaultyServer("::1") as server:
        server.on("*", image_reply(PNG))
        setting = Setting(tmp_path, server)
        setting.allow = [f"[::1]:{server.port}"]
        assert setting.image(server.url("/a")).width == 20
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
        with pytest.raises(FetchError) as caught:
            setting.image(server.url("/b", "localhost"))
        assert caught.value.reason == "refused"


def test_certificates_are_checked_for_the_name_and_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = certified(tmp_path, "media.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    tls_context.cache_clear()

    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    with FaultyServer(tls=context) as server:
        server.on("*", image_reply(PNG))
        setting = Setting(tmp_path, server)
        allow = [f"{host}:{server.port}" for host in ("media.example", "other.example")]
        assert setting.image(server.url("/a", "media.example"), resolver=resolver, allow=allow).width == 20
        with pytest.raises(FetchError, match="certificate") as caught:
            setting.image(server.url("/b", "other.example"), resolver=resolver, allow=allow)
        assert caught.value.reason == "network"
        monkeypatch.delenv("SSL_CERT_FILE")
        tls_context.cache_clear()
        with pytest.raises(FetchError, match="certificate"):
            setting.image(server.url("/c", "media.example"), resolver=resolver, allow=allow)
    tls_context.cache_clear()


def certified(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that vouches for itself: the file to trust, and a server's context."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def test_a_thousand_addresses_at_once(setting: Setting, server: FaultyServer) -> None:
    """Few threads and few connections, whatever is asked for."""
    server.on("*", image_reply(PNG))
    most = []

    async def work(fetcher: Fetcher) -> int:
        async def watch() -> None:
            while True:
                most.append(threading.active_count())
                await asyncio.sleep(0.01)

        watcher = asyncio.create_task(watch())
        got = await asyncio.gather(*(fetcher.fetch_image(server.url(f"/{n}")) for n in range(1000)))
        watcher.cancel()
        return len(got)

    assert setting.run(work, limits=FetchLimits(seconds=30)) == 1000
    assert max(most) < 60
    assert server.most_at_once <= 16
    assert len(setting.store._traffic) == 1


# ---- together ------------------------------------------------------------------------------------------


def test_fifty_tasks_fetch_once_and_all_get_it(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", image_reply(PNG, delay=0.2))

    async def work(fetcher: Fetcher) -> list[Download]:
        return list(await asyncio.gather(*(fetcher.fetch_image(server.url("/a")) for _ in range(50))))

    results = setting.run(work)
    assert len({r.sha256 for r in results}) == 1
    assert server.count() == 1


def test_the_first_who_asked_may_leave(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", image_reply(PNG, delay=0.4))

    async def work(fetcher: Fetcher) -> tuple[list[Download], asyncio.Task[Download]]:
        first = asyncio.create_task(fetcher.fetch_image(server.url("/a")))
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(fetcher.fetch_image(server.url("/a"))) for _ in range(10)]
        await asyncio.sleep(0.1)
        first.cancel()
        return await asyncio.gather(*others), first

    results, first = setting.run(work)
    assert first.cancelled()
    assert len(results) == 10
    assert server.count() == 1


def test_when_all_leave_the_download_ends(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", drip(0.05))

    async def work(fetcher: Fetcher) -> set[asyncio.Task[object]]:
        tasks = [asyncio.create_task(fetcher.fetch_image(server.url("/a"))) for _ in range(3)]
        await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert setting.run(work) == set()
    assert server.count() == 1


def test_a_failure_is_shared_and_not_remembered(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", Reply(404, delay=0.2), image_reply(PNG))

    async def work(fetcher: Fetcher) -> list[Download | BaseException]:
        asked = (fetcher.fetch_image(server.url("/a")) for _ in range(20))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    results = setting.run(work)
    assert all(isinstance(r, FetchError) for r in results)
    assert server.count() == 1
    assert setting.image(server.url("/a")).width == 20


_PROCESS = """
import asyncio, sys
from pathlib import Path
from genevolve.interpreter.net.addresses import AddressPolicy
from genevolve.interpreter.net.fetcher import Fetcher
from genevolve.interpreter.net.store import BlobStore
async def main():
    async with Fetcher(BlobStore(Path(sys.argv[1])), AddressPolicy.parse([sys.argv[3]])) as fetcher:
        got = await asyncio.gather(*(fetcher.fetch_image(sys.argv[2]) for _ in range(5)))
        print(len({(d.sha256, d.path.exists()) for d in got}), got[0].width)
asyncio.run(main())
"""


def _process(setting: Setting, url: str) -> subprocess.Popen[str]:
    arguments = [str(setting.store.folder), url, setting.allow[0]]
    return subprocess.Popen([sys.executable, "-c", _PROCESS, *arguments], stdout=subprocess.PIPE, text=True)


def test_four_processes_fetch_once_and_all_get_it(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", image_reply(PNG, delay=2.0))
    processes = [_process(setting, server.url("/a")) for _ in range(4)]
    assert [p.communicate(timeout=60)[0] for p in processes] == ["1 20\n"] * 4
    assert server.count() == 1


def test_a_killed_process_leaves_nothing_and_blocks_nobody(setting: Setting, server: FaultyServer) -> None:
    server.on("/a", image_reply(PNG, delay=20), image_reply(PNG))
    process = _process(setting, server.url("/a"))
    deadline = time.monotonic() + 30
    while not server.count():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not [p for p in setting.store.folder.rglob("*") if p.is_file() and p.suffix != ".lock"]
    began = time.monotonic()
    assert setting.image(server.url("/a")).width == 20
    assert time.monotonic() - began < 5
