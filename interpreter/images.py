"""Opens pictures on disk safely: allowed folders only, limits before decoding, the type decided by decoding.

`open_image` describes a picture without keeping its pixels; `load_pixels` reads them later and makes sure that they
are still the same ones. PNG, JPEG and WebP are read, whatever the file is called.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.values import ImageHandle

if TYPE_CHECKING:
    from PIL.Image import Image

OUTSIDE, MISSING, UNREADABLE, TOO_LARGE = "GP412", "GP413", "GP414", "GP415"

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp"}
DECODERS = ("PNG", "JPEG", "WEBP")
_MAX_SCANS = 100
"""Every scan of a progressive JPEG may cost as much as the whole picture; ordinary ones have about ten."""
_ORIENTATION = 274
# What Pillow's decoders answer damaged input with; anything else would be a bug worth seeing.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


class ImageProblem(AuthorError):
    """A picture that cannot be used.

    `code` is GP412 (outside the allowed folders), GP413 (missing), GP414 (not a readable picture) or GP415 (too large).
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code=code)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest picture that is opened: its file in bytes, its area in pixels, its longer side in pixels."""

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 64_000_000
    max_side: int = 32_768


DEFAULT_LIMITS = ImageLimits()

_one_at_a_time = threading.RLock()


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding tells about a picture; width and height as it is shown, its EXIF orientation applied."""

    width: int
    height: int
    media_type: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Metadata:
    """Texts in a picture: PNG text chunks by keyword, EXIF texts by tag number, XMP as it is, the IPTC caption."""

    chunks: tuple[tuple[str, str], ...] = ()
    exif: tuple[tuple[int, str], ...] = ()
    xmp: str = ""
    iptc: str = ""


def open_image(path: str, allowed: Sequence[Path], limits: ImageLimits = DEFAULT_LIMITS) -> ImageHandle:
    """Describe the picture at `path`.

    Args:
        path: relative to one of the allowed folders (the first in which it exists counts), or absolute.
        allowed: the only folders from which pictures are opened, links resolved; the program's own comes first.
        limits: what is too large.

    Raises:
        ImageProblem: the path leads out of the allowed folders, to nothing, or to something that is no usable picture.
    """
    file, root = locate(path, allowed)
    data = read_bytes(file, path, limits.max_bytes)
    decoded = inspect(data, path, limits)
    return ImageHandle(
        path=str(file),
        sha256=hashlib.sha256(data).hexdigest(),
        width=decoded.width,
        height=decoded.height,
        media_type=decoded.media_type,
        title=file.stem.replace("_", " ").replace("-", " ").strip(),
        source=file.relative_to(root).as_posix(),
    )


def load_pixels(handle: ImageHandle, limits: ImageLimits = DEFAULT_LIMITS) -> Image:
    """The pixels of a described picture, upright, in mode RGB or RGBA.

    Raises `ImageProblem` when the file is gone or is not the one that was described.
    """
    name = handle.source or handle.path
    data = read_bytes(handle.file, name, limits.max_bytes)
    if hashlib.sha256(data).hexdigest() != handle.sha256:
        raise ImageProblem(f"the picture {name!r} has changed since it was found", UNREADABLE)
    return decode(data, name, limits)[0]


def decode(
    data: bytes, name: str, limits: ImageLimits = DEFAULT_LIMITS, decoders: tuple[str, ...] = DECODERS
) -> tuple[Image, str]:
    """The pixels of an encoded picture, upright, in mode RGB or RGBA, and its format as Pillow calls it.

    Of several frames the first counts. Raises `ImageProblem`.
    """
    from PIL import ImageOps

    with _decoding(name), _opened(data, name, limits, decoders) as image:
        kind = image.format or ""
        image.load()
        return _plain(ImageOps.exif_transpose(image)), kind


def locate(path: str, allowed: Sequence[Path]) -> tuple[Path, Path]:
    """The file that a path names, links resolved, and the allowed folder that it lies in.

    Whether something exists outside the allowed folders is not told. Raises `ImageProblem`.
    """
    shown = path if len(path) <= 200 else path[:199] + "…"
    if "://" in path:
        raise ImageProblem(
            f"{shown!r} is a URL; image(...) opens files, image_search(...) finds pictures", MISSING
        )
    if not path.strip() or "\0" in path:
        raise ImageProblem(f"{shown!r} is no file name", MISSING)
    inside = False
    for folder in allowed:
        try:
            root = folder.resolve()
            file = (root / path).resolve()
            holder = next(
                (a for a in (root, *(b.resolve() for b in allowed)) if file.is_relative_to(a)), None
            )
            if holder is None:
                continue
            inside = True
            if file.exists():
                return file, holder
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long
            raise ImageProblem(f"{shown!r} cannot be opened: {_reason(error)}", MISSING) from error
    if inside:
        raise ImageProblem(f"there is no file {shown!r}", MISSING)
    folders = ", ".join(str(folder) for folder in allowed) or "none"
    raise ImageProblem(f"{shown!r} lies outside the folders that may be read (allowed: {folders})", OUTSIDE)


