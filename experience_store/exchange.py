"""Experiences out of a store and into one: JSON lines, Parquet, and folders that `datasets.load_dataset` reads.

    with ExperienceStore.open(folder) as store:
        export_experiences(store.list(limit=None), Path("mine.parquet"))
        report = import_experiences(store, Path("theirs.parquet"))

An import looks at every row, adds each good one, whole or not at all, and reports the others by place and
reason. Rows that the store has, or had and gave up for others, are known by their ids, so an import that was
interrupted is simply begun again, and one that is repeated changes nothing, also where the capacity could not hold all
of it. Texts in a row never become paths: pictures are named, not opened.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol, TypeAlias

from genevolve.experience_store.exchange_lines import Row, read_lines
from genevolve.experience_store.exchange_tables import read_arrow, read_parquet, write_parquet
from genevolve.experience_store.experience import Experience
from genevolve.experience_store.reports import AddResult
from genevolve.grammar.errors import AuthorError, StorageError

Format: TypeAlias = Literal["jsonl", "parquet", "dataset"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet", "dataset")
MAX_TOLD = 1000
"""Problems of an import that are kept one by one; all are counted."""
SHARD = 50_000
"""Experiences in one file of a dataset folder."""
MAX_FILES = 10_000
BATCH = 32
"""Rows that are handed to the store at once, so that their requests are embedded together."""
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "dataset",
}
_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
tags:
- genevolve-experiences
---

# Experiences

One row is what one comparison of two image programs taught: the request, both programs with their rewards, and the
advice that follows. Made by `genevolve experience export`; `genevolve experience import` reads this folder.
"""
_MARK = "genevolve-experiences"

Progress: TypeAlias = Callable[[int], None]
"""Called with how many experiences are through."""


class Target(Protocol):
    """What an import needs of a store."""

    def add_many(self, experiences: Sequence[Experience], *, again: bool = True) -> list[AddResult]:
        """Store each experience, or say why not; results in the same order. See `ExperienceStore.add_many`."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that was not stored.

    Attributes:
        where: The file and the place in it; it may hold anything that a file's name may.
        code: "unreadable" (no JSON, no Parquet, too large), "invalid" (not an experience), or a refusal's code.
        reason: A sentence; it may quote the row, escaped by whoever shows it.
    """

    where: str
    code: str
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What became of the rows so far.

    Attributes:
        rows: How many were read.
        added: How many are new in the store.
        known: How many the store has, or had and gave up (see `ExperienceStore.add_many`).
        merged: How many were nearly the same as one that the store had.
        refused: How many rows were not stored, by code.
        evicted: How many stored experiences went to keep the capacity.
        skipped: The first `MAX_TOLD` rows that were not stored.
    """

    rows: int = 0
    added: int = 0
    known: int = 0
    merged: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    evicted: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """How many rows were not stored."""
        return self.refused.total()

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return {**asdict(self), "refused": dict(self.refused), "bad": self.bad}

    def skip(self, where: str, code: str, reason: str) -> None:
        """Note a row that was not stored."""
        self.refused[code] += 1
        if len(self.skipped) < MAX_TOLD:
            self.skipped.append(Skipped(where, code, reason))


def format_of(path: Path, wanted: str | None = None) -> Format:
    """The format of a file or folder: the one that was asked for, else by its suffix; a folder is a dataset.

    Raises:
        AuthorError: nothing tells the format.
    """
    if wanted is not None:
        if wanted not in FORMATS:
            raise AuthorError(f"there is no format {wanted!r}; the formats are {', '.join(FORMATS)}")
        return wanted
    if path.is_dir() or not path.suffix:
        return "dataset"
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise AuthorError(
            f"{path}: the suffix tells no format; use .jsonl, .parquet, a folder, or name the format"
        )
    return found


# ---- out ----


def export_experiences(
    experiences: Iterable[Experience],
    target: Path,
    *,
    form: str | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write experiences into a file or a dataset folder; the target is there whole, or as it was before.

    Args:
        experiences: What to write; read once.
        target: The file or folder.
        form: One of `FORMATS`; by default what the target's name says.
        replace: Write over a file, or over a dataset folder that an export made.
        progress: Called as it goes on.

    Returns:
        How many were written.

    Raises:
        AuthorError: the target exists, or its format is not known.
        StorageError: it cannot be written.
    """
    kind = format_of(target, form)
    _check_target(target, kind, replace)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
        with _removed_after(partial):
            if kind == "dataset":
                written = _write_dataset(partial, experiences, progress)
                _put_folder(partial, target)
            else:
                written = _write_file(partial, kind, experiences, progress)
                os.replace(partial, target)  # noqa: PTH105  # `Path.replace` reads like `str.replace` here
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error
    return written


