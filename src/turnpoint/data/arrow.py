"""Undo what Arrow does to free-form JSON: its structs give every row every key, filled with None."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Stripped(NamedTuple):
    """A value without keys that hold None, and how many keys went."""

    value: Any
    keys: int


def strip_none(value: Any) -> Stripped:
    """Remove keys that hold None, at any depth. None as an element of a list stays: Arrow adds no elements."""
    if isinstance(value, Mapping):
        kept = {key: strip_none(item) for key, item in value.items() if item is not None}
        count = len(value) - len(kept) + sum(item.keys for item in kept.values())
        return Stripped({key: item.value for key, item in kept.items()}, count)
    if isinstance(value, list | tuple):
        items = [strip_none(item) for item in value]
        return Stripped([item.value for item in items], sum(item.keys for item in items))
    return Stripped(value, 0)
