"""What filling a sketch once gives: a `Rollout`, which ends in an outcome with a reason, never in an exception."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Message, Tokens

if TYPE_CHECKING:
    from genevolve.grammar.diff import ProgramDiff
    from genevolve.interpreter.session import Observation, Session
    from genevolve.programs.program import Program

SCHEMA = "genevolve.rollout/1"

LONGEST_TEXT = 20_000
"""Characters of one text of an observation that a record keeps; a policy is shown fewer."""


class Outcome(Enum):
    """How a rollout ended. `value` is its name in messages and records."""

    FILLED = "filled"
    TURNS = "out of turns"
    CALLS = "out of calls"
    TIME = "out of time"
    TOKENS = "out of tokens"
    GARBAGE = "garbage"
    REPEATS = "repeats itself"
    POLICY_FAILED = "policy failed"
    PROGRAM_FAILED = "program failed"  # a statement of the author's failed when it was executed
    STOPPED = "stopped"


@dataclass(frozen=True)
class Bounds:
    """What one rollout may spend; kept outside of the policy.

    Attributes:
        turns: Model turns (METHOD §1: 11).
        calls: Tool calls, those of the author's statements included (METHOD §1: 10); the machine's limit if smaller.
        seconds: Wall time from the start of the batch; None is no limit.
        tokens: What the policy may write in all turns together; None is no limit. A policy that does not count its
            tokens is charged one for four characters.
        patience: Turns in a row that bring nothing readable, and times that one thing is tried again, before it ends.
        characters: What is read of one turn; a longer one is endless text.
        turn: What one turn may cost, and how it is sampled.
    """

    turns: int = 11
    calls: int = 10
    seconds: float | None = 600.0
    tokens: int | None = 30_000
    patience: int = 3
    characters: int = 65_536
    turn: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class TurnRecord:
    """One turn of the policy.

    Attributes:
        emission: What it wrote, with its tokens when the policy records them.
        hole: Which hole it was filling: the number of the statement in the sketch, from 0.
        statements: What became part of the program, formatted, in order.
        observations: What each executed statement showed, the refused one included (it comes last).
        refused: Why something was refused, as the policy was told; empty when nothing was.
    """

    emission: Emission
    hole: int
    statements: tuple[str, ...] = ()
    observations: tuple[Observation, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Cost:
    """What a rollout spent. `prompt_tokens` is None when the policy does not count what it reads."""

    turns: int = 0
    calls: int = 0
    seconds: float = 0.0
    tokens: int = 0
    prompt_tokens: int | None = None


@dataclass(frozen=True)
class Rollout:
    """One attempt at a sketch.

    Attributes:
        sketch: What was to be filled.
        seed: The seed of its dialogue.
        outcome: How it ended.
        reason: Why, in a sentence.
        dialogue: All messages, from the system message to the last turn.
        turns: The policy's turns in order.
        program: The filled program: formatted, checked, without holes; None unless the outcome is FILLED.
        partial: The text written so far, whatever the outcome.
        session: The growing program with all that it observed; `await session.finish(render=True)` gives its picture.
            None only where the sketch could not be begun.
        cost: What it spent.
        guide: The decision guide that the policy was shown, if any.
        policy: The name of the policy.
        sampling: What its turns might cost, and how they were sampled.
        service: Of a program that failed: whether a tool, a service or a disk is at fault.
    """

    sketch: Program
    seed: int
    outcome: Outcome
    reason: str
    dialogue: Dialogue
    turns: tuple[TurnRecord, ...] = ()
    program: Program | None = None
    partial: str = ""
    session: Session | None = field(default=None, compare=False)
    cost: Cost = field(default_factory=Cost)
    guide: str | None = None
    policy: str = ""
    sampling: Limits = field(default_factory=Limits)
    service: bool = False

    @property
    def filled(self) -> bool:
        """Whether there is a program."""
        return self.program is not None

    @cached_property
    def diff(self) -> ProgramDiff:
        """What the policy added to the sketch; of a rollout that was not filled, what is there so far."""
        from genevolve.grammar.diff import diff
        from genevolve.programs.program import Program

        filled = self.program if self.program is not None else Program.parse(self.partial)
        return diff(self.sketch.tree, filled.tree)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data: dialogue, turns with their tokens, outcome; one line of a trajectory file.

        Texts of observations are cut at `LONGEST_TEXT`.
        """
        return {
            "schema": SCHEMA,
            "sketch": self.sketch.source,
            "seed": self.seed,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "program": None if self.program is None else self.program.source,
            "partial": self.partial,
            "cost": asdict(self.cost),
            "guide": self.guide,
            "policy": self.policy,
            "sampling": asdict(self.sampling),
            "messages": [_message(m) for m in self.dialogue.messages],
            "turns": [_turn(t) for t in self.turns],
        }


def _message(message: Message) -> dict[str, Any]:
    images = [{"sha256": i.sha256, "title": i.title, "source": i.source} for i in message.images]
    return {"role": message.role.value, "text": message.text, **({"images": images} if images else {})}


def _tokens(tokens: Tokens) -> dict[str, Any]:
    """Tokens as JSON, which knows no infinity: the log-probability of what could not be said is null."""
    found = asdict(tokens)
    for name in ("log_probs", "masked_log_probs"):
        found[name] = [p if isfinite(p) else None for p in found[name]]
    return found


def _cut(data: Any) -> Any:
    """JSON data with its long texts cut: a page of ten megabytes must not stand in a record once for each sibling."""
    match data:
        case str() if len(data) > LONGEST_TEXT:
            return f"{data[:LONGEST_TEXT]}… ({len(data) - LONGEST_TEXT:,} more characters)"
        case dict():
            return {k: _cut(v) for k, v in data.items()}
        case list():
            return [_cut(v) for v in data]
    return data


def _turn(turn: TurnRecord) -> dict[str, Any]:
    emission = turn.emission
    return {
        "hole": turn.hole,
        "text": emission.text,
        "stop": emission.stop.value,
        "error": emission.error or None,
        "statements": list(turn.statements),
        "observations": [_cut(o.to_dict()) for o in turn.observations],
        "refused": turn.refused or None,
        "tokens": None if emission.tokens is None else _tokens(emission.tokens),
        "prompt_tokens": emission.prompt_tokens,
        "tokens_out": emission.tokens_out,
    }
