"""Writing a data set for others: a Hugging Face folder, upstream's layout, or a benchmark folder.

- `hf`: `data/SPLIT-00000.parquet` with a card; requests with their pictures inside, or trajectories with messages.
- `upstream`: `SPLIT.json`, one array of `{id, prompt, messages, …}` a split, messages as role and content.
- `released`: as `upstream`, the messages in the released model's own ReAct format.
- `bench`: `bench.jsonl` and `images/`, which `genevolve bench genevolve-bench:FOLDER` reads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError, ConfigurationError, StorageError
from genevolve.optimizer.data.folder import SPLIT_NAMES, DataFolder, read_rows, write_rows
from genevolve.programs.batch.folder import replacing

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment

FORMATS = ("hf", "upstream", "released", "bench")
Convert = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From a trajectory to `prompt`, `messages`, `gen_prompt` and `reference_images`.

It raises `AuthorError` for a trajectory that has no place in the format.
"""
_TEXTS = ("id", "prompt", "track", "category", "difficulty", "eval_type")


def export(data: DataFolder, out: Path, form: str, environment: Environment | None = None) -> dict[str, int]:
    """Write the splits; how many rows each has.

    Args:
        data: With splits.
        out: A new or empty folder.
        form: Of `FORMATS`.
        environment: Whose tools and skills programs use; `released` needs it.

    Raises:
        AuthorError: The folder is not empty, there are no splits, or a picture is missing.
        ConfigurationError: There is no such format, or `released` was given no environment.
        StorageError: It cannot be written.
    """
    if form not in FORMATS:
        raise ConfigurationError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    data.require("splits")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuthorError(f"{out} is not empty; an export goes into a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if form == "hf":
            return _parquet(data, out)
        if form == "bench":
            return _bench(data, out)
        if form == "upstream":
            return _messages(data, out, plain_record)
        if environment is None:
            raise ConfigurationError("the released format needs to know the tools and skills")
        return _messages(data, out, released_record(environment))
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror or error}") from error


def plain_messages(trajectory: Mapping[str, Any]) -> list[dict[str, str]]:
    """The dialogue of a trajectory: system, user and assistant messages, turns as the teacher wrote them."""
    return [{"role": m["role"], "content": m["text"]} for m in trajectory["rollout"]["messages"]]


def plain_record(trajectory: Mapping[str, Any]) -> dict[str, Any]:
    """A trajectory with its own messages."""
    z = trajectory["z"]
    return {
        "prompt": trajectory["prompt"],
        "messages": plain_messages(trajectory),
        "gen_prompt": z["gen_prompt"],
        "reference_images": z["reference_images"],
    }


def released_record(environment: Environment) -> Convert:
    """The conversion into the released model's own ReAct messages."""
    from genevolve.programs.policies.released.exported import export_rollout

    return lambda trajectory: export_rollout(trajectory["rollout"], environment)


# ---- rows --------------------------------------------------------------------------------------------


def split_rows(data: DataFolder, split: str) -> list[dict[str, Any]]:
    """The requests of a split; none when the split is empty."""
    path = data.path / "splits" / f"{split}.jsonl"
    return list(read_rows(path)) if path.is_file() else []


