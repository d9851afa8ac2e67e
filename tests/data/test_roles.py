"""Names of roles in capitals are those in lower case, and counted."""

from typing import Any

import pytest

from turnpoint.data import load, load_pairs
from turnpoint.dialogue import Dialogue, ToolCall
from turnpoint.errors import DataError

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = '{"name": "weather", "arguments": {}}'


@pytest.mark.parametrize(("role", "said"), [("role", "content"), ("from", "value")])
def test_roles_in_capitals(role: str, said: str) -> None:
    entries = [("System", "s"), ("Human", "?"), ("FUNCTION_CALL", CALL), ("Tool", "sun"), ("ASSISTANT", "Sunny.")]
    key = "messages" if role == "role" else "conversations"
    loaded = load([{key: [{role: name, said: text} for name, text in entries], "tools": [WEATHER]}])
    [dialogue] = loaded.records
    assert isinstance(dialogue, Dialogue)
    assert [message.role for message in dialogue.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert dialogue.messages[2].tool_calls == (ToolCall(name="weather", arguments={}),)
    assert loaded.notes == ("read roles named in capitals: 5 in 1 row",)


def test_parallel_calls_by_roles_in_capitals() -> None:
    entries = [
        {"from": name, "value": value} for name, value in (("USER", "?"), ("Tool_Call", CALL), ("tool_call", CALL))
    ]
    [dialogue] = load([{"conversations": entries, "tools": [WEATHER]}]).records
    assert isinstance(dialogue, Dialogue)
    assert len(dialogue.messages[1].tool_calls) == 2


def test_the_last_turn_of_a_rated_row_in_capitals() -> None:
    messages = [{"role": name, "content": "x"} for name in ("User", "Assistant", "User", "Assistant")]
    [dialogue] = load([{"messages": messages, "label": True}]).records
    assert isinstance(dialogue, Dialogue)
    assert [message.train for message in dialogue.messages] == [True, False, True, True]


def test_sides_and_images_of_roles_in_capitals() -> None:
    row = {
        "messages": [{"role": "User", "content": "?"}],
        "chosen": [{"role": "Assistant", "content": "a"}],
        "rejected": [{"role": "Assistant", "content": "b"}],
        "images": ["data:image/png;base64,AAAA"],
    }
    [pair], _ = load_pairs([row])
    assert len(pair.prompt[0].images) == 1


@pytest.mark.parametrize("name", ["Narrator", "NARRATOR", ""])
def test_unknown_roles_stay_unknown(name: Any) -> None:
    with pytest.raises(DataError) as error:
        load([{"messages": [{"role": name, "content": "?"}]}])
    assert str(error.value) == (
        f"row 0: messages[0].role: unknown role; use system, user, assistant or tool (got {name!r})"
    )
