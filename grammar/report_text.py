"""Diagnostics for people: each with its place, its source line and a caret underline.

    cover.gprog:6:13: error GP201: nothing is named `towr`; did you mean `towers`?
      |
    6 | ref tower = towr[0] for "copy the light"
      |             ^^^^
      = fix: write `towers`
    6 + ref tower = towers[0] for "copy the light"

Underlines are aligned by display width (tabs, wide East Asian characters, combining marks), very long lines
are clipped around the place, and nothing in a file can send control sequences to the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from genevolve.grammar.diagnostics import Diagnostic, Edit, Findings, Severity
from genevolve.grammar.display import Cell, cells, harmless, width
from genevolve.grammar.span import Source, Span

_COLORS = {
    Severity.ERROR: "1;31",
    Severity.WARNING: "1;33",
    Severity.HINT: "1;36",
}
_BOLD, _GUTTER, _FIX = "1", "34", "32"
_MIN_WIDTH = 40
MOST_SHOWN = 100
"""Diagnostics of one file that are printed for people; a text with thousands of them has one cause, not thousands."""
# Characters looked at around a place: more than any terminal shows, so a line of megabytes costs nothing.
_WINDOW = 1_000


def to_text(
    findings: Iterable[Findings], *, color: bool = False, width: int = 110, with_summary: bool = True
) -> str:
    """The findings as text, `MOST_SHOWN` of a file, ending with a line break; nothing when there are none.

    Args:
        findings: One entry per file, in the order in which they are printed.
        color: Whether to use ANSI colours.
        width: Columns of the terminal; source lines are clipped to it (at least 40 are used).
        with_summary: Whether to end with a line such as "2 errors, 1 warning in 3 files".
    """
    paint = _Paint(color)
    width = max(width, _MIN_WIDTH)
    files = list(findings)
    blocks = [block for file in files for block in _blocks(file, paint, width)]
    if with_summary and blocks:
        blocks.append(summary(files))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _blocks(file: Findings, paint: _Paint, width: int) -> Iterator[str]:
    for diagnostic in file.diagnostics[:MOST_SHOWN]:
        yield "\n".join(_diagnostic(file.source, diagnostic, paint, width))
    left = len(file.diagnostics) - MOST_SHOWN
    if left > 0:
        yield f"{harmless(file.source.name)}: {left:,} more are not shown; JSON, GitHub and SARIF output has all"


def summary(findings: Iterable[Findings]) -> str:
    """One line that counts: `2 errors, 1 warning in 3 files`, or `nothing to report in 1 file`."""
    files = list(findings)
    found = [d.severity for file in files for d in file.diagnostics]
    counted = [_counted(found.count(severity), severity.value) for severity in Severity if severity in found]
    return f"{', '.join(counted) or 'nothing to report'} in {_counted(len(files), 'file')}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@dataclass(frozen=True)
class _Paint:
    enabled: bool

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.enabled and text else text


def _diagnostic(source: Source, diagnostic: Diagnostic, paint: _Paint, width: int) -> Iterator[str]:
    style = _COLORS[diagnostic.severity]
    label = paint(style, f"{diagnostic.severity.value} {diagnostic.code}")
    where = paint(_BOLD, harmless(source.where(diagnostic.span)))
    yield f"{where}: {label}: {harmless(diagnostic.message)}"
    spans = [diagnostic.span, *(r.span for r in diagnostic.related)]
    digits = max(len(str(source.position(span.end).line)) for span in spans)
    gutter = _Gutter(digits, paint)
    yield gutter.empty()
    yield from _excerpt(source, diagnostic.span, style, gutter, width)
    for related in diagnostic.related:
        yield gutter.note(f"{harmless(source.where(related.span))}: {harmless(related.message)}")
        yield from _excerpt(source, related.span, _GUTTER, gutter, width)
    for note in diagnostic.notes:
        yield gutter.note(f"note: {harmless(note)}")
    if diagnostic.fix is not None:
        yield gutter.note(f"fix: {harmless(diagnostic.fix.message)}")
        yield from _preview(source, diagnostic.fix.edits, gutter, width)


@dataclass(frozen=True)
class _Gutter:
    """The column of line numbers."""

    digits: int
    paint: _Paint

    def empty(self) -> str:
        return self.paint(_GUTTER, " " * self.digits + " |")

    def line(self, number: int | str, text: str, sign: str = "|") -> str:
        return f"{self.paint(_GUTTER, f'{number:>{self.digits}} {sign}')} {text}".rstrip()

    def under(self, text: str) -> str:
        return f"{self.empty()} {text}"

    def note(self, text: str) -> str:
        return f"{self.paint(_GUTTER, ' ' * self.digits + ' =')} {text}"

    def room(self, total: int) -> int:
        """Columns that remain for source text."""
        return max(total - self.digits - 3, 20)


def _excerpt(source: Source, span: Span, style: str, gutter: _Gutter, width: int) -> Iterator[str]:
    """The lines of the span with their underlines; only the first and the last of a long span."""
    first, first_column = source.position(span.start)
    last, last_column = source.position(max(span.end, span.start))
    if (
        last > first and last_column == 1
    ):  # the span ends with a line break: nothing of the last line is meant
        last, last_column = last - 1, len(source.line(last - 1)) + 1
    numbers = range(first, last + 1) if last - first < 3 else (first, 0, last)
    for number in numbers:
        if number == 0:
            yield gutter.line("." * min(3, gutter.digits), "…")
            continue
        text = source.line(number)
        start = first_column - 1 if number == first else len(text) - len(text.lstrip())
        end = last_column - 1 if number == last else len(text.rstrip())
        shown, carets = _clipped(text, start, max(end, start), gutter.room(width))
        yield gutter.line(number, shown)
        yield gutter.under(gutter.paint(style, carets))


def _clipped(text: str, start: int, end: int, room: int) -> tuple[str, str]:
    """At most `room` columns of the line around `[start, end)`, and the underline that belongs below it."""
    offset = max(0, start - _WINDOW)
    line = cells(
        text[offset : end + _WINDOW] if end - start < _WINDOW else text[offset : start + 2 * _WINDOW]
    )
    start, end = start - offset, min(end - offset, len(line))
    left, right = _window(
        line, start, end, room, cut_left=offset > 0, cut_right=offset + len(line) < len(text)
    )
    before = "…" if offset or left else ""
    after = "…" if right < len(line) or offset + len(line) < len(text) else ""
    shown = before + "".join(c.shown for c in line[left:right]) + after
    indent = len(before) + width(line[left:start])
    length = max(1, width(line[start : min(end, right)]))
    if end > start and not width(line[start:end]) and indent > len(before):
        indent -= 1  # only a combining mark is meant: point at the letter that carries it
    return shown, " " * indent + "^" * length


def _window(
    line: list[Cell], start: int, end: int, room: int, *, cut_left: bool, cut_right: bool
) -> tuple[int, int]:
    """The range of cells to show: it holds `start`, as much of the place as fits, and what surrounds it."""
    if not cut_left and not cut_right and width(line) <= room:
        return 0, len(line)
    budget = room - 2  # an ellipsis on each side
    left = right = start
    used = 0
    while right < end and used + line[right].columns <= budget:
        used += line[right].columns
        right += 1
    context = min((budget - used) // 2, 30)
    while left > 0 and context >= line[left - 1].columns:
        left -= 1
        used += line[left].columns
        context -= line[left].columns
    while right < len(line) and used + line[right].columns <= budget:
        used += line[right].columns
        right += 1
    while left > 0 and used + line[left - 1].columns <= budget:
        left -= 1
        used += line[left].columns
    return left, right


def _preview(source: Source, edits: tuple[Edit, ...], gutter: _Gutter, width: int) -> Iterator[str]:
    """The line as the fix would leave it, when the fix stays within one line."""
    lines = {source.position(p).line for e in edits for p in e.span}
    if len(lines) != 1 or any("\n" in e.text or "\r" in e.text for e in edits):
        return
    (number,) = lines
    text = source.line(number)
    begin = min(e.span.start for e in edits)
    line_start = begin - (source.position(begin).column - 1)
    shift, focus = 0, begin - line_start
    for edit in sorted(edits, key=lambda e: e.span):
        start, end = edit.span.start - line_start + shift, edit.span.end - line_start + shift
        text = text[:start] + edit.text + text[end:]
        shift += len(edit.text) - (edit.span.end - edit.span.start)
    shown, _ = _clipped(text, min(focus, len(text)), min(focus, len(text)), gutter.room(width))
    yield gutter.line(number, gutter.paint(_FIX, shown.rstrip()), "+")
