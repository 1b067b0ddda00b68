"""What may stand where a value of some type is asked for: literals, names, images of a list, calls that cost nothing.

Calls that cost are left to `let` statements, so that what they find is seen before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from genevolve.grammar.constrain_nodes import EMPTY, NOTHING, Lit, Node, alt, joined, one_of, seq
from genevolve.grammar.constrain_numbers import float_between, int_between, size_between
from genevolve.grammar.constrain_shapes import shapes
from genevolve.grammar.constrain_text import Kind, Text
from genevolve.grammar.facts import Binding
from genevolve.grammar.scope import Scope
from genevolve.grammar.strings import RESERVED, quote
from genevolve.grammar.tree import Expression, Index, Name, Number, Size
from genevolve.grammar.types import INTERPOLATED_TYPES, Parameter, Signature, Type

MAX_TEXT = 200
"""Longer limits of a parameter's text are kept by the decoder, shorter ones by the grammar."""

MAX_CALL_DEPTH = 2
"""How deep calls that cost nothing stand inside calls."""

_LEAST_TEXT = 100
_MAX_VARIADIC = 4
_MAX_PERMUTED = 4
_MAX_INDEX = 50
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_VALUES = (Type.PREDICATE, Type.QUANTITY, Type.UNKNOWN)
_IMAGES = (Type.IMAGE, Type.REFERENCE)


def is_word(name: str) -> bool:
    """Whether a name that comes from outside can be written in a program."""
    return _WORD.fullmatch(name) is not None and name not in RESERVED


