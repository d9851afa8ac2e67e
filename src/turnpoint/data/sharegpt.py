"""Rows in ShareGPT's form: `conversations` of `from` and `value`, `tools` as a JSON string, perhaps `system`.

`function_call` holds one call or a list of them as JSON; entries of it in a row are parallel calls. `observation`
holds the result of a call. Entries may carry what the form has no place for: `content` beside a call, `tool_calls`
beside a text, `reasoning`, `decision`, `tool_call_id`. A `label` or `kto_tag` rates the last turn. Entries of `role`
and `content` are read as messages in OpenAI's form.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import WEIGHT_KEYS, rating, row_id, tools, trained
from turnpoint.data.openai import read_messages
from turnpoint.data.parts import REASONING_KEYS, Parts, reasoning_of
from turnpoint.data.rated import only_last_turn
from turnpoint.data.roles import append_message, calls_by_role, calls_of, read_role
from turnpoint.data.written_calls import with_written_calls
from turnpoint.dialogue import Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_EXTRA = ("name", "train", "decision", "tool_call_id")
_KEYS = ("from", "value", "content", "tool_calls", *_EXTRA, *REASONING_KEYS, *WEIGHT_KEYS)


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has conversations."""
    return row.get("conversations") is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one row.

    Raises:
        DataError: one line: where, field, rule.
    """
    label = rating(row)
    given = row if label is None else {**row, "conversations": only_last_turn(row["conversations"])}
    fields = {
        "messages": read_conversation(given, where, changes),
        "tools": tools(row, where, changes),
        "id": row_id(row, where),
        "label": label,
        "source": where,
        "verbatim": bool(row.get("verbatim")),
    }
    return with_written_calls(parse(Dialogue, fields, where), changes)


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
    if entries and all(isinstance(entry, Mapping) and "role" in entry and "from" not in entry for entry in entries):
        return read_messages(entries, where, field, changes)
    messages: list[Message] = []
    previous = None
    for i, entry in enumerate(entries):
        message = _read_entry(entry, where, f"{field}[{i}]", changes)
        append_message(messages, message, (previous, entry["from"]), where, changes)
        previous = entry["from"]
    return tuple(messages)


def _read_entry(raw: Any, where: str, field: str, changes: Changes) -> Message:
    if not isinstance(raw, Mapping) or "from" not in raw or "value" not in raw:
        raise DataError(f"{where}: {field}: an entry must be an object with from and value (got {raw!r:.80})")
    role = read_role(raw["from"], where, changes)
    if role is None:
        raise DataError(
            f"{where}: {field}.from: unknown role; use human, gpt, function_call, observation or system"
            f" (got {raw['from']!r:.80})"
        )
    changes.dropped("message", raw, _KEYS, where)
    message = {key: raw[key] for key in _EXTRA if key in raw} | {"role": role, "train": trained(raw, where, field)}
    message["reasoning"] = reasoning_of(raw, Parts(None, [], []))
    if calls_by_role(raw["from"]):
        message |= {"tool_calls": calls_of(raw["value"], where, f"{field}.value"), "content": raw.get("content")}
    else:
        message |= {"content": raw["value"], "tool_calls": raw.get("tool_calls")}
    return parse(Message, message, where, field)
