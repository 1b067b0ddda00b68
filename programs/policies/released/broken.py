"""What the model is told when a round breaks the protocol."""

from __future__ import annotations

from dataclasses import dataclass

from genevolve.programs.policies.quoting import one_line


@dataclass(frozen=True)
class Violation:
    """Why nothing of a round was carried out, in sentences for the model."""

    message: str


class Broken(Exception):
    """Ends the reading of a round; `str(error)` is the message of its `Violation`. Stays inside of this package."""

    @property
    def violation(self) -> Violation:
        """The same as a value."""
        return Violation(str(self))


def shown(text: str, limit: int = 60) -> str:
    """Something of the model's own, quoted in a message to it."""
    return f"'{one_line(text, limit)}'"
