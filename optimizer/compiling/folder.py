"""The folder of a compilation: what was asked for, how far it is, and the checkpoints that it goes on from.

    DIR/compile.json    what is compiled from what; written once
    DIR/state.json      phase, step, best version, why it ended
    DIR/steps.jsonl     figures, a line a step; DIR/groups.jsonl a line a request
    DIR/checkpoints/checkpoint-N/complete.json   last file of a checkpoint: without it the checkpoint does not count

One process at a time works in it, which a file lock makes sure of. Whatever is newer than the last complete checkpoint
is taken back when a run goes on: lines are cut off, the experience store is put back as it was, later versions go.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from filelock import FileLock, Timeout

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.optimizer.compiling import durable
from genevolve.optimizer.compiling.durable import Lines

SCHEMA = 1
COMPLETE = "complete.json"
STORE = "experiences"
_LOCK = ".lock"
_NAME = re.compile(r"checkpoint-(\d{1,9})")
_STEP = re.compile(r"step-(\d{1,9})")

Phase: TypeAlias = Literal["cold_start", "evolving", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder, and what `seal` was told."""

    path: Path
    step: int
    facts: Mapping[str, Any]


class RunFolder:
    """A run folder that this process has for itself; close it, or use it in a `with` block.

    Args:
        path: Made when it does not exist.
        resume: Whether a run that is there goes on, if there is one; without, the folder must be empty or absent.

    Raises:
        AuthorError: Another process works there, or something is there that may not be touched, or nothing to resume.
        StorageError: It cannot be written.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.pictures = path / "pictures"
        self.store = path / STORE
        self.steps = Lines(path / "steps.jsonl")
        self.groups = Lines(path / "groups.jsonl")
        check(path, resume=resume)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / _LOCK)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise AuthorError(
                f"another process is working in {path}; wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
        try:
            check(path, resume=resume)
            for parent in (path, self.checkpoints, path / "versions", path / "evaluations"):
                durable.settle(parent)
            self._state = durable.read_json(self._state_file) if self._state_file.exists() else {}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes in."""
        self._lock.release()

    # ---- identity and state ----

    @property
    def identity(self) -> dict[str, Any] | None:
        """What is compiled from what; None in a new folder."""
        return identity_of(self.path) if (self.path / "compile.json").exists() else None

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Write down what is compiled from what, or compare it with what is there.

        Raises:
            AuthorError: The folder holds another compilation; tells what differs.
        """
        known = self.identity
        if known is None:
            facts = {"schema": SCHEMA, **identity, "created": now()}
            durable.write_json(self.path / "compile.json", facts)
            return
        changed = [
            f"{name} ({_shown(known.get(name))} then, {_shown(value)} now)"
            for name, value in identity.items()
            if name not in ("settings", "libraries") and not _same(known.get(name), value)
        ]
        if changed:
            raise AuthorError(
                f"{self.path} cannot be resumed: what differs is {', '.join(changed)}. Put it back as it was, "
                "or choose another folder"
            )

    @property
    def state(self) -> Mapping[str, Any]:
        """The state as it was last written; empty in a new folder."""
        return self._state

    def set_state(self, **changes: Any) -> None:
        """Change the state, on the disk when this returns."""
        self._state = {**self._state, **changes, "updated": now()}
        durable.write_json(self._state_file, self._state)

    @property
    def _state_file(self) -> Path:
        return self.path / "state.json"

    # ---- checkpoints ----

    def seal(self, checkpoint: Path, step: int, facts: Mapping[str, Any]) -> Checkpoint:
        """Make a checkpoint count. Everything that it needs must have been written; this waits for the disk."""
        with durable.translated(checkpoint):
            durable.sync_all(checkpoint)
            found = {
                "schema": SCHEMA,
                "step": step,
                **facts,
                "steps_bytes": self.steps.sealed(),
                "groups_bytes": self.groups.sealed(),
                "digests": durable.fingerprints(checkpoint),
            }
            durable.sync(self.checkpoints)
        durable.write_json(checkpoint / COMPLETE, found)
        return Checkpoint(checkpoint, step, found)

    def amend(self, checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
        """Change facts of a complete checkpoint."""
        facts = {**checkpoint.facts, **changes}
        durable.write_json(checkpoint.path / COMPLETE, facts)
        return Checkpoint(checkpoint.path, checkpoint.step, facts)

    def complete(self) -> list[Checkpoint]:
        """All complete checkpoints, the latest last; what is damaged is left out."""
        found = []
        for path in self.checkpoints.iterdir() if self.checkpoints.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match is None or not (path / COMPLETE).is_file():
                continue
            try:
                facts = durable.read_json(path / COMPLETE)
            except AuthorError:
                continue
            if facts.get("schema") == SCHEMA and facts.get("step") == int(match[1]):
                found.append(Checkpoint(path, int(match[1]), facts))
        return sorted(found, key=lambda c: c.step)

    def intact(self, checkpoint: Checkpoint) -> bool:
        """Whether its files are those that were sealed."""
        wanted = dict(checkpoint.facts.get("digests") or {})
        there = durable.fingerprints(checkpoint.path)
        there.pop(COMPLETE, None)
        return there == wanted

    def prune(self, keep: int) -> None:
        """Remove all complete checkpoints but the latest ones."""
        with durable.translated(self.checkpoints):
            for old in self.complete()[:-keep]:
                (old.path / COMPLETE).unlink()  # first: half of it must not count
                durable.sync(old.path)
                durable.remove(old.path)

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Take back whatever is newer than a checkpoint; None is the very beginning of the evolution.

        The experience store is replaced by the checkpoint's own copy of it, so it must not be open.

        Raises:
            AuthorError: A file is shorter than it was then.
        """
        step = 0 if checkpoint is None else checkpoint.step
        facts: Mapping[str, Any] = {} if checkpoint is None else checkpoint.facts
        self.steps.cut(int(facts.get("steps_bytes", 0)))
        self.groups.cut(int(facts.get("groups_bytes", 0)))
        with durable.translated(self.path):
            for path in self.checkpoints.iterdir() if self.checkpoints.is_dir() else ():
                match = _NAME.fullmatch(path.name)
                if match is None or int(match[1]) > step or not (path / COMPLETE).is_file():
                    durable.remove(path)
            for path in self.pictures.iterdir() if self.pictures.is_dir() else ():
                match = _STEP.fullmatch(path.name)
                if match is not None and int(match[1]) > step:
                    durable.remove(path)
            durable.remove(self.store)
            if checkpoint is not None and (checkpoint.path / STORE).is_dir():
                source = checkpoint.path / STORE
                durable.make_folder(self.store, lambda part: _copy(source, part))

    def step_pictures(self, step: int) -> Path:
        """The folder of a step's pictures, made now."""
        folder = self.pictures / f"step-{step:04d}"
        with durable.translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder


def check(path: Path, *, resume: bool) -> None:
    """Raise `AuthorError` when a run may not be written there; changes nothing."""
    if path.exists() and not path.is_dir():
        raise AuthorError(f"{path} is a file; a compilation goes into a folder")
    try:
        names = {p.name for p in path.iterdir()} if path.exists() else set()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    if resume and "compile.json" in names:
        return
    if {n for n in names if not _ours_before(n)}:
        if resume:
            raise AuthorError(f"{path} holds no compilation that could be resumed (it has no compile.json)")
        hint = "use --resume to go on with the run there, or " if "compile.json" in names else ""
        raise AuthorError(f"{path} is not empty: {hint}choose another folder")


def identity_of(path: Path) -> dict[str, Any]:
    """What a run folder is compiled from.

    Raises:
        AuthorError: It is no run folder, or one of another version.
        StorageError: It cannot be read.
    """
    if not (path / "compile.json").is_file():
        raise AuthorError(f"{path} holds no compilation: there is no compile.json")
    found = durable.read_json(path / "compile.json")
    if found.get("schema") != SCHEMA:
        raise AuthorError(f"{path / 'compile.json'} is not of schema {SCHEMA}; choose another folder")
    return found


def now() -> str:
    """The time, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _ours_before(name: str) -> bool:
    """What a process that was killed before it wrote compile.json leaves, and the lock."""
    return name in (_LOCK, "programs", "trainer.log") or (
        name.startswith((".compile.json.", ".state.json.")) and name.endswith(durable.PART)
    )


def _copy(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(source, target, dirs_exist_ok=True)


def _same(known: object, value: object) -> bool:
    """Whether two facts agree; where there is a digest it alone counts, a suite may lie somewhere else."""
    if isinstance(known, Mapping) and isinstance(value, Mapping) and "digest" in known and "digest" in value:
        return bool(known["digest"] == value["digest"])
    return known == value


def _shown(fact: object) -> str:
    if isinstance(fact, Mapping) and isinstance(fact.get("digest"), str):
        return f"{fact.get('name', '')} {fact['digest'][:12]}"
    return "nothing" if fact is None else str(fact)
