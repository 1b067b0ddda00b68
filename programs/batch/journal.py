"""The journal of a batch: one line of JSON for each row that has ended, appended and never changed.

What is on disk when a process is killed at any moment is whole lines and at most one cut line at the end, which is
cut off when the journal is opened again. What is kept in memory of a row is where its last line begins, how often it
was tried, and whether it worked.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, Self, TypeAlias

from genevolve.grammar.errors import StorageError
from genevolve.programs.batch.folder import replacing

ROW = "input_row"
"""The field of a record that tells which row it is of, from 1."""

MAX_RECORD = 64 * 1024 * 1024
_SYNC_SECONDS = 1.0
_NEVER = -1

State: TypeAlias = Literal["open", "input", "service", "done"]
"""How a row stands: not ended, failed by its input, failed by a service, or done."""

_STATES: tuple[State, ...] = ("open", "input", "service", "done")


class Journal:
    """The records of `count` rows in the file `path`.

    Args:
        path: made when it does not exist; else its records count.
        count: rows with a higher index are kept in the file and not looked at.
        intact: whether a record of a finished row still holds (its picture is there); else the row is open again.

    Raises:
        StorageError: the file cannot be read or written.
    """

    def __init__(
        self, path: Path, count: int, intact: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> None:
        self.path = path
        self.money = 0.0
        """The cost of all records, also of those that later ones have replaced."""
        self.damaged = 0
        """Lines that could not be read."""
        self._offsets = array("q", [_NEVER]) * count
        self._tries = array("L", [0]) * count
        self._states = bytearray(count)
        self._numbers = [count, 0, 0, 0]
        self._intact = intact
        self._synced = time.monotonic()
        with _translated(path):
            self._file: IO[bytes] = path.open("a+b", buffering=0)
            self._repair()
            self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Make sure that all is on the disk, and close the file."""
        if not self._file.closed:
            with suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()

    @property
    def count(self) -> int:
        """How many rows are looked at."""
        return len(self._states)

    def state(self, index: int) -> State:
        """How a row stands."""
        return _STATES[self._states[index]]

    def tries(self, index: int) -> int:
        """How many records a row has."""
        return self._tries[index]

    def number(self, state: State) -> int:
        """How many rows stand so."""
        return self._numbers[_STATES.index(state)]

    def append(self, index: int, record: Mapping[str, Any]) -> None:
        """Add the record of a row that has ended. It is there for good when this returns.

        (A power failure may take what was added in the last second.)
        """
        data = _line({**record, ROW: index + 1})
        with _translated(self.path):
            offset = self._file.seek(0, os.SEEK_END)
            try:
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(offset)  # a full disk must not leave half a line before later ones
                raise
            now = time.monotonic()
            if now - self._synced >= _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = now
        self._note(index, offset, record)

    def records(self) -> Iterator[tuple[int, bytes]]:
        """The last record of each row that has one, as a line of JSON, in the order of the rows."""
        with _translated(self.path), self.path.open("rb") as file:
            for index, offset in enumerate(self._offsets):
                if offset != _NEVER:
                    file.seek(offset)
                    yield index, file.readline(MAX_RECORD).rstrip(b"\n")

    def write_outputs(self, lines: Path, whole: Path) -> None:
        """Write the last records in the order of the rows: as JSON lines, and as one JSON array.

        Each file appears as a whole or stays as it was.
        """
        with replacing(lines) as file:
            for _, record in self.records():
                file.write(record + b"\n")
        with replacing(whole) as file:
            mark = b"[\n"
            for _, record in self.records():
                file.write(mark + record)
                mark = b",\n"
            file.write(b"\n]\n" if mark != b"[\n" else b"[]\n")

    # ---- inside ----------------------------------------------------------------------------------

    def _repair(self) -> None:
        """Cut off the last line if it is cut, end it if only its end is missing."""
        size = self._file.seek(0, os.SEEK_END)
        start, tail = size, b""
        while start > 0 and len(tail) <= MAX_RECORD:
            step = min(64 * 1024, start)
            start -= step
            self._file.seek(start)
            tail = _exactly(self._file, step) + tail
            if b"\n" in tail:
                break
        cut = tail.rpartition(b"\n")[2]
        if not cut:
            return
        if _record(cut) is not None:
            self._file.write(b"\n")
        else:
            self._file.truncate(size - len(cut))

    def _read(self) -> None:
        offset = 0
        with self.path.open("rb") as file:
            while line := file.readline(MAX_RECORD):
                record = _record(line)
                if record is None:
                    self.damaged += 1
                else:
                    self._note(record[ROW] - 1, offset, record, old=True)
                offset += len(line)

    def _note(self, index: int, offset: int, record: Mapping[str, Any], *, old: bool = False) -> None:
        cost = record.get("cost")
        if isinstance(cost, int | float) and cost > 0:
            self.money += cost
        if index >= self.count:
            return
        self._tries[index] += 1
        state: State = "done"
        if record.get("success") is not True:
            error = record.get("error")
            service = isinstance(error, Mapping) and error.get("kind") == "service"
            state = "service" if service else "input"
        elif old and not self._intact(record):
            state, offset = "open", _NEVER
        self._offsets[index] = offset
        self._numbers[self._states[index]] -= 1
        self._states[index] = _STATES.index(state)
        self._numbers[self._states[index]] += 1


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    # A lone surrogate becomes the escape that JSON has for it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _record(line: bytes) -> dict[str, Any] | None:
    """A record, or None for what is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    row = data.get(ROW)
    return data if isinstance(row, int) and not isinstance(row, bool) and row >= 1 else None


def _exactly(file: IO[bytes], size: int) -> bytes:
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Translates what the disk raises."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
