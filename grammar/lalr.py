"""The LALR(1) loop: tokens in, nodes out.

Lark makes the table (`lalr_table`, written by `generate`). Rules that only choose between others cost nothing,
and a failure knows from the stack of states what would have been right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from genevolve.grammar import lalr_table
from genevolve.grammar.lexer import Lexeme

END = "$END"

# What a rule builds from; the kinds of values differ from rule to rule.
_Build: TypeAlias = Callable[[list[Any]], Any]
# Shift: the next state. Reduce: how many values, what builds from them (None: the value stays), the rule's name.
_Action: TypeAlias = "int | tuple[int, _Build | None, str]"


class ParseFailure(Exception):
    """The token at index `at` (or the end, `len(tokens)`) cannot stand where it stands."""

    def __init__(self, at: int, accepts: frozenset[str]) -> None:
        super().__init__(at)
        self.at = at
        self.accepts = accepts


class Table:
    """The actions of statements, with what builds nodes. Holds no state of a parse: one table serves all threads."""

    def __init__(self, builder: object) -> None:
        rules: list[_Action] = [
            (size, getattr(builder, method) if method else None, rule)
            for rule, size, method in lalr_table.RULES
        ]
        self._actions: list[dict[str, _Action]] = [
            {token: step if step >= 0 else rules[-1 - step] for token, step in actions.items()}
            for actions in lalr_table.ACTIONS
        ]
        self._gotos = lalr_table.GOTOS

    def parse(self, tokens: Sequence[Lexeme]) -> Any:
        """What the start rule builds from the tokens. Raises `ParseFailure`."""
        actions, stack = self._actions, [0]
        values: list[Any] = []
        for at, token in enumerate(tokens):
            kind = token.type
            action = actions[stack[-1]].get(kind)
            while isinstance(action, tuple):
                self._reduce(action, stack, values)
                action = actions[stack[-1]].get(kind)
            if action is None:
                raise ParseFailure(at, self._accepted(stack))
            stack.append(action)
            values.append(token)
        while stack[-1] != lalr_table.ACCEPT:
            action = actions[stack[-1]].get(END)
            if not isinstance(action, tuple):
                raise ParseFailure(len(tokens), self._accepted(stack))
            self._reduce(action, stack, values)
        return values[-1]

    def _reduce(self, action: tuple[int, _Build | None, str], stack: list[int], values: list[Any]) -> None:
        size, build, rule = action
        if build is None:
            del stack[-1]
        elif size == 1:
            del stack[-1]
            values[-1] = build(values[-1:])
        else:
            # No rule inside a statement is empty, so there is always something to take off.
            children = values[-size:]
            del stack[-size:], values[-size:]
            values.append(build(children))
        stack.append(self._gotos[stack[-1]][rule])

    def _accepted(self, stack: Sequence[int]) -> frozenset[str]:
        """The terminals that could stand next: those that lead to a shift, whatever is reduced before."""
        candidates = self._actions[stack[-1]]
        return frozenset(symbol for symbol in candidates if self._shifts(symbol, list(stack)))

    def _shifts(self, symbol: str, stack: list[int]) -> bool:
        while symbol != END or stack[-1] != lalr_table.ACCEPT:
            action = self._actions[stack[-1]].get(symbol)
            if not isinstance(action, tuple):
                return action is not None
            size, _, rule = action
            del stack[-size:]
            stack.append(self._gotos[stack[-1]][rule])
        return True
