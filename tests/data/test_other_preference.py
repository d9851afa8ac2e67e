"""Pairs in the forms of TRL and LLaMA-Factory with `messages`, of ms-swift, of Intel's orca, and of OpenAI."""

from typing import Any

import pytest

from turnpoint.data import load, load_pairs
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import DataError

SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}
FOUR, FIVE = {"role": "assistant", "content": "4"}, {"role": "assistant", "content": "5"}
ADD = {"name": "add", "description": "", "parameters": {"type": "object", "properties": {}}}
ADDING = {"role": "assistant", "tool_calls": [{"name": "add", "arguments": {}, "id": "a"}]}
RESULT = {"role": "tool", "content": "4", "tool_call_id": "a"}


def said(pair: PreferencePair) -> tuple[list[Any], list[Any], list[Any]]:
    prompt, chosen, rejected = (
        [(m.role, m.content) for m in side] for side in (pair.prompt, pair.chosen, pair.rejected)
    )
    return prompt, chosen, rejected


SHARED = [("system", "Be brief."), ("user", "2+2?")]
EXPECTED = (SHARED, [("assistant", "4")], [("assistant", "5")])


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"messages": [SYSTEM, USER], "chosen": [FOUR], "rejected": [FIVE]}, "preference"),
        ({"messages": [SYSTEM, USER], "chosen": FOUR, "rejected": FIVE}, "preference"),
        ({"messages": [SYSTEM, USER], "chosen": "4", "rejected": "5"}, "preference"),
        # Whole conversations need no prompt, whatever messages are beside them (UltraFeedback).
        (
            {"messages": [USER, FOUR], "chosen": [SYSTEM, USER, FOUR], "rejected": [SYSTEM, USER, FIVE]},
            "preference",
        ),
        ({"messages": [SYSTEM, USER, FOUR], "rejected_response": "5"}, "swift-preference"),
        ({"messages": [SYSTEM, USER, FOUR], "rejected_messages": [SYSTEM, USER, FIVE]}, "swift-preference"),
        ({"messages": [SYSTEM, USER, FOUR], "rejected_messages": [FIVE]}, "swift-preference"),
        ({"system": "Be brief.", "question": "2+2?", "chosen": "4", "rejected": "5"}, "orca-preference"),
        (
            {"input": {"messages": [SYSTEM, USER]}, "preferred_output": [FOUR], "non_preferred_output": [FIVE]},
            "openai-preference",
        ),
    ],
)
def test_one_pair_in_every_form(row: dict[str, Any], format: str) -> None:
    loaded = load([row])
    [pair] = loaded.records
    assert isinstance(pair, PreferencePair)
    assert (loaded.format, loaded.notes) == (format, ())
    assert said(pair) == EXPECTED
    assert not pair.verbatim


def test_messages_that_end_with_a_turn_are_no_prompt() -> None:
    with pytest.raises(DataError) as error:
        load([{"messages": [USER, FOUR], "chosen": "4", "rejected": "5"}])
    assert str(error.value) == (
        "row 0: messages: end with a turn of the assistant, as chosen and rejected begin; leave that turn out of"
        " messages"
    )


def test_the_last_turn_of_ms_swift_is_replaced_and_a_rejected_trajectory_goes_on_from_the_user() -> None:
    steps = {"messages": [USER, ADDING, RESULT, FOUR], "tools": [ADD]}
    [pair], _ = load_pairs([{**steps, "rejected_response": "5"}])
    assert [message.role for message in pair.prompt] == ["user", "assistant", "tool"]
    [pair], _ = load_pairs([{**steps, "rejected_messages": [ADDING, RESULT, FIVE]}])
    assert [len(part) for part in (pair.prompt, pair.chosen, pair.rejected)] == [1, 3, 3]


