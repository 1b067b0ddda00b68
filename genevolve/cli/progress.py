"""A progress line on a terminal: what is done, how many are left, and when it will be over."""

from __future__ import annotations

import time
from types import TracebackType
from typing import IO, Self

_INTERVAL = 0.1
_WIDTH = 30


class Progress:
    """Draws one line and redraws it at most ten times a second; silent when the stream is no terminal.

    Use it in a `with` block: the line is wiped at the end.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._started: dict[str, float] = {}
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown and self._last:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def update(self, what: str, done: int, total: int) -> None:
        """Say that `done` of `total` are done of what is being done."""
        now = time.monotonic()
        started = self._started.setdefault(what, now)
        if not self._shown or (now - self._last < _INTERVAL and done < total):
            return
        self._last = now
        share = done / total if total else 1.0
        bar = "#" * round(share * _WIDTH)
        rate = done / (now - started) if now > started else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        self._stream.write(f"\r\x1b[K{what:<8}[{bar:<{_WIDTH}}] {done}/{total}{left}")
        self._stream.flush()
