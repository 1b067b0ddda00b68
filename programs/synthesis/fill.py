"""Fills sketches: many rollouts at once, in lock-step, one `Policy.act` for all that wait.

rollouts = fill(Program.parse(text), policy, machine, n=6, seed=0)
best = [r for r in rollouts if r.filled]
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from genevolve.grammar.errors import AuthorError, GenevolveError
from genevolve.interpreter.blocking import blocking
from genevolve.programs.policies.language_card import CARDS, Size
from genevolve.programs.policies.protocol import Dialogue, Emission, Policy, Stop, Tokens
from genevolve.programs.policies.quoting import one_line
from genevolve.programs.synthesis.attempt import Attempt, Setting
from genevolve.programs.synthesis.growth import AuthorFailed, Growth, Sketch
from genevolve.programs.synthesis.merge import has_holes
from genevolve.programs.synthesis.ranking import best
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout

if TYPE_CHECKING:
    from genevolve.interpreter.machine import Machine
    from genevolve.programs.program import Program

_log = logging.getLogger(__name__)

Card: TypeAlias = Literal["auto", "full", "compact", "brief"]


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
    task = Task(program, tuple(range(seed, seed + n)), guide, dict(parameters or {}))
    (found,) = fill_many([task], policy, machine, bounds=bounds, card=card, progress=progress, stop=stop)
    return blocking(best(found)) if keep == "best" else found


async def afill(
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
    """As `fill`, awaited."""
    task = Task(program, tuple(range(seed, seed + n)), guide, dict(parameters or {}))
    (found,) = await afill_many(
        [task], policy, machine, bounds=bounds, card=card, progress=progress, stop=stop
    )
    return await best(found) if keep == "best" else found


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

    Every rollout ends with an outcome; what goes wrong in one leaves the others alone. The policy acts in the thread
    of the caller, so that Ctrl-C reaches it; in a notebook, whose loop is running, in a thread of its own.

    Args:
        tasks: The sketches.
        policy: Who fills them.
        machine: Where calls are executed.
        bounds: What each rollout may spend.
        card: Which language card the policy reads; by default the one that it asks for (its `card`), else the full one.
        progress: Told after every round of turns.
        stop: When it is set, what has not ended by the next round ends as stopped.

    Raises:
        ProgramError: A sketch has errors besides its holes, or its parameters are wrong; nothing was begun.
        AuthorError: A sketch has no request, or more statements to fill than a rollout has turns.
        KeyboardInterrupt: Ctrl-C; nothing goes on.
    """
    loom = _Loom(tasks, policy, machine, bounds or Bounds(), card, progress, stop)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return blocking(_in_turns(loom))
    try:
        with asyncio.Runner() as runner:
            runner.run(loom.begin())
            while loom.waiting:
                emissions = loom.act()
                runner.run(loom.advance(emissions))
    finally:
        loom.release()
    return loom.rollouts()


async def afill_many(
    tasks: Sequence[Task],
    policy: Policy,
    machine: Machine,
    *,
    bounds: Bounds | None = None,
    card: Card = "auto",
    progress: Listener | None = None,
    stop: threading.Event | None = None,
) -> list[list[Rollout]]:
    """As `fill_many`, awaited; the policy acts in a thread of its own.

    When it is cancelled, a turn that the policy is at is waited for: models cannot be stopped half way.
    """
    return await _in_turns(_Loom(tasks, policy, machine, bounds or Bounds(), card, progress, stop))


async def _in_turns(loom: _Loom) -> list[list[Rollout]]:
    try:
        await loom.begin()
        while loom.waiting:
            acting = asyncio.create_task(asyncio.to_thread(loom.act))
            try:
                emissions = await asyncio.shield(acting)
            except asyncio.CancelledError:
                await asyncio.wait([acting])
                raise
            await loom.advance(emissions)
    finally:
        loom.release()
    return loom.rollouts()


