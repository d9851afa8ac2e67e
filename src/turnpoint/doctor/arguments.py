"""Findings over the arguments of calls, against the JSON schema of the tool called."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import shorten
from typing import Any

from turnpoint.dialogue import Dialogue, Tool, ToolCall
from turnpoint.dialogue.types import short
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows
from turnpoint.doctor.schemas import breaches, fault

_VALUE_LENGTH = 60  # characters shown of a value
_FAULT_LENGTH = 120  # characters shown of what is wrong with a schema
_NAMES = ("required", "additionalProperties", "unevaluatedProperties")  # rules that other findings report


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


def broken_values(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls with a value that the schema does not allow: another type, not in its enum, out of its range."""
    return over_rows(
        Severity.WARNING,
        "calls with a value that breaks the tool's schema",
        _faults(dialogues, _breaking),
        "write the value as the schema says; a served model's call would be refused",
    )


def broken_schemas(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Tools whose parameters are no valid JSON schema, so that the values of their calls cannot be checked."""
    first = {tool.model_dump_json(): (dialogue, tool) for dialogue in reversed(dialogues) for tool in dialogue.tools}
    places = [
        Place(dialogue.source, f": {tool.name}: {shorten(wrong, _FAULT_LENGTH, placeholder='…')}")
        for dialogue, tool in reversed(first.values())
        if (wrong := fault(tool))
    ]
    return over_rows(
        Severity.WARNING,
        "tools whose parameters are no valid JSON schema",
        places,
        "mend the schema; servers that check or constrain calls refuse it, and values of calls are not checked here",
    )


def _faults(dialogues: Sequence[Dialogue], of_call: Callable[[ToolCall, Tool], list[str]]) -> list[Place]:
    """`source: tool(parameter, ...)` of each call at fault."""
    return [
        Place(dialogue.source, f": {call.name}({', '.join(names)})")
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


def _missing(call: ToolCall, tool: Tool) -> list[str]:
    """Of the arguments by name alone, so that a broken schema is no excuse; within their values as JSON schema says."""
    inner = (f"{each.path}: {each.message}" for each in breaches(call, tool) if each.rule == "required" and each.path)
    return [*(name for name in tool.required if name not in call.arguments), *inner]


def _unknown(call: ToolCall, tool: Tool) -> list[str]:
    """Strict where JSON schema is not: without `additionalProperties` a parameter that is not listed is a fault."""
    if tool.parameters.get("additionalProperties") or "patternProperties" in tool.parameters:
        return []
    properties = tool.parameters.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    inner = (f"{each.path}: {each.message}" for each in breaches(call, tool) if each.rule in _NAMES[1:] and each.path)
    return [*(name for name in call.arguments if name not in known), *inner]


def _breaking(call: ToolCall, tool: Tool) -> list[str]:
    found: dict[str, Any] = {each.path: each.value for each in breaches(call, tool) if each.rule not in _NAMES}
    return [f"{path}={short(value, _VALUE_LENGTH)}" if path else "…" for path, value in found.items()]
