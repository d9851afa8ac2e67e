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


@pytest.mark.parametrize("tools", [None, "", "no JSON", [3], [{"name": "x"}], {"name": "x", "parameters": []}])
def test_what_needs_nothing_is_left_alone(tools: Any) -> None:
    changes = Changes()
    assert with_json_types(tools, "f.jsonl:1", changes) is tools
    assert changes.notes() == ()
