"""What a step leaves in the run folder: a line of figures, a line for each request, the best and the worst picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genevolve.optimizer.compiling import durable
from genevolve.programs.batch.names import safe_name

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment
    from genevolve.optimizer.compiling.folder import RunFolder
    from genevolve.optimizer.compiling.gate import About
    from genevolve.optimizer.evolution import Group, Scored
    from genevolve.optimizer.training import StepRecord


def write_step(folder: RunFolder, record: StepRecord, about: Mapping[str, About], *, pictures: bool) -> None:
    """Append what a step made. Pictures come first: a line never names one that is not there.

    Raises:
        StorageError: The disk is full.
    """
    lines = [_group_line(folder, record.step, group, about, pictures) for group in record.made.groups]
    folder.groups.append(lines)
    figures = {name: value for name, value in record.figures.items() if math.isfinite(value)}
    seconds = figures.get("seconds/step", 0.0)
    folder.steps.append([{"step": record.step, "seconds": round(seconds, 3), "figures": figures}])


def extremes(scored: Sequence[Scored]) -> tuple[Scored | None, Scored | None]:
    """The best and the worst of a group; the earlier of equals, and no worst where it would be the best itself."""
    known = [s for s in scored if s.total is not None]
    if not known:
        return None, None
    best = max(known, key=lambda s: s.total or 0.0)
    worst = min(known, key=lambda s: s.total or 0.0)
    return best, None if worst is best else worst


def money_of(record: StepRecord, environment: Environment, picture: float) -> float:
    """What the calls and pictures of a step cost at the most, by the prices of the settings.

    Calls whose answers were kept from before cost nothing, so less may have been spent.

    Args:
        record: The step.
        environment: Knows the prices of tools.
        picture: Price of one picture.
    """
    from genevolve.interpreter.plan import plan
    from genevolve.programs.program import Program

    if not picture and not any(s.price for s in environment.signatures.values()):
        return 0.0
    spent = 0.0
    for scored in (s for group in record.made.groups for s in group.scored):
        rollout = scored.rollout
        program = rollout.program if rollout.program is not None else Program.parse(rollout.partial)
        spent += plan(program.checked(environment)).price + picture * rollout.filled
    return spent


def _group_line(
    folder: RunFolder, step: int, group: Group, about: Mapping[str, About], pictures: bool
) -> dict[str, Any]:
    wanted = group.request.wanted
    best, worst = extremes(group.scored)
    known = about.get(wanted.id)
    return {
        "step": step,
        "request": {
            "id": wanted.id,
            "prompt": wanted.request,
            "category": wanted.category,
            "track": "" if known is None else known.track,
        },
        "rewards": [s.total for s in group.scored],
        "learned": group.learned,
        "similarity": group.similarity,
        "guided": group.guide is not None,
        "experience": group.experience,
        "degenerate": group.degenerate,
        "best": _told(folder, step, wanted.id, "best", best, pictures),
        "worst": _told(folder, step, wanted.id, "worst", worst, pictures),
    }


def _told(
    folder: RunFolder, step: int, id: str, which: str, scored: Scored | None, pictures: bool
) -> dict[str, Any] | None:
    if scored is None or scored.reward is None:
        return None
    path = None
    if pictures and scored.png is not None:
        file = folder.step_pictures(step) / f"{safe_name(id)}-{which}.png"
        durable.write(file, scored.png)
        path = file.relative_to(folder.path).as_posix()
    rollout = scored.rollout
    return {
        "reward": scored.reward.to_dict(),
        "program": rollout.partial if rollout.program is None else rollout.program.source,
        "picture": path,
        "why": " ".join(scored.why.split())[:500],
    }
