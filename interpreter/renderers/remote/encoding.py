"""References on their way out, and pictures on their way in.

A reference is checked against the hash under which the run knows it. Its file is sent as it is, unless it holds more
than pixels (a camera's notes, a place, a text) or is too large: then its pixels are encoded again. What a service
answers is a stranger's data: it counts as a picture when it decodes within limits, and only its pixels are kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genevolve.grammar.errors import AuthorError, InternalError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.images import (
    DECODERS,
    DEFAULT_LIMITS,
    MEDIA_TYPES,
    TOO_LARGE,
    UNREADABLE,
    ImageLimits,
    ImageProblem,
    decode,
    read_bytes,
)
from genevolve.interpreter.values import ImageHandle
from genevolve.interpreter.workers import Workers

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_NOTES_IN_FILES = ("exif", "xmp", "XML:com.adobe.xmp", "photoshop", "comment")
"""Where Pillow puts what is no pixel and no colour profile."""
_SMALLER_SIDE = 2048
_SMALLER_QUALITY = 92


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bytes of one reference and of all references of a request, before any base64."""

    each: int = 20 * 1024 * 1024
    together: int = 40 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """An encoded reference image."""

    data: bytes
    media_type: str

    @property
    def base64(self) -> str:
        """The bytes as base64."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def data_uri(self) -> str:
        """The bytes as a data URI with their true media type."""
        return f"data:{self.media_type};base64,{self.base64}"

    @property
    def file_name(self) -> str:
        """A name that depends on the content alone."""
        return f"{hashlib.sha256(self.data).hexdigest()[:32]}.{_SUFFIXES[self.media_type]}"


@dataclass(frozen=True, slots=True)
class Uploads:
    """The references of a request in the order of z, and what was changed about them, in sentences."""

    items: tuple[Upload, ...]
    notes: tuple[str, ...] = ()


async def read_uploads(z: Z, references: Sequence[ImageHandle], limits: UploadLimits) -> Uploads:
    """Read the references of z for sending, in a thread.

    Raises:
        ImageProblem: a file is gone, has changed, is no picture, or is too large even when it is made smaller.
    """
    if len(references) != len(z.reference_images):
        raise InternalError(f"{len(z.reference_images)} references in z, {len(references)} given")
    if not references:
        return Uploads(())
    return await Workers().call(lambda: _read_all(references, limits), "references")


async def read_picture(payload: object, where: str, limits: ImageLimits = DEFAULT_LIMITS) -> Image:
    """The picture that a service answered with, decoded in a thread: RGB or RGBA, upright.

    Args:
        payload: bytes, or a text of base64 with or without the head of a data URI.
        where: the service, for messages.
        limits: the largest picture that is accepted.

    Raises:
        ServiceError: it is no picture, damaged, cut short or too large.
    """
    return await Workers().call(lambda: _picture(payload, where, limits), "picture")


def check_size(image: Image, wanted: tuple[int, int], where: str) -> None:
    """Raise `ServiceError` when a service that was told a size drew another one."""
    if image.size != wanted:
        drawn = f"{image.width}x{image.height}"
        raise ServiceError(f"{where} drew {drawn}, although {wanted[0]}x{wanted[1]} was asked for")


def _picture(payload: object, where: str, limits: ImageLimits) -> Image:
    data = payload if isinstance(payload, bytes) else _from_base64(payload, where, limits.max_bytes)
    try:
        return decode(data, "the answer", limits)[0]
    except ImageProblem as problem:
        raise ServiceError(f"{where} sent no usable picture: {problem}") from problem


def _from_base64(payload: object, where: str, max_bytes: int) -> bytes:
    if not isinstance(payload, str) or not payload.strip():
        raise ServiceError(f"{where} sent no usable picture: there is nothing where base64 belongs")
    text = payload
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ServiceError(f"{where} sent no usable picture: the data URI holds no base64")
    if len(text) > max_bytes * 3 // 2:
        raise ServiceError(f"{where} sent no usable picture: more than {max_bytes:,} bytes")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServiceError(f"{where} sent no usable picture: its base64 is broken ({error})") from error


def _read_all(references: Sequence[ImageHandle], limits: UploadLimits) -> Uploads:
    each = min(limits.each, limits.together // len(references))
    items: list[Upload] = []
    notes: list[str] = []
    for ordinal, handle in enumerate(references, 1):
        upload, note = _read_one(handle, each)
        items.append(upload)
        if note:
            notes.append(f"reference image {ordinal} {note}")
    return Uploads(tuple(items), tuple(notes))


def _read_one(handle: ImageHandle, limit: int) -> tuple[Upload, str]:
    name = handle.source or handle.file.name
    data = read_bytes(handle.file, name, DEFAULT_LIMITS.max_bytes)
    if hashlib.sha256(data).hexdigest() != handle.sha256:
        raise ImageProblem(f"the picture {name!r} has changed since it was found", UNREADABLE)
    image, kind = decode(data, name)
    if not _is_bare(data):
        data = _encoded(image, "JPEG" if kind in ("JPEG", "MPO") else "PNG", quality=95)
        kind = "JPEG" if kind in ("JPEG", "MPO") else "PNG"
    if len(data) <= limit:
        return Upload(data, MEDIA_TYPES[kind]), ""
    return _smaller(image, name, limit)


def _smaller(image: Image, name: str, limit: int) -> tuple[Upload, str]:
    size = image.size
    image.thumbnail((_SMALLER_SIDE, _SMALLER_SIDE))
    kind = "PNG" if image.mode == "RGBA" else "JPEG"
    data = _encoded(image, kind, quality=_SMALLER_QUALITY)
    if len(data) > limit:
        raise ImageProblem(f"{name!r} is too large to send: {len(data):,} bytes, {limit:,} fit", TOO_LARGE)
    now = f"{image.width}x{image.height}"
    return Upload(
        data, MEDIA_TYPES[kind]
    ), f"was sent at {now} instead of {size[0]}x{size[1]}: it is too large"


def _is_bare(data: bytes) -> bool:
    """Whether a picture that decodes holds nothing but pixels and how to show their colours."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=DECODERS) as image:
        texts = getattr(image, "text", None)  # only PNG has it
        frames = getattr(image, "n_frames", 1)
        return frames == 1 and not texts and not any(image.info.get(key) for key in _NOTES_IN_FILES)


def _encoded(image: Image, kind: str, *, quality: int) -> bytes:
    out = io.BytesIO()
    if kind == "JPEG":
        image.convert("RGB").save(out, "JPEG", quality=quality, subsampling=0)
    else:
        image.save(out, "PNG")
    return out.getvalue()


def refuse(found: Sequence[str]) -> None:
    """Raise `AuthorError` (GP524) for what a renderer cannot honour."""
    if found:
        raise AuthorError("; ".join(found), code="GP524")
