"""The machine that `open_machine` gives: it knows its settings and closes what it opened."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from genevolve.grammar.errors import ConfigurationError, OperatorError
from genevolve.grammar.suggest import closest, did_you_mean
from genevolve.grammar.types import Environment, Signature
from genevolve.interpreter.cache import CallCache
from genevolve.interpreter.config import Config
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext, Registry, Renderer, Skill, Tool
from genevolve.interpreter.redact import secrets_of
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.values import Value

RENDERER = "renderer"
"""The name in `[prices]` under which the price of one picture stands."""


class OpenedMachine(Machine):
    """A `Machine` made from a `Config`. `close()` it, or use it in a `with` block; closing twice is fine.

    `absent` says why tools that programs may expect are not there; `closing` is closed with the machine.
    """

    def __init__(
        self,
        config: Config,
        tools: Sequence[Tool],
        skills: Mapping[str, Skill],
        renderer: Renderer,
        *,
        verbose: bool = False,
        absent: Mapping[str, str] | None = None,
        closing: Sequence[object] = (),
    ) -> None:
        cache = None
        if config.cache.enabled:
            cache = CallCache(config.cache.location / "calls.sqlite", max_bytes=config.cache.size)
        super().__init__(
            _registry(tools, config.prices),
            skills=skills,
            renderer=renderer,
            cache=cache,
            budget=config.budget,
            retry=RetryPolicy(attempts=config.machine.retries + 1),
            call_timeout=config.machine.timeout,
            concurrency=config.machine.concurrency,
            secrets=secrets_of() | frozenset(config.secrets.values()),
            verbose=verbose,
        )
        self.config = config
        self._absent = dict(absent or {})
        self._opened: tuple[object, ...] = (
            *closing,
            *tools,
            renderer,
            *([cache] if cache is not None else []),
        )

    def environment(self, **limits: int) -> Environment:
        """What programs for this machine are checked against; the limit of calls is the budget's."""
        calls = self.config.budget.calls
        environment = super().environment(**({} if calls is None else {"max_calls": calls}) | limits)
        return replace(environment, absent=self._absent) if self._absent else environment

    @property
    def record_folder(self) -> Path | None:
        """Where the settings want run records; None when they want none."""
        return self.config.runs.folder if self.config.runs.record else None

    def close(self) -> None:
        """Close the indexes, the cache and the renderer. What was rendered stays usable."""
        opened, self._opened = self._opened, ()
        close_all(opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PricedTool:
    """A tool whose price the operator has set; else it is the tool itself."""

    def __init__(self, tool: Tool, price: float) -> None:
        self._tool = tool
        self.signature: Signature = replace(tool.signature, price=price)

    @property
    def version(self) -> str | None:
        """The tool's own: a price changes no answer."""
        return self._tool.version

    def __call__(self, context: CallContext, /, *args: Value, **named: Value) -> Value | Awaitable[Value]:
        """Call the tool. What it returns may be awaitable, which the machine notices."""
        return self._tool(context, *args, **named)

    def close(self) -> None:
        """Close the tool."""
        close_all([self._tool])


def close_all(things: Iterable[object]) -> None:
    """Close what can be closed, each in spite of the others."""
    for thing in things:
        close = getattr(thing, "close", None)
        if callable(close):
            with suppress(OperatorError, OSError):
                close()


def _registry(tools: Sequence[Tool], prices: Mapping[str, float]) -> Registry:
    registry = Registry()
    for tool in tools:
        name = tool.signature.name
        try:
            registry.register(PricedTool(tool, prices[name]) if name in prices else tool)
        except ValueError as error:
            raise ConfigurationError(f"two tools are named {name!r}; rename one") from error
    for name in prices:
        if name not in registry and name != RENDERER:
            hint = did_you_mean(closest(name, registry))
            raise ConfigurationError(f"prices: there is no tool {name!r}{hint}")
    return registry
