"""Reasoning, and contents that are lists of parts."""

from typing import Any

import pytest

from turnpoint.data import load_dialogues, load_pairs
from turnpoint.dialogue import Message, ToolCall
from turnpoint.errors import DataError

TOOLS = [{"name": "weather"}]


def turn(**message: Any) -> Message:
    [dialogue], notes = load_dialogues([{"messages": [{"role": "assistant", **message}], "tools": TOOLS}])
    assert notes == ()
    return dialogue.messages[0]


@pytest.mark.parametrize(
    "message",
    [
        {"content": "So.", "reasoning_content": "Hm."},
        {"content": "So.", "reasoning": "Hm."},
        {"content": "So.", "thinking": "Hm."},
        {"content": "So.", "thinking": "Hm.", "reasoning_content": "Hm."},  # some servers give both
        {"content": [{"type": "reasoning", "value": "Hm."}, {"type": "text", "value": "So."}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "So."}]},
    ],
)
def test_reasoning_is_apart_from_the_content(message: dict[str, Any]) -> None:
    found = turn(**message)
    assert found == Message(role="assistant", content="So.", reasoning="Hm.")
    assert found.openai() == {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}


def test_reasoning_is_part_of_what_is_said() -> None:
    with_it, without = turn(content="So.", reasoning="Hm."), turn(content="So.", reasoning="")
    assert with_it.said != without.said
    assert without == Message(role="assistant", content="So.")


def test_calls_among_parts() -> None:
    call = {"type": "tool_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'}
    found = turn(content=[{"type": "reasoning", "value": "Hm."}, call, call])
    expected = ToolCall(name="weather", arguments={"city": "Oslo"})
    assert found == Message(role="assistant", reasoning="Hm.", tool_calls=(expected, expected))


def test_thoughts_inside_a_text_stay_text() -> None:
    assert turn(content="<think>Hm.</think>So.") == Message(role="assistant", content="<think>Hm.</think>So.")


def test_whole_conversations_of_parts_are_a_pair() -> None:
    """LLaMA-Factory's v1 form; weights of 0 keep a message out of the loss."""

    def side(text: str) -> list[dict[str, Any]]:
        user = {"role": "user", "content": [{"type": "text", "value": "?"}], "loss_weight": 0.0}
        return [user, {"role": "assistant", "content": [{"type": "text", "value": text}], "loss_weight": 1.0}]

    [pair], notes = load_pairs([{"chosen_messages": side("a"), "rejected_messages": side("b")}])
    assert [m.content for m in (*pair.prompt, *pair.chosen, *pair.rejected)] == ["?", "a", "b"]
    assert [m.train for m in (*pair.prompt, *pair.chosen)] == [False, True]
    assert notes == ()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"role": "user", "content": "?", "reasoning": "Hm."},
            "messages[0]: only an assistant message may hold reasoning, this one has role 'user'",
        ),
        (
            {"role": "assistant", "content": "So.", "reasoning": ["Hm."]},
            "messages[0].reasoning: must be a string (got ['Hm.'])",
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_call", "value": "weather()"}]},
            "messages[0].content.tool_call: a string here must be JSON: Expecting value at character 0",
        ),
    ],
)
def test_faults(message: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_dialogues([{"messages": [message]}])
    assert str(raised.value).startswith(f"row 0: {error}")