def split_trajectories(data: DataFolder, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The filtered trajectories of some requests, in order; none when there are no trajectories."""
    if data.info("filtered") is None:
        return []
    ids = {row["id"] for row in requests}
    return [row for row in data.rows("filtered") if row["request_id"] in ids]


def _splits(data: DataFolder) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name in SPLIT_NAMES:
        if rows := split_rows(data, name):
            yield name, rows


# ---- formats -----------------------------------------------------------------------------------------


def _messages(data: DataFolder, out: Path, convert: Convert) -> dict[str, int]:
    counts: dict[str, int] = {}
    untold = 0
    for name, requests in _splits(data):
        rows: list[dict[str, Any]] = []
        for row in split_trajectories(data, requests):
            try:
                record = convert(row)
            except AuthorError:  # a program that says more than the format can
                untold += 1
                continue
            groups = {k: row.get(k, "") for k in ("category", "difficulty", "eval_type")}
            rows.append({"id": row["id"], **groups, **record})
        with replacing(out / f"{name}.json") as file:
            file.write(json.dumps(rows, ensure_ascii=True, indent=1).encode() + b"\n")
        counts[name] = len(rows)
    return counts | ({"left out": untold} if untold else {})


def _bench(data: DataFolder, out: Path) -> dict[str, int]:
    """The held-out requests as a benchmark."""
    rows = [row for row in split_rows(data, "heldout") if row.get("gt_image")]
    if not rows:
        raise AuthorError("no held-out request has a truth; 'genevolve data render' draws them")
    (out / "images").mkdir()
    kept = (
        "id",
        "prompt",
        "gt_image",
        "eval_type",
        "category",
        "difficulty",
        "track",
        "skills",
        "constraints",
    )
    for row in rows:
        picture = _picture(data, row)
        if picture is None:
            raise AuthorError(f"the truth of {row['id']!r} is missing: {row['gt_image']}")
        shutil.copyfile(picture, out / "images" / picture.name)
    lines = [
        {**{k: row[k] for k in kept if k in row}, "gt_image": f"images/{Path(row['gt_image']).name}"}
        for row in rows
    ]
    write_rows(out / "bench.jsonl", lines)
    return {"heldout": len(rows)}


def _picture(data: DataFolder, row: Mapping[str, Any]) -> Path | None:
    """The file of a row's truth, which lies in the data set; None when there is none."""
    from genevolve.interpreter.images import ImageProblem, locate

    try:
        return locate(str(row.get("gt_image", "")), [data.path])[0]
    except ImageProblem:
        return None


def _parquet(data: DataFolder, out: Path) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (out / "data").mkdir()
    counts = {}
    for name, requests in _splits(data):
        trajectories: dict[str, list[dict[str, Any]]] = {}
        for row in split_trajectories(data, requests):
            trajectories.setdefault(row["request_id"], []).append(row)
        rows = [_parquet_row(data, row, trajectories.get(row["id"], [])) for row in requests]
        table = pa.Table.from_pylist(rows, schema=_schema(pa))
        with replacing(out / "data" / f"{name}-00000.parquet") as file:
            pq.write_table(table, file, compression="zstd")
        counts[name] = len(rows)
    lines = "\n".join(f"  - split: {name}\n    path: data/{name}-*.parquet" for name in counts)
    with replacing(out / "README.md") as file:
        file.write(_CARD.format(splits=lines, counts=_counts(counts)).encode())
    return counts


def _parquet_row(
    data: DataFolder, request: Mapping[str, Any], trajectories: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    picture = _picture(data, request)
    image = None if picture is None else {"bytes": picture.read_bytes(), "path": picture.name}
    return {
        **{name: str(request.get(name, "")) for name in _TEXTS},
        "skills": [str(s) for s in request.get("skills", [])],
        "constraints": json.dumps(request.get("constraints", []), ensure_ascii=False),
        "gt_image": image,
        "trajectories": [
            {
                "id": row["id"],
                "program": row["program"],
                "gen_prompt": row["z"]["gen_prompt"],
                "checks": json.dumps(row["checks"]),
                "messages": plain_messages(row),
            }
            for row in trajectories
        ],
    }


def _schema(pa: Any) -> Any:
    """The columns; the mark of `datasets` makes the bytes of `gt_image` an image there."""
    text = pa.string()
    message = pa.struct([("role", text), ("content", text)])
    trajectory = pa.struct(
        [
            ("id", text),
            ("program", text),
            ("gen_prompt", text),
            ("checks", text),
            ("messages", pa.list_(message)),
        ]
    )
    columns = [(name, text) for name in _TEXTS]
    columns += [("skills", pa.list_(text)), ("constraints", text)]
    columns += [("gt_image", pa.struct([("bytes", pa.binary()), ("path", text)]))]
    columns += [("trajectories", pa.list_(trajectory))]
    string = {"dtype": "string", "_type": "Value"}
    features: dict[str, Any] = dict.fromkeys((*_TEXTS, "constraints"), string)
    features["skills"] = {"feature": string, "_type": "List"}
    features["gt_image"] = {"_type": "Image"}
    fields = dict.fromkeys(("id", "program", "gen_prompt", "checks"), string)
    said = {"feature": {"role": string, "content": string}, "_type": "List"}
    features["trajectories"] = {"feature": {**fields, "messages": said}, "_type": "List"}
    ordered = {name: features[name] for name, _ in columns}
    mark = json.dumps({"info": {"features": ordered}})
    return pa.schema(columns, metadata={"huggingface": mark})


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


_CARD = """\
---
configs:
- config_name: default
  data_files:
{splits}
tags:
- genevolve-data
---

# Image requests with programs

One row is a request with its ground-truth picture and the trajectories of a teacher that passed the filters
({counts}). A program is text of the language `.gprog`; `messages` is the dialogue in which it was written. Made by
`genevolve data export`.
"""
