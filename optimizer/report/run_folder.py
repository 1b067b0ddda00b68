"""The folder of a compile run, read again: as much of it as is there and makes sense.

DIR/
    compile.json        what the run is made of; a folder without it is no run
    state.json          where it stands
    cold_start.json     figures of the cold start, where there was one
    start_guide.json    what guides changed for the start on validation, where that was measured
    steps.jsonl         a line of figures for each step
    groups.jsonl        a line for each request of a step: rewards, the best and the worst program
    pictures/           their pictures
    experiences/        the experience store
    versions/           the policies, each with version.json
    evaluations/        a line for each validation request, a file for each version
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.report.lines import (
    Notes,
    is_number,
    mapping,
    number,
    numbers,
    read_json,
    read_lines,
    text,
    texts,
    whole,
)

IDENTITY = "compile.json"
GROUPS = "groups.jsonl"
_MOST_VERSIONS = 500
_MOST_SIBLINGS = 1_000
_VERSION = re.compile(r"v\d{1,9}\Z")


@dataclass(frozen=True)
class State:
    """Where a run stands; texts are empty and numbers None where nothing is known."""

    phase: str = ""
    step: int | None = None
    steps: int | None = None
    reason: str = ""
    best: str = ""
    updated: object = None


@dataclass(frozen=True)
class StepLine:
    """The figures of a step. `seconds` is how long all of it took."""

    step: int
    seconds: float | None
    figures: Mapping[str, float]


@dataclass(frozen=True)
class GroupLine:
    """One request of a step, without its programs: those are read from `offset` when they are shown."""

    step: int
    id: str
    category: str
    track: str
    rewards: tuple[float | None, ...]
    learned: str
    similarity: float | None
    guided: bool
    degenerate: bool
    experience: str
    offset: int

    @property
    def gap(self) -> float:
        """The best reward minus the worst; 0 with fewer than two."""
        known = [r for r in self.rewards if r is not None]
        return max(known) - min(known) if known else 0.0


@dataclass(frozen=True)
class Gate:
    """The paired difference to the version that was best, on `requests` validation requests."""

    mean: float | None
    low: float | None
    high: float | None
    requests: int | None


@dataclass(frozen=True)
class Version:
    """A policy that the run kept. `accepted` is None when its file does not say."""

    name: str
    step: int | None
    parent: str
    accepted: bool | None
    why: str
    gate: Gate | None
    validation: Mapping[str, float]


@dataclass(frozen=True)
class Decided:
    """What a program decided: skills in use, and how often or how much of the rest."""

    skills: frozenset[str]
    counts: Mapping[str, float]


@dataclass(frozen=True)
class Judged:
    """One validation request of a version. `score` is None when it could not be judged."""

    id: str
    score: float | None
    reward: float | None
    dimensions: Mapping[str, float]
    track: str
    decided: Decided | None


@dataclass(frozen=True)
class RunFolder:
    """A run as its folder tells it, and what could not be read."""

    folder: Path
    identity: Mapping[str, object]
    state: State
    steps: tuple[StepLine, ...]
    groups: tuple[GroupLine, ...]
    versions: tuple[Version, ...]
    evaluations: Mapping[str, tuple[Judged, ...]]
    cold_start: Mapping[str, float]
    start_guide: Mapping[str, float]
    notes: Notes

    @property
    def settings(self) -> Mapping[str, object]:
        """The settings by section."""
        return mapping(self.identity.get("settings"))

    @property
    def best(self) -> str:
        """The version in use: what the state says, else the last that was accepted; empty without one."""
        accepted = [v.name for v in self.versions if v.accepted]
        return self.state.best or (accepted[-1] if accepted else "")


def is_run(folder: Path) -> bool:
    """Whether a compile run began in this folder."""
    try:
        return (folder / IDENTITY).is_file()
    except (OSError, ValueError):
        return False


def open_run(folder: Path) -> RunFolder:
    """Read a run.

    Raises:
        AuthorError: The folder is no run of `genevolve compile`.
    """
    if not is_run(folder):
        raise AuthorError(f"{folder} is no run of genevolve compile: it has no {IDENTITY}")
    notes = Notes()
    identity = read_json(folder / IDENTITY, notes)
    state = _state(read_json(folder / "state.json", notes))
    begun = bool(state.step)
    cold = folder / "cold_start.json"
    guide = folder / "start_guide.json"
    return RunFolder(
        folder,
        identity,
        state,
        _steps(folder / "steps.jsonl", notes, needed=begun),
        _groups(folder / GROUPS, notes, needed=begun),
        _versions(folder / "versions", notes),
        _evaluations(folder / "evaluations", notes),
        numbers(read_json(cold, notes)) if cold.exists() else {},
        numbers(read_json(guide, notes)) if guide.exists() else {},
        notes,
    )


def _state(data: Mapping[str, object]) -> State:
    return State(
        text(data.get("phase")),
        whole(data.get("step")),
        whole(data.get("steps")),
        text(data.get("reason")),
        text(data.get("best")),
        data.get("updated"),
    )


def _steps(path: Path, notes: Notes, *, needed: bool) -> tuple[StepLine, ...]:
    """By number; of two lines of one step the later counts."""
    found: dict[int, StepLine] = {}
    for line in read_lines(path, notes, needed=needed):
        step = whole(line.data.get("step"))
        if step is None or step < 0:
            notes.add(path.name, "lines without the number of a step are left out", f"line {line.number}")
            continue
        if step in found:
            notes.add(path.name, "steps stand there twice; the later line counts", f"step {step}")
        figures = mapping(line.data.get("figures"))
        for name, value in figures.items():
            if is_number(value) and number(value) is None:
                notes.add(path.name, f"{name} is no finite number", f"step {step}")
        found[step] = StepLine(step, number(line.data.get("seconds")), numbers(figures))
    return tuple(found[step] for step in sorted(found))


def _groups(path: Path, notes: Notes, *, needed: bool) -> tuple[GroupLine, ...]:
    """By step; of two lines of one request in one step the later counts."""
    found: dict[tuple[int, str], GroupLine] = {}
    for line in read_lines(path, notes, needed=needed):
        data, request = line.data, mapping(line.data.get("request"))
        step, rewards = whole(data.get("step")), data.get("rewards")
        id = text(request.get("id"))
        if step is None or step < 0 or not isinstance(rewards, list):
            notes.add(path.name, "lines without a step or rewards are left out", f"line {line.number}")
            continue
        found[step, id or f"line {line.number}"] = GroupLine(
            step,
            id,
            text(request.get("category")),
            text(request.get("track")),
            tuple(number(r) for r in rewards[:_MOST_SIBLINGS]),
            text(data.get("learned")),
            number(data.get("similarity")),
            data.get("guided") is True,
            data.get("degenerate") is True,
            text(data.get("experience")),
            line.offset,
        )
    return tuple(sorted(found.values(), key=lambda g: g.step))


def _versions(folder: Path, notes: Notes) -> tuple[Version, ...]:
    found = []
    for path in _children(folder, notes):
        if not _VERSION.match(path.name):
            continue
        if not (path / "version.json").exists():
            notes.add("versions", "versions without version.json are not told", path.name)
            continue
        data = read_json(path / "version.json", notes)
        accepted = data.get("accepted")
        found.append(
            Version(
                path.name,
                whole(data.get("step")),
                text(data.get("parent")),
                accepted if isinstance(accepted, bool) else None,
                text(data.get("why")),
                _gate(data.get("gate")),
                numbers(data.get("validation")),
            )
        )
    return tuple(found)


def _gate(data: object) -> Gate | None:
    if not isinstance(data, dict):
        return None
    ends = sorted(v for v in (number(data.get("low")), number(data.get("high"))) if v is not None)
    low, high = ends if len(ends) == 2 else (None, None)
    return Gate(number(data.get("mean")), low, high, whole(data.get("requests")))


def _evaluations(folder: Path, notes: Notes) -> dict[str, tuple[Judged, ...]]:
    found = {}
    for path in _children(folder, notes):
        if path.suffix != ".jsonl" or not _VERSION.match(path.stem):
            continue
        rows: dict[str, Judged] = {}
        for line in read_lines(path, notes):
            judged = _judged(line.data)
            if judged is None:
                notes.add(path.name, "lines without an id are left out", f"line {line.number}")
            else:
                rows[judged.id] = judged
        found[path.stem] = tuple(rows.values())
    return found


def _judged(data: Mapping[str, object]) -> Judged | None:
    id = text(data.get("id"))
    if not id:
        return None
    profile = data.get("profile")
    decided = None
    if isinstance(profile, dict):
        decided = Decided(frozenset(texts(profile.get("skills"))[:50]), numbers(profile))
    return Judged(
        id,
        number(data.get("score")),
        number(data.get("reward")),
        numbers(data.get("dimensions")),
        text(data.get("track")),
        decided,
    )


def _children(folder: Path, notes: Notes) -> Sequence[Path]:
    """What lies in a folder, by name; nothing when there is none."""
    try:
        found = sorted(folder.iterdir(), key=lambda p: (len(p.name), p.name))
    except FileNotFoundError:
        return ()
    except OSError as error:
        notes.add(folder.name, f"cannot be read: {error.strerror or error}")
        return ()
    if len(found) > _MOST_VERSIONS:
        notes.add(folder.name, f"only the first {_MOST_VERSIONS} of {len(found):,} entries are told")
    return found[:_MOST_VERSIONS]
