"""The first stage: requests, of a studio world or of recipes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.data.folder import DataFolder, StageInfo, journal_rows
from genevolve.optimizer.data.overlap import normalized
from genevolve.optimizer.data.recipes import Recipe, Writer, written

STAGE = "requests"


def from_studio(data: DataFolder, source: str, count: int | None) -> StageInfo:
    """Take requests of a studio world.

    Args:
        data: Where they go.
        source: `DIR` or `DIR/SPLIT` (by default `train`).
        count: The first so many; by default all.

    Raises:
        AuthorError: There is no such world, or it has fewer requests.
    """
    from genevolve.interpreter.studio.folder import requests_file
    from genevolve.interpreter.studio.requests import read_requests
    from genevolve.interpreter.studio.splits import SPLITS
    from genevolve.interpreter.studio.world import World

    folder, split = Path(source).expanduser(), "train"
    if folder.name in SPLITS and not (folder / "world.json").is_file():
        folder, split = folder.parent, folder.name
    World.load(folder)
    requests = list(read_requests(requests_file(folder, split)))
    if count is not None and len(requests) < count:
        raise AuthorError(f"{folder} has {len(requests)} requests in {split}, not {count}")
    chosen = requests[:count]
    settings = {"source": "studio", "world": str(folder.absolute()), "split": split, "count": len(chosen)}
    rows = [{**request.to_dict(), "writer": "studio"} for request in chosen]
    return data.write(STAGE, rows, settings=settings, yields={"written": len(rows)})


def from_recipes(
    data: DataFolder,
    recipes: list[Recipe],
    writer: Writer,
    per_recipe: int,
    seed: int,
    *,
    restart: bool = False,
) -> StageInfo:
    """Word recipes; what a model has written is kept when the process is killed.

    Two requests that say the same are one. Raises `ServiceError` when the writer gives up, and what the folder raises.
    """
    settings = {
        "source": "recipes",
        "recipes": hashlib.sha256(repr(recipes).encode()).hexdigest()[:16],
        "count": len(recipes),
        "writer": writer.name,
        "per_recipe": per_recipe,
        "seed": seed,
    }
    if not restart and (same := data.current(STAGE, settings, ())) is not None:
        return same
    with data.under_way(STAGE, len(recipes), settings, (), restart=restart) as journal:
        for index, recipe in enumerate(recipes):
            if journal.state(index) == "done":
                continue
            rows = list(written([recipe], writer, per_recipe, seed))
            for row in rows:
                row["id"] = row["id"].replace("r00000", f"r{index:05d}", 1)
            journal.append(index, {"success": True, "rows": rows})
        everything = list(journal_rows(journal, lambda record: record["rows"]))
    distinct = list(_distinct(everything))
    yields = {"written": len(everything), "distinct": len(distinct)}
    info = data.write(STAGE, distinct, settings=settings, yields=yields)
    data.forget_journal(STAGE)
    return info


def _distinct(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for row in rows:
        text = normalized(row["prompt"])
        if text not in seen:
            seen.add(text)
            yield row
