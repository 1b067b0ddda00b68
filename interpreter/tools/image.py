"""`image("…") -> image`: a picture of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genevolve.grammar.builtins import IMAGE
from genevolve.grammar.types import Signature
from genevolve.interpreter.images import DEFAULT_LIMITS, ImageLimits, open_image, read_regular
from genevolve.interpreter.library.captions import SIDECAR_BYTES, caption_from_name, caption_of, sidecar_names
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import ImageHandle


class ImageTool:
    """Opens pictures inside the allowed folders; relative paths start from the first of them in which they exist."""

    signature: Signature = IMAGE

    def __init__(self, allowed: Sequence[Path], limits: ImageLimits = DEFAULT_LIMITS) -> None:
        self.allowed = tuple(allowed)
        self.limits = limits

    @property
    def version(self) -> None:
        """None: the file may be another one next time, so the answer is never taken from a cache."""
        return None

    def __call__(self, context: CallContext, path: str, /) -> ImageHandle:
        """The picture with its caption. Raises `ImageProblem` (GP412 to GP415) when it cannot be used."""
        context.check()
        handle = open_image(path, self.allowed, self.limits)
        caption = caption_of(handle.source, _sidecar(handle.file))
        return replace(handle, title=caption.title or caption_from_name(handle.source), caption=caption.text)


def _sidecar(file: Path) -> tuple[str, bytes] | None:
    """The first readable file that captions the picture; links are not followed."""
    for name in sidecar_names(file.name):
        try:
            if data := read_regular(file.with_name(name), SIDECAR_BYTES):
                return name.lower(), data
        except (OSError, OverflowError):
            continue
    return None
