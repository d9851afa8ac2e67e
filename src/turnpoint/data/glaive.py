"""Rows of glaive-function-calling-v2 as they are: `system` and `chat`, texts in which tags say who speaks.

SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -
{"name": "weather", …}

USER: Weather in Oslo?
ASSISTANT: <functioncall> {"name": "weather", "arguments": '{"city": "Oslo"}'} <|endoftext|>
FUNCTION RESPONSE: {"sky": "blue"}
ASSISTANT: Blue sky. <|endoftext|>
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import json_values, row_id, tools
from turnpoint.data.openai import read_message
from turnpoint.dialogue import Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_END = "<|endoftext|>"
_CALL = "<functioncall>"
_OPENING = re.compile(r"\s*USER:")
_TAG = re.compile(rf"(?:\A|\n|{re.escape(_END)})\s*(USER|ASSISTANT|FUNCTION RESPONSE):")
_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_INTRODUCTION = re.compile(
    r"You are a helpful assistant with access to the following functions\.(?: Use them if required)?\s*-?"
)
_QUOTED = re.compile(r"""\{\s*"name":\s*"(?P<name>[^"]*)",\s*"arguments":\s*'(?P<arguments>.*)'\s*\}""", re.DOTALL)
_WORD = re.compile(r"\w")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has a system prompt and a chat that begins with the user's tag."""
    chat = row.get("chat")
    return isinstance(row.get("system"), str) and isinstance(chat, str) and _OPENING.match(chat) is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one row. Turns that say nothing are taken out, and so is a system prompt that only introduces the functions.

    Raises:
        DataError: functions or a call cannot be read, or the row breaks another rule.
    """
    said, brace, functions = row["system"].partition("{")
    offered = json_values(brace + functions)
    if brace and not offered:
        raise DataError(f"{where}: system: functions must be JSON, one after the other (got {brace + functions!r:.80})")
    said = said.strip().removeprefix("SYSTEM:")
    rest = _INTRODUCTION.sub("", said) if offered else said
    system = [Message(role="system", content=rest.strip())] if _WORD.search(rest) else []
    changes.add("dropped a system prompt that only introduces functions", where, int(bool(said.strip()) and not system))
    fields = {
        "messages": [*system, *_messages(row["chat"], where, changes)],
        "tools": tools({"tools": offered}, where, changes),
        "id": row_id(row, where),
        "source": where,
    }
    return parse(Dialogue, fields, where)


def _messages(chat: str, where: str, changes: Changes) -> Iterator[Message]:
    _, *parts = _TAG.split(chat)
    for i, (speaker, words) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        field, role, said = f"chat[{i}]", _ROLES[speaker], words.replace(_END, "").strip()
        content, *calls = said.split(_CALL) if role == "assistant" else [said]
        if not said and role != "tool":
            changes.add("took out turns that say nothing", where)
            continue
        message: dict[str, Any] = {"role": role, "content": content.strip() or None if calls else content}
        message |= {"tool_calls": [_call(call.strip(), where, field) for call in calls]} if calls else {}
        yield read_message(message, where, field, changes)


def _call(text: str, where: str, field: str) -> Mapping[str, Any]:
    """A call, whose arguments are an object, or JSON in single quotes."""
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return {"name": quoted["name"], "arguments": quoted["arguments"].replace("\\'", "'")}
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        call = None
    if not isinstance(call, Mapping):
        raise DataError(
            f"{where}: {field}: a {_CALL} must hold name and arguments as JSON, the arguments in single quotes or not"
            f" (got {text!r:.80})"
        )
    return call
