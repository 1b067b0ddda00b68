"""`Scope`: what a program means so far, extended one statement at a time.

A scope never changes: `extend` gives a new one, so that many continuations of one program (the rollouts of a
request) can share it. Extending copies what is known so far, a few machine words per name.

    >>> from genevolve.grammar.builtins import builtin_environment
    >>> from genevolve.grammar.tree import Call, Argument, Let, String
    >>> scope = Scope.root(builtin_environment())
    >>> call = Call("image_search", (Argument(String(("a kite",), '"a kite"')),))
    >>> extension = scope.extend(Let("kites", call))
    >>> extension.scope.names["kites"].length, extension.scope.calls_left, scope.calls_left
    (5, 9, 10)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from genevolve.grammar.constraints import Constraints
from genevolve.grammar.diagnostics import Diagnostic, ordered
from genevolve.grammar.facts import Binding, Facts
from genevolve.grammar.rules import Rules
from genevolve.grammar.span import NOWHERE, Span
from genevolve.grammar.tree import Statement
from genevolve.grammar.types import Environment, Signature

MAX_STATEMENTS = 1_000
"""How many statements a program may have."""


class Scope:
    """What is known after some statements: names, references, skills and what may still be spent."""

    __slots__ = ("_facts", "environment")

    def __init__(self, environment: Environment, facts: Facts) -> None:
        self.environment = environment
        self._facts = facts

    @classmethod
    def root(cls, environment: Environment) -> Scope:
        """The scope before the first statement."""
        return cls(environment, Facts())

    def extend(self, statement: Statement) -> Extension:
        """The scope after one more statement, and what is wrong with the statement.

        This scope stays as it is. An extension with errors has a scope all the same; whoever writes step by step
        keeps the old one and tries another statement.
        """
        rules = Rules(self.environment, self._facts.copy())
        if self._facts.count >= MAX_STATEMENTS:
            message = f"a program has at most {MAX_STATEMENTS:,} statements; this is one more"
            rules.report("GP111", message, statement.span)
        rules.statement(statement)
        return Extension(Scope(self.environment, rules.facts), ordered(rules.out))

    def finish(self, span: Span = NOWHERE) -> tuple[Diagnostic, ...]:
        """What is wrong if the program ends here: what is missing, contradicts or was never used.

        Rules that a hole could still meet are left out.

        Args:
            span: Of the whole program; what is missing is reported at its start or end.
        """
        rules = Rules(self.environment, self._facts)
        rules.finish(span)
        return ordered(rules.out)

    # ---- facts for a policy or a decoder ----

    @property
    def names(self) -> Mapping[str, Binding]:
        """Parameters, `let` and `ref` names that a statement may use now, in order of definition."""
        return MappingProxyType(self._facts.names)

    @property
    def references(self) -> tuple[str, ...]:
        """The names of the references, in the order of their ordinals."""
        return tuple(self._facts.references)

    @property
    def unmentioned(self) -> tuple[str, ...]:
        """References that the prompt has not mentioned."""
        return tuple(r for r in self._facts.references if r not in self._facts.mentioned)

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills in use, in order."""
        return tuple(self._facts.skills)

    @property
    def required(self) -> frozenset[str]:
        """The names of the predicates that are required so far."""
        return frozenset(self._facts.required)

    @property
    def statements(self) -> int:
        """How many statements there are."""
        return self._facts.count

    @property
    def calls_spent(self) -> int:
        """What the calls and skills so far cost."""
        return self._facts.calls

    @property
    def calls_left(self) -> int:
        """What may still be spent; never negative."""
        return max(0, self.environment.max_calls - self._facts.calls)

    @property
    def references_left(self) -> int:
        """How many more references may be bound; never negative."""
        return max(0, self.environment.max_references - len(self._facts.references))

    @property
    def has_header(self) -> bool:
        """Whether there is a program header."""
        return self._facts.header is not None

    @property
    def has_request(self) -> bool:
        """Whether there is a request."""
        return self._facts.request is not None

    @property
    def has_prompt(self) -> bool:
        """Whether there is a prompt."""
        return self._facts.prompt is not None

    @property
    def has_render(self) -> bool:
        """Whether there is a render; nothing can follow it."""
        return self._facts.render is not None

    @property
    def has_holes(self) -> bool:
        """Whether any statement is a hole or has one."""
        return self._facts.last_hole >= 0

    @property
    def constraints(self) -> Constraints:
        """A copy of what is required so far, to try whether something else can hold with it."""
        return self._facts.constraints.copy()

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The tools and predicates that a statement may call."""
        return MappingProxyType(dict(self.environment.signatures))


class Extension(NamedTuple):
    """A longer program's scope, and what is wrong with the new statement."""

    scope: Scope
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the statement has no error (it may have warnings)."""
        return not any(d.is_error for d in self.diagnostics)
