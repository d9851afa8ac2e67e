"""Arguments of calls against those that are right: the same values in whatever form, nothing nobody asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnpoint.dialogue import Message, Tool, ToolCall
from turnpoint.dialogue.types import short
from turnpoint.doctor.schemas import breaches
from turnpoint.pairs.slots import says

Same = Callable[[Any, Any], bool]


def same_value(made: Any, right: Any) -> bool:
    """Whether two values say the same: texts without case, spaces and punctuation, numbers by what they are worth."""
    if isinstance(made, bool) or isinstance(right, bool):
        return made is right
    if isinstance(made, Mapping) and isinstance(right, Mapping):
        return made.keys() == right.keys() and all(same_value(made[key], right[key]) for key in right)
    if isinstance(made, list) and isinstance(right, list):
        return len(made) == len(right) and all(map(same_value, made, right))
    if isinstance(made, int | float) and isinstance(right, int | float):
        return made == right
    if isinstance(made, str | int | float) and isinstance(right, str | int | float):
        return _plain(made) == _plain(right)
    return bool(made == right)


def assigned(made: int, right: int, fits: Callable[[int, int], bool]) -> bool:
    """Whether each of `right` calls can be given one of as many calls that were made, which fits it, in any order."""

    def place(i: int, free: frozenset[int]) -> bool:
        return i == right or any(fits(j, i) and place(i + 1, free - {j}) for j in free)

    return made == right and place(0, frozenset(range(made)))


def fault_of_calls(
    made: Sequence[ToolCall], right: Sequence[ToolCall], tools: Sequence[Tool], context: Sequence[Message]
) -> str:
    """What is wrong with calls, "" where they are the right ones, in any order.

    Args:
        made: by the model; of tools that are offered.
        right: those that are due.
        tools: offered.
        context: the messages so far.
    """
    offered = {tool.name: tool for tool in tools}

    def fault(call: ToolCall, due: ToolCall) -> str:
        return "another tool" if call.name != due.name else fault_of(call, due, offered.get(call.name), context)

    if len(made) != len(right):
        return f"makes {len(made)} calls, where {len(right)} are due"
    if assigned(len(made), len(right), lambda j, i: not fault(made[j], right[i])):
        return ""
    return next((found for call, due in zip(made, right, strict=True) if (found := fault(call, due))), "another order")


def fault_of(call: ToolCall, due: ToolCall, tool: Tool | None, context: Sequence[Message]) -> str:
    """What is wrong with the arguments of one call, "" where nothing is.

    An optional argument may be left out or given where its value is the default of the schema, and given where the
    user said it.
    """
    properties = (tool.parameters.get("properties") if tool else None) or {}
    required = tool.required if tool else ()
    for name, value in due.arguments.items():
        if name not in call.arguments:
            if name in required or not _is_default(value, properties.get(name)):
                return f"leaves out {name}={short(value, 40)}"
        elif not same_value(call.arguments[name], value):
            return f"gives {name}={short(call.arguments[name], 40)} for {short(value, 40)}"
    said = " ".join(message.content or "" for message in context if message.role == "user")
    for name, value in call.arguments.items():
        known = name in properties and (_is_default(value, properties[name]) or says(said, value))
        if name not in due.arguments and not known:
            return f"adds {name}={short(value, 40)}"
    return "" if tool is None else _new_breach(call, due, tool)


def fault_without_gold(call: ToolCall, tool: Tool, context: Sequence[Message]) -> str:
    """What is wrong with a call where nobody knows the right one: its schema is broken, or a value is made up."""
    properties = tool.parameters.get("properties") or {}
    if missing := next((name for name in tool.required if name not in call.arguments), ""):
        return f"leaves out {missing}"
    if breach := next(iter(breaches(call, tool)), None):
        return f"breaks the schema: {breach.message}"
    heard = " ".join(message.content or "" for message in context)
    for name, value in call.arguments.items():
        schema = properties.get(name)
        chosen = isinstance(value, bool) or (isinstance(schema, Mapping) and "enum" in schema)
        if not chosen and not _is_default(value, schema) and not _is_heard(value, heard):
            return f"makes up {name}={short(value, 40)}"
    return ""


def _is_heard(value: Any, heard: str) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return all(_is_heard(each, heard) for each in value)
    return says(heard, value) or _plain(value) in _plain(heard)


def _is_default(value: Any, schema: Any) -> bool:
    return isinstance(schema, Mapping) and "default" in schema and same_value(value, schema["default"])


def _new_breach(call: ToolCall, due: ToolCall, tool: Tool) -> str:
    """How the call breaks the schema, where the right call does not break it in the same way: data may be careless."""
    known = {(breach.rule, breach.path) for breach in breaches(due, tool)}
    found = next((breach for breach in breaches(call, tool) if (breach.rule, breach.path) not in known), None)
    return "" if found is None else f"breaks the schema: {found.path}: {found.message}"


def _plain(value: object) -> str:
    """Letters and digits in lower case, the point inside numbers kept."""
    text = str(value).lower()
    return "".join(
        char for i, char in enumerate(text) if char.isalnum() or (char in ".-" and text[i + 1 : i + 2].isdigit())
    )
