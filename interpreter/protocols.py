"""What a tool, a renderer and a skill must offer to the machine: small structural types."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from genevolve.grammar.errors import Cancelled
from genevolve.grammar.types import Signature
from genevolve.grammar.z import Z
from genevolve.interpreter.values import ImageHandle, Value

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class CallContext:
    """What a running call may ask about its run, and tell besides its answer.

    `deadline` is on the clock of `time.monotonic`. A tool that works for long in a thread calls `check()` from
    time to time, so that a cancelled run leaves nothing behind. `notes` are told with the answer and written to the
    trace; an answer that is `fleeting` is not cached.
    """

    deadline: float = float("inf")
    cancelled: threading.Event = field(default_factory=threading.Event)
    attempt: int = 1
    notes: list[str] = field(default_factory=list)
    fleeting: threading.Event = field(default_factory=threading.Event)

    def note(self, sentence: str, *, fleeting: bool = False) -> None:
        """Tell something besides the answer. `fleeting`: a later call may well get a better answer."""
        self.notes.append(sentence)
        if fleeting:
            self.fleeting.set()

    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Raise `Cancelled` when the run was stopped."""
        if self.cancelled.is_set():
            raise Cancelled("the run was stopped")


@runtime_checkable
class Tool(Protocol):
    """A typed function of the language.

    `version` is part of the cache key: it changes whenever the same arguments may give another answer (for the
    library: a digest of its contents). None means: never cache. A plain function is run in a worker thread; a
    coroutine function on the event loop. Failures are raised as `ServiceError` or `AuthorError`.
    """

    @property
    def signature(self) -> Signature:
        """What programs may call it with, and what they get."""

    @property
    def version(self) -> str | None:
        """Part of the cache key, or None."""

    # `Any`: each tool has parameters of its own; the signature says which values they take.
    def __call__(self, context: CallContext, /, *args: Any, **named: Any) -> Value | Awaitable[Value]:
        """Call it: positional parameters in order, `named_only` ones by name."""


@dataclass(frozen=True)
class Rendering:
    """A finished picture. `notes` say in plain sentences what could not be drawn or was changed."""

    image: Image
    notes: tuple[str, ...] = ()
    info: Mapping[str, object] = field(default_factory=dict)


@runtime_checkable
class Renderer(Protocol):
    """Draws z once.

    `refusals` tells, before anything is spent, what of z the renderer cannot honour (sentences); the run then
    ends with GP524. It is asked twice: before any call, when texts that calls give and the references' files
    are still stood in for, and before rendering. `references` are in the order of `z.reference_images`.
    """

    @property
    def name(self) -> str:
        """What it is called in settings, messages and records."""

    @property
    def version(self) -> str:
        """What made the picture, for the record: the model and its revision."""

    def refusals(self, z: Z) -> Sequence[str]:
        """What of z cannot be honoured; empty when all can."""

    def render(
        self, context: CallContext, z: Z, references: Sequence[ImageHandle]
    ) -> Rendering | Awaitable[Rendering]:
        """Draw it. A plain method is run in a worker thread."""


@runtime_checkable
class Skill(Protocol):
    """A generation skill: a guide and what it adds to a program that uses it.

    `guards` are short phrases for the negative prompt.
    """

    @property
    def name(self) -> str:
        """How programs call it."""

    @property
    def summary(self) -> str:
        """One or two sentences."""

    @property
    def guide(self) -> str:
        """The guide, Markdown."""

    @property
    def expects(self) -> tuple[str, ...]:
        """Predicates that a program with this skill should require."""

    @property
    def guards(self) -> tuple[str, ...]:
        """Phrases for the negative prompt."""


class Registry(Mapping[str, Tool]):
    """The tools of a machine by name. Registering a name twice is an error."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.register(tool)

    def register(self, tool: Tool) -> None:
        """Add a tool; raises `ValueError` when its name is taken."""
        name = tool.signature.name
        if name in self._tools:
            raise ValueError(f"a tool named {name!r} is registered already")
        self._tools[name] = tool

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)
