"""The reward of a trajectory: R = (1 − α)·R_img + α·R_text (METHOD §2).

R_img is what a judge says of the picture (KScore by a named formula), R_text how sufficient the program is. A
trajectory without a program, or whose program gave no picture, earned 0: that is its own doing. Where a judge or a
service failed there is no reward at all, and nothing is learned from the trajectory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genevolve.experience_store.experience import RewardParts
from genevolve.interpreter.judges.formulas import DIMENSIONS, Formula, kscore

if TYPE_CHECKING:
    from genevolve.interpreter.judges.protocol import Verdict

ALPHA = 0.5


def reward_of(
    picture: Verdict, program: Verdict, *, alpha: float = ALPHA, formula: Formula = "paper"
) -> RewardParts | None:
    """The reward of a picture and its program with all its parts; None when either judge could not tell.

    Raises:
        ValueError: `alpha` is not in [0, 1].
    """
    _check(alpha)
    if picture.score is None or program.score is None:
        return None
    known = {name: picture.dimensions.get(name) for name in DIMENSIONS}
    judged = all(name in picture.dimensions for name in DIMENSIONS) and all(
        known[name] is not None for name in DIMENSIONS if name != "text_accuracy"
    )
    image = kscore(known, formula) if judged else picture.score
    return RewardParts(
        total=(1 - alpha) * image + alpha * program.score,
        image=image,
        text=program.score,
        faithfulness=known["faithfulness"],
        visual_correctness=known["visual_correctness"],
        text_accuracy=known["text_accuracy"],
        aesthetics=known["aesthetics"],
        text_accuracy_na=judged and known["text_accuracy"] is None,
        scoring=formula,
    )


def nothing_earned(formula: Formula = "paper") -> RewardParts:
    """The reward of a trajectory that ended without a picture by its own fault."""
    return RewardParts(total=0.0, image=0.0, text=0.0, scoring=formula)


def _check(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a share in [0, 1], not {alpha}")
