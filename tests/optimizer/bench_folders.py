"""Results folders written by hand, for tests of figures, comparisons and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from genevolve.grammar.z import Constraint
from genevolve.optimizer.evaluation.records import Scored, row_record
from genevolve.optimizer.evaluation.suites import Row

DIMENSIONS = {"faithfulness": 1.0, "visual_correctness": 0.5, "text_accuracy": None, "aesthetics": 1.0}


def row(index: int, **changes: Any) -> Row:
    """A row of a suite."""
    facts: dict[str, Any] = {
        "id": f"q{index}",
        "request": f"Request number {index}.",
        "track": "knowledge" if index % 2 else "quality",
        "category": "festival",
        "difficulty": "easy",
        "eval_type": "studio",
        "skills": ("quantity_counting",),
        "constraints": (Constraint("count", {"what": "star", "operator": "==", "n": 3}),),
        "constraint_skills": ("quantity_counting",),
    }
    return Row(index, **{**facts, **changes})


def scored(score: float, dimensions: Mapping[str, float | None] = DIMENSIONS, **changes: Any) -> Scored:
    """A rollout with a score."""
    facts: dict[str, Any] = {
        "parts": {"count(what='star', operator='==', n=3)": score},
        "outcome": "filled",
        "reason": "It was looked at.",
        "prompt": "Three stars.",
        "program": 'request "x"\n',
    }
    return Scored(0, "scored", score, dimensions, **{**facts, **changes})


FAILED = Scored(0, "failed", reason="garbage: nothing could be read", outcome="garbage")
UNSCORED = Scored(
    0, "unscored", reason="the judge declined", outcome="filled", kind="service", picture="images/x.png"
)


def write_folder(
    folder: Path,
    rows: Sequence[tuple[Row, Sequence[Scored]]],
    *,
    policy: str = "bare",
    digest: str = "d",
    judge: str = "j",
) -> Path:
    """A results folder, as a bench leaves it before its figures."""
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (64, 48), "red").save(folder / "images" / "x.png")
    identity = {
        "schema": "genevolve.batch/1",
        "suite": {"name": "suite", "digest": digest, "rows": len(rows)},
        "truths": str(folder),
        "policy": {"name": policy, "version": "1"},
        "renderer": "studio",
        "judge": judge,
        "formula": "paper",
        "seed": 0,
        "rollouts": 1,
    }
    (folder / "batch.json").write_text(json.dumps(identity))
    lines = [json.dumps(row_record(row, rollouts, {"seconds": 0.1})) + "\n" for row, rollouts in rows]
    (folder / "output.jsonl").write_text("".join(lines))
    return folder
