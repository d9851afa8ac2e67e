"""Rows in Alpaca's form: `instruction`, perhaps `input`, and `output` or two sides. All of it is chat."""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import row_id
from turnpoint.data.preference import build_pair
from turnpoint.dialogue import Dialogue, Message, PreferencePair, parse
from turnpoint.errors import DataError


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has an instruction and its output."""
    return row.get("instruction") is not None and row.get("output") is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read an instruction and its output."""
    messages = (*_prompt(row, where), *_reply(row, "output", where))
    return parse(Dialogue, {"messages": messages, "id": row_id(row, where), "source": where}, where)


def matches_preference(row: Mapping[str, Any]) -> bool:
    """Whether the row has an instruction and two answers."""
    return row.get("instruction") is not None and isinstance(row.get("chosen"), str) and "rejected" in row


def read_preference(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read an instruction and two answers."""
    chosen, rejected = (_reply(row, name, where) for name in ("chosen", "rejected"))
    return build_pair(row, _prompt(row, where), chosen, rejected, where)


def _prompt(row: Mapping[str, Any], where: str) -> list[Message]:
    parts = [_text(row, "instruction", where), _text(row, "input", where)]
    user = Message(role="user", content="\n".join(part for part in parts if part))
    if not row.get("system"):
        return [user]
    return [parse(Message, {"role": "system", "content": row["system"]}, where, "system"), user]


def _reply(row: Mapping[str, Any], field: str, where: str) -> list[Message]:
    text = _text(row, field, where)
    return [Message(role="assistant", content=text)] if text else []


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where}: {field}: must be a string in a row with an instruction (got {value!r:.80})")
    return value or ""
