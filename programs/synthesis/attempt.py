"""One rollout: a dialogue with a policy about a sketch that grows.

Every way in which a policy can go wrong ends here in an outcome with a reason. What it may spend is counted here and
not by the policy.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

from genevolve.grammar.errors import GenevolveError, OperatorError
from genevolve.grammar.formatter import format_expression
from genevolve.grammar.tree import Let, Statement, StatementHole
from genevolve.interpreter.session import Observation
from genevolve.programs.policies.context import Ask, Turn, answer, opening
from genevolve.programs.policies.language_card import Size
from genevolve.programs.policies.protocol import Dialogue, Emission, Message, Role, Stop
from genevolve.programs.policies.quoting import one_line
from genevolve.programs.program import Program
from genevolve.programs.synthesis.emission import Split, Written, split_emission, strip_comments
from genevolve.programs.synthesis.growth import AuthorFailed, Growth, Refused, refusal, shown
from genevolve.programs.synthesis.merge import keyword
from genevolve.programs.synthesis.rollout import Bounds, Cost, Outcome, Rollout, TurnRecord

_numbers = itertools.count(1)
_NEAR_THE_END = 400  # characters


@dataclass(frozen=True)
class Setting:
    """What the rollouts of one task share."""

    bounds: Bounds
    calls: int
    card: Size
    guide: str | None
    examples: tuple[tuple[str, str], ...]
    started: float
    policy: str = ""


class _Read(NamedTuple):
    """What became of a turn."""

    statements: tuple[Statement, ...] = ()
    observations: tuple[Observation, ...] = ()
    refused: str = ""
    ignored: str = ""
    called: bool = False
    unreadable: bool = False
    budget: bool = False
    tried: str = ""


class Attempt:
    """See the module. `wanted` is the dialogue that waits for a turn, None when the rollout has ended."""

    def __init__(self, growth: Growth, seed: int, setting: Setting) -> None:
        self.growth = growth
        self.id = f"rollout-{next(_numbers)}"
        self.outcome: Outcome | None = None
        self.reason = ""
        self._seed = seed
        self._setting = setting
        self._messages: tuple[Message, ...] = ()
        self._turns: list[TurnRecord] = []
        self._tried: Counter[tuple[int, str]] = Counter()
        self._nothing = 0  # turns in a row that brought nothing readable
        self._short_of_calls = False
        self._tokens = 0
        self._prompt_tokens: int | None = None
        self._program: Program | None = None
        self._seconds = 0.0
        self._service = False

    # ---- what the loop sees ----

    @property
    def wanted(self) -> Dialogue | None:
        """The dialogue whose next turn is wanted, None when the rollout has ended."""
        if self.outcome is not None:
            return None
        return Dialogue(self.id, self._seed, self._messages, self.growth.reach(may_call=self._may_call))

    def open(self, failed: AuthorFailed | GenevolveError | None = None) -> None:
        """Begin the dialogue; the author's statements before the first hole are executed already, or have failed."""
        tree, setting = self.growth.sketch.program.tree, self._setting
        turn = Turn(self.growth.seen(), ask=None if self.growth.hole is None else self._ask())
        self._messages = opening(
            tree,
            self.growth.sketch.environment,
            card=setting.card,
            guide=setting.guide,
            examples=setting.examples,
            turn=turn,
        )
        if failed is not None:
            self._fail(failed)
        elif self.growth.hole is None:
            self._finish()

    def end(self, outcome: Outcome, reason: str) -> None:
        """End the rollout, unless it has ended."""
        if self.outcome is None:
            self.outcome, self.reason = outcome, reason
            self._seconds = time.monotonic() - self._setting.started

    def check_time(self) -> None:
        """End the rollout when its time is over."""
        limit = self._setting.bounds.seconds
        if limit is not None and time.monotonic() - self._setting.started >= limit:
            self.end(Outcome.TIME, f"the {limit:g} seconds of the rollout are over")

    def rollout(self) -> Rollout:
        """What came of it."""
        session = self.growth.session
        left = session.calls_left
        calls = session.scope.calls_spent if left is None else self._setting.calls - left
        return Rollout(
            sketch=self.growth.sketch.program,
            seed=self._seed,
            outcome=self.outcome or Outcome.STOPPED,
            reason=self.reason,
            dialogue=Dialogue(self.id, self._seed, self._messages),
            turns=tuple(self._turns),
            program=self._program,
            partial=self.growth.text,
            session=self.growth.session,
            cost=Cost(len(self._turns), calls, round(self._seconds, 3), self._tokens, self._prompt_tokens),
            guide=self._setting.guide,
            policy=self._setting.policy,
            sampling=self._setting.bounds.turn,
            service=self._service,
        )

    async def turn(self, emission: Emission) -> None:
        """Execute a turn of the policy, and answer it; the rollout may end by it."""
        if self.outcome is not None:
            return
        self._account(emission)
        if emission.stop in (Stop.FAILED, Stop.REFUSED):
            self._turns.append(TurnRecord(emission, self.growth.position))
            what = "refused to answer" if emission.stop is Stop.REFUSED else "failed"
            error = f": {one_line(emission.error, 400)}" if emission.error else ""
            self.end(Outcome.POLICY_FAILED, f"the policy {what}{error}")
            return
        limit = self._setting.bounds.characters
        if len(emission.text) > limit:
            cut = replace(emission, text=emission.text[:limit])
            self._turns.append(TurnRecord(cut, self.growth.position))
            self.end(Outcome.GARBAGE, f"endless text: a turn of {len(emission.text):,} characters")
            return
        self._messages = (*self._messages, Message(Role.ASSISTANT, emission.text))
        try:
            await self._turn(emission)
        except (AuthorFailed, GenevolveError) as error:
            self._fail(error)

    def _fail(self, error: AuthorFailed | GenevolveError) -> None:
        """End for something that is not the policy's doing: this rollout cannot go on, others may."""
        self.check_time()  # what is late fails for that reason and no other
        if self.outcome is not None:
            return
        if isinstance(error, AuthorFailed):
            self._service = error.service
            self.end(Outcome.PROGRAM_FAILED, str(error))
        else:
            self._service = isinstance(error, OperatorError)  # a disk, a setting
            self.end(Outcome.PROGRAM_FAILED, f"{type(error).__name__}: {error}")

    # ---- turns ----

    @property
    def _turns_left(self) -> int:
        return self._setting.bounds.turns - len(self._turns)

    @property
    def _may_call(self) -> bool:
        """Whether a call can be paid for, and leaves turns for what must come after it.

        A statement with holes is one turn with its calls; for `...` a call asks for at least one turn more.
        """
        growth = self.growth
        if not isinstance(growth.hole, StatementHole):
            return growth.own_calls > 0 or growth.spare_calls > 0
        return growth.spare_calls > 0 and self._turns_left >= 2 + growth.holes_after

    async def _turn(self, emission: Emission) -> None:
        growth, position = self.growth, self.growth.position
        read = await self._read(emission)
        record = TurnRecord(
            emission,
            position,
            tuple(shown_in_full(s) for s in read.statements),
            read.observations,
            read.refused,
        )
        self._turns.append(record)
        missing: tuple[str, ...] = ()
        filled = not read.refused and bool(read.statements)
        if isinstance(growth.hole, StatementHole):
            filled = not (read.refused or read.called or emission.stop is Stop.LENGTH)
            missing = growth.missing() if filled else ()
        closes = filled and not missing  # a `...` may be closed by saying nothing
        idle = not read.statements and not closes and (read.unreadable or bool(missing))
        self._nothing = self._nothing + 1 if idle else 0
        self._short_of_calls = read.budget
        if closes:
            growth.close()
            await growth.go_on()
            if growth.hole is None:
                self._finish()
                return
        self._judge(read, position)
        self.check_time()
        if self.outcome is None:
            again = growth.position == position
            told = tuple(o for o in read.observations if o.ok)
            turn = Turn(
                (*told, *growth.seen()), read.refused, read.ignored, self._ask(again=again, missing=missing)
            )
            message = answer(turn, growth.sketch.environment, card=self._setting.card)
            self._messages = (*self._messages, message)

    async def _read(self, emission: Emission) -> _Read:
        """Let in what the turn says, up to a call, a refusal or its end."""
        split = split_emission(emission.text)
        cut = emission.stop is Stop.LENGTH and not emission.text.endswith("\n")
        if cut and not split.wrong and split.statements:
            # `seed: 12` may be the beginning of `seed: 1234`.
            last = split.statements[-1]
            split = replace(split, statements=split.statements[:-1], comments=(), rest=last.text)
        taken: list[Statement] = []
        seen: list[Observation] = []
        one = not isinstance(self.growth.hole, StatementHole)
        for i, written in enumerate(split.statements):
            rest = split.statements[i + 1 :]
            try:
                observation, called = await self.growth.take(written.statement, may_call=self._may_call)
            except Refused as error:
                if error.observation is not None:
                    seen.append(error.observation)
                reason = f"{error}\nNothing after it was read." if rest or split.wrong else str(error)
                return _Read(
                    tuple(taken), tuple(seen), reason, budget=error.budget, tried=_tried(written.statement)
                )
            taken.append(written.statement)
            seen.append(observation)
            if called or one:
                return _Read(
                    tuple(taken),
                    tuple(seen),
                    ignored=_ignored(rest, split, called=called),
                    called=called,
                    tried=_tried(written.statement) if called else "",
                )
        return self._rest(split, tuple(taken), tuple(seen), cut=cut, one=one)

    def _rest(
        self,
        split: Split,
        taken: tuple[Statement, ...],
        seen: tuple[Observation, ...],
        *,
        cut: bool,
        one: bool,
    ) -> _Read:
        """What is said of the end of a turn that no call and no refusal ended."""
        refused = ""
        if split.wrong:
            refused = refusal(split.source, split.wrong, one_line(split.rest, 160) or "this turn")
        if cut:
            limit = self._setting.bounds.turn.max_tokens
            where = one_line(split.rest, 80)
            cut_off = f"The turn was cut off after {limit} tokens, in: {where}\nWrite less in one turn."
            # What was wrong long before the end is no matter of length.
            early = split.wrong and split.wrong[0].span.start < len(split.source.text) - _NEAR_THE_END
            refused = f"{refused}\n{cut_off}" if early else cut_off
        elif one and not refused:
            wanted = keyword(self.growth.hole) if self.growth.hole is not None else ""
            refused = f"Nothing was written; the statement '{wanted}' is wanted."
        elif not refused:
            self.growth.remark(split.comments)
        return _Read(taken, seen, refused, unreadable=not taken)

    def _judge(self, read: _Read, position: int) -> None:
        """End the rollout when it leads nowhere, or when what it may spend is spent."""
        bounds = self._setting.bounds
        if read.tried:
            self._tried[position, read.tried] += 1
            if self._tried[position, read.tried] >= bounds.patience:
                what = one_line(read.tried, 120)
                self.end(Outcome.REPEATS, f"it tried '{what}' {bounds.patience} times")
                return
        if self._nothing >= bounds.patience:
            silent = not read.refused or read.refused.startswith("Nothing")
            what = "no statement" if silent else "nothing that could be read"
            self.end(Outcome.GARBAGE, f"{what} in {self._nothing} turns in a row")
        elif bounds.tokens is not None and self._tokens >= bounds.tokens:
            self.end(Outcome.TOKENS, f"it wrote {self._tokens:,} tokens; {bounds.tokens:,} are allowed")
        elif self.growth.spare_calls < 0:
            self.end(Outcome.CALLS, "the calls that are left do not suffice for the author's statements")
        elif self._turns_left <= 0:
            outcome = Outcome.CALLS if self._short_of_calls else Outcome.TURNS
            left = f"statement {self.growth.position + 1} of the sketch is not filled"
            self.end(outcome, f"after {bounds.turns} turns {left}")

    def _ask(self, *, again: bool = False, missing: tuple[str, ...] = ()) -> Ask:
        hole = self.growth.hole
        assert hole is not None
        return Ask(
            hole,
            max(0, self.growth.spare_calls),
            self._turns_left,
            self._may_call,
            missing,
            again,
        )

    def _finish(self) -> None:
        try:
            self._program = self.growth.finished()
        except AuthorFailed as error:
            self.end(Outcome.PROGRAM_FAILED, str(error))
            return
        self.end(Outcome.FILLED, "every hole is filled")

    def _account(self, emission: Emission) -> None:
        tokens = emission.tokens_out
        if tokens is None:
            ids = emission.tokens.ids if emission.tokens is not None else None
            tokens = len(ids) if ids is not None else len(emission.text) // 4 + 1
        self._tokens += tokens
        prompt = emission.prompt_tokens
        if prompt is None and emission.tokens is not None:
            prompt = len(emission.tokens.prompt_ids)
        if prompt is not None:
            self._prompt_tokens = (self._prompt_tokens or 0) + prompt


def shown_in_full(statement: Statement) -> str:
    """A statement as it is kept in records."""
    from genevolve.grammar.formatter import format_statement

    return format_statement(statement)


def _tried(statement: Statement) -> str:
    """What a statement does, whatever it calls the result."""
    if isinstance(statement, Let):
        return format_expression(statement.value)
    return shown_in_full(strip_comments(statement))


def _ignored(rest: tuple[Written, ...], split: Split, *, called: bool) -> str:
    if not rest and not split.wrong:
        return ""
    first = shown(rest[0].statement) if rest else one_line(split.rest, 80)
    why = "A turn ends after its first call" if called else "One statement was asked for"
    return f"{why}; what came after it was not read, from: {first}"
