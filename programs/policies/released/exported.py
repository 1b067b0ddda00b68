"""Programs and rollouts as trajectories of the upstream release, and z as its answer.

What the protocol has no place for is left out: `avoid`, `require`, the settings of `render`. Names become ids and
ordinals: pictures are numbered in the order in which searches showed them, references are sorted by id, and the prompt
counts them in that order.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from genevolve.grammar.elaborate import evaluate, evaluate_text
from genevolve.grammar.errors import AuthorError, ProgramError
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.tree import (
    Argument,
    Call,
    Expression,
    Index,
    Let,
    Name,
    Number,
    ProgramHeader,
    Prompt,
    Ref,
    Request,
    Statement,
    String,
    Tree,
    Use,
)
from genevolve.grammar.types import Environment
from genevolve.grammar.z import Z
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Value, from_json
from genevolve.programs.policies.quoting import without_markers
from genevolve.programs.policies.released import wire
from genevolve.programs.policies.released.gallery import Gallery, id_number, picture_id
from genevolve.programs.program import Program


class Untold(AuthorError):
    """A program or rollout that the protocol cannot tell; the message says what of it."""


@dataclass(frozen=True)
class Seen:
    """What is known of what a program's statements showed: values by name, guides by skill."""

    values: Mapping[str, Value] = field(default_factory=dict)
    guides: Mapping[str, str] = field(default_factory=dict)


def to_upstream(z: Z) -> dict[str, object]:
    """The answer that says what z says: `gen_prompt`, and `reference_images` with `img_id` and `note`.

    Ids of z are kept where they are well-formed and ascend, as the protocol wants them; else the references are
    numbered in their order. What z says besides (negative prompt, constraints, settings) has no place there.
    """
    numbers = [id_number(r.id) for r in z.reference_images]
    known = [n for n in numbers if n is not None]
    ascending = len(known) == len(numbers) and all(a < b for a, b in itertools.pairwise(known))
    ids = [r.id if ascending else picture_id(i) for i, r in enumerate(z.reference_images, 1)]
    return {
        "gen_prompt": z.gen_prompt,
        "reference_images": [
            {"img_id": i, "note": r.note} for i, r in zip(ids, z.reference_images, strict=True)
        ],
    }


def export_rollout(row: Mapping[str, object], environment: Environment) -> dict[str, object]:
    """A line of `genevolve synth --trajectories` as an upstream record.

    Raises:
        Untold: It is no rollout, was not filled, or says what the protocol cannot tell.
    """
    source = row.get("program")
    if not str(row.get("schema", "")).startswith("genevolve.rollout/"):
        raise Untold("this is no rollout of genevolve")
    if not isinstance(source, str):
        raise Untold(f"the rollout has no program ({row.get('outcome', 'unknown outcome')})")
    return export_program(Program.parse(source), environment, _seen(row.get("turns")))


def export_program(program: Program, environment: Environment, seen: Seen | None = None) -> dict[str, object]:
    """A finished program as an upstream record: `prompt`, `messages`, `gen_prompt`, `reference_images`.

    Args:
        program: The program; its comments become thoughts.
        environment: Whose skills and tools there are.
        seen: What its calls showed. Without it, answers of tools are empty, and pictures have no titles.

    Raises:
        Untold: It has errors or holes, or says what the protocol cannot tell.
    """
    findings = program.check(environment)
    if not findings.ok:
        raise Untold(next(d.message for d in findings.diagnostics if d.is_error))
    try:
        return _Export(program.tree, environment, seen or Seen()).record()
    except ProgramError as error:
        raise Untold("; ".join(d.message for d in error.findings.diagnostics)) from error


def _seen(turns: object) -> Seen:
    """What the turns of a rollout's record showed."""
    values: dict[str, Value] = {}
    guides: dict[str, str] = {}
    for turn in turns if isinstance(turns, list) else ():
        if not isinstance(turn, dict):
            continue
        statements, observations = turn.get("statements"), turn.get("observations")
        if not isinstance(statements, list) or not isinstance(observations, list):
            continue
        for text, observation in zip(statements, observations, strict=False):
            statement, _ = parse_statement(text if isinstance(text, str) else "")
            if not isinstance(observation, dict) or not observation.get("ok"):
                continue
            value, guide = observation.get("value"), observation.get("guide")
            if isinstance(statement, Let | Ref) and isinstance(value, dict):
                try:
                    values[statement.name] = from_json(value)
                except ValueError:
                    continue
            elif isinstance(statement, Use) and isinstance(statement.skill, str) and isinstance(guide, str):
                guides[statement.skill] = guide
    return Seen(values, guides)


@dataclass
class _Reference:
    names: list[str]
    notes: list[str]
    picture: ImageHandle | None


