"""From bytes of a stranger to pixels of ours: decode within limits, keep nothing but pixels, encode again."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from genevolve.interpreter.net.errors import FetchError

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture without metadata."""

    data: bytes
    media_type: str
    width: int
    height: int


def reencode(data: bytes, max_pixels: int) -> Picture:
    """Decode an image of an accepted format (first frame), apply its orientation, encode only its pixels.

    JPEG stays JPEG (quality 95, full chroma), everything else becomes PNG. Raises `FetchError` with reason `type` (not
    an accepted image), `pixels` (too large) or `decode` (damaged). The type a server announces plays no part.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow's own bomb warning is superseded by the limit below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise FetchError("pixels", f"an image of {width}x{height} pixels is too large")
                kind = image.format
                image.load()
                upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise FetchError("type", f"this is not an image ({_looks_like(data)})") from error
    except Image.DecompressionBombError as error:
        raise FetchError("pixels", f"the image is too large: {error}") from error
    # Pillow's decoders answer damaged input with these; anything else would be a bug worth seeing.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as error:
        raise FetchError("decode", f"the image is damaged: {error}") from error
    return _encode(upright, jpeg=kind == "JPEG")


def _encode(image: object, *, jpeg: bool) -> Picture:
    from PIL import Image

    assert isinstance(image, Image.Image)
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    pixels = image.convert("RGBA" if transparent else "RGB")
    clean = Image.frombytes(
        pixels.mode, pixels.size, pixels.tobytes()
    )  # info, palettes and profiles stay behind
    out = io.BytesIO()
    if jpeg:
        clean.save(out, "JPEG", quality=95, subsampling=0)
    else:
        clean.save(out, "PNG")
    return Picture(out.getvalue(), "image/jpeg" if jpeg else "image/png", *clean.size)


def _looks_like(data: bytes) -> str:
    head = data[:64].lstrip().lower()
    if not data:
        return "it is empty"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is a web page or XML"
    if head.startswith((b"{", b"[")):
        return "it looks like JSON"
    return f"it begins with {data[:12]!r}"
