"""Texts of Human and Assistant as chat, and the data sets that DeepSpeed-Chat reads by its names."""

from typing import Any

import pytest

from turnpoint.data import load, load_dialogues, load_pairs
from turnpoint.data.changes import Changes
from turnpoint.data.hh_rlhf import matches, read
from turnpoint.dialogue import Message, PreferencePair
from turnpoint.errors import DataError

WHERE = "f.jsonl:7"


def tagged(*texts: str) -> str:
    """Texts of Human and Assistant in turns."""
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {text}" for i, text in enumerate(texts))


def said(messages: tuple[Message, ...]) -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in messages]


def pair(changes: Changes | None = None, **row: Any) -> PreferencePair:
    assert matches(row)
    return read(row, WHERE, changes or Changes())


def test_texts_become_chat_and_the_prompt_is_found_by_whole_messages() -> None:
    """Both answers begin with "It is", which belongs to the answers and not to the prompt."""
    made = pair(
        chosen=tagged("Hi", "Hello", "2+2?", "It is 4"), rejected=tagged("Hi", "Hello", "2+2?", "It is\n\n5 or 6")
    )
    assert said(made.prompt) == [("user", "Hi"), ("assistant", "Hello"), ("user", "2+2?")]
    assert said(made.chosen) == [("assistant", "It is 4")]
    assert said(made.rejected) == [("assistant", "It is\n\n5 or 6")]
    assert not made.verbatim


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": tagged("2+2?") + "\n\nAssistant:", "chosen": " 4", "rejected": " 5", "response": " 4"},  # rm-static
        {"prompt": "Human: 2+2? Assistant:", "chosen": "4", "rejected": "5"},  # a file of DeepSpeed-Chat
        {"prompt": "Human: 2+2?\n\n", "chosen": "Assistant: 4", "rejected": "Assistant: 5"},  # rlhf-reward-datasets
        {"prompt": "Human: 2+2?", "chosen": "4", "rejected": "5"},
    ],
)
def test_a_prompt_of_its_own_comes_before_both_sides(row: dict[str, str]) -> None:
    loaded = load([row])
    [made] = loaded.records
    assert loaded.format == "hh-rlhf"
    assert loaded.notes == ()
    assert isinstance(made, PreferencePair)
    assert [said(made.prompt), said(made.chosen), said(made.rejected)] == [
        [("user", "2+2?")],
        [("assistant", "4")],
        [("assistant", "5")],
    ]


def test_what_is_changed_is_counted() -> None:
    """An empty turn between two of the human, which are joined; a last message of the human, on both sides."""
    changes = Changes()
    made = pair(
        changes,
        chosen=tagged("a", "", "b", "yes", "thanks"),
        rejected=tagged("a", "", "b", "no", "why"),
    )
    assert [said(made.prompt), said(made.chosen)] == [[("user", "a\n\nb")], [("assistant", "yes")]]
    assert changes.notes() == (
        "took out turns that say nothing: 2 in 1 row",
        "joined messages of one speaker in a row: 2 in 1 row",
        "cut a last message of the human that nobody answers: 2 in 1 row",
    )