class _Loom:
    """All rollouts of a batch: who waits for a turn, and what is done with the turns."""

    def __init__(
        self,
        tasks: Sequence[Task],
        policy: Policy,
        machine: Machine,
        bounds: Bounds,
        card: Card,
        progress: Listener | None,
        stop: threading.Event | None,
    ) -> None:
        self._policy, self._bounds = policy, bounds
        self._progress, self._stop = progress, stop
        self._turn = 0
        asked = getattr(policy, "card", "full") if card == "auto" else card
        environment = machine.environment()
        calls = [c for c in (environment.max_calls, machine.budget.calls, bounds.calls) if c is not None]
        environment = replace(environment, max_calls=min(calls))
        seconds = [s for s in (machine.budget.seconds, bounds.seconds) if s is not None]
        budget = replace(
            machine.budget, calls=environment.max_calls, seconds=min(seconds) if seconds else None
        )
        started = time.monotonic()
        self._redactor = machine.redactor
        name = self._redactor.text(str(getattr(policy, "name", "")))
        self._roots: list[tuple[Task, Growth, Setting]] = []
        for task in tasks:
            parameters = dict(task.parameters)
            sketch = Sketch.of(task.program, environment, parameters)
            _fits(sketch, bounds.turns)
            session = machine.session(environment, parameters, budget=budget)
            size: Size = asked if asked in CARDS else "full"
            setting = Setting(bounds, environment.max_calls, size, task.guide, task.examples, started, name)
            self._roots.append((task, Growth(sketch, session), setting))
        self._attempts: list[list[Attempt]] = []
        self._held: set[str] = set()

    async def begin(self) -> None:
        """Execute what stands before the first holes, once for each task, and open the dialogues."""

        async def first(growth: Growth) -> AuthorFailed | GenevolveError | None:
            try:
                await growth.go_on()
            except (AuthorFailed, GenevolveError) as error:  # told as the end of these rollouts
                return error
            return None

        failures = await asyncio.gather(*(first(growth) for _, growth, _ in self._roots))
        for (task, growth, setting), failed in zip(self._roots, failures, strict=True):
            siblings = [Attempt(growth.fork(), seed, setting) for seed in task.seeds]
            for attempt in siblings:
                attempt.open(failed)
            self._attempts.append(siblings)
        self._tell()

    @property
    def _all(self) -> list[Attempt]:
        return [attempt for siblings in self._attempts for attempt in siblings]

    @property
    def waiting(self) -> list[Attempt]:
        """The rollouts that want a turn; ends those that are stopped or late."""
        for attempt in self._all:
            if self._stop is not None and self._stop.is_set():
                attempt.end(Outcome.STOPPED, "somebody stopped it")
            attempt.check_time()
        return [a for a in self._all if a.outcome is None]

    def act(self) -> list[Emission | str]:
        """One round of turns: an emission for each that waits, or what went wrong with the policy."""
        waiting = self.waiting
        dialogues: list[Dialogue] = [d for a in waiting if (d := a.wanted) is not None]
        self._held.update(d.id for d in dialogues)
        if not dialogues:
            return []
        try:
            emissions = [*self._policy.act(dialogues, self._bounds.turn)]
        except Exception as error:  # other people's code: it ends these rollouts, not the program
            _log.debug("the policy raised", exc_info=True)
            said = one_line(self._redactor.text(str(error)), 300)
            return [f"the policy raised {type(error).__name__}: {said}"] * len(waiting)
        if len(emissions) != len(dialogues):
            why = f"the policy gave {len(emissions)} turns for {len(dialogues)} dialogues"
            return [why] * len(waiting)
        return [self._sound(e) for e in emissions]

    def _sound(self, emission: Emission) -> Emission | str:
        """A turn that is what the types promise, its error without keys; or what is to be said of it."""
        if not _is_turn(emission):
            return "the policy gave something that is no turn"
        return replace(emission, error=self._redactor.text(emission.error)) if emission.error else emission

    async def advance(self, emissions: Sequence[Emission | str]) -> None:
        """Execute a round of turns, all rollouts at the same time."""
        waiting = [a for a in self._all if a.outcome is None]
        work = []
        for attempt, emission in zip(waiting, emissions, strict=False):
            if isinstance(emission, Emission):
                work.append(attempt.turn(emission))
            else:
                attempt.end(Outcome.POLICY_FAILED, emission)
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
        self._turn += 1
        self.release(only_ended=True)
        self._tell()

    def release(self, *, only_ended: bool = False) -> None:
        """Let the policy forget what has ended."""
        ended = {a.id for a in self._all if not only_ended or a.outcome is not None} & self._held
        self._held -= ended
        if ended:
            try:
                self._policy.release(sorted(ended))
            except Exception as error:  # other people's code: what it could not forget harms no rollout
                import warnings

                warnings.warn(f"the policy could not forget: {error}", RuntimeWarning, stacklevel=2)

    def rollouts(self) -> list[list[Rollout]]:
        """What came of it, task by task."""
        return [[attempt.rollout() for attempt in siblings] for siblings in self._attempts]

    def _tell(self) -> None:
        if self._progress is None:
            return
        outcomes = Counter(a.outcome for a in self._all if a.outcome is not None)
        ended = sum(outcomes.values())
        self._progress(Progress(len(self._all) - ended, ended, self._turn, outcomes))


def _fits(sketch: Sketch, turns: int) -> None:
    """Refuse a sketch that no policy can fill in so many turns, before anything is spent."""
    wanted = sum(has_holes(s) for s in sketch.statements)
    if wanted > turns:
        raise AuthorError(
            f"{wanted} statements of the sketch are to be filled, each takes a turn at least, and a rollout has "
            f"{turns} turns; allow more turns, or write some of the statements"
        )


def _is_turn(emission: object) -> bool:
    """Whether a policy gave what its types promise: it may be other people's code."""
    return (
        isinstance(emission, Emission)
        and isinstance(emission.text, str)
        and isinstance(emission.error, str)
        and isinstance(emission.stop, Stop)
        and isinstance(emission.tokens, Tokens | None)
        and all(
            n is None or (isinstance(n, int) and n >= 0)
            for n in (emission.prompt_tokens, emission.tokens_out)
        )
    )
