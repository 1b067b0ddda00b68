"""Where things stand in a source text.

A `Span` is two character offsets: small enough for every token and node to carry one. Lines and columns
are computed from the `Source` only when somebody reads them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Span(NamedTuple):
    """Half-open range of character offsets `[start, end)` in one `Source`."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The smallest span that covers both."""
        return Span(min(self.start, other.start), max(self.end, other.end))


NOWHERE = Span(0, 0)


class Position(NamedTuple):
    """One-based line and column, counted in characters (a tab is one character)."""

    line: int
    column: int


@dataclass(frozen=True)
class Source:
    """A program text and the name it is reported under (a path, `<stdin>`, `<string>`)."""

    text: str
    name: str = "<string>"

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        at = find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = find("\n", at + 1)
        return starts

    def position(self, offset: int) -> Position:
        """The line and column of a character offset; offsets past the end mean the end."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a one-based line, without its line break; empty when there is no such line."""
        if not 1 <= number <= len(self._line_starts):
            return ""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] if number < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def where(self, span: Span) -> str:
        """`name:line:column` of the span's start, as editors link it."""
        line, column = self.position(span.start)
        return f"{self.name}:{line}:{column}"

    def slice(self, span: Span) -> str:
        """The text that the span covers."""
        return self.text[span.start : span.end]
