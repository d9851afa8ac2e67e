"""Rows in Alpaca's form: `instruction`, perhaps `input`, and `output` or two sides. All of it is chat.

LLaMA-Factory once had both sides of a pair in `output`, the better one first. `history` holds earlier exchanges,
`[[instruction, output], …]`. `label` or `kto_tag` rates the output.
"""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import rating, row_id
from turnpoint.data.preference import build_pair
from turnpoint.data.rated import only_last_turn
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has an instruction and its output."""
    return row.get("instruction") is not None and row.get("output") is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read an instruction and its output."""
    label = rating(row)
    messages: list[Any] = [*_prompt(row, where), *_reply(row.get("output"), "output", where)]
    if label is not None:
        messages = only_last_turn([message.model_dump(exclude={"train"}) for message in messages])
    return parse(Dialogue, {"messages": messages, "id": row_id(row, where), "source": where, "label": label}, where)


def matches_preference(row: Mapping[str, Any]) -> bool:
    """Whether the row has an instruction and two answers."""
    if row.get("instruction") is None:
        return False
    return isinstance(row.get("output"), list) or (isinstance(row.get("chosen"), str) and "rejected" in row)


def read_preference(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read an instruction and two answers."""
    if "chosen" in row and "rejected" in row:
        chosen, rejected = (_reply(row[name], name, where) for name in ("chosen", "rejected"))
    else:
        sides = row["output"]
        if len(sides) != 2:
            raise DataError(f"{where}: output: a list must hold two answers, the better first (got {len(sides)})")
        chosen, rejected = (_reply(side, f"output[{i}]", where) for i, side in enumerate(sides))
    return build_pair(row, _prompt(row, where), chosen, rejected, where, changes)


def _prompt(row: Mapping[str, Any], where: str) -> list[Message]:
    parts = [_text(row.get(name), name, where) for name in ("instruction", "input")]
    user = Message(role="user", content="\n".join(part for part in parts if part))
    system = (
        [parse(Message, {"role": "system", "content": row["system"]}, where, "system")] if row.get("system") else []
    )
    return [*system, *_history(row.get("history") or [], where), user]


def _history(exchanges: Any, where: str) -> list[Message]:
    if not isinstance(exchanges, list) or not all(isinstance(each, list) and len(each) == 2 for each in exchanges):
        raise DataError(f"{where}: history: must be a list of [instruction, output] (got {exchanges!r:.80})")
    messages: list[Message] = []
    for i, (asked, answered) in enumerate(exchanges):
        messages.append(Message(role="user", content=_text(asked, f"history[{i}][0]", where)))
        messages += _reply(answered, f"history[{i}][1]", where)
    return messages


def _reply(value: Any, field: str, where: str) -> list[Message]:
    text = _text(value, field, where)
    return [Message(role="assistant", content=text)] if text else []


def _text(value: Any, field: str, where: str) -> str:
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where}: {field}: must be a string in a row with an instruction (got {value!r:.80})")
    return value or ""
