"""A policy without a model: it writes turns that were recorded before.

`scripted:cover.gprog` fills a sketch from a finished program: each statement of that program that the sketch does not
have, in order, turn by turn, as a policy would. `scripted:turns.jsonl` says the texts of its lines in order (JSON
strings, or objects with a `text`). For demonstrations, tests, and trajectories that teach.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from genevolve.grammar.errors import ConfigurationError, GenevolveError
from genevolve.grammar.formatter import format_statement
from genevolve.grammar.tree import ProgramHeader, Request, Statement, StatementHole
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits
from genevolve.programs.program import Program
from genevolve.programs.synthesis.merge import Mismatch, filled_in, has_holes

MAX_BYTES = 8 * 1024 * 1024


class ScriptedPolicy:
    """Says given turns, whatever it is asked: the first turn of a dialogue is the first text. Then it says nothing."""

    takes_images = False
    constrained = False

    def __init__(self, turns: Sequence[str], name: str = "scripted") -> None:
        self.turns = tuple(turns)
        self._name = name

    @property
    def name(self) -> str:
        """The spec that opens it again."""
        return self._name

    @property
    def version(self) -> str:
        """There is only one."""
        return "scripted-1"

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """The next recorded turn of each dialogue."""
        return [Emission(self._turn(d)) for d in dialogues]

    def _turn(self, dialogue: Dialogue) -> str:
        return self.turns[dialogue.turn] if dialogue.turn < len(self.turns) else ""

    def release(self, ids: Sequence[str]) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to free."""


class RecordedProgram:
    """Fills sketches with the statements of a finished program.

    What to write next is worked out from `Dialogue.reach` alone: the statements of the program that come after what is
    written already, up to the author's next statement. So it fills any sketch that was made from that program.
    """

    takes_images = False
    constrained = False

    def __init__(self, program: Program, name: str = "scripted") -> None:
        self._statements = [s for s in program.tree.statements if not isinstance(s, ProgramHeader | Request)]
        if any(has_holes(s) for s in self._statements):
            raise ConfigurationError("a scripted policy needs a finished program, and this one has holes")
        self._name = name

    @property
    def name(self) -> str:
        """The spec that opens it again."""
        return self._name

    @property
    def version(self) -> str:
        """There is only one."""
        return "scripted-1"

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """The next statements of the program, for each dialogue."""
        return [Emission(self._next(d)) for d in dialogues]

    def release(self, ids: Sequence[str]) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to free."""

    def _next(self, dialogue: Dialogue) -> str:
        reach = dialogue.reach
        if reach is None:
            return ""
        at = reach.scope.statements - _heads(dialogue)
        rest = self._statements[max(0, at) :]
        if reach.statement is not None:
            return _text(rest[:1])
        ends = self._end(rest, reach.follows)
        turn: list[Statement] = []
        for statement in rest[:ends]:
            turn.append(statement)
            extension = reach.scope.extend(statement)
            if extension.scope.calls_spent > reach.scope.calls_spent:
                break
        return _text(turn)

    def _end(self, rest: Sequence[Statement], follows: Sequence[Statement]) -> int:
        """How many statements belong into this hole: up to where what the author wrote next begins."""
        matching = (n for n in range(len(rest) + 1) if _continues(rest[n:], follows))
        return next(matching, len(rest))


def open_scripted(argument: str) -> ScriptedPolicy | RecordedProgram:
    """The policy of `scripted:FILE`.

    Raises:
        ConfigurationError: The file is missing, or neither a finished program nor lines of turns.
    """
    if not argument:
        raise ConfigurationError("scripted needs a file, as in scripted:program.gprog")
    path, name = Path(argument).expanduser(), f"scripted:{argument}"
    if path.suffix == ".gprog":
        try:
            program = Program.load(path)
            program.format()
        except GenevolveError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        return RecordedProgram(program, name)
    return ScriptedPolicy(_read_turns(path, name), name)


def _read_turns(path: Path, name: str) -> list[str]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{name}: more than {MAX_BYTES:,} bytes")
    turns: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{name}: line {number} is not JSON") from error
        text = said.get("text") if isinstance(said, dict) else said
        if not isinstance(text, str):
            raise ConfigurationError(f"{name}: line {number} is neither a string nor an object with a text")
        turns.append(text)
    return turns


def _heads(dialogue: Dialogue) -> int:
    """How many of the statements so far are the header and the request."""
    scope = dialogue.reach.scope if dialogue.reach is not None else None
    return 0 if scope is None else scope.has_header + scope.has_request


def _text(statements: Sequence[Statement]) -> str:
    return "".join(f"{format_statement(s)}\n" for s in statements)


def _continues(rest: Sequence[Statement], follows: Sequence[Statement]) -> bool:
    """Whether the author's statements can be read out of these, holes standing for what lies between."""
    ends = {0}  # how many statements of `rest` what was looked at may stand for
    for wanted in follows:
        if not ends:
            return False
        if isinstance(wanted, StatementHole):
            ends = set(range(min(ends), len(rest) + 1))
        else:
            ends = {n + 1 for n in ends if n < len(rest) and _fits(wanted, rest[n])}
    return len(rest) in ends


def _fits(wanted: Statement, found: Statement) -> bool:
    try:
        filled_in(wanted, found)
    except Mismatch:
        return False
    return True
