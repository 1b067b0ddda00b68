"""The third stage: which trajectories are worth learning from, on six dimensions, each a share in [0, 1].

| dimension | what is looked at | by |
|---|---|---|
| protocol | filled, checks without errors, at most ten calls, nothing refused twice | rules |
| evidence | what names stand for was looked up, and what the prompt says was seen | rules |
| references | each is named by its ordinal, has a note, shows what was asked for | rules |
| skills | those that the wording calls for are used and followed, no pile of others | rules |
| constraints | what was asked for is required, and what is required is said | rules |
| picture | the picture of its z, as a judge of pictures scores it | renderer and judge |

A dimension that does not apply (no reference was needed) passes. Rules come first, and pictures are made only of what
is left. The yields say how many passed each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError
from genevolve.grammar.z import Constraint, Z
from genevolve.interpreter.judges.protocol import Case
from genevolve.interpreter.values import ImageHandle, Value, from_json
from genevolve.optimizer.data.folder import DataFolder, StageInfo, journal_rows, write_rows
from genevolve.optimizer.evaluation.workshop import Done, Piece, Wanted
from genevolve.programs.program import Program

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment
    from genevolve.optimizer.evaluation.workshop import Workshop

STAGE = "filtered"
RULES = ("protocol", "evidence", "references", "skills", "constraints")
DIMENSIONS = (*RULES, "picture")
MAX_CALLS = 10
_PILLARS = {
    "grounded facts": "evidence",
    "references": "references",
    "skills": "skills",
    "constraints": "constraints",
}


@dataclass(frozen=True)
class Thresholds:
    """The least that passes, by dimension, and how many trajectories of one request are kept."""

    least: Mapping[str, float] = field(
        default_factory=lambda: {
            "protocol": 1.0,
            "evidence": 0.5,
            "references": 1.0,
            "skills": 0.5,
            "constraints": 0.5,
            "picture": 0.5,
        }
    )
    keep: int = 2

    def __post_init__(self) -> None:
        if unknown := set(self.least) - set(DIMENSIONS):
            raise AuthorError(
                f"there is no dimension {sorted(unknown)[0]!r}; there are {', '.join(DIMENSIONS)}"
            )
        if any(not 0 <= v <= 1 for v in self.least.values()):
            raise AuthorError("a threshold is from 0 to 1")

    def of(self, dimension: str) -> float:
        """The least that passes; 0 where nothing is said."""
        return self.least.get(dimension, 0.0)


@dataclass(frozen=True)
class Checked:
    """A trajectory's shares by dimension, and why one is low."""

    shares: Mapping[str, float]
    why: str = ""

    def failed(self, thresholds: Thresholds, dimensions: Sequence[str]) -> str:
        """The first dimension that does not pass; empty when all do."""
        return next((d for d in dimensions if d in self.shares and self.shares[d] < thresholds.of(d)), "")


def check_rules(row: Mapping[str, Any], environment: Environment) -> Checked:
    """The five dimensions that need no picture; raises `AuthorError` for a row that is no trajectory."""
    from genevolve.interpreter.judges.sufficiency import SufficiencyJudge

    if not row.get("filled"):
        return Checked({"protocol": 0.0}, f"{row.get('outcome')}: {row.get('reason')}")
    program = Program.parse(str(row["program"]))
    errors = program.check(environment).errors
    if errors:
        return Checked({"protocol": 0.0}, "; ".join(d.message for d in errors))
    calls = row["rollout"]["cost"]["calls"]
    if calls > MAX_CALLS:
        return Checked({"protocol": 0.0}, f"{calls} calls; {MAX_CALLS} are allowed")
    turns = row["rollout"]["turns"]
    refused = sum(bool(t.get("refused")) for t in turns)
    piece = piece_of(row)
    case = Case(piece.wanted.request, z=piece.z, tree=piece.tree, values=piece.values)
    verdict = SufficiencyJudge().score(case)
    shares = {"protocol": 1.0 if refused < 2 else 0.5}
    shares.update(
        (_PILLARS[name], round(share, 4)) for name, share in verdict.parts.items() if name in _PILLARS
    )
    # A fault (an invention, a contradiction) is no share of a pillar: it takes from the one that it is about.
    if verdict.score is not None and verdict.parts:
        mean = sum(verdict.parts.values()) / len(verdict.parts)
        if verdict.score < mean - 0.25:
            worst = "evidence" if "nothing it saw" in verdict.rationale.lower() else "constraints"
            shares[worst] = max(0.0, shares.get(worst, 1.0) - 0.5)
    return Checked(shares, verdict.rationale)


def piece_of(row: Mapping[str, Any], truth: Path | None = None) -> Piece:
    """What a renderer and a judge need of a trajectory; raises `AuthorError` when the row is none."""
    try:
        references = [from_json(r) for r in row["references"]]
        values: dict[str, Value] = {str(k): from_json(v) for k, v in row["values"].items()}
        constraints = tuple(Constraint(c["kind"], c["arguments"]) for c in row.get("constraints", ()))
        wanted = Wanted(
            str(row["prompt"]), str(row["request_id"]), str(row.get("category", "")), constraints, truth
        )
        z = Z.from_dict(row["z"])
    except (KeyError, TypeError, ValueError) as error:
        raise AuthorError(f"the trajectory {row.get('id')!r} is malformed: {error}") from error
    handles = tuple(r for r in references if isinstance(r, ImageHandle))
    program = str(row["program"])
    return Piece(wanted, z, handles, program, Program.parse(program).tree, values)


