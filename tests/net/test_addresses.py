"""Which addresses a download may reach."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpcore2
import pytest

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.net.addresses import AddressPolicy, GuardedBackend, is_public, normal_host, resolve
from genevolve.interpreter.net.errors import FetchError

REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "192.88.99.1",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1",
    "2001:0:1::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "::ffff:8.8.8.8",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


def test_an_entry_allows_one_host_at_one_port() -> None:
    policy = AddressPolicy.parse(["127.0.0.1:8001", "[::1]:8002", "Media.Example:80"])
    assert policy.permits("127.0.0.1", 8001, "127.0.0.1")
    assert policy.permits("::1", 8002, "::1")
    assert policy.permits("media.example.", 80, "10.0.0.5")
    assert not policy.permits("127.0.0.1", 8002, "127.0.0.1")
    assert not policy.permits("127.0.0.2", 8001, "127.0.0.2")
    # Another name for the same address is not the host that was allowed.
    assert not policy.permits("localhost", 8001, "127.0.0.1")
    assert not policy.permits("2130706433", 8001, "127.0.0.1")


@pytest.mark.parametrize(
    "entry", ["", "host", ":80", "host:", "host:0", "host:65536", "host:http", "http://h:80", "h:8²"]
)
def test_an_entry_that_is_not_host_and_port_is_named(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[fetch\] allow"):
        AddressPolicy.parse([entry])


def test_hosts_are_compared_in_one_form() -> None:
    assert normal_host("[::1]") == "::1"
    assert normal_host("EXAMPLE.com.") == "example.com"


def backend(answers: Sequence[str], *allow: str) -> tuple[GuardedBackend, list[str]]:
    """A guarded backend whose sockets are not opened but noted."""
    opened: list[str] = []

    class Noting(httpcore2.AnyIOBackend):
        async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
            opened.append(host)
            raise httpcore2.ConnectError("nobody there")

    async def resolver(host: str, port: int) -> Sequence[str]:
        return answers

    guarded = GuardedBackend(AddressPolicy.parse(allow), resolver)
    guarded._inner = Noting()
    return guarded, opened


def test_every_address_is_tried_in_turn() -> None:
    guarded, opened = backend(["1.1.1.1", "2606:4700::1"])
    with pytest.raises(httpcore2.ConnectError):
        asyncio.run(guarded.connect_tcp("example.com", 80))
    assert opened == ["1.1.1.1", "2606:4700::1"]


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    guarded, opened = backend(["1.1.1.1", "10.0.0.1"])
    with pytest.raises(FetchError, match=r"10\.0\.0\.1") as caught:
        asyncio.run(guarded.connect_tcp("example.com", 80))
    assert caught.value.reason == "refused"
    assert opened == []


def test_a_name_without_addresses_is_told() -> None:
    guarded, _ = backend([])
    with pytest.raises(FetchError, match="no address"):
        asyncio.run(guarded.connect_tcp("example.com", 80))


def test_local_sockets_are_refused() -> None:
    guarded, _ = backend([])
    with pytest.raises(FetchError, match="local socket"):
        asyncio.run(guarded.connect_unix_socket("/run/docker.sock"))


def test_the_systems_resolver() -> None:
    assert set(asyncio.run(resolve("localhost", 80))) <= {"127.0.0.1", "::1"}
    assert asyncio.run(resolve("2130706433", 80)) == ["127.0.0.1"]
    assert asyncio.run(resolve("0x7f.1", 80)) == ["127.0.0.1"]
