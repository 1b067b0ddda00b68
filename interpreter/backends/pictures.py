"""From found addresses of pictures to pictures on disk."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genevolve.grammar.errors import ServiceError
from genevolve.interpreter.backends.together import together
from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.net.fetcher import Download, Fetcher
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import ImageHandle, Images

_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that a search found: where it lies (empty when the address is unusable), and its cleaned title."""

    url: str
    title: str


async def download_all(
    found: Sequence[Found], top_k: int, fetcher: Fetcher, context: CallContext, backend: str
) -> Images:
    """The first `top_k` pictures that can be had, in their order, equal ones once.

    They are downloaded at the same time; for each one that cannot be had a later one is tried. What failed is counted
    in a note. Raises `ServiceError` when pictures were found and none can be had.
    """
    candidates = list({item.url: item for item in found if item.url}.values())
    if found and not candidates:
        raise ServiceError(
            f"{backend} found {_pictures(len(found))}, and none has an address that can be used"
        )
    had: dict[str, ImageHandle] = {}
    failures: Counter[str] = Counter()
    tried, fleeting, first = 0, False, ""
    while len(had) < top_k and tried < len(candidates):
        batch = candidates[tried : tried + top_k - len(had)]
        seconds = _share(context, first=not tried)
        if seconds is not None and seconds < _LEAST_SECONDS and tried:
            break
        results = await _gather(fetcher, batch, seconds)
        tried += len(batch)
        for item, result in zip(batch, results, strict=True):
            if isinstance(result, FetchError):
                failures[result.reason] += 1
                fleeting |= result.retryable
                first = first or str(result)
            else:
                had.setdefault(result.sha256, _handle(item, result, len(had)))
    told = ", ".join(f"{number} {reason}" for reason, number in sorted(failures.items()))
    if candidates and not had:
        raise ServiceError(
            f"{backend} found {_pictures(len(candidates))}, and none of the {tried} tried could be downloaded "
            f"({told}); the first: {first}",
            retryable=fleeting,
        )
    if failures:
        context.note(
            f"{backend}: {failures.total()} of {tried} pictures could not be downloaded ({told})",
            fleeting=fleeting,
        )
    return Images(tuple(had.values()))


async def _gather(
    fetcher: Fetcher, batch: Sequence[Found], seconds: float | None
) -> list[Download | FetchError]:
    async def one(item: Found) -> Download | FetchError:
        try:
            return await fetcher.fetch_image(item.url, seconds=seconds)
        except FetchError as error:
            return error

    return await together(one(item) for item in batch)


def _share(context: CallContext, *, first: bool) -> float | None:
    """Seconds for a batch: the first one leaves time for the others."""
    left = context.remaining()
    if math.isinf(left):
        return None
    return left * 0.6 if first else left * 0.9


def _handle(item: Found, download: Download, number: int) -> ImageHandle:
    return ImageHandle(
        path=str(download.path),
        sha256=download.sha256,
        width=download.width,
        height=download.height,
        media_type=download.media_type,
        id=image_id(number),
        title=item.title,
        caption=item.title,
        source=item.url,
        score=round(1.0 / (number + 1), 6),
    )


def _pictures(number: int) -> str:
    return f"{number} picture{'s' if number != 1 else ''}"


def image_id(number: int) -> str:
    """The id of the picture with that number, counted from 0."""
    return f"IMG_{number + 1:03d}"


def renumbered(images: Images) -> Images:
    """The same pictures with ids from IMG_001 in their order."""
    return Images(tuple(dataclasses.replace(i, id=image_id(n)) for n, i in enumerate(images.items)))
