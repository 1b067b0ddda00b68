"""Parses URLs of strangers: one parser for what is checked and for what is requested."""

from __future__ import annotations

import httpx2

from genevolve.interpreter.net.errors import FetchError


def parse_url(text: str, base: httpx2.URL | None = None, *, longest: int = 4096) -> httpx2.URL:
    """An http(s) URL with a host and no credentials, relative to `base` if one is given; its fragment is dropped.

    Raises `FetchError` with reason `refused`.
    """
    text = text.strip(" ")
    if len(text) > longest:
        raise FetchError("refused", f"a URL of {len(text):,} characters; {longest:,} are allowed")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise FetchError("refused", f"{shown(text)}: a URL holds no control characters")
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
        url = url.copy_with(fragment=None)
        port = url.port
    # Besides its own error the parser lets errors of IDNA and of numbers through.
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise FetchError("refused", f"{shown(text)} is not a URL: {error}") from error
    if url.scheme not in ("http", "https"):
        raise FetchError("refused", f"{shown(text)}: only http and https are fetched")
    if not url.host or port == 0:
        raise FetchError("refused", f"{shown(text)} names no host")
    if url.userinfo:
        raise FetchError("refused", f"the URL for {shown(url.host)} carries a user name or password")
    return url


def shown(url: str) -> str:
    """A URL for a message: without its query (it may hold keys), control characters escaped, bounded."""
    bare = url[:4096].split("?", 1)[0].split("#", 1)[0]
    scheme, separator, rest = bare.partition("://")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        bare = f"{scheme}{separator}…@{authority.rpartition('@')[2]}{slash}{path}"
    return bare.encode("unicode_escape").decode()[:200]
