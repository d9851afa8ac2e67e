"""Pairs and dialogues as a file, one a line, which `load` reads back whole.

What a form has no place for is held by a key of its own, which other programs pass over.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from turnpoint.dialogue import Dialogue, Message, PreferencePair


class Form(StrEnum):
    """How messages are written.

    `OPENAI`: role and content or tool_calls; pairs have prompt, chosen and rejected. `SHAREGPT`: from and value, calls
    as JSON; pairs have conversations, chosen and rejected, as LLaMA-Factory reads them.
    """

    OPENAI = "openai"
    SHAREGPT = "sharegpt"


_PROMPT = {Form.OPENAI: "prompt", Form.SHAREGPT: "conversations"}
_DIALOGUE = {Form.OPENAI: "messages", Form.SHAREGPT: "conversations"}
_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_CALL = "function_call"


def write_pairs(pairs: Iterable[PreferencePair], file: Path, form: Form = Form.OPENAI) -> None:
    """Write pairs as JSON lines.

    Raises:
        OSError: the file cannot be written.
    """
    _write((_pair(pair, form) for pair in pairs), file)


def write_dialogues(dialogues: Iterable[Dialogue], file: Path, form: Form = Form.OPENAI) -> None:
    """Write dialogues as JSON lines.

    Raises:
        OSError: the file cannot be written.
    """
    _write((_dialogue(dialogue, form) for dialogue in dialogues), file)


def _write(rows: Iterable[Mapping[str, Any]], file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as lines:  # the same bytes on every system
        for row in rows:
            lines.write(_line(row) + "\n")


def _line(row: Mapping[str, Any]) -> str:
    """JSON, readable where UTF-8 can hold it: half of a surrogate pair can only be escaped."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(row)
    return text


def _pair(pair: PreferencePair, form: Form) -> dict[str, Any]:
    sides = {_PROMPT[form]: pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    facts = {name: getattr(pair, name) for name in ("id", "dialogue_id", "kind", "about", "margin")}
    facts |= {"weight": pair.weight} if pair.weight != 1 else {}
    return _row(pair, {name: _messages(messages, form) for name, messages in sides.items()}, facts, form)


def _dialogue(dialogue: Dialogue, form: Form) -> dict[str, Any]:
    messages = _messages(dialogue.messages, form)
    if dialogue.label is not None:  # readers train on the last turn of a rated row, unless a message says otherwise
        for message, written in zip(dialogue.messages, messages, strict=True):
            written["train"] = message.train
    facts = {"id": dialogue.id, "label": dialogue.label}
    return _row(dialogue, {_DIALOGUE[form]: messages}, facts, form)


def _row(
    record: Dialogue | PreferencePair, messages: Mapping[str, Any], facts: Mapping[str, Any], form: Form
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if record.tools:
        tools = [tool.openai() for tool in record.tools]
        row["tools"] = json.dumps(tools, ensure_ascii=False) if form is Form.SHAREGPT else tools
    row |= messages
    row |= {name: value for name, value in facts.items() if value not in ("", None, {})}
    return row | ({"verbatim": True} if record.verbatim else {})


def _messages(messages: Sequence[Message], form: Form) -> list[dict[str, Any]]:
    if form is Form.OPENAI:
        return [_openai(message) for message in messages]
    entries: list[dict[str, Any]] = []
    for message in messages:
        # Two entries of calls in a row are read as parallel calls, so the second is written as an answer with calls.
        after_call = bool(entries) and entries[-1]["from"] == _CALL
        entries.append(_sharegpt(message, after_call=after_call))
    return entries


def _openai(message: Message) -> dict[str, Any]:
    facts: dict[str, Any] = {} if message.images else {"content": message.content}
    return message.openai() | facts | _labels(message)


def _sharegpt(message: Message, *, after_call: bool) -> dict[str, Any]:
    written = message.openai()
    content = written["content"] if message.images else message.content
    calls = [
        {**call["function"], **({"id": call["id"]} if "id" in call else {})} for call in written.get("tool_calls", [])
    ]
    if calls and not after_call:
        entry: dict[str, Any] = {"from": _CALL, "value": json.dumps(calls, ensure_ascii=False)}
        entry |= {} if content is None else {"content": content}
    else:
        entry = {"from": _FROM[message.role], "value": content} | ({"tool_calls": calls} if calls else {})
    kept = ("reasoning_content", "tool_call_id", "name")
    return entry | {key: written[key] for key in kept if key in written} | _labels(message)


def _labels(message: Message) -> dict[str, Any]:
    """What the data says of a message beside what was said."""
    labels: dict[str, Any] = {} if message.train else {"train": False}
    return labels | ({} if message.decision is None else {"decision": message.decision.value})