def test_a_tag_inside_what_is_said_is_text() -> None:
    made = pair(chosen=tagged("Human: who\nAssistant: me", "x"), rejected=tagged("Human: who\nAssistant: me", "y"))
    assert said(made.prompt) == [("user", "Human: who\nAssistant: me")]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"chosen": tagged("a", ""), "rejected": tagged("a", "b")},
            "chosen: the assistant says nothing in it; leave the row out (got '\\n\\nHuman: a\\n\\nAssistant: ')",
        ),
        (
            {"chosen": tagged("a", "b"), "rejected": tagged("c", "d")},
            "the sides share no prompt; both must start with the same messages up to a user message",
        ),
        (
            {"chosen": tagged("a", "b"), "rejected": tagged("a", "b")},
            "chosen and rejected are equal; nothing is preferred, remove the pair",
        ),
    ],
)
def test_faults(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        pair(**row)
    assert str(raised.value) == f"{WHERE}: {error}"


def test_texts_without_tags_are_no_hh_rlhf() -> None:
    row = {"prompt": "2+2=", "chosen": "4", "rejected": "5"}
    assert load([row]).format == "preference"
    with pytest.raises(DataError) as error:
        load([row], format="LocalJsonFileDataset")
    assert str(error.value) == (
        "row 0: found keys: prompt, chosen, rejected; their values do not have the form of format hh-rlhf"
    )


WEBGPT = {
    "question": {"dataset": "eli5", "id": "x", "full_text": "Why?"},
    "answer_0": "So [1]. And so [2, 3].",
    "answer_1": "Dunno (really)",
    "score_0": 1.0,
    "score_1": -1.0,
    "quotes_0": {"title": []},
}
SHP = {"history": "Why?", "human_ref_A": "So.", "human_ref_B": "Dunno", "labels": 1, "score_ratio": 2.0}
VICUNA = {"prompt": "USER: Hi ASSISTANT: Hello</s>USER: Why? ASSISTANT:", "label": "So."}


def test_scores_and_labels_say_which_answer_is_chosen() -> None:
    """Citations are taken out of WebGPT's answers, as DeepSpeed-Chat does; other brackets stay."""
    [webgpt], notes = load_pairs([WEBGPT])
    assert (webgpt.prompt[0].content, webgpt.chosen[0].content, webgpt.rejected[0].content) == (
        "Why?",
        "So. And so.",
        "Dunno (really)",
    )
    assert notes == ("took out citations such as [1]: 2 in 1 row",)
    (first, second), notes = load_pairs([SHP, SHP | {"labels": 0}])
    assert [side[0].content for side in (first.chosen, first.rejected)] == ["So.", "Dunno"]
    assert [side[0].content for side in (second.chosen, second.rejected)] == ["Dunno", "So."]
    assert notes == ()
    with pytest.raises(DataError, match=r"^row 0: score_0, score_1: are equal; nothing is preferred, remove the row"):
        load_pairs([WEBGPT | {"score_1": 1.0}])


def test_of_tagged_prompts_only_the_label_is_trained_on() -> None:
    [dialogue], _ = load_dialogues([VICUNA])
    assert said(dialogue.messages) == [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), ("assistant", "So.")]
    assert [dialogue.messages[turn].train for turn in dialogue.turns] == [False, True]


@pytest.mark.parametrize(
    ("name", "row", "format"),
    [
        ("DahoasRmstaticDataset", {"prompt": tagged("?"), "chosen": "4", "rejected": "5"}, "hh-rlhf"),
        ("DahoasFullhhrlhfDataset", {"prompt": tagged("?"), "chosen": "4", "rejected": "5"}, "hh-rlhf"),
        ("YitingxieRlhfrewarddatasetsDataset", {"prompt": tagged("?"), "chosen": "4", "rejected": "5"}, "hh-rlhf"),
        ("LocalJsonFileDataset", {"prompt": tagged("?"), "chosen": "4", "rejected": "5"}, "hh-rlhf"),
        (
            "DahoasSyntheticinstructgptjpairwiseDataset",
            {"prompt": "?", "chosen": "4", "rejected": "5"},
            "chat-preference",
        ),
        ("OpenaiWebgptcomparisonsDataset", WEBGPT, "webgpt"),
        ("StanfordnlpSHPDataset", SHP, "shp"),
        ("PvduySharegptalpacaoavicunaformatDataset", VICUNA, "vicuna"),
    ],
)
def test_names_of_deepspeed_chat_are_names_of_formats(name: str, row: dict[str, Any], format: str) -> None:
    loaded = load([row], format=name)
    assert loaded.format == format
    assert not any(record.verbatim for record in loaded.records)
