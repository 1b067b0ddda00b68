"""Runs a policy on a suite: batches of rows are filled together, and drawn and judged beside it.

The journal gets a line when all rollouts of a row have ended; a process that is killed loses the rows that were in
flight, nothing else. While one batch is drawn and judged, the policy writes the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError, ServiceError
from genevolve.interpreter.judges.formulas import Formula
from genevolve.optimizer.evaluation.records import Result, Scored, rollout_record, row_record
from genevolve.optimizer.evaluation.suites import Row, Suite
from genevolve.optimizer.evaluation.workshop import Done, Wanted, Workshop
from genevolve.programs.policies.context import as_sketch
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import Card, Task, fill_many
from genevolve.programs.synthesis.rollout import Bounds, Rollout

if TYPE_CHECKING:
    from genevolve.interpreter.machine import Machine
    from genevolve.programs.batch.folder import BatchFolder
    from genevolve.programs.batch.journal import Journal
    from genevolve.programs.policies.protocol import Policy


@dataclass(frozen=True)
class Options:
    """How a suite is run.

    Attributes:
        seed: Of the first rollout of each row; the others count on from it.
        rollouts: How many of each row.
        batch: Rows whose dialogues are shown to the policy together.
        formula: How dimensions become a KScore.
        bounds: What each rollout may spend.
        card: Which language card the policy reads.
        guide: A decision guide for the system message.
    """

    seed: int = 0
    rollouts: int = 1
    batch: int = 16
    formula: Formula = "paper"
    bounds: Bounds = field(default_factory=Bounds)
    card: Card = "auto"
    guide: str | None = None


@dataclass(frozen=True)
class Tally:
    """How the rows stand; `mean` is of the scores so far in this run."""

    rows: int
    ended: int
    scored: int
    failed: int
    unscored: int
    mean: float | None


Listener = Callable[[Tally], None]


@dataclass
class _Pending:
    """A row whose rollouts are drawn and judged."""

    row: Row
    rollouts: list[Rollout]
    work: list[Future[Done] | str]
    began: float

    def ready(self) -> bool:
        return all(isinstance(w, str) or w.done() for w in self.work)


class BenchRunner:
    """Runs what is open of a suite into a folder.

    Args:
        suite: The rows.
        policy: Who writes the programs.
        machine: Where calls are executed.
        workshop: Where pictures are drawn and judged.
        folder: Where results go.
        journal: What has ended so far.
        options: How.
        on_end: Told after each row.
    """

    def __init__(
        self,
        suite: Suite,
        policy: Policy,
        machine: Machine,
        workshop: Workshop,
        folder: BatchFolder,
        journal: Journal,
        options: Options,
        on_end: Listener | None = None,
    ) -> None:
        self._suite, self._policy, self._machine, self._workshop = suite, policy, machine, workshop
        self._folder, self._journal, self._options, self._on_end = folder, journal, options, on_end
        self._states = {"scored": 0, "failed": 0, "unscored": 0}
        self._sum = 0.0
        self._pending: list[_Pending] = []

    def run(self) -> Tally:
        """Run all rows that are open, or that a service has failed; a policy's own failure is its result.

        Raises:
            ConfigurationError: A setting or key is missing.
            OperatorError: The disk is full, or the workers have died.
            KeyboardInterrupt: Ctrl-C; rows that have ended stay.
        """
        for rows in self._batches():
            self._fill(rows)
            self._collect(wait_until=len(rows))
        self._collect(wait_until=0)
        return self.tally

    @property
    def tally(self) -> Tally:
        """How the rows stand."""
        journal = self._journal
        ended = journal.count - journal.number("open")
        mean = self._sum / self._states["scored"] if self._states["scored"] else None
        return Tally(journal.count, ended, mean=mean, **self._states)

    # ---- inside ----

    def _batches(self) -> Iterator[list[Row]]:
        batch: list[Row] = []
        for row in self._suite.rows:
            if self._journal.state(row.index) in ("done", "input"):
                continue
            if row.problem:
                self._write(row, [_unusable(row.problem, self._options.seed)], 0.0)
                continue
            batch.append(row)
            if len(batch) == self._options.batch:
                yield batch
                batch = []
        if batch:
            yield batch

    def _fill(self, rows: Sequence[Row]) -> None:
        options = self._options
        usable: list[tuple[Row, Task, Wanted]] = []
        seeds = tuple(range(options.seed, options.seed + options.rollouts))
        for row in rows:
            try:
                truth = self._suite.truth_path(row)
                sketch = Program.parse(as_sketch(row.request), f"{row.name}.gprog")
            except AuthorError as error:
                self._write(row, [_unusable(str(error), options.seed)], 0.0)
                continue
            wanted = Wanted(row.request, row.id, row.category, row.constraints, truth)
            usable.append((row, Task(sketch, seeds, options.guide, id=row.id), wanted))
        began = time.monotonic()
        filled = fill_many(
            [task for _, task, _ in usable],
            self._policy,
            self._machine,
            bounds=options.bounds,
            card=options.card,
        )
        for (row, _, wanted), rollouts in zip(usable, filled, strict=True):
            work = [self._begin(rollout, wanted) for rollout in rollouts]
            self._pending.append(_Pending(row, list(rollouts), work, began))

    def _begin(self, rollout: Rollout, wanted: Wanted) -> Future[Done] | str:
        if rollout.program is None or rollout.session is None:
            return f"{rollout.outcome.value}: {rollout.reason}"
        return self._workshop.take(rollout.session, rollout.program.tree, wanted)

    def _collect(self, *, wait_until: int) -> None:
        """Write down the rows that are ready, and wait until no more than so many are not."""
        while len(self._pending) > wait_until:
            self._finish(self._pending.pop(0))
        waiting = []
        for pending in self._pending:
            if pending.ready():
                self._finish(pending)
            else:
                waiting.append(pending)
        self._pending = waiting

    def _finish(self, pending: _Pending) -> None:
        from concurrent.futures.process import BrokenProcessPool

        scored: list[Scored] = []
        for rollout, work in zip(pending.rollouts, pending.work, strict=True):
            if isinstance(work, str):
                scored.append(rollout_record(rollout, None, "", self._options.formula, work))
                continue
            try:
                done = work.result()
            except BrokenProcessPool as error:
                raise ServiceError(
                    "a process that draws and judges has died; is there enough memory?"
                ) from error
            picture = ""
            if done.png is not None:
                many = self._options.rollouts > 1
                name = f"{pending.row.name}-{rollout.seed}" if many else pending.row.name
                picture = self._folder.write_picture(name, done.png)
            scored.append(rollout_record(rollout, done, picture, self._options.formula))
        self._write(pending.row, scored, time.monotonic() - pending.began)

    def _write(self, row: Row, scored: Sequence[Scored], seconds: float) -> None:
        facts: dict[str, Any] = {"seconds": round(seconds, 3), "attempts": self._journal.tries(row.index) + 1}
        record = row_record(row, scored, facts)
        self._journal.append(row.index, record)
        result = Result(row.id, row.request, rollouts=tuple(scored))
        self._states[result.state] += 1
        self._sum += result.score or 0.0
        if self._on_end is not None:
            self._on_end(self.tally)


def _unusable(problem: str, seed: int) -> Scored:
    return Scored(seed, "failed", reason=problem, outcome="row cannot be used")
