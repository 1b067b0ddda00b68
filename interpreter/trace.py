"""The trace of a run: append-only JSON lines, written and flushed event by event.

    {"event":"run_started","at":0.0,"schema":"genevolve.trace/1",…}
    {"event":"program","at":0.0,"program":"…","statements":["<hash>",…]}
    {"event":"call","at":0.4,"statement":1,"tool":"search","arguments":{…},"value":{…}}
    {"event":"z","at":0.4,"digest":"…","z":{…}}
    {"event":"render","at":0.9,"renderer":"storyboard","seconds":0.05}
    {"event":"run_finished","at":0.9,"status":"finished"}

A run that was killed leaves a trace without its end, perhaps with half a last line; both can be read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.events import Event, Listener
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.regular import is_folder, open_regular

SCHEMA = "genevolve.trace/1"

_LIMIT = 512 * 1024 * 1024

_TEXT, _NUMBER, _OBJECT, _LIST = (str,), (int, float), (dict,), (list,)
_FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "run_started": {"schema": _TEXT, "parameters": _OBJECT, "environment": _OBJECT},
    "program": {"program": _TEXT, "statements": _LIST},
    "call": {"statement": _NUMBER, "tool": _TEXT, "arguments": _OBJECT, "attempts": _NUMBER},
    "skill": {"statement": _NUMBER, "skill": _TEXT},
    "z": {"digest": _TEXT, "z": _OBJECT},
    "render": {"renderer": _TEXT, "seconds": _NUMBER},
    "run_finished": {"status": _TEXT, "diagnostics": _LIST},
}
"""Fields that every event of a kind has; it may have more."""


class TraceWriter:
    """Collects the events of one run and, given a file, appends each as a line at once.

    Texts are scrubbed of secrets before they are kept. Raises `StorageError` when the file cannot be written.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        redactor: Redactor | None = None,
        listener: Listener | None = None,
        started: float | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.path = path
        self.redactor = redactor or Redactor()
        self.listener = listener
        self.started = time.monotonic() if started is None else started
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("x", encoding="utf-8", newline="\n")
            except OSError as error:
                raise _unwritable(path, error) from error

    def write(self, kind: str, /, **data: Any) -> Event:
        """Keep an event of JSON data, append it to the file and tell the listener."""
        event = self._event(kind, data)
        self._keep(event)
        if self.listener is not None:
            self.listener(event)
        return event

    def adopt(self, events: Iterable[Event]) -> None:
        """Keep events that another trace has already told of, as they are."""
        for event in events:
            self._keep(event)

    def tell(self, kind: str, /, **data: Any) -> None:
        """Tell the listener of something that the trace does not keep."""
        if self.listener is not None:
            self.listener(self._event(kind, data))

    def close(self) -> None:
        """Close the file; more events are kept in memory only."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self, event: Event) -> None:
        self.events.append(event)
        if self._file is None:
            return
        line = json.dumps({"event": event.kind, "at": event.at, **event.data}, ensure_ascii=False)
        try:
            # A lone surrogate (a text that a tool made up) must not stop the trace; JSON reads it back exactly.
            self._file.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
            self._file.flush()
        except OSError as error:
            assert self.path is not None
            raise _unwritable(self.path, error) from error

    def _event(self, kind: str, data: dict[str, Any]) -> Event:
        return Event(kind, round(time.monotonic() - self.started, 6), self.redactor.data(data))


@dataclass(frozen=True)
class Trace:
    """A trace as read back. `truncated` tells that its last line was cut short and left out."""

    events: tuple[Event, ...]
    truncated: bool = False

    def of(self, kind: str) -> tuple[Event, ...]:
        """The events of a kind, in order."""
        return tuple(e for e in self.events if e.kind == kind)

    @property
    def status(self) -> str:
        """How the run ended: finished, failed, cancelled; `running` when the trace does not tell."""
        ends = self.of("run_finished")
        return str(ends[-1].data["status"]) if ends else "running"


def read_trace(path: Path) -> Trace:
    """Read and validate a trace file, or the `trace.jsonl` of a run folder.

    Raises `AuthorError` for a file that is no trace or is damaged, with the line's number, and `StorageError`
    for one that cannot be read. A last line without its line break is left out when it is not complete.
    """
    file = path / "trace.jsonl" if is_folder(path) else path
    try:
        with open_regular(file) as stream:
            if os.fstat(stream.fileno()).st_size > _LIMIT:
                raise AuthorError(f"{file} is larger than {_LIMIT:,} bytes: this is no trace of a run")
            data = stream.read()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror or error}") from error
    return _parse(data, str(file))


def _parse(data: bytes, name: str) -> Trace:
    lines = data.split(b"\n")
    last = lines.pop()  # empty when the file ends with a line break
    events = [_event(line, name, number) for number, line in enumerate(lines, start=1)]
    truncated = False
    if last:
        try:
            events.append(_event(last, name, len(lines) + 1))
        except AuthorError:
            truncated = True
    if not events:
        raise AuthorError(f"{name} is empty or cut short before its first event: there is nothing to read")
    if events[0].kind != "run_started":
        raise AuthorError(f"{name} is not a trace of a run: it does not begin with the event `run_started`")
    return Trace(tuple(events), truncated)


def _event(line: bytes, name: str, number: int) -> Event:
    try:
        data = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{name}:{number}: this line is not JSON: is the file a trace of a run?") from error
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        raise AuthorError(f"{name}:{number}: this line is not an event of a trace")
    kind, at = data.pop("event"), data.pop("at", None)
    fields = _FIELDS.get(kind)
    if fields is None:
        raise AuthorError(f"{name}:{number}: an event of the unknown kind {kind!r}")
    if isinstance(at, bool) or not isinstance(at, _NUMBER):
        raise AuthorError(f"{name}:{number}: the event {kind!r} has no time")
    if kind == "run_started" and data.get("schema") != SCHEMA:
        raise AuthorError(
            f"{name}:{number}: the trace has schema {data.get('schema')!r}; {SCHEMA!r} is known"
        )
    for field, types in fields.items():
        if isinstance(data.get(field), bool) or not isinstance(data.get(field), types):
            raise AuthorError(f"{name}:{number}: the event {kind!r} lacks a proper {field!r}")
    return Event(kind, float(at), data)


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be written: {error.strerror or error}")
