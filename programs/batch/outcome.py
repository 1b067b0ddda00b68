"""The record of a row: what upstream's scorer reads, and how the row came about.

`id`, the request and all other fields of the row are copied. A field of the row that has the name of one of ours
stands in `shadowed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from genevolve.grammar.errors import (
    AuthorError,
    ConfigurationError,
    GenevolveError,
    ProgramError,
    RunError,
)
from genevolve.interpreter.events import Event
from genevolve.interpreter.run import Run
from genevolve.programs.batch.journal import ROW
from genevolve.programs.batch.work import Job

OURS = (
    ROW,
    "gen_prompt",
    "negative_prompt",
    "reference_images",
    "constraints",
    "skills",
    "settings",
    "output_path",
    "image_path",
    "image_status",
    "success",
    "error",
    "z",
    "seconds",
    "attempts",
    "cost",
    "notes",
    "shadowed",
)
"""Fields that results have of their own."""

# Names under which a scorer looks for a picture: an old one must not be taken for that of this batch.
_SHADOWED = frozenset((*OURS, "generated_image", "gen_image"))


class Failure(NamedTuple):
    """Why a row has no result. `kind` tells who must act: whoever wrote the input, or whoever runs the services."""

    code: str
    message: str
    where: str
    kind: Literal["input", "service"]


class Watch:
    """Listens to a run, to know what it cost even when it fails."""

    def __init__(self) -> None:
        self.money = 0.0
        self.rendered = False

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if event.kind == "render":
            self.rendered = True
        elif event.kind == "run_finished":
            self.money = float(event.data.get("spent", {}).get("money", 0.0))


def copied(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row as its result carries them; `id` comes first and is always there."""
    kept: dict[str, Any] = {"id": fields.get("id")}
    kept.update((name, value) for name, value in fields.items() if name not in _SHADOWED)
    shadowed = {name: value for name, value in fields.items() if name in _SHADOWED}
    return {**kept, "shadowed": shadowed} if shadowed else kept


def finished(
    job: Job, run: Run, picture: str, references: Sequence[tuple[str, str]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The record of a row that has its picture.

    Args:
        job: the row.
        run: its run.
        picture: where the picture lies, relative to the folder; empty when none was asked for.
        references: for each reference, where its copy lies: relative to the folder, and absolute.
        facts: seconds, attempts, cost.
    """
    z = run.z.to_dict()
    record = copied(job.fields)
    if "prompt" not in record and "question" not in record:
        record["prompt"] = run.z.request
    return {
        **record,
        "gen_prompt": run.z.gen_prompt,
        "negative_prompt": run.z.negative_prompt,
        "reference_images": [
            {**reference, "path": path, "local_path": local}
            for reference, (path, local) in zip(z["reference_images"], references, strict=True)
        ],
        "constraints": z["constraints"],
        "skills": z["skills"],
        "settings": z["settings"],
        "output_path": picture,
        "image_path": picture,
        "image_status": "ok" if picture else "not rendered",
        "success": True,
        "error": None,
        "z": run.z.digest,
        "notes": list(run.notes),
        **facts,
    }


def failed(job: Job, failure: Failure, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a row that has no picture, and why."""
    return {
        **copied(job.fields),
        "gen_prompt": "",
        "reference_images": [],
        "output_path": "",
        "image_path": "",
        "image_status": f"error: {failure.message}",
        "success": False,
        "error": failure._asdict(),
        "z": None,
        **facts,
    }


def failure_of(job: Job, error: GenevolveError) -> Failure:
    """What an error of a run says, and where it points."""
    kind: Literal["input", "service"] = "input" if isinstance(error, AuthorError) else "service"
    if isinstance(error, RunError) and error.service:
        kind = "service"
    if isinstance(error, ProgramError) and error.findings.errors:
        first = error.findings.errors[0]
        message = "; ".join(d.message for d in error.findings.errors)
        return Failure(first.code, message, f"{job.where}, {error.findings.source.where(first.span)}", kind)
    code = error.code if isinstance(error, AuthorError) and error.code else type(error).__name__
    return Failure(code, str(error), job.where, kind)


def configuration_error(error: BaseException) -> ConfigurationError | None:
    """The wrong setting or missing key behind an error: it would fail every row, so it ends the batch."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None or isinstance(seen, ConfigurationError):
            return seen
        seen = seen.__cause__
    return None
