"""The machine: runs whole programs, and opens sessions that grow one statement at a time.

machine = Machine(tools, skills=skills, renderer=renderer)
run = await machine.run(checked, {"title": "PARIS"})
run.image, run.prompt, run.references, run.trace
"""

from __future__ import annotations

import asyncio
import platform
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from genevolve.grammar.builtins import PREDICATES
from genevolve.grammar.checker import Checked
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.errors import GenevolveError, InternalError, RunError
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Tree
from genevolve.grammar.types import Environment, SkillInfo
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.budget import Budget, Ledger
from genevolve.interpreter.cache import CallCache
from genevolve.interpreter.calls import Surroundings
from genevolve.interpreter.events import Listener
from genevolve.interpreter.execution import Execution
from genevolve.interpreter.outcome import (
    Outcome,
    check_references,
    check_renderer,
    draw,
    elaborated,
    foreseen,
    renderer_version,
)
from genevolve.interpreter.plan import Plan, tools_used
from genevolve.interpreter.protocols import Registry, Renderer, Skill, Tool
from genevolve.interpreter.record import RunRecord
from genevolve.interpreter.redact import Redactor, secrets_of
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.run import Run, version
from genevolve.interpreter.session import Session
from genevolve.interpreter.snapshot import snapshot
from genevolve.interpreter.start import Start, prepare
from genevolve.interpreter.trace import SCHEMA, TraceWriter
from genevolve.interpreter.values import to_json

if TYPE_CHECKING:
    from PIL.Image import Image


