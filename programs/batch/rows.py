"""Rows of a JSON Lines file for one template.

    {"id": "ex01", "question": "A red kite over the sea.", "seed": 3}

A field whose name is a parameter of the template sets it; the text of the request (`question`, or `prompt`) sets the
parameter `question`. All rows are looked at before the first one runs; what is kept of a row is a digest.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from genevolve.grammar.checker import Checked
from genevolve.grammar.errors import AuthorError
from genevolve.grammar.parameters import check_parameters
from genevolve.grammar.tree import ProgramHeader
from genevolve.interpreter.plan import plan
from genevolve.programs.batch.lines import Line, decode, read_lines
from genevolve.programs.batch.names import safe_name
from genevolve.programs.batch.work import Job, Problem

QUESTION = "question"
"""The parameter that the request of a row goes to."""

_REQUESTS = ("question", "prompt")

Step = Callable[[int], None]


class Template:
    """A checked program whose parameters rows set. `given` are values for rows that do not set them."""

    def __init__(self, checked: Checked, given: Mapping[str, object] | None = None) -> None:
        header = next((s for s in checked.tree.statements if isinstance(s, ProgramHeader)), None)
        self.checked = checked
        self.parameters = () if header is None else tuple(p.name for p in header.parameters)
        self.given = dict(given or {})
        self.bound = plan(checked).price
        if not self.parameters:
            raise AuthorError(
                f"{checked.source.name} has no parameters, so every row would give the same picture; "
                "begin it with 'program name(question: text)' and write {question} in its request and prompt"
            )
        for name in self.given:
            if name not in self.parameters:
                raise AuthorError(f"--set {name}: {checked.source.name} has no such parameter")

    def taken(self, fields: Mapping[str, Any]) -> dict[str, object]:
        """What a row sets."""
        taken = {name: fields[name] for name in self.parameters if name in fields}
        if QUESTION in self.parameters and QUESTION not in taken and "prompt" in fields:
            taken[QUESTION] = fields["prompt"]
        return taken

    def values(self, fields: Mapping[str, Any]) -> dict[str, object]:
        """The values of the parameters for a row."""
        return {**self.given, **self.taken(fields)}

    def problem(self, fields: Mapping[str, Any]) -> Problem | None:
        """What makes a row unfit for this template."""
        for name in _REQUESTS:
            if name in fields and (not isinstance(fields[name], str) or not fields[name].strip()):
                return Problem("row-question", f"the row's {name!r} is not a text, or is empty")
        needed = QUESTION in self.parameters and QUESTION not in self.given
        if needed and not any(name in fields for name in _REQUESTS):
            return Problem("row-question", "the row has no 'question' and no 'prompt'")
        found = check_parameters(self.checked, self.values(fields))
        errors = [d for d in found.diagnostics if d.is_error]
        if errors:
            return Problem(errors[0].code, "; ".join(d.message for d in errors))
        return None


class RowWork:
    """The rows of a file. Making one reads the file once and checks each row.

    Args:
        path: JSON Lines, or an array in a `.json` file.
        template: what runs for each row.
        limit: only the first so many rows are part of the work.
        step: told now and then how many rows have been looked at.

    Raises:
        AuthorError: the file has no rows, or none of them sets a parameter of the template.
        StorageError: it cannot be read.
    """

    def __init__(
        self, path: Path, template: Template, *, limit: int | None = None, step: Step | None = None
    ) -> None:
        self._path = path
        self._template = template
        self._digests = array("Q")
        self._bad = bytearray()
        self._repeats: dict[int, int] = {}
        """Rows whose id was used before, with the line of that use."""
        whole = hashlib.sha256()
        seen: dict[int, int] = {}
        fit = used = False
        for index, line in enumerate(read_lines(path)):
            whole.update(line.digest)
            self._digests.append(_short(line.digest))
            if limit is not None and index >= limit:
                continue
            fields, problem = self._look(line, index, seen)
            self._bad.append(problem is not None)
            fit = fit or problem is None
            used = used or (problem is None and bool(template.taken(fields)))
            if step is not None and index % 100 == 99:
                step(index + 1)
        self._digest = whole.hexdigest()
        self._count = len(self._bad)
        if not self._digests:
            raise AuthorError(f"{path} has no rows")
        if not self._bad:
            raise AuthorError("--limit 0 leaves nothing to do")
        if fit and not used:
            raise AuthorError(self._unused())

    @property
    def count(self) -> int:
        """How many rows are part of the work."""
        return self._count

    @property
    def bad(self) -> int:
        """How many of them cannot run."""
        return sum(self._bad)

    @property
    def identity(self) -> Mapping[str, object]:
        """Digests of the input and the template, and the values given for all rows."""
        return {
            "input": {"name": self._path.name, "rows": len(self._digests), "digest": self._digest},
            "template": {
                "name": self._template.checked.source.name,
                "digest": hashlib.sha256(
                    self._template.checked.source.text.encode("utf-8", "surrogatepass")
                ).hexdigest(),
            },
            "values": {name: str(value) for name, value in sorted(self._template.given.items())},
        }

    def jobs(self, wanted: Callable[[int], bool]) -> Generator[Job, None, None]:
        """The jobs of the rows whose index is wanted, read anew from the file."""
        index = -1
        for index, line in enumerate(read_lines(self._path)):
            if index >= self._count:
                return
            if _short(line.digest) != self._digests[index]:
                raise AuthorError(self._changed(line.number))
            if wanted(index):
                yield self._job(index, line)
        if index + 1 < self._count:
            raise AuthorError(self._changed(index + 2))

    def _changed(self, line: int) -> str:
        return (
            f"{self._path}:{line}: the file has changed while the batch was running; "
            "put it back as it was and use --resume, or start anew in another folder"
        )

    def _unused(self) -> str:
        names = ", ".join(self._template.parameters)
        return (
            f"no row of {self._path} sets a parameter of {self._template.checked.source.name} ({names}), so every row "
            "would give the same picture; name a text parameter 'question', or give the rows fields of these names"
        )

    def _look(self, line: Line, index: int, seen: dict[int, int]) -> tuple[dict[str, Any], Problem | None]:
        """A row's fields, none where it has no proper ones, and what is wrong with it."""
        fields, problem = _fields(line)
        if problem is not None:
            return fields, problem
        identity = str(fields["id"]).encode("utf-8", "surrogatepass")
        key = _short(hashlib.blake2b(identity, digest_size=16).digest())
        first = seen.setdefault(key, line.number)
        if first != line.number:
            self._repeats[index] = first
            return fields, _repeated(fields, first)
        return fields, self._template.problem(fields)

    def _job(self, index: int, line: Line) -> Job:
        where = f"{self._path}:{line.number}"
        fields, problem = _fields(line)
        if problem is None and self._bad[index]:
            first = self._repeats.get(index)
            problem = self._template.problem(fields) if first is None else _repeated(fields, first)
        if problem is not None:
            return Job(index, "", where, fields, problem=problem)
        values = self._template.values(fields)
        return Job(
            index,
            safe_name(str(fields["id"])),
            where,
            fields,
            self._template.checked,
            values,
            self._template.bound,
        )


def _fields(line: Line) -> tuple[dict[str, Any], Problem | None]:
    try:
        data = decode(line)
    except ValueError as error:
        return {}, Problem("row-json", str(error))
    if not isinstance(data, dict):
        return {}, Problem("row-json", "the row is not a JSON object")
    if "id" not in data:
        return data, Problem("row-id", "the row has no 'id'")
    identity = data["id"]
    # Numbers count as ids because benchmark files number their rows; a bool is an int in Python, not here.
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        return data, Problem("row-id", "the row's 'id' is neither a text nor a whole number")
    if isinstance(identity, str) and not identity.strip():
        return data, Problem("row-id", "the row's 'id' is empty")
    return data, None


def _repeated(fields: Mapping[str, Any], first: int) -> Problem:
    shown = str(fields["id"])
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return Problem("row-duplicate", f"the id {shown!r} is used on line {first} already")


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")