def write_lines(file: IO[bytes], experiences: Iterable[Experience], progress: Progress | None = None) -> int:
    """Write experiences as JSON lines, ASCII only: no byte of theirs can drive a terminal. Returns how many."""
    written = 0
    for experience in experiences:
        row = {"id": experience.id, **experience.to_dict()}
        file.write(json.dumps(row, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f").encode())
        file.write(b"\n")
        written += 1
        if progress is not None:
            progress(written)
    return written


def _check_target(target: Path, kind: Format, replace: bool) -> None:
    if kind == "dataset":
        if target.exists() and not target.is_dir():
            raise AuthorError(f"{target}: this is a file; a dataset is a folder")
        if not target.is_dir() or not any(target.iterdir()):
            return
        if not replace:
            raise AuthorError(
                f"{target}: the folder is not empty; --force replaces a dataset that was exported"
            )
        if not _is_ours(target):
            raise AuthorError(
                f"{target}: the folder holds other things than an exported dataset; choose another"
            )
    elif target.is_dir():
        raise AuthorError(f"{target}: this is a folder")
    elif target.exists() and not replace:
        raise AuthorError(f"{target}: the file exists; --force replaces it")


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds an exported dataset and nothing else."""
    card = folder / "README.md"
    if {p.name for p in folder.iterdir()} != {"README.md", "data"} or card.is_symlink() or not card.is_file():
        return False
    data = folder / "data"
    if data.is_symlink() or not data.is_dir():
        return False
    with card.open("rb") as file:
        if _MARK.encode() not in file.read(4096):
            return False
    return all(p.name.startswith("train-") and p.suffix == ".parquet" and p.is_file() for p in data.iterdir())


def _write_file(
    path: Path, kind: Format, experiences: Iterable[Experience], progress: Progress | None
) -> int:
    if kind == "parquet":
        written = write_parquet(path, experiences, progress)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return written
    with path.open("wb") as file:
        written = write_lines(file, experiences, progress)
        file.flush()
        os.fsync(file.fileno())
    return written


def _write_dataset(folder: Path, experiences: Iterable[Experience], progress: Progress | None) -> int:
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "README.md").write_text(_CARD, encoding="utf-8")
    rest = iter(experiences)
    written = shard = 0
    while True:
        done = written
        told = None if progress is None else lambda n, done=done: progress(done + n)
        count = write_parquet(data / f"train-{shard:05}.parquet", _first(rest, SHARD), told)
        written += count
        if count < SHARD:
            if count == 0 and shard:
                (data / f"train-{shard:05}.parquet").unlink()
            return written
        shard += 1


def _first(items: Iterator[Experience], most: int) -> Iterator[Experience]:
    for _, item in zip(range(most), items, strict=False):
        yield item


def _put_folder(partial: Path, target: Path) -> None:
    """Put a finished folder in its place. What was there goes aside first and is removed last."""
    old = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.old")
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _removed_after(partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


# ---- in ----


def import_experiences(
    store: Target,
    source: Path,
    *,
    form: str | None = None,
    report: ImportReport | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Add the rows of a file or folder to a store, each by itself; see the top of this module.

    Args:
        store: Where they go.
        source: A file of JSON lines, a Parquet file, or a folder of them (a Hugging Face dataset in any of its forms).
        form: One of `FORMATS`; by default what the source's name says.
        report: Goes on with this one, which tells what was done also when the import is interrupted.
        progress: Called with the number of rows that are through.

    Raises:
        AuthorError: there is no such file, or nothing in the folder can be read.
        StorageError: the source cannot be read, or the store not written.
    """
    return import_rows(store, read_rows(source, form), report=report, progress=progress)


def import_rows(
    store: Target,
    rows: Iterable[Row],
    *,
    report: ImportReport | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """The same with rows that come from anywhere."""
    found = report if report is not None else ImportReport()
    waiting: list[tuple[str, Experience]] = []
    for row in rows:
        found.rows += 1
        experience = _experience_of(row, found)
        if experience is not None:
            waiting.append((row.where, experience))
        if len(waiting) >= BATCH:
            _add(store, waiting, found)
            waiting = []
        if progress is not None:
            progress(found.rows)
    _add(store, waiting, found)
    return found


def _experience_of(row: Row, report: ImportReport) -> Experience | None:
    if row.problem:
        report.skip(row.where, "unreadable", row.problem)
        return None
    try:
        return Experience.from_dict(row.data)
    except AuthorError as error:
        report.skip(row.where, "invalid", str(error))
    return None


def _add(store: Target, waiting: Sequence[tuple[str, Experience]], report: ImportReport) -> None:
    if not waiting:
        return
    results = store.add_many([experience for _, experience in waiting], again=False)
    for (where, _), result in zip(waiting, results, strict=True):
        report.evicted += len(result.evicted)
        if result.refusal is not None:
            report.skip(where, result.refusal.code, result.refusal.reason)
        elif result.status == "added":
            report.added += 1
        elif result.status == "known":
            report.known += 1
        else:
            report.merged += 1


def read_rows(source: Path, form: str | None = None) -> Iterator[Row]:
    """The rows of a file or folder, one by one. What cannot be read is a row with a problem.

    Raises:
        AuthorError: there is no such file, or nothing in the folder can be read.
        StorageError: a file cannot be read.
    """
    if not source.exists():
        raise AuthorError(f"there is no file or folder {source}")
    kind = format_of(source, form)
    if source.is_dir():
        for path in _files_of(source):
            yield from _read_file(path, _SUFFIXES[path.suffix.lower()])
    else:
        yield from _read_file(source, kind)


def _read_file(path: Path, kind: Format) -> Iterator[Row]:
    try:
        if kind == "parquet":
            yield from read_parquet(path)
        elif kind == "dataset":
            yield from read_arrow(path)
        else:
            with path.open("rb") as file:
                yield from read_lines(file, str(path))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _files_of(folder: Path) -> list[Path]:
    """The data files of a dataset folder, in order. Links to files are followed: the hub's cache is made of them."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        # `cache-*.arrow` is what `datasets` computed from the data, beside them.
        if (
            path.suffix.lower() in _SUFFIXES
            and path.is_file()
            and not hidden
            and not path.name.startswith("cache-")
        ):
            found.append(path)
            if len(found) > MAX_FILES:
                raise AuthorError(f"{folder}: there are more than {MAX_FILES:,} data files")
    if not found:
        raise AuthorError(f"{folder}: there are no .parquet, .jsonl or .arrow files in this folder")
    return found
