"""Google's results through Serper, or through any service that speaks its protocol.

`POST /search` and `POST /images` with `{"q": …, "num": …}` and the key in `X-API-KEY`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, zip_longest
from typing import Any

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.backends.pictures import Found, download_all
from genevolve.interpreter.backends.texts import MAX_TITLE, clean_source, clean_text
from genevolve.interpreter.backends.together import together
from genevolve.interpreter.net.client import ApiClient
from genevolve.interpreter.net.fetcher import Fetcher
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.values import Evidence, Images, Snippet

KEY = "SERPER_API_KEY"
ADDRESS = "SERPER_BASE_URL"
DEFAULT_ADDRESS = "https://google.serper.dev"

_MAX_RESPONSE = 8 * 1024 * 1024
_PAGE = 10


class SerperBackend:
    """Searches the web. Pictures are downloaded by the fetcher.

    Args:
        key: of the service.
        fetcher: downloads what an image search finds.
        address: where the service lies.
        seconds: that one request may take, with its retries.
        limiter: how often the service may be asked.

    Raises:
        ConfigurationError: the key is missing, or the key or the address are malformed.
    """

    name = "serper"

    def __init__(
        self,
        key: str | None,
        fetcher: Fetcher,
        *,
        address: str = DEFAULT_ADDRESS,
        seconds: float = 20.0,
        limiter: RateLimiter | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        if key is None or not key.strip():
            raise ConfigurationError(
                f"the search backend serper needs a key: set {KEY} in the environment or in .env"
            )
        self._fetcher = fetcher
        self._seconds = seconds
        self._client = ApiClient(
            address,
            headers={"X-API-KEY": key.strip()},
            secrets=frozenset({key.strip()}),
            limiter=limiter,
            seconds=seconds,
            max_response=_MAX_RESPONSE,
            retry=retry or RetryPolicy(),
        )

    @property
    def version(self) -> str:
        """The web changes: an answer is kept until midnight, UTC."""
        return f"serper-1:{self._client.host}:{today()}"

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """Passages of result pages; several queries are asked at the same time and take turns in the answer."""
        return take_turns(await together(self._texts(q, top_k, context) for q in queries), top_k)

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """Pictures of the web, downloaded; more are asked for than are needed, for some cannot be had."""
        answer = await self._ask("/images", query, max(_PAGE, 2 * top_k), context)
        found = [
            Found(clean_source(item.get("imageUrl")), clean_text(item.get("title"), MAX_TITLE))
            for item in _items(answer, "images")
        ]
        return await download_all(found, top_k, self._fetcher, context, self.name)

    async def _texts(self, query: str, top_k: int, context: CallContext) -> list[Snippet]:
        answer = await self._ask("/search", query, top_k, context)
        return [s for s in chain(_direct(answer), map(_snippet, _items(answer, "organic"))) if s.text]

    async def _ask(self, path: str, query: str, number: int, context: CallContext) -> Mapping[str, Any]:
        body = {"q": query, "num": number}
        seconds = min(self._seconds, context.remaining())
        try:
            answer = await self._client.post_json(path, body, seconds=seconds)
        except ServiceError as error:
            # The client has tried again already.
            raise ServiceError(f"serper: {error}", retryable=False) from error
        if not isinstance(answer, Mapping):
            raise ServiceError(f"serper: {self._client.host} answered with JSON that is no object")
        return answer


def take_turns(found: Sequence[Sequence[Snippet]], top_k: int) -> Evidence:
    """The first of each query, then the second of each …; each source once, `top_k` in all."""
    rows = zip_longest(*found)
    chosen: dict[tuple[str, str], Snippet] = {}
    for snippet in (s for row in rows for s in row if s is not None):
        chosen.setdefault((snippet.source, "" if snippet.source else snippet.text), snippet)
    best = list(chosen.values())[:top_k]
    return Evidence(
        tuple(
            Snippet(s.text, s.title, s.source, round(1.0 / (number + 1), 6)) for number, s in enumerate(best)
        )
    )


def today() -> str:
    """The date, UTC."""
    return datetime.now(UTC).date().isoformat()


def _items(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The results under a name. Raises `ServiceError` when there is no list of them: that is not "nothing found"."""
    listed = answer.get(name)
    if not isinstance(listed, list):
        said = clean_text(answer.get("message") or answer.get("error"), 200)
        raise ServiceError(f"serper: the answer has no list {name!r}{': ' + said if said else ''}")
    return [item for item in listed if isinstance(item, Mapping)]


def _snippet(item: Mapping[str, Any]) -> Snippet:
    text = clean_text(item.get("snippet"))
    date = clean_text(item.get("date"), 40)
    return Snippet(
        f"{text} ({date})" if text and date else text,
        clean_text(item.get("title"), MAX_TITLE),
        clean_source(item.get("link")),
    )


def _direct(answer: Mapping[str, Any]) -> Iterator[Snippet]:
    """What the service puts before its results: a direct answer, and what is known of an entity."""
    box = answer.get("answerBox")
    if isinstance(box, Mapping):
        text = clean_text(box.get("answer")) or clean_text(box.get("snippet"))
        yield Snippet(text, clean_text(box.get("title"), MAX_TITLE), clean_source(box.get("link")))
    graph = answer.get("knowledgeGraph")
    if isinstance(graph, Mapping):
        facts = graph.get("attributes")
        parts = [clean_text(graph.get("description"))]
        if isinstance(facts, Mapping):
            parts += [
                f"{clean_text(k, 80)}: {clean_text(v, 200)}."
                for k, v in list(facts.items())[:12]
                if clean_text(v)
            ]
        title = clean_text(graph.get("title"), MAX_TITLE)
        yield Snippet(
            clean_text(" ".join(p for p in parts if p)), title, clean_source(graph.get("descriptionLink"))
        )
