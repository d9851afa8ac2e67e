"""Pairs as a file: OpenAI messages, one pair a line, which `load_pairs` reads back whole."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from turnpoint.dialogue import Message, PreferencePair


def write_pairs(pairs: Sequence[PreferencePair], file: Path) -> None:
    """Write pairs as JSON lines.

    Raises:
        OSError: the file cannot be written.
    """
    lines = (json.dumps(_row(pair), ensure_ascii=False) + "\n" for pair in pairs)
    file.write_text("".join(lines), encoding="utf-8", errors="replace")


def _row(pair: PreferencePair) -> dict[str, Any]:
    row: dict[str, Any] = {"tools": [tool.openai() for tool in pair.tools]} if pair.tools else {}
    row |= {name: [_message(each) for each in getattr(pair, name)] for name in ("prompt", "chosen", "rejected")}
    facts = {name: getattr(pair, name) for name in ("id", "dialogue_id", "kind", "margin")}
    facts |= {"weight": pair.weight} if pair.weight != 1 else {}
    facts |= {"verbatim": True} if pair.verbatim else {}
    return row | {name: value for name, value in facts.items() if value not in ("", None)}


def _message(message: Message) -> dict[str, Any]:
    facts: dict[str, Any] = {} if message.images else {"content": message.content}
    facts |= {} if message.train else {"train": False}
    facts |= {} if message.decision is None else {"decision": message.decision.value}
    return message.openai() | facts
