"""Rows of xLAM's function calling (Salesforce/xlam-function-calling-60k): `query`, `tools`, and calls as `answers`.

Tools and answers are JSON in strings; the parameters of tools are flat (`turnpoint.data.schemas`).
"""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json, row_id, tools
from turnpoint.data.openai import read_message
from turnpoint.dialogue import Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has a text as query, tools and answers."""
    return isinstance(row.get("query"), str) and row.get("tools") is not None and row.get("answers") is not None


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one row; its calls are one turn. Without calls, which say that no tool fits, there is no turn.

    Raises:
        DataError: one line: where, field, rule.
    """
    messages = [parse(Message, {"role": "user", "content": row["query"]}, where, "query")]
    calls = from_json(row["answers"], where, "answers")
    if not isinstance(calls, list):
        raise DataError(f"{where}: answers: must be a list of calls, or the JSON of one (got {calls!r:.80})")
    changes.add("read without a turn, for want of a call in answers", where, int(not calls))
    if calls:
        messages.append(read_message({"role": "assistant", "tool_calls": calls}, where, "answers", changes))
    fields = {"messages": messages, "tools": tools(row, where, changes), "id": row_id(row, where)}
    return parse(Dialogue, {**fields, "source": where}, where)
