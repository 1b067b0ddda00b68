"""The web without a key, through the package `ddgs`, which asks several public search engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.backends.pictures import Found, download_all
from genevolve.interpreter.backends.serper import take_turns, today
from genevolve.interpreter.backends.texts import MAX_TITLE, clean_source, clean_text
from genevolve.interpreter.backends.together import together
from genevolve.interpreter.net.fetcher import Fetcher
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images, Snippet
from genevolve.interpreter.workers import Workers

_PAGE = 10


class Client(Protocol):
    """What is used of `ddgs.DDGS`."""

    def text(self, query: str, **options: Any) -> list[dict[str, Any]]:
        """Pages."""

    def images(self, query: str, **options: Any) -> list[dict[str, Any]]:
        """Pictures."""


class DdgsBackend:
    """Searches the web without a key. Engines may refuse to answer at any time; use it before or after others.

    Args:
        fetcher: downloads what an image search finds.
        seconds: that one query may take.
        limiter: how often the engines may be asked.
        client: makes a client; the package's own by default.
        engines: the engines for texts and those for pictures, as the package names them.

    Raises:
        ConfigurationError: the package is not installed.
    """

    name = "ddgs"

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        seconds: float = 20.0,
        limiter: RateLimiter | None = None,
        client: Callable[[], Client] | None = None,
        engines: tuple[str, str] = ("auto", "auto"),
    ) -> None:
        self._fetcher = fetcher
        self._seconds = seconds
        self._limiter = limiter
        self._open = client or _package(seconds)
        self._engines = engines

    @property
    def version(self) -> str:
        """The web changes: an answer is kept until midnight, UTC."""
        return f"ddgs-1:{','.join(self._engines)}:{today()}"

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        """Passages of result pages; several queries are asked at the same time and take turns in the answer."""
        return take_turns(await together(self._texts(q, top_k, context) for q in queries), top_k)

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        """Pictures of the web, downloaded; more are asked for than are needed, for some cannot be had."""
        number = max(_PAGE, 2 * top_k)
        items = await self._ask(
            lambda client: client.images(query, max_results=number, backend=self._engines[1]), context
        )
        found = [
            Found(clean_source(item.get("image")), clean_text(item.get("title"), MAX_TITLE)) for item in items
        ]
        return await download_all(found, top_k, self._fetcher, context, self.name)

    async def _texts(self, query: str, top_k: int, context: CallContext) -> list[Snippet]:
        items = await self._ask(
            lambda client: client.text(query, max_results=top_k, backend=self._engines[0]), context
        )
        snippets = (
            Snippet(
                clean_text(item.get("body")),
                clean_text(item.get("title"), MAX_TITLE),
                clean_source(item.get("href")),
            )
            for item in items
        )
        return [s for s in snippets if s.text]

    async def _ask(
        self, call: Callable[[Client], list[dict[str, Any]]], context: CallContext
    ) -> list[Mapping[str, Any]]:
        """One query, in a thread of its own. Raises `ServiceError`."""
        seconds = min(self._seconds, context.remaining())

        def work() -> list[dict[str, Any]]:
            # A new client for each query: the package's clients keep state that threads must not share.
            return call(self._open())

        try:
            async with asyncio.timeout(seconds):
                if self._limiter is not None:
                    await self._limiter.wait(self.name)
                items: object = await Workers().call(work, self.name)
        except TimeoutError:
            raise ServiceError(f"ddgs did not answer within {seconds:.3g} s") from None
        except Exception as error:  # the package lets errors of its parsers and clients through
            raise ServiceError(f"ddgs: {_told(error)}") from error
        if not isinstance(items, list):
            raise ServiceError("ddgs answered in a form that is not known")
        return [item for item in items if isinstance(item, Mapping)]


def _package(seconds: float) -> Callable[[], Client]:
    try:
        import ddgs
    except ImportError as error:
        raise ConfigurationError(
            "the search backend ddgs needs a package: pip install 'genevolve[web]'"
        ) from error
    timeout = max(1, int(seconds / 2))

    def make() -> Client:
        client: Client = ddgs.DDGS(timeout=timeout)
        return client

    return make


def _told(error: Exception) -> str:
    said = clean_text(str(error), 300) or type(error).__name__
    if "No results found" in said:
        # The package says so as well when every engine has refused, so it is no answer.
        return "no engine gave a result; there is none, or they refused to answer"
    return said
