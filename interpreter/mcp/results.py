"""From what a server's tool answers to a value of the language.

Everything in an answer is a stranger's: texts lose control characters, hidden ones and addresses and are bounded;
pictures are decoded within limits, encoded again and stored under their hash; addresses are only ever opened by the
fetcher.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from genevolve.grammar.errors import ServiceError
from genevolve.interpreter.backends.pictures import Found, download_all, renumbered
from genevolve.interpreter.backends.texts import MAX_TITLE, clean_source, clean_text
from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.net.pixels import Picture, reencode
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet
from genevolve.interpreter.workers import Workers

if TYPE_CHECKING:
    from genevolve.interpreter.net.fetcher import Fetcher
    from genevolve.interpreter.net.store import StoredBlob
    from genevolve.interpreter.protocols import CallContext

MAX_TEXT = 100_000
MAX_LINES = 5_000
MAX_SNIPPETS = 100
MAX_IMAGES = 20
_MAX_LOOKED_AT = 1000
_TEXTS = ("text", "snippet", "content", "summary", "description", "abstract", "body")
_TITLES = ("title", "name", "headline")
_SOURCES = ("url", "link", "uri", "source", "href")
_PICTURES = ("image_url", "imageUrl", "image", "url", "uri", "src", "link")


def failure(result: CallToolResult) -> str | None:
    """What the tool says went wrong, when it says so."""
    if not result.is_error:
        return None
    said = " ".join(clean_text(t, 300) for t in _texts(result)).strip()
    return clean_text(said, 500) or "it gives no reason"


def as_text(result: CallToolResult) -> str:
    """The texts of an answer, line by line."""
    texts = list(_texts(result))
    if not texts and result.structured_content is not None:
        texts = [_scalar(result.structured_content)]
    if not texts:
        if any(isinstance(c, ImageContent) for c in result.content):
            raise ServiceError(
                "it answered with pictures where a text was expected; set it to images under returns"
            )
        return ""
    whole = "\n".join(texts)
    if len(whole) > MAX_TEXT:
        raise ServiceError(f"it answered with a text of {len(whole):,} characters; {MAX_TEXT:,} are allowed")
    lines = whole.splitlines()
    if len(lines) > MAX_LINES:
        raise ServiceError(f"it answered with a text of {len(lines):,} lines; {MAX_LINES:,} are allowed")
    return "\n".join(clean_text(line, MAX_TEXT) for line in lines).strip()


def as_evidence(result: CallToolResult) -> Evidence:
    """The passages of an answer: of its structured part if it has one, else of its contents. None is an answer, too."""
    snippets = [s for s in _structured_snippets(result) if s.text]
    if not snippets:
        snippets = [s for s in map(_snippet, result.content) if s is not None and s.text]
    distinct = list(dict.fromkeys(snippets))[:MAX_SNIPPETS]
    ranked = (Snippet(s.text, s.title, s.source, round(1.0 / (n + 1), 6)) for n, s in enumerate(distinct))
    return Evidence(tuple(ranked))


async def as_images(result: CallToolResult, fetcher: Fetcher, context: CallContext, server: str) -> Images:
    """The pictures of an answer: embedded ones, else those that it links to. Raises `ServiceError`."""
    embedded = list(_embedded(result))[: MAX_IMAGES + 1]
    if len(embedded) > MAX_IMAGES:
        raise ServiceError(f"it answered with more than {MAX_IMAGES} pictures")
    handles: dict[str, ImageHandle] = {}
    for number, (data, title) in enumerate(embedded, 1):
        handle = await _kept(data, f"picture {number}", title, fetcher, server)
        handles.setdefault(handle.sha256, handle)
    if handles:
        return renumbered(Images(tuple(handles.values())))
    links = list(_links(result))[:MAX_IMAGES]
    if links:
        return renumbered(await download_all(links, len(links), fetcher, context, server))
    said = clean_text(" ".join(_texts(result)), 200)
    if said:
        raise ServiceError(f"it answered without a picture: {said}")
    return Images()


# ---- texts -------------------------------------------------------------------------------------------


def _texts(result: CallToolResult) -> Iterator[str]:
    for content in result.content:
        if isinstance(content, TextContent):
            yield content.text
        elif isinstance(content, EmbeddedResource) and isinstance(content.resource, TextResourceContents):
            yield content.resource.text


def _scalar(value: object) -> str:
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ServiceError("its structured answer cannot be read") from error


# ---- passages ----------------------------------------------------------------------------------------


def _records(result: CallToolResult) -> Sequence[object]:
    """The list in a structured answer; older servers write it as JSON into their only text."""
    found = _listed(result.structured_content)
    texts = list(_texts(result))
    if not found and len(texts) == 1 and texts[0].lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):  # then it is a text
            found = _listed(json.loads(texts[0]))
    return found


def _listed(value: object) -> Sequence[object]:
    """A list, or the first one in an object."""
    if isinstance(value, Mapping):
        value = next((v for v in value.values() if isinstance(v, list)), None)
    return value[:_MAX_LOOKED_AT] if isinstance(value, list) else ()


def _structured_snippets(result: CallToolResult) -> Iterator[Snippet]:
    for record in _records(result):
        if isinstance(record, str):
            yield Snippet(clean_text(record))
        elif isinstance(record, Mapping):
            text = _first(record, _TEXTS)
            title = _first(record, _TITLES)
            source = next((s for k in _SOURCES if (s := clean_source(record.get(k)))), "")
            yield Snippet(clean_text(text or title), clean_text(title, MAX_TITLE), source)


def _first(record: Mapping[Any, Any], keys: Sequence[str]) -> str:
    return next((v for k in keys if isinstance(v := record.get(k), str) and v.strip()), "")


def _snippet(content: object) -> Snippet | None:
    match content:
        case TextContent(text=text):
            return Snippet(clean_text(text))
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return Snippet(clean_text(resource.text), "", clean_source(str(resource.uri)))
        case ResourceLink():
            title = clean_text(content.title or content.name, MAX_TITLE)
            return Snippet(clean_text(content.description) or title, title, clean_source(str(content.uri)))
    return None


# ---- pictures ----------------------------------------------------------------------------------------


def _embedded(result: CallToolResult) -> Iterator[tuple[str, str]]:
    """Base64 of each picture, and its title: the text before it, if there is one."""
    before = ""
    for content in result.content:
        match content:
            case ImageContent():
                yield content.data, before
                before = ""
            case EmbeddedResource(resource=BlobResourceContents() as blob):
                if (blob.mime_type or "").startswith("image/"):
                    yield blob.blob, before
                    before = ""
            case TextContent(text=text):
                before = clean_text(text, MAX_TITLE)


def _links(result: CallToolResult) -> Iterator[Found]:
    for content in result.content:
        if isinstance(content, ResourceLink) and (url := clean_source(str(content.uri))):
            yield Found(url, clean_text(content.title or content.name, MAX_TITLE))
    for record in _records(result):
        if isinstance(record, str) and (url := clean_source(record)):
            yield Found(url, "")
        elif isinstance(record, Mapping):
            found = next((u for k in _PICTURES if (u := clean_source(record.get(k)))), "")
            if found:
                yield Found(found, clean_text(_first(record, (*_TITLES, *_TEXTS)), MAX_TITLE))


async def _kept(data: str, name: str, title: str, fetcher: Fetcher, server: str) -> ImageHandle:
    """A picture of an answer, as a file in the store."""
    limits = fetcher.limits
    if len(data) > limits.bytes * 4 // 3 + 4:
        raise ServiceError(f"its {name} is larger than {limits.bytes:,} bytes")

    def decode() -> tuple[Picture, StoredBlob]:
        try:
            raw = base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ServiceError(f"its {name} is not base64") from error
        try:
            picture = reencode(raw, f"its {name}", limits.pixels)
        except FetchError as error:
            raise ServiceError(str(error)) from error
        digest = hashlib.sha256(picture.data).hexdigest()
        meta: dict[str, str | int] = {
            "media_type": picture.media_type,
            "width": picture.width,
            "height": picture.height,
        }
        return picture, fetcher.store.put(f"mcp:{digest}", picture.data, meta)

    picture, blob = await Workers().call(decode, "decode")
    return ImageHandle(
        path=str(blob.path),
        sha256=blob.sha256,
        width=picture.width,
        height=picture.height,
        media_type=picture.media_type,
        title=title,
        caption=title,
        source=f"mcp:{server}",
    )
