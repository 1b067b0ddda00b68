"""The exceptions of genevolve, split by who must act.

    GenevolveError
    ├── AuthorError                the program, its parameters or its inputs are wrong   (exit code 1)
    │   └── ProgramError           with diagnostics that point into the program
    │       └── RunError           the run failed there; with `service` an operator must act (exit code 3)
    ├── OperatorError              the surroundings are wrong                            (exit code 3)
    │   ├── ConfigurationError     a setting, key or folder (exit code 2 on the command line)
    │   ├── ServiceError           a tool, renderer or model failed or did not answer
    │   └── StorageError           a file, cache or index cannot be read or written
    ├── Cancelled                  somebody stopped the run                              (exit code 130)
    └── InternalError              a bug in genevolve: please report it

Errors of other libraries are translated at the boundary, `raise … from error`.
"""

from __future__ import annotations

from pathlib import Path

from genevolve.grammar.diagnostics import Diagnostic, Findings
from genevolve.grammar.span import Source


class GenevolveError(Exception):
    """Root of everything that genevolve raises on purpose. `str(error)` is one plain sentence."""


class AuthorError(GenevolveError):
    """The author of a program, or the person who gave its inputs, can put it right.

    `code` is a diagnostic's code when one fits (an image tool raises GP412 to GP415); the machine then
    reports the failure under that code at the call's place.
    """

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class ProgramError(AuthorError):
    """A program cannot run, or its run failed at a place that `findings` points at."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        errors = findings.errors
        first = errors[0] if errors else None
        if first is None:
            super().__init__("the program failed")
        else:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            where = findings.source.where(first.span)
            super().__init__(f"{where}: {first.code}: {first.message}{more}")

    @classmethod
    def at(cls, source: Source, *diagnostics: Diagnostic) -> ProgramError:
        """The error that these diagnostics make in that source."""
        return cls(Findings(source, diagnostics))


class RunError(ProgramError):
    """A run that had begun failed at a place in the program.

    `service` tells that a tool, a renderer or a service is at fault and not the program. `folder` is the run
    record, where there is one: its trace tells what happened.
    """

    def __init__(self, findings: Findings, *, service: bool = False, folder: Path | None = None) -> None:
        super().__init__(findings)
        self.service = service
        self.folder = folder


class OperatorError(GenevolveError):
    """Whoever runs genevolve can put it right: keys, services, disks, settings."""


class ConfigurationError(OperatorError):
    """A setting is missing, malformed or impossible."""


class ServiceError(OperatorError):
    """A tool, renderer or model failed; `retryable` tells whether trying again can help."""

    def __init__(self, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class StorageError(OperatorError):
    """A file, cache or index cannot be read or written."""


class Cancelled(GenevolveError):
    """The run was stopped before it was finished; nothing of it goes on."""


class InternalError(GenevolveError):
    """A bug in genevolve."""
