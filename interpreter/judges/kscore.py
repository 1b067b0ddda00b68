"""KScore by a vision model (METHOD §2): the picture beside the ground truth, four dimensions in {0, 0.5, 1}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genevolve.interpreter.cache import CallCache
from genevolve.interpreter.judges import rubric
from genevolve.interpreter.judges.asking import content_key, judged
from genevolve.interpreter.judges.chat import VisionModel, encode
from genevolve.interpreter.judges.formulas import DIMENSIONS, Formula, kscore
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.workers import Workers


class KScoreJudge:
    """Grades with any OpenAI-compatible vision model.

    Args:
        model: who grades.
        formula: how the dimensions become one score.
        cache: earlier answers, by the pictures as they are sent, the request, the rubric and the model.
    """

    name = "kscore"

    def __init__(
        self, model: VisionModel, formula: Formula = "paper", cache: CallCache | None = None
    ) -> None:
        self.model = model
        self.formula: Formula = formula
        self._cache = cache

    @property
    def version(self) -> str:
        """The rubric, the model and the formula."""
        return f"{rubric.VERSION}:{self.model.version}:{self.formula}"

    async def score(self, case: Case) -> Verdict:
        """Ask the model; unscored without both pictures, when it declines, fails, or never answers as asked."""
        image, truth = case.image, case.ground_truth
        if image is None or truth is None:
            missing = "picture" if image is None else "ground truth"
            return Verdict(None, unscored=f"there is no {missing} to compare", judge=self._label)
        side = self.model.settings.side
        pictures = await Workers().call(
            lambda: [
                encode("Image 1 (generated):", image, side),
                encode("Image 2 (ground truth):", truth, side),
            ],
            "encode",
        )
        content = [
            {"type": "text", "text": rubric.question(case.request)},
            *(part for picture in pictures for part in picture.parts()),
        ]
        messages: list[Mapping[str, Any]] = [
            {"role": "system", "content": rubric.SYSTEM},
            {"role": "user", "content": content},
        ]
        # The formula is applied afterwards: one answer serves both.
        key = content_key(self.name, f"{rubric.VERSION}:{self.model.version}", [case.request], pictures)
        return await judged(
            self.model, self._cache, key, messages, rubric.read_answer, self._verdict, self._label
        )

    async def aclose(self) -> None:
        """Close the model's connections."""
        await self.model.aclose()

    @property
    def _label(self) -> str:
        return f"{self.name} {self.version}"

    def _verdict(self, data: Mapping[str, Any]) -> Verdict:
        dimensions: dict[str, float | None] = {name: data[name] for name in DIMENSIONS}
        constraints = "; ".join(data["hard_constraints"])
        return Verdict(
            kscore(dimensions, self.formula),
            dimensions,
            {name: value for name, value in dimensions.items() if value is not None},
            f"{data['rationale']} Checked: {constraints}.",
            judge=self._label,
        )
