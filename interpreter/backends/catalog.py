"""From settings to the backends of `search` and `image_search`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.interpreter.backends.fallback import FallbackBackend
from genevolve.interpreter.backends.protocol import SearchBackend
from genevolve.interpreter.config import Config

if TYPE_CHECKING:
    from genevolve.interpreter.library import Library
    from genevolve.interpreter.net.fetcher import Fetcher
    from genevolve.interpreter.net.limits import RateLimiter

NAMES = ("library", "serper", "ddgs")


def needs_backends(config: Config) -> bool:
    """Whether the searches need more than the library's own tools."""
    search = config.search
    names = {*search.backends, *search.image_backends}
    return names != {"library"} or search.record is not None or search.replay is not None


def open_backends(
    config: Config, library: Callable[[], Library | None]
) -> tuple[SearchBackend, SearchBackend]:
    """Who answers `search` and who answers `image_search`.

    Args:
        config: the settings.
        library: opens the library, if there is one; called only when it is needed.

    Raises:
        ConfigurationError: a name is not known, a key or a package is missing, an address is wrong, the bundle is none.
        StorageError: the store of downloads or the bundle cannot be written.
    """
    search = config.search
    if search.replay is not None:
        from genevolve.interpreter.backends.bundle import Bundle
        from genevolve.interpreter.backends.recorded import ReplayBackend

        replayed = ReplayBackend(Bundle.open(search.replay))
        return replayed, replayed
    opened = _Opened(config, library)
    texts = opened.chain(search.backends)
    pictures = opened.chain(search.image_backends or search.backends)
    if search.record is not None:
        from genevolve.interpreter.backends.bundle import Bundle
        from genevolve.interpreter.backends.recorded import RecordingBackend

        bundle = Bundle.create(search.record)
        return RecordingBackend(texts, bundle), RecordingBackend(pictures, bundle)
    return texts, pictures


def open_fetcher(config: Config) -> Fetcher:
    """The fetcher of the settings. Raises `ConfigurationError` and `StorageError`."""
    from genevolve.interpreter.net.addresses import AddressPolicy
    from genevolve.interpreter.net.fetcher import Fetcher, FetchLimits
    from genevolve.interpreter.net.limits import RateLimiter
    from genevolve.interpreter.net.store import BlobStore

    fetch = config.fetch
    return Fetcher(
        BlobStore(config.cache.location / "downloads", fetch.store),
        AddressPolicy.parse(fetch.allow),
        FetchLimits(fetch.bytes, fetch.seconds, fetch.redirects, fetch.pixels),
        None if fetch.rpm is None else RateLimiter(fetch.rpm),
    )


class _Opened:
    """Backends by name, each opened once."""

    def __init__(self, config: Config, library: Callable[[], Library | None]) -> None:
        self._config = config
        self._library = library
        self._backends: dict[str, SearchBackend] = {}
        self._limiter: RateLimiter | None = None
        if config.search.rpm is not None:
            from genevolve.interpreter.net.limits import RateLimiter

            self._limiter = RateLimiter(config.search.rpm)
        self._fetcher: Fetcher | None = None

    def chain(self, names: Sequence[str]) -> SearchBackend:
        if not names:
            raise ConfigurationError(f"[search] backends: name at least one of {listed(NAMES)}")
        search = self._config.search
        backends = [self._backend(name) for name in names]
        if len(backends) == 1:
            return backends[0]
        return FallbackBackend(backends, next_when_empty=search.next_when_empty, seconds=search.timeout)

    def _backend(self, name: str) -> SearchBackend:
        makers: Mapping[str, Callable[[], SearchBackend]] = {
            "library": self._open_library,
            "serper": self._open_serper,
            "ddgs": self._open_ddgs,
        }
        if name not in makers:
            hint = did_you_mean(closest(name, NAMES)) or f"; known are {listed(NAMES)}"
            raise ConfigurationError(f"[search] backends: there is no backend {name!r}{hint}")
        if name not in self._backends:
            self._backends[name] = makers[name]()
        return self._backends[name]

    def _open_library(self) -> SearchBackend:
        from genevolve.interpreter.backends.library import LibraryBackend

        library = self._library()
        if library is None:
            raise ConfigurationError("[search] backends: the library needs a folder; set library.folders")
        return LibraryBackend(library)

    def _open_serper(self) -> SearchBackend:
        from genevolve.interpreter.backends.serper import ADDRESS, DEFAULT_ADDRESS, KEY, SerperBackend

        config = self._config
        return SerperBackend(
            config.secrets.get(KEY),
            self._shared_fetcher(),
            address=config.endpoints.get(ADDRESS, DEFAULT_ADDRESS),
            seconds=config.search.timeout,
            limiter=self._limiter,
        )

    def _open_ddgs(self) -> SearchBackend:
        from genevolve.interpreter.backends.ddgs import DdgsBackend

        return DdgsBackend(self._shared_fetcher(), seconds=self._config.search.timeout, limiter=self._limiter)

    def _shared_fetcher(self) -> Fetcher:
        if self._fetcher is None:
            self._fetcher = open_fetcher(self._config)
        return self._fetcher
