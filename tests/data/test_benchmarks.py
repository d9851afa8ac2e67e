"""Rows of benchmarks: BFCL, When2Call, FunctionChat, and the pairs of DiaTool-DPO."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data import Source, load, load_dialogues, load_pairs
from turnpoint.dialogue import Decision, ToolCall
from turnpoint.errors import DataError

Write = Callable[..., Path]
FILES = Path(__file__).parent / "files"

WEATHER = {"name": "weather", "parameters": {"type": "dict", "properties": {"city": {"type": "string"}}}}


# BFCL

QUESTION = {"id": "simple_0", "question": [[{"role": "user", "content": "Weather in Oslo?"}]], "function": [WEATHER]}


def test_bfcl_answers_lie_beside_the_questions() -> None:
    dialogues, notes = load_dialogues(FILES / "bfcl" / "BFCL_v4_parallel.json")
    assert [dialogue.id for dialogue in dialogues] == ["parallel_0", "parallel_1"]
    assert dialogues[0].messages[1].tool_calls == (
        ToolCall(name="spotify.play", arguments={"artist": "Taylor Swift", "duration": 20}),
        ToolCall(name="spotify.play", arguments={"artist": "Maroon 5", "duration": 15}),
    )
    assert dialogues[0].tools[0].parameters["type"] == "object"
    assert notes == ("made JSON schema types of other types in tools: 2 in 2 rows",)


def test_the_first_value_that_passes_is_taken() -> None:
    """Values of objects are lists of such values again; an argument whose first value is empty may be left out."""
    truth = {"city": ["Oslo", "oslo"], "unit": ["", "C"], "at": [[1, 2]], "in": [{"from": [8, 9], "to": [""]}]}
    [dialogue], _ = load_dialogues([QUESTION | {"ground_truth": [{"weather": truth}]}])
    assert dialogue.messages[1].tool_calls[0].arguments == {"city": "Oslo", "at": [1, 2], "in": {"from": 8}}


def test_bfcl_without_an_answer_has_no_turn(write: Write) -> None:
    [dialogue], notes = load_dialogues(write(QUESTION, name="BFCL_v4_irrelevance.json"))
    assert dialogue.turns == ()
    assert "read without a turn, for want of an answer in possible_answer: 1 in 1 row" in notes


def test_the_answers_are_part_of_the_content(write: Write, tmp_path: Path) -> None:
    (tmp_path / "possible_answer").mkdir()
    file = write(QUESTION, name="a.json")
    found = [Source(file).content]
    for city in ("Oslo", "Rome"):
        write({"id": "simple_0", "ground_truth": [{"weather": {"city": [city]}}]}, name="possible_answer/a.json")
        found.append(Source(file).content)
        [dialogue], _ = load_dialogues(file)
        assert dialogue.messages[1].tool_calls[0].arguments == {"city": city}
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"involved_classes": ["GorillaFileSystem"]},
            "involved_classes: a task of several turns is not read, since its functions and their results come from"
            " running these classes and are not in the file; read the sets of one turn",
        ),
        ({"question": []}, "question: must be a list of one turn, itself a list of messages (got [])"),
        (
            {"ground_truth": ["weather()"]},
            "ground_truth[0]: must be one name and its arguments, {name: {…}} (got 'weather()')",
        ),
        (
            {"ground_truth": [{"clock": {}}]},
            "messages[1] calls unknown tool 'clock'; tools offered: weather; add it to tools",
        ),
    ],
)
def test_faults_of_bfcl(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_dialogues([QUESTION | row])
    assert str(raised.value) == f"row 0: {error}"


# When2Call

ANSWERS = {
    "direct": "Sunny.",
    "tool_call": '{"name": "weather", "arguments": {"city": "Oslo"}}',
    "request_for_info": "Which city?",
    "cannot_answer": "I cannot tell.",
}
JUDGED = {
    "uuid": "u1",
    "source": "BFCL",
    "question": "Weather?",
    "correct_answer": "cannot_answer",
    "answers": ANSWERS,
    "target_tool": None,
    "tools": [json.dumps(WEATHER | {"name": "other"})],
    "orig_tools": [],
}


def test_each_wrong_answer_makes_a_pair(write: Write) -> None:
    pairs, notes = load_pairs(write(JUDGED))
    kinds = [f"cannot_answer over {wrong}" for wrong in ("direct", "tool_call", "request_for_info")]
    assert [pair.kind for pair in pairs] == kinds
    assert [pair.source for pair in pairs] == [f"rows.jsonl:1 ({kind})" for kind in kinds]
    assert [pair.id for pair in pairs] == ["u1 direct", "u1 tool_call", "u1 request_for_info"]
    assert {pair.chosen[0].decision for pair in pairs} == {Decision.RELEVANCE}
    assert [pair.rejected[0].decision for pair in pairs] == [Decision.COMPLETION, Decision.CALL, Decision.SLOT]
    assert pairs[1].rejected[0].tool_calls == (ToolCall(name="weather", arguments={"city": "Oslo"}),)
    assert len({pair.dialogue_id for pair in pairs}) == 1
    assert notes == ("made JSON schema types of other types in tools: 3 in 3 rows",)


def test_rows_count_before_they_are_expanded(write: Write) -> None:
    assert len(load(write(JUDGED, JUDGED), limit=1).records) == 3


def test_responses_are_sides() -> None:
    row = {
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [json.dumps(WEATHER)],
        "chosen_response": {"role": "assistant", "content": "Which city?"},
        "rejected_response": {"role": "assistant", "content": "Sunny."},
    }
    loaded = load([row])
    assert loaded.format == "when2call-preference"
    [pair] = loaded.records
    assert (pair.chosen[0].content, pair.rejected[0].content) == ("Which city?", "Sunny.")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"answers": {"direct": "x"}},
            "answers: must hold the correct answer, 'cannot_answer', by its kind (got {'direct",
        ),
        (
            {"answers": {"cannot_answer": "x"}},
            "answers: hold no wrong answer beside 'cannot_answer'; nothing is preferred",
        ),
        (
            {"answers": ANSWERS | {"tool_call": "weather()"}, "correct_answer": "direct"},
            "answers.tool_call: a string here",
        ),
    ],
)
def test_faults_of_when2call(write: Write, row: dict[str, Any], error: str) -> None:
    """What a broken row costs is that row alone, whichever step finds it."""
    with pytest.raises(DataError, match=r"^rows\.jsonl:1") as raised:
        load_pairs(write(JUDGED | row))
    assert f": {error}" in str(raised.value)
    assert len(load_pairs(write(JUDGED | row, JUDGED), on_bad_rows="drop")[0]) in (3, 5)


# FunctionChat-Bench


def test_functionchat_dialogs_are_whole_and_labelled() -> None:
    dialogues, notes = load_dialogues(FILES / "functionchat" / "FunctionChat-Dialog.jsonl")
    found = [[dialogue.messages[turn].decision for turn in dialogue.turns] for dialogue in dialogues]
    assert found[0] == [Decision.SLOT, Decision.CALL, Decision.COMPLETION]
    assert len(found[1]) == 8
    assert dialogues[0].messages[3].tool_calls[0].arguments["name"] == "John"
    assert notes == (
        "left 'acceptable_arguments' unread: 1 in 1 row",
        "took a ground_truth that the history words in another way: 1 in 1 row",
    )


def test_a_query_that_is_not_the_history_is_refused() -> None:
    row = json.loads((FILES / "functionchat" / "FunctionChat-Dialog.jsonl").read_text().splitlines()[0])
    row["turns"][1]["query"][0]["content"] = "something else"
    with pytest.raises(DataError) as error:
        load_dialogues([row])
    assert str(error.value) == "row 0: turns[1].query: must be how the query of the last turn begins, up to a turn"


def call(city: str) -> dict[str, Any]:
    return {"name": "weather", "arguments": json.dumps({"city": city})}


def test_functionchat_decisions_train_on_the_judged_turn() -> None:
    row = {
        "serial_num": 1,
        "category": "CALL",
        "input_messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "Where?"},
            {"role": "user", "content": "Oslo"},
        ],
        "input_tools": [WEATHER],
        "type_of_output": "call",
        "ground_truth": {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": call("Oslo")}]},
        "acceptable_arguments": '{"city": ["Oslo, Norway"]}',
    }
    [dialogue], notes = load_dialogues([row])
    assert [dialogue.messages[turn].train for turn in dialogue.turns] == [False, True]
    assert dialogue.messages[-1].decision is Decision.CALL
    assert "left column 'acceptable_arguments' unread: 1 in 1 row" in notes
    with pytest.raises(DataError, match=r"type_of_output: unknown; use call, slot, completion, relevance, confirm"):
        load_dialogues([row | {"type_of_output": "guess"}])


def test_functionchat_calls_are_every_query_with_every_set_of_tools(write: Write) -> None:
    cities = ("Oslo", "Rome")
    row: dict[str, Any] = {
        "function_num": 1,
        "function_name": "weather",
        "function_info": {},
        "query": [{"serial_num": i, "content": f"Weather in {city}?"} for i, city in enumerate(cities, start=7)],
        "ground_truth": [
            {"serial_num": i, "content": json.dumps(call(city))} for i, city in enumerate(cities, start=7)
        ],
        "acceptable_arguments": [
            {"serial_num": 7, "content": None},
            {"serial_num": 8, "content": '{"city": ["Roma"]}'},
        ],
        "tools": [
            {"type": "exact", "content": [WEATHER]},
            {"type": "4_close", "content": [WEATHER, WEATHER | {"name": "climate"}]},
        ],
    }
    file = write(row)
    loaded = load(file)
    assert loaded.format == "functionchat-call"
    assert [record.source.removeprefix("rows.jsonl:1 ") for record in loaded.records] == [
        "(query 1, tools exact)",
        "(query 1, tools 4_close)",
        "(query 2, tools exact)",
        "(query 2, tools 4_close)",
    ]
    last = loaded.records[-1]
    assert [tool.name for tool in last.tools] == ["weather", "climate"]
    assert last.messages[1].tool_calls == (ToolCall(name="weather", arguments={"city": "Rome"}),)  # type: ignore[union-attr]
    assert "left 'acceptable_arguments' unread: 2 in 2 rows" in loaded.notes
    with pytest.raises(DataError, match=r"^rows\.jsonl:1: ground_truth: holds nothing for query 8$"):
        load(write(row | {"ground_truth": row["ground_truth"][:1]}))


# DiaTool-DPO


def side(*replies: str, tools: list[Any] | None = None) -> str:
    messages = [{"role": "user", "content": "Weather?"}]
    for reply in replies:
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "Oslo"}]
    return json.dumps({"tools": tools or [WEATHER], "messages": messages[:-1]})


def test_diatool_sides_are_json_and_share_their_tools() -> None:
    loaded = load([{"chosen": side("Where?", "Sunny."), "rejected": side("Where?", "No.")}])
    [pair] = loaded.records
    assert loaded.format == "diatool"
    assert [len(part) for part in (pair.prompt, pair.chosen, pair.rejected)] == [3, 1, 1]  # type: ignore[union-attr]
    assert [tool.name for tool in pair.tools] == ["weather"]
    with pytest.raises(DataError) as error:
        load_pairs([{"chosen": side("a"), "rejected": side("b", tools=[WEATHER | {"name": "climate"}])}])
    assert str(error.value) == (
        "row 0: tools: differ between chosen and rejected; both sides must offer the same tools"
    )
