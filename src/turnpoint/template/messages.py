"""Messages in the form that a chat template takes: arguments, empty content and ids of calls."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from turnpoint.dialogue import Message, ToolCall
from turnpoint.dialogue.types import answered

_ID_LENGTH = 9  # what templates that check ids ask for


class CallForm(NamedTuple):
    """How a template takes the calls of a message."""

    arguments_as_text: bool = False  # a JSON string, where the template joins it to text
    content_left_out: bool = False  # no `content` key beside calls, where an empty one is refused
    short_ids: bool = False  # ids of nine letters and digits


def template_messages(messages: Sequence[Message], form: CallForm) -> list[dict[str, Any]]:
    """Plain dictionaries for `apply_chat_template`.

    Calls without an id, or with one that the template would refuse, get ids counted over the dialogue: the same on
    both sides of a pair, as far as their messages are the same. Results name their call by id and by name.
    """
    plain: list[dict[str, Any]] = []
    waiting: list[tuple[ToolCall, str]] = []  # calls without a result, with the id they are rendered with
    counted = 0
    for message in messages:
        entry = message.model_copy(update={"images": ()}).openai()  # images as marks
        if message.tool_calls:
            waiting = []
            for call, rendered in zip(message.tool_calls, entry["tool_calls"], strict=True):
                rendered["id"] = _call_id(call.id, counted, form)
                waiting.append((call, rendered["id"]))
                counted += 1
                if form.arguments_as_text:
                    rendered["function"]["arguments"] = json.dumps(call.arguments, ensure_ascii=False)
            if form.content_left_out and not message.content:
                entry["content"] = None
        elif message.role == "tool":
            found = answered(message, [call for call, _ in waiting])
            if found is not None:
                call, entry["tool_call_id"] = waiting.pop(found)
                entry.setdefault("name", call.name)
        plain.append(entry)
    return plain


def _call_id(given: str | None, counted: int, form: CallForm) -> str:
    if given and not (form.short_ids and (len(given) != _ID_LENGTH or not given.isalnum())):
        return given
    return f"call{counted:05d}"
