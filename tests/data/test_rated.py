"""Rows with a rating, and the pairs that are made of them where pairs are needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data import Source, load_dialogues, load_pairs
from turnpoint.dialogue import PreferencePair
from turnpoint.errors import DataError

Write = Callable[..., Path]


def rated(said: str, label: bool | None, asked: str = "?", **keys: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"messages": messages, "label": label, **keys}


def test_a_label_rates_the_last_turn() -> None:
    """The turns before it are not trained on, unless they say so themselves."""
    row = rated("b", False)
    row["messages"] = [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "!", "train": True},
    ] + row["messages"]
    [dialogue], notes = load_dialogues([row])
    assert dialogue.label is False
    assert [dialogue.messages[turn].train for turn in dialogue.turns] == [False, True, True]
    assert notes == ()


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "b"}], "kto_tag": True},
        {"instruction": "?", "input": "", "output": "b", "kto_tag": True},
        {"instruction": "?", "output": "b", "label": True, "history": [["x", "y"]]},
        {"prompt": "?", "completion": "b", "label": True},
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "b"}], "label": "True"},
    ],
)
def test_ratings_of_other_formats(row: dict[str, Any]) -> None:
    [dialogue], notes = load_dialogues([row])
    assert dialogue.label is True
    assert [dialogue.messages[turn].train for turn in dialogue.turns][-1]
    assert all(not dialogue.messages[turn].train for turn in dialogue.turns[:-1])
    assert notes == ()


def test_a_label_that_rates_nothing_is_none_of_ours() -> None:
    [dialogue], _ = load_dialogues([rated("a", None) | {"label": "greeting"}])
    assert dialogue.label is None
    assert dialogue.messages[1].train


def test_rated_rows_of_one_prompt_are_paired_in_order(write: Write) -> None:
    """Liked a, c, e and disliked b, d of one prompt: a with b, c with d; e is left, and so is z of another prompt."""
    rows = [
        rated("a", True),
        rated("b", False),
        rated("z", False, asked="!"),
        rated("c", True),
        rated("e", True),
        rated("n", None),
        rated("d", False),
    ]
    pairs, notes = load_pairs(write(*rows))
    assert [(pair.chosen[0].content, pair.rejected[0].content) for pair in pairs] == [("a", "b"), ("c", "d")]
    assert [message.content for message in pairs[0].prompt] == ["?"]
    assert pairs[0].source == "rows.jsonl:1 and rows.jsonl:2"
    assert notes == (
        "2 rated rows have no row of the other label with their prompt, and are left out",
        "left out of the pairs of rated rows for want of a label: 1",
    )


def test_rows_of_other_tools_or_of_texts_are_not_of_one_prompt() -> None:
    tools = [{"name": "weather"}]
    with pytest.raises(DataError) as error:
        load_pairs([rated("a", True, tools=tools), rated("b", False)])
    expected = "the list handed over: holds no two rated rows of one prompt of which one is liked, one not"
    assert str(error.value) == expected
    [pair], _ = load_pairs([rated("a", True, tools=tools), rated("b", False, tools=tools)])
    assert [tool.name for tool in pair.tools] == ["weather"]
    text = {"prompt": "2+2=", "completion": "4", "label": True}
    [pair], _ = load_pairs([text, text | {"completion": "5", "label": False}])
    assert pair.verbatim


def test_equal_sides_are_refused_or_dropped() -> None:
    rows = [rated("a", True), rated("a", False), rated("b", True), rated("c", False)]
    equal = "row 0 and row 1: chosen and rejected are equal; nothing is preferred, remove the pair"
    with pytest.raises(DataError) as error:
        load_pairs(rows)
    assert str(error.value) == equal
    pairs, notes = load_pairs(rows, on_bad_rows="drop")
    assert [pair.chosen[0].content for pair in pairs] == ["b"]
    assert notes == (f"left out rows that break a rule: 1, the first: {equal}",)


def test_a_stream_of_rated_rows_is_not_paired(write: Write) -> None:
    source = Source(write(rated("a", True), rated("b", False)), streaming=True)
    opened = source.open(PreferencePair)
    with pytest.raises(DataError, match=r"holds dialogues \(format openai\) where preference pairs are needed"):
        opened.read(next(opened.rows), opened.changes)
