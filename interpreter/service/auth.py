"""Who may speak to the service: loopback by default, a key for everything wider, no web pages."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.service.limits import Refusal

KEY_VARIABLE = "GENEVOLVE_SERVICE_KEY"
LEAST_KEY = 16


class Access:
    """Decides for each request, by its headers alone, whether it is heard.

    Args:
        host: the address that the service listens on.
        key: the key that clients must show; None: none.
        names: further names that clients may know the service by, as behind a proxy on this machine.

    Raises:
        ConfigurationError: when the address is not loopback and there is no key, or a short one.
    """

    def __init__(self, host: str, key: str | None = None, names: Sequence[str] = ()) -> None:
        self.loopback = is_loopback(host)
        self._names = frozenset(name.lower() for name in names)
        if not self.loopback and not key:
            raise ConfigurationError(
                f"listening on {host} lets others in, and no key is set; set {KEY_VARIABLE} in the environment "
                "or in .env, or listen on 127.0.0.1"
            )
        if key is not None and len(key) < LEAST_KEY:
            raise ConfigurationError(f"{KEY_VARIABLE} is too short; use at least {LEAST_KEY} characters")
        if key is not None and not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ConfigurationError(
                f"{KEY_VARIABLE} holds characters that a header cannot carry; use printable ASCII without "
                "surrounding blanks"
            )
        self._digest = None if key is None else _digest(key)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raise `Refusal` for requests that a web page sends.

        On loopback a name that is not ours means DNS rebinding: a page's own domain that was pointed at this
        machine. A foreign `Origin` means a page that posts across sites, which needs no permission for forms.
        """
        host = headers.get("host", "")
        if self.loopback and not _is_local_name(host) and _name(host) not in self._names:
            raise Refusal(421, "this service answers on loopback only", "forbidden")
        origin = headers.get("origin")
        if origin is not None and _authority(origin) != host.lower():
            raise Refusal(403, "requests from web pages are not answered", "forbidden")

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether the request shows the key, or none is needed. Takes the same time for every wrong key."""
        if self._digest is None:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        shown = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(_digest(shown), self._digest)

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Raise `Refusal` (401) when the request does not show the key."""
        if not self.knows(headers):
            raise Refusal(
                401,
                "the key is missing or wrong; send Authorization: Bearer KEY or X-API-Key",
                "unauthorized",
                headers={"WWW-Authenticate": "Bearer"},
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address. Raises `ConfigurationError` for a name without address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    if not host:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{host!r} is no address of this machine: {error}") from error
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _is_local_name(host: str) -> bool:
    name = _name(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The name in a Host header, in lower case without its port; "" for a malformed one."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  # reading it raises for a malformed authority
    except ValueError:
        return ""
    return "" if "@" in host or parts.path else parts.hostname or ""


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
