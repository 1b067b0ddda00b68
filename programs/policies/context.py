"""The prompt of a policy, built in one place: system message, the sketch or request, turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from genevolve.grammar.tree import Tree
from genevolve.grammar.types import Environment
from genevolve.programs.policies.protocol import Message


def guide_text(bundle: Mapping[str, object]) -> str:
    """The decision guide of an experience bundle (its plain data, METHOD §3), as it is shown to a teacher."""
    raise NotImplementedError


def system(
    environment: Environment,
    *,
    card: Literal["full", "compact"] = "full",
    guide: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
) -> Message:
    """The system message: language card, skills, examples, the guide if there is one, and then the tools."""
    raise NotImplementedError


def with_guide(messages: Sequence[Message], guide: str | None) -> tuple[Message, ...]:
    """The same dialogue with another guide, or none, in its system message; nothing else changes."""
    raise NotImplementedError


def opening(
    sketch: Tree | str,
    environment: Environment,
    *,
    card: Literal["full", "compact"] = "full",
    guide: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
) -> tuple[Message, ...]:
    """The system message and the first user message: a sketch, or a bare request as text."""
    raise NotImplementedError
