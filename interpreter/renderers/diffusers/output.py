"""What came out of a pipeline: checked, and made a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ServiceError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


def picture(result: Any, pipeline: str) -> Image:
    """The first picture of a pipeline's result, RGB.

    Args:
        result: what the call returned: an object with `images` (arrays in [0, 1] or pictures).
        pipeline: name of the class, for messages.

    Raises:
        ServiceError: when there is no picture, when a safety checker withheld it, or when it is not numbers.
    """
    from PIL import Image as pil

    flagged = getattr(result, "nsfw_content_detected", None)
    if isinstance(flagged, list | tuple) and any(flagged):
        raise ServiceError(
            f"the safety checker of {pipeline} withheld the picture; change the prompt or the seed"
        )
    images = getattr(result, "images", None)
    if images is None or len(images) == 0:
        raise ServiceError(f"{pipeline} returned no picture")
    first = images[0]
    image = first.convert("RGB") if isinstance(first, pil.Image) else _from_array(first, pipeline)
    if image.getextrema() == ((0, 0), (0, 0), (0, 0)):
        raise ServiceError(
            f"{pipeline} returned an entirely black picture, as when numbers overflow; try dtype=float32"
        )
    return image


def _from_array(data: Any, pipeline: str) -> Image:
    import numpy as np
    from PIL import Image as pil

    pixels: np.ndarray[Any, Any] = np.asarray(data, dtype=np.float32)  # (H, W, C) in [0, 1]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ServiceError(f"{pipeline} returned data of the shape {pixels.shape}, which is no picture")
    if not np.isfinite(pixels).all():
        raise ServiceError(f"{pipeline} returned numbers that are not finite (NaN); try dtype=float32")
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    whole = (pixels[:, :, :3].clip(0.0, 1.0) * 255).round().astype("uint8")
    return pil.fromarray(whole)
