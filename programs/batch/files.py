"""A batch of programs: each file is a row whose id is its path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, ProgramError
from genevolve.grammar.holes import hole_diagnostics
from genevolve.grammar.parameters import check_parameters
from genevolve.grammar.tree import Request, String
from genevolve.grammar.types import Environment
from genevolve.interpreter.plan import plan
from genevolve.programs.batch.names import safe_name
from genevolve.programs.batch.work import Job, Problem
from genevolve.programs.program import Program


class ProgramWork:
    """Programs that are run once each. Making one reads them all.

    Args:
        paths: their files, in order.
        environment: what they are checked against.
        given: values for their parameters; each program takes those that it has.
        limit: only the first so many are part of the work.

    Raises:
        AuthorError: a file does not exist, or no program has a parameter that is given.
        StorageError: a file cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        environment: Environment,
        given: Mapping[str, object] | None = None,
        *,
        limit: int | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._environment = environment
        self._given = dict(given or {})
        self._digests = [_digest(Program.load(path)) for path in self._paths]
        self._count = len(self._paths) if limit is None else min(limit, len(self._paths))
        if not self._count:
            raise AuthorError("there is no program to run")
        known = {p.name for path in self._paths for p in Program.load(path).parameters}
        for name in self._given:
            if name not in known:
                raise AuthorError(f"--set {name}: none of the programs has such a parameter")

    @property
    def count(self) -> int:
        """How many programs are part of the work."""
        return self._count

    @property
    def identity(self) -> Mapping[str, object]:
        """A digest of all programs, and the values given for them."""
        whole = hashlib.sha256()
        for path, digest in zip(self._paths, self._digests, strict=True):
            whole.update(f"{path.as_posix()}\0{digest}\0".encode("utf-8", "surrogateescape"))
        return {
            "programs": {"number": len(self._paths), "digest": whole.hexdigest()},
            "values": {name: str(value) for name, value in sorted(self._given.items())},
        }

    def jobs(self, wanted: Callable[[int], bool]) -> Generator[Job, None, None]:
        """The jobs of the programs whose index is wanted, read anew from their files."""
        for index in filter(wanted, range(self._count)):
            path = self._paths[index]
            program = Program.load(path)
            if _digest(program) != self._digests[index]:
                raise AuthorError(
                    f"{path}: the program has changed while the batch was running; "
                    "put it back as it was and use --resume, or start anew in another folder"
                )
            yield self._job(index, path, program)

    def _job(self, index: int, path: Path, program: Program) -> Job:
        where = str(path)
        identity = path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        fields: dict[str, Any] = {"id": identity}
        request = _request(program)
        if request is not None:
            fields["prompt"] = request
        values = {p.name: self._given[p.name] for p in program.parameters if p.name in self._given}
        problem = self._problem(program, values)
        if problem is not None:
            return Job(index, "", where, fields, problem=problem)
        checked = program.checked(self._environment)
        return Job(index, safe_name(identity), where, fields, checked, values, plan(checked).price)

    def _problem(self, program: Program, values: Mapping[str, object]) -> Problem | None:
        findings = program.check(self._environment)
        checked = program.checked(self._environment)
        errors = findings.errors
        if not errors:
            errors = tuple(hole_diagnostics(checked.tree, self._environment))
        if not errors:
            errors = tuple(d for d in check_parameters(checked, values).diagnostics if d.is_error)
        if not errors:
            return None
        error = ProgramError.at(findings.source, *errors)
        return Problem(errors[0].code, str(error))


def _digest(program: Program) -> str:
    return hashlib.sha256(program.source.encode("utf-8", "surrogatepass")).hexdigest()


def _request(program: Program) -> str | None:
    """The request, where it is plain text; with parameters in it, z tells what it came to."""
    for statement in program.tree.statements:
        if isinstance(statement, Request) and isinstance(statement.text, String):
            return statement.text.plain
    return None
