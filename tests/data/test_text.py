"""Plain text, prompt and completion, and Alpaca rows."""

from typing import Any

import pytest

from turnpoint.data import alpaca, load
from turnpoint.data.changes import Changes
from turnpoint.data.text import read_completion, read_text
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import DataError

WHERE = "f.jsonl:2"


def test_plain_text_is_one_verbatim_turn() -> None:
    assert read_text({"text": " Once upon"}, WHERE, Changes()) == Dialogue(
        messages=(Message(role="assistant", content=" Once upon"),), id=WHERE, source=WHERE, verbatim=True
    )


def test_a_completion_is_a_verbatim_turn_after_its_prompt() -> None:
    assert read_completion({"prompt": "2+2=", "completion": "4", "id": "sum"}, WHERE, Changes()) == Dialogue(
        messages=(Message(role="user", content="2+2="), Message(role="assistant", content="4")),
        id="sum",
        source=WHERE,
        verbatim=True,
    )


def test_tools_of_a_text_row_are_said_to_be_unread() -> None:
    changes = Changes()
    read_completion({"prompt": "2+2=", "completion": "4", "tools": [{"name": "add"}], "functions": []}, WHERE, changes)
    assert changes.notes() == ("left column 'tools' unread: no template renders a text row: 1 in 1 row",)


def test_of_prompt_and_completion_as_messages_only_the_completion_is_trained_on() -> None:
    row = {
        "prompt": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "completion": [{"role": "assistant", "content": "How are you?"}],
    }
    dialogue = read_completion(row, WHERE, Changes())
    assert not dialogue.verbatim
    assert [dialogue.messages[turn].train for turn in dialogue.turns] == [False, True]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"prompt": "x", "completion": ""}, "completion: must be a string that is not empty (got '')"),
        (
            {"prompt": "x", "completion": [{"role": "assistant", "content": "y"}]},
            "prompt, completion: one is text and the other is not; give both in one form",
        ),
    ],
)
def test_faults_of_completions(row: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError) as error:
        read_completion(row, WHERE, Changes())
    assert str(error.value) == f"{WHERE}: {text}"


def test_faults_of_text() -> None:
    with pytest.raises(DataError, match=r"^f\.jsonl:2: text: must be a string that is not empty \(got 3\)$"):
        read_text({"text": 3}, WHERE, Changes())


def test_alpaca_rows_are_chat() -> None:
    row = {"instruction": "Translate.", "input": "chat", "output": "cat", "system": "Be brief."}
    dialogue = alpaca.read(row, WHERE, Changes())
    assert [(m.role, m.content) for m in dialogue.messages] == [
        ("system", "Be brief."),
        ("user", "Translate.\nchat"),
        ("assistant", "cat"),
    ]
    assert not dialogue.verbatim


def test_alpaca_pairs_have_the_instruction_as_their_prompt() -> None:
    """Not what the two answers happen to share."""
    row = {"instruction": "Spell.", "input": "", "chosen": "It is ok.", "rejected": "It is bad."}
    pair = alpaca.read_preference(row, WHERE, Changes())
    assert pair.prompt == (Message(role="user", content="Spell."),)
    assert (pair.chosen[0].content, pair.rejected[0].content) == ("It is ok.", "It is bad.")
    with pytest.raises(DataError, match=r"^f\.jsonl:2: chosen and rejected are equal; nothing is preferred, remove"):
        alpaca.read_preference(row | {"rejected": "It is ok."}, WHERE, Changes())


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"instruction": 5, "output": "x"}, "instruction"),
        ({"instruction": "Add.", "input": 5, "output": "x"}, "input"),
        ({"instruction": "Add.", "output": 5}, "output"),
    ],
)
def test_an_alpaca_row_holds_strings(row: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError) as error:
        alpaca.read(row, WHERE, Changes())
    assert str(error.value) == f"{WHERE}: {field}: must be a string in a row with an instruction (got 5)"


def test_an_output_of_two_is_a_pair_the_better_first() -> None:
    row = {"instruction": "Spell.", "input": "", "output": ["It is ok.", "It is bad."], "system": "Be kind."}
    loaded = load([row])
    assert loaded.format == "alpaca-preference"
    assert loaded.notes == ()
    [pair] = loaded.records
    assert isinstance(pair, PreferencePair)
    assert [message.content for message in (*pair.prompt, *pair.chosen, *pair.rejected)] == [
        "Be kind.",
        "Spell.",
        "It is ok.",
        "It is bad.",
    ]
    with pytest.raises(DataError, match=r"^row 0: output: a list must hold two answers, the better first \(got 1\)$"):
        load([row | {"output": ["a"]}])


def test_a_history_comes_before_the_instruction() -> None:
    row = {"instruction": "And now?", "output": "No.", "history": [["Open?", "Yes."], ["Sure?", ""]], "system": "S"}
    dialogue = alpaca.read(row, WHERE, Changes())
    assert [message.content for message in dialogue.messages] == ["S", "Open?", "Yes.", "Sure?", "And now?", "No."]
    with pytest.raises(
        DataError, match=r"^f\.jsonl:2: history: must be a list of \[instruction, output\] \(got 'x'\)$"
    ):
        alpaca.read(row | {"history": "x"}, WHERE, Changes())
