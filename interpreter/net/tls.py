"""The certificates that servers are checked against."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    import ssl


@cache
def tls_context() -> ssl.SSLContext:
    """One for the process: reading the certificates takes longer than a request.

    Certificates and names are checked. `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
    """
    return httpx2.create_ssl_context()
