"""The folder of a data set: a file of JSON lines for each stage, and a manifest of how each came about.

    DIR/
        manifest.json           for each stage: rows, digest, settings, the digest of what it read, yields
        requests.jsonl          what is asked for
        trajectories.jsonl      what a teacher did about it
        filtered.jsonl          the trajectories that pass, with their checks; rejected.jsonl the others
        truths.jsonl            requests with a ground-truth picture in images/
        splits/NAME.jsonl       the requests of each split; splits/report.json what was checked

Every file appears as a whole or not at all. A stage that takes long keeps a journal beside its file while it is under
way; what was killed goes on there. A stage knows the digest of what it read: when that changes, it is out of date.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.programs.batch.folder import replacing
from genevolve.programs.batch.journal import ROW, Journal
from genevolve.programs.batch.lines import decode, read_lines

SCHEMA = "genevolve.data/1"
STAGES = ("requests", "trajectories", "filtered", "truths", "splits")
"""In the order in which they read each other."""
SPLIT_NAMES = ("train", "validation", "heldout")


@dataclass(frozen=True)
class StageInfo:
    """What the manifest says of a stage.

    Attributes:
        rows: Lines of its file.
        digest: Of its bytes.
        settings: What it was made with: specs, seeds, thresholds.
        inputs: Digests of the stages that it read.
        yields: How many were left after each step, in order.
    """

    rows: int
    digest: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    yields: Mapping[str, int]


class DataFolder:
    """The folder, for this process alone; use it in a `with` block.

    Args:
        path: Made when it is not there.

    Raises:
        AuthorError: Another process works in it, or it holds something else.
        StorageError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise AuthorError(f"{path} is a file; a data set is a folder")
        there = {p.name for p in path.iterdir() if p.name != ".lock"} if path.is_dir() else set()
        if there and "manifest.json" not in there:
            raise AuthorError(f"{path} is not empty, and what is there is no data set")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise AuthorError(f"another process is working in {path}") from error
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
        try:
            self._stages = self._read_manifest()
            if "manifest.json" not in there:
                self._write_manifest()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes in."""
        self._lock.release()

    # ---- reading ----

    def info(self, stage: str) -> StageInfo | None:
        """What the manifest says of a stage; None when it was not made."""
        return self._stages.get(stage)

    def require(self, stage: str) -> StageInfo:
        """As `info`; raises `AuthorError` when the stage was not made."""
        info = self.info(stage)
        if info is None:
            raise AuthorError(
                f"{self.path} has no {stage} yet; 'genevolve data' makes them in the order {_ORDER}"
            )
        return info

    def current(self, stage: str, settings: Mapping[str, Any], inputs: Sequence[str]) -> StageInfo | None:
        """What the manifest says of a stage that was made with these settings from what is there now; else None."""
        info = self.info(stage)
        if info is None or not self.file(stage).is_file():
            return None
        same = json.loads(json.dumps(dict(settings))) == json.loads(json.dumps(dict(info.settings)))
        return info if same and info.inputs == {n: self.require(n).digest for n in inputs} else None

    def rows(self, stage: str) -> Iterator[dict[str, Any]]:
        """The rows of a stage.

        Raises:
            AuthorError: The stage was not made, or its file was damaged since.
        """
        self.require(stage)
        yield from read_rows(self.file(stage))

    def file(self, stage: str) -> Path:
        """Where the rows of a stage lie."""
        return self.path / f"{stage}.jsonl"

    def outdated(self) -> tuple[str, ...]:
        """Stages that read what has changed since."""
        return tuple(
            stage
            for stage, info in self._stages.items()
            if any(
                read not in self._stages or self._stages[read].digest != d for read, d in info.inputs.items()
            )
        )

    # ---- writing ----

    def write(
        self,
        stage: str,
        rows: Iterable[Mapping[str, Any]],
        *,
        settings: Mapping[str, Any],
        inputs: Sequence[str] = (),
        yields: Mapping[str, int] | None = None,
    ) -> StageInfo:
        """Write a stage as a whole and note it in the manifest; raises `StorageError`."""
        digest, count = write_rows(self.file(stage), rows)
        return self.note(stage, count, digest, settings=settings, inputs=inputs, yields=yields)

    def note(
        self,
        stage: str,
        rows: int,
        digest: str,
        *,
        settings: Mapping[str, Any],
        inputs: Sequence[str] = (),
        yields: Mapping[str, int] | None = None,
    ) -> StageInfo:
        """Note a stage in the manifest."""
        read = {name: self.require(name).digest for name in inputs}
        info = StageInfo(rows, digest, dict(settings), read, dict(yields or {}))
        self._stages[stage] = info
        self._write_manifest()
        return info

    @contextmanager
    def under_way(
        self, stage: str, count: int, settings: Mapping[str, Any], inputs: Sequence[str], *, restart: bool
    ) -> Iterator[Journal]:
        """The journal of a stage of `count` units of work; it goes on where a killed process stopped.

        Args:
            stage: Which.
            count: Units of work, each a record.
            settings: What it is made with: a journal of other settings does not go on.
            inputs: What it reads.
            restart: Begin anew, whatever is there.

        Raises:
            AuthorError: A stage with other settings or another input is under way.
        """
        read = {name: self.require(name).digest for name in inputs}
        identity = json.loads(json.dumps({"settings": dict(settings), "inputs": read, "count": count}))
        described, path = self.path / f".{stage}.json", self.path / f".{stage}.journal"
        if restart:
            self.forget_journal(stage)
        if described.is_file():
            if _loaded(described) != identity:
                raise AuthorError(
                    f"{self.path}: {stage} with other settings or input are under way; "
                    "use the same to go on, or --restart to begin anew"
                )
        else:
            with replacing(described) as file:
                file.write(json.dumps(identity).encode())
        with Journal(path, count) as journal:
            yield journal

    def forget_journal(self, stage: str) -> None:
        """Remove the journal of a stage: its rows are written, or nobody wants it."""
        for name in (f".{stage}.json", f".{stage}.journal"):
            with suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    # ---- inside ----

    def _read_manifest(self) -> dict[str, StageInfo]:
        path = self.path / "manifest.json"
        if not path.exists():
            return {}
        data = _loaded(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise AuthorError(f"{path} is not of schema {SCHEMA}")
        try:
            return {str(name): StageInfo(**info) for name, info in data["stages"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise AuthorError(f"{path} is damaged: {error}") from error

    def _write_manifest(self) -> None:
        stages = {
            name: {
                "rows": info.rows,
                "digest": info.digest,
                "settings": dict(info.settings),
                "inputs": dict(info.inputs),
                "yields": dict(info.yields),
            }
            for name, info in self._stages.items()
        }
        with replacing(self.path / "manifest.json") as file:
            file.write(
                json.dumps({"schema": SCHEMA, "stages": stages}, indent=1, ensure_ascii=True).encode() + b"\n"
            )


_ORDER = ", ".join(STAGES)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; raises `AuthorError` where a line is no object."""
    for line in read_lines(path):
        try:
            data = decode(line)
        except ValueError as error:
            raise AuthorError(f"{path}:{line.number}: {error}") from error
        if not isinstance(data, dict):
            raise AuthorError(f"{path}:{line.number}: the row is not a JSON object")
        yield data


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> tuple[str, int]:
    """Write JSON lines as a whole; their digest and number. Raises `StorageError`."""
    digest, count = hashlib.sha256(), 0
    with replacing(path) as file:
        for row in rows:
            data = (
                json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
                + b"\n"
            )
            digest.update(data)
            file.write(data)
            count += 1
    return digest.hexdigest(), count


def journal_rows(
    journal: Journal, rows: Callable[[dict[str, Any]], Iterable[Mapping[str, Any]]]
) -> Iterator[Any]:
    """The rows that the records of a journal hold, in order."""
    for _, line in journal.records():
        record = json.loads(line)
        record.pop(ROW, None)
        yield from rows(record)


def _loaded(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{path} is damaged: it is not JSON") from error
