"""Excerpts of real data sets; see files/SOURCE.txt."""

import json
from pathlib import Path

import pytest

from turnpoint.data import Source, load_dialogues, load_pairs
from turnpoint.dialogue import Decision, ToolCall, decisions
from turnpoint.errors import DataError

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("glaive.json", "sharegpt"),
        ("api_bank.jsonl", "openai"),
        ("tau_bench.jsonl", "preference"),
        ("bfcl/BFCL_v4_parallel.json", "bfcl"),
        ("functionchat/FunctionChat-Dialog.jsonl", "functionchat-dialog"),
    ],
)
def test_the_format_of_each_is_recognised(file: str, format: str) -> None:
    assert Source(FILES / file).open().format == format


def test_glaive() -> None:
    dialogues, notes = load_dialogues(FILES / "glaive.json")
    assert notes == ()
    assert [decisions(dialogue) for dialogue in dialogues] == [
        (Decision.SLOT, Decision.CALL, Decision.COMPLETION),
        (Decision.RELEVANCE,),
        (Decision.CALL, Decision.COMPLETION),
    ]
    assert dialogues[0].messages[3].tool_calls == (ToolCall(name="generate_random_password", arguments={"length": 12}),)
    assert dialogues[0].messages[4].content == '{"password": "a9B7$#fG3&Z1"}'
    assert dialogues[0].tools[0].required == ("length",)


def test_api_bank() -> None:
    dialogues, notes = load_dialogues(FILES / "api_bank.jsonl")
    assert notes == ("left column 'literal_grounded' unread: 2 in 2 rows",)
    assert [dialogue.id for dialogue in dialogues] == [
        "level-1-given-desc/GetToday-level-1-3.jsonl",
        "level-1-given-desc/DeleteScene-level-1-2.jsonl",
    ]
    assert decisions(dialogues[1]) == (Decision.CONFIRM, Decision.CALL, Decision.COMPLETION)
    assert dialogues[1].messages[3].tool_calls == (
        ToolCall(name="DeleteScene", arguments={"name": "Relaxing Time"}, id="call_1"),
    )


def test_trajectories_that_share_no_prompt_are_refused() -> None:
    with pytest.raises(DataError) as error:
        load_pairs(FILES / "tau_bench.jsonl")
    assert str(error.value) == (
        "tau_bench.jsonl:1: the sides share no prompt; both must start with the same messages up to a user message"
    )


def test_trajectories_that_share_one_message_start_at_the_turn_before_they_part() -> None:
    """The two users of task 43 say the same first and something else second; the assistant's question is shared."""
    row = json.loads((FILES / "tau_bench.jsonl").read_text().splitlines()[1])
    called = {
        call["function"]["name"]
        for message in row["chosen"] + row["rejected"]
        for call in message.get("tool_calls") or []
    }
    pairs, _ = load_pairs([row | {"tools": [{"name": name} for name in sorted(called)]}])
    assert [message.role for message in pairs[0].prompt] == ["user"]
    assert pairs[0].chosen[0] == pairs[0].rejected[0]
    assert (len(pairs[0].chosen), len(pairs[0].rejected)) == (12, 12)