def test_roles_of_ms_swift_for_calls() -> None:
    call = {"role": "tool_call", "content": '{"name": "add", "arguments": {}}'}
    rows = [{"messages": [USER, call, {"role": "tool_response", "content": "4"}, FOUR], "rejected_response": "5"}]
    [pair], _ = load_pairs([{**rows[0], "tools": [ADD]}])
    assert pair.prompt[1].tool_calls[0].name == "add"


def test_an_empty_system_prompt_of_orca_is_none() -> None:
    [pair], _ = load_pairs([{"system": "", "question": "2+2?", "chosen": "4", "rejected": "5", "id": 7}])
    assert [message.role for message in pair.prompt] == ["user"]
    assert pair.id == "7"


def test_a_question_without_the_other_keys_of_orca_is_no_prompt() -> None:
    """Texts that share their beginning, with a column that nothing reads, as before."""
    loaded = load([{"question": "?", "chosen": "2+2 is 4", "rejected": "2+2 is 5"}])
    assert (loaded.format, loaded.notes) == ("preference", ("left column 'question' unread: 1 in 1 row",))


def test_tools_and_settings_of_an_input_of_openai() -> None:
    row = {
        "input": {"messages": [USER], "tools": [{"type": "function", "function": ADD}], "parallel_tool_calls": True},
        "preferred_output": [ADDING],
        "non_preferred_output": [FIVE],
    }
    [pair], notes = load_pairs([row])
    assert [tool.name for tool in pair.tools] == ["add"]
    assert pair.chosen[0].tool_calls[0].name == "add"
    assert notes == ("dropped input key 'parallel_tool_calls': 1 in 1 row",)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"messages": [USER], "rejected_response": "5"},
            "messages: must end with the assistant's turn, which is chosen (got user)",
        ),
        (
            {"messages": [], "rejected_response": "5"},
            "messages: must end with the assistant's turn, which is chosen (got no message)",
        ),
        ({"messages": [USER, FOUR], "rejected_response": 5}, "rejected_response.content: must be a string (got 5)"),
        (
            {"messages": [USER, FOUR], "rejected_response": "5", "rejected_messages": [FIVE]},
            "rejected_response and rejected_messages: both are given; leave one of them out",
        ),
        (
            {"messages": [USER, FOUR], "rejected_messages": [SYSTEM, USER, FIVE]},
            "the sides share no prompt; both must start with the same messages up to a user message",
        ),
        (
            {"messages": [USER, FOUR], "rejected_response": "4"},
            "chosen and rejected are equal; nothing is preferred, remove the pair",
        ),
        (
            {"system": "", "question": " ", "chosen": "4", "rejected": "5"},
            "question: is empty; fill it, or leave the row out (got ' ')",
        ),
        ({"system": 3, "question": "?", "chosen": "4", "rejected": "5"}, "system: must be a string (got 3)"),
        (
            {"input": {"tools": []}, "preferred_output": [FOUR], "non_preferred_output": [FIVE]},
            "input: must be an object with messages and perhaps tools (got {'tools': []})",
        ),
        (
            {"input": {"messages": [USER]}, "preferred_output": [], "non_preferred_output": [FIVE]},
            "chosen is empty; it needs at least one assistant message",
        ),
        (
            {"input": {"messages": [USER]}, "preferred_output": "4", "non_preferred_output": [FIVE]},
            "preferred_output: must be a list of messages (got str)",
        ),
    ],
)
def test_each_fault_is_one_line(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load([row])
    assert str(raised.value) == f"row 0: {error}"


def test_images_of_ms_swift_stand_on_both_sides() -> None:
    asked = {"role": "user", "content": "<image>What?"}
    data = "data:image/png;base64,AAAA"
    for rejected in ({"rejected_messages": [asked, FIVE]}, {"rejected_messages": [FIVE]}, {"rejected_response": "5"}):
        [pair], _ = load_pairs([{"messages": [asked, FOUR], **rejected, "images": [data]}])
        assert [len(message.images) for message in pair.prompt] == [1]
        assert [message.content for message in (*pair.chosen, *pair.rejected)] == ["4", "5"]
