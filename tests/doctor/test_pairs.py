"""Each finding over pairs: what it reports and what it leaves alone."""

import time

import pytest
from tests.doctor.builders import assistant, call, found, pair, result

from turnpoint.dialogue import IMAGE_MARK, Image, Message, PreferencePair
from turnpoint.doctor import Severity
from turnpoint.doctor.lengths import Lengths, far_apart, length_bias
from turnpoint.doctor.pairs import (
    character_bias,
    characters_far_apart,
    contradictions,
    duplicated_pairs,
    duplicated_prompts,
    equal_sides,
    near_equal_sides,
    turn_bias,
    unknown_tools,
)


def test_sides_equal_but_for_spaces_and_case() -> None:
    rows = [pair("Yes,  please", "yes, please", source="p:1"), pair("Yes", "No", source="p:2")]
    assert found(equal_sides(rows)).rows == ("p:1",)
    assert equal_sides(rows[1:]) is None


def test_sides_nearly_equal() -> None:
    long = " ".join(f"word{i}" for i in range(40))
    rows = [pair(f"{long} a", f"{long} b", source="p:1"), pair(f"{long} a", "b", source="p:2")]
    assert found(near_equal_sides(rows)).rows == ("p:1",)
    assert near_equal_sides([pair("Yes,  please", "yes, please")]) is None, "equal sides are another finding"


@pytest.mark.parametrize(("words", "reported"), [(36, False), (37, True)])
def test_words_in_common_are_counted_from_both_ends_and_between(words: int, reported: bool) -> None:
    """Of `assistant`, `words` words and two more on each side these two differ: (words + 1) / (words + 3) in common.

    That is 37 / 39 = .949 for 36 words, and 38 / 40 = .95 for 37.
    """
    half = words // 2
    common = [f"word{i}" for i in range(words)]
    sides = [" ".join([*common[:half], lost, *common[half:-1], lost, common[-1]]) for lost in ("a", "b")]
    assert (near_equal_sides([pair(*sides)]) is not None) is reported


def test_pairs_that_are_nearly_equal_by_the_thousand_take_no_time() -> None:
    """Word for word, the comparison of two texts of 2000 words each would be of four million words."""
    text = "the cat sat on the mat " * 400
    started = time.perf_counter()
    assert found(near_equal_sides([pair(f"{text} a {text}", f"{text} b {text}")] * 20)).count == 20
    assert time.perf_counter() - started < 10


def test_a_pair_turned_round_names_both() -> None:
    rows = [pair("A", "B", source="p:1"), pair("B", "A", source="p:2"), pair("B", "A", prompt="other", source="p:3")]
    finding = found(contradictions(rows))
    assert (finding.severity, finding.rows) == (Severity.ERROR, ("p:1", "p:2"))


def test_questions_about_other_images_are_other_questions() -> None:
    def asked(image: bytes, chosen: str, rejected: str) -> PreferencePair:
        shown = Message(role="user", content=f"{IMAGE_MARK} is it a cat", images=(Image(image),))
        return pair(chosen, rejected).model_copy(update={"prompt": (shown,)})

    rows = [asked(b"one", "yes", "no"), asked(b"two", "no", "yes"), asked(b"three", "yes", "no")]
    assert contradictions(rows) is None
    assert duplicated_pairs(rows) is None
    assert contradictions([rows[0], asked(b"one", "no", "yes")]) is not None


def test_repeated_pairs_and_prompts() -> None:
    rows = [pair("A", "B", source="p:1"), pair("A", "B", source="p:2"), pair("A", "C", source="p:3")]
    assert found(duplicated_pairs(rows)).rows == ("p:2 (as p:1)",)
    assert found(duplicated_prompts(rows)).rows == ("p:2 (as p:1)", "p:3 (as p:1)")
    assert duplicated_pairs(rows[1:]) is None


def test_rejected_sides_that_call_a_tool_not_offered() -> None:
    rows = [pair("A", [call("teleport", to="Mars")], source="p:1"), pair("A", [call(city="Paris")], source="p:2")]
    assert found(unknown_tools(rows)).rows == ("p:1: teleport",)


@pytest.mark.parametrize(
    ("longer", "shorter", "reported"),
    [
        (36, 0, True),  # z = 36 / sqrt(36) = 6
        (9, 0, True),  # z = 9 / 3 = 3
        (8, 0, False),  # z = 8 / sqrt(8) = 2.8: may be chance
        (60, 40, False),  # z = 20 / 10 = 2, and 60% of the pairs
        (640, 360, False),  # sure (z = 8.9), but below 65%
        (660, 340, True),
        (0, 36, True),
    ],
)
def test_length_bias_by_the_sign_test(longer: int, shorter: int, reported: bool) -> None:
    lengths = [Lengths(20, 10)] * longer + [Lengths(10, 20)] * shorter
    assert (length_bias(lengths, "tokens") is not None) is reported


def test_length_bias_says_which_way_and_how_much() -> None:
    finding = found(length_bias([Lengths(20, 10)] * 30 + [Lengths(5, 5)] * 10, "tokens"))
    assert finding.title == "chosen is longer than rejected in 30 of 40 pairs (median 20 against 10 tokens)"
    assert finding.count == 30
    assert found(length_bias([Lengths(10, 20)] * 30, "tokens")).title.startswith("chosen is shorter")


def test_length_bias_names_the_pairs_that_make_it() -> None:
    lengths = [Lengths(20, 10, f"p:{i}") for i in range(30)] + [Lengths(5, 5, "p:30")]
    finding = found(length_bias(lengths, "tokens"))
    assert finding.rows[0] == "p:0: 20 against 10 tokens"
    assert finding.sources == tuple(f"p:{i}" for i in range(30))


def test_sides_that_are_far_apart_the_farthest_first() -> None:
    lengths = [Lengths(40, 10, "p:1"), Lengths(41, 10, "p:2"), Lengths(1, 9, "p:3"), Lengths(0, 9, "p:4")]
    finding = found(far_apart(lengths, "tokens"))
    assert finding.rows == ("p:3: 1 against 9 tokens", "p:2: 41 against 10 tokens")
    assert far_apart(lengths[:1], "tokens") is None
    assert found(characters_far_apart([pair("A" * 90, "B")])).rows == ("p.jsonl:1: 100 against 11 characters",)


def test_pairs_of_equal_length_show_no_bias() -> None:
    assert length_bias([Lengths(5, 5)] * 100, "tokens") is None
    assert length_bias([], "tokens") is None


def biased(n: int) -> list[PreferencePair]:
    """Chosen: a call, its result, an answer. Rejected: a short refusal."""
    chosen = [call(city="Paris"), result("sunny"), assistant("It is sunny in Paris.")]
    return [pair(chosen, "No.", source=f"p:{i}") for i in range(n)]


def test_bias_in_characters_and_in_turns() -> None:
    assert "characters" in found(character_bias(biased(10))).title
    assert found(turn_bias(biased(10))).title.endswith("(median 2 against 1 turns)")
    assert turn_bias([pair("A", "B")] * 10) is None