@dataclass(frozen=True)
class Values:
    """The expressions of a scope, by type.

    Attributes:
        scope: What is known so far.
        images: How many pictures each name of type `images` really holds.
    """

    scope: Scope
    images: Mapping[str, int] = field(default_factory=dict)
    _arguments: dict[tuple[int, int], Node] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def bound_images(self) -> frozenset[Expression]:
        """What the images that references bind come from."""
        names = self.scope.names
        keys = (names[r].key for r in self.scope.references if r in names)
        return frozenset(key for key in keys if key is not None)

    @cached_property
    def insertable(self) -> tuple[str, ...]:
        """Names that any string may insert. A literal that a `let` names is written out instead."""
        return tuple(b.name for b in self._open_names() if b.type in INTERPOLATED_TYPES)

    def _open_names(self) -> Iterable[Binding]:
        return (b for b in self.scope.names.values() if b.constant is None and is_word(b.name))

    def names(self, *types: Type) -> Node:
        """Names of some types whose value is not known before the run."""
        return one_of(b.name for b in self._open_names() if b.type in types)

    # ---- by type ----

    def argument(self, parameter: Parameter, depth: int = MAX_CALL_DEPTH) -> Node:
        """What a parameter takes."""
        key = (id(parameter), depth)
        if key not in self._arguments:
            self._arguments[key] = self._argument(parameter, depth)
        return self._arguments[key]

    def _argument(self, parameter: Parameter, depth: int) -> Node:
        kind = parameter.type
        if kind is Type.TEXT:
            return self._text_argument(parameter, depth)
        if kind is Type.IMAGE:
            return self.image(depth=depth)
        found = [self._literal(parameter), self._known_names(parameter)]
        if kind is Type.UNKNOWN:
            found.append(Text(Kind(names=self.insertable)))
        return alt((*found, *self.free_calls((kind,), depth)))

    def _literal(self, parameter: Parameter) -> Node:
        low, high = parameter.low, parameter.high
        match parameter.type:
            case Type.INT:
                return int_between(low, high)
            case Type.FLOAT:
                return alt((int_between(low, high), float_between(low, high)))
            case Type.SIZE:
                return size_between(low, high)
            case Type.BOOL:
                return alt([shapes().build("boolean")])
        return NOTHING

    def _known_names(self, parameter: Parameter) -> Node:
        """Names whose type fits, and whose value does as far as it is known."""
        return one_of(
            b.name
            for b in self.scope.names.values()
            if is_word(b.name) and b.type is not Type.UNKNOWN and b.type.fits(parameter.type)
            if _in_range(b, parameter)
        )

    def _text_argument(self, parameter: Parameter, depth: int) -> Node:
        if parameter.choices:
            return one_of(quote(choice, triple=False) for choice in parameter.choices)
        high = None if parameter.high is None or parameter.high >= MAX_TEXT else int(parameter.high)
        least = max(1, int(parameter.low or 1))
        if least > _LEAST_TEXT or (high is not None and high < least):
            return NOTHING
        text = Text(Kind(names=self.insertable, least=least, most=high))
        return alt((text, self.names(Type.TEXT), *self.free_calls((Type.TEXT,), depth)))

    def image(self, *, unbound: bool = False, depth: int = MAX_CALL_DEPTH) -> Node:
        """An image: a name, one of a list, a call; with `unbound` none that a reference binds already."""
        found: list[Node] = []
        for binding in self.scope.names.values():
            if not is_word(binding.name):
                continue
            if binding.type in _IMAGES and not (unbound and self._is_bound(binding)):
                found.append(Lit(binding.name))
            elif binding.type is Type.IMAGES:
                found.append(self.indexed(binding.name, unbound=unbound))
        return alt((*found, *self.free_calls(_IMAGES, depth)))

    def _is_bound(self, binding: Binding) -> bool:
        if binding.kind == "ref":
            return True
        return (Name(binding.name) if binding.key is None else binding.key) in self.bound_images

    def indexed(self, name: str, *, unbound: bool = False) -> Node:
        """One image of a list that has a name."""
        index = one_of(map(str, self.indexes(name, unbound=unbound)))
        if index is NOTHING:
            return NOTHING
        return shapes().build("index", operand_0=Lit(name), expression_0=index)

    def indexes(self, name: str, *, unbound: bool = False) -> list[int]:
        """The positions at which a list has images that can be asked for."""
        binding = self.scope.names[name]
        length = binding.length if binding.length is not None else _MAX_INDEX
        length = min(length, self.images.get(name, length), _MAX_INDEX)
        bound = self.bound_images if unbound else frozenset()
        return [n for n in range(length) if Index(Name(name), Number(n, str(n))) not in bound]

    # ---- calls ----

    def free_calls(self, types: Sequence[Type], depth: int) -> list[Node]:
        """The calls that cost nothing and give one of some types."""
        types = [t for t in types if t not in _NO_VALUES]
        if depth <= 0:
            return []
        found = (s for s in self.scope.environment.signatures.values() if s.returns in types and s.cost == 0)
        return [self.call(s, depth=depth - 1) for s in found]

    def call(
        self,
        signature: Signature,
        *,
        depth: int = MAX_CALL_DEPTH,
        fill: Callable[[Parameter], Node] | None = None,
        broken: bool = False,
    ) -> Node:
        """A call of a tool, or of a predicate.

        Args:
            signature: What is called.
            depth: How deep calls that cost nothing may stand in it.
            fill: What a parameter takes; by default anything of its type.
            broken: Whether every argument stands on a line of its own.
        """
        if not is_word(signature.name):
            return NOTHING
        take = fill or (lambda parameter: self.argument(parameter, depth))
        comma = shapes().word("named_arguments", "COMMA")
        between = f"{comma}\n    " if broken else f"{comma} "
        lists = _arguments(signature, take, between)
        if broken:
            lists = (
                seq((Lit("\n    "), lists, Lit(f"{comma}\n"))) if lists not in (NOTHING, EMPTY) else NOTHING
            )
        if lists is EMPTY:
            return shapes().build("call", name_0=Lit(signature.name))
        return (
            NOTHING
            if lists is NOTHING
            else shapes().build("call", name_0=Lit(signature.name), arguments_0=lists)
        )


