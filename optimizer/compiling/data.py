"""What a run learns on and is measured on: requests as sketches, with what is known of their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError, ConfigurationError, ProgramError
from genevolve.optimizer.compiling.gate import About
from genevolve.optimizer.evaluation.suites import Row, Suite, open_suite

if TYPE_CHECKING:
    from genevolve.optimizer.compiling.sections import DataSection
    from genevolve.optimizer.evolution import Request
    from genevolve.programs.program import Program


@dataclass(frozen=True)
class Data:
    """The suites of a run.

    Attributes:
        suite: Requests to learn on, the usable ones alone.
        validation: Requests of the gate; None when there are none.
        sketch: What each request is filled into; None for the request alone.
        skipped: Ids of rows that cannot be used, with the reason.
    """

    suite: Suite
    validation: Suite | None
    sketch: Program | None
    skipped: tuple[tuple[str, str], ...] = ()

    def identity(self) -> dict[str, Any]:
        """What makes two runs runs on the same data."""
        return {
            "suite": _facts(self.suite),
            "validation": None if self.validation is None else _facts(self.validation),
            "sketch": None
            if self.sketch is None
            else {"name": self.sketch.name, "digest": self.sketch.digest},
        }


def open_data(section: DataSection) -> Data:
    """The suites that the settings name.

    Raises:
        ConfigurationError: They name none, or a kind that does not exist.
        AuthorError: A suite or the sketch cannot be read, or no row can be used.
        ProgramError: The sketch has errors besides its holes.
    """
    from genevolve.programs.program import Program

    spec = section.suite or section.requests
    if not spec:
        raise ConfigurationError("what is learned on? --suite studio:DIR/train, or --requests FILE.jsonl")
    if section.requests and Path(section.requests).suffix.lower() not in (".jsonl", ".json"):
        raise ConfigurationError(
            f"--requests takes a .jsonl file with a request a line, not {section.requests}"
        )
    suite = open_suite(spec)
    skipped = tuple((row.id, row.problem) for row in suite.rows if row.problem)
    suite = _usable(suite, section.limit)
    found = validation_spec(section)
    validation = None if found is None else _usable(open_suite(found), 0)
    if validation is not None:
        _check_apart(suite, validation)
    sketch = Program.load(section.sketch) if section.sketch else None
    if sketch is not None and not (findings := sketch.check()).ok:
        raise ProgramError(findings)
    return Data(suite, validation, sketch, skipped)


def validation_spec(section: DataSection) -> str | None:
    """The suite of the gate: the setting's, or the validation split of the same studio world; None without one."""
    if section.validation:
        return section.validation
    kind, _, argument = section.suite.partition(":")
    path = Path(argument)
    if kind == "studio" and path.name == "train" and not (path / "studio.json").is_file():
        return f"studio:{path.parent / 'validation'}"
    return None


def requests_of(rows: Iterable[Row], sketch: Program | None) -> list[Request]:
    """Rows as requests to fill; their ground truths are made when they are needed (`with_truths`).

    Raises:
        AuthorError: A row's text cannot stand in a program.
    """
    from genevolve.optimizer.evaluation.workshop import Wanted
    from genevolve.optimizer.evolution import Request

    found = []
    for row in rows:
        wanted = Wanted(row.request, row.id, row.category, row.constraints)
        found.append(Request(filled_in(sketch, row.request, row.name), wanted))
    return found


def with_truths(requests: Sequence[Request], suite: Suite) -> list[Request]:
    """The same requests with the files of their ground truths, made now where they are missing."""
    rows = {row.id: row for row in suite.rows}
    return [replace(r, wanted=replace(r.wanted, truth=suite.truth_path(rows[r.wanted.id]))) for r in requests]


def about(suite: Suite) -> dict[str, About]:
    """What records of evaluations tell of each request."""
    return {row.id: About(row.track, row.skills) for row in suite.rows}


def filled_in(sketch: Program | None, request: str, name: str) -> Program:
    """The sketch with its request statement replaced by a request; without a sketch, the request alone.

    Raises:
        AuthorError: The sketch does not parse, has not exactly one request, or the request is no text.
    """
    from genevolve.grammar.formatter import format_tree
    from genevolve.grammar.tree import Request as RequestStatement
    from genevolve.programs.policies.context import as_sketch
    from genevolve.programs.program import Program

    try:
        plain = Program.parse(as_sketch(request), f"{name}.gprog")
    except ValueError as error:
        raise AuthorError(f"the request {name} cannot stand in a program: {error}") from error
    if sketch is None:
        return plain
    (wanted,) = (s for s in plain.tree.statements if isinstance(s, RequestStatement))
    statements = sketch.tree.statements
    if sum(isinstance(s, RequestStatement) for s in statements) != 1:
        raise AuthorError(f"{sketch.name}: a sketch that requests are filled into has one request statement")
    new = tuple(replace(s, text=wanted.text) if isinstance(s, RequestStatement) else s for s in statements)
    return Program.parse(format_tree(replace(sketch.tree, statements=new)), f"{name}.gprog")


def _usable(suite: Suite, limit: int) -> Suite:
    rows = tuple(row for row in suite.rows if not row.problem)
    if not rows:
        raise AuthorError(f"{suite.name}: no row can be used ({suite.rows[0].problem})")
    return replace(suite, rows=rows[:limit] if limit else rows)


def _check_apart(suite: Suite, validation: Suite) -> None:
    """Refuse a validation that asks for what is learned: its gains would be memory."""
    known = {" ".join(row.request.casefold().split()) for row in suite.rows}
    shared = [row.id for row in validation.rows if " ".join(row.request.casefold().split()) in known]
    if shared:
        raise AuthorError(
            f"{len(shared)} validation requests are also learned on ({', '.join(shared[:3])} …); "
            "name another suite with --validation"
        )


def _facts(suite: Suite) -> Mapping[str, Any]:
    return {"name": suite.name, "digest": suite.digest, "rows": len(suite.rows)}
