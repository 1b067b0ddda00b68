"""Reference images of strangers: decoded within limits before anything is queued.

The bytes are kept as they came, so that a picture drawn by the service is the one drawn without it. Formats other than
PNG, JPEG and WebP that are common on the web become PNG.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from genevolve.interpreter.images import ImageLimits, ImageProblem, inspect
from genevolve.interpreter.service.limits import Limits, Refusal

_DATA_URI = re.compile(r"data:[\w.+/-]{0,100}(?:;[\w=.+-]{1,100}){0,4};base64,", re.ASCII | re.IGNORECASE)
_BLANKS = str.maketrans("", "", " \t\r\n")


@dataclass(frozen=True, slots=True)
class Picture:
    """A reference image that decodes: its bytes, their SHA-256, its size as it is shown."""

    data: bytes
    sha256: str
    width: int
    height: int
    media_type: str


def from_base64(text: str, name: str, limits: Limits) -> Picture:
    """A picture from base64 or a data URI; the type that a URI claims plays no part. Raises `Refusal`."""
    if re.match(r"https?://|file:|ftp:", text, re.IGNORECASE):
        raise Refusal(400, f"{name} is a URL; this service fetches nothing, send the bytes", parameter=name)
    start = 0
    if text[:5].lower() == "data:":
        match = _DATA_URI.match(text)
        if match is None:
            raise Refusal(400, f"{name} is a data URI that is not base64", parameter=name)
        start = match.end()
    try:
        data = base64.b64decode(text[start:].translate(_BLANKS), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, f"{name} is not valid base64", parameter=name) from None
    return from_bytes(data, name, limits)


def from_bytes(data: bytes, name: str, limits: Limits) -> Picture:
    """A picture from its bytes. Raises `Refusal` for what is no usable picture."""
    if not data:
        raise Refusal(400, f"{name} is empty", parameter=name)
    if data.startswith((b"GIF87a", b"GIF89a")):
        data = _as_png(data, name, limits)
    bounds = ImageLimits(max_bytes=limits.body_bytes, max_pixels=limits.image_pixels)
    try:
        decoded = inspect(data, name, bounds)
    except ImageProblem as error:
        status = 413 if error.code == "GP415" else 400
        raise Refusal(
            status, str(error), "too_large" if status == 413 else "invalid", parameter=name
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    return Picture(data, digest, decoded.width, decoded.height, decoded.media_type)


def _as_png(data: bytes, name: str, limits: Limits) -> bytes:
    from genevolve.interpreter.net.errors import FetchError
    from genevolve.interpreter.net.pixels import reencode

    try:
        return reencode(data, name, limits.image_pixels).data
    except FetchError as error:
        status = 413 if error.reason == "pixels" else 400
        raise Refusal(
            status, str(error), "too_large" if status == 413 else "invalid", parameter=name
        ) from error
