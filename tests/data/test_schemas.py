"""Types of other languages in tools become those of JSON schema."""

import json
from typing import Any

import pytest

from turnpoint.data import load_dialogues
from turnpoint.data.changes import Changes
from turnpoint.data.schemas import with_json_types

TOOL = {
    "name": "draw",
    "parameters": {
        "type": "dict",
        "properties": {
            "type": {"type": "string"},  # a parameter of that name
            "size": {"type": "float", "default": 1.5},
            "at": {"type": "tuple", "items": {"type": "int"}},
            "of": {"anyOf": [{"type": "str"}, {"type": "null"}]},
            "what": {"type": "any", "description": "anything"},
        },
        "required": ["size"],
    },
}
MAPPED = {"additionalProperties": {"type": "number"}}
NORMAL = {
    "type": {"type": "string"},
    "size": {"type": "number", "default": 1.5},
    "at": {"type": "array", "items": {"type": "integer"}},
    "of": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "what": {"description": "anything"},
}


@pytest.mark.parametrize(
    "tools",
    [
        [TOOL],
        TOOL,
        [{"type": "function", "function": TOOL}],
        json.dumps([TOOL]),
        [json.dumps(TOOL)],
        json.dumps({"type": "function", "function": TOOL}),
    ],
)
def test_types_by_position_in_every_form_of_tools(tools: Any) -> None:
    """Six: dict, float, tuple, int, str, any."""
    [dialogue], notes = load_dialogues([{"messages": [{"role": "user", "content": "?"}], "tools": tools}])
    [tool] = dialogue.tools
    assert tool.parameters == {"type": "object", "properties": NORMAL, "required": ["size"]}
    assert notes == ("made JSON schema types of other types in tools: 6 in 1 row",)


def test_required_beside_the_function_is_moved_where_it_names_properties() -> None:
    changes = Changes()
    function = {"name": "find", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}}}
    tool = {"type": "function", "function": function, "required": ["id"]}
    [moved] = with_json_types([tool], "f.jsonl:1", changes)
    assert moved["parameters"]["required"] == ["id"]
    assert changes.notes() == ("moved 'required' of a tool into its parameters: 1 in 1 row",)
    other = tool | {"required": ["name"]}
    assert with_json_types([other], "f.jsonl:1", changes) == [other]


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("list[str]", {"type": "array", "items": {"type": "string"}}),
        ("typing.List[Dict[str, float]]", {"type": "array", "items": {"type": "object", **MAPPED}}),
        ("Tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        ("Tuple[int, str]", {"type": "array"}),
        ("Set", {"type": "array"}),
        ("dict[str, Any]", {"type": "object"}),
        ("Optional[str]", {"type": ["string", "null"]}),
        ("int | None", {"type": ["integer", "null"]}),
        ("Union[int, Union[float, int]]", {"type": ["integer", "number"]}),
        ("Union[List[int], str]", {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}),
        ("Union[int, Any]", {}),
        ("Literal['a', 'b']", {"enum": ["a", "b"]}),
        ("str, optional", {"type": "string"}),
        ("string, optional", {"type": "string"}),
        ("List[int], default=[1, 2]", {"type": "array", "items": {"type": "integer"}}),
    ],
)
def test_types_that_hold_others(name: str, schema: dict[str, Any]) -> None:
    changes = Changes()
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"x": {"description": "X", "type": name}}}}
    [made] = with_json_types([tool], "f.jsonl:1", changes)
    assert made["parameters"]["properties"]["x"] == {"description": "X", **schema}
    assert changes.notes() == ("made JSON schema types of other types in tools: 1 in 1 row",)


@pytest.mark.parametrize(
    "name",
    ["Callable[[int], int]", "list of str", "List[", "List[]", "enum", "a.b[int]", "Literal[b'x']", "'\\d'", "[" * 300],
)
def test_names_that_are_no_types_stay(name: str) -> None:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": name}}}}
    assert with_json_types([tool], "f.jsonl:1", Changes()) == [tool]


def test_items_of_the_schema_itself_win() -> None:
    schema = {"items": {"type": "string"}, "type": "List[int]"}
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"x": schema}}}
    [made] = with_json_types([tool], "f.jsonl:1", Changes())
    assert made["parameters"]["properties"]["x"] == {"items": {"type": "string"}, "type": "array"}


def test_flat_parameters_become_a_schema() -> None:
    """Required is what has no default and does not say that it is optional."""
    changes = Changes()
    parameters = {
        "city": {"description": "Where", "type": "string"},
        "days": {"type": "int, optional"},
        "unit": {"type": "str", "default": "C"},
        "at": {"type": "str", "default": ""},
    }
    [made] = with_json_types([{"name": "f", "parameters": parameters}], "f.jsonl:1", changes)
    assert made["parameters"] == {
        "type": "object",
        "properties": {
            "city": {"description": "Where", "type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "default": "C"},
            "at": {"type": "string", "default": ""},
        },
        "required": ["city", "at"],
    }
    assert changes.notes() == (
        "made JSON schema types of other types in tools: 3 in 1 row",
        "made a JSON schema of the flat parameters of a tool: 1 in 1 row",
    )


@pytest.mark.parametrize("tools", [None, "", "no JSON", [3], [{"name": "x"}], {"name": "x", "parameters": []}])
def test_what_needs_nothing_is_left_alone(tools: Any) -> None:
    changes = Changes()
    assert with_json_types(tools, "f.jsonl:1", changes) is tools
    assert changes.notes() == ()
