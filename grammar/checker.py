"""The checker: names, types, references, budgets and holes of a whole program.

`check` goes over the statements once, in order, with the rules that `Scope.extend` applies to a single
statement, then applies those of whole programs. After syntax errors the whole-program rules wait: the statement
that they miss may be one that could not be read.

    expressions → `inference`      statements, whole programs → `rules`      what is known → `facts`
    arguments to parameters → `binding`   contradictions → `constraints`   what a prompt must not spell → `spelled`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genevolve.grammar.diagnostics import Diagnostic, Findings, ordered
from genevolve.grammar.facts import Binding, Constant, Facts
from genevolve.grammar.parser import Parsed
from genevolve.grammar.rules import Rules
from genevolve.grammar.scope import Extension, Scope
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import Tree
from genevolve.grammar.types import Environment

__all__ = ["Binding", "Checked", "Extension", "Scope", "check", "check_with_values"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A program and all that is wrong with it, syntax included, in the order of the places."""

    source: Source
    tree: Tree
    scope: Scope
    environment: Environment
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def findings(self) -> Findings:
        """The diagnostics with their source."""
        return Findings(self.source, self.diagnostics)

    @property
    def ok(self) -> bool:
        """Whether there is no error (there may be warnings and holes)."""
        return not any(d.is_error for d in self.diagnostics)


def check(parsed: Parsed, environment: Environment) -> Checked:
    """Check a parsed program; never raises."""
    return check_with_values(parsed, environment, {})


def check_with_values(parsed: Parsed, environment: Environment, values: Mapping[str, Constant]) -> Checked:
    """Check a program for certain parameter values: ranges, choices and texts then count them as written.

    Args:
        parsed: The program.
        environment: Its tools, skills and limits.
        values: By parameter name; a parameter without one stays unknown.
    """
    tree = parsed.tree
    rules = Rules(environment, Facts(), tree=tree, lost=parsed.lost, values=values)
    for statement in tree.statements:
        rules.statement(statement)
    broken = [d.span for d in parsed.diagnostics if d.is_error]
    if not broken:
        rules.finish(tree.span)
    scope = Scope(environment, rules.facts)
    found = rules.out if not broken else _independent(rules.out, broken, tree)
    return Checked(parsed.source, tree, scope, environment, ordered((*parsed.diagnostics, *found)))


def _independent(found: list[Diagnostic], broken: list[Span], tree: Tree) -> list[Diagnostic]:
    """Findings that do not merely follow from syntax errors: the parser had to guess what stands there."""
    guessed = [s.span for s in tree.statements if any(_touch(s.span, span) for span in broken)]
    return [
        d
        for d in found
        if not any(_touch(d.span, span) for span in broken)
        and not (d.code in _GUESSED and any(_touch(d.span, span) for span in guessed))
    ]


def _touch(a: Span, b: Span) -> bool:
    return a.start < max(b.end, b.start + 1) and b.start < max(a.end, a.start + 1)


_GUESSED = frozenset({"GP302", "GP303", "GP320"})
"""What a statement that was cut short lacks, or one that was read on has too much of."""
