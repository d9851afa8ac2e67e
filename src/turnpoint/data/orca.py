"""Pairs as Intel's orca_dpo_pairs has them: `system`, `question`, `chosen` and `rejected`, texts of a chat."""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.preference import build_pair
from turnpoint.dialogue import Message, PreferencePair
from turnpoint.errors import DataError

_TEXTS = ("question", "chosen", "rejected")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has a question, a system prompt, if only an empty one, and two texts as sides."""
    return "system" in row and row.get("prompt") is None and all(isinstance(row.get(name), str) for name in _TEXTS)


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row; without a system prompt where it is empty.

    Raises:
        DataError: one of the texts is empty, or the system prompt is no text.
    """
    system = row["system"] or ""
    if not isinstance(system, str):
        raise DataError(f"{where}: system: must be a string (got {system!r:.80})")
    empty = next((name for name in _TEXTS if not row[name].strip()), None)
    if empty is not None:
        raise DataError(f"{where}: {empty}: is empty; fill it, or leave the row out (got {row[empty]!r:.80})")
    before = [Message(role="system", content=system)] if system.strip() else []
    prompt = [*before, Message(role="user", content=row["question"])]
    chosen, rejected = ([Message(role="assistant", content=row[name])] for name in ("chosen", "rejected"))
    return build_pair(row, prompt, chosen, rejected, where, changes)
