"""Pairs of what a model wrote, against scores written by hand."""

import json
import math
from pathlib import Path

import pytest
from tests.pairs.dialogues import ASKS, CALLS, WEATHER, calls, says

from turnpoint.dialogue import Message
from turnpoint.errors import DataError
from turnpoint.pairs.samples import SampledReply, Samples, Select, read_samples, sample_pairs

GOLD = CALLS.messages[1:]


def drawn(*messages: Message | None) -> Samples:
    replies = tuple(SampledReply(text="", message=message) for message in messages)
    return Samples(
        prompt=CALLS.messages[:1],
        tools=CALLS.tools,
        gold=GOLD,
        replies=replies,
        id="p",
        opening=CALLS.key,
        source="f:1",
    )


A, B, C = says("A"), says("B"), says("C")


@pytest.mark.parametrize(
    ("select", "margin", "expected"),
    [
        ("best_worst", 0.0, [("A", "C")]),
        ("all", 0.0, [("A", "B"), ("A", "C"), ("B", "C")]),
        ("all", 1.0, [("A", "C"), ("B", "C")]),
        ("best_worst", 3.0, []),
    ],
)
def test_which_replies_are_paired(select: Select, margin: float, expected: list[tuple[str, str]]) -> None:
    """A, B and C score 3, 2 and 0, so they differ by 1, 3 and 2: by more than the margin, or there is no pair."""
    built = sample_pairs([drawn(B, C, A)], [[2.0, 0.0, 3.0]], select=select, margin=margin)
    assert [(pair.chosen[0].content, pair.rejected[0].content) for pair in built.pairs] == expected
    assert bool(built.not_possible) is (expected == [])


def test_best_against_one_that_is_worse() -> None:
    made = {
        (pair.chosen[0].content, pair.rejected[0].content)
        for seed in range(40)
        for pair in sample_pairs([drawn(B, C, A)], [[2.0, 0.0, 3.0]], select="best_random", seed=seed).pairs
    }
    assert made == {("A", "B"), ("A", "C")}


def test_what_the_data_says_goes_on_to_its_end_and_comes_first_among_equals() -> None:
    right = calls("weather", city="Paris", day="today")
    [pair] = sample_pairs([drawn(right, A)], [[1.0, 0.0]], gold=1.0).pairs
    assert [message.said for message in pair.chosen] == [message.said for message in GOLD]
    assert pair.rejected == (A,)
    assert (pair.key, pair.kind, pair.about["scores"], pair.source) == (CALLS.key, "samples", "1 0", "f:1: samples 1")


def test_the_best_reply_may_call_what_is_not_there() -> None:
    built = sample_pairs([drawn(calls("fly"), A)], [[1.0, 0.0]])
    assert built.pairs == []
    assert built.not_possible == {"a pair: the better reply calls a tool that is not offered": 1}


def test_what_gives_no_pair_is_counted() -> None:
    built = sample_pairs([drawn(A, A, None, B, C)], [[1.0, 1.0, 0.0, math.nan, 1.0]])
    assert built.pairs == []
    assert built.not_possible == {
        "a reply: stands twice": 1,
        "a reply: is empty": 1,
        "a reply: could not be scored": 1,
        "a prompt: no reply is better than another by more than the margin": 1,
    }


def test_samples_are_read_back_whole(tmp_path: Path) -> None:
    asked = Samples(prompt=ASKS.messages[:1], tools=ASKS.tools, gold=ASKS.messages[1:], id="a", dialogue_id="d")
    file = tmp_path / "s.jsonl"
    rows = [drawn(A, None, calls("weather", city="Rome", day="today")), asked]
    file.write_text("".join(json.dumps(each.row()) + "\n" for each in rows), encoding="utf-8")
    back = list(read_samples(file))
    assert [each.row() for each in back] == [each.row() for each in rows]
    assert back[0].tools == (WEATHER,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "s.jsonl:1: not JSON: "),
        ("[]", "s.jsonl:1: holds no prompt and replies; `turnpoint sample` writes such a file"),
        ('{"prompt": [], "replies": 3, "id": "a"}', "s.jsonl:1: replies: "),
    ],
)
def test_a_file_that_holds_no_samples_is_one_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        list(read_samples(file))
    assert message in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(read_samples(tmp_path / "none.jsonl"))
