"""ShareGPT rows: roles, calls and results, and the texts of errors."""

import json
from typing import Any

import pytest

from turnpoint.data.changes import Changes
from turnpoint.data.sharegpt import read
from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall
from turnpoint.errors import DataError

WEATHER = {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}}


def entry(role: str, value: Any, **keys: Any) -> dict[str, Any]:
    return {"from": role, "value": value, **keys}


def sharegpt(*entries: Any, changes: Changes | None = None, **row: Any) -> Dialogue:
    return read(
        {"conversations": list(entries), "tools": json.dumps([WEATHER]), **row}, "f.json[3]", changes or Changes()
    )


def test_a_whole_row_becomes_the_dialogue_built_by_hand() -> None:
    row = sharegpt(
        entry("human", "Weather?"),
        entry("function_call", '{"name": "weather", "arguments": {"city": "Paris"}}'),
        entry("observation", '{"sky": "blue"}'),
        entry("gpt", "Blue sky.", train=False),
        system="Be brief.",
    )
    assert row == Dialogue(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="Weather?"),
            Message(role="assistant", tool_calls=(ToolCall(name="weather", arguments={"city": "Paris"}),)),
            Message(role="tool", content='{"sky": "blue"}'),
            Message(role="assistant", content="Blue sky.", train=False),
        ),
        tools=(Tool(**WEATHER),),
        id="f.json[3]",
        source="f.json[3]",
    )


def test_no_tools_are_given_by_an_empty_string_and_by_an_empty_list() -> None:
    assert sharegpt(entry("human", "Hi"), tools="").tools == sharegpt(entry("human", "Hi"), tools="[]").tools == ()


def test_parallel_calls_come_as_a_list_or_as_entries_in_a_row() -> None:
    paris = {"name": "weather", "arguments": {"city": "Paris"}}
    rome = {"name": "weather", "arguments": '{"city": "Rome"}'}
    results = [entry("observation", "sun"), entry("observation", "rain")]
    changes = Changes()
    listed = sharegpt(entry("human", "?"), entry("function_call", json.dumps([paris, rome])), *results)
    in_a_row = sharegpt(
        entry("human", "?"), entry("function_call", paris), entry("function_call", rome), *results, changes=changes
    )
    assert listed == in_a_row
    assert [call.arguments for call in listed.messages[1].tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert changes.notes() == ("merged function_call entry into the one before, as parallel calls: 1 in 1 row",)


def test_unknown_keys_are_dropped_and_counted() -> None:
    changes = Changes()
    sharegpt(entry("human", "Hi", markdown=None), changes=changes)
    assert changes.notes() == ("dropped message key 'markdown': 1 in 1 row",)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (
            [entry("narrator", "x")],
            "conversations[0].from: unknown role; use human, gpt, function_call, observation or system"
            " (got 'narrator')",
        ),
        (
            [{"from": "human"}],
            "conversations[0]: an entry must be an object with from and value (got {'from': 'human'})",
        ),
        (
            [entry("human", "?"), entry("function_call", "weather()")],
            "conversations[1].value: a string here must be JSON: Expecting value at character 0 (got 'weather()')",
        ),
        (
            [entry("human", "?"), entry("function_call", "[]")],
            "conversations[1].value: a function_call must hold name and arguments (got [])",
        ),
        (
            [entry("human", "?"), entry("function_call", {"arguments": {}})],
            "conversations[1].tool_calls[0].name: is missing; give it",
        ),
        (
            [entry("human", "?"), entry("observation", "x")],
            "messages[1] is a tool result without a call; it must follow the call it answers",
        ),
        ([entry("human", 3)], "conversations[0].content: must be a string (got 3)"),
    ],
)
def test_each_fault_is_one_line_that_says_where(entries: list[Any], text: str) -> None:
    with pytest.raises(DataError) as error:
        sharegpt(*entries)
    assert str(error.value) == f"f.json[3]: {text}"


def test_conversations_of_another_type_are_refused() -> None:
    with pytest.raises(DataError) as error:
        read({"conversations": "Hi"}, "f.json[3]", Changes())
    assert str(error.value) == "f.json[3]: conversations: must be a list of from / value entries (got str)"


@pytest.mark.parametrize("name", ["gpt", "chatgpt", "bing", "bard", "model", "assistant"])
def test_names_of_the_assistant(name: str) -> None:
    assert sharegpt(entry("human", "Hi"), entry(name, "Hello")).messages[1] == Message(
        role="assistant", content="Hello"
    )


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("function_call", "observation"),
        ("function-call", "function-response"),
        ("tool_call", "tool_response"),
        ("tool-call", "ipython"),
    ],
)
def test_names_of_calls_and_results_in_entries_and_messages(call: str, result: str) -> None:
    value = '{"name": "weather", "arguments": {}}'
    said = [("user", "?"), (call, value), (result, "sun")]
    entries = sharegpt(*(entry(role, text) for role, text in said))
    messages = sharegpt(*({"role": role, "content": text} for role, text in said))
    assert entries == messages
    assert entries.messages[1].tool_calls == (ToolCall(name="weather", arguments={}),)
    assert entries.messages[2] == Message(role="tool", content="sun")


def test_entries_may_carry_what_the_form_has_no_place_for() -> None:
    call = {"name": "weather", "arguments": {}, "id": "a"}
    row = sharegpt(
        entry("human", "?"),
        entry("function_call", json.dumps(call), content="Let me see.", reasoning="Hm.", decision="call"),
        entry("observation", "sun", tool_call_id="a"),
        entry("gpt", "Again.", tool_calls=[call]),
    )
    assert row.messages[1].content == "Let me see."
    assert row.messages[1].reasoning == "Hm."
    assert row.messages[1].decision is Decision.CALL
    assert row.messages[2].tool_call_id == "a"
    assert row.messages[3].tool_calls == row.messages[1].tool_calls
