"""A progress line on a terminal: what is done, how many are left, and when it will be over."""

from __future__ import annotations

import time
from types import TracebackType
from typing import IO, NamedTuple, Self

_INTERVAL = 0.1
_WIDTH = 30


class _Start(NamedTuple):
    """When something began, and how much of it was done by then."""

    time: float
    done: int


class Progress:
    """Draws one line and redraws it at most ten times a second.

    On a stream that is no terminal it is silent, or with `every` writes a plain line so many seconds apart.
    Use it in a `with` block: the line is wiped at the end.
    """

    def __init__(self, stream: IO[str], *, every: float | None = None) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._interval = _INTERVAL if self._terminal else every
        self._started: dict[str, _Start] = {}
        self._last = 0.0 if self._terminal else time.monotonic()
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal and self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def update(self, what: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` are done of what is being done; `note` is added at the end.

        A total of 0 means that nobody knows it.
        """
        now = time.monotonic()
        started = self._started.setdefault(what, _Start(now, done))
        due = self._interval is not None and now - self._last >= self._interval
        if not due and not (self._terminal and done == total):
            return
        self._last = now
        number = f"{done}/{total}" if total else str(done)
        text = f"{number}{_pace(started, now, done, total)}{f', {note}' if note else ''}"
        bar = f"[{'#' * round(done / total * _WIDTH):<{_WIDTH}}] " if total else ""
        self._stream.write(f"\r\x1b[K{what:<8}{bar}{text}" if self._terminal else f"{what} {text}\n")
        self._drawn = True
        self._stream.flush()


def _pace(started: _Start, now: float, done: int, total: int) -> str:
    """How fast it goes and how long it still takes; what was done before the start does not count."""
    seconds = now - started.time
    rate = (done - started.done) / seconds if seconds > 0 else 0.0
    if not rate:
        return ""
    shown = f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute"
    left = f", {_duration((total - done) / rate)} left" if done < total else ""
    return f", {shown}{left}"


def _duration(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
