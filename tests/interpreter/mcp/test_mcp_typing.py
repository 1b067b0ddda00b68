"""JSON Schema to signatures of the language."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.types import Type
from genevolve.interpreter.mcp.settings import McpServer, parse_servers
from genevolve.interpreter.mcp.typing import TypedTool, Untypable, typed_tool

SERVER = McpServer("docs", command=("docs",))


def typed(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> TypedTool:
    schema = {"type": "object", "properties": properties, "required": required or [], **more}
    return typed_tool(SERVER, "find", {"inputSchema": schema})


def test_scalars_keep_their_bounds_choices_and_defaults() -> None:
    tool = typed(
        {
            "query": {"type": "string", "minLength": 1, "maxLength": 50},
            "limit": {"type": "integer", "minimum": 1, "exclusiveMaximum": 11, "default": 5},
            "ratio": {"type": "number", "minimum": 0.5, "maximum": 2, "default": 1},
            "exact": {"type": "boolean"},
            "style": {"enum": ["short", "long"], "default": "short"},
        },
        ["query"],
    )
    query, limit, ratio, exact, style = tool.signature.parameters
    assert str(tool.signature) == (
        "docs_find(query: text, limit: int = …, ratio: float = …, exact: bool = …, style: text = …) -> text"
    )
    assert (query.required, query.named_only, query.low, query.high) == (True, False, 1, 50)
    assert (limit.named_only, limit.low, limit.high, limit.default) == (True, 1, 10, 5)
    assert (ratio.low, ratio.high, ratio.default) == (0.5, 2, 1.0)
    assert isinstance(ratio.default, float)
    assert (exact.required, exact.default) == (False, None)
    assert (style.choices, style.default) == (("short", "long"), "short")


def test_required_texts_stand_by_position_and_everything_else_by_name() -> None:
    tool = typed(
        {"n": {"type": "integer"}, "a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}},
        ["n", "a", "b"],
    )
    assert [(p.name, p.named_only, p.required) for p in tool.signature.parameters] == [
        ("a", False, True),
        ("b", False, True),
        ("n", True, True),
        ("c", True, False),
    ]


def test_a_required_list_of_texts_takes_all_positions() -> None:
    tool = typed(
        {"where": {"type": "string"}, "queries": {"type": "array", "items": {"type": "string"}}},
        ["where", "queries"],
    )
    assert tool.signature.variadic
    assert [(p.name, p.named_only) for p in tool.signature.parameters] == [
        ("queries", False),
        ("where", True),
    ]


def test_references_and_null_are_seen_through() -> None:
    tool = typed(
        {
            "kind": {"$ref": "#/$defs/Kind"},
            "limit": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}], "default": None},
            "note": {"type": ["string", "null"]},
        },
        ["kind", "note"],
        **{"$defs": {"Kind": {"enum": ["a", "b"]}}},
    )
    found = {p.name: p for p in tool.signature.parameters}
    assert found["kind"].choices == ("a", "b")
    assert (found["limit"].type, found["limit"].low, found["limit"].required) == (Type.INT, 3, False)
    assert not found["note"].required


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "object"}, "takes an object"),
        ({"type": "array", "items": {"type": "object"}}, "not plain texts"),
        ({"type": "array"}, "any value"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "several types"),
        ({"type": ["integer", "string"]}, "several types"),
        ({"enum": [1, 2]}, "not all texts"),
        ({"enum": ["a\x1b[31m"]}, "cannot be written"),
        ({"enum": []}, "choices"),
        ({"$ref": "#/$defs/Loop"}, "refers to itself"),
        ({"$ref": "#/$defs/Missing"}, "not there"),
        ({"$ref": "https://example.com/schema"}, "outside"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number"),
        ({}, "does not tell which type"),
        (True, "any value"),
    ],
)
def test_what_cannot_be_typed_is_refused_with_the_reason(schema: Any, says: str) -> None:
    definitions = {"Loop": {"$ref": "#/$defs/Loop"}}
    with pytest.raises(Untypable, match=says) as refusal:
        typed({"value": schema}, ["value"], **{"$defs": definitions})
    assert "'value'" in str(refusal.value)
    # What need not be given is left to the server.
    tool = typed({"value": schema, "text": {"type": "string"}}, ["text"], **{"$defs": definitions})
    assert [p.name for p in tool.signature.parameters] == ["text"]
    assert says.split(maxsplit=1)[0] in tool.left_out["value"]


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "array"},
        {"type": "object", "properties": []},
        {"type": "object", "required": ["x"]},
        {"type": "object", "oneOf": [{}, {}]},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(40)}},
    ],
)
def test_roots_that_are_no_list_of_parameters(schema: Any) -> None:
    with pytest.raises(Untypable):
        typed_tool(SERVER, "find", {"inputSchema": schema})


def test_names_become_names_of_the_language() -> None:
    tool = typed(
        {"max-results": {"type": "integer"}, "for": {"type": "string"}, "2nd": {"type": "string"}},
        ["max-results"],
    )
    assert tool.keys == {"max_results": "max-results", "for_": "for", "_2nd": "2nd"}
    with pytest.raises(Untypable, match="same"):
        typed({"a-b": {"type": "string"}, "a_b": {"type": "string"}}, ["a-b", "a_b"])
    schema = {"inputSchema": {"type": "object"}}
    assert typed_tool(SERVER, "web.search/v2", schema).signature.name == "docs_web_search_v2"
    for name in ("", "…", "x" * 200):
        with pytest.raises(Untypable, match="name"):
            typed_tool(SERVER, name, schema)
    named = SERVER._replace(names={"…": "dots"})
    assert typed_tool(named, "…", schema).signature.name == "dots"


def test_output_is_evidence_when_the_schema_says_so_or_as_configured() -> None:
    item = {"type": "object", "properties": {"text": {"type": "string"}, "url": {"type": "string"}}}
    listed = {"type": "object", "properties": {"result": {"type": "array", "items": item}}}
    definition = {"inputSchema": {"type": "object"}, "outputSchema": listed}
    assert typed_tool(SERVER, "find", definition).signature.returns is Type.EVIDENCE
    pictures = SERVER._replace(returns={"find": "images"})
    assert typed_tool(pictures, "find", definition).signature.returns is Type.IMAGES
    recursive = {"inputSchema": {"type": "object"}, "outputSchema": {"$ref": "#"}}
    assert typed_tool(SERVER, "find", recursive).signature.returns is Type.TEXT


def test_descriptions_are_bounded_and_cleaned() -> None:
    words = {"inputSchema": {"type": "object"}, "description": "Nice\x1b[2J\u202e tool\n" + "x" * 10_000}
    doc = typed_tool(SERVER, "find", words).signature.doc
    assert doc.startswith("Nice")
    assert doc.isprintable()
    assert len(doc) <= 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "required",
                    "enum",
                    "anyOf",
                    "$ref",
                    "items",
                    "minimum",
                    "default",
                    "x",
                ]
            ),
            inner
            | st.sampled_from(
                ["object", "array", "string", "integer", "number", "boolean", "null", "#/properties/x"]
            ),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(_JSON, _JSON)
def test_any_schema_is_typed_or_refused(root: Any, parameter: Any) -> None:
    for schema in (root, {"type": "object", "properties": {"x": parameter}, "required": ["x"]}):
        with contextlib.suppress(Untypable):  # anything else would be an error of ours
            tool = typed_tool(SERVER, "find", {"inputSchema": schema, "outputSchema": root})
            assert set(tool.keys) == {p.name for p in tool.signature.parameters}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"docs": {}}, "either command or url"),
        ({"docs": {"command": ["a"], "url": "http://x/mcp"}}, "either command or url"),
        ({"docs": {"command": "a"}}, "list of texts"),
        ({"docs": {"url": "file:///etc/passwd"}}, "http"),
        ({"docs": {"url": "http://me:secret@host/mcp"}}, "without a password"),
        ({"docs": {"command": ["a"], "env": ["A=secret"]}}, "names of environment variables"),
        ({"docs": {"command": ["a"], "comand": 1}}, "did you mean 'command'"),
        ({"docs": {"command": ["a"], "returns": {"x": "video"}}}, "one of"),
        ({"docs": {"command": ["a"], "names": {"x": "let"}}}, "cannot call"),
        ({"docs": {"command": ["a"], "timeout": 0}}, "timeout"),
        ({"2docs": {"command": ["a"]}}, "begin the names"),
        ({"let": {"command": ["a"]}}, "begin the names"),
        ({"docs": 3}, "a table"),
        ([], "tables"),
    ],
)
def test_settings_that_are_wrong(table: Any, says: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=says):
        parse_servers(table, tmp_path)
