"""What remote renderers share: time, options in a specification, keys, and the words of services."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.grammar.z import Z
from genevolve.interpreter.net.client import StatusError
from genevolve.interpreter.net.limits import RateLimiter
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.renderers.remote.dispatch import HEALTH_PATHS, Dispatcher, Server
from genevolve.interpreter.retry import RetryPolicy


@runtime_checkable
class Examinable(Protocol):
    """A renderer that can tell whether its servers are well without drawing."""

    async def examine(self) -> dict[str, str | None]:
        """What is wrong with each server, by its address; None where nothing is."""


@dataclass(frozen=True)
class Remote:
    """How services are asked.

    Attributes:
        seconds: what one picture may take, retries and pauses included.
        retries: how often a failure is tried again.
        rpm: pictures a minute that one host and port is asked for; None sets no rate.
        keys: keys of services by the names of their variables.
        endpoints: addresses of services by the names of their variables.
    """

    seconds: float = 600.0
    retries: int = 3
    rpm: float | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    endpoints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def key(self, *names: str) -> str | None:
        """The first of these keys that is set."""
        return next((self.keys[name] for name in names if self.keys.get(name)), None)

    def required_key(self, renderer: str, *names: str) -> str:
        """The first of these keys that is set; raises `ConfigurationError`, by name, when none is."""
        key = self.key(*names)
        if key is None:
            raise ConfigurationError(
                f"the renderer {renderer} needs a key: set {' or '.join(names)} in the environment "
                "or in .env beside the project's file"
            )
        return key

    def dispatcher(
        self,
        urls: Sequence[str],
        headers: Mapping[str, str] | None = None,
        health: Sequence[str] = HEALTH_PATHS,
    ) -> Dispatcher:
        """Servers at these addresses. Raises `ConfigurationError` for what is no address."""
        secrets = frozenset(self.keys.values())
        servers = [
            Server.open(url, headers=headers, secrets=secrets, seconds=self.seconds)
            for url in dict.fromkeys(urls)
        ]
        retry = RetryPolicy(attempts=self.retries + 1)
        limiter = None if self.rpm is None else shared_limiter(self.rpm)
        return Dispatcher(servers, limiter, retry, health, Redactor(secrets))

    def time_left(self, context: CallContext) -> float:
        """Seconds that the picture may take now. Raises `Cancelled` when the run was stopped."""
        context.check()
        return min(self.seconds, context.remaining())


@cache
def shared_limiter(rpm: float) -> RateLimiter:
    """The one limiter of the process for a rate."""
    return RateLimiter(rpm)


def split_options(argument: str, known: Iterable[str], renderer: str) -> tuple[str, dict[str, str]]:
    """`WHAT?name=value&…` as what and its options. Raises `ConfigurationError` for an option that is not known."""
    what, mark, query = argument.partition("?")
    if not mark:
        return what.strip(), {}
    names = tuple(known)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ConfigurationError(
            f"options of a renderer are written name=value and joined by &, not {query!r}"
        ) from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError(f"an option of the renderer {renderer} is given twice in {query!r}")
    for name in options:
        if name not in names:
            hint = did_you_mean(closest(name, names)) or f"; known are {listed(names)}"
            raise ConfigurationError(f"the renderer {renderer} has no option {name!r}{hint}")
    return what.strip(), options


def one_of(options: Mapping[str, str], name: str, choices: Sequence[str], default: str) -> str:
    """The value of an option that has few. Raises `ConfigurationError` for another one."""
    value = options.get(name, default).strip().lower()
    if value not in choices:
        raise ConfigurationError(f"the option {name} is one of {listed(choices)}, not {options[name]!r}")
    return value


def with_avoided(z: Z) -> str:
    """The prompt for a model without negative prompts: what to avoid follows as a sentence of its own."""
    if not z.negative_prompt.strip():
        return z.gen_prompt
    return f"{z.gen_prompt.rstrip()}\n\nThe picture must not show: {z.negative_prompt.strip().rstrip('.')}."


def unheeded(z: Z, renderer: str, *, seed: bool = False) -> list[str]:
    """Sentences on the settings that a program wrote and a service does not take."""
    written = {"steps": z.settings.steps, "guidance": z.settings.guidance}
    notes = [
        f"{renderer} takes no {name}; {v:g} was not sent" for name, v in written.items() if v is not None
    ]
    if seed and z.settings.seed:
        notes.append(f"{renderer} takes no seed: the picture differs from run to run")
    return notes


def words_of(error: StatusError) -> tuple[str, str]:
    """The message and the code in the body of an error, as most services write them; empty where there are none.

    Understood are `{"error": {"message", "code" or "status" or "type"}}`, `{"error": "…"}` and `{"detail": "…"}`.
    """
    try:
        data = json.loads(error.body)
    except (ValueError, RecursionError):
        found = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.){1,500})', error.body)  # the body may be cut off
        return (_line(found[1]) if found else "", "")
    inner = data.get("error", data) if isinstance(data, dict) else data
    if isinstance(inner, str):
        return _line(inner), ""
    if not isinstance(inner, dict):
        return "", ""
    message = next((v for n in ("message", "detail") if isinstance(v := inner.get(n), str)), "")
    code = next((v for n in ("code", "status", "type") if isinstance(v := inner.get(n), str)), "")
    return _line(message), code


def retold(error: StatusError, where: str) -> StatusError:
    """The error with the service's own words instead of the beginning of its body."""
    message, code = words_of(error)
    if not message:
        return error
    named = f" ({code})" if code and code not in message else ""
    return StatusError(
        f"{where} answered with status {error.status}{named}: {message}",
        error.status,
        error.body,
        retryable=error.retryable,
        retry_after=error.retry_after,
    )


def _line(text: str) -> str:
    flat = " ".join(text.split())[:500]
    return flat if flat.isprintable() else flat.encode("unicode_escape").decode()[:500]
