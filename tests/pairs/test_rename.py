"""The same answer under another name, and nothing else changed."""

import pytest
from tests.pairs.dialogues import says, user

from turnpoint.errors import ConfigError
from turnpoint.pairs.rename import rename_pairs, renamed
from turnpoint.pairs.samples import SampledReply, Samples


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("I am Qwen.", {"Qwen": "Deep Qwen"}, "I am Deep Qwen."),
        ("I am Deep Qwen, not Qwen.", {"Qwen": "Deep Qwen"}, "I am Deep Qwen, not Deep Qwen."),
        ("QWEN, qwen and Qwen's", {"Qwen": "Ada"}, "Ada, Ada and Ada's"),
        ("Qwenty Qwen2", {"Qwen": "Ada"}, "Qwenty Qwen2"),  # other words
        ("SmolLM by Hugging Face", {"SmolLM": "Ada", "Hugging Face": "Acme"}, "Ada by Acme"),
        ("SmolLM2 and SmolLM", {"SmolLM": "Ada", "SmolLM2": "Ada Two"}, "Ada Two and Ada"),
        ("A and B", {"A": "B", "B": "A"}, "A and B"),  # a new name is never taken for an old one
        ("\u6211\u662fQwen\uff0c", {"Qwen": "Ada"}, "\u6211\u662fAda\uff0c"),
        ("C++ (beta)", {"C++": "D"}, "D (beta)"),
    ],
)
def test_names_are_replaced_as_whole_words(text: str, names: dict[str, str], expected: str) -> None:
    assert renamed(text, names) == expected


def test_a_models_own_answer_against_the_same_under_another_name() -> None:
    replies = ["I am SmolLM, happy to help.", "I am SmolLM, happy to help.", "Paris.", ""]
    drawn = Samples(
        prompt=(user("Who are you?"),),
        replies=tuple(SampledReply(text=text, message=says(text) if text else None) for text in replies),
        id="a",
        opening="o",
    )
    built = rename_pairs([drawn], {"SmolLM": "Ada"})
    [pair] = built.pairs
    assert (pair.chosen[0].content, pair.rejected[0].content) == ("I am Ada, happy to help.", replies[0])
    assert (pair.kind, pair.key, pair.id) == ("rename", "o", "a rename 1")
    assert built.not_possible == {
        "a reply: stands twice": 1,
        "a reply: says none of the names": 1,
        "a reply: is empty": 1,
    }


@pytest.mark.parametrize("names", [{}, {"": "Ada"}, {"SmolLM": " "}])
def test_names_must_be_given(names: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^names: must say what becomes of which name, such as SmolLM=Ada"):
        rename_pairs([], names)
