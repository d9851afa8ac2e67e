"""Each finding over pairs: what it reports and what it leaves alone."""

import pytest
from tests.doctor.builders import assistant, call, found, pair, result, user

from turnpoint.dialogue import IMAGE_MARK, Image, Message, PreferencePair
from turnpoint.doctor import Severity
from turnpoint.doctor.pairs import (
    Lengths,
    character_bias,
    contradictions,
    decision_balance,
    duplicated_pairs,
    duplicated_prompts,
    equal_sides,
    length_bias,
    near_equal_sides,
    side_turns,
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
    assert found(unknown_tools(rows)).rows == ("p:1",)


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


def test_turns_of_both_sides() -> None:
    rows = [*biased(3), pair("A", "B")]
    assert found(side_turns(rows)).title == "turns of chosen against rejected: 2 against 1 in 3, 1 against 1 in 1"
    assert side_turns([]) is None


def test_a_decision_that_is_only_ever_rejected_is_a_warning() -> None:
    question = [assistant("Which city?"), user("Paris"), call(city="Paris")]
    rows = [pair(question, [call(city="Rome")]), pair("I am unable to do that.", [call(city="Rome")])]
    finding = found(decision_balance(rows))
    assert finding.title == "first decision, chosen / rejected: call 0 / 2, slot 1 / 0, relevance 1 / 0"
    assert finding.severity is Severity.WARNING
    assert "add pairs that choose call" in finding.mend
    both = [*rows, pair([call(city="Paris")], "I am unable to do that.")]
    assert found(decision_balance(both)).severity is Severity.NOTE


def test_a_side_that_is_a_question_asks_for_a_slot() -> None:
    rows = [pair([call(city="Paris")], "Which city?"), pair([call(city="Paris")], "It is sunny. Anything else?")]
    finding = found(decision_balance(rows))
    assert finding.title == "first decision, chosen / rejected: call 2 / 0, slot 0 / 1, completion 0 / 1"
