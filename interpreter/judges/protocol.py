"""What a judge is: it compares a picture with what was asked for, and says in parts how good it is.

A judge that cannot tell says so (`Verdict.unscored`); that never counts as a bad score.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from PIL.Image import Image

    from genevolve.grammar.tree import Tree
    from genevolve.grammar.z import Constraint, Z
    from genevolve.interpreter.values import Value


@dataclass(frozen=True)
class Case:
    """Everything that a judge may look at. Which of it a judge needs is its own business.

    Attributes:
        request: What was asked for.
        image: The picture, RGB; None when there is none (a failed run).
        ground_truth: The picture that meets the request, RGB; None when there is none.
        constraints: What the ground truth is known to hold (not what the program claims).
        z: What the generator was given.
        tree: The program, for judges of programs.
        values: What its names stand for: observations by name.
        id: Of the request, for caches and reports.
        category: Of the request, when it has one.
    """

    request: str
    image: Image | None = None
    ground_truth: Image | None = None
    constraints: tuple[Constraint, ...] = ()
    z: Z | None = None
    tree: Tree | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    id: str = ""
    category: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a judge says.

    Attributes:
        score: In [0, 1]; None when the judge could not tell.
        dimensions: Score of each dimension; None for one that does not apply (no text was asked for).
        parts: What the dimensions were made of, check by check, each in [0, 1].
        rationale: Why, in sentences.
        unscored: Why there is no score; empty when there is one.
        cost: Money, in the operator's currency.
        judge: Name and version of who judged.
    """

    score: float | None
    dimensions: Mapping[str, float | None] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    rationale: str = ""
    unscored: str = ""
    cost: float = 0.0
    judge: str = ""


@runtime_checkable
class Judge(Protocol):
    """Scores one case. A plain method is run in a worker thread; it must be safe to call from several."""

    @property
    def name(self) -> str:
        """How it is called in settings and reports."""

    @property
    def version(self) -> str:
        """What its verdicts depend on: a model, a rubric, thresholds."""

    def score(self, case: Case) -> Verdict | Awaitable[Verdict]:
        """Judge it. Failures of a model or service are an unscored verdict, never 0 and never an exception."""
