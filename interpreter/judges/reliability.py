"""How far a judge can be trusted: repeats, agreement between judges, and defects that must be noticed.

Every verdict goes into a journal, one JSON line, so that a run which was stopped goes on where it ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import StorageError
from genevolve.interpreter.judges.agreement import rank_correlation, variance_within, weighted_kappa
from genevolve.interpreter.judges.formulas import LEVELS
from genevolve.interpreter.judges.protocol import Case, Judge, Verdict
from genevolve.interpreter.workers import Workers

if TYPE_CHECKING:
    from PIL.Image import Image

_LEAST_DROP = 1e-9


@dataclass(frozen=True)
class Trial:
    """A case to judge.

    Attributes:
        case: What the judge sees; its id names it in the journal.
        defect: The one defect that was planted; empty in a clean picture.
        dimension: Where the defect must show.
        clean: Id of the case without the defect.
    """

    case: Case
    defect: str = ""
    dimension: str = ""
    clean: str = ""


@dataclass(frozen=True)
class Record:
    """One verdict in the journal."""

    key: str
    judge: str
    case: str
    repeat: int
    score: float | None
    dimensions: Mapping[str, float | None]
    unscored: str
    cost: float


async def judge_one(judge: Judge, case: Case) -> Verdict:
    """A verdict of either kind of judge; plain methods run in a thread."""
    made = await Workers().call(lambda: judge.score(case), "judge")
    return await made if inspect.isawaitable(made) else made


async def measure(
    judges: Mapping[str, Judge],
    trials: Sequence[Trial],
    journal: Path,
    *,
    repeats: int = 1,
    concurrency: int = 2,
    done: Callable[[int, int], None] = lambda done, total: None,
) -> list[Record]:
    """Judge all trials by all judges, `repeats` times each; what the journal holds already is not judged again.

    Args:
        judges: By the name that they go by in reports.
        trials: The cases; their ids must differ.
        journal: A file of JSON lines, made when missing.
        repeats: How often each judge sees each case. Judges that keep answers must be opened without a cache.
        concurrency: Verdicts at the same time.
        done: Told how many of how many verdicts there are.

    Raises:
        StorageError: the journal cannot be read or written.
    """
    kept = {r.key: r for r in read_journal(journal)}
    work = [(name, t, n) for name in judges for t in trials for n in range(repeats)]
    keys = {(name, t.case.id, n): _key(name, judges[name], t.case, n) for name, t, n in work}
    found = {k: kept[key] for k, key in keys.items() if key in kept and kept[key].score is not None}
    gate = asyncio.Semaphore(max(1, concurrency))
    done(len(found), len(work))

    async def one(name: str, trial: Trial, repeat: int) -> None:
        async with gate:
            verdict = await judge_one(judges[name], trial.case)
        key = keys[name, trial.case.id, repeat]
        record = Record(
            key,
            name,
            trial.case.id,
            repeat,
            verdict.score,
            dict(verdict.dimensions),
            verdict.unscored,
            verdict.cost,
        )
        _append(journal, record)
        found[name, trial.case.id, repeat] = record
        done(len(found), len(work))

    async with asyncio.TaskGroup() as group:
        for name, trial, repeat in work:
            if (name, trial.case.id, repeat) not in found:
                group.create_task(one(name, trial, repeat))
    return [found[name, t.case.id, n] for name, t, n in work]


def read_journal(path: Path) -> list[Record]:
    """The verdicts of a journal; a last line that was cut off is left out. Raises `StorageError`."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            records.append(Record(**data))
        except (ValueError, TypeError) as error:
            if number == len(lines):  # the process ended while it wrote
                break
            raise StorageError(f"{path}: line {number} is no verdict: {error}") from error
    return records


# ---- reports -----------------------------------------------------------------------------------------


def report(trials: Sequence[Trial], records: Sequence[Record]) -> dict[str, Any]:
    """Everything that the verdicts tell, as JSON data; see docs/judging.md for what the numbers mean."""
    names = list(dict.fromkeys(r.judge for r in records))
    by_judge = {name: [r for r in records if r.judge == name] for name in names}
    planted = [t for t in trials if t.defect]
    return {
        "judges": {name: _of_judge(by_judge[name]) for name in names},
        "agreement": [
            {"judges": [a, b], **_between(by_judge[a], by_judge[b])} for a, b in combinations(names, 2)
        ],
        "defects": {name: _defects(planted, by_judge[name]) for name in names} if planted else {},
    }


def _of_judge(records: Sequence[Record]) -> dict[str, Any]:
    scored = [r for r in records if r.score is not None]
    groups = _groups(scored)
    return {
        "verdicts": len(records),
        "unscored": len(records) - len(scored),
        "mean": _mean([r.score for r in scored if r.score is not None]),
        "variance_of_repeats": variance_within([list(g.values()) for g in groups.values()]),
        "repeats_agree": _mean([float(len(set(g.values())) == 1) for g in groups.values() if len(g) > 1]),
        "cost": round(sum(r.cost for r in records), 9),
    }