class Machine:
    """Runs programs with the given tools, skills and renderer.

    Args:
        tools: a `Registry`, or tools to make one of.
        skills: the generation skills by name.
        renderer: draws z; without one, runs end with z.
        cache: keeps answers of calls between runs; None keeps and reads nothing.
        budget: what one run may spend.
        retry: how often a failed call is tried again.
        call_timeout: seconds that one attempt of a call may take.
        concurrency: calls that one run makes at a time.
        secrets: texts that must never reach a trace, an error or a record; by default the values of environment
            variables whose names look like keys.
        verbose: keep tracebacks of failed tools in the trace.

    One machine may be used for many runs at the same time, also from several threads.
    """

    def __init__(
        self,
        tools: Registry | Sequence[Tool] = (),
        *,
        skills: Mapping[str, Skill] | None = None,
        renderer: Renderer | None = None,
        cache: CallCache | None = None,
        budget: Budget | None = None,
        retry: RetryPolicy | None = None,
        call_timeout: float = 60.0,
        concurrency: int = 16,
        secrets: Iterable[str] | None = None,
        verbose: bool = False,
        seed: int | None = None,
    ) -> None:
        if call_timeout <= 0 or concurrency < 1:
            raise ValueError("a machine needs a call timeout above zero and a concurrency of at least one")
        self.tools = tools if isinstance(tools, Registry) else Registry(tools)
        self.skills = dict(skills or {})
        self.renderer = renderer
        self.cache = cache
        self.budget = budget or Budget()
        self._around = Surroundings(
            self.tools,
            self.skills,
            cache,
            Redactor(secrets_of() if secrets is None else secrets),
            retry or RetryPolicy(),
            call_timeout,
            concurrency,
            verbose,
            random.Random(seed),  # noqa: S311  # pauses between attempts, no secret
        )

    def environment(self, **limits: int) -> Environment:
        """What programs for this machine are checked against: its tools and skills and the built-in predicates.

        `limits` are those of `Environment` (`max_calls`, …).
        """
        signatures = {s.name: s for s in PREDICATES}
        signatures.update((name, tool.signature) for name, tool in self.tools.items())
        skills = {n: SkillInfo(n, s.summary, s.expects) for n, s in self.skills.items()}
        # `Any`, as a type checker cannot know which fields the limits are.
        return replace(Environment(signatures, skills), **cast("dict[str, Any]", limits))

    @property
    def redactor(self) -> Redactor:
        """Masks the keys that must reach no text."""
        return self._around.redactor

    # ---- whole programs ----------------------------------------------------------------------------

    async def run(
        self,
        checked: Checked,
        parameters: Mapping[str, object] | None = None,
        *,
        render: bool = True,
        record: Path | None = None,
        budget: Budget | None = None,
        listener: Listener | None = None,
    ) -> Run:
        """Run a checked program.

        Args:
            checked: the program; one with errors or holes is refused before anything is spent.
            parameters: values for its parameters; image parameters take a path.
            render: whether to draw the picture, if the machine has a renderer.
            record: the folder that gets a run folder of its own; None keeps no record.
            budget: this run's, instead of the machine's.
            listener: told of every event as it happens.

        Raises:
            ProgramError: the program cannot run: errors, holes (GP601), parameters (GP317 to GP319).
            RunError: it began and failed; its place is in the findings, its record in `folder`.
            ConfigurationError: the machine lacks a tool or skill that the program needs.
            StorageError: the record cannot be written.

        A cancelled run ends within two seconds and leaves no thread that listens, no process and no temporary file.
        """
        start = self.prepare(checked, parameters)
        kept = None if record is None else RunRecord.create(record, checked.source.text)
        ledger = Ledger(budget or self.budget)
        path = None if kept is None else kept.trace_path
        trace = TraceWriter(path, redactor=self._around.redactor, listener=listener)
        execution = Execution(self._around, checked.environment, checked.source, ledger, trace)
        execution.look_at(checked.source, checked.tree.statements)
        execution.frame.values.update(start.values)
        execution.paths.update(start.paths)
        async with self.closing(execution, kept, checked.source.text):
            self.announce(trace, checked.environment, start)
            self.announce_program(execution, checked.tree)
            renderer = self.renderer if render else None
            self._look_ahead(execution, checked, start.plan, renderer)
            # A path that is wrong is told before anything is paid for.
            await execution.perform([n for n in start.plan.nodes if n.kind == "parameter"])
            await execution.perform([n for n in start.plan.nodes if n.kind != "parameter"])
            return await self.finish(execution, checked.tree, renderer, kept)

    def _look_ahead(
        self, execution: Execution, checked: Checked, plan: Plan, renderer: Renderer | None
    ) -> None:
        """Raise what is bound to go wrong later, before anything is paid for."""
        execution.check_calls(plan.nodes)
        if renderer is None:
            return
        tree, source = checked.tree, checked.source
        z = foreseen(tree, plan, execution.frame, checked.environment, self.skills, source)
        if z is not None:
            check_renderer(renderer, z, tree, source, self._around.redactor)

    def run_sync(
        self, checked: Checked, parameters: Mapping[str, object] | None = None, **options: Any
    ) -> Run:
        """`run` for scripts and notebooks: blocks until the run has ended, also inside a running event loop.

        Ctrl-C stops the run, waits for it to wind up and raises `KeyboardInterrupt`.
        """
        return blocking(self.run(checked, parameters, **options))

    def prepare(self, checked: Checked, parameters: Mapping[str, object] | None = None) -> Start:
        """Everything that can be said about a run before it begins; raises what `run` raises for it."""
        return prepare(checked, parameters or {}, self.tools, self.skills)

    # ---- step by step --------------------------------------------------------------------------------

    def session(
        self,
        environment: Environment | None = None,
        parameters: Mapping[str, object] | None = None,
        *,
        budget: Budget | None = None,
        listener: Listener | None = None,
    ) -> Session:
        """A program that grows statement by statement; see `Session`."""
        trace = TraceWriter(redactor=self._around.redactor, listener=listener)
        environment = environment or self.environment()
        execution = Execution(self._around, environment, Source(""), Ledger(budget or self.budget), trace)
        return Session(self, execution, dict(parameters or {}))

    # ---- parts that runs and sessions share ----------------------------------------------------------

    def announce(self, trace: TraceWriter, environment: Environment, start: Start) -> None:
        """Write the first event: what this run is given."""
        skills = [n.name for n in start.plan.nodes if n.kind == "skill"]
        trace.write(
            "run_started",
            schema=SCHEMA,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            versions=_versions(),
            parameters={n: to_json(v) for n, v in start.values.items()},
            image_parameters=dict(start.paths),
            environment=snapshot(environment, tools_used(start.plan.nodes), skills, self.skills),
        )

    def announce_program(self, execution: Execution, tree: Tree) -> None:
        """Write the event that carries the program."""
        hashes = [execution.hash(i) for i in range(len(tree.statements))]
        source = execution.source
        execution.trace.write("program", name=source.name, program=source.text, statements=hashes)

    async def finish(
        self, execution: Execution, tree: Tree, renderer: Renderer | None, kept: RunRecord | None
    ) -> Run:
        """z, the picture and the record of an execution whose nodes are done."""
        source, trace = execution.source, execution.trace
        outcome = elaborated(tree, execution.frame, execution.environment, self.skills, source)
        trace.write("z", digest=outcome.z.digest, z=outcome.z.to_dict())
        timings = {"calls": round(execution.ledger.elapsed, 6)}
        if outcome.images and (kept is not None or renderer is not None):
            await execution.workers.call(lambda: check_references(tree, outcome.images, source), "references")
        if kept is not None:
            kept.write("z.json", outcome.z.to_json())
            if outcome.images:
                await execution.workers.call(lambda: _copy_references(kept, outcome), "record")
        image: Image | None = None
        notes = tuple(execution.notes)
        if renderer is not None:
            before = execution.ledger.elapsed
            rendering = await draw(execution, renderer, outcome, tree)
            image, notes = rendering.image, (*notes, *rendering.notes)
            timings["render"] = round(execution.ledger.elapsed - before, 6)
        timings["total"] = round(execution.ledger.elapsed, 6)
        run = Run(
            z=outcome.z,
            program=source.text,
            image=image,
            references=outcome.images,
            values=dict(execution.frame.values),
            notes=notes,
            trace=trace.events,
            timings=timings,
            spent=execution.ledger.to_dict(),
            folder=None if kept is None else kept.folder,
        )
        if kept is not None:
            if image is not None:
                await execution.workers.call(lambda: kept.write("image.png", run.png), "record")
            kept.note(
                renderer=None
                if renderer is None
                else {"name": renderer.name, "version": renderer_version(renderer)},
                notes=list(notes),
                timings=timings,
                z=outcome.z.digest,
            )
        return run

    @asynccontextmanager
    async def closing(
        self, execution: Execution, kept: RunRecord | None, program: str
    ) -> AsyncIterator[None]:
        """Whatever happens inside: the trace and the record say how it ended, and nothing goes on."""
        status = "failed"
        found: tuple[Diagnostic, ...] = ()
        try:
            if kept is not None:
                kept.write("program.gprog", program)
                kept.note(versions=_versions())
            yield
            status = "finished"
        except RunError as error:
            found = error.findings.diagnostics
            error.folder = None if kept is None else kept.folder
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            status = "cancelled"
            raise
        except GenevolveError:
            raise
        except Exception as error:
            raise InternalError(
                f"a bug in genevolve ended the run: {type(error).__name__}: {error}"
            ) from error
        finally:
            try:
                diagnostics = [_diagnostic_data(d, execution.source) for d in found]
                spent = execution.ledger.to_dict()
                execution.trace.write("run_finished", status=status, diagnostics=diagnostics, spent=spent)
                if kept is not None:
                    kept.describe(status=status, diagnostics=diagnostics, spent=spent)
            finally:
                execution.trace.close()
                await execution.close()


def _versions() -> dict[str, str]:
    return {"genevolve": version(), "python": platform.python_version()}


def _copy_references(kept: RunRecord, outcome: Outcome) -> None:
    for reference, image in zip(outcome.z.reference_images, outcome.images, strict=True):
        kept.add_reference(reference.ordinal, reference.name, image)


def _diagnostic_data(diagnostic: Diagnostic, source: Source) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "message": diagnostic.message,
        "where": source.where(diagnostic.span),
        "span": list(diagnostic.span),
        "notes": list(diagnostic.notes),
    }
