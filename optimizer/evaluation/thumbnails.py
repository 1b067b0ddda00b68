"""Small pictures as data URIs, within a budget of bytes for a whole page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from genevolve.interpreter.images import DEFAULT_LIMITS, ImageProblem, decode, locate, read_bytes

BUDGET = 16 * 1024 * 1024
"""Bytes of all pictures of a page, as base64."""
_SIDES = ((300, 224), (1500, 160), (6000, 96))
_SMALLEST = 64
_QUALITY = 70


class Thumbnails:
    """Makes thumbnails until the budget is spent.

    Args:
        count: How many will be asked for: the more, the smaller they are.
        budget: Bytes in all.
        side: Their longer side in pixels; by default `count` decides.
    """

    def __init__(self, count: int, budget: int = BUDGET, *, side: int | None = None) -> None:
        self.side = side or next((side for most, side in _SIDES if count <= most), _SMALLEST)
        self._left = budget
        self._made: dict[Path, str] = {}

    def of(self, folder: Path | None, name: str) -> str:
        """A data URI of the picture `name` in `folder`; empty when there is none that can be shown."""
        if folder is None or not name:
            return ""
        try:
            path, _ = locate(name, [folder])
            if path not in self._made:
                self._made[path] = self._make(path)
            return self._made[path]
        except (ImageProblem, OSError, ValueError):  # a row of a stranger names what is no picture
            return ""

    def _make(self, path: Path) -> str:
        image, _ = decode(read_bytes(path, path.name, DEFAULT_LIMITS.max_bytes), path.name)
        image = image.convert("RGB")
        image.thumbnail((self.side, self.side))
        out = io.BytesIO()
        image.save(out, "WEBP", quality=_QUALITY, method=4)
        uri = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
        if len(uri) > self._left:
            return ""
        self._left -= len(uri)
        return uri
