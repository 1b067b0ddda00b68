"""A DSPy adapter that speaks `.gprog` instead of JSON, and lets the checker's diagnostics repair what does not check.

A signature with one output field is answered by that field's text alone. Several output fields are sections:

    === trigger ===
    posters with a quoted title
    === focus ===
    - Quote every word that must be legible and say where on the page it stands.

Fields of type `Gprog` are checked; what is wrong with them goes back to the model as the report that people read, with
line and caret, a bounded number of times. So does an answer that lacks a section, and what `validate` complains about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_origin

import dspy
from dspy.adapters.utils import apply_output_field_defaults, get_annotation_name, parse_value

from genevolve.grammar.diagnostics import Findings, ordered
from genevolve.grammar.holes import hole_diagnostics
from genevolve.grammar.report_text import to_text
from genevolve.programs.modules.fields import Gprog, GprogTurn
from genevolve.programs.policies.answers import unwrapped
from genevolve.programs.policies.quoting import without_markers
from genevolve.programs.program import Program

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment

Validate = Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[str]]
"""Complaints about parsed output fields, given the inputs, too; none when they are fine."""

REPAIRS = "repairs"
"""The name under which a prediction tells how often its answer was sent back."""

_EXCHANGE = "__exchange__"
_HEADING = re.compile(r"^=== *(\w+) *===[ \t]*$", re.MULTILINE)
_LOOKS_LIKE_HEADING = re.compile(r"^(?====)", re.MULTILINE)
_LONGEST_COMPLAINT = 4000
_LONGEST_REPLY_SHOWN = 20_000
_TURN_FORM = "Answer with statements of the language only."
_PROGRAM_FORM = "Answer with the program's text only."


class GprogAdapter(dspy.Adapter):  # type: ignore[misc]  # dspy has no types that mypy follows
    """See the note at the top of this module. It keeps no state, so one serves all threads.

    Args:
        environment: What programs are checked against; None checks their syntax and the rules that hold everywhere.
        repairs: How often one answer is sent back at most.
        validate: Complaints about the output fields besides those of the checker.
        shared: Input fields that stand in the system message and nowhere else, because demos share them.
    """

    def __init__(
        self,
        environment: Environment | None = None,
        *,
        repairs: int = 2,
        validate: Validate | None = None,
        shared: Sequence[str] = (),
        callbacks: list[Any] | None = None,
    ) -> None:
        super().__init__(callbacks=callbacks)
        self.environment = environment
        self.repairs = repairs
        self.validate = validate
        self.shared = tuple(shared)

    def __deepcopy__(self, memo: dict[int, object]) -> GprogAdapter:
        """It keeps no state, so copies of a module share it."""
        return self

    # ---- asking, and asking again ----

    def __call__(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask; send back what does not parse or check, `repairs` times at most.

        After that, an answer that parses is returned although there are complaints: the caller judges it. One that does
        not parse raises `dspy.AdapterParseError`.
        """
        exchange: list[tuple[str, str]] = []
        while True:
            given = {**inputs, _EXCHANGE: list(exchange)}
            try:
                found = super().__call__(lm, dict(lm_kwargs), signature, demos, given)
            except dspy.AdapterParseError as error:
                if len(exchange) >= self.repairs:
                    raise
                exchange.append(_sent_back(error))
                continue
            complaint = self._first_complaint(signature, found, inputs)
            if complaint is None or len(exchange) >= self.repairs:
                return [{**values, REPAIRS: len(exchange)} for values in found]
            exchange.append(complaint)

    async def acall(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: Any,
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """As calling it, awaited."""
        exchange: list[tuple[str, str]] = []
        while True:
            given = {**inputs, _EXCHANGE: list(exchange)}
            try:
                found = await super().acall(lm, dict(lm_kwargs), signature, demos, given)
            except dspy.AdapterParseError as error:
                if len(exchange) >= self.repairs:
                    raise
                exchange.append(_sent_back(error))
                continue
            complaint = self._first_complaint(signature, found, inputs)
            if complaint is None or len(exchange) >= self.repairs:
                return [{**values, REPAIRS: len(exchange)} for values in found]
            exchange.append(complaint)

    def _first_complaint(
        self, signature: Any, found: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
    ) -> tuple[str, str] | None:
        """The first answer that is not good enough and what is wrong with it."""
        for values in found:
            if told := self.complaints(signature, values, inputs):
                reply = self.format_assistant_message_content(signature, dict(values))
                return reply[:_LONGEST_REPLY_SHOWN], _complaint(told)
        return None

    def complaints(self, signature: Any, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
        """What is wrong with output fields that were parsed."""
        told = []
        for name, field in signature.output_fields.items():
            if field.annotation is Gprog:
                findings = findings_of(str(values.get(name) or ""), self.environment)
                if not findings.ok:
                    told.append(to_text([findings], with_summary=False, width=100).strip("\n"))
        if not told and self.validate is not None:
            told += self.validate(values, inputs)
        return told

    # ---- what the model is shown ----

    def format(self, signature: Any, demos: Sequence[Any], inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The chat messages: system, demos, the dialogue so far, what is asked now, and what was sent back."""
        values = dict(inputs)
        exchange = values.pop(_EXCHANGE, [])
        messages = [{"role": "system", "content": self._system(signature, values)}]
        for demo in demos:
            if all(demo.get(name) is not None for name in signature.output_fields):
                messages += self._exchanges(signature, demo)
                messages.append(_said("assistant", self.format_assistant_message_content(signature, demo)))
        messages += self._exchanges(signature, values)
        for reply, complaint in exchange:
            messages += [_said("assistant", reply), _said("user", complaint)]
        return messages

    def _exchanges(self, signature: Any, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The turns of a dialogue field, then what is asked."""
        for name, field in signature.input_fields.items():
            if field.annotation is dspy.History:
                for event in _events(values.get(name)):
                    yield _said("user", self.format_user_message_content(signature, dict(event)))
                    yield _said("assistant", self.format_assistant_message_content(signature, event))
        yield _said("user", self.format_user_message_content(signature, dict(values)))

    def _system(self, signature: Any, values: Mapping[str, Any]) -> str:
        parts = [signature.instructions.strip()]
        parts += [without_markers(str(values[name]).strip()) for name in self.shared if values.get(name)]
        parts.append(self.format_field_structure(signature))
        return "\n\n".join(p for p in parts if p) + "\n"

    def format_field_structure(self, signature: Any) -> str:
        """How the answer is to be laid out."""
        fields = signature.output_fields
        if len(fields) == 1:
            (field,) = fields.values()
            if field.annotation is GprogTurn:
                return _TURN_FORM
            return _PROGRAM_FORM if field.annotation is Gprog else f"Answer with {_told(field)} only."
        lines = ["Answer with these sections, each under its heading line:"]
        for name, field in fields.items():
            lines += [f"=== {name} ===", f"({_told(field)}{_layout(field.annotation)})"]
        return "\n".join(lines)

    def format_field_description(self, signature: Any) -> str:
        """The fields and what they mean."""
        fields = {**signature.input_fields, **signature.output_fields}
        return "\n".join(f"{name}: {_told(field)}" for name, field in fields.items())

    def format_task_description(self, signature: Any) -> str:
        """The instructions."""
        return str(signature.instructions)

    def format_user_message_content(
        self,
        signature: Any,
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> str:
        """The input fields: bare when there is one, else as sections.

        Nothing in a value can be a heading or a marker of a chat format: values are other people's text, and a program
        that is to be judged was written by whoever wants a good score.
        """
        shown = [
            name
            for name, field in signature.input_fields.items()
            if name not in self.shared and field.annotation is not dspy.History
        ]
        if len(shown) == 1:
            body = without_markers(str(inputs.get(shown[0], "")))
        else:
            body = "\n".join(
                f"=== {name} ===\n{_harmless(without_markers(_written(inputs[name])))}"
                for name in shown
                if name in inputs
            )
        return "\n".join(p for p in (prefix, body, suffix) if p) or "-"

    def format_assistant_message_content(
        self, signature: Any, outputs: Any, missing_field_message: str | None = None
    ) -> str:
        """The output fields as a model is to write them."""
        fields = signature.output_fields
        if len(fields) == 1:
            (name,) = fields
            return _written(outputs.get(name, missing_field_message or ""))
        return "\n".join(
            f"=== {name} ===\n{_harmless(_written(outputs.get(name, missing_field_message or '')))}"
            for name in fields
        )

    # ---- what the model said ----

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The output fields of an answer; raises `dspy.AdapterParseError` with what is wrong with it."""
        fields = signature.output_fields
        values: dict[str, Any] = {}
        problems: list[str] = []
        if len(fields) == 1:
            (name,) = fields
            texts = {name: completion}
        else:
            texts, problems = _sections(completion, fields)
        for name, text in texts.items():
            try:
                values[name] = _value(text, fields[name].annotation)
            except ValueError as error:
                problems.append(f"the section {name} {error}")
        values = apply_output_field_defaults(signature, values)
        problems += [f"the section {name} is missing" for name in fields if name not in values]
        if problems:
            raise dspy.AdapterParseError(
                adapter_name=type(self).__name__,
                signature=signature,
                lm_response=completion,
                message="; ".join(problems),
                parsed_result=values,
            )
        return values


def findings_of(text: str, environment: Environment | None) -> Findings:
    """All that keeps a text from being a program that runs: mistakes, and holes."""
    from genevolve.grammar.builtins import builtin_environment

    known = environment if environment is not None else builtin_environment()
    program = Program.parse(text, "program")
    found = program.check(known)
    return Findings(found.source, ordered((*found.diagnostics, *hole_diagnostics(program.tree, known))))


def _sent_back(error: Any) -> tuple[str, str]:
    # The first line of the error is our own message; DSPy adds the answer and the fields to it.
    told = str(error).partition("\n\nAdapter ")[0].strip()
    reply = str(error.lm_response)[:_LONGEST_REPLY_SHOWN]
    return reply or "-", _complaint([told])


def _complaint(told: Sequence[str]) -> str:
    text = "\n".join(told)
    if len(text) > _LONGEST_COMPLAINT:
        text = text[:_LONGEST_COMPLAINT] + " …"
    return f"This cannot be taken:\n\n{text}\n\nWrite the whole answer again, put right."


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _events(history: Any) -> Sequence[Mapping[str, Any]]:
    """The turns of a dialogue, also of one that was saved as plain data."""
    messages = history.get("messages") if isinstance(history, Mapping) else getattr(history, "messages", None)
    return [m for m in messages if isinstance(m, Mapping)] if isinstance(messages, list) else []


def _told(field: Any) -> str:
    return str((field.json_schema_extra or {}).get("desc") or "").strip() or "the text"


def _layout(annotation: Any) -> str:
    if get_origin(annotation) is list:
        return "; one a line, each beginning with `- `"
    if annotation is str or (isinstance(annotation, type) and issubclass(annotation, Gprog)):
        return ""
    return f"; {get_annotation_name(annotation)}"


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(f"- {item}" for item in value)
    return str(value)


def _harmless(text: str) -> str:
    return _LOOKS_LIKE_HEADING.sub(r"\\", text)


def _sections(completion: str, fields: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The text under each heading, and what is wrong with the headings. What stands before the first is talk."""
    lines = completion.strip().split("\n")
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        completion = "\n".join(lines[1:-1])
    headings = [*_HEADING.finditer(completion)]
    texts: dict[str, str] = {}
    problems = []
    for heading, end in zip(headings, [*(h.start() for h in headings[1:]), len(completion)], strict=False):
        name = heading[1]
        if name not in fields:
            problems.append(f"there is no section {name}")
        elif name in texts:
            problems.append(f"the section {name} is there twice")
        else:
            texts[name] = completion[heading.end() : end].strip("\n")
    return texts, problems


def _value(text: str, annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Gprog):
        return annotation(unwrapped(text))
    if annotation is str:
        return text.strip()
    if get_origin(annotation) is list:
        return _bullets(text)
    try:
        return parse_value(text.strip(), annotation)
    except (ValueError, TypeError, SyntaxError) as error:
        raise ValueError(f"does not hold {get_annotation_name(annotation)}: {text.strip()[:80]!r}") from error


def _bullets(text: str) -> list[str]:
    """The items of a list, one a line; a line that begins with no dash goes on with the item before it."""
    items: list[str] = []
    for line in (raw.strip() for raw in text.split("\n")):
        if line.startswith(("- ", "* ")):
            items.append(line[2:].strip())
        elif line in ("", "-", "*"):
            continue
        elif items:
            items[-1] = f"{items[-1]} {line}"
        else:
            raise ValueError("is a list: each of its lines begins with `- `")
    return [item for item in items if item and item.lower() not in ("none", "(none)", "nothing")]
