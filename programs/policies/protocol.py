"""What a policy is: it reads dialogues and writes the next turn of each.

A *turn* is some text of the language: whole statements, the last of which may be a call (`let … = tool(…)`,
`use skill …`). A turn that ends in a call is answered by an observation and the policy goes on; a turn without a
call is its last word on the hole that it is filling. Everything that bounds a policy (model calls, tool calls, time,
length of a turn) is kept outside of it, by `genevolve.programs.synthesis`.

A dialogue only grows: turn t + 1 begins with everything that turn t was given, and with what the policy wrote.
Policies that keep state between turns (a key-value cache, the token ids that they sampled) key it by `Dialogue.id`,
and let it go on `release`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from genevolve.grammar.scope import Scope
    from genevolve.grammar.tree import Statement
    from genevolve.interpreter.values import ImageHandle
    from genevolve.programs.policies.context import Turn


class Role(Enum):
    """Who says a message. `value` is its name in chat formats."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Stop(Enum):
    """Why an emission ended."""

    END = "end"  # the policy closed its turn, or the constraint left nothing else to write
    LENGTH = "length"  # the limit of tokens of a turn was reached
    REFUSED = "refused"  # the service refused to answer
    FAILED = "failed"  # the service or the model failed; `Emission.error` tells how


@dataclass(frozen=True)
class Message:
    """One message of a dialogue. `images` are shown to policies that take pixels, after the text.

    `turn` is what a user message tells, before it became text: for policies that tell it in a format of their own.
    """

    role: Role
    text: str
    images: tuple[ImageHandle, ...] = ()
    turn: Turn | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Limits:
    """What one turn may cost, and how it is sampled."""

    max_tokens: int = 1024
    temperature: float = 0.7
    top_p: float = 0.95


@dataclass(frozen=True)
class Reach:
    """What the next turn may say: what constrained decoding needs to know, and nothing of models.

    Attributes:
        scope: The meaning of the program so far.
        images: How many pictures each name of type `images` really holds.
        statement: The author's statement whose holes are to be filled, or None for `...`.
        may_call: Whether a tool may still be called; False at the last turn.
        may_end: Whether the turn may end without `prompt`, because the author wrote one after the hole.
        follows: The author's statements after the hole: names and single-use statements they take are not free.
        avoid_names: Names that later statements of the author declare.
        request: What is asked for, parameters inserted.
    """

    scope: Scope
    images: dict[str, int] = field(default_factory=dict)
    statement: Statement | None = None
    may_call: bool = True
    may_end: bool = False
    follows: tuple[Statement, ...] = ()
    avoid_names: frozenset[str] = frozenset()
    request: str = ""


@dataclass(frozen=True)
class Dialogue:
    """A conversation so far, its own seed, and what its next turn may say.

    `id` is unique in a process. `messages` start with the system message, whose text has the decision guide of a
    teacher in it or not. `seed` and the number of assistant messages decide what is sampled, so that an emission does
    not depend on which other dialogues stand in its batch.
    """

    id: str
    seed: int
    messages: tuple[Message, ...]
    reach: Reach | None = None

    @property
    def turn(self) -> int:
        """How many turns the policy has taken."""
        return sum(m.role is Role.ASSISTANT for m in self.messages)


@dataclass(frozen=True)
class Tokens:
    """The tokens of one emission as they were sampled: what training uses, never re-tokenised text.

    Attributes:
        prompt_ids: Everything before the emission, as the model read it (all messages, the opening of the turn).
        ids: The sampled tokens (n,), the end-of-turn token included when the policy closed its turn.
        log_probs: (n,) log-probability of each under softmax(logits / temperature) over the whole vocabulary, before
            any mask or nucleus.
        masked_log_probs: (n,) the same under what was sampled from: masked, cut at top-p, renormalised.
        forced: (n,) whether the constraint left no other choice; such tokens are no decisions.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    masked_log_probs: tuple[float, ...]
    forced: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Emission:
    """What a policy wrote in one turn. `prompt_tokens` and `tokens_out` count what it cost, when that is known."""

    text: str
    stop: Stop = Stop.END
    tokens: Tokens | None = None
    error: str = ""
    prompt_tokens: int | None = None
    tokens_out: int | None = None


@runtime_checkable
class Policy(Protocol):
    """Writes the next turn of each dialogue.

    `act` never raises for what a model or a service does: that is an emission with `Stop.FAILED`. It may be called
    with dialogues of different requests and different turns at once, and from one thread at a time.
    """

    @property
    def name(self) -> str:
        """The spec that opens it again, for settings, messages and records."""

    @property
    def version(self) -> str:
        """What weights or service it is: kept with every experience that it makes."""

    @property
    def takes_images(self) -> bool:
        """Whether it reads the pixels of `Message.images`."""

    @property
    def constrained(self) -> bool:
        """Whether `Dialogue.reach` bounds what it writes, so that all of it parses and checks."""

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """One emission for each dialogue, in order."""

    def release(self, ids: Sequence[str]) -> None:
        """Forget what is kept for these dialogues."""

    def close(self) -> None:
        """Free what it holds."""
