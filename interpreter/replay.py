"""Replay: a run executed again from its trace, with no tool, no network and no picture; z must come out the same.

A run folder or a bare trace is enough: it holds the program, its parameters, the signatures and guards that it was
checked against, and every answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genevolve.grammar.checker import check
from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.grammar.parser import parse
from genevolve.grammar.reader import MAX_BYTES
from genevolve.grammar.span import Source
from genevolve.grammar.types import Signature
from genevolve.grammar.z import Z
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.cache import arguments_json, call_key
from genevolve.interpreter.events import Event
from genevolve.interpreter.execution import statement_hash
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.regular import open_regular
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.run import Run
from genevolve.interpreter.snapshot import restore
from genevolve.interpreter.trace import Trace, read_trace
from genevolve.interpreter.values import Value, from_json


@dataclass(frozen=True)
class RecordedTool:
    """Answers from a trace. `answers` maps the key of the arguments to the recorded value."""

    signature: Signature
    answers: Mapping[str, Value]
    version: None = None
    is_async: bool = True

    async def __call__(self, context: CallContext, /, *args: Value, **named: Value) -> Value:
        """The recorded answer; raises `AuthorError` when the trace has none for these arguments."""
        key = call_key(self.signature.name, None, arguments_json(args, named))
        if key not in self.answers:
            raise AuthorError(f"the trace holds no answer of '{self.signature.name}' to these arguments")
        return self.answers[key]


def replay(path: Path) -> Run:
    """Execute a recorded run again.

    Args:
        path: a run folder or a trace file.

    Returns:
        The run, without a picture; its z is the recorded one, byte for byte.

    Raises:
        AuthorError: the trace is damaged or foreign, the run did not finish, the program beside it was changed since,
            or z came out differently.
        RunError: the trace lacks the answer of a call; the place of the call is in the findings.
        StorageError: a file cannot be read.
    """
    return blocking(replay_async(path))


async def replay_async(path: Path) -> Run:
    """`replay` for code on an event loop."""
    trace = read_trace(path)
    _check_file(path / "program.gprog", trace)
    started, program, recorded = trace.events[0], _only(trace, "program"), _recorded_z(trace)
    text = str(program.data["program"])
    environment, skills = restore(started.data["environment"])
    source = Source(text, str(program.data.get("name", path)))
    checked = check(parse(source), environment)
    _check_hashes(checked.tree.statements, program, str(path))
    answers = _answers(trace)
    tools = [
        RecordedTool(s, answers.get(s.name, {}))
        for s in environment.signatures.values()
        if s.name in started.data["environment"]["tools"]
    ]
    machine = Machine(
        tools,
        skills=skills,
        budget=Budget(None, None, None, None),
        retry=RetryPolicy(attempts=1),
        secrets=(),
    )
    run = await machine.run(checked, _parameters(started), render=False)
    if run.z.to_json() != recorded.to_json():
        raise AuthorError(
            f"{path}: the replay gives another z ({run.z.digest[:12]}) than the run did ({recorded.digest[:12]}): "
            "the trace was changed, or this version elaborates differently"
        )
    return run


def _only(trace: Trace, kind: str) -> Event:
    events = trace.of(kind)
    if len(events) != 1:
        raise AuthorError(f"the trace has {len(events)} events of the kind {kind!r}; a finished run has one")
    return events[0]


def _recorded_z(trace: Trace) -> Z:
    if not trace.of("z"):
        ends = trace.of("run_finished")
        said = next(
            (d.get("message", "") for e in ends for d in e.data["diagnostics"] if isinstance(d, dict)), ""
        )
        why = f": {said}" if said else ""
        raise AuthorError(
            f"this run did not get as far as z (status {trace.status}{why}), so there is nothing to repeat"
        )
    event = _only(trace, "z")
    try:
        z = Z.from_dict(event.data["z"])
    except ValueError as error:
        raise AuthorError(f"the z in the trace is damaged: {error}") from error
    if z.digest != event.data["digest"]:
        raise AuthorError("the z in the trace does not have the digest that the trace gives for it")
    return z


def _check_file(file: Path, trace: Trace) -> None:
    """Raise `AuthorError` when the program beside the trace, if there is one, is another one."""
    program = _only(trace, "program")
    text = str(program.data["program"])
    if not file.exists():
        return
    try:
        with open_regular(file) as stream:
            # One byte more than is allowed is enough to tell that a file is another one.
            now = stream.read(MAX_BYTES + 1).decode("utf-8", "replace")
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror or error}") from error
    if now == text:
        return
    hashes = [statement_hash(s) for s in parse(Source(now, str(file))).tree.statements]
    then = [str(h) for h in program.data["statements"]]
    changed = next(
        (i for i, (a, b) in enumerate(zip(hashes, then, strict=False)) if a != b), min(len(hashes), len(then))
    )
    if hashes != then:
        raise AuthorError(f"{file} was changed since this run, from statement {changed + 1} on")


def _check_hashes(statements: Any, program: Event, name: str) -> None:
    if [statement_hash(s) for s in statements] != list(program.data["statements"]):
        raise AuthorError(
            f"{name}: the program in the trace does not have the statements that the trace lists"
        )


def _answers(trace: Trace) -> dict[str, dict[str, Value]]:
    """Every recorded value by tool and key of its arguments."""
    found: dict[str, dict[str, Value]] = {}
    for event in trace.of("call"):
        if "value" not in event.data:
            continue
        tool = str(event.data["tool"])
        try:
            value = from_json(event.data["value"])
        except (ValueError, TypeError) as error:
            raise AuthorError(f"the trace holds a damaged answer of '{tool}': {error}") from error
        found.setdefault(tool, {})[call_key(tool, None, event.data["arguments"])] = value
    return found


def _parameters(started: Event) -> dict[str, object]:
    try:
        values: dict[str, object] = {n: from_json(v) for n, v in started.data["parameters"].items()}
    except (ValueError, TypeError) as error:
        raise AuthorError(f"the trace holds a damaged parameter: {error}") from error
    paths = started.data.get("image_parameters", {})
    return {**values, **(paths if isinstance(paths, dict) else {})}