class _Export:
    """One program on its way."""

    def __init__(self, tree: Tree, environment: Environment, seen: Seen) -> None:
        self._tree, self._environment, self._seen = tree, environment, seen
        self._gallery = Gallery()
        self._ids: dict[tuple[str, int], str] = {}
        self._by_hash: dict[str, str] = {}
        self._references: dict[str, _Reference] = {}
        self._values: dict[str, Value] = {n: v for n, v in seen.values.items() if isinstance(v, str)}
        self._thoughts: list[str] = []
        self._request = ""
        self._messages: list[dict[str, str]] = []
        self._rounds = 0

    def record(self) -> dict[str, object]:
        prompt: Expression | None = None
        for statement in self._tree.statements:
            self._think(statement)
            match statement:
                case ProgramHeader(parameters=parameters):
                    for p in parameters:
                        if p.default is not None:
                            self._values[p.name] = evaluate(p.default, {})  # type: ignore[assignment]  # a literal
                case Request(text):
                    self._request = str(evaluate(text, self._values)).strip()
                    self._say("system", wire.system_text(self._environment, ""))
                    self._say("user", without_markers(self._request))
                case Let():
                    self._let(statement)
                case Use(skill=str(skill)):
                    self._use(skill)
                case Ref():
                    self._ref(statement)
                case Prompt(text):
                    prompt = text
        if prompt is None:
            raise Untold("the program has no prompt")
        return self._answer(prompt)

    # ---- rounds ----

    def _let(self, let: Let) -> None:
        call = let.value
        if not isinstance(call, Call) or call.name not in ("search", "image_search"):
            cost = self._environment.signatures[call.name].cost if isinstance(call, Call) else 0
            if cost:
                raise Untold(f"the protocol has no tool {call.name}" if isinstance(call, Call) else "no tool")
            return
        queries = [str(evaluate(a.value, self._values)) for a in call.arguments if a.name is None]
        arguments: dict[str, object] = (
            {"queries": queries} if call.name == "search" else {"query": queries[0]}
        )
        arguments |= {a.name: evaluate(a.value, self._values) for a in call.arguments if a.name is not None}
        self._call(call.name, arguments)
        query, value = wire.query_of(call), self._seen.values.get(let.name)
        if call.name == "search":
            snippets = value.snippets if isinstance(value, Evidence) else ()
            block = wire.text_block(query, snippets)
        else:
            items = value.items if isinstance(value, Images) else self._unknown(let.name)
            ids = self._gallery.show(let.name, [i.sha256 for i in items])
            for index, (identity, item) in enumerate(zip(ids, items, strict=True)):
                self._ids[let.name, index] = identity
                self._by_hash.setdefault(item.sha256, identity)
            block = wire.image_block(query, ids, items)
        self._say("user", wire.response("\n".join(block)))

    def _unknown(self, name: str) -> tuple[ImageHandle, ...]:
        """Pictures nothing is known of: as many as the program takes of a list."""
        taken = [_index(s.value, name) for s in self._tree.statements if isinstance(s, Ref | Let)]
        return (ImageHandle("", "", 0, 0),) * (max(taken, default=-1) + 1)

    def _use(self, skill: str) -> None:
        self._call("query_knowledge", {"skill_name": skill})
        guide = self._seen.guides.get(skill) or self._environment.skills[skill].summary
        self._say("user", wire.response("\n".join(wire.guidance(skill, guide))))

    def _call(self, name: str, arguments: Mapping[str, object]) -> None:
        self._rounds += 1
        call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        self._say("assistant", f"{self._thinking()}<tool_call>\n{call}\n</tool_call>")

    # ---- references and the answer ----

    def _ref(self, ref: Ref) -> None:
        identity, picture = self._identity(ref)
        note = "" if ref.purpose is None else str(evaluate(ref.purpose, self._values)).strip()
        found = self._references.setdefault(identity, _Reference([], [], picture))
        found.names.append(ref.name)
        found.notes += [note] if note and note not in found.notes else []

    def _identity(self, ref: Ref) -> tuple[str, ImageHandle | None]:
        seen = self._seen.values.get(ref.name)
        picture = seen if isinstance(seen, ImageHandle) else None
        match ref.value:
            case Index(Name(name), Number(index)) if (name, int(index)) in self._ids:
                found = self._seen.values.get(name)
                items = found.items if isinstance(found, Images) else ()
                here = items[int(index)] if int(index) < len(items) else picture
                return self._ids[name, int(index)], here
            case _ if picture is not None and picture.sha256 in self._by_hash:
                return self._by_hash[picture.sha256], picture
        raise Untold(f"no image search showed the picture of '{ref.name}', so it has no id")

    def _answer(self, prompt: Expression) -> dict[str, object]:
        ordered = sorted(self._references.items(), key=lambda item: id_number(item[0]) or 0)
        ordinals = {name: i for i, (_, r) in enumerate(ordered, 1) for name in r.names}
        if isinstance(prompt, String):
            text = evaluate_text(prompt, self._values, ordinals)
        else:
            text = str(evaluate(prompt, self._values))
        answer = {
            "gen_prompt": text.strip(),
            "reference_images": [{"img_id": i, "note": "; ".join(r.notes)} for i, r in ordered],
        }
        self._rounds += 1
        told = json.dumps(answer, ensure_ascii=False)
        self._say("assistant", f"{self._thinking()}<answer>\n{told}\n</answer>")
        references = [
            {
                **entry,
                "title": r.picture.title if r.picture is not None else "",
                "url": r.picture.source if r.picture is not None else "",
            }
            for entry, (_, r) in zip(answer["reference_images"], ordered, strict=True)
            if isinstance(entry, dict)
        ]
        return {
            "prompt": self._request,
            "gen_prompt": answer["gen_prompt"],
            "reference_images": references,
            "messages": self._messages,
            "termination": "answer",
            "rounds": self._rounds,
            "error": None,
        }

    # ---- messages ----

    def _think(self, statement: Statement) -> None:
        trivia = statement.trivia
        self._thoughts += (*trivia.leading, *((trivia.trailing,) if trivia.trailing else ()))

    def _thinking(self) -> str:
        thoughts, self._thoughts = "\n".join(without_markers(t) for t in self._thoughts), []
        return f"<think>\n{thoughts}\n</think>\n"

    def _say(self, role: str, content: str) -> None:
        self._messages.append({"role": role, "content": content})


def _index(expression: Expression | Argument, name: str) -> int:
    """The highest index that an expression takes of a list, -1 for none."""
    match expression:
        case Index(Name(found), Number(index)) if found == name:
            return int(index)
        case Name(found) if found == name:
            return 0
        case Call(arguments=arguments):
            return max((_index(a.value, name) for a in arguments), default=-1)
    return -1