@dataclass(frozen=True)
class Pictures:
    """Who draws and judges, for the sixth dimension.

    Attributes:
        workshop: Draws and judges.
        truth: Where the ground truth of a trajectory lies; None when there is none.
        names: Of renderer and judge, for the manifest.
        ahead: How many pictures are under way at once.
    """

    workshop: Workshop
    truth: Callable[[Mapping[str, Any]], Path | None]
    names: Mapping[str, str]
    ahead: int = 8


def filter_rows(
    data: DataFolder,
    environment: Environment,
    thresholds: Thresholds,
    pictures: Pictures | None,
    *,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StageInfo:
    """Sort trajectories into those that pass and those that do not, and note the yields.

    Raises:
        AuthorError: There are no trajectories, or one is malformed.
        OperatorError: A service or a disk failed; what was done is kept.
    """
    rows = list(data.rows("trajectories"))
    settings = {
        "thresholds": dict(thresholds.least),
        "keep": thresholds.keep,
        "pictures": None if pictures is None else dict(pictures.names),
    }
    if not restart and (same := data.current(STAGE, settings, ("trajectories",))) is not None:
        return same
    with data.under_way(STAGE, len(rows), settings, ("trajectories",), restart=restart) as journal:
        open_rows = [i for i in range(len(rows)) if journal.state(i) != "done"]
        for index, checked in _all_checked(rows, open_rows, environment, thresholds, pictures):
            journal.append(index, {"success": True, "shares": dict(checked.shares), "why": checked.why})
            if progress is not None:
                progress(journal.number("done"), len(rows))
        checks = list(journal_rows(journal, lambda record: [record]))
    dimensions = DIMENSIONS if pictures is not None else RULES
    kept, rejected, yields = sorted_out(rows, checks, thresholds, dimensions)
    write_rows(data.path / "rejected.jsonl", rejected)
    info = data.write(STAGE, kept, settings=settings, inputs=("trajectories",), yields=yields)
    data.forget_journal(STAGE)
    return info


def sorted_out(
    rows: Sequence[dict[str, Any]],
    checks: Sequence[Mapping[str, Any]],
    thresholds: Thresholds,
    dimensions: Sequence[str],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, int]]:
    """Rows that pass, with their checks; the others with the step that they failed at; how many passed each step."""
    yields = {"trajectories": len(rows)} | dict.fromkeys(dimensions, 0)
    passed: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for row, check in zip(rows, checks, strict=True):
        checked = Checked(check["shares"], check["why"])
        failed = checked.failed(thresholds, dimensions)
        for dimension in dimensions:
            if dimension == failed:
                break
            yields[dimension] += 1
        marked = {**row, "checks": dict(checked.shares), "why": checked.why}
        if failed:
            rejected.append({**marked, "rejected_at": failed})
        else:
            passed.append(marked)
    kept, spare = _best_of_each(passed, thresholds.keep)
    yields["kept"] = len(kept)
    rejected += [{**row, "rejected_at": "kept"} for row in spare]
    return kept, rejected, yields


def _best_of_each(
    rows: Sequence[dict[str, Any]], keep: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """At most so many different programs of each request, those with better checks and fewer calls first."""
    order = sorted(
        range(len(rows)),
        key=lambda i: (
            -sum(rows[i]["checks"].values()) / len(rows[i]["checks"]),
            rows[i]["rollout"]["cost"]["calls"],
            i,
        ),
    )
    seen: set[tuple[str, str]] = set()
    count: dict[str, int] = {}
    chosen: set[int] = set()
    for index in order:
        request, program = str(rows[index]["request_id"]), str(rows[index]["program"])
        if count.get(request, 0) < keep and (request, program) not in seen:
            seen.add((request, program))
            count[request] = count.get(request, 0) + 1
            chosen.add(index)
    return [r for i, r in enumerate(rows) if i in chosen], [r for i, r in enumerate(rows) if i not in chosen]


def _all_checked(
    rows: Sequence[Mapping[str, Any]],
    open_rows: Sequence[int],
    environment: Environment,
    thresholds: Thresholds,
    pictures: Pictures | None,
) -> Iterator[tuple[int, Checked]]:
    """Each open row with its checks; pictures are under way while the next rows are looked at."""
    from concurrent.futures import Future

    waiting: list[tuple[int, Checked, Future[Done]]] = []
    for index in open_rows:
        checked = check_rules(rows[index], environment)
        if pictures is None or checked.failed(thresholds, RULES):
            yield index, checked
            continue
        piece = piece_of(rows[index], pictures.truth(rows[index]))
        waiting.append((index, checked, pictures.workshop.draw(piece)))
        if len(waiting) >= pictures.ahead:
            yield _with_picture(*waiting.pop(0))
    for item in waiting:
        yield _with_picture(*item)


def _with_picture(index: int, checked: Checked, future: Any) -> tuple[int, Checked]:
    done: Done = future.result()
    if done.png is None:
        return index, Checked({**checked.shares, "picture": 0.0}, done.error)
    verdict = done.verdict
    if verdict is None or verdict.score is None:
        # What nobody could judge is not bad: the dimension is left out, and the reason kept.
        return index, Checked(checked.shares, "" if verdict is None else verdict.unscored)
    return index, Checked({**checked.shares, "picture": verdict.score}, verdict.rationale)
