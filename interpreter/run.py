"""What a run gives back."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.grammar.z import Z
from genevolve.interpreter.events import Event
from genevolve.interpreter.png import png_bytes
from genevolve.interpreter.values import ImageHandle, Value

if TYPE_CHECKING:
    from PIL.Image import Image


@cache
def version() -> str:
    """The installed version of genevolve, `0` in a checkout that is not installed."""
    try:
        return metadata.version("genevolve")
    except metadata.PackageNotFoundError:
        return "0"


@dataclass(frozen=True)
class Run:
    """A finished run: z, the picture unless none was asked for, and how they came about.

    `values` holds what the program's names stood for, `references` the reference images in the order of the prompt,
    `timings` seconds by stage, `spent` what the budget was used for, `folder` the run record if one was kept.
    """

    z: Z
    program: str
    image: Image | None = None
    references: tuple[ImageHandle, ...] = ()
    values: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trace: Sequence[Event] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def prompt(self) -> str:
        """What the generator reads."""
        return self.z.gen_prompt

    @property
    def negative_prompt(self) -> str:
        """What the picture should not show."""
        return self.z.negative_prompt

    @cached_property
    def png(self) -> bytes:
        """The picture as PNG with its program and z inside; raises `AuthorError` when nothing was rendered."""
        if self.image is None:
            raise AuthorError("this run made no picture: it was run without rendering")
        return png_bytes(self.image, self.program, self.z, version())

    def save(self, path: str | Path) -> Path:
        """Write the PNG; raises `StorageError` when the file cannot be written."""
        target, data = Path(path), self.png
        try:
            target.write_bytes(data)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        return target

    def _repr_png_(self) -> bytes | None:
        return None if self.image is None else self.png

    def _repr_html_(self) -> str:
        picture = ""
        if self.image is not None:
            data = base64.b64encode(self.png).decode("ascii")
            picture = f'<img alt="" style="max-width:28em" src="data:image/png;base64,{data}">'
        rows = [("prompt", self.prompt), ("avoid", self.negative_prompt)]
        rows += [(f"reference {r.ordinal}", f"{r.name}: {r.note}") for r in self.z.reference_images]
        rows += [("require", str(c)) for c in self.z.constraints]
        rows += [("note", n) for n in self.notes]
        # Prompts and notes hold what searches found: a stranger's text, never markup.
        cells = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(k)}</th>"
            f"<td style='text-align:left;white-space:pre-wrap'>{html.escape(v)}</td></tr>"
            for k, v in rows
            if v
        )
        return f"<div>{picture}<table>{cells}</table></div>"
