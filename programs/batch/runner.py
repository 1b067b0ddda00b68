"""Runs the rows of a batch, several at a time on one machine, and writes down each as it ends.

A row that fails ends with its reason; what ends the batch is a wrong setting, a full disk, the limit of money, or
whoever runs it. Rows that have not ended stay open, and a later run with `--resume` does them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, Cancelled, GenevolveError
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.run import Run
from genevolve.interpreter.workers import Workers
from genevolve.programs.batch.cost import Grant, Purse
from genevolve.programs.batch.folder import BatchFolder
from genevolve.programs.batch.journal import Journal
from genevolve.programs.batch.outcome import (
    Failure,
    Watch,
    configuration_error,
    failed,
    failure_of,
    finished,
)
from genevolve.programs.batch.work import Job, Work

_LAST_MOMENT = 1.0
"""Seconds that a row whose picture is there gets to write it down when the batch is stopped."""


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are run.

    `parallel` rows at a time; `render` whether pictures are made; `max_cost` what the batch may cost in all, rows of
    earlier runs included; `renderer_price` of one picture; `retries` how often the machine tries a failed call again;
    `records` the folder for run records, if they are kept.
    """

    parallel: int = 4
    render: bool = True
    max_cost: float | None = None
    renderer_price: float = 0.0
    retries: int = 2
    records: Path | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How the rows of a batch stand. `here` have ended in this run; `cost` is of all runs."""

    rows: int
    done: int
    failed_by_input: int
    failed_by_service: int
    here: int
    cost: float
    stopped_by_cost: bool = False

    @property
    def failed(self) -> int:
        """Rows that ended with a reason instead of a result."""
        return self.failed_by_input + self.failed_by_service

    @property
    def open(self) -> int:
        """Rows that have not ended."""
        return self.rows - self.done - self.failed


class BatchRunner:
    """Runs `work` on `machine` into `folder`.

    Args:
        machine: runs the programs; it is shared by all rows.
        work: the rows.
        folder: where results go.
        journal: what has ended so far.
        options: how rows are run.
        on_end: told each time a row has ended, with its record.
    """

    def __init__(
        self,
        machine: Machine,
        work: Work,
        folder: BatchFolder,
        journal: Journal,
        options: Options,
        on_end: Callable[[Tally, dict[str, Any]], None] | None = None,
    ) -> None:
        self._machine = machine
        self._work = work
        self._folder = folder
        self._journal = journal
        self._options = options
        self._on_end = on_end
        self._workers = Workers()
        self._here = 0
        self._stopped = False

    @property
    def tally(self) -> Tally:
        """How the rows stand now."""
        journal = self._journal
        return Tally(
            rows=journal.count,
            done=journal.number("done"),
            failed_by_input=journal.number("input"),
            failed_by_service=journal.number("service"),
            here=self._here,
            cost=journal.money,
            stopped_by_cost=self._stopped,
        )

    async def run(self) -> Tally:
        """Run all rows that are open or failed; returns how the rows stand then.

        Raises:
            ConfigurationError: a setting or a key is missing or wrong; the row that met it stays open.
            AuthorError: the input has changed since it was looked at.
            StorageError: results cannot be written.

        When it is cancelled it ends within two seconds; rows whose pictures are there are written down.
        """
        self._purse = Purse(self._options.max_cost, self._journal.money)
        jobs = self._work.jobs(lambda index: self._journal.state(index) != "done")
        tasks = [asyncio.create_task(self._worker(jobs)) for _ in range(max(1, self._options.parallel))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # A batch that ends early is still in the middle of its rows, with their file open.
            jobs.close()
        return self.tally

    # ---- one row ---------------------------------------------------------------------------------

    async def _worker(self, jobs: Iterator[Job]) -> None:
        while not self._stopped and (job := next(jobs, None)) is not None:
            if job.problem is not None:
                self._refuse(job)
                await asyncio.sleep(0)  # a file of bad rows must not keep the loop from its other work
                continue
            render = self._options.renderer_price if self._options.render else 0.0
            grant = await self._purse.reserve(job.bound, render, job.bound * self._options.retries)
            if grant is None:
                self._stopped = True
                return
            watch, cost = Watch(), 0.0
            try:
                cost = await self._row(job, grant, watch)
            finally:
                await self._purse.settle(grant, cost)

    def _refuse(self, job: Job) -> None:
        assert job.problem is not None
        if self._journal.tries(job.index):  # the same row, refused for the same reason
            return
        failure = Failure(job.problem.code, job.problem.message, job.where, "input")
        self._write(job, failed(job, failure, self._facts(job, 0.0, 0.0)))

    async def _row(self, job: Job, grant: Grant, watch: Watch) -> float:
        """Run a row and write down how it ended; what it cost."""
        assert job.checked is not None
        began = time.monotonic()
        machine, options = self._machine, self._options
        try:
            run = await machine.run(
                job.checked,
                job.values,
                render=options.render,
                record=None if options.records is None else options.records / job.name,
                budget=replace(machine.budget, money=self._money(grant)),
                listener=watch,
            )
        except Cancelled:
            raise
        except GenevolveError as error:
            wrong = configuration_error(error)
            if wrong is not None:
                raise wrong from error
            cost = self._cost(watch)
            facts = self._facts(job, time.monotonic() - began, cost)
            self._write(job, failed(job, failure_of(job, error), facts))
            return cost
        writing = asyncio.create_task(self._deliver(job, run, began, watch))
        # When another row has ended the batch (a full disk), nobody asks any more how this one went.
        writing.add_done_callback(_seen)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing}, timeout=_LAST_MOMENT)
            raise

    async def _deliver(self, job: Job, run: Run, began: float, watch: Watch) -> float:
        """Write the picture, copies of the references, and then the record that tells of them."""
        cost = self._cost(watch)
        try:
            picture, references = await self._workers.call(lambda: self._store(job, run), "batch")
        except OSError as error:  # a reference that went away; our own files raise StorageError
            gone = Failure("GP413", f"a reference image cannot be read any more: {error}", job.where, "input")
            self._write(job, failed(job, gone, self._facts(job, time.monotonic() - began, cost)))
        except AuthorError as error:
            facts = self._facts(job, time.monotonic() - began, cost)
            self._write(job, failed(job, failure_of(job, error), facts))
        else:
            facts = self._facts(job, time.monotonic() - began, cost)
            self._write(job, finished(job, run, picture, references, facts))
        return cost

    def _store(self, job: Job, run: Run) -> tuple[str, list[tuple[str, str]]]:
        kept = [self._folder.keep_reference(image) for image in run.references]
        references = [(path, str((self._folder.path / path).absolute())) for path in kept]
        picture = "" if run.image is None else self._folder.write_picture(job.name, run.png)
        return picture, references

    def _write(self, job: Job, record: dict[str, Any]) -> None:
        self._journal.append(job.index, record)
        self._here += 1
        if self._on_end is not None:
            self._on_end(self.tally, record)

    # ---- money -----------------------------------------------------------------------------------

    def _money(self, grant: Grant) -> float | None:
        limit = self._machine.budget.money
        if self._options.max_cost is None:
            return limit
        return grant.calls if limit is None else min(limit, grant.calls)

    def _cost(self, watch: Watch) -> float:
        return watch.money + (self._options.renderer_price if watch.rendered else 0.0)

    def _facts(self, job: Job, seconds: float, cost: float) -> dict[str, Any]:
        return {
            "seconds": round(seconds, 6),
            "attempts": self._journal.tries(job.index) + 1,
            "cost": round(cost, 9),
        }


def _seen(task: asyncio.Task[float]) -> None:
    if not task.cancelled():
        task.exception()
