"""Requests to a model's service through DSPy, each bounded in time and size.

DSPy routes a request by its provider (`openai/…`, `anthropic/…`, `groq/…`) and speaks that provider's protocol; any
other server that speaks OpenAI's chat protocol is `openai/NAME` with an address. Retries, rates and the counting of
cost are left to the caller: one call here is one attempt.

`dspy.lm15` and its transport are what DSPy itself is built on; they stand in this module and nowhere else.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.keys import Secrets
from genevolve.programs.modules.bridge import load_dspy, shortened

if TYPE_CHECKING:
    import dspy

DECLARED = "genevolve-endpoint"
"""What DSPy calls a server that is known by its address only."""

NO_KEY = "no-key"
"""Sent where a server needs none: servers of one's own ignore it, and the protocol has a place for it."""

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        model: The provider and its name for the model, `openai/gpt-4o-mini`.
        api_base: Where paths start, such as `http://127.0.0.1:8000/v1`; None for the provider's own address.
        key_variable: The variable that holds the key; None for the provider's usual one, or for none at all where an
            address is given: a key is never sent to an address that it was not named for.
    """

    model: str
    api_base: str | None = None
    key_variable: str | None = None

    def __post_init__(self) -> None:
        provider, slash, name = self.model.partition("/")
        if not slash or not provider or not name:
            raise ConfigurationError(
                f"endpoint: {self.model!r} is no model; write PROVIDER/MODEL, such as openai/gpt-4o-mini"
            )
        if self.api_base is None:
            return
        parts = urlsplit(self.api_base)
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError(
                "endpoint: the address holds a user name or password; keys come from variables only"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("endpoint: api_base is no http(s) address")
        if parts.query or parts.fragment:
            raise ConfigurationError("endpoint: api_base ends with its path; it takes no query")
        if provider != "openai":
            raise ConfigurationError(
                f"endpoint: api_base is for servers that speak OpenAI's protocol; write openai/{name}"
            )

    @property
    def provider(self) -> str:
        """The part before the first slash."""
        return self.model.partition("/")[0]

    @property
    def host(self) -> str:
        """Whose rate is limited: the host of the address, else the provider."""
        return (urlsplit(self.api_base).hostname or "") if self.api_base else self.provider


@dataclass
class Bounds:
    """What one attempt may take. `seconds` bounds it from its first to its last byte."""

    seconds: float = 120.0
    max_bytes: int = 32 * 1024 * 1024
    max_connections: int = 16


class _BoundedResponse:
    """A response whose body must end in time and in size."""

    def __init__(self, response: Any, ends: float, bounds: Bounds) -> None:
        self._response = response
        self._ends = ends
        self._bounds = bounds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def __enter__(self) -> _BoundedResponse:
        self._response.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._response.__exit__(*error)

    def __iter__(self) -> Iterator[bytes]:
        lm15 = load_dspy().lm15
        size = 0
        for chunk in self._response:
            size += len(chunk)
            if size > self._bounds.max_bytes:
                # Not an error of the transport: those are tried again.
                raise lm15.CollectionLimitError(f"the answer is larger than {self._bounds.max_bytes:,} bytes")
            if time.monotonic() > self._ends:
                raise lm15.TimeoutError(f"the answer was not complete after {self._bounds.seconds:g} seconds")
            yield chunk

    def read(self) -> bytes:
        return b"".join(self)


class _BoundedTransport:
    """DSPy's own HTTP client, whose timeouts bound only the wait for the next byte."""

    def __init__(self, bounds: Bounds, *, trust_env: bool) -> None:
        from dspy._vendor.lm15.transports import StdlibTransport

        self._bounds = bounds
        self._inner = StdlibTransport(
            connect_timeout=min(_CONNECT_SECONDS, bounds.seconds),
            read_timeout=bounds.seconds,
            write_timeout=bounds.seconds,
            pool_timeout=bounds.seconds,
            max_connections=bounds.max_connections,
            trust_env=trust_env,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def stream(self, request: Any) -> _BoundedResponse:
        ends = time.monotonic() + self._bounds.seconds
        return _BoundedResponse(self._inner.stream(request), ends, self._bounds)

    def close(self) -> None:
        self._inner.close()


@dataclass
class Engine:
    """One attempt at a time, for `dspy.LM(engine=…)`; safe to use from several threads.

    It is saved with a DSPy module as its address alone; the key comes from the surroundings when it is loaded again.
    """

    address: Address
    bounds: Bounds = field(default_factory=Bounds)
    secrets: Mapping[str, str] = field(default_factory=Secrets, repr=False)
    base_url: str | None = None
    """The provider's address from the surroundings (`OPENAI_BASE_URL`), used where the spec names none."""

    def __post_init__(self) -> None:
        dspy = load_dspy()
        from dspy.clients.engines.lm15_engine import LM15Engine

        lm15 = dspy.lm15
        name = self.address.model.partition("/")[2]
        url = self.address.api_base or (self.base_url if self.address.provider == "openai" else None)
        # A proxy is of no use on the way to this machine.
        near = url is not None and _is_loopback(urlsplit(url).hostname or "")
        transport = _BoundedTransport(self.bounds, trust_env=not near)
        try:
            if url is not None:
                access = lm15.AccessPolicy(provider=DECLARED, base_url=url)
                # `max_tokens` is what every such server understands, OpenAI's newer name only some.
                compat = lm15.OpenAIChatCompat(
                    instruction_role="system", max_tokens_field="max_tokens", cache_control="none"
                )
                declared = lm15.ProviderDefinition.chat(access, compat=compat, placeholder_key=NO_KEY)
                keys = {DECLARED: self._key(url) or NO_KEY}
                config = lm15.RouterConfig(env={}, api_keys=keys, providers=(declared,), transport=transport)
                self._routed = f"{DECLARED}:{name}"
                self._inner = LM15Engine(config)
                self.pricing: str | None = None
            else:
                plain = LM15Engine(lm15.RouterConfig(env={})).resolve(self.address.model)
                found = self._key(None)
                keys = {plain.provider: found} if found else {}
                config = lm15.RouterConfig(env=dict(self.secrets), api_keys=keys, transport=transport)
                self._routed = f"{plain.provider}:{plain.model}"
                self._inner = LM15Engine(config)
                self.pricing = plain.provider
        except (lm15.LM15Error, ValueError, TypeError) as error:
            told = shortened(str(error))
            raise ConfigurationError(f"endpoint: {self.address.model}: {told}") from error

    def _key(self, url: str | None) -> str | None:
        """The key that belongs to where requests go."""
        variable = self.address.key_variable
        if variable is None:
            if self.address.api_base is not None:
                return None
            # OPENAI_BASE_URL and OPENAI_API_KEY were set together, so the key belongs to that address.
            return self.secrets.get("OPENAI_API_KEY") if url is not None else None
        if variable not in self.secrets:
            raise ConfigurationError(
                f"endpoint: the variable {variable} is not set, neither in the environment nor in .env"
            )
        return self.secrets[variable]

    def complete(self, request: Any) -> Any:
        """One attempt: a `dspy.lm15.Request` to a `Response`. Raises errors of `dspy.lm15`."""
        return self._inner.complete(replace(request, model=self._routed))

    def stream(self, request: Any) -> Iterator[Any]:
        """The answer as DSPy's events, all at once when it is complete."""
        return iter(load_dspy().lm15.response_to_events(self.complete(request)))

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def __deepcopy__(self, memo: dict[int, object]) -> Engine:
        """Copies of a module share their connections."""
        return self

    def dump_state(self) -> dict[str, Any]:
        """What a saved DSPy module keeps: names, and no key."""
        return {
            "model": self.address.model,
            "api_base": self.address.api_base,
            "key_variable": self.address.key_variable,
            "seconds": self.bounds.seconds,
        }

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> Engine:
        """The engine of a saved module, with keys from the environment and `.env`."""
        from genevolve.interpreter.config import load_config

        config = load_config()
        address = Address(str(state["model"]), state.get("api_base"), state.get("key_variable"))
        bounds = Bounds(seconds=float(state.get("seconds", Bounds.seconds)))
        return cls(address, bounds, config.secrets, config.endpoints.get("OPENAI_BASE_URL"))


class AsyncEngine:
    """The same attempts for callers on an event loop: each in a thread."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    async def complete(self, request: Any) -> Any:
        """See `Engine.complete`."""
        import asyncio

        return await asyncio.to_thread(self.engine.complete, request)

    async def aclose(self) -> None:
        """The engine is closed by whoever opened it."""

    def __deepcopy__(self, memo: dict[int, object]) -> AsyncEngine:
        """Copies of a module share their connections."""
        return self

    def dump_state(self) -> dict[str, Any]:
        """What a saved DSPy module keeps."""
        return {"engine": self.engine.dump_state()}

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> AsyncEngine:
        """The engine of a saved module."""
        return cls(Engine.load_state(state["engine"]))


def open_lm(engine: Engine, **defaults: Any) -> dspy.LM:
    """A `dspy.LM` over an engine: no cache, no retries of DSPy's own.

    Args:
        engine: Where requests go.
        **defaults: What calls are sampled with unless they say otherwise: `temperature`, `max_tokens`, `top_p`, …
    """
    options = {"cache": False, "num_retries": 0, **defaults}
    return load_dspy().LM(engine.address.model, engine=engine, async_engine=AsyncEngine(engine), **options)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def price_of(engine: Engine, response: Any, request: Any) -> float | None:
    """What a call cost in US dollars by the price list that comes with DSPy; None when it lists no price."""
    if engine.pricing is None:
        return None
    from dspy.clients.costs import estimate_cost

    cost, _ = estimate_cost(
        response,
        provider=engine.pricing,
        requested_model=engine.address.model.partition("/")[2],
        request=request,
    )
    return None if cost is None else float(cost)


class Tally:
    """Counts what calls cost; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}

    def add(self, **amounts: float) -> None:
        """Add to the counts."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] = self._counts.get(name, 0.0) + amount

    def get(self, name: str) -> float | None:
        """One count, or None when nothing was ever added to it."""
        with self._lock:
            return self._counts.get(name)
