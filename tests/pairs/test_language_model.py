"""A language model as writer: what it is asked, and that what it gets wrong costs a pair, not a rule."""

import re
from functools import partial

from tests.pairs.dialogues import CALLS, OTHER_WEATHER

from turnpoint.pairs import LanguageModelWriter, trajectory_pairs


def obliging(instruction: str) -> str:
    """A model that does what it is asked."""
    if "Rewrite this request" in instruction:
        kept = re.search(r"Keep these: (.*?)\.", instruction)
        return "How will the weather be?" + (f" I mean {kept.group(1)}." if kept else "")
    if "Ask the user" in instruction:
        return "Could you tell me the " + " and the ".join(re.findall(r'"(\w+)": \{', instruction)) + "?"
    if "It gives, word for word: " in instruction:
        given = re.search(r"word for word: (.*)", instruction)
        assert given is not None
        return f'"{given.group(1)}, please."'
    return "I'm sorry, I can't help with that."


def test_a_model_that_does_as_asked_gives_every_row_of_the_request() -> None:
    built = trajectory_pairs([CALLS], pool=[CALLS, OTHER_WEATHER], writer=LanguageModelWriter(obliging))
    rows = {pair.about["row"] for pair in built.pairs if pair.about["set"] != "beyond"}
    assert rows == {
        "needless question easy", "needless question hard N", "needless question hard M", "refused call easy",
        "refused call hard", "invented call easy", "invented call hard N", "invented call hard M",
        "refused question easy", "refused question hard",
    }  # fmt: skip
    replies = {m.content for pair in built.pairs for m in (*pair.chosen, *pair.rejected) if m.role == "user"}
    assert replies <= {"Paris, please.", "tomorrow, please.", "Paris; tomorrow, please."}


def test_a_model_that_leaks_values_gives_no_pair_that_does() -> None:
    def leaky(instruction: str) -> str:
        return "The weather in Paris tomorrow?" if "Rewrite" in instruction else obliging(instruction)

    built = trajectory_pairs(
        [CALLS], pool=[CALLS, OTHER_WEATHER], writer=LanguageModelWriter(leaky), kinds=["invented call"]
    )
    assert built.pairs == []
    assert set(built.not_possible) == {
        f"invented call {form}: the request says what it should leave open" for form in ("easy", "hard N", "hard M")
    }


def test_what_a_model_is_told_names_what_to_hide_and_what_to_keep() -> None:
    heard: list[str] = []

    def listening(instruction: str) -> str:
        heard.append(instruction)
        return obliging(instruction)

    trajectory_pairs(
        [CALLS], pool=[CALLS, OTHER_WEATHER], writer=LanguageModelWriter(listening), kinds=["invented call"]
    )
    rewriting = [text for text in heard if "Rewrite" in text]
    assert all("How will the weather be in Paris tomorrow?" in text for text in rewriting)
    assert any("these values: Paris; tomorrow." in text for text in rewriting)
    asking = [text for text in heard if "Ask the user" in text]
    assert all('{"type": "string"}' in text for text in asking)


def _always(written: str, instruction: str) -> str:
    return written


def test_a_model_that_writes_nothing_or_only_thinks_gives_no_pair_that_needs_its_words() -> None:
    for written in ("", '""', "<think>What could I say", "<think>Hm.</think>"):
        writer = LanguageModelWriter(partial(_always, written))
        built = trajectory_pairs([CALLS], pool=[CALLS, OTHER_WEATHER], writer=writer)
        assert {pair.about["row"] for pair in built.pairs} == {"repeated call"}


def test_what_a_model_thinks_is_none_of_its_text() -> None:
    writer = LanguageModelWriter(lambda text: f"<think>Hm.</think>\n{obliging(text)}")
    built = trajectory_pairs([CALLS], pool=[CALLS, OTHER_WEATHER], writer=writer, kinds=["refused call"])
    assert {pair.rejected[0].content for pair in built.pairs} == {"I'm sorry, I can't help with that."}
