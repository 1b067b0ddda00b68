"""The types of the language and the signatures of what a program may call.

The checker knows tools only by their `Signature`; what a tool does is the interpreter's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Type(Enum):
    """A type of the language. `value` is its spelling in programs and messages."""

    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    SIZE = "size"
    EVIDENCE = "evidence"
    IMAGES = "images"
    IMAGE = "image"
    PREDICATE = "predicate"
    # What `count(...)` gives: a measurement that only becomes a predicate by comparison with an int.
    QUANTITY = "quantity"
    # An image that a `ref` statement bound; it is an image wherever one is asked for.
    REFERENCE = "reference"
    # The type of an expression that already has an error: fits everywhere, so one mistake is told once.
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value

    def fits(self, wanted: Type) -> bool:
        """Whether a value of this type may stand where `wanted` is asked for (int widens to float)."""
        if self is wanted or self is Type.UNKNOWN or wanted is Type.UNKNOWN:
            return True
        return (self, wanted) in _WIDENS


_WIDENS = {(Type.INT, Type.FLOAT), (Type.REFERENCE, Type.IMAGE)}

PARAMETER_TYPES = (Type.TEXT, Type.INT, Type.FLOAT, Type.BOOL, Type.SIZE, Type.IMAGE)
"""Types that a program's own parameters may have: what a person can write on a command line."""

INTERPOLATED_TYPES = (Type.TEXT, Type.INT, Type.FLOAT, Type.SIZE)
"""Types that `{name}` may insert into any string."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool.

    `low`/`high` bound numbers (inclusive) and the length of texts; `choices` lists the only allowed texts.
    A parameter with `default` absent (`required`) must be given. `named_only` ones are written `name: value`.
    """

    name: str
    type: Type
    required: bool = True
    default: object = None
    named_only: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """A typed function: `name(parameters) -> returns`.

    With `variadic`, the first parameter takes one or more positional arguments (`search("a", "b")`).
    `cost` is how many calls of the tool budget one call spends (0: free, such as opening a local image).
    `price` is money per call, in the operator's currency, when it is known.
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: Type
    variadic: bool = False
    cost: int = 1
    price: float = 0.0
    doc: str = ""

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((p for p in self.parameters if p.name == name), None)

    def __str__(self) -> str:
        shown = []
        for i, p in enumerate(self.parameters):
            star = ", …" if self.variadic and i == 0 else ""
            default = "" if p.required else " = …"
            shown.append(f"{p.name}: {p.type}{default}{star}")
        return f"{self.name}({', '.join(shown)}) -> {self.returns}"


@dataclass(frozen=True, slots=True)
class SkillInfo:
    """What the checker knows of a skill: its name, and the predicates whose use it should go with."""

    name: str
    summary: str = ""
    expects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment:
    """Everything outside a program that its meaning depends on: tools, skills and limits."""

    signatures: Mapping[str, Signature]
    skills: Mapping[str, SkillInfo] = field(default_factory=dict)
    max_calls: int = 10
    max_references: int = 5
    max_prompt_chars: int = 20_000
    absent: Mapping[str, str] = field(default_factory=dict)
    """Why a tool that one may expect is not there; a name ending in `*` stands for all that begin so."""

    def why_absent(self, name: str) -> str | None:
        """Why there is no tool of that name, when more is known than that there is none."""
        if name in self.absent:
            return self.absent[name]
        starts = (s for s in self.absent if s.endswith("*") and name.startswith(s[:-1]))
        return next((self.absent[s] for s in starts), None)

    def with_tools(self, extra: Iterable[Signature]) -> Environment:
        """This environment with more tools; a name that exists already is an error."""
        signatures = dict(self.signatures)
        for s in extra:
            if s.name in signatures:
                raise ValueError(f"a tool named {s.name!r} is registered already")
            signatures[s.name] = s
        return replace(self, signatures=signatures)

    def predicates(self) -> Iterator[Signature]:
        """The signatures that can stand in `require`."""
        return (s for s in self.signatures.values() if s.returns in (Type.PREDICATE, Type.QUANTITY))
