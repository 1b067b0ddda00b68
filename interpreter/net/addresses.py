"""Which network addresses a download may reach: public ones, and those the operator allows by host and port.

The check is made on the addresses that the connection is then opened to, so an answer of DNS that changes between
check and connect changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpcore2

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.workers import Workers

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_REFUSED_V4 = (
    ipaddress.ip_network("192.0.0.0/24"),  # set aside by IANA, though `ipaddress` calls parts of it global
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.ip_network("168.63.129.16/32"),  # the host of a virtual machine on Azure, at a public address
)
# The only block from which public IPv6 addresses are given out: site-local ones and NAT64 lie outside.
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
_REFUSED_V6 = (
    ipaddress.ip_network("2002::/16"),  # 6to4 carries an IPv4 address that the system may route to
    ipaddress.ip_network("2001::/23"),  # Teredo (likewise) and other protocols
    ipaddress.ip_network("3fff::/20"),  # documentation
)


@dataclass(frozen=True)
class AddressPolicy:
    """What may be connected to. `allow` holds exact (host, port) pairs, hosts in lower case."""

    allow: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> AddressPolicy:
        """From `host:port` entries such as `127.0.0.1:8001` or `[::1]:8001`; raises `ConfigurationError`."""
        return cls(frozenset(_parse_entry(entry) for entry in entries))

    def permits(self, host: str, port: int, address: str) -> bool:
        """Whether a connection to this address, for this host and port, may be opened."""
        if (normal_host(host), port) in self.allow:
            return True
        return is_public(address)


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet: no private, loopback, link-local, tunnelled… one."""
    try:
        parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return is_public(str(parsed.ipv4_mapped))
        if parsed not in _PUBLIC_V6 or any(parsed in network for network in _REFUSED_V6):
            return False
    elif any(parsed in network for network in _REFUSED_V4):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def normal_host(host: str) -> str:
    """The host as it is compared: lower case, no brackets, no trailing dot."""
    return host.strip("[]").rstrip(".").lower()


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host by the system's resolver; raises `OSError` when there are none."""
    with suppress(ValueError):  # most hosts are names
        return [str(ipaddress.ip_address(host))]
    # In a daemon thread: a resolver that hangs must not keep the program from ending.
    found = await Workers().call(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), "resolve")
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections only to addresses that the policy permits.

    The name is resolved once, every address is checked, and the connection goes to a checked address; the TLS name and
    the Host header remain the host's. One refused address refuses the host: a name that also points inside is not
    to be trusted with the rest.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver = resolve) -> None:
        self._policy = policy
        self._resolver = resolver
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the signature is httpcore's)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check, connect."""
        addresses = await self._addresses(host, port)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # there is at least one address
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 (the signature is httpcore's)
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refused: a download never comes from a local socket."""
        raise FetchError("refused", f"a local socket is no place to download from: {path}")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchError("network", f"{host} cannot be resolved: {error}", retryable=True) from error
        if not addresses:
            raise FetchError("network", f"{host} has no address", retryable=True)
        for address in addresses:
            if not self._policy.permits(host, port, address):
                raise FetchError(
                    "refused",
                    f"{host}:{port} is at {address}, which is not a public address"
                    " (an operator may allow exactly this host and port in the configuration, [fetch] allow)",
                )
        return addresses


def _parse_entry(entry: str) -> tuple[str, int]:
    host, colon, port = entry.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    if not colon or not host or not 0 < number < 65536 or not set(host).isdisjoint("/@*?# "):
        raise ConfigurationError(
            f"[fetch] allow: {entry!r} is not host:port, such as '127.0.0.1:8001' or '[::1]:8001'"
        )
    return normal_host(host), number
