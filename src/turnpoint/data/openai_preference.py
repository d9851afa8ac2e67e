"""Pairs as OpenAI's preference fine-tuning takes them.

`input` holds `messages` and perhaps `tools`; `preferred_output` and `non_preferred_output` hold the messages that
answer it. Other keys of `input`, such as `parallel_tool_calls`, are settings of a request: dropped and counted.
"""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json
from turnpoint.data.openai import read_messages
from turnpoint.data.preference import build_pair
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import DataError

_SIDES = ("preferred_output", "non_preferred_output")
_TOOLS = ("tools", "functions")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has an input and two outputs."""
    return all(row.get(name) is not None for name in ("input", *_SIDES))


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row.

    Raises:
        DataError: one line: where, field, rule.
    """
    given = from_json(row["input"], where, "input")
    if not isinstance(given, Mapping) or given.get("messages") is None:
        raise DataError(f"{where}: input: must be an object with messages and perhaps tools (got {given!r:.80})")
    changes.dropped("input", given, ("messages", *_TOOLS), where)
    prompt = read_messages(given["messages"], where, "input.messages", changes)
    chosen, rejected = (read_messages(row[name], where, name, changes) for name in _SIDES)
    offered = {name: given[name] for name in _TOOLS if name in given}
    return build_pair({**row, **offered}, prompt, chosen, rejected, where, changes)
