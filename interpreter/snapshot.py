"""The part of an environment that a program uses, as JSON data.

A trace keeps it, so that a replay checks the program against the tools and skills of its run and needs none of
them installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from genevolve.grammar.builtins import PREDICATES
from genevolve.grammar.errors import AuthorError
from genevolve.grammar.types import Environment, Parameter, Signature, SkillInfo, Type
from genevolve.interpreter.protocols import Skill
from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Value, from_json, to_json


@dataclass(frozen=True)
class RecordedSkill:
    """A skill as a trace knows it: without its guide."""

    name: str
    summary: str
    guide: str
    expects: tuple[str, ...]
    guards: tuple[str, ...]


def snapshot(
    environment: Environment, tools: Iterable[str], skills: Iterable[str], loaded: Mapping[str, Skill]
) -> dict[str, Any]:
    """The limits, and the tools and skills of the given names."""
    return {
        "max_calls": environment.max_calls,
        "max_references": environment.max_references,
        "max_prompt_chars": environment.max_prompt_chars,
        "tools": {n: _signature_data(environment.signatures[n]) for n in sorted(set(tools))},
        "skills": {
            n: {
                "summary": loaded[n].summary,
                "expects": list(loaded[n].expects),
                "guards": list(loaded[n].guards),
            }
            for n in sorted(set(skills))
        },
    }


def restore(data: Mapping[str, Any]) -> tuple[Environment, dict[str, RecordedSkill]]:
    """The environment and skills of a snapshot, with the built-in predicates.

    Raises `AuthorError` when the data is malformed.
    """
    try:
        tools = {name: _signature(name, s) for name, s in data["tools"].items()}
        skills = {
            name: RecordedSkill(name, str(s["summary"]), "", tuple(s["expects"]), tuple(s["guards"]))
            for name, s in data["skills"].items()
        }
        environment = Environment(
            {**{s.name: s for s in PREDICATES}, **tools},
            {name: SkillInfo(name, s.summary, s.expects) for name, s in skills.items()},
            int(data["max_calls"]),
            int(data["max_references"]),
            int(data["max_prompt_chars"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AuthorError(f"the trace's list of tools and skills is damaged: {error}") from error
    return environment, skills


def _signature_data(signature: Signature) -> dict[str, Any]:
    return {
        "returns": signature.returns.value,
        "variadic": signature.variadic,
        "cost": signature.cost,
        "price": signature.price,
        "parameters": [_parameter_data(p) for p in signature.parameters],
    }


def _parameter_data(p: Parameter) -> dict[str, Any]:
    plain = isinstance(p.default, str | int | float | SizeValue | Evidence | Images | ImageHandle)
    return {
        "name": p.name,
        "type": p.type.value,
        "required": p.required,
        "default": to_json(p.default) if plain else None,  # type: ignore[arg-type]  # `plain` says so
        "named_only": p.named_only,
        "low": p.low,
        "high": p.high,
        "choices": list(p.choices),
    }


def _signature(name: str, data: Mapping[str, Any]) -> Signature:
    return Signature(
        str(name),
        tuple(_parameter(p) for p in data["parameters"]),
        Type(data["returns"]),
        bool(data["variadic"]),
        int(data["cost"]),
        float(data["price"]),
    )


def _parameter(data: Mapping[str, Any]) -> Parameter:
    default: Value | None = None if data["default"] is None else from_json(data["default"])
    return Parameter(
        str(data["name"]),
        Type(data["type"]),
        required=bool(data["required"]),
        default=default,
        named_only=bool(data["named_only"]),
        low=data["low"],
        high=data["high"],
        choices=tuple(data["choices"]),
    )
