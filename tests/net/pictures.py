"""Encoded pictures for tests, whole and broken."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def picture(
    kind: str = "PNG", size: tuple[int, int] = (20, 12), colour: str = "red", **options: object
) -> bytes:
    """One colour."""
    return encoded(Image.new("RGB", size, colour), kind, **options)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def marked(kind: str = "PNG", secret: bytes = b"PRIVATE-METADATA") -> bytes:
    """A picture with EXIF (rotated by 90 degrees), ICC, text and bytes after its end, all holding `secret`."""
    image = Image.new("RGB", (20, 12), "red")
    exif = Image.Exif()
    exif[270] = secret.decode()
    exif[274] = 6
    options: dict[str, object] = {"exif": exif.tobytes(), "icc_profile": secret * 40}
    if kind == "PNG":
        info = PngInfo()
        info.add_text("Comment", secret.decode())
        options["pnginfo"] = info
    if kind == "JPEG":
        options["comment"] = secret
    if kind == "WEBP":
        options["lossless"] = True
    return encoded(image, kind, **options) + b"<?php " + secret


def png_bomb(width: int, height: int) -> bytes:
    """A small PNG that claims to be large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def scans_bomb(scans: int) -> bytes:
    """A JPEG whose last scan is repeated many times."""
    data = picture("JPEG", (64, 64), progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * scans + data[-2:]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><script>alert(1)</script></svg>'