def read_bytes(file: Path, name: str, max_bytes: int) -> bytes:
    """The bytes of a regular file of limited size. Raises `ImageProblem`."""
    try:
        return read_regular(file, max_bytes)
    except FileNotFoundError as error:
        raise ImageProblem(f"there is no file {name!r}", MISSING) from error
    except OverflowError as error:
        raise ImageProblem(f"{name!r} is too large: {error}", TOO_LARGE) from error
    except OSError as error:
        raise ImageProblem(f"{name!r} cannot be read: {_reason(error)}", UNREADABLE) from error


def read_regular(file: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file that is no link; never waits for a pipe or a device.

    Raises `OverflowError` when it is larger than `max_bytes`, `OSError` when it is no regular file or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(file, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(None, "it is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is no regular file")
        if status.st_size > max_bytes:
            raise OverflowError(f"{status.st_size:,} bytes; {max_bytes:,} are allowed")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise OverflowError(f"more than {max_bytes:,} bytes")
    return data


def inspect(data: bytes, name: str, limits: ImageLimits = DEFAULT_LIMITS) -> Decoded:
    """Decode a picture once, to be sure that it is whole. Raises `ImageProblem`."""
    with _decoding(name), _opened(data, name, limits) as image:
        kind = image.format or ""
        width, height = image.size
        if image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
            width, height = height, width
        # An eighth of the size is enough to find out whether a JPEG is whole, and much faster.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
        return Decoded(width, height, MEDIA_TYPES[kind], _metadata(image))


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Translates what a decoder raises."""
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow warns of oddities in metadata, and of sizes that are limited here. Filters of warnings belong to the
        # whole process: two threads that change them at once would leave them changed, so one decodes at a time.
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageProblem:
        raise
    except UnidentifiedImageError as error:
        raise ImageProblem(f"{name!r} is not a PNG, JPEG or WebP picture", UNREADABLE) from error
    except Image.DecompressionBombError as error:
        raise ImageProblem(f"{name!r} has too many pixels", TOO_LARGE) from error
    except _DAMAGE as error:
        raise ImageProblem(f"{name!r} is damaged or cut short", UNREADABLE) from error


@contextmanager
def _opened(
    data: bytes, name: str, limits: ImageLimits, decoders: tuple[str, ...] = DECODERS
) -> Iterator[Image]:
    """A picture whose head has been read and whose size is within the limits."""
    from PIL import Image

    if not data:
        raise ImageProblem(f"{name!r} is empty (0 bytes)", UNREADABLE)
    with Image.open(io.BytesIO(data), formats=decoders) as image:
        width, height = image.size
        if width * height > limits.max_pixels or max(width, height) > limits.max_side:
            raise ImageProblem(
                f"{name!r} has {width}x{height} pixels; at most {limits.max_pixels:,} pixels and "
                f"{limits.max_side:,} a side are allowed",
                TOO_LARGE,
            )
        if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MAX_SCANS:
            raise ImageProblem(f"{name!r} is a JPEG of more than {_MAX_SCANS} scans", TOO_LARGE)
        yield image


def _plain(image: Image) -> Image:
    """RGB, or RGBA where something is transparent. Sixteen-bit greys are scaled, not cut off."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        image = image.convert("I")
    if image.mode == "I":
        image = image.point(lambda value: value / 257).convert("L")
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    pixels = image.convert("RGBA" if transparent else "RGB")
    # A new image: no metadata, no profile, no link to the file.
    return Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())


def _metadata(image: Image) -> Metadata:
    from PIL import ImageFile, IptcImagePlugin, PngImagePlugin

    chunks: dict[str, str] = {}
    if isinstance(image, PngImagePlugin.PngImageFile):
        chunks = {k: v for k, v in image.text.items() if isinstance(k, str) and isinstance(v, str)}
    exif: list[tuple[int, str]] = []
    for tag in (270, 40091, 40092):
        value = image.getexif().get(tag)
        if isinstance(value, bytes):
            value = value.decode("utf-16-le", errors="ignore")
        if isinstance(value, str):
            exif.append((tag, value))
    xmp = image.info.get("xmp", b"")
    iptc: object = None
    if image.format in ("JPEG", "MPO") and isinstance(image, ImageFile.ImageFile):
        try:
            iptc = (IptcImagePlugin.getiptcinfo(image) or {}).get((2, 120))
        except _DAMAGE:  # a damaged caption is no damage to the picture
            iptc = None
    return Metadata(
        tuple(chunks.items()),
        tuple(exif),
        xmp.decode("utf-8", errors="replace") if isinstance(xmp, bytes) else str(xmp),
        iptc.decode("utf-8", errors="replace") if isinstance(iptc, bytes) else "",
    )


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
