"""Tools whose schemas are none yet: types of Python, Java or JavaScript (BFCL, When2Call), flat parameters (xLAM).

Flat parameters are by name: `{"city": {"description": "…", "type": "str"}, "days": {"type": "int, optional"}}`. One of
them is required unless its type says "optional" or it has a default.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from turnpoint.data.changes import Changes
from turnpoint.data.type_names import is_optional, schema_of

_SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not")


class _Counted(NamedTuple):
    value: Any
    types: int
    required: int = 0
    flat: int = 0


def with_json_types(tools: Any, where: str, changes: Changes) -> Any:
    """Tools with the types of JSON schema, and `required` inside their parameters, which are a schema; each counted.

    What has no such type, or is no tool, comes back as it is: `dialogue` says what is wrong with it.
    """
    given = _loaded(tools)
    counts = [_tool(tool) for tool in given] if isinstance(given, list) else [_tool(tools)]
    types, required, flat = (sum(each[i] for each in counts) for i in (1, 2, 3))
    changes.add("made JSON schema types of other types in tools", where, types)
    changes.add("moved 'required' of a tool into its parameters", where, required)
    changes.add("made a JSON schema of the flat parameters of a tool", where, flat)
    if not types and not required and not flat:
        return tools
    made = [each.value for each in counts]
    return made if isinstance(given, list) else made[0]


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
    flat = _are_flat(parameters)
    made = _schema(_from_flat(parameters) if flat else parameters)
    required = tool.get("required") or function.get("required")
    moved = _names_properties(required, made.value) and "required" not in made.value
    if not made.types and not moved and not flat:
        return _Counted(raw, 0)
    parameters = made.value | ({"required": required} if moved else {})
    function = {key: value for key, value in function.items() if not (moved and key == "required")}
    return _Counted({**function, "parameters": parameters}, made.types, int(moved), int(flat))


def _are_flat(parameters: Mapping[str, Any]) -> bool:
    """Whether parameters are given by name, as in xLAM's data, and not as a schema, in which no `type` is an object."""
    return bool(parameters) and all(
        isinstance(each, Mapping) and isinstance(each.get("type"), str) for each in parameters.values()
    )


def _from_flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.get("default") in (None, "") and not is_optional(parameter["type"])
    ]
    return {"type": "object", "properties": parameters, "required": required}


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
        if key == "type" and isinstance(value, str) and (named := schema_of(value)) is not None:
            types += 1
            made |= {name: given for name, given in named.items() if name not in made}
            continue
        if key in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
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


def _total(found: Any) -> int:
    return sum(each.types for each in found)
