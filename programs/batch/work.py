"""What a batch has to do: one job for each row of an input file, or for each program."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from genevolve.grammar.checker import Checked


class Problem(NamedTuple):
    """Why a row cannot run. `code` is a diagnostic's, or a word such as `row-id`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """One row: what to run, and what its result is called.

    `index` counts the rows from 0, `where` is what messages call its place. `fields` are those of the row, copied to
    its result, `bound` is the price of its calls if none is answered by the cache. A job with a `problem` is not run.
    """

    index: int
    name: str
    where: str
    fields: Mapping[str, Any]
    checked: Checked | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    bound: float = 0.0
    problem: Problem | None = None


class Work(Protocol):
    """The rows of a batch."""

    @property
    def count(self) -> int:
        """How many rows there are."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What the batch is made from, as JSON data: the same on `--resume`, or it is another batch."""

    def jobs(self, wanted: Callable[[int], bool]) -> Generator[Job, None, None]:
        """The jobs of the rows whose index is wanted, in order.

        Raises `AuthorError` when the input has changed since it was looked at.
        """
