"""From a finished execution to z and a picture: references bound, prompt elaborated, renderer asked."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genevolve.grammar import elaborate
from genevolve.grammar.errors import GenevolveError, ProgramError, RunError
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import Call, Expression, Let, Prompt, Ref, Render, String, Tree, Use
from genevolve.grammar.types import Environment, Type
from genevolve.grammar.z import Reference, Z
from genevolve.interpreter.budget import BudgetSpent
from genevolve.interpreter.calls import is_async
from genevolve.interpreter.evaluate import Frame, evaluate, failed
from genevolve.interpreter.execution import Execution
from genevolve.interpreter.plan import Plan
from genevolve.interpreter.protocols import CallContext, Renderer, Rendering, Skill
from genevolve.interpreter.redact import Redactor
from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Value

if TYPE_CHECKING:
    pass

_BLOCK = 1024 * 1024
_UNKNOWN_IMAGE = ImageHandle("", "0" * 64, 1, 1)
_STAND_INS: Mapping[Type, Value] = {
    Type.TEXT: "(not known yet)",
    Type.INT: 1,
    Type.FLOAT: 1.0,
    Type.BOOL: True,
    Type.SIZE: SizeValue(1024, 1024),
    Type.EVIDENCE: Evidence(),
    Type.IMAGES: Images(),
    Type.IMAGE: _UNKNOWN_IMAGE,
}


@dataclass(frozen=True)
class Outcome:
    """What a program came to: z, and the reference images in its order."""

    z: Z
    images: tuple[ImageHandle, ...]


def elaborated(
    tree: Tree, frame: Frame, environment: Environment, skills: Mapping[str, Skill], source: Source
) -> Outcome:
    """Z of an executed program. Raises `RunError` for what only the values could show."""
    references: list[Reference] = []
    images: list[ImageHandle] = []
    try:
        for statement in tree.statements:
            if isinstance(statement, Ref):
                image = frame.values[statement.name]
                assert isinstance(image, ImageHandle)  # the `ref` node saw to it
                note = "" if statement.purpose is None else _text(statement.purpose, frame, source)
                images.append(image)
                references.append(
                    Reference(
                        ordinal=len(images),
                        name=statement.name,
                        note=note,
                        sha256=image.sha256,
                        id=image.id,
                        title=image.title,
                        source=image.source,
                        media_type=image.media_type,
                    )
                )
        z = elaborate.elaborate(
            tree,
            frame.values,
            references,
            _guards(tree, skills),
            source=source,
            calls=frame.calls,
            predicates=environment.predicates(),
            max_prompt_chars=environment.max_prompt_chars,
        )
    except RunError:
        raise
    except ProgramError as error:
        raise RunError(error.findings) from error
    return Outcome(z, tuple(images))


def foreseen(
    tree: Tree,
    plan: Plan,
    frame: Frame,
    environment: Environment,
    skills: Mapping[str, Skill],
    source: Source,
) -> Z | None:
    """Z as far as it is known before any call: settings, the number of references, constraints, texts.

    What calls give is stood in for. Raises `RunError` when z cannot be made whatever the calls give; returns None
    when that depends on them.
    """
    guess = frame.fork()
    open_texts = False
    for node in plan.nodes:
        match node.kind:
            case "call":
                assert isinstance(node.expression, Call)
                returns = environment.signatures[node.name].returns
                guess.calls[node.expression] = _STAND_INS[returns]
                open_texts |= returns not in (Type.EVIDENCE, Type.IMAGES, Type.IMAGE)
            case "parameter" | "ref":
                guess.values[node.name] = _UNKNOWN_IMAGE
            case _:
                pass
    try:
        for statement in tree.statements:
            if isinstance(statement, Let):
                guess.values[statement.name] = _guessed(statement.value, guess, source)
        return elaborated(tree, guess, environment, skills, source).z
    except RunError:
        if open_texts:
            return None
        raise


def _guessed(expression: Expression, guess: Frame, source: Source) -> Value:
    match expression:
        case Call():
            return guess.calls[expression]
        case String():
            return evaluate(expression, guess, source)
    try:
        return evaluate(expression, guess, source)
    except RunError as error:
        # An element of a list that is not there yet.
        if error.findings.diagnostics[0].code in ("GP522", "GP525"):
            return _UNKNOWN_IMAGE
        raise


def check_renderer(renderer: Renderer, z: Z, tree: Tree, source: Source, redactor: Redactor) -> None:
    """Raise `RunError` (GP524) when the renderer cannot honour z."""
    try:
        refusals = [redactor.text(" ".join(str(r).split())) for r in renderer.refusals(z)]
    except GenevolveError:
        raise
    except Exception as error:  # other people's code: see `calls`
        message = (
            f"the renderer '{renderer.name}' failed with {type(error).__name__}: {redactor.text(str(error))}"
        )
        raise failed(source, "GP527", message, _place(tree), service=True) from error
    if refusals:
        message = f"the renderer '{renderer.name}' cannot honour this program: {refusals[0].rstrip('.')}"
        raise failed(source, "GP524", message, _place(tree), *refusals[1:])


def check_references(tree: Tree, images: Sequence[ImageHandle], source: Source) -> None:
    """Raise `RunError` (GP413, GP414) when a reference file is gone or no longer what the run saw."""
    spans = [s.value.span for s in tree.statements if isinstance(s, Ref)]
    for span, image in zip(spans, images, strict=True):
        name = image.source or image.file.name
        try:
            with image.file.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            raise failed(
                source, "GP413", f"the image file of {name!r} cannot be read any more", span
            ) from error
        if digest != image.sha256:
            raise failed(source, "GP414", f"the image file of {name!r} has changed since it was found", span)


async def draw(execution: Execution, renderer: Renderer, outcome: Outcome, tree: Tree) -> Rendering:
    """Have the picture made. Raises `RunError` (GP523, GP524, GP527) at the program's `render`."""
    source, ledger, redactor = execution.source, execution.ledger, execution.around.redactor
    check_renderer(renderer, outcome.z, tree, source, redactor)
    began = time.monotonic()
    context = CallContext(ledger.deadline, threading.Event())
    limit = ledger.deadline - began
    facts: dict[str, Any] = {}
    try:
        async with asyncio.timeout(None if limit == float("inf") else limit) as timer:
            result = await _render(execution, renderer, context, outcome)
        rendering = _accepted(result)
        notes = tuple(redactor.text(n) for n in rendering.notes)
        facts = {"notes": list(notes), "info": _plain(rendering.info), "size": list(rendering.image.size)}
        return Rendering(rendering.image, notes, rendering.info)
    except asyncio.CancelledError:
        facts["error"] = {"code": "cancelled", "message": "the run was stopped"}
        raise
    # Other people's code: whatever it raises must end as a diagnostic.
    except (Exception, SystemExit) as error:
        failure = _failure(error, renderer, execution, tree, timed_out=timer.expired())
        first = failure.findings.diagnostics[0]
        facts["error"] = {"code": first.code, "message": first.message, "type": type(error).__name__}
        if execution.around.verbose:
            facts["error"]["traceback"] = "".join(traceback.format_exception(error))
        raise failure from error
    finally:
        context.cancelled.set()
        execution.trace.write(
            "render",
            renderer=renderer.name,
            version=renderer_version(renderer),
            seconds=round(time.monotonic() - began, 6),
            **facts,
        )


