"""Finds the caption of a picture: beside it, inside it, or in its name, in that order."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from genevolve.interpreter.images import Metadata
from genevolve.interpreter.library.text import clean, decode, one_line

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
SIDECAR_BYTES = 256 * 1024
_CAPTION = 2_000
_TITLE = 160

_CAPTION_KEYS = ("caption", "description", "alt", "alt_text", "text", "summary")
_TITLE_KEYS = ("title", "headline", "name")
_TAG_KEYS = ("tags", "keywords")
_CHUNK_CAPTIONS = ("description", "caption", "imagedescription", "comment")
_IMAGE_DESCRIPTION, _XP_TITLE, _XP_COMMENT = 270, 40091, 40092
# What cameras and programs write into the place of a caption.
_NOISE = re.compile(
    r"(olympus|minolta|samsung|sony|kodak|nikon|konica|exif|jpeg|digital) ?(digital camera|dsc|camera|photo)?"
    r"|default|untitled|screenshot|dcim.*|(created|made|file written|exported|optimi[sz]ed) (with|by|in) .*",
    re.IGNORECASE,
)
_XMP_ITEM = r"<{0}\b[^>]*>\s*<rdf:Alt\b[^>]*>\s*<rdf:li\b[^>]*>([^<]*)</rdf:li>"
_XMP_CAPTION = re.compile(_XMP_ITEM.format("dc:description"))
_XMP_TITLE = re.compile(_XMP_ITEM.format("dc:title"))
_CAMERA_WORD = re.compile(
    r"(img|dsc[fn]?|dcim|pict?|image|photo|foto|scan|screenshot|pxl|mvimg|p|\d+x\d+|[0-9a-f]{8,}|\d+)",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-Za-z])(?=\d{2,})")


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption, a title (may be empty), and where they come from: `sidecar`, `metadata` or `name`."""

    text: str
    title: str
    source: str


def sidecar_names(name: str) -> tuple[str, ...]:
    """The files that may caption a picture of this name, strongest first."""
    stem = PurePosixPath(name).stem
    return (f"{name}.txt", f"{name}.json", f"{stem}.txt", f"{stem}.json")


def caption_of(path: str, sidecar: tuple[str, bytes] | None, metadata: Metadata | None = None) -> Caption:
    """The caption of the picture at `path` (inside the library, with `/`).

    `sidecar` is the name and content of the file beside it, when there is one; an empty or unreadable one does not
    count.
    """
    if sidecar is not None and (found := _from_sidecar(*sidecar)):
        return found
    embedded = _from_metadata(metadata) if metadata is not None else None
    return embedded or Caption(caption_from_name(path), "", "name")


def caption_from_name(path: str) -> str:
    """Words from a file name; names that cameras give are helped out by the name of the folder."""
    parts = PurePosixPath(path).parts
    words = _name_words(PurePosixPath(path).stem)
    if all(_CAMERA_WORD.fullmatch(word) for word in words):
        folder = next(
            (p for p in reversed(parts[:-1]) if any(not _CAMERA_WORD.fullmatch(w) for w in _name_words(p))),
            "",
        )
        words = [*_name_words(folder), *words]
    return one_line(" ".join(words), _TITLE)


def _name_words(name: str) -> list[str]:
    spaced = re.sub(r"[\W_]+", " ", clean(name))
    return [word for part in spaced.split() for word in _CAMEL.sub(" ", part).split()]


def _from_sidecar(name: str, data: bytes) -> Caption | None:
    try:
        text = decode(data)
        value: object = json.loads(text) if name.lower().endswith(".json") else text
    except (ValueError, RecursionError):
        return None
    title = ""
    if isinstance(value, dict):
        title = one_line(_first(value, _TITLE_KEYS), _TITLE)
        caption = _first(value, _CAPTION_KEYS)
        tags: list[object] = next((value[key] for key in _TAG_KEYS if isinstance(value.get(key), list)), [])
        listed = ", ".join(one_line(tag) for tag in tags if isinstance(tag, str))
        value = " — ".join(part for part in (caption or (title if not listed else ""), listed) if part)
    if not isinstance(value, str):
        return None
    line = one_line(value, _CAPTION)
    return Caption(line, title, "sidecar") if line else None


def _first(values: dict[str, object], keys: Sequence[str]) -> str:
    return next((found for key in keys if isinstance(found := values.get(key), str) and found.strip()), "")


def _from_metadata(metadata: Metadata) -> Caption | None:
    title = next(_useful(_embedded_titles(metadata)), "")
    caption = next(_useful(_embedded_captions(metadata)), "")
    if not caption and not title:
        return None
    return Caption(one_line(caption or title, _CAPTION), one_line(title, _TITLE), "metadata")


def _embedded_captions(metadata: Metadata) -> Iterator[str]:
    chunks = {key.lower(): value for key, value in metadata.chunks}
    exif = dict(metadata.exif)
    yield from (chunks.get(key, "") for key in _CHUNK_CAPTIONS)
    yield exif.get(_IMAGE_DESCRIPTION, "")
    yield from (html.unescape(text) for text in _XMP_CAPTION.findall(metadata.xmp)[:1])
    yield metadata.iptc
    yield exif.get(_XP_COMMENT, "")


def _embedded_titles(metadata: Metadata) -> Iterator[str]:
    yield {key.lower(): value for key, value in metadata.chunks}.get("title", "")
    yield from (html.unescape(text) for text in _XMP_TITLE.findall(metadata.xmp)[:1])
    yield dict(metadata.exif).get(_XP_TITLE, "")


def _useful(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        line = one_line(text)
        # A prompt program in JSON, a camera's name or a number is no caption.
        if any(c.isalpha() for c in line) and not line.startswith(("{", "<")) and not _NOISE.fullmatch(line):
            yield line
