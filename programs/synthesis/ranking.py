"""Which of several rollouts is kept when nobody has seen a picture yet.

Without a ground truth there is no knowing which program is best. What can be seen in the programs alone is used, in
this order: filled before unfilled; no warning before some; a better score of sufficiency, where that judge is
installed; fewer hints; fewer calls; fewer turns; the lower seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.grammar.diagnostics import Severity
from genevolve.programs.synthesis.rollout import Rollout


def best(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The one rollout to keep, in a list; empty when none was filled."""
    filled = [r for r in rollouts if r.filled]
    return [min(filled, key=rank)] if filled else []


def rank(rollout: Rollout) -> tuple[float, ...]:
    """Sorts rollouts, better ones first."""
    warnings = hints = 0
    if rollout.program is not None and rollout.session is not None:
        for d in rollout.program.check(rollout.session.scope.environment).diagnostics:
            warnings += d.severity is Severity.WARNING
            hints += d.severity is Severity.HINT
    return (
        not rollout.filled,
        warnings,
        hints,
        rollout.cost.calls,
        rollout.cost.turns,
        rollout.seed,
    )
