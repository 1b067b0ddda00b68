"""The values that tools return and that a program's names hold.

`to_json` and `from_json` are exact inverses: traces, the cache and the experience store keep values only in
that form. An image is a handle: its bytes lie in a file and are known by their SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from genevolve.grammar.types import Type


@dataclass(frozen=True, slots=True)
class SizeValue:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One passage of evidence. `source` is a path inside the library or a URL; `score` only orders."""

    text: str
    title: str = ""
    source: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a text search found, best first."""

    snippets: tuple[Snippet, ...] = ()

    def __str__(self) -> str:
        return "\n".join(s.text for s in self.snippets)


@dataclass(frozen=True, slots=True)
class ImageHandle:
    """A picture on disk.

    `path` is where its bytes lie now, `sha256` is of those bytes, `source` is where it came from (a path inside
    the library, a URL). `id` is its name in observations (`IMG_001`), empty outside a search.
    """

    path: str
    sha256: str
    width: int
    height: int
    media_type: str = "image/png"
    id: str = ""
    title: str = ""
    caption: str = ""
    source: str = ""
    score: float = 0.0

    @property
    def file(self) -> Path:
        """The path as a `Path`."""
        return Path(self.path)


@dataclass(frozen=True, slots=True)
class Images:
    """Candidate pictures, best first."""

    items: tuple[ImageHandle, ...] = ()


Value: TypeAlias = str | int | float | bool | SizeValue | Evidence | Images | ImageHandle


def type_of(value: object) -> Type:
    """The language type of a runtime value; `UNKNOWN` when it is no value of the language."""
    if isinstance(value, bool):  # before int: a bool is an int in Python, not here
        return Type.BOOL
    for python, kind in _TYPES:
        if isinstance(value, python):
            return kind
    return Type.UNKNOWN


_TYPES: tuple[tuple[type, Type], ...] = (
    (str, Type.TEXT),
    (int, Type.INT),
    (float, Type.FLOAT),
    (SizeValue, Type.SIZE),
    (Evidence, Type.EVIDENCE),
    (Images, Type.IMAGES),
    (ImageHandle, Type.IMAGE),
)


def to_json(value: Value) -> dict[str, Any]:
    """The value as plain JSON data, tagged with its type."""
    kind = type_of(value)
    if kind is Type.UNKNOWN:
        raise TypeError(f"{type(value).__name__} is not a value of the language")
    match value:
        case Evidence(snippets):
            data: Any = [asdict(s) for s in snippets]
        case Images(items):
            data = [asdict(i) for i in items]
        case ImageHandle() | SizeValue():
            data = asdict(value)
        case _:
            data = value
    return {"type": kind.value, "value": data}


def from_json(data: Mapping[str, Any]) -> Value:
    """The inverse of `to_json`; raises `ValueError` on anything else."""
    try:
        kind, value = Type(data["type"]), data["value"]
        match kind:
            case Type.EVIDENCE:
                return Evidence(tuple(Snippet(**s) for s in value))
            case Type.IMAGES:
                return Images(tuple(ImageHandle(**i) for i in value))
            case Type.IMAGE:
                return ImageHandle(**value)
            case Type.SIZE:
                return SizeValue(**value)
            case Type.TEXT | Type.INT | Type.FLOAT | Type.BOOL if type_of(value) is kind:
                scalar: Value = value
                return scalar
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"malformed value: {error}") from error
    raise ValueError(f"malformed value of type {kind}")
