"""Fills sketches: many rollouts at once, in lock-step, one `Policy.act` for all that wait.

rollouts = fill(Program.parse(text), policy, machine, n=6, seed=0)
best = [r for r in rollouts if r.filled]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from genevolve.programs.policies.protocol import Policy
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout

if TYPE_CHECKING:
    from genevolve.interpreter.machine import Machine
    from genevolve.programs.program import Program

Card: TypeAlias = Literal["auto", "full", "compact"]


@dataclass(frozen=True)
class Task:
    """One sketch and how often it is filled: one rollout for each seed.

    `guide` is the text of a decision guide for the system message (`context.guide_text` makes one of a bundle),
    `parameters` are values for the sketch's parameters, `examples` finished programs that the policy is shown:
    pairs of a request and the program that answers it. `id` is carried along.
    """

    program: Program
    seeds: tuple[int, ...] = (0,)
    guide: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    examples: tuple[tuple[str, str], ...] = ()
    id: str = ""


class Progress(NamedTuple):
    """What a progress callback is told after each round of turns, and at the end."""

    running: int
    ended: int
    turn: int
    outcomes: Mapping[Outcome, int]


Listener: TypeAlias = Callable[[Progress], None]


def fill(
    program: Program,
    policy: Policy,
    machine: Machine,
    *,
    n: int = 1,
    seed: int = 0,
    bounds: Bounds | None = None,
    guide: str | None = None,
    parameters: Mapping[str, object] | None = None,
    keep: Literal["all", "best"] = "all",
    card: Card = "auto",
    progress: Listener | None = None,
    stop: threading.Event | None = None,
) -> list[Rollout]:
    """Fill one sketch `n` times, with the seeds `seed`, `seed + 1`, …; see `fill_many`.

    With `keep="best"` the list has one rollout at most, as `ranking.best` chooses it.
    """
    raise NotImplementedError


async def afill(program: Program, policy: Policy, machine: Machine) -> list[Rollout]:
    """As `fill`, awaited."""
    raise NotImplementedError


def fill_many(
    tasks: Sequence[Task],
    policy: Policy,
    machine: Machine,
    *,
    bounds: Bounds | None = None,
    card: Card = "auto",
    progress: Listener | None = None,
    stop: threading.Event | None = None,
) -> list[list[Rollout]]:
    """Fill many sketches at once: for each task its rollouts, in the order of its seeds.

    Every rollout ends with an outcome; what goes wrong in one leaves the others alone.

    Raises:
        ProgramError: A sketch has errors besides its holes, or its parameters are wrong; nothing was begun.
        KeyboardInterrupt: Ctrl-C; nothing goes on.
    """
    raise NotImplementedError


async def afill_many(tasks: Sequence[Task], policy: Policy, machine: Machine) -> list[list[Rollout]]:
    """As `fill_many`, awaited; the policy acts in a thread of its own."""
    raise NotImplementedError
