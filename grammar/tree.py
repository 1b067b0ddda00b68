"""The syntax tree: one class per rule of `gprog.lark`, frozen, every node with its `Span`.

Spans and blank lines take no part in equality: two trees are equal when they say the same, comments included.
`fields` of a node never hold lists, so trees can be shared between scopes, rollouts and threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from genevolve.grammar.span import NOWHERE, Span


def _span() -> Span:
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)
    return span


# ---- expressions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """An `int` or `float` literal; `raw` is how it was written (`4.0`, `007`)."""

    value: int | float
    raw: str = field(compare=False)
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Size:
    """A size literal in pixels: `1024x768`."""

    width: int
    height: int
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Interpolation:
    """`{name}` inside a string."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class String:
    """A string: literal pieces (escapes resolved) and interpolations, in order.

    `raw` is the token as written, quotes included; the formatter keeps it. `triple` strings have their
    common indentation, first line break and last line break removed from the pieces.
    """

    parts: tuple[str | Interpolation, ...]
    raw: str = field(compare=False)
    triple: bool = False
    span: Span = _span()

    @property
    def plain(self) -> str | None:
        """The value when nothing is interpolated, else None."""
        if not self.parts:
            return ""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], str) else None

    @property
    def interpolations(self) -> tuple[Interpolation, ...]:
        """The `{name}` parts, in order."""
        return tuple(p for p in self.parts if isinstance(p, Interpolation))


@dataclass(frozen=True, slots=True)
class Name:
    """A use of a parameter, `let` or `ref`."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Hole:
    """`?`: an expression that a policy fills."""

    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call or a setting of `render`; `name` is None when it is positional."""

    value: Expression
    name: str | None = None
    name_span: Span = _span()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`: a registered tool or a predicate."""

    name: str
    arguments: tuple[Argument, ...]
    name_span: Span = _span()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[index]`: one image of a list."""

    operand: Expression
    index: Expression
    span: Span = _span()


Comparator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`count("ball") == 3`: the only operator of the language."""

    left: Expression
    operator: Comparator
    right: Expression
    span: Span = _span()


Expression: TypeAlias = Number | Boolean | Size | String | Name | Hole | Call | Index | Comparison


# ---- statements --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trivia:
    """What surrounds a statement and means nothing to the machine: comments (text after `#`, stripped)."""

    leading: tuple[str, ...] = ()
    trailing: str | None = None
    blank_before: bool = field(default=False, compare=False)


PLAIN = Trivia()


@dataclass(frozen=True, slots=True)
class ProgramParameter:
    """`name: type = default` in the program header; `type` is kept as written, the checker resolves it."""

    name: str
    type: str
    default: Expression | None = None
    type_span: Span = _span()
    name_span: Span = _span()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ProgramHeader:
    """`program name(parameters)`."""

    name: str
    parameters: tuple[ProgramParameter, ...] = ()
    name_span: Span = _span()
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Request:
    """`request "…"`: what the person asked for."""

    text: Expression
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = expression`."""

    name: str
    value: Expression
    name_span: Span = _span()
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Ref:
    """`ref name = image for "what to copy"`: the next reference image."""

    name: str
    value: Expression
    purpose: Expression | None = None
    name_span: Span = _span()
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Use:
    """`use skill name`; `skill` is a `Hole` in a sketch."""

    skill: str | Hole
    name_span: Span = _span()
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Prompt:
    """`prompt "…"`: what the generator reads."""

    text: Expression
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Avoid:
    """`avoid "…"`: a piece of the negative prompt."""

    text: Expression
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Require:
    """`require predicate`: what must hold in the picture."""

    predicate: Expression
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Render:
    """`render size: …, seed: …`."""

    settings: tuple[Argument, ...] = ()
    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True, slots=True)
class StatementHole:
    """`...`: any number of statements that a policy writes."""

    span: Span = _span()
    trivia: Trivia = field(default=PLAIN, kw_only=True)


Statement: TypeAlias = (
    ProgramHeader | Request | Let | Ref | Use | Prompt | Avoid | Require | Render | StatementHole
)


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed program: its statements in order and the comments after the last one."""

    statements: tuple[Statement, ...]
    comments: tuple[str, ...] = ()
    span: Span = _span()
