"""Findings over calls whose values nobody said before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnpoint.dialogue import Dialogue, Tool
from turnpoint.dialogue.types import short
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows

_VALUE_LENGTH = 60  # characters shown of a value
_FINE = "fine for dates and numbers written in another form; where the values are invented, the model learns to invent"


def ungrounded_required(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls with a required value that no earlier message says, word for word."""
    return over_rows(
        Severity.NOTE,
        "calls with a required value that nobody said before, word for word",
        _unsaid(dialogues, required=True),
        _FINE,
    )


def ungrounded_optional(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Calls with a value that they could leave out and that no earlier message says, nor the schema of the tool."""
    return over_rows(
        Severity.NOTE,
        "calls with an optional value that nobody said before, word for word",
        _unsaid(dialogues, required=False),
        _FINE + "; leave an optional value out where nobody asked for it",
    )


def _unsaid(dialogues: Sequence[Dialogue], *, required: bool) -> list[Place]:
    return [place for dialogue in dialogues for place in _of_dialogue(dialogue, required)]


def _of_dialogue(dialogue: Dialogue, required: bool) -> Iterator[Place]:
    tools = {tool.name: tool for tool in dialogue.tools}
    heard = ""
    for message in dialogue.messages:
        for call in message.tool_calls:
            tool = tools.get(call.name)
            given = {} if tool is None else _given(call.arguments, tool, required)
            new = {name: value for name, value in given.items() if not all(_plain(v) in heard for v in _leaves(value))}
            if new:
                said = ", ".join(f"{name}={short(value, _VALUE_LENGTH)}" for name, value in new.items())
                yield Place(dialogue.source, f": {call.name}({said})")
        heard += " " + _plain(message.content or "")


def _given(arguments: Mapping[str, Any], tool: Tool, required: bool) -> dict[str, Any]:
    """The values to look for. Of optional ones not those that the schema itself names."""
    properties = tool.parameters.get("properties")
    schemas: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    return {
        name: value
        for name, value in arguments.items()
        if (name in tool.required) is required and (required or not _named(value, schemas.get(name)))
    }


def _named(value: Any, schema: Any) -> bool:
    """Whether a schema offers the value, or sets it where a call does not."""
    if not isinstance(schema, Mapping):
        return False
    offered = schema.get("enum")
    return schema.get("default") == value or (isinstance(offered, list) and value in offered)


def _leaves(value: Any) -> Iterator[str | int | float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


def _plain(value: object) -> str:
    """Lower-case letters and digits only, so that `New-York` is found in `new york`."""
    return "".join(filter(str.isalnum, str(value).lower()))
