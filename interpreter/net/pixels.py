"""From bytes of a stranger to pixels of ours: decode within limits, keep nothing but pixels, encode again."""

from __future__ import annotations

import io
from dataclasses import dataclass

from genevolve.interpreter.images import DECODERS, TOO_LARGE, ImageLimits, ImageProblem, decode
from genevolve.interpreter.net.errors import FetchError

_ACCEPTED = (*DECODERS, "GIF")
_LOSSY = ("JPEG", "MPO")


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture without metadata."""

    data: bytes
    media_type: str
    width: int
    height: int


def reencode(data: bytes, name: str, max_pixels: int) -> Picture:
    """Decode an image of an accepted format (first frame), apply its orientation, encode only its pixels.

    JPEG stays JPEG (quality 95, full chroma), everything else becomes PNG. `name` is what messages call it. Raises
    `FetchError` with reason `type` (not an accepted image), `pixels` (too large) or `decode` (damaged). The type a
    server announces plays no part.
    """
    from PIL import UnidentifiedImageError

    limits = ImageLimits(max_bytes=len(data), max_pixels=max_pixels)
    try:
        image, kind = decode(data, name, limits, _ACCEPTED)
    except ImageProblem as error:
        if error.code == TOO_LARGE:
            raise FetchError("pixels", str(error)) from error
        if not data or isinstance(error.__cause__, UnidentifiedImageError):
            raise FetchError("type", f"{name} is not an image ({_looks_like(data)})") from error
        raise FetchError("decode", str(error)) from error
    out = io.BytesIO()
    if kind in _LOSSY and image.mode == "RGB":
        image.save(out, "JPEG", quality=95, subsampling=0)
        return Picture(out.getvalue(), "image/jpeg", *image.size)
    image.save(out, "PNG", compress_level=4)
    return Picture(out.getvalue(), "image/png", *image.size)


def _looks_like(data: bytes) -> str:
    head = data[:64].lstrip().lower()
    if not data:
        return "it is empty"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is a web page or XML"
    if head.startswith((b"{", b"[")):
        return "it looks like JSON"
    return f"it begins with {data[:12]!r}"
