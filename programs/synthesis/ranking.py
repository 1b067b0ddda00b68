"""Which of several rollouts is kept when nobody has seen a picture yet.

Without a ground truth there is no knowing which program is best. What can be seen in the programs alone is used, in
this order: filled before unfilled; the level of sufficiency, as the rules of `judges.sufficiency` find it (grounded
facts, references, skills, constraints); fewer warnings; fewer hints; fewer calls; fewer turns; the lower seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genevolve.grammar.diagnostics import Severity
from genevolve.grammar.errors import GenevolveError
from genevolve.programs.synthesis.rollout import Rollout


@dataclass(frozen=True)
class Ranked:
    """A rollout and what it was ranked by. `sufficiency` is None when the judge could not tell."""

    rollout: Rollout
    sufficiency: float | None
    warnings: int
    hints: int

    @property
    def key(self) -> tuple[float, ...]:
        """Sorts better ones first."""
        level = -1.0 if self.sufficiency is None else self.sufficiency
        cost = self.rollout.cost
        return (
            not self.rollout.filled,
            -level,
            self.warnings,
            self.hints,
            cost.calls,
            cost.turns,
            self.rollout.seed,
        )


async def ranked(rollouts: Sequence[Rollout]) -> list[Ranked]:
    """The rollouts, better ones first."""
    return sorted([await _looked_at(r) for r in rollouts], key=lambda r: r.key)


async def best(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The one rollout to keep, in a list; empty when none was filled."""
    return [r.rollout for r in (await ranked(rollouts))[:1] if r.rollout.filled]


async def _looked_at(rollout: Rollout) -> Ranked:
    if rollout.program is None or rollout.session is None:
        return Ranked(rollout, None, 0, 0)
    found = rollout.program.check(rollout.session.scope.environment).diagnostics
    warnings = sum(d.severity is Severity.WARNING for d in found)
    hints = sum(d.severity is Severity.HINT for d in found)
    return Ranked(rollout, await _sufficiency(rollout), warnings, hints)


async def _sufficiency(rollout: Rollout) -> float | None:
    from genevolve.interpreter.judges.protocol import Case
    from genevolve.interpreter.judges.sufficiency import SufficiencyJudge

    assert rollout.program is not None
    assert rollout.session is not None
    try:
        run = await rollout.session.finish()
    except GenevolveError:  # a reference's file is gone, a disk is full: no level, and no reason to fail
        return None
    case = Case(run.z.request, z=run.z, tree=rollout.program.tree, values=run.values)
    return SufficiencyJudge().score(case).score
