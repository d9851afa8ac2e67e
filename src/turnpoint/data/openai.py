"""Rows in OpenAI's form: `messages` of role and content or tool_calls, and `tools`.

Read as well: `functions` for `tools`, `function_call` for one tool call and role `function` for its result (the form
before tool calls), other names of roles (`turnpoint.data.roles`), and `weight` (OpenAI) or `loss_weight`
(LLaMA-Factory) of 0 or 1 for `train`. `labels`, a list of `{"message_index": 3, "decision": "ask"}`, gives turns their
decisions. A `label` rates the last turn (KTO).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import WEIGHT_KEYS, from_json, rating, row_id, tools, trained
from turnpoint.data.parts import REASONING_KEYS, reasoning_of, split_parts
from turnpoint.data.rated import only_last_turn
from turnpoint.data.roles import append_message, calls_by_role, calls_of, read_role
from turnpoint.data.written_calls import with_written_calls
from turnpoint.dialogue import Decision, Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_MESSAGE_KEYS = ("role", "content", "tool_calls", "tool_call_id", "name", "train", "decision")
DECISIONS = {
    "ask": Decision.SLOT,
    "call": Decision.CALL,
    "confirm": Decision.CONFIRM,
    "answer": Decision.COMPLETION,
    "fail": Decision.COMPLETION,  # says that a call that was made had no success
    **{decision.value: decision for decision in Decision},
}


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has messages."""
    return row.get("messages") is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one row.

    Raises:
        DataError: one line: where, field, rule.
    """
    label = rating(row)
    given = row["messages"] if label is None else only_last_turn(from_json(row["messages"], where, "messages"))
    messages = read_messages(given, where, "messages", changes)
    fields = {
        "messages": _labelled(messages, row.get("labels"), where),
        "tools": tools(row, where, changes),
        "id": row_id(row, where),
        "label": label,
        "source": where,
        "verbatim": bool(row.get("verbatim")),
    }
    return with_written_calls(parse(Dialogue, fields, where), changes)


def read_messages(raw: Any, where: str, field: str, changes: Changes) -> tuple[Message, ...]:
    """Read a list of messages, or one message.

    Args:
        raw: the value of the field.
        where: file and line, for errors.
        field: name of the field, for errors.
        changes: counts what is dropped.
    """
    entries = [raw] if isinstance(raw, Mapping) else from_json(raw, where, field)
    if not isinstance(entries, Sequence):
        raise DataError(f"{where}: {field}: must be a list of messages (got {type(raw).__name__})")
    messages: list[Message] = []
    previous = None
    for i, entry in enumerate(entries):
        message = read_message(entry, where, f"{field}[{i}]", changes)
        append_message(messages, message, (previous, entry.get("role")), where, changes)
        previous = entry.get("role")
    return tuple(messages)


def read_message(raw: Any, where: str, field: str, changes: Changes) -> Message:
    """Read one message."""
    if not isinstance(raw, Mapping):
        raise DataError(f"{where}: {field}: a message must be an object with role and content (got {raw!r:.80})")
    message = {key: raw[key] for key in _MESSAGE_KEYS if key in raw}
    if "role" in message:
        message["role"] = read_role(raw["role"], where, changes) or raw["role"]
    parts = split_parts(raw.get("content"), where, f"{field}.content")
    if parts.calls or parts.reasoning:
        message["content"] = parts.content
    message["reasoning"] = reasoning_of(raw, parts)
    calls = from_json(raw.get("tool_calls"), where, f"{field}.tool_calls") or []
    if raw.get("function_call"):
        calls = [*calls, raw["function_call"]] if isinstance(calls, list) else calls
    if calls_by_role(raw.get("role")) and not calls:
        calls, message["content"] = calls_of(raw.get("content"), where, f"{field}.content"), None
    calls = [*calls, *parts.calls] if isinstance(calls, list) else calls
    message["tool_calls"] = [_call(call, where, changes) for call in calls] if isinstance(calls, list) else calls
    message["train"] = trained(raw, where, field)
    changes.dropped("message", raw, (*_MESSAGE_KEYS, *REASONING_KEYS, *WEIGHT_KEYS, "function_call"), where)
    return parse(Message, message, where, field)


def _call(raw: Any, where: str, changes: Changes) -> Any:
    """Drop, counted, what a call holds beyond name, arguments and id; servers add an index and more."""
    if not isinstance(raw, Mapping):
        return raw
    function = raw.get("function")
    if isinstance(function, Mapping):
        changes.dropped("tool call", function, ("name", "arguments"), where)
        raw = {**raw, "function": {key: function[key] for key in ("name", "arguments") if key in function}}
    known = ("type", "function", "id") if isinstance(function, Mapping) else ("type", "id", "name", "arguments")
    changes.dropped("tool call", raw, known, where)
    return {key: raw[key] for key in known if key in raw}


def _labelled(messages: tuple[Message, ...], labels: Any, where: str) -> tuple[Message, ...]:
    """Give turns the decisions that the row labels them with. A column of that name in another form is none of ours."""
    if not isinstance(labels, list) or not all(isinstance(x, Mapping) and "message_index" in x for x in labels):
        return messages
    labelled = list(messages)
    for i, label in enumerate(labels):
        index, decision = label["message_index"], label.get("decision")
        if not isinstance(index, int) or not 0 <= index < len(messages) or messages[index].role != "assistant":
            raise DataError(
                f"{where}: labels[{i}].message_index: must be the index of an assistant message, counted from 0,"
                f" of {len(messages)} messages (got {index!r})"
            )
        if not isinstance(decision, str) or decision not in DECISIONS:
            raise DataError(
                f"{where}: labels[{i}].decision: unknown decision; use {', '.join(DECISIONS)} (got {decision!r})"
            )
        labelled[index] = messages[index].model_copy(update={"decision": DECISIONS[decision]})
    return tuple(labelled)
