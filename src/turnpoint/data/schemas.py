"""Tools whose schemas name types of Python, Java or JavaScript (BFCL, When2Call): made those of JSON schema."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from turnpoint.data.changes import Changes

_TYPES: Mapping[str, str | None] = {
    **dict.fromkeys(("dict", "Dict", "hashmap", "HashMap", "Hashtable"), "object"),
    **dict.fromkeys(("float", "double", "Double", "Float", "Number", "decimal"), "number"),
    **dict.fromkeys(("int", "Integer", "long", "Long", "short", "byte"), "integer"),
    **dict.fromkeys(("str", "String", "char"), "string"),
    **dict.fromkeys(("bool", "Boolean"), "boolean"),
    **dict.fromkeys(("list", "List", "tuple", "Tuple", "set", "Array", "ArrayList"), "array"),
    **dict.fromkeys(("None", "NoneType"), "null"),
    **dict.fromkeys(("any", "Any"), None),  # a schema without a type takes anything
}
_SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not")


class _Counted(NamedTuple):
    value: Any
    types: int
    required: int = 0


def with_json_types(tools: Any, where: str, changes: Changes) -> Any:
    """Tools with the types of JSON schema, and `required` inside their parameters, each counted.

    What has no such type, or is no tool, comes back as it is: `dialogue` says what is wrong with it.
    """
    given = _loaded(tools)
    if not isinstance(given, list):
        found = _tool(tools)
        counts = [found]
        made = found.value
    else:
        counts = [_tool(tool) for tool in given]
        made = [each.value for each in counts]
    types, required = sum(each.types for each in counts), sum(each.required for each in counts)
    changes.add("made JSON schema types of other types in tools", where, types)
    changes.add("moved 'required' of a tool into its parameters", where, required)
    return made if types or required else tools


def _loaded(raw: Any) -> Any:
    """The value of JSON; what is no JSON as it is."""
    try:
        return json.loads(raw) if isinstance(raw, str) and raw else raw
    except (ValueError, RecursionError):
        return raw


def _tool(raw: Any) -> _Counted:
    tool = _loaded(raw)
    if not isinstance(tool, Mapping):
        return _Counted(raw, 0)
    wrapped = tool.get("type") == "function" and isinstance(tool.get("function"), Mapping)
    function = tool["function"] if wrapped else tool
    parameters = function.get("parameters")
    if not isinstance(parameters, Mapping):
        return _Counted(raw, 0)
    made = _schema(parameters)
    required = tool.get("required") or function.get("required")
    moved = _names_properties(required, parameters) and "required" not in parameters
    if not made.types and not moved:
        return _Counted(raw, 0)
    parameters = made.value | ({"required": required} if moved else {})
    function = {key: value for key, value in function.items() if not (moved and key == "required")}
    return _Counted({**function, "parameters": parameters}, made.types, int(moved))


def _names_properties(required: Any, parameters: Mapping[str, Any]) -> bool:
    properties = parameters.get("properties")
    if not isinstance(required, list) or not required or not isinstance(properties, Mapping):
        return False
    return all(isinstance(name, str) and name in properties for name in required)


def _schema(raw: Any) -> _Counted:
    """A schema and, by position, those inside it: a property may itself be called `type`."""
    if not isinstance(raw, Mapping):
        return _Counted(raw, 0)
    made: dict[str, Any] = {}
    types = 0
    for key, value in raw.items():
        if key == "type":
            found = _type(value)
            if found.types and found.value is None:
                types += found.types
                continue
        elif key in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
            inner = {name: _schema(schema) for name, schema in value.items()}
            found = _Counted({name: each.value for name, each in inner.items()}, _total(inner.values()))
        elif key in _LISTS_OF_SCHEMAS and isinstance(value, list):
            schemas = [_schema(schema) for schema in value]
            found = _Counted([each.value for each in schemas], _total(schemas))
        else:
            found = _schema(value) if key in _SCHEMAS else _Counted(value, 0)
        made[key] = found.value
        types += found.types
    return _Counted(made, types)


def _type(raw: Any) -> _Counted:
    if isinstance(raw, str) and raw in _TYPES:
        return _Counted(_TYPES[raw], 1)
    return _Counted(raw, 0)


def _total(found: Any) -> int:
    return sum(each.types for each in found)
