"""The fourth stage: a ground-truth picture for each request that has a good trajectory.

Of a studio request the truth is known: its scene is drawn. Of any other the best trajectory's z is drawn by the
renderer, a few times with other seeds, and the picture that the judge likes best is taken; one that it likes too little
is not, and the request goes without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError, ServiceError
from genevolve.optimizer.data.filtering import piece_of
from genevolve.optimizer.data.folder import DataFolder, StageInfo, journal_rows
from genevolve.programs.batch.folder import replacing
from genevolve.programs.batch.names import safe_name

if TYPE_CHECKING:
    from genevolve.optimizer.evaluation.workshop import Workshop

STAGE = "truths"


@dataclass(frozen=True)
class Drawing:
    """How truths are drawn that are not known.

    Attributes:
        workshop: Draws and judges.
        names: Of renderer and judge, for the manifest.
        candidates: Pictures of each request, with seeds from 0.
        least: The least score that a truth may have; without a judge nothing is asked for.
    """

    workshop: Workshop
    names: Mapping[str, str]
    candidates: int = 1
    least: float = 0.5


def make(
    data: DataFolder,
    drawing: Drawing | None,
    *,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StageInfo:
    """Draw a truth for each request that has a trajectory left.

    Args:
        data: Where trajectories are and pictures go.
        drawing: For requests whose truth is not known; None when there are only those of a studio.
        restart: Whether what an earlier process left is dropped.
        progress: Told how many requests are done, of how many.

    Raises:
        AuthorError: There are no filtered trajectories, or a truth is not known and nothing can draw it.
        ServiceError: The renderer failed; what was drawn is kept.
    """
    best = best_of_each(data.rows("filtered"))
    requests = [row for row in data.rows("requests") if row["id"] in best]
    if drawing is None and any("scene" not in row for row in requests):
        raise AuthorError("the truth of these requests is not known: --renderer SPEC says who draws it")
    settings: dict[str, Any] = {"source": "scene" if drawing is None else dict(drawing.names)}
    if drawing is not None:
        settings |= {"candidates": drawing.candidates, "least": drawing.least}
    inputs = ("requests", "filtered")
    if not restart and (same := data.current(STAGE, settings, inputs)) is not None:
        return same
    (data.path / "images").mkdir(exist_ok=True)
    with data.under_way(STAGE, len(requests), settings, inputs, restart=restart) as journal:
        for index, request in enumerate(requests):
            if journal.state(index) in ("done", "input"):
                continue
            journal.append(index, _record(data.path, request, best[request["id"]], drawing))
            if progress is not None:
                progress(journal.number("done"), len(requests))
        if journal.number("service"):
            raise ServiceError(
                f"{journal.number('service')} truths could not be drawn; run it again to go on"
            )
        rows = list(journal_rows(journal, lambda record: [record["row"]] if record.get("row") else []))
    yields = {
        "requests": data.require("requests").rows,
        "with a trajectory": len(requests),
        "with a truth": len(rows),
    }
    info = data.write(STAGE, rows, settings=settings, inputs=inputs, yields=yields)
    data.forget_journal(STAGE)
    return info


def best_of_each(rows: Iterator[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The trajectory with the best checks of each request, the earlier one on a tie."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        before = best.get(row["request_id"])
        if before is None or _mean(row) > _mean(before):
            best[row["request_id"]] = row
    return best


def _mean(row: Mapping[str, Any]) -> float:
    checks: list[float] = list(row["checks"].values())
    return sum(checks) / max(1, len(checks))


def _record(
    folder: Path, request: Mapping[str, Any], trajectory: Mapping[str, Any], drawing: Drawing | None
) -> dict[str, Any]:
    """The journal's record of a request: its row, or why it has none."""
    name = f"images/{safe_name(str(request['id']))}.png"
    row = {**request, "gt_image": name, "trajectory": trajectory["id"]}
    if "scene" in request:
        _write(folder / name, _scene_png(request))
        return {"success": True, "row": {**row, "truth": {"source": "scene"}}}
    assert drawing is not None
    found = _drawn(trajectory, drawing)
    if isinstance(found, str):
        return {"success": False, "error": {"kind": "service", "message": found}, "row": None}
    png, score, seed = found
    if png is None or (score is not None and score < drawing.least):
        return {"success": True, "row": None, "why": f"no picture scores {drawing.least}"}
    _write(folder / name, png)
    return {"success": True, "row": {**row, "truth": {**drawing.names, "seed": seed, "score": score}}}


def _drawn(trajectory: Mapping[str, Any], drawing: Drawing) -> tuple[bytes | None, float | None, int] | str:
    """The best of the candidates with its score and seed, or what a service said instead."""
    piece = piece_of(trajectory)
    futures = []
    for seed in range(drawing.candidates):
        settings = replace(piece.z.settings, seed=seed)
        futures.append(drawing.workshop.draw(replace(piece, z=replace(piece.z, settings=settings))))
    best: tuple[bytes | None, float | None, int] = (None, None, 0)
    for seed, future in enumerate(futures):
        done = future.result()
        if done.kind == "service" and done.png is None:
            return done.error
        score = None if done.verdict is None else done.verdict.score
        better = best[0] is None or (score is not None and (best[1] is None or score > best[1]))
        if done.png is not None and better:
            best = (done.png, score, seed)
    return best


def _scene_png(request: Mapping[str, Any]) -> bytes:
    from genevolve.interpreter.studio.drawing import draw
    from genevolve.interpreter.studio.pictures import encode
    from genevolve.interpreter.studio.scene import Scene

    try:
        return encode(draw(Scene.from_dict(request["scene"])), "", "")
    except (KeyError, TypeError, ValueError) as error:
        raise AuthorError(f"the scene of {request.get('id')!r} is malformed: {error}") from error


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)
