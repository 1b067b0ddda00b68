"""What is known of a connection's trouble, in words that name the server and hold no key."""

from __future__ import annotations

import asyncio

from genevolve.interpreter.redact import Redactor

_LAST_WORDS = 2000
_SHOWN = 300


class Health:
    """Filled by the transport, read when something fails. Belongs to one event loop."""

    def __init__(self, redactor: Redactor) -> None:
        self.failed = asyncio.Event()
        self.reason = ""
        self.garbage = 0
        self._first_garbage = ""
        self._errors = b""
        self._redactor = redactor

    def fail(self, reason: str) -> None:
        """The connection is of no use any more. The first reason stays."""
        if not self.failed.is_set():
            self.reason = reason
            self.failed.set()

    def hear(self, data: bytes) -> None:
        """Keep the end of what the server writes to its standard error."""
        self._errors = (self._errors + data)[-_LAST_WORDS:]

    def misread(self, line: bytes) -> None:
        """Count a line that is no message."""
        self.garbage += 1
        self._first_garbage = self._first_garbage or self.words(line[:200])

    def told(self, what: str) -> str:
        """`what`, with what else is known."""
        parts = [what]
        if self.garbage:
            plural = "s" if self.garbage > 1 else ""
            parts.append(f"it wrote {self.garbage} line{plural} that are no messages: {self._first_garbage}")
        if last := self.words(self._errors):
            parts.append(f"its last words: {last}")
        return "; ".join(parts)

    def words(self, data: bytes | str) -> str:
        """A server's words for a message: keys masked, one line, escaped, bounded."""
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        flat = " ".join(self._redactor.text(text[: 20 * _SHOWN]).split())
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
        return shown if len(shown) <= _SHOWN else "…" + shown[-_SHOWN:]
