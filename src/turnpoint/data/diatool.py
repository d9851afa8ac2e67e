"""Pairs of whole tool dialogues as JSON (DiaTool-DPO): each side is `{"tools": …, "messages": …}` in a string."""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json
from turnpoint.data.openai import read_messages
from turnpoint.data.preference import build_pair
from turnpoint.data.prompts import fork_messages
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import DataError

_SIDES = ("chosen", "rejected")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether both sides are objects with messages, or look like the JSON of one."""
    return all(_is_dialogue(row.get(name)) for name in _SIDES)


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row: the prompt is what both sides share, by whole messages.

    Raises:
        DataError: the sides offer different tools, or share no prompt.
    """
    chosen, rejected = (_side(row, name, where) for name in _SIDES)
    if chosen.get("tools") != rejected.get("tools"):
        raise DataError(f"{where}: tools: differ between chosen and rejected; both sides must offer the same tools")
    sides = [
        read_messages(side["messages"], where, f"{name}.messages", changes)
        for name, side in zip(_SIDES, (chosen, rejected), strict=True)
    ]
    return build_pair({**row, "tools": chosen.get("tools")}, *fork_messages(*sides), where, changes)


def _is_dialogue(side: Any) -> bool:
    if isinstance(side, str):
        return side.lstrip().startswith("{") and '"messages"' in side
    return isinstance(side, Mapping) and "messages" in side


def _side(row: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    side = from_json(row[name], where, name)
    if not isinstance(side, Mapping) or "messages" not in side:
        raise DataError(f"{where}: {name}: must be an object with tools and messages (got {side!r:.80})")
    return {**side, "tools": from_json(side.get("tools"), where, f"{name}.tools")}