def _groups(records: Sequence[Record]) -> dict[str, dict[int, float]]:
    """Scores of each case by repeat."""
    groups: dict[str, dict[int, float]] = {}
    for r in records:
        if r.score is not None:
            groups.setdefault(r.case, {})[r.repeat] = r.score
    return groups


def _between(a: Sequence[Record], b: Sequence[Record]) -> dict[str, Any]:
    """Rank correlation of mean scores, and weighted kappa of each dimension that both graded."""
    first, second = _means(a), _means(b)
    both = [c for c in first if c in second]
    dimensions = list(dict.fromkeys(d for r in (*a, *b) for d in r.dimensions))
    kappas: dict[str, float | None] = {}
    for name in dimensions:
        ours, theirs = _grades(a, name), _grades(b, name)
        common = [c for c in ours if c in theirs]
        kappas[name] = weighted_kappa([ours[c] for c in common], [theirs[c] for c in common], LEVELS)
    return {
        "cases": len(both),
        "rank_correlation": rank_correlation([first[c] for c in both], [second[c] for c in both]),
        "weighted_kappa": kappas,
    }


def _means(records: Sequence[Record]) -> dict[str, float]:
    return {case: sum(g.values()) / len(g) for case, g in _groups(records).items()}


def _grades(records: Sequence[Record], dimension: str) -> dict[str, float]:
    """First grades of a dimension by case."""
    found: dict[str, float] = {}
    for r in records:
        value = r.dimensions.get(dimension)
        if value is not None:
            found.setdefault(r.case, value)
    return found


def _defects(planted: Sequence[Trial], records: Sequence[Record]) -> dict[str, Any]:
    """By dimension: how many defects were planted there, noticed there, and noticed nowhere else."""
    verdicts = {r.case: r for r in records if r.repeat == 0 and r.score is not None}
    rows: dict[str, dict[str, int]] = {}
    for trial in planted:
        worse, clean = verdicts.get(trial.case.id), verdicts.get(trial.clean)
        row = rows.setdefault(trial.dimension, {"planted": 0, "unscored": 0, "noticed": 0, "nowhere_else": 0})
        row["planted"] += 1
        if worse is None or clean is None:
            row["unscored"] += 1
            continue
        lower = {d for d in clean.dimensions if _drops(clean.dimensions[d], worse.dimensions.get(d))}
        row["noticed"] += trial.dimension in lower
        row["nowhere_else"] += lower == {trial.dimension}
    return rows


def _drops(clean: float | None, worse: float | None) -> bool:
    return clean is not None and worse is not None and worse < clean - _LEAST_DROP


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


# ---- trials ------------------------------------------------------------------------------------------


def planted_trials(number: int, seed: int = 0) -> list[Trial]:
    """So many pictures of the studio with one defect each, and the clean pictures that they are compared with."""
    from genevolve.interpreter.studio.defects import DEFECTS, NotApplicable, plant
    from genevolve.interpreter.studio.drawing import draw
    from genevolve.interpreter.studio.requests import requests_of
    from genevolve.interpreter.studio.world import make_world

    names = sorted(DEFECTS)
    trials: list[Trial] = []
    for index, request in enumerate(requests_of(make_world(seed, 40), "train", number)):
        for step in range(len(names)):
            name = names[(index + step) % len(names)]
            try:
                worse = plant(request.scene, name, seed + index)
            except NotApplicable:
                continue
            truth = draw(request.scene)
            trials.append(Trial(Case(request.prompt, truth, truth, id=f"{request.id}-clean")))
            case = Case(request.prompt, draw(worse.scene), truth, id=f"{request.id}-defect")
            trials.append(Trial(case, name, worse.dimension, f"{request.id}-clean"))
            break
    return trials


def _key(name: str, judge: Judge, case: Case, repeat: int) -> str:
    """What a verdict depends on: the judge, the case's texts and pixels, and which repeat it is."""
    constraints = [[c.kind, dict(c.arguments)] for c in case.constraints]
    pictures = [_pixels(p) for p in (case.image, case.ground_truth)]
    z = case.z.digest if case.z is not None else ""
    data = [name, judge.name, judge.version, case.id, case.request, constraints, pictures, z, repeat]
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def _pixels(image: Image | None) -> str:
    if image is None:
        return ""
    return hashlib.sha256(f"{image.size}{image.mode}".encode() + image.tobytes()).hexdigest()


def _append(path: Path, record: Record) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), sort_keys=True) + "\n")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def unique(trials: Iterable[Trial]) -> bool:
    """Whether all cases have ids of their own."""
    ids = [t.case.id for t in trials]
    return len(ids) == len(set(ids))
