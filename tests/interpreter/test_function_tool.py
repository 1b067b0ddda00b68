"""Typed tools from annotated functions, and clear words for what cannot be typed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import pytest

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.types import Parameter, Type
from genevolve.interpreter.protocols import CallContext, Tool
from genevolve.interpreter.tools import function_tool
from genevolve.interpreter.tools.function_tool import FunctionTool, declared_tools, tool
from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_tool, "_declared", {})


def test_a_function_becomes_a_tool() -> None:
    @tool
    def weather(
        place: Annotated[str, "a town"],
        days: int,
        unit: Literal["celsius", "kelvin"] = "celsius",
        scale: float = 1,
    ) -> str:
        """The weather of today.

        More.
        """
        return f"{place} {days} {unit} {scale}"

    s = weather.signature
    assert isinstance(weather, Tool)
    assert str(s) == "weather(place: text, days: int, unit: text = …, scale: float = …) -> text"
    assert s.parameters[0] == Parameter("place", Type.TEXT, doc="a town")
    assert s.parameters[2] == Parameter(
        "unit", Type.TEXT, required=False, default="celsius", named_only=True, choices=("celsius", "kelvin")
    )
    assert s.doc == "The weather of today."
    assert weather("Oslo", 2) == "Oslo 2 celsius 1", "it can still be called as the function that it is"
    assert weather(CallContext(), "Oslo", 2, unit="kelvin") == "Oslo 2 kelvin 1"
    assert declared_tools() == (weather,)
    assert weather.version is None


def test_all_types() -> None:
    def every(
        a: str, b: int, c: float, d: bool, e: SizeValue, f: Evidence, g: Images, h: ImageHandle
    ) -> ImageHandle:
        return h

    s = FunctionTool(every).signature
    assert [p.type.value for p in s.parameters] == [
        "text",
        "int",
        "float",
        "bool",
        "size",
        "evidence",
        "images",
        "image",
    ]
    assert s.returns is Type.IMAGE


def test_options_context_and_variadic() -> None:
    @tool(name="lookup", version="3", cost=2, price=0.5)
    async def _look(*queries: str, context: CallContext, top_k: int, note: Optional[str] = None) -> Evidence:  # noqa: UP045
        assert isinstance(context, CallContext)
        return Evidence()

    s = _look.signature
    assert (s.name, s.variadic, s.cost, s.price, _look.version) == ("lookup", True, 2, 0.5, "3")
    assert [(p.name, p.required, p.named_only) for p in s.parameters] == [
        ("queries", True, False),
        ("top_k", True, True),
        ("note", False, True),
    ]
    assert _look.is_async
    assert asyncio.run(_look(CallContext(), "a", "b", top_k=3)) == Evidence()


def no_annotation(a) -> str: ...  # noqa: ANN001  # the mistake under test
def no_result(a: str): ...  # noqa: ANN201  # the mistake under test
def a_list(a: list[str]) -> str: ...
def a_dict() -> dict: ...
def any_names(**more: int) -> str: ...
def numbers(a: Literal[1, 2] = 1) -> str: ...
def union(a: int | str) -> str: ...
def optional_without_default(a: str | None) -> str: ...
def none_default(a: str = None) -> str: ...  # noqa: RUF013  # the mistake under test
def wrong_default(a: int = "x") -> str: ...
def wrong_choice(a: Literal["x"] = "y") -> str: ...
def bool_for_int(a: int = True) -> str: ...
def optional_result() -> str | None: ...
def late_variadic(a: int, *rest: str) -> str: ...
def positional_default(a: str = "x", /) -> str: ...
def unknown_name(a: Nothing) -> str: ...  # noqa: F821
def nothing() -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_annotation, "the parameter 'a' of 'no_annotation' has no annotation"),
        (no_result, "the result of 'no_result' has no annotation"),
        (a_list, "annotated list"),
        (a_dict, "the result of 'a_dict' is annotated dict"),
        (any_names, "takes any names"),
        (numbers, "no type of the language"),
        (union, "no type of the language"),
        (optional_without_default, "needs the default None"),
        (none_default, "has the default None but its type does not say so"),
        (wrong_default, "is int, which its default 'x' is not"),
        (wrong_choice, "not one of its choices"),
        (bool_for_int, "is int, which its default True is not"),
        (optional_result, "one plain type"),
        (late_variadic, "must be the first parameter"),
        (positional_default, "cannot be positional-only"),
        (unknown_name, "cannot be read"),
        (nothing, "the result of 'nothing'"),
        (lambda a: a, "cannot be the name of a tool"),
    ],
)
def test_what_cannot_be_typed(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FunctionTool(function)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["prompt", "a-b", "", "1st", "a b", "true"])
def test_names_that_programs_cannot_write(name: str) -> None:
    def function() -> str: ...

    with pytest.raises(ConfigurationError, match="cannot be the name" if name else "."):
        FunctionTool(function, name=name or " ")


def test_negative_costs() -> None:
    def function() -> str: ...

    with pytest.raises(ConfigurationError, match="negative"):
        FunctionTool(function, cost=-1)
    with pytest.raises(ConfigurationError, match="negative"):
        FunctionTool(function, price=float("nan"))


def test_declaring_again_replaces_and_another_of_the_name_is_refused() -> None:
    def make() -> FunctionTool:
        @tool
        def again() -> str:
            return "x"

        return again

    make()
    second = make()
    assert declared_tools() == (second,)
    with pytest.raises(ConfigurationError, match="declared already"):

        @tool(name="again")
        def other() -> str: ...


@pytest.mark.parametrize("annotation", ["a b", "Annotated[str, []].x", "Literal[[]]", "[str]"])
def test_annotations_that_cannot_be_used_are_told(annotation: str) -> None:
    def odd(x: str) -> str:
        return x

    odd.__annotations__["x"] = annotation
    odd.__globals__.setdefault("Literal", Literal)
    with pytest.raises(ConfigurationError, match="odd"):
        FunctionTool(odd)


@pytest.mark.parametrize("name", ["search", "text", "count"])
def test_built_in_names_cannot_be_declared(name: str) -> None:
    def other(x: str) -> str:
        return x

    with pytest.raises(ConfigurationError, match="built in"):
        tool(name=name)(other)


def test_the_cost_is_a_whole_number() -> None:
    def other(x: str) -> str:
        return x

    with pytest.raises(ConfigurationError, match="cost"):
        FunctionTool(other, cost=1.5)  # type: ignore[arg-type]  # the mistake that is tested
