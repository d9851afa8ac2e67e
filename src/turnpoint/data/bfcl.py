"""BFCL, the Berkeley Function Calling Leaderboard: a question, functions, and the calls that answer it.

The calls are in another file, `possible_answer/` and the name of the data file, as `ground_truth`. Of each argument it
lists the values that pass; the first one is taken, and an argument whose first value is "" is one that may be left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import row_id, tools
from turnpoint.data.openai import read_messages
from turnpoint.data.prepare import Beside
from turnpoint.dialogue import Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError


def _files(data: Path) -> list[Path]:
    file = data.parent / "possible_answer" / data.name
    return [file] if file.is_file() else []


def _pick(row: Mapping[str, Any], table: Mapping[str, Mapping[str, Any]]) -> Any:
    entry = table.get(str(row.get("id")))
    return None if entry is None else entry.get("ground_truth")


BESIDE = Beside("ground_truth", "id", _files, _pick)


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has a question, and functions or classes of them."""
    return row.get("question") is not None and any(row.get(key) is not None for key in ("function", "involved_classes"))


def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one row; parallel calls are one turn. Without calls, as in the sets on irrelevance, there is no turn.

    Raises:
        DataError: it is a task of several turns, or breaks another rule.
    """
    if row.get("involved_classes") is not None:
        raise DataError(
            f"{where}: involved_classes: a task of several turns is not read, since its functions and their results"
            " come from running these classes and are not in the file; read the sets of one turn"
        )
    turns = row["question"]
    if not isinstance(turns, list) or len(turns) != 1:
        raise DataError(f"{where}: question: must be a list of one turn, itself a list of messages (got {turns!r:.80})")
    messages = list(read_messages(turns[0], where, "question[0]", changes))
    truth = row.get("ground_truth")
    if truth:
        calls = [_call(call, where, f"ground_truth[{i}]") for i, call in enumerate(_list(truth, where))]
        messages.append(parse(Message, {"role": "assistant", "tool_calls": calls}, where, "ground_truth"))
    else:
        changes.add("read without a turn, for want of an answer in possible_answer", where)
    offered = tools({"tools": row["function"]}, where, changes)
    return parse(Dialogue, {"messages": messages, "tools": offered, "id": row_id(row, where), "source": where}, where)


def _list(truth: Any, where: str) -> list[Any]:
    if not isinstance(truth, list):
        raise DataError(f"{where}: ground_truth: must be a list of calls (got {truth!r:.80})")
    return truth


def _call(call: Any, where: str, field: str) -> dict[str, Any]:
    if not isinstance(call, Mapping) or len(call) != 1 or not isinstance(next(iter(call.values())), Mapping):
        raise DataError(f"{where}: {field}: must be one name and its arguments, {{name: {{…}}}} (got {call!r:.80})")
    [(name, arguments)] = call.items()
    return {"name": name, "arguments": _first_values(arguments)}


def _first_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The first value that passes of each argument."""
    firsts = {name: values[0] if isinstance(values, list) and values else values for name, values in arguments.items()}
    return {name: _value(first) for name, first in firsts.items() if first != ""}


def _value(first: Any) -> Any:
    """A value; an object in it lists the values of its own keys that pass."""
    if isinstance(first, Mapping):
        return _first_values(first)
    return [_value(each) for each in first] if isinstance(first, list) else first
