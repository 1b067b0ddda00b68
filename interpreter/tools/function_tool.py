"""A typed tool from an annotated Python function.

    @genevolve.tool
    def weather(place: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
        "The weather of today."

becomes `weather(place: text, unit: text = …) -> text`. A parameter with a default is optional and named in
programs. The function may be a coroutine function; a plain one runs in a worker thread. A parameter annotated
`CallContext` is given the context of the call and is not part of the signature.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, overload

from genevolve.grammar.builtins import PREDICATES, TOOLS
from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.types import Parameter, Signature, Type
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Value, type_of

F = TypeVar("F", bound=Callable[..., Any])

_TYPES: dict[object, Type] = {
    str: Type.TEXT,
    int: Type.INT,
    float: Type.FLOAT,
    bool: Type.BOOL,
    SizeValue: Type.SIZE,
    Evidence: Type.EVIDENCE,
    Images: Type.IMAGES,
    ImageHandle: Type.IMAGE,
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset(
    "program request let ref use skill prompt avoid require render for true false".split()  # noqa: SIM905  # reads as a list of words
)


class FunctionTool:
    """A tool made from a function; see `tool`.

    Called with plain arguments it is the function itself; called with a `CallContext` first, as the machine
    does, it is a `Tool`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        version: str | None = None,
        cost: int = 1,
        price: float = 0.0,
    ) -> None:
        self.function = function
        self._version = version
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature, self._context = _signature(function, name, cost, price)
        self.__doc__ = function.__doc__
        self.__name__ = self.signature.name

    @property
    def version(self) -> str | None:
        """What the caller gave; None, the default, means that answers are never cached."""
        return self._version

    def __call__(self, *args: Any, **named: Any) -> Value | Awaitable[Value]:
        """Call the function, with or without a context first."""
        if args and isinstance(args[0], CallContext):
            context, args = args[0], args[1:]
            if self._context is not None:
                named[self._context] = context
        result: Value | Awaitable[Value] = self.function(*args, **named)
        return result

    def __repr__(self) -> str:
        return f"<tool {self.signature}>"


_BUILT_IN = frozenset(signature.name for signature in (*TOOLS, *PREDICATES))

_declared: dict[str, FunctionTool] = {}


def declared_tools() -> tuple[FunctionTool, ...]:
    """The tools that `@tool` made in this process, in the order of their declaration."""
    return tuple(_declared.values())


@overload
def tool(function: F, /) -> FunctionTool: ...


@overload
def tool(
    *, name: str | None = None, version: str | None = None, cost: int = 1, price: float = 0.0
) -> Callable[[F], FunctionTool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    cost: int = 1,
    price: float = 0.0,
) -> FunctionTool | Callable[[F], FunctionTool]:
    """Make a tool of an annotated function and declare it for the programs of this process.

    Args:
        function: the function; sync or async.
        name: its name in programs; the function's own by default.
        version: part of the cache key. Give one (and change it with the function) to have answers cached.
        cost: how many calls of the budget one call spends.
        price: money per call, in your currency.

    Raises:
        ConfigurationError: an annotation is missing or has no counterpart in the language, or the name is taken.
    """

    def make(given: Callable[..., Any]) -> FunctionTool:
        made = FunctionTool(given, name=name, version=version, cost=cost, price=price)
        if made.signature.name in _BUILT_IN:
            raise ConfigurationError(
                f"{made.signature.name!r} is built in, so no tool can be declared with that name; "
                "give another one with @tool(name=…)"
            )
        before = _declared.get(made.signature.name)
        # The same function declared again is a notebook cell or a module that was run again.
        if before is not None and _origin(before.function) != _origin(given):
            raise ConfigurationError(f"a tool named {made.signature.name!r} is declared already")
        _declared[made.signature.name] = made
        return made

    return make if function is None else make(function)


class _Typed(NamedTuple):
    type: Type
    choices: tuple[str, ...] = ()
    doc: str = ""
    optional: bool = False


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    return (getattr(function, "__module__", ""), getattr(function, "__qualname__", repr(function)))


