"""Findings over the arguments of calls, against the JSON schema of the tool called."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from turnpoint.dialogue import Dialogue, Tool, ToolCall
from turnpoint.doctor.finding import Finding, Severity, over_rows

_VALUE_LENGTH = 60  # characters shown of a value
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def missing_required(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls that leave out a required parameter."""
    return over_rows(
        Severity.ERROR,
        "calls without a required parameter",
        _faults(dialogues, _missing),
        "ask for the value before the call, or take the parameter out of `required`",
    )


def unknown_parameters(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls that give a parameter the schema does not have."""
    return over_rows(
        Severity.ERROR,
        "calls with a parameter that the tool does not have",
        _faults(dialogues, _unknown),
        "rename the argument, or add the parameter to the tool's schema",
    )


def wrong_types(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls whose arguments have another type than the schema says, or are not in its enum."""
    return over_rows(
        Severity.WARNING,
        "calls with a value that breaks the tool's schema",
        _faults(dialogues, _breaking),
        "write the value as the schema says; a served model's call would be refused",
    )


def _faults(dialogues: Sequence[Dialogue], of_call: Callable[[ToolCall, Tool], list[str]]) -> list[str]:
    """`source: tool(parameter, ...)` of each call at fault."""
    return [
        f"{dialogue.source}: {call.name}({', '.join(names)})"
        for dialogue in dialogues
        for call, tool in _calls(dialogue)
        if (names := of_call(call, tool))
    ]


def _calls(dialogue: Dialogue) -> Iterator[tuple[ToolCall, Tool]]:
    tools = {tool.name: tool for tool in dialogue.tools}
    for message in dialogue.messages:
        for call in message.tool_calls:
            if call.name in tools:
                yield call, tools[call.name]


def _properties(tool: Tool) -> dict[str, Any]:
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, dict) else {}


def _missing(call: ToolCall, tool: Tool) -> list[str]:
    return [name for name in tool.required if name not in call.arguments]


def _unknown(call: ToolCall, tool: Tool) -> list[str]:
    if tool.parameters.get("additionalProperties"):
        return []
    return [name for name in call.arguments if name not in _properties(tool)]


def _breaking(call: ToolCall, tool: Tool) -> list[str]:
    schemas = _properties(tool)
    return [
        f"{name}={_short(value)}"
        for name, value in call.arguments.items()
        if isinstance(schema := schemas.get(name), dict) and not _fits(value, schema)
    ]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return False
    named = schema.get("type")
    names = named if isinstance(named, list) else [named]
    known = [_TYPES[name] for name in names if name in _TYPES]
    # A bool is an int in Python and not in JSON.
    return not known or any(
        isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds) for kinds in known
    )
