"""Diagnostics: what is wrong in a program, where, and what to do about it.

A diagnostic is data; text, JSON, GitHub and SARIF views are made from it by `grammar.report`. Every code
stands in `grammar.codes` with its severity and title, and has a page under `grammar/explain/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from genevolve.grammar.span import Source, Span


class Severity(Enum):
    """`error` stops a program from running; `warning` and `hint` do not."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the span by a text."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that is safe to make mechanically (`genevolve check --fix`)."""

    message: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that the diagnostic speaks of, such as the first definition of a name."""

    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: a stable code, one plain sentence, the place, notes, and a fix where it is safe."""

    code: str
    message: str
    span: Span
    notes: tuple[str, ...] = ()
    fix: Fix | None = None
    related: tuple[Related, ...] = ()

    @property
    def severity(self) -> Severity:
        """The severity that the code is registered with."""
        from genevolve.grammar.codes import CODES

        return CODES[self.code].severity

    @property
    def is_error(self) -> bool:
        """Whether a program with this finding must not run."""
        return self.severity is Severity.ERROR


@dataclass(frozen=True)
class Findings:
    """The diagnostics of one source, in the order of their places."""

    source: Source
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Those that stop the program from running."""
        return tuple(d for d in self.diagnostics if d.is_error)

    @property
    def ok(self) -> bool:
        """Whether there is no error (there may be warnings)."""
        return not self.errors


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by place, then code, without exact repeats."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.span.start, d.span.end, d.code)))
