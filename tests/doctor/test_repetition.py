"""Findings over rows that are much like others, of their own data set or of another."""

from tests.doctor.builders import assistant, call, dialogue, found, pair, result, user
from tests.doctor.test_likeness import mutated, noise

from turnpoint.dialogue import Message
from turnpoint.doctor import Finding, Severity, held
from turnpoint.doctor.repetition import digests_of, leaks, near_duplicates

SYSTEM = {"role": "system", "content": noise(7)}


def told(findings: tuple[Finding, ...]) -> list[tuple[Severity, tuple[str, ...]]]:
    return [(finding.severity, finding.rows) for finding in findings]


def test_rows_that_say_nearly_the_same_whatever_their_system_message() -> None:
    """`user`, 400 letters, `assistant Hello`: 420 bytes of 405 pieces, of which 16 differ: 389 of 421."""
    text = noise(0)
    rows = [
        dialogue(SYSTEM, user(text), assistant("Hello"), source="a:1"),
        dialogue(SYSTEM, user(noise(1)), assistant("Hello"), source="a:2"),
        dialogue(user(mutated(text, 200)), assistant("Hello"), source="a:3"),
    ]
    assert found(near_duplicates(rows)).rows == ("a:3 (92% as a:1)",)
    assert near_duplicates(rows[:2]) is None, "a long system message that all share is no likeness"


def test_pairs_of_one_prompt_or_dialogue_are_meant_to_be_alike() -> None:
    text = noise(0)
    rows = [pair("A", "B", prompt=text, source="p:1"), pair("A", "C", prompt=text, source="p:2")]
    assert near_duplicates(rows) is None
    other = pair("A", "B", prompt=mutated(text, 200), source="p:3")
    assert found(near_duplicates([*rows, other])).sources == ("p:3",)
    of_one = [each.model_copy(update={"dialogue_id": "d"}) for each in (rows[0], other)]
    assert near_duplicates(of_one) is None


def test_openings_stand_before_each_assistant_message_and_nobody_opens_with_nothing() -> None:
    messages = tuple(Message.model_validate(each) for each in (user("Hi"), assistant("Hello"), user("Bye")))
    assert len(digests_of(messages).openings) == 1
    assert digests_of(messages).openings[0] == digests_of(messages[:1]).whole
    assert digests_of(messages[1:2]).openings == ()
    spaced = Message(role="user", content="  hi ")
    assert digests_of([Message.model_validate(SYSTEM), spaced]).whole == digests_of(messages[:1]).whole


def test_rows_that_stand_in_other_data_as_a_whole_with_their_prompt_or_nearly() -> None:
    text = noise(0)
    other = held(
        "dev.jsonl",
        [
            dialogue(user("Weather in Paris?"), call(city="Paris"), result("sunny"), assistant("Sunny."), source="b:1"),
            dialogue(user(text), assistant("Hello"), source="b:2"),
        ],
    )
    rows = [
        dialogue(
            SYSTEM, user("weather in  Paris?"), call(city="Paris"), result("sunny"), assistant("Sunny."), source="a:1"
        ),
        dialogue(user("Weather in Paris?"), call(city="Paris"), result("sunny"), assistant("Rain."), source="a:2"),
        dialogue(user("Weather in Paris?"), assistant("Rain."), source="a:3"),
        dialogue(user(mutated(text, 200)), assistant("Hello"), source="a:4"),
        dialogue(user("Weather in Oslo?"), assistant("Rain."), source="a:5"),
    ]
    assert told(leaks(rows, other)) == [
        (Severity.ERROR, ("a:1 (as b:1)",)),
        (Severity.WARNING, ("a:2 (as b:1)", "a:3 (as b:1)")),
        (Severity.WARNING, ("a:4 (92% as b:2)",)),
    ]
    assert [finding.title for finding in leaks(rows[:1], other)] == ["rows that stand in dev.jsonl as well"]
    assert leaks(rows[4:], other) == ()


def test_pairs_are_looked_for_by_their_chosen_side_and_by_their_prompt() -> None:
    pairs = [pair("A", "B", source="p:1"), pair("A", "B", prompt="Other", source="p:2")]
    dialogues = [dialogue(user("Hi"), assistant("A"), source="a:1"), dialogue(user("Hi"), assistant("C"), source="a:2")]
    assert told(leaks(pairs, held("sft.jsonl", dialogues))) == [(Severity.ERROR, ("p:1 (as a:1)",))]
    assert told(leaks(dialogues, held("pairs.jsonl", pairs))) == [
        (Severity.ERROR, ("a:1 (as p:1)",)),
        (Severity.WARNING, ("a:2 (as p:1)",)),
    ]
