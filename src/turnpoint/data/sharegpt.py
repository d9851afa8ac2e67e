"""Rows in ShareGPT's form: `conversations` of `from` and `value`, `tools` as a JSON string, perhaps `system`.

`function_call` holds one call or a list of them as JSON; entries of it in a row are parallel calls. `observation`
holds the result of a call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json, row_id, tools, trained
from turnpoint.dialogue import Dialogue, Message, parse
from turnpoint.errors import DataError

_CALL = "function_call"
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    _CALL: "assistant",
    "observation": "tool",
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function_response": "tool",
}
_KEYS = ("from", "value", "name", "train", "weight", "loss_weight")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has conversations."""
    return row.get("conversations") is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one row.

    Raises:
        DataError: one line: where, field, rule.
    """
    fields = {
        "messages": read_conversation(row, where, changes),
        "tools": tools(row),
        "id": row_id(row, where),
        "source": where,
    }
    return parse(Dialogue, fields, where)


def read_conversation(row: Mapping[str, Any], where: str, changes: Changes) -> tuple[Message, ...]:
    """The messages of a row, its system prompt first."""
    messages = read_entries(row["conversations"], where, "conversations", changes)
    if row.get("system"):
        system = parse(Message, {"role": "system", "content": row["system"]}, where, "system")
        messages = (system, *messages)
    return messages


def read_entries(raw: Any, where: str, field: str, changes: Changes) -> tuple[Message, ...]:
    """Read a list of `from` / `value` entries, or one entry.

    Args:
        raw: the value of the field.
        where: file and line, for errors.
        field: name of the field, for errors.
        changes: counts what is dropped or merged.
    """
    entries = [raw] if isinstance(raw, Mapping) else raw
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise DataError(f"{where}: {field}: must be a list of from / value entries (got {type(raw).__name__})")
    messages: list[Message] = []
    previous = None
    for i, entry in enumerate(entries):
        message = _read_entry(entry, where, f"{field}[{i}]", changes)
        if entry["from"] == previous == _CALL:
            parallel = messages[-1].tool_calls + message.tool_calls
            messages[-1] = messages[-1].model_copy(update={"tool_calls": parallel})
            changes.add("merged function_call entry into the one before, as parallel calls", where)
        else:
            messages.append(message)
        previous = entry["from"]
    return tuple(messages)


def _read_entry(raw: Any, where: str, field: str, changes: Changes) -> Message:
    if not isinstance(raw, Mapping) or "from" not in raw or "value" not in raw:
        raise DataError(f"{where}: {field}: an entry must be an object with from and value (got {raw!r:.80})")
    role = _ROLES.get(raw["from"]) if isinstance(raw["from"], str) else None
    if role is None:
        raise DataError(
            f"{where}: {field}.from: unknown role; use human, gpt, function_call, observation or system"
            f" (got {raw['from']!r})"
        )
    changes.dropped("message", raw, _KEYS, where)
    message = {"role": role, "name": raw.get("name"), "train": trained(raw, where, field)}
    if raw["from"] == _CALL:
        message["tool_calls"] = _calls(raw["value"], where, f"{field}.value")
    else:
        message["content"] = raw["value"]
    return parse(Message, message, where, field)


def _calls(value: Any, where: str, field: str) -> list[Any]:
    value = from_json(value, where, field)
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, Mapping) for call in calls):
        raise DataError(f"{where}: {field}: a function_call must hold name and arguments (got {value!r:.80})")
    return calls
