"""The plan of a program: a graph of data dependencies, and the bound of what running it spends.

    let towers = image_search("tower")      1  call   image_search("tower")
    ref tower = pick(towers, "by night")    2  let    towers                     after 1
                                            3  call   pick(towers, "by night")   after 2
                                            4  ref    tower                      after 3

Nested calls are nodes of their own. Equal calls are one node: a call is done once. A node's inputs always stand
before it, so the order of the nodes is an order in which they can be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from genevolve.grammar.checker import Checked
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import (
    Avoid,
    Call,
    Comparison,
    Expression,
    Index,
    Let,
    Name,
    ProgramHeader,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    Statement,
    String,
    Use,
)
from genevolve.grammar.types import Environment, Type

Kind: TypeAlias = Literal["parameter", "call", "let", "ref", "skill"]

PREDICATES = (Type.PREDICATE, Type.QUANTITY)


@dataclass(frozen=True, slots=True)
class Node:
    """One thing to do.

    `parameter` opens an image parameter, `call` calls a tool, `let` and `ref` give a value its name, `skill` loads a
    guide. `statement` counts from 0, `inputs` are indices of earlier nodes. `written` is how often a call stands in
    the program; `cost` and `price` are of the node as a whole.
    """

    index: int
    kind: Kind
    name: str
    statement: int
    span: Span
    inputs: tuple[int, ...] = ()
    expression: Expression | None = None
    written: int = 1
    cost: int = 0
    price: float = 0.0

    @property
    def is_work(self) -> bool:
        """Whether a tool is called."""
        return self.kind in ("call", "parameter")


@dataclass(frozen=True, slots=True)
class Plan:
    """What running a program does, in an order in which it can be done.

    `calls` and `price` bound what is spent (calls of the budget; money without any cache hit), `depth` is the
    number of tool calls on the longest path: with enough concurrency a run takes as long as that path.
    """

    source: Source
    nodes: tuple[Node, ...]
    settings: str = ""

    @property
    def calls(self) -> int:
        """Calls of the tool budget, every written call and skill counted."""
        return sum(n.cost for n in self.nodes)

    @property
    def price(self) -> float:
        """Money, in the operator's currency, if no answer comes from the cache."""
        return sum(n.price for n in self.nodes)

    @property
    def depth(self) -> int:
        """Tool calls on the longest path."""
        return max(self.depths(), default=0)

    def depths(self) -> list[int]:
        """For each node, the tool calls on the longest path that ends with it."""
        depths: list[int] = []
        for node in self.nodes:
            depths.append(int(node.is_work) + max((depths[i] for i in node.inputs), default=0))
        return depths

    def waits_for(self, node: Node) -> tuple[int, ...]:
        """The tool calls that a node waits for directly, through names."""
        found: dict[int, None] = {}
        for i in node.inputs:
            inputs = (i,) if self.nodes[i].is_work else self.waits_for(self.nodes[i])
            found.update(dict.fromkeys(inputs))
        return tuple(sorted(found))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        depths = self.depths()
        return {
            "source": self.source.name,
            "bound": {"calls": self.calls, "price": round(self.price, 9), "depth": self.depth},
            "render": self.settings,
            "nodes": [
                {
                    "index": n.index,
                    "kind": n.kind,
                    "name": n.name,
                    "line": self.source.position(n.span.start).line,
                    "column": self.source.position(n.span.start).column,
                    "text": self._text(n),
                    "after": list(n.inputs),
                    "level": depths[n.index],
                    "cost": n.cost,
                    "price": n.price,
                }
                for n in self.nodes
            ],
        }

    def to_text(self) -> str:
        """As a table for people: tool calls and skills, what they wait for, and the bound."""
        shown = [n for n in self.nodes if n.kind in ("call", "parameter", "skill")]
        numbers = {n.index: str(i) for i, n in enumerate(shown, start=1)}
        rows = []
        for node in shown:
            after = ", ".join(numbers[i] for i in self.waits_for(node))
            cost = "free" if not node.cost else f"{node.cost} call{'s' if node.cost > 1 else ''}"
            price = f", {node.price:g}" if node.price else ""
            line = self.source.position(node.span.start).line
            text = self._text(node, 56)
            rows.append(
                (numbers[node.index], f"line {line}", text, cost + price, f"after {after}" if after else "")
            )
        widths = [max((len(r[i]) for r in rows), default=0) for i in range(5)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
        works = sum(n.is_work for n in shown)
        price = f", price {self.price:g} at most" if self.price else ""
        lines.append(
            f"{works} tool call{'' if works == 1 else 's'}, {self.depth} on the longest path; "
            f"{self.calls} of the call budget{price}"
        )
        lines.append(f"then render {self.settings}".rstrip())
        return "\n".join(lines) + "\n"

    def _text(self, node: Node, width: int = 200) -> str:
        text = " ".join(self.source.slice(node.span).split())
        return text if len(text) <= width else text[: width - 1] + "…"


class Planner:
    """Plans statements one after the other: a whole program at once, or a growing one step by step."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._names: dict[str, int] = {}
        self._calls: dict[Call, int] = {}
        self.nodes: list[Node] = []
        self.statements = 0
        self.cost = 0

    def add(self, statement: Statement) -> list[Node]:
        """Add a statement; returns the nodes that it adds.

        A call that was planned before adds none; `cost` counts it all the same.
        """
        first = len(self.nodes)
        match statement:
            case ProgramHeader(_, parameters):
                for parameter in parameters:
                    if parameter.type == Type.IMAGE.value:
                        self._names[parameter.name] = self._node("parameter", parameter.name, parameter.span)
            case Let(name, value):
                self._bind("let", name, value, statement.span)
            case Ref(name, value, purpose):
                self._bind("ref", name, value, statement.span, purpose)
            case Use(str() as skill):
                self._node("skill", skill, statement.span, cost=1)
            case Request(e) | Prompt(e) | Avoid(e) | Require(e):
                self._needs(e)
            case Render(settings):
                for setting in settings:
                    self._needs(setting.value)
            case _:
                pass
        self.statements += 1
        return self.nodes[first:]

    def fork(self) -> Planner:
        """A planner that knows the same and goes its own way."""
        copy = Planner(self._environment)
        copy._names, copy._calls = dict(self._names), dict(self._calls)
        copy.nodes, copy.statements, copy.cost = list(self.nodes), self.statements, self.cost
        return copy

    def _bind(
        self, kind: Kind, name: str, value: Expression, span: Span, purpose: Expression | None = None
    ) -> None:
        inputs = self._needs(value)
        if purpose is not None:
            inputs |= self._needs(purpose)
        self._names[name] = self._node(kind, name, span, inputs, value)

    def _node(
        self,
        kind: Kind,
        name: str,
        span: Span,
        inputs: Iterable[int] = (),
        expression: Expression | None = None,
        cost: int = 0,
        price: float = 0.0,
    ) -> int:
        index, needed = len(self.nodes), tuple(sorted(set(inputs)))
        self.nodes.append(Node(index, kind, name, self.statements, span, needed, expression, 1, cost, price))
        self.cost += cost
        return index

    def _needs(self, expression: Expression) -> set[int]:
        """The nodes whose values an expression uses directly."""
        match expression:
            case Name(name):
                return {self._names[name]} if name in self._names else set()
            case String():
                return {self._names[i.name] for i in expression.interpolations if i.name in self._names}
            case Index(left, right) | Comparison(left, _, right):
                return self._needs(left) | self._needs(right)
            case Call():
                return self._call(expression)
        return set()

    def _call(self, call: Call) -> set[int]:
        signature = self._environment.signatures[call.name]
        inputs = set().union(*(self._needs(a.value) for a in call.arguments))
        if signature.returns in PREDICATES:
            return inputs
        known = self._calls.get(call)
        if known is None:
            known = self._node("call", call.name, call.span, inputs, call, signature.cost, signature.price)
            self._calls[call] = known
        else:
            node = self.nodes[known]
            self.nodes[known] = replace(node, written=node.written + 1, cost=node.cost + signature.cost)
            self.cost += signature.cost
        return {known}


def plan(checked: Checked) -> Plan:
    """Plan a checked program. It needs no tools and spends nothing."""
    planner = Planner(checked.environment)
    settings = ""
    for statement in checked.tree.statements:
        planner.add(statement)
        if isinstance(statement, Render):
            settings = " ".join(checked.source.slice(statement.span).split()).removeprefix("render").strip()
    return Plan(checked.source, tuple(planner.nodes), settings)


def tools_used(nodes: Iterable[Node]) -> Mapping[str, Span]:
    """The tools that nodes call, each with the place of its first use."""
    found: dict[str, Span] = {}
    for node in nodes:
        if node.is_work:
            found.setdefault("image" if node.kind == "parameter" else node.name, node.span)
    return found
