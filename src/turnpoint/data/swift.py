"""Pairs as ms-swift has them: `messages`, a whole conversation, is the chosen side, and beside it stands the rejected.

`rejected_response` is a text in the place of the last turn. `rejected_messages` is a whole conversation too, or the
messages that follow what the user said last.
"""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.openai import read_messages
from turnpoint.data.preference import build_pair
from turnpoint.data.prompts import fork_messages
from turnpoint.dialogue import Message, PreferencePair
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_REJECTED = ("rejected_response", "rejected_messages")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has messages and a rejected side."""
    return row.get("messages") is not None and any(row.get(name) is not None for name in _REJECTED)


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row.

    Raises:
        DataError: both forms of the rejected side are given, or the messages do not end with the assistant's turn.
    """
    if all(row.get(name) is not None for name in _REJECTED):
        raise DataError(f"{where}: {' and '.join(_REJECTED)}: both are given; leave one of them out")
    messages = read_messages(row["messages"], where, "messages", changes)
    if not messages or messages[-1].role != "assistant":
        raise DataError(
            f"{where}: messages: must end with the assistant's turn, which is chosen (got"
            f" {messages[-1].role if messages else 'no message'})"
        )
    if row.get("rejected_response") is not None:
        answer = {"role": "assistant", "content": row["rejected_response"]}
        rejected = parse(Message, answer, where, "rejected_response")
        return build_pair(row, messages[:-1], messages[-1:], [rejected], where, changes)
    other = read_messages(row["rejected_messages"], where, "rejected_messages", changes)
    if not other or other[0].role != "assistant":
        return build_pair(row, *fork_messages(messages, other), where, changes)
    start = next((i for i in range(len(messages), 0, -1) if messages[i - 1].role == "user"), 0)
    return build_pair(row, messages[:start], messages[start:], other, where, changes)
