"""What a bench writes of a row, and what it reads again: the record of one row with all its rollouts.

A record is what upstream's scripts read (`output_path`, `success`, `scores` with the four dimensions and
`text_accuracy_na`), and more: how the policy fared, the parts of the verdict, the program. What is read again may have
been edited by anyone: nothing in it is trusted but its shape, which is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.judges.formulas import DIMENSIONS, Formula, kscore
from genevolve.optimizer.evaluation.suites import Row

if TYPE_CHECKING:
    from genevolve.optimizer.evaluation.workshop import Done
    from genevolve.programs.synthesis.rollout import Rollout

State: TypeAlias = Literal["scored", "failed", "unscored"]
NEUTRAL_TEXT = 0.5
"""What upstream writes for `text_accuracy` when no text is asked for."""
_LONGEST = 4_000


@dataclass(frozen=True)
class Scored:
    """One rollout of a row.

    Attributes:
        seed: Of its dialogue.
        state: `scored`, `failed` (there is no picture) or `unscored` (the judge could not tell).
        score: In [0, 1]; None unless scored.
        dimensions: Scores of the judge's dimensions; None for one that does not apply.
        parts: Check by check.
        reason: Why it failed or is unscored; else what the judge said.
        outcome: How the policy ended.
        picture: Path inside the results folder; empty without one.
        program: Its text.
        kind: Whom a failure concerns: `input` or `service`.
        cost: Turns, calls, tokens, seconds.
    """

    seed: int
    state: State
    score: float | None = None
    dimensions: Mapping[str, float | None] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    outcome: str = ""
    picture: str = ""
    program: str = ""
    prompt: str = ""
    kind: str = "input"
    cost: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "seed": self.seed,
            "state": self.state,
            "score": self.score,
            "dimensions": dict(self.dimensions),
            "parts": dict(self.parts),
            "reason": self.reason,
            "outcome": self.outcome,
            "picture": self.picture,
            "program": self.program,
            "prompt": self.prompt,
            "kind": self.kind,
            "cost": dict(self.cost),
        }


@dataclass(frozen=True)
class Result:
    """A row and its rollouts, as summaries and reports read it."""

    id: str
    request: str
    track: str = ""
    category: str = ""
    difficulty: str = ""
    eval_type: str = ""
    skills: tuple[str, ...] = ()
    truth: str = ""
    constraints: tuple[tuple[str, str, str], ...] = ()
    rollouts: tuple[Scored, ...] = ()

    @property
    def state(self) -> State:
        """`scored` when a rollout is; else `failed` when one failed; else `unscored`."""
        states = {r.state for r in self.rollouts}
        return (
            "scored" if "scored" in states else "failed" if "failed" in states or not states else "unscored"
        )

    @property
    def score(self) -> float | None:
        """The mean of its scored rollouts; None when none is."""
        return _mean([r.score for r in self.rollouts if r.score is not None])

    @property
    def missing_as_zero(self) -> float | None:
        """As `score`, with failures as 0; what the judge could not tell is still left out."""
        known = [r.score if r.state == "scored" else 0.0 for r in self.rollouts if r.state != "unscored"]
        return _mean([v for v in known if v is not None])

    def dimension(self, name: str) -> float | None:
        """The mean of a dimension over the rollouts that have it."""
        found = [r.dimensions.get(name) for r in self.rollouts if r.state == "scored"]
        return _mean([v for v in found if v is not None])


def rollout_record(
    rollout: Rollout, done: Done | None, picture: str, formula: Formula, reason: str = ""
) -> Scored:
    """What is kept of one rollout: the policy's end, the picture's, the judge's."""
    from dataclasses import asdict

    cost = {k: v for k, v in asdict(rollout.cost).items() if v is not None}
    common: dict[str, Any] = {
        "seed": rollout.seed,
        "outcome": rollout.outcome.value,
        "program": rollout.partial if rollout.program is None else rollout.program.source,
        "cost": {k: round(v, 4) for k, v in cost.items()},
    }
    if done is None:
        kind = "service" if rollout.outcome.name in ("POLICY_FAILED", "STOPPED") else "input"
        why = reason or f"{rollout.outcome.value}: {rollout.reason}"
        return Scored(state="failed", reason=_short(why), kind=kind, **common)
    prompt = "" if done.z is None else done.z.gen_prompt
    if done.png is None:
        return Scored(state="failed", reason=_short(done.error), kind=done.kind, prompt=prompt, **common)
    verdict = done.verdict
    if verdict is None or verdict.score is None:
        why = "there is no judge" if verdict is None else verdict.unscored or "the judge gave no score"
        return Scored(
            state="unscored", reason=_short(why), kind="service", picture=picture, prompt=prompt, **common
        )
    dimensions = {k: v for k, v in verdict.dimensions.items() if v is None or math.isfinite(v)}
    return Scored(
        state="scored",
        score=score_of(dimensions, verdict.score, formula),
        dimensions=dimensions,
        parts=dict(verdict.parts),
        reason=_short(verdict.rationale),
        picture=picture,
        prompt=prompt,
        **common,
    )


