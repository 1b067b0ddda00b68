"""What a policy is measured on: rows of requests with their ground truth.

    suite = open_suite("studio:world/heldout")
    suite = open_suite("genevolve-bench:downloads/GenEvolve-Bench")
    suite = open_suite("wise:cultural_common_sense.json")
    suite = open_suite("mine.jsonl")

A row that cannot be used (no text, an id that stands twice, a ground truth outside of its folder) stays in the suite
with a `problem`: it is told and counted, never dropped in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.grammar.z import Constraint
from genevolve.interpreter.images import ImageProblem, locate
from genevolve.programs.batch.lines import decode, read_lines
from genevolve.programs.batch.names import safe_name

KINDS = ("studio", "genevolve-bench", "wise")
_PROMPTS = ("question", "prompt")
_TRUTHS = ("gt_image", "ground_truth", "target_image", "gt_copied_path")
_TYPES = ("eval_type", "tier", "track")
_MOST_ROWS = 1_000_000
_LONGEST_PROMPT = 20_000
_HALF = "the row holds half of a character (an unpaired surrogate)"


@dataclass(frozen=True)
class Row:
    """One request of a suite.

    Attributes:
        index: Its place, from 0.
        id: Unique in the suite.
        request: What is asked for.
        track: `knowledge`, `quality`, or whatever the suite says; empty when it says nothing.
        category: Empty when the suite says nothing; so is `difficulty`, `eval_type`.
        skills: Which skills it needs, where that is known.
        truth: Where its ground truth lies, below the suite's folder; empty when it has none.
        constraints: What the ground truth is known to hold.
        constraint_skills: For each constraint, the skill that it needs (`identity` for the look of a reference).
        problem: Why it cannot be used; empty when it can.
    """

    index: int
    id: str
    request: str
    track: str = ""
    category: str = ""
    difficulty: str = ""
    eval_type: str = ""
    skills: tuple[str, ...] = ()
    truth: str = ""
    constraints: tuple[Constraint, ...] = ()
    constraint_skills: tuple[str, ...] = ()
    problem: str = ""

    @property
    def name(self) -> str:
        """A file name for it."""
        return safe_name(self.id)

    def to_dict(self) -> dict[str, Any]:
        """As results carry it; `gt_image` and `prompt` are the names that other scorers read."""
        found: dict[str, Any] = {"id": self.id, "prompt": self.request}
        if self.truth:
            found["gt_image"] = self.truth
        for name in ("eval_type", "track", "category", "difficulty"):
            if value := getattr(self, name):
                found[name] = value
        if self.skills:
            found["skills"] = list(self.skills)
        return found


@dataclass(frozen=True)
class Suite:
    """Rows of one origin.

    Attributes:
        name: The spec that opens it again.
        kind: Of `KINDS`, or `rows`.
        rows: In order.
        folder: Where ground truths lie.
        libraries: Folders of documents and pictures that belong to it, for the searches.
        prepare: Makes a row's ground truth when it is not there yet.
    """

    name: str
    kind: str
    rows: tuple[Row, ...]
    folder: Path | None = None
    libraries: tuple[Path, ...] = ()
    prepare: Callable[[Row], None] | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """Of what its rows ask for; two runs can be compared only where it is the same."""
        facts = [[r.id, r.request, r.truth, *map(str, r.constraints)] for r in self.rows]
        return hashlib.sha256(json.dumps(facts).encode("ascii")).hexdigest()[:32]

    def limited(self, count: int | None) -> Suite:
        """The suite with its first rows alone."""
        return self if count is None else replace(self, rows=self.rows[:count])

    def truth_path(self, row: Row) -> Path | None:
        """Where the ground truth of a row lies, made now if need be; None when it has none.

        Raises:
            AuthorError: It leads out of the folder or is missing.
            StorageError: It cannot be written.
        """
        if not row.truth or self.folder is None:
            return None
        if self.prepare is not None:
            self.prepare(row)
        return locate(row.truth, [self.folder])[0]


def open_suite(spec: str) -> Suite:
    """The suite that a spec names.

    Raises:
        ConfigurationError: The spec names no kind of suite that there is.
        AuthorError: There is no such suite, or its file holds no rows.
    """
    kind, colon, argument = spec.partition(":")
    if kind not in KINDS:
        if Path(spec).suffix.lower() in (".jsonl", ".json"):
            return _rows(spec, Path(spec).expanduser())
        kinds = ", ".join(f"{k}:…" for k in KINDS)
        raise ConfigurationError(
            f"there is no suite {spec!r}; there are {kinds}, and files that end in .jsonl or .json"
        )
    if not colon or not argument:
        raise ConfigurationError(f"{kind} needs a folder or file, as in {kind}:PATH")
    match kind:
        case "studio":
            return _studio(spec, argument)
        case "genevolve-bench":
            return _released(spec, Path(argument).expanduser())
        case _:
            return _wise(spec, argument)


# ---- studio ------------------------------------------------------------------------------------------


def _studio(spec: str, argument: str) -> Suite:
    from genevolve.interpreter.studio.folder import ground_truth, requests_file
    from genevolve.interpreter.studio.requests import Request, read_requests
    from genevolve.interpreter.studio.splits import SPLITS

    folder, split = Path(argument).expanduser(), "heldout"
    if folder.name in SPLITS and not (folder / "studio.json").is_file():
        folder, split = folder.parent, folder.name
    if not (folder / "studio.json").is_file():
        raise AuthorError(f"{folder} holds no studio world; 'genevolve studio make {folder}' makes one")
    path = requests_file(folder, split)
    requests: dict[str, Request] = {r.id: r for r in read_requests(path)}
    if not requests:
        raise AuthorError(f"{path}: this split has no requests")

    def prepare(row: Row) -> None:
        ground_truth(folder, requests[row.id])

    rows = tuple(_studio_row(index, request) for index, request in enumerate(requests.values()))
    return Suite(spec, "studio", rows, folder, (folder / "library",), prepare)


def _studio_row(index: int, request: Any) -> Row:
    from genevolve.interpreter.studio.requests import EVAL_TYPE
    from genevolve.interpreter.studio.wants import Content

    scene = request.content.scene
    skills = tuple(w.skill for w in request.content.wants for _ in Content(scene, (w,)).constraints)
    return Row(
        index,
        request.id,
        request.prompt,
        request.track,
        request.category,
        request.difficulty,
        EVAL_TYPE,
        request.skills,
        request.gt_image,
        request.constraints,
        skills,
    )


# ---- files of rows -----------------------------------------------------------------------------------


def _released(spec: str, folder: Path) -> Suite:
    """The public benchmark, as it is downloaded: one file of rows beside its pictures."""
    if not folder.is_dir():
        raise AuthorError(f"there is no folder {folder}")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jsonl", ".json") and p.is_file())
    if len(files) > 1:
        files = [p for p in files if "bench" in p.name.lower()] or files
    if len(files) != 1:
        found = ", ".join(p.name for p in files[:6]) or "none"
        raise AuthorError(f"{folder} should hold one .jsonl or .json file of rows; found: {found}")
    return replace(_rows(spec, files[0]), kind="genevolve-bench", folder=folder)


def _rows(spec: str, path: Path) -> Suite:
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for index, line in enumerate(read_lines(path)):
        if index >= _MOST_ROWS:
            raise AuthorError(f"{path}: a suite has at most {_MOST_ROWS:,} rows")
        try:
            data = decode(line)
            problem = "" if isinstance(data, dict) else "the row is not a JSON object"
            if not _is_text(data):
                data, problem = {}, _HALF
        except ValueError as error:
            data, problem = {}, str(error)
        row = _row(index, data if isinstance(data, dict) else {}, path.parent, problem)
        if row.id in seen:
            row = replace(
                row, id=f"{row.id}#{index + 1}", problem=f"the id stands on row {seen[row.id]} already"
            )
        seen.setdefault(row.id, index + 1)
        rows.append(row)
    if not rows:
        raise AuthorError(f"{path} holds no rows")
    return Suite(spec, "rows", tuple(rows), path.parent)


def _is_text(data: object) -> bool:
    """Whether all texts in it can be written; JSON allows halves of characters."""
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _row(index: int, data: Mapping[str, Any], folder: Path, problem: str) -> Row:
    meta = data.get("meta")
    places: list[Mapping[str, Any]] = [data, meta] if isinstance(meta, Mapping) else [data]
    identity = data.get("id", index)
    if isinstance(identity, bool) or not isinstance(identity, str | int) or not str(identity).strip():
        identity, problem = (
            f"row-{index + 1}",
            problem or "the row's 'id' is neither a text nor a whole number",
        )
    request = _text(places, _PROMPTS)
    if not problem and not request:
        problem = "the row has no 'question' or 'prompt'"
    if not problem and len(request) > _LONGEST_PROMPT:
        problem = f"the request is longer than {_LONGEST_PROMPT:,} characters"
    truth, wrong = _truth(places, folder)
    eval_type = _text(places, _TYPES)
    constraints, unread = _constraints(data.get("constraints"))
    return Row(
        index,
        str(identity),
        request,
        _text(places, ("track",)) or _track(eval_type),
        _text(places, ("category",)),
        _text(places, ("difficulty",)),
        eval_type,
        _names(data.get("skills")),
        truth,
        constraints,
        problem=problem or wrong or unread,
    )


def _text(places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, str) and value.strip():
                return value.strip()
    return ""


def _names(value: object) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _track(eval_type: str) -> str:
    """The track that a type of evaluation stands for: `quality_anchored` is `quality`."""
    lowered = eval_type.lower()
    return next((track for track in ("knowledge", "quality") if track in lowered), eval_type)


def _truth(places: Sequence[Mapping[str, Any]], folder: Path) -> tuple[str, str]:
    """The path of the ground truth inside the folder, and what is wrong with it."""
    given = _text(places, _TRUTHS)
    if not given:
        return "", ""
    try:
        file, root = locate(given, [folder])
    except ImageProblem as error:
        return "", f"ground truth: {error}"
    except (OSError, ValueError) as error:  # a name with a NUL, a loop of links
        return "", f"ground truth: {error}"
    return file.relative_to(root).as_posix(), ""


def _constraints(value: object) -> tuple[tuple[Constraint, ...], str]:
    if value is None:
        return (), ""
    found: list[Constraint] = []
    for entry in value if isinstance(value, list) else [None]:
        kind, arguments = (
            (entry.get("kind"), entry.get("arguments")) if isinstance(entry, dict) else (None, None)
        )
        if not isinstance(kind, str) or not isinstance(arguments, dict):
            return (), "a constraint is an object with kind and arguments"
        if not all(isinstance(v, str | int | float) for v in arguments.values()):
            return (), "arguments of constraints are texts and numbers"
        found.append(Constraint(kind, arguments))
    return tuple(found), ""


def _wise(spec: str, argument: str) -> Suite:
    from genevolve.interpreter.judges.wise import read_prompts

    paths = [Path(part).expanduser() for part in argument.split(",") if part.strip()]
    prompts = read_prompts(paths)
    rows = tuple(
        Row(
            index,
            str(p.id),
            p.prompt,
            category=p.subcategory,
            eval_type=p.category,
            problem="" if _is_text(p.prompt) else _HALF,
        )
        for index, p in enumerate(prompts)
    )
    return Suite(spec, "wise", rows)


def problems(suite: Suite) -> Iterator[tuple[str, str]]:
    """Id and reason of each row that cannot be used."""
    yield from ((row.id, row.problem) for row in suite.rows if row.problem)
