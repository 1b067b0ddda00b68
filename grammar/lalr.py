"""Runs Lark's LALR(1) table over tokens that are there already.

Lark makes the table from `gprog.lark`; its own loop looks every rule up by a hash computed anew. Here each action
is laid out once, rules that only choose are skipped, and a failure keeps the stack of states, from which can be
told what would have been right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lark import Lark
from lark.grammar import Rule
from lark.parsers.lalr_analysis import Shift

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
    """The actions of one start rule. Holds no state of a parse: one table serves all threads."""

    def __init__(self, lark: Lark, start: str) -> None:
        conf = lark.parse_interactive("", start=start).parser_state.parse_conf
        callbacks = conf.callbacks
        self._start: int = conf.start_state
        self._end: int = conf.end_state
        self._actions: dict[int, dict[str, _Action]] = {}
        self._gotos: dict[int, dict[str, int]] = {}
        for state, actions in conf.states.items():
            gotos = self._gotos[state] = {}
            steps: dict[str, _Action] = {}
            self._actions[state] = steps
            for symbol, (action, argument) in actions.items():
                # Lark's names are tokens, which compare slowly: plain strings do.
                name = str(symbol)
                if name != END and not name.isupper():
                    gotos[name] = argument
                else:
                    steps[name] = argument if action is Shift else _reduction(argument, callbacks)

    def parse(self, tokens: Sequence[Lexeme]) -> Any:
        """What the start rule builds from the tokens. Raises `ParseFailure`."""
        actions, stack = self._actions, [self._start]
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
        while stack[-1] != self._end:
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
        while symbol != END or stack[-1] != self._end:
            action = self._actions[stack[-1]].get(symbol)
            if not isinstance(action, tuple):
                return action is not None
            size, _, rule = action
            del stack[-size:]
            stack.append(self._gotos[stack[-1]][rule])
        return True


def _reduction(rule: Rule, callbacks: Mapping[Any, _Build]) -> _Action:
    only_chooses = rule.options.expand1 and len(rule.expansion) == 1 and rule.alias is None
    return len(rule.expansion), None if only_chooses else callbacks[rule], str(rule.origin.name)
