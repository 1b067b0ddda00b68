"""The second stage: what a teacher does about each request.

A row is one rollout, whole: its dialogue and turns, the program, z, what the calls observed, the references. The next
stage needs no machine to judge it, and training needs nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError, ProgramError, ServiceError
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.values import to_json
from genevolve.optimizer.data.folder import DataFolder, StageInfo, journal_rows
from genevolve.programs.policies.context import as_sketch
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import Task, fill_many
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout

if TYPE_CHECKING:
    from genevolve.interpreter.machine import Machine
    from genevolve.programs.batch.journal import Journal
    from genevolve.programs.policies.protocol import Policy

STAGE = "trajectories"
COPIED = ("track", "category", "difficulty", "eval_type", "skills", "constraints", "entities", "gt_image")
Progress = Callable[[int, int], None]


def make(
    data: DataFolder,
    policy: Policy,
    machine: Machine,
    *,
    rollouts: int = 1,
    seed: int = 0,
    bounds: Bounds | None = None,
    batch: int = 16,
    restart: bool = False,
    progress: Progress | None = None,
) -> StageInfo:
    """Have a policy answer every request.

    Args:
        data: Where requests are and trajectories go.
        policy: The teacher.
        machine: Where its calls are executed.
        rollouts: Of each request, with the seeds `seed`, `seed + 1`, …
        seed: The first.
        bounds: What each rollout may spend.
        batch: Requests whose dialogues the policy is shown together.
        restart: Whether what an earlier process left is dropped.
        progress: Told how many requests are done, of how many.

    Raises:
        AuthorError: There are no requests, or other trajectories are under way.
        ServiceError: The policy failed for whole requests; what was done is kept.
    """
    requests = list(data.rows("requests"))
    limits = bounds or Bounds()
    settings = _settings(policy, rollouts, seed, limits)
    if not restart and (same := data.current(STAGE, settings, ("requests",))) is not None:
        return same
    with data.under_way(STAGE, len(requests), settings, ("requests",), restart=restart) as journal:
        for chosen in _batches(journal, batch):
            seeds = tuple(range(seed, seed + rollouts))
            tasks = [Task(Program.parse(as_sketch(requests[i]["prompt"])), seeds) for i in chosen]
            for index, found in zip(chosen, fill_many(tasks, policy, machine, bounds=limits), strict=True):
                journal.append(index, _record(requests[index], found))
            if progress is not None:
                progress(journal.number("done"), len(requests))
        if journal.number("done") < len(requests):
            failed = len(requests) - journal.number("done")
            raise ServiceError(
                f"the policy failed for {failed} of {len(requests)} requests; run it again to go on"
            )
        rows = list(journal_rows(journal, lambda record: record["rows"]))
    info = data.write(STAGE, rows, settings=settings, inputs=("requests",), yields=_yields(rows))
    data.forget_journal(STAGE)
    return info


def _settings(policy: Policy, rollouts: int, seed: int, bounds: Bounds) -> dict[str, Any]:
    return {
        "policy": {"name": policy.name, "version": policy.version},
        "rollouts": rollouts,
        "seed": seed,
        "bounds": {"turns": bounds.turns, "calls": bounds.calls, "tokens": bounds.tokens},
        "sampling": {"temperature": bounds.turn.temperature, "top_p": bounds.turn.top_p},
    }


def _batches(journal: Journal, size: int) -> Iterator[list[int]]:
    """Places of the requests that are not done, so many at a time."""
    left = [i for i in range(journal.count) if journal.state(i) != "done"]
    for start in range(0, len(left), size):
        yield left[start : start + size]


def _record(request: Mapping[str, Any], rollouts: Sequence[Rollout]) -> dict[str, Any]:
    """The journal's record of a request: done unless a service has failed."""
    failed = next((r for r in rollouts if r.outcome is Outcome.POLICY_FAILED), None)
    if failed is not None:
        return {"success": False, "error": {"kind": "service", "message": failed.reason}, "rows": []}
    return {"success": True, "rows": [row_of(request, rollout) for rollout in rollouts]}


def row_of(request: Mapping[str, Any], rollout: Rollout) -> dict[str, Any]:
    """A rollout as a row: the request's facts, the rollout, and what its program came to."""
    row: dict[str, Any] = {
        "id": f"{request['id']}#{rollout.seed}",
        "request_id": request["id"],
        "prompt": request["prompt"],
        **{name: request[name] for name in COPIED if name in request},
        "filled": rollout.filled,
        "outcome": rollout.outcome.value,
        "reason": rollout.reason,
        "program": rollout.partial if rollout.program is None else rollout.program.source,
        "z": None,
        "references": [],
        "values": {},
        "rollout": rollout.to_dict(),
    }
    if rollout.program is None or rollout.session is None:
        return row
    try:
        run = blocking(rollout.session.finish())
    except (
        AuthorError,
        ProgramError,
    ) as error:  # a reference that cannot be opened, a prompt that is too long
        return {**row, "filled": False, "outcome": "not elaborated", "reason": str(error)}
    return {
        **row,
        "z": run.z.to_dict(),
        "references": [to_json(image) for image in run.references],
        "values": {name: to_json(value) for name, value in run.values.items()},
    }


def _yields(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    outcomes = Counter(str(row["outcome"]) for row in rows)
    return {
        "rollouts": len(rows),
        "filled": sum(bool(r["filled"]) for r in rows),
        **dict(outcomes.most_common()),
    }