def _signature(
    function: Callable[..., Any], name: str | None, cost: int, price: float
) -> tuple[Signature, str | None]:
    """The signature of a function, and the name of its context parameter."""
    shown: str = name or str(getattr(function, "__name__", ""))
    if not _NAME.match(shown) or shown in _RESERVED:
        raise ConfigurationError(f"{shown!r} cannot be the name of a tool; give one with @tool(name=…)")
    if isinstance(cost, bool) or not isinstance(cost, int):
        raise ConfigurationError(f"the cost of {shown!r} is a whole number of calls, not {cost!r}")
    if cost < 0 or not price >= 0:
        raise ConfigurationError(f"the cost and the price of {shown!r} cannot be negative")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        declared = inspect.signature(function)
    except (NameError, SyntaxError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"the annotations of {shown!r} cannot be read: {error}") from error
    context: str | None = None
    parameters: list[Parameter] = []
    variadic = False
    for parameter in declared.parameters.values():
        if hints.get(parameter.name) is CallContext:
            context = parameter.name
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            if parameters:
                raise ConfigurationError(f"{shown!r}: *{parameter.name} must be the first parameter")
            variadic = True
        parameters.append(_parameter(shown, parameter, hints))
    returns = _typed(hints.get("return", inspect.Signature.empty), f"the result of {shown!r}")
    if returns.optional or returns.choices:
        raise ConfigurationError(f"the result of {shown!r} must be one plain type of the language")
    doc = inspect.getdoc(function) or ""
    signature = Signature(
        shown,
        tuple(parameters),
        returns.type,
        variadic,
        cost,
        price,
        doc.partition("\n\n")[0].replace("\n", " "),
    )
    return signature, context


def _parameter(tool_name: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> Parameter:
    what = f"the parameter {parameter.name!r} of {tool_name!r}"
    if parameter.kind is parameter.VAR_KEYWORD:
        raise ConfigurationError(f"{what} takes any names; every argument of a tool has one of its own")
    typed = _typed(hints.get(parameter.name, inspect.Signature.empty), what)
    required = parameter.default is parameter.empty
    if parameter.kind is parameter.POSITIONAL_ONLY and not required:
        raise ConfigurationError(f"{what} is optional, so programs name it: it cannot be positional-only")
    if not required:
        _check_default(parameter.default, typed, what)
    elif typed.optional:
        raise ConfigurationError(f"{what} may be None, so it needs the default None")
    named_only = not required or parameter.kind is parameter.KEYWORD_ONLY
    return Parameter(
        parameter.name,
        typed.type,
        required=required,
        default=None if required else parameter.default,
        named_only=named_only,
        choices=typed.choices,
        doc=typed.doc,
    )


def _check_default(default: object, typed: _Typed, what: str) -> None:
    if default is None:
        if not typed.optional:
            raise ConfigurationError(f"{what} has the default None but its type does not say so")
    elif not type_of(default).fits(typed.type):
        raise ConfigurationError(f"{what} is {typed.type}, which its default {default!r} is not")
    elif typed.choices and default not in typed.choices:
        raise ConfigurationError(f"{what} has a default that is not one of its choices")


def _typed(annotation: object, what: str) -> _Typed:
    """The language type of an annotation."""
    if annotation is inspect.Signature.empty:
        raise ConfigurationError(f"{what} has no annotation")
    if isinstance(annotation, type) and annotation in _TYPES:
        return _Typed(_TYPES[annotation])
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _typed(args[0], what)
        doc = next((a for a in args[1:] if isinstance(a, str)), "")
        return inner._replace(doc=doc or inner.doc)
    if origin is Literal and all(isinstance(a, str) for a in args):
        return _Typed(Type.TEXT, choices=tuple(args))
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        inner = _typed(next(a for a in args if a is not type(None)), what)
        return inner._replace(optional=True)
    allowed = "str, int, float, bool, Literal of strings, SizeValue, Evidence, Images and ImageHandle"
    shown = getattr(annotation, "__name__", None) or repr(annotation)
    raise ConfigurationError(
        f"{what} is annotated {shown}, which no type of the language is; there are {allowed}"
    )
