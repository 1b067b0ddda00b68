"""Reference pictures, cut so that they fill their frame and keep what matters in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from genevolve.interpreter.images import load_pixels
from genevolve.interpreter.values import ImageHandle

EXTREME = 6.0
"""Pictures longer than this many times their width are shown whole, as a strip."""
_LARGEST = 2048


def load(handles: Sequence[ImageHandle], longest: int) -> dict[int, Image.Image]:
    """The references by ordinal, upright, RGB on white, no larger than the canvas needs.

    Raises `AuthorError` when one is missing, changed or damaged.
    """
    out = {}
    bound = max(256, min(_LARGEST, longest) * 2)
    for ordinal, handle in enumerate(handles, start=1):
        image = load_pixels(handle)
        if max(image.size) > bound and max(image.size) <= EXTREME * min(image.size):
            image = image.reduce(max(1, max(image.size) // bound))
        if image.mode == "RGBA":
            flat = Image.new("RGB", image.size, (255, 255, 255))
            flat.paste(image, (0, 0), image)
            image = flat
        out[ordinal] = image.convert("RGB")
    return out


def cover(photo: Image.Image, width: int, height: int) -> Image.Image:
    """The photograph cut to fill a frame; of what must go, the calmest part goes.

    Extremely long pictures are shown whole on a ground of their own mean colour.
    """
    if max(photo.size) > EXTREME * min(photo.size):
        return _strip(photo, width, height)
    scale = max(width / photo.width, height / photo.height)
    w, h = min(photo.width, width / scale), min(photo.height, height / scale)
    fx, fy = _focus(photo, w / photo.width, h / photo.height)
    x, y = fx * (photo.width - w), fy * (photo.height - h)
    return photo.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h), reducing_gap=2.0)


def _strip(photo: Image.Image, width: int, height: int) -> Image.Image:
    mean = photo.resize((1, 1), Image.Resampling.BOX).resize((width, height))
    scale = min(width / photo.width, height / photo.height)
    w, h = max(2, round(photo.width * scale)), max(2, round(photo.height * scale))
    w, h = min(width, max(w, width // 12)), min(height, max(h, height // 12))
    mean.paste(photo.resize((w, h), Image.Resampling.BOX), ((width - w) // 2, (height - h) // 2))
    return mean


def _focus(photo: Image.Image, share_x: float, share_y: float) -> tuple[float, float]:
    """Where the window should stand (0 to 1 on each axis): over the most detail, drawn to the middle."""
    small = np.asarray(photo.convert("L").resize((48, 48), Image.Resampling.BOX)).astype(np.float32)
    detail = np.abs(np.diff(small, axis=0, prepend=small[:1])) + np.abs(
        np.diff(small, axis=1, prepend=small[:, :1])
    )
    return _window(detail.sum(axis=0), share_x), _window(detail.sum(axis=1), share_y)


def _window(profile: np.ndarray, share: float) -> float:
    n = len(profile)
    size = max(1, round(n * share))
    if size >= n:
        return 0.5
    sums = np.convolve(profile, np.ones(size), mode="valid")
    place = np.linspace(0, 1, len(sums))
    score = sums / (float(sums.max()) or 1.0) - 0.5 * (place - 0.5) ** 2
    return float(place[int(np.argmax(score))])
