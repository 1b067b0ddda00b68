"""A picture that carries its program: PNG text chunks `genevolve.program`, `genevolve.z`, `genevolve.version`.

Reading is done here chunk by chunk rather than by an image library: only text is wanted, pixels of a stranger's
file need not be decoded for it, and every length is checked before memory is taken.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.grammar.z import Z
from genevolve.interpreter.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

PROGRAM, Z_KEY, VERSION = "genevolve.program", "genevolve.z", "genevolve.version"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LIMIT = 4 * 1024 * 1024
"""Most bytes of one text, packed or unpacked; the language allows programs of 256 KiB."""
_CHUNKS = 100_000
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


class Extracted(NamedTuple):
    """What a picture says about itself."""

    program: str
    z: Z


def png_bytes(image: Image, program: str, z: Z, version: str) -> bytes:
    """The picture as PNG with its program and z inside.

    The same pixels, program, z and version give the same bytes: nothing else of `image` (times, camera data,
    colour profiles) is written.
    """
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    for key, text in ((PROGRAM, program), (Z_KEY, z.to_json()), (VERSION, version)):
        texts.add_itxt(key, text)
    if (
        "transparency" in image.info
    ):  # a colour that means "see through" would be lost with the rest of `info`
        image = image.convert("RGBA")
    pixels = image.copy() if image.mode in _MODES else image.convert("RGB")
    pixels.info.clear()
    buffer = BytesIO()
    pixels.save(buffer, format="PNG", pnginfo=texts, compress_level=6)
    return buffer.getvalue()


def extract(path: Path) -> Extracted:
    """The program and z that a picture carries.

    Raises `AuthorError` when the file is no PNG, is cut short or damaged, or carries no program; `StorageError`
    when it cannot be read.
    """
    try:
        with open_regular(path) as file:
            texts = _texts(file, str(path))
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    if PROGRAM not in texts or Z_KEY not in texts:
        raise AuthorError(f"{path} carries no genevolve program (was it saved again by another application?)")
    try:
        z = Z.from_dict(json.loads(texts[Z_KEY]))
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"the z in {path} is damaged: {error}") from error
    return Extracted(texts[PROGRAM], z)


def _texts(file: BinaryIO, name: str) -> dict[str, str]:
    """Our own texts of a PNG; the first of each key counts."""
    if file.read(8) != _SIGNATURE:
        raise AuthorError(f"{name} is not a PNG file")
    found: dict[str, str] = {}
    for kind, body in _chunks(file, name):
        entry = _entry(kind, body, name)
        if entry is not None:
            found.setdefault(*entry)
    return found


def _chunks(file: BinaryIO, name: str) -> Iterator[tuple[bytes, bytes]]:
    """The text chunks up to IEND; the others are passed over without being read."""
    for _ in range(_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise AuthorError(f"{name} is cut short")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            _skip(file, length + 4, name)
            continue
        if length > _LIMIT:
            raise AuthorError(f"{name} has a text of {length:,} bytes; {_LIMIT:,} are allowed")
        body, checksum = file.read(length), file.read(4)
        if len(body) < length or len(checksum) < 4:
            raise AuthorError(f"{name} is cut short")
        if struct.unpack(">I", checksum)[0] != zlib.crc32(kind + body):
            raise AuthorError(f"{name} is damaged: the checksum of a text does not fit")
        yield kind, body
    raise AuthorError(f"{name} has more than {_CHUNKS:,} chunks")


def _skip(file: BinaryIO, length: int, name: str) -> None:
    # Seeking past the end does not fail, so the last byte is read for real.
    file.seek(length - 1, 1)
    if not file.read(1):
        raise AuthorError(f"{name} is cut short")


def _entry(kind: bytes, body: bytes, name: str) -> tuple[str, str] | None:
    """Keyword and text of a text chunk of ours, None for anybody else's."""
    keyword, _, rest = body.partition(b"\0")
    if keyword not in (PROGRAM.encode(), Z_KEY.encode(), VERSION.encode()):
        return None
    packed, encoding = kind == b"zTXt", "latin-1"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        if len(rest) < 2:
            raise AuthorError(f"{name} is damaged: a text is malformed")
        packed, encoding = rest[0] == 1, "utf-8"
        _, _, rest = rest[2:].partition(b"\0")
        _, _, rest = rest.partition(b"\0")
    if packed:
        rest = _unpack(rest, name)
    try:
        return keyword.decode("ascii"), rest.decode(encoding)
    except UnicodeDecodeError as error:
        raise AuthorError(f"{name} is damaged: a text is not UTF-8") from error


def _unpack(data: bytes, name: str) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _LIMIT)
    except zlib.error as error:
        raise AuthorError(f"{name} is damaged: a packed text cannot be unpacked") from error
    if not unpacker.eof:
        if len(text) >= _LIMIT:
            raise AuthorError(f"{name} has a packed text that unpacks to more than {_LIMIT:,} bytes")
        raise AuthorError(f"{name} is damaged: a packed text is cut short")
    return text