def score_of(dimensions: Mapping[str, float | None], otherwise: float, formula: Formula) -> float:
    """KScore by the formula where the four dimensions are known; else what the judge itself says."""
    if set(DIMENSIONS) <= set(dimensions) and all(
        dimensions[n] is not None for n in DIMENSIONS if n != "text_accuracy"
    ):
        return kscore(dimensions, formula)
    return round(min(1.0, max(0.0, otherwise)), 6)


def row_record(row: Row, rollouts: Sequence[Scored], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The line of a row. `success` tells the journal whether it is done; `image_status` whether there is a picture."""
    first = next((r for r in rollouts if r.picture), rollouts[0])
    result = Result(row.id, row.request, rollouts=tuple(rollouts))
    service = any(r.kind == "service" and r.state != "scored" for r in rollouts)
    finished = all(r.state == "scored" for r in rollouts)
    error = None
    if not finished:
        worst = next(r for r in rollouts if r.state != "scored")
        error = {
            "code": worst.outcome or worst.state,
            "message": worst.reason,
            "kind": "service" if service else "input",
        }
    constraints = [
        {"kind": c.kind, "arguments": dict(c.arguments), "skill": skill}
        for c, skill in zip(
            row.constraints, row.constraint_skills or ("",) * len(row.constraints), strict=True
        )
    ]
    return {
        **row.to_dict(),
        "constraints": constraints,
        "gen_prompt": first.prompt,
        "output_path": first.picture,
        "image_path": first.picture,
        "image_status": "ok" if first.picture else f"error: {first.reason}",
        "success": finished,
        "eval_success": result.state == "scored",
        "state": result.state,
        "score": result.score,
        "scores": scores_of(result),
        "error": error,
        "rollouts": [r.to_dict() for r in rollouts],
        **facts,
    }


def scores_of(result: Result) -> dict[str, Any] | None:
    """The object `scores` as upstream writes it; None when nothing is scored or the judge has other dimensions."""
    if result.score is None:
        return None
    found: dict[str, Any] = {name: result.dimension(name) for name in DIMENSIONS}
    if any(found[n] is None for n in DIMENSIONS if n != "text_accuracy"):
        return None
    absent = found["text_accuracy"] is None
    if absent:
        found["text_accuracy"] = NEUTRAL_TEXT
    said = next(r.reason for r in result.rollouts if r.state == "scored")
    return {"rationale": said, **found, "text_accuracy_na": absent, "overall": result.score}


# ---- reading again -----------------------------------------------------------------------------------


def read_results(path: Path, formula: Formula | None = None) -> list[Result]:
    """The rows of a results file.

    Args:
        path: `output.jsonl` of a results folder.
        formula: Compute KScores anew by this formula.

    Raises:
        AuthorError: There is no such file, or a line is no record of a bench.
        StorageError: It cannot be read.
    """
    found = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    found.append(_result(json.loads(line), formula))
                except (KeyError, TypeError, ValueError, RecursionError) as error:
                    raise AuthorError(f"{path}:{number}: this is no record of a bench: {error}") from error
    except FileNotFoundError:
        raise AuthorError(f"{path.parent} holds no results of a bench: it has no {path.name}") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    return found


def _result(data: Mapping[str, Any], formula: Formula | None) -> Result:
    texts = {name: str(data.get(name, "")) for name in ("track", "category", "difficulty", "eval_type")}
    constraints = tuple(
        (str(c["kind"]), _constraint_text(c), str(c.get("skill", ""))) for c in data.get("constraints", [])
    )
    return Result(
        id=str(data["id"]),
        request=str(data["prompt"]),
        skills=tuple(str(s) for s in data.get("skills", [])),
        truth=str(data.get("gt_image", "")),
        constraints=constraints,
        rollouts=tuple(_scored(r, formula) for r in data["rollouts"]),
        **texts,
    )


def _scored(data: Mapping[str, Any], formula: Formula | None) -> Scored:
    state = data["state"]
    if state not in ("scored", "failed", "unscored"):
        raise ValueError(f"a rollout is scored, failed or unscored, not {state!r}")
    dimensions = {str(k): None if v is None else _share(v) for k, v in data["dimensions"].items()}
    score = _share(data["score"]) if state == "scored" else None
    if score is not None and formula is not None:
        score = score_of(dimensions, score, formula)
    texts = {n: str(data.get(n, "")) for n in ("reason", "outcome", "picture", "program", "prompt", "kind")}
    cost = {str(k): float(v) for k, v in data.get("cost", {}).items()}
    parts = {str(k): _share(v) for k, v in data.get("parts", {}).items()}
    return Scored(int(data["seed"]), state, score, dimensions, parts, cost=cost, **texts)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"a score is from 0 to 1, not {value!r:.40}")
    return float(value)


def _constraint_text(data: Mapping[str, Any]) -> str:
    from genevolve.grammar.z import Constraint

    return str(Constraint(str(data["kind"]), dict(data["arguments"])))


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
