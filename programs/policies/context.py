"""The prompt of a policy, built in one place.

    system      language card, skills, programs of others, [decision guide], tools
    user        the sketch, what the author's statements showed, and which hole is to be filled
    assistant   the policy's turn, exactly as it was written
    user        what the turn showed, what was refused, and which hole is to be filled
    …

A dialogue only grows. The decision guide of a teacher stands in the system message, before the tools, and nowhere
else: with and without it every other message is the same, so both score the same assistant tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genevolve.grammar.errors import AuthorError
from genevolve.grammar.formatter import format_statement, format_tree
from genevolve.grammar.holes import find_holes
from genevolve.grammar.strings import quote
from genevolve.grammar.tree import PLAIN, Request, Statement, StatementHole, String, Tree
from genevolve.grammar.types import Environment
from genevolve.programs.policies import observation as observations
from genevolve.programs.policies.language_card import (
    CARDS,
    EXAMPLES,
    GUIDE,
    TOOLS,
    Size,
    skills_section,
    tools_section,
)
from genevolve.programs.policies.protocol import Message, Role
from genevolve.programs.policies.quoting import one_line, without_markers

if TYPE_CHECKING:
    from genevolve.interpreter.session import Observation
    from genevolve.interpreter.values import ImageHandle

MAX_GUIDE = 12_000
"""Characters of a decision guide that are shown; seven fields of eight bullets of 22 words are well below it."""

_GUIDE_FIELDS: Mapping[str, str] = {
    "focus": "Focus",
    "recommended_tool_plan": "Tool plan",
    "search_query_guidance": "Search queries",
    "skill_routing_guidance": "Skills",
    "reference_selection_guidance": "References",
    "prompt_program_guidance": "Prompt",
    "failure_guards": "Avoid",
}


# ---- system message ----------------------------------------------------------------------------------


def guide_text(bundle: Mapping[str, object]) -> str:
    """The decision guide of an experience bundle, as it is shown to a teacher.

    Args:
        bundle: Its plain data (METHOD §3), or the `decision_guidance` of it alone: fields with lists of bullets.

    Raises:
        AuthorError: It is neither.
    """
    guidance = bundle.get("decision_guidance", bundle)
    if not isinstance(guidance, Mapping) or not any(name in guidance for name in _GUIDE_FIELDS):
        raise AuthorError("a decision guide has fields such as 'focus' and 'recommended_tool_plan'")
    lines: list[str] = []
    for name, heading in _GUIDE_FIELDS.items():
        bullets = guidance.get(name, ())
        if not isinstance(bullets, Sequence) or isinstance(bullets, str):
            raise AuthorError(f"decision guide: {name} must be a list of sentences")
        if bullets:
            lines.append(f"{heading}:")
            lines += (f"- {one_line(str(bullet), 400)}" for bullet in bullets)
    return "\n".join(lines)


def system(
    environment: Environment,
    *,
    card: Size = "full",
    guide: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
) -> Message:
    """The system message: language card, skills, examples, the guide if there is one, and then the tools."""
    sections = [
        CARDS[card],
        skills_section(environment, card),
        _examples_section(examples),
        tools_section(environment, card),
    ]
    message = Message(Role.SYSTEM, "\n".join(s for s in sections if s))
    return message if guide is None else _patched(message, guide)


def with_guide(messages: Sequence[Message], guide: str | None) -> tuple[Message, ...]:
    """The same dialogue with another guide, or none, in its system message; nothing else changes.

    Raises:
        ValueError: The dialogue does not begin with a system message of `system`.
    """
    if not messages or messages[0].role is not Role.SYSTEM:
        raise ValueError("a dialogue begins with its system message")
    first, *rest = messages
    lines = first.text.split("\n")
    if TOOLS not in lines:
        raise ValueError("this system message has no tools; it was not made here")
    if GUIDE in lines:
        start, end = lines.index(GUIDE), lines.index(TOOLS)
        first = replace(first, text="\n".join((*lines[:start], *lines[end:])))
    return (first if guide is None else _patched(first, guide), *rest)


def _patched(message: Message, guide: str) -> Message:
    lines = message.text.split("\n")
    at = lines.index(TOOLS)
    section = (GUIDE, *_guide_lines(guide), "")
    return replace(message, text="\n".join((*lines[:at], *section, *lines[at:])))


def _guide_lines(guide: str) -> list[str]:
    """The lines of a guide, none of which can be a heading: bundles come from others."""
    lines = (one_line(line, 500) for line in guide[:MAX_GUIDE].split("\n"))
    return [line.lstrip("#").lstrip() or "-" for line in lines if line]


def _examples_section(examples: Sequence[tuple[str, str]]) -> str:
    if not examples:
        return ""
    lines = [EXAMPLES]
    for request, program in examples:
        lines.append(f"for {quote(one_line(request, 2000))}")
        lines += (f"  {without_markers(line)}" for line in program.strip().split("\n"))
    return "\n".join(lines) + "\n"


# ---- user messages -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """Which hole is to be filled next, and with what means.

    `missing` is what keeps the program from being complete, in sentences; shown when a hole has to be gone on with.
    """

    statement: Statement
    calls_left: int
    turns_left: int
    may_call: bool = True
    missing: tuple[str, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class Turn:
    """What a turn led to, to be told to the policy.

    Attributes:
        observations: Of what was executed: the policy's statements, and author's ones after a hole was filled.
        refused: Why a statement was refused or the text could not be read.
        ignored: What was not read because the turn had ended before it.
        ask: What comes next.
    """

    observations: tuple[Observation, ...] = ()
    refused: str = ""
    ignored: str = ""
    ask: Ask | None = None


def as_sketch(request: str) -> str:
    """The sketch that a bare request stands for: `request "…"` and one `...`."""
    text = String((" ".join(request.split()),), raw="")
    hole = StatementHole(trivia=replace(PLAIN, blank_before=True))
    return format_tree(Tree((Request(text), hole)))


def opening(
    sketch: Tree | str,
    environment: Environment,
    *,
    card: Size = "full",
    guide: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
    turn: Turn | None = None,
) -> tuple[Message, ...]:
    """The system message and the first user message.

    Args:
        sketch: A sketch, or a bare request as text.
        environment: What programs are checked against.
        card: Which language card.
        guide: The decision guide of a teacher, as text.
        examples: Requests and programs that answer them.
        turn: What the author's statements before the first hole showed, and what is asked for.
    """
    text = as_sketch(sketch) if isinstance(sketch, str) else format_tree(sketch)
    lines = [
        "The sketch:",
        *(f"  {line}".rstrip() for line in without_markers(text).rstrip("\n").split("\n")),
    ]
    first = turn or Turn()
    told, images = _told(first, environment, card)
    user = Message(Role.USER, "\n".join((*lines, *told)), images, first)
    return system(environment, card=card, guide=guide, examples=examples), user


def answer(turn: Turn, environment: Environment, *, card: Size = "full") -> Message:
    """The user message that answers a turn."""
    told, images = _told(turn, environment, card)
    return Message(Role.USER, "\n".join(told), images, turn)


def _told(turn: Turn, environment: Environment, card: Size) -> tuple[list[str], tuple[ImageHandle, ...]]:
    view = observations.VIEWS[card]
    lines: list[str] = []
    images: list[ImageHandle] = []
    size = 0
    for observation in turn.observations:
        text, pictures = observations.describe(
            observation, limits=replace(view, total=max(0, view.total - size))
        )
        if text and size < view.total:
            lines.append(text)
            size += len(text) + 1
        images += pictures
    lines += (line for line in (turn.refused, turn.ignored) if line)
    if turn.ask is not None:
        lines += _asked(turn.ask, environment, card)
    return lines, tuple(images[: view.images])


def _asked(ask: Ask, environment: Environment, card: Size) -> Iterable[str]:
    yield from (f"Still missing: {one_line(reason, 240)}" for reason in ask.missing[:4])
    if card == "brief" and isinstance(ask.statement, StatementHole):
        verb = "Go on" if ask.again else "Fill"
        yield f"{verb if ask.may_call else 'End'} {ask.calls_left} {ask.turns_left}"
        return
    means = f"calls left: {ask.calls_left}, turns left: {ask.turns_left}."
    if isinstance(ask.statement, StatementHole):
        if not ask.may_call:
            yield f"Write all that is left now, without a call; {means}"
        elif ask.again:
            yield f"Go on; {means}"
        else:
            yield f"Fill the `...`; {means}"
        return
    statement = replace(ask.statement, trivia=PLAIN)
    wanted = [f"{s.where}: {s.type}" for s in find_holes(Tree((statement,)), environment)]
    verb = "Write this statement again" if ask.again else "Write this statement"
    yield f"{verb}, every ? replaced ({', '.join(wanted[:6])}); {means}"
    yield "\n".join(f"  {line}" for line in without_markers(format_statement(statement)).split("\n"))
