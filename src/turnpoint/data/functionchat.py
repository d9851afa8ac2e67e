"""FunctionChat-Bench: dialogues judged turn by turn, decisions to call or not, and single calls.

What else passes (`acceptable_arguments`) is not read, and counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json, row_id, tools
from turnpoint.data.openai import DECISIONS, read_message, read_messages
from turnpoint.data.prepare import Part
from turnpoint.dialogue import Decision, Dialogue, Message
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_ACCEPTABLE = "left 'acceptable_arguments' unread"


def matches_dialog(row: Mapping[str, Any]) -> bool:
    """Whether the row has turns, each with a query and what is right."""
    turns = row.get("turns")
    return isinstance(turns, list) and bool(turns) and all(_is_judged(turn) for turn in turns)


def read_dialog(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read a whole dialogue: the last query and what follows it, with the judged turns labelled.

    Raises:
        DataError: a query is not the history of the dialogue, or breaks another rule.
    """
    turns = row["turns"]
    whole = [*_query(turns[-1], where, f"turns[{len(turns) - 1}]", changes), _truth(turns[-1], where, changes)]
    said = [message.said for message in whole]
    for i, turn in enumerate(turns):
        query, truth = _query(turn, where, f"turns[{i}]", Changes()), _truth(turn, where, Changes())
        at = len(query)
        if at >= len(whole) or [message.said for message in query] != said[:at] or whole[at].role != "assistant":
            raise DataError(f"{where}: turns[{i}].query: must be how the query of the last turn begins, up to a turn")
        changes.add("took a ground_truth that the history words in another way", where, int(truth.said != said[at]))
        changes.add(_ACCEPTABLE, where, int(turn.get("acceptable_arguments") is not None))
        whole[at] = truth.model_copy(update={"decision": _decision(turn, where)})
    return _dialogue(row, whole, row.get("tools"), where, changes)


def matches_decision(row: Mapping[str, Any]) -> bool:
    """Whether the row has messages, tools, and what is right."""
    return row.get("input_messages") is not None and row.get("ground_truth") is not None


def read_decision(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read messages and the turn that is judged; turns before it are not trained on."""
    before = read_messages(row["input_messages"], where, "input_messages", changes)
    untrained = [m.model_copy(update={"train": False}) if m.role == "assistant" else m for m in before]
    turn = _truth(row, where, changes).model_copy(update={"decision": _decision(row, where)})
    return _dialogue(row, [*untrained, turn], row.get("input_tools"), where, changes)


def matches_call(row: Mapping[str, Any]) -> bool:
    """Whether the row has queries, and tools in sets."""
    lists = _are_objects(row.get("query")) and _are_objects(row.get("tools"), "content")
    return lists and _are_objects(row.get("ground_truth"))


def expand(row: Mapping[str, Any]) -> Iterator[Part]:
    """One row for each query and set of tools."""
    truths = {str(each.get("serial_num")): each for each in row["ground_truth"] if isinstance(each, Mapping)}
    for i, query in enumerate(row["query"], start=1):
        number = str(query.get("serial_num"))
        if number not in truths:
            raise DataError(f"ground_truth: holds nothing for query {number}")
        for offered in row["tools"]:
            part = {**row, "query": [query], "ground_truth": [truths[number]], "tools": [offered]}
            yield Part(f"query {i}, tools {offered.get('type')}", part)


def read_call(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue:
    """Read one query, one set of tools, and the call that is right.

    Raises:
        DataError: one line: where, field, rule.
    """
    query, truth, offered = row["query"][0], row["ground_truth"][0], row["tools"][0]
    user = parse(Message, {"role": "user", "content": query.get("content")}, where, "query")
    call = from_json(truth.get("content"), where, "ground_truth.content")
    listed = row.get("acceptable_arguments")
    accepted = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    of_query = [each for each in accepted if each.get("serial_num") == query.get("serial_num")]
    changes.add(_ACCEPTABLE, where, int(any(each.get("content") is not None for each in of_query)))
    turn = read_message({"role": "assistant", "tool_calls": [call]}, where, "ground_truth", changes)
    return _dialogue(row, [user, turn], offered["content"], where, changes)


def _is_judged(turn: Any) -> bool:
    return isinstance(turn, Mapping) and "query" in turn and "ground_truth" in turn


def _are_objects(value: Any, *keys: str) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(each, Mapping) and all(key in each for key in keys) for each in value)


def _query(turn: Mapping[str, Any], where: str, field: str, changes: Changes) -> tuple[Message, ...]:
    return read_messages(turn["query"], where, f"{field}.query", changes)


def _truth(turn: Mapping[str, Any], where: str, changes: Changes) -> Message:
    return read_message(turn["ground_truth"], where, "ground_truth", changes)


def _decision(turn: Mapping[str, Any], where: str) -> Decision | None:
    kind = turn.get("type_of_output")
    if kind is not None and (not isinstance(kind, str) or kind not in DECISIONS):
        raise DataError(f"{where}: type_of_output: unknown; use {', '.join(Decision)} (got {kind!r:.80})")
    return None if kind is None else DECISIONS[kind]


def _dialogue(
    row: Mapping[str, Any], messages: Sequence[Message], offered: Any, where: str, changes: Changes
) -> Dialogue:
    fields = {"messages": messages, "tools": tools({"tools": offered}, where, changes), "id": row_id(row, where)}
    return parse(Dialogue, {**fields, "source": where}, where)