def _arguments(signature: Signature, take: Callable[[Parameter], Node], between: str) -> Node:
    """The argument lists that a signature takes: first those without names, then the named ones, each once."""
    parameters = signature.parameters
    first: Node = EMPTY
    rest = parameters
    if signature.variadic:
        first, rest = _several(parameters[0], take, between), parameters[1:]
    positional = [] if signature.variadic else [p for p in rest if p.required and not p.named_only]
    # What stands by position must be the first parameters: a required one behind an optional one is named.
    leading = [
        p for p, q in zip(positional, (p for p in parameters if not p.named_only), strict=False) if p is q
    ]
    if not signature.variadic:
        first = joined((take(p) for p in leading), between)
    named = [p for p in rest if p not in leading and (p.required or is_word(p.name))]
    if any(p.required and not is_word(p.name) for p in named):
        return NOTHING
    must = tuple(p for p in named if p.required)
    may = tuple(p for p in named if not p.required)
    nodes = {
        p.name: shapes().build("named_argument", name_0=Lit(p.name), expression_0=take(p)) for p in named
    }
    return _with_named(first, must, may, nodes, between)


def _several(parameter: Parameter, take: Callable[[Parameter], Node], between: str) -> Node:
    value = take(parameter)
    if value is NOTHING:
        return NOTHING if parameter.required else EMPTY
    found = [joined([value] * count, between) for count in range(1, _MAX_VARIADIC + 1)]
    return alt(found if parameter.required else (EMPTY, *found))


def _with_named(
    first: Node,
    must: tuple[Parameter, ...],
    may: tuple[Parameter, ...],
    nodes: Mapping[str, Node],
    between: str,
) -> Node:
    if first is NOTHING:
        return NOTHING
    tail = named_settings([p.name for p in must], [p.name for p in may], nodes, between)
    if tail is NOTHING or first is EMPTY:
        return tail
    some = [] if must else [first]
    after = _without_empty(tail)
    return alt((*some, seq((first, Lit(between), after)))) if after is not NOTHING else alt(some)


def _without_empty(node: Node) -> Node:
    items = getattr(node, "items", None)
    if node is EMPTY:
        return NOTHING
    if items and EMPTY in items:
        return alt(item for item in items if item is not EMPTY)
    return node


def named_settings(
    must: Sequence[str],
    may: Sequence[str],
    nodes: Mapping[str, Node],
    between: str,
    limit: int = _MAX_PERMUTED,
) -> Node:
    """Named arguments, each at most once: in any order when they are few, else in the order of the signature.

    Args:
        must: The names that have to come.
        may: The names that can come.
        nodes: What each is, its name included.
        between: What separates two.
        limit: How many may come in any order.
    """
    usable = [name for name in (*must, *may) if nodes[name] is not NOTHING]
    if any(name not in usable for name in must):
        return NOTHING
    memo: dict[tuple[frozenset[str], bool], Node] = {}

    def tails(left: frozenset[str], started: bool) -> Node:
        key = (left, started)
        if key not in memo:
            found: list[Node] = [] if any(name in left for name in must) else [EMPTY]
            for place, name in enumerate(usable):
                if name not in left:
                    continue
                after = left - {name}
                if len(usable) > limit:
                    if any(n in left and n in must for n in usable[:place]):
                        break
                    after = frozenset(usable[place + 1 :])
                head = seq((Lit(between), nodes[name])) if started else nodes[name]
                found.append(seq((head, tails(after, True))))
            memo[key] = alt(found)
        return memo[key]

    return tails(frozenset(usable), False)


def _in_range(binding: Binding, parameter: Parameter) -> bool:
    value = binding.constant
    if value is None:
        return True
    sides = (value.width, value.height) if isinstance(value, Size) else (value,)
    low, high = parameter.low, parameter.high
    for side in sides:
        if isinstance(side, str):
            return False
        if (low is not None and side < low) or (high is not None and side > high):
            return False
    return True
