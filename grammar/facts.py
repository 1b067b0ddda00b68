"""What is known of a program after some of its statements: the data behind `Scope`.

`Facts` is filled by one pass over the statements. A scope owns one and never changes it; an extension works on
a copy. Copies are shallow, for everything inside is immutable: copying costs a machine word or two per name.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from genevolve.grammar.constraints import Constraints
from genevolve.grammar.span import Span
from genevolve.grammar.tree import (
    Boolean,
    Call,
    Comparison,
    Expression,
    Hole,
    Interpolation,
    Name,
    Number,
    Size,
    String,
)
from genevolve.grammar.types import Type

Constant: TypeAlias = str | int | float | bool | Size
"""A value that is known before a program runs."""

UNKNOWN_TEXT = "\ufffc"
"""Stands in a text for an interpolation whose value is not known before the run."""

_MARK = "\ufdd0"


class Binding(NamedTuple):
    """What a name stands for.

    `statement` counts from 0. `length` is how many images a list can hold at most. `constant` is the value when
    it is known before the run, `default` a parameter's default. `key` is the expression that an image comes
    from, names resolved: equal keys are one image.
    """

    name: str
    kind: Literal["param", "let", "ref"]
    type: Type
    span: Span
    statement: int = 0
    length: int | None = None
    constant: Constant | None = None
    default: Constant | None = None
    key: Expression | None = None


class Words(NamedTuple):
    """A text as far as it is known, white space and case evened out.

    `marked` shows parameters as marks, `default` shows their defaults; `open` when a part of it is known only in
    the run.
    """

    marked: str
    default: str
    open: bool

    def contain(self, other: Words) -> bool:
        """Whether the other text certainly stands, or may stand, in this one."""
        return self.open or other.marked in self.marked or other.default in self.default


class Lettering(NamedTuple):
    """A text that the picture must carry, and the place that says so."""

    words: Words
    shown: str
    span: Span


class Facts:
    """See the module. An attribute named like a statement holds the place of the first such statement."""

    __slots__ = (
        "after_render",
        "calls",
        "constraints",
        "count",
        "header",
        "hole",
        "hole_first",
        "last_hole",
        "lettering",
        "mentioned",
        "names",
        "prompt",
        "references",
        "render",
        "request",
        "required",
        "seen",
        "skills",
        "started",
        "used",
        "words",
    )

    def __init__(self) -> None:
        self.count = 0
        self.calls = 0
        self.names: dict[str, Binding] = {}
        self.used: set[str] = set()
        self.references: list[str] = []
        self.mentioned: set[str] = set()
        self.skills: dict[str, Span] = {}
        self.seen: dict[Call | Comparison, Span] = {}
        self.required: set[str] = set()
        self.lettering: list[Lettering] = []
        self.constraints = Constraints()
        # What the prompt says; None before there is one, and when it is a hole or no text.
        self.words: Words | None = None
        self.header: Span | None = None
        self.request: Span | None = None
        self.prompt: Span | None = None
        self.render: Span | None = None
        # The first `...`, and whether it stands where a request may still come out of it.
        self.hole: Span | None = None
        self.hole_first = False
        # The number of the last statement that is or has a hole: what fills it may use any earlier name.
        self.last_hole = -1
        # Whether there is a statement that is neither a header nor a hole.
        self.started = False
        self.after_render = False

    def copy(self) -> Facts:
        """A copy that can change without changing this one."""
        new = Facts.__new__(Facts)
        new.count, new.calls, new.words = self.count, self.calls, self.words
        new.header, new.request, new.prompt, new.render = (
            self.header,
            self.request,
            self.prompt,
            self.render,
        )
        new.hole, new.hole_first, new.last_hole = self.hole, self.hole_first, self.last_hole
        new.started, new.after_render = self.started, self.after_render
        new.names, new.used = self.names.copy(), self.used.copy()
        new.references, new.mentioned = self.references.copy(), self.mentioned.copy()
        new.skills, new.seen = self.skills.copy(), self.seen.copy()
        new.required, new.lettering = self.required.copy(), self.lettering.copy()
        new.constraints = self.constraints.copy()
        return new

    def constant(self, expression: Expression) -> Constant | None:
        """The value of an expression when it is known before the run, else None."""
        match expression:
            case String():
                text = self.text(expression)
                return None if UNKNOWN_TEXT in text else text
            case Number(value) | Boolean(value):
                return value
            case Name(name):
                binding = self.names.get(name)
                return binding.constant if binding is not None else None
            case Size():
                return expression
        return None

    def text(self, expression: Expression) -> str:
        """The text of an expression, with `UNKNOWN_TEXT` for what is not known before the run."""
        match expression:
            case String(parts):
                if len(parts) == 1 and isinstance(parts[0], str):
                    return parts[0]
                return "".join(p if isinstance(p, str) else self._inserted(p.name) for p in parts)
            case Name(name):
                return self._inserted(name)
        return UNKNOWN_TEXT

    def _inserted(self, name: str) -> str:
        binding = self.names.get(name)
        constant = binding.constant if binding is not None else None
        return UNKNOWN_TEXT if constant is None else shown(constant)

    def words_of(self, expression: Expression) -> Words:
        """What a text says as far as it is known."""
        parts: tuple[str | Interpolation | Name, ...]
        match expression:
            case String():
                parts = expression.parts
            case Name():
                parts = (expression,)
            case _:
                return Words("", "", True)
        marked, default, is_open = [], [], False
        for part in parts:
            if isinstance(part, str):
                marked.append(part)
                default.append(part)
                continue
            binding = self.names.get(part.name)
            mark = f"{_MARK}{part.name}{_MARK}"
            if binding is None or (binding.kind == "let" and binding.constant is None):
                is_open = True
            elif binding.constant is not None:
                mark = shown(binding.constant)
            marked.append(mark)
            default.append(mark if binding is None or binding.default is None else shown(binding.default))
        return Words(_even("".join(marked)), _even("".join(default)), is_open)

    def image_key(self, expression: Expression) -> Expression | None:
        """The expression that an image comes from, names resolved; None when a hole leaves it open."""
        if isinstance(expression, Name):
            binding = self.names.get(expression.name)
            return binding.key if binding is not None and binding.key is not None else expression
        return None if isinstance(expression, Hole) else expression


def shown(constant: Constant) -> str:
    """A constant as `{name}` inserts it into a string."""
    if isinstance(constant, Size):
        return f"{constant.width}x{constant.height}"
    return constant if isinstance(constant, str) else repr(constant)


def _even(text: str) -> str:
    return " ".join(text.split()).casefold()
