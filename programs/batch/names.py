"""File names from the ids of rows.

An id is a stranger's text: an absolute path, `../x`, 300 characters, a control character, a device name of Windows,
or `A` beside `a` on a disk that cannot tell them apart. What is harmless stays as it is; everything else becomes a
short readable part and a digest of the whole id, so that two ids never share a file.
"""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DIGESTED = re.compile(r".*-[0-9a-f]{20}")
_UNSAFE = re.compile(r"[^a-z0-9_]+")
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))
)
_READABLE = 40


def safe_name(identity: str) -> str:
    """A file name without ending for an id; different ids give different names, also where case is ignored.

    `ex01` stays `ex01`; `../Ex 01` becomes `ex-01-` and twenty hexadecimal digits.
    """
    # A name that looks like one with a digest gets a digest of its own: nobody can choose the name of another id.
    if _PLAIN.fullmatch(identity) and identity not in _DEVICES and not _DIGESTED.fullmatch(identity):
        return identity
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    readable = _UNSAFE.sub("-", identity.lower()).strip("-_")[:_READABLE].strip("-_")
    return f"{readable or 'row'}-{digest}"
