"""What can be said of a run before it begins; nothing is spent here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genevolve.grammar.checker import Checked
from genevolve.grammar.errors import ConfigurationError, ProgramError
from genevolve.grammar.holes import hole_diagnostics
from genevolve.grammar.parameters import check_parameters
from genevolve.grammar.tree import ProgramHeader, Size
from genevolve.grammar.types import Type
from genevolve.interpreter.plan import Node, Plan, plan, tools_used
from genevolve.interpreter.protocols import Skill, Tool
from genevolve.interpreter.values import SizeValue, Value


@dataclass(frozen=True)
class Start:
    """A program that may run: its plan, the values of its parameters, and the paths of its image parameters."""

    plan: Plan
    values: Mapping[str, Value]
    paths: Mapping[str, str]


def prepare(
    checked: Checked, parameters: Mapping[str, object], tools: Mapping[str, Tool], skills: Mapping[str, Skill]
) -> Start:
    """Check that a program can run with these parameters, tools and skills.

    Raises:
        ProgramError: it has errors, holes (GP601), or parameters are wrong (GP317 to GP319).
        ConfigurationError: it needs a tool or a skill that is not there.
    """
    if not checked.ok:
        raise ProgramError(checked.findings)
    holes = hole_diagnostics(checked.tree, checked.environment)
    if holes:
        raise ProgramError.at(checked.source, *holes)
    values, paths = bind_parameters(checked, parameters)
    planned = plan(checked)
    check_tools(planned.nodes, tools, skills)
    return Start(planned, values, paths)


def bind_parameters(checked: Checked, given: Mapping[str, object]) -> tuple[dict[str, Value], dict[str, str]]:
    """The values of a program's parameters, and the paths of its image parameters.

    Raises `ProgramError` when one is missing, of the wrong type or unknown, or makes the program wrong.
    """
    bound = check_parameters(checked, given)
    if not bound.ok:
        raise ProgramError.at(checked.source, *bound.diagnostics)
    header = next((s for s in checked.tree.statements if isinstance(s, ProgramHeader)), None)
    types = {} if header is None else {p.name: p.type for p in header.parameters}
    values: dict[str, Value] = {}
    paths: dict[str, str] = {}
    for name, value in bound.values.items():
        if types[name] == Type.IMAGE.value:
            paths[name] = str(value)
        else:
            values[name] = SizeValue(value.width, value.height) if isinstance(value, Size) else value
    return values, paths


def check_tools(nodes: Sequence[Node], tools: Mapping[str, Tool], skills: Mapping[str, Skill]) -> None:
    """Raise `ConfigurationError` when nodes need a tool or a skill that is not there."""
    for name in tools_used(nodes):
        if name not in tools:
            raise ConfigurationError(f"the program calls '{name}', but no such tool is registered")
    for node in nodes:
        if node.kind == "skill" and node.name not in skills:
            raise ConfigurationError(f"the program uses the skill '{node.name}', but no such skill is loaded")
