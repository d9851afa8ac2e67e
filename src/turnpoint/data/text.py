"""Rows of plain text, and of a prompt and its completion.

Text is verbatim: no chat template enters it. Where prompt and completion are messages the row is a chat, and turns in
its prompt are not trained on, since the completion is what the row teaches.
"""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import row_id, tools
from turnpoint.data.openai import read_messages
from turnpoint.dialogue import Dialogue
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError


def matches_text(row: Mapping[str, Any]) -> bool:
    """Whether the row has text."""
    return row.get("text") is not None


def read_text(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read a row of plain text as one assistant message."""
    text = _text(row, "text", where)
    return _dialogue(row, where, messages=[{"role": "assistant", "content": text}], verbatim=True)


def matches_completion(row: Mapping[str, Any]) -> bool:
    """Whether the row has a prompt and a completion."""
    return row.get("prompt") is not None and row.get("completion") is not None


def read_completion(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read a prompt and its completion: a user message and an assistant message, or the messages that they hold.

    A `label` says whether the completion was liked.
    """
    if isinstance(row["prompt"], str) != isinstance(row["completion"], str):
        raise DataError(f"{where}: prompt, completion: one is text and the other is not; give both in one form")
    if isinstance(row["prompt"], str):
        prompt, completion = _text(row, "prompt", where), _text(row, "completion", where)
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        for key in ("tools", "functions"):
            changes.add(f"left column {key!r} unread: no template renders a text row", where, int(bool(row.get(key))))
        return _dialogue(row, where, messages=messages, label=row.get("label"), verbatim=True)
    before = read_messages(row["prompt"], where, "prompt", changes)
    untrained = [message.model_copy(update={"train": False}) for message in before]
    reply = read_messages(row["completion"], where, "completion", changes)
    return _dialogue(
        row, where, messages=[*untrained, *reply], label=row.get("label"), tools=tools(row, where, changes)
    )


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row[field]
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {field}: must be a string that is not empty (got {value!r:.80})")
    return value


def _dialogue(row: Mapping[str, Any], where: str, **fields: Any) -> Dialogue:
    return parse(Dialogue, {"id": row_id(row, where), "source": where, **fields}, where)
