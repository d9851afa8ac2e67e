"""OpenAI messages: what each key becomes, and that normal forms do not depend on the form that came in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnpoint.data.changes import Changes
from turnpoint.data.openai import read
from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall
from turnpoint.errors import DataError

WEATHER = {
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
USER = {"role": "user", "content": "Weather in Paris?"}


def dialogue(*messages: dict[str, Any], **row: Any) -> Dialogue:
    return read({"messages": list(messages), "tools": [WEATHER], **row}, "f.jsonl:1", Changes())


def call(arguments: Any = '{"city": "Paris"}', id: str | None = None, name: str = "weather") -> dict[str, Any]:
    wrapped = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return wrapped | ({"id": id} if id else {})


def calling(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def test_a_whole_row_becomes_the_dialogue_built_by_hand() -> None:
    row = dialogue(
        USER,
        calling(call(id="a")),
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny.", "train": False},
        id=7,
    )
    assert row == Dialogue(
        messages=(
            Message(role="user", content="Weather in Paris?"),
            Message(role="assistant", tool_calls=(ToolCall(name="weather", arguments={"city": "Paris"}, id="a"),)),
            Message(role="tool", content="sunny", tool_call_id="a"),
            Message(role="assistant", content="It is sunny.", train=False),
        ),
        tools=(Tool(**WEATHER),),
        id="7",
        source="f.jsonl:1",
    )


def test_without_an_id_a_dialogue_is_called_by_its_place() -> None:
    assert dialogue(USER).id == "f.jsonl:1"
    assert dialogue(USER, id=None).id == "f.jsonl:1"


def test_results_of_parallel_calls_are_matched_by_id_and_by_name() -> None:
    """Ids in reverse order stay; results without an id take that of the waiting call of their name, else the oldest."""
    two = calling(call(id="a"), call('{"city": "Rome"}', id="b"))
    by_id = dialogue(
        USER,
        two,
        {"role": "tool", "tool_call_id": "b", "content": "rain"},
        {"role": "tool", "tool_call_id": "a", "content": "sun"},
    )
    assert [m.tool_call_id for m in by_id.messages[2:]] == ["b", "a"]

    by_order = dialogue(USER, two, {"role": "tool", "content": "sun"}, {"role": "tool", "content": "rain"})
    assert [m.tool_call_id for m in by_order.messages[2:]] == ["a", "b"]

    clock = {"name": "clock", "parameters": {"type": "object", "properties": {}}}
    by_name = dialogue(
        USER,
        calling(call(id="a"), call("", id="b", name="clock")),
        {"role": "tool", "name": "clock", "content": "noon"},
        {"role": "tool", "name": "weather", "content": "sun"},
        tools=[WEATHER, clock],
    )
    assert [m.tool_call_id for m in by_name.messages[2:]] == ["b", "a"]


def test_the_forms_before_tool_calls_are_read() -> None:
    old = read(
        {
            "functions": [WEATHER],
            "messages": [
                {"role": "developer", "content": "Be brief."},
                USER,
                {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
                {"role": "function", "name": "weather", "content": "sunny"},
            ],
        },
        "f.jsonl:1",
        Changes(),
    )
    assert [m.role for m in old.messages] == ["system", "user", "assistant", "tool"]
    assert old.messages[2].tool_calls == (ToolCall(name="weather", arguments={}),)
    assert old.tools == (Tool(**WEATHER),)


@pytest.mark.parametrize("key", ["weight", "loss_weight"])
def test_a_weight_of_zero_keeps_a_message_out_of_the_loss(key: str) -> None:
    answers = [{"role": "assistant", "content": "Hi", key: weight} for weight in (0, 1, 0.0, 1.0, None)]
    assert [m.train for m in dialogue(USER, *answers).messages[1:]] == [False, True, False, True, True]
    with pytest.raises(DataError, match=rf"^f\.jsonl:1: messages\[1\]\.{key}: must be 0 or 1, .* \(got 0\.5\)$"):
        dialogue(USER, {"role": "assistant", "content": "Hi", key: 0.5})


def test_labels_give_turns_their_decisions() -> None:
    said = ["Where?", "In Paris?", "Sunny.", "It failed."]
    decisions = ["ask", "confirm", "answer", "fail"]
    row = dialogue(
        USER,
        *({"role": "assistant", "content": text} for text in said),
        calling(call()),
        labels=[
            *({"message_index": i, "decision": decision, "acts": []} for i, decision in enumerate(decisions, start=1)),
            {"message_index": 5, "decision": "call", "required": ["city"]},
        ],
    )
    assert [m.decision for m in row.messages] == [
        None,
        Decision.SLOT,
        Decision.CONFIRM,
        Decision.COMPLETION,
        Decision.COMPLETION,
        Decision.CALL,
    ]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (
            {"message_index": 0, "decision": "ask"},
            "f.jsonl:1: labels[0].message_index: must be the index of an assistant message, counted from 0,"
            " of 2 messages (got 0)",
        ),
        (
            {"message_index": 2, "decision": "ask"},
            "f.jsonl:1: labels[0].message_index: must be the index of an assistant message, counted from 0,"
            " of 2 messages (got 2)",
        ),
        (
            {"message_index": 1, "decision": "guess"},
            "f.jsonl:1: labels[0].decision: unknown decision; use ask, call, confirm, answer, fail, slot, completion,"
            " relevance (got 'guess')",
        ),
    ],
)
def test_a_label_that_fits_no_turn_is_refused(label: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError) as error:
        dialogue(USER, {"role": "assistant", "content": "Hi"}, labels=[label])
    assert str(error.value) == text


def test_a_column_called_labels_that_holds_something_else_is_left_alone() -> None:
    assert dialogue(USER, {"role": "assistant", "content": "Hi"}, labels=[0, 1]).messages[1].decision is None


def test_unknown_keys_of_messages_and_calls_are_dropped_and_counted() -> None:
    changes = Changes()
    server_call = {"index": 0, "id": "a", "type": "function"}
    server_call["function"] = {"name": "weather", "arguments": "{}", "parsed": None}
    row = {
        "tools": [WEATHER],
        "messages": [
            USER | {"timestamp": 1},
            {"role": "assistant", "content": None, "tool_calls": [server_call], "refusal": None, "timestamp": 2},
        ],
    }
    for line in (1, 2):
        read(row, f"f.jsonl:{line}", changes)
    assert changes.notes() == (
        "dropped message key 'timestamp': 4 in 2 rows",
        "dropped tool call key 'parsed': 2 in 2 rows",
        "dropped tool call key 'index': 2 in 2 rows",
        "dropped message key 'refusal': 2 in 2 rows",
    )


NO_RESULT = "is a tool result without a call; it must follow the call it answers"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "narrator", "content": "x"}], "messages[0].role: unknown role; use system, user, assistant or tool"),
        ([{"content": "x"}], "messages[0].role: is missing; give it"),
        (["x"], "messages[0]: a message must be an object with role and content (got 'x')"),
        ([USER, {"role": "tool", "content": "x"}], f"messages[1] {NO_RESULT}"),
        (
            [USER, calling(call(id="a")), {"role": "tool", "tool_call_id": "z", "content": "x"}],
            f"messages[2] {NO_RESULT}",
        ),
        (
            [USER, calling(call('{"city": Paris}'))],
            "messages[1].tool_calls[0]: arguments must be a JSON object: Expecting value at character 9 of"
            " '{\"city\": Paris}'",
        ),
        (
            [USER, calling(call("[1]"))],
            "messages[1].tool_calls[0]: arguments must be a JSON object, not [1]",
        ),
        (
            [USER, calling(call(name="news"))],
            "messages[1] calls unknown tool 'news'; tools offered: weather; add it to tools",
        ),
        (
            [USER, {"role": "assistant", "content": ""}],
            "messages[1]: an assistant message needs content or tool_calls; remove it or fill it",
        ),
        ([{"role": "user", "content": None}], "messages[0]: a user message needs content, a string"),
        ([], "messages is empty; a dialogue needs at least one message"),
    ],
)
def test_each_fault_is_one_line_that_says_where(messages: list[Any], text: str) -> None:
    with pytest.raises(DataError) as error:
        dialogue(*messages)
    line = str(error.value)
    assert line.startswith(f"f.jsonl:1: {text}")
    assert "\n" not in line


def test_messages_of_another_type_are_refused() -> None:
    with pytest.raises(DataError, match=r"^f\.jsonl:1: messages: must be a list of messages \(got int\)$"):
        read({"messages": 3}, "f.jsonl:1", Changes())
    with pytest.raises(DataError, match=r"^f\.jsonl:1: messages: a string here must be JSON: Expecting value at ch"):
        read({"messages": "hello"}, "f.jsonl:1", Changes())


# Keys and values as JSON has them; None included, which a file may well mean.
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _values, max_size=4))
def test_arguments_are_the_same_as_dict_and_as_json(arguments: dict[str, Any]) -> None:
    as_dict = dialogue(USER, calling(call(arguments)))
    as_json = dialogue(USER, calling(call(json.dumps(arguments))))
    bare = dialogue(USER, calling({"name": "weather", "arguments": arguments}))
    calls_as_json = dialogue(USER, {"role": "assistant", "tool_calls": json.dumps([call(arguments)])})
    assert as_dict == as_json == bare == calls_as_json
    assert as_dict.messages[1].tool_calls[0].arguments == arguments


@given(st.dictionaries(st.text(), _values, max_size=4), st.text())
def test_tools_are_the_same_bare_wrapped_and_as_json(extra: dict[str, Any], description: str) -> None:
    bare = {**extra, "name": "weather", "description": description, "parameters": WEATHER["parameters"]}
    # A key `function` beside `type: function` is what wraps a tool, so such a key is no extra of it.
    bare.pop("function", None)
    wrapped = {"type": "function", "function": bare}
    forms = ([bare], [wrapped], json.dumps([bare]), json.dumps([wrapped]), [json.dumps(bare)], json.dumps(wrapped))
    read_tools = {dialogue(USER, tools=form).model_dump_json() for form in forms}
    assert len(read_tools) == 1
    assert dialogue(USER, tools=[wrapped]).tools[0].openai()["function"] == bare