async def _render(execution: Execution, renderer: Renderer, context: CallContext, outcome: Outcome) -> object:
    if is_async(renderer) or inspect.iscoroutinefunction(renderer.render):
        result: object = renderer.render(context, outcome.z, outcome.images)
    else:
        result = await execution.workers.call(
            lambda: renderer.render(context, outcome.z, outcome.images), "renderer"
        )
    return await result if inspect.isawaitable(result) else result


def _accepted(result: object) -> Rendering:
    from PIL.Image import Image as PilImage

    if not isinstance(result, Rendering) or not isinstance(result.image, PilImage):
        raise TypeError(f"it returned a {type(result).__name__} and not a picture")
    return result


def _failure(
    error: BaseException, renderer: Renderer, execution: Execution, tree: Tree, *, timed_out: bool
) -> RunError:
    place, source = _place(tree), execution.source
    if isinstance(error, BudgetSpent) or (isinstance(error, TimeoutError) and timed_out):
        seconds = execution.ledger.budget.seconds or 0.0
        return failed(source, "GP523", f"the run's {seconds:g} seconds are used up", place)
    said = execution.around.redactor.text(" ".join(str(error).split()))[:1000]
    if not isinstance(error, GenevolveError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return failed(source, "GP527", f"the renderer '{renderer.name}' failed: {said}", place, service=True)


def renderer_version(renderer: Renderer) -> str:
    """What the renderer says it is, for traces and records."""
    try:
        return str(renderer.version)
    except Exception as error:  # a version that cannot be told must not cost the picture
        return f"unknown ({type(error).__name__})"


def _place(tree: Tree) -> Span:
    """Where to point for what concerns the picture as a whole: `render`, or else the prompt."""
    for wanted in (Render, Prompt):
        for statement in tree.statements:
            if isinstance(statement, wanted):
                return statement.span
    return tree.span


def _text(expression: Expression, frame: Frame, source: Source) -> str:
    value = evaluate(expression, frame, source)
    if not isinstance(value, str):
        raise failed(source, "GP310", "text is needed here", expression.span)
    return value.strip()


def _guards(tree: Tree, skills: Mapping[str, Skill]) -> dict[str, Sequence[str]]:
    used = [s.skill for s in tree.statements if isinstance(s, Use) and isinstance(s.skill, str)]
    return {name: skills[name].guards for name in used}


def _plain(info: Mapping[str, object]) -> dict[str, Any]:
    """A renderer's facts as JSON data; what is no plain value is written as text."""
    return {str(k): v if isinstance(v, str | int | float | bool | None) else str(v) for k, v in info.items()}
