"""Findings over rows that are much like others, of their own data set or of another."""

from tests.doctor.builders import assistant, call, dialogue, found, pair, result, user
from tests.doctor.test_likeness import mutated, noise

from turnpoint.dialogue import OPENING, Message
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


def test_dialogues_are_looked_for_by_how_they_open() -> None:
    """As `--data_split` tells them apart: the answers differ from the first one on, and so do the last questions."""
    opening = [user("Weather in Paris?"), assistant("Which day?")]
    row = dialogue(*opening, user(noise(1)), assistant("Rain."), source="a:1")
    other = dialogue(opening[0], assistant("When?"), user(noise(2)), assistant("Snow."), source="b:1")
    [finding] = leaks([row], held("dev.jsonl", [other]))
    assert finding.title == "rows of a dialogue that opens as one of dev.jsonl"
    assert (finding.severity, finding.rows) == (Severity.WARNING, ("a:1 (as b:1)",))
    assert finding.against == "dev.jsonl"


def test_a_pair_is_looked_for_by_the_dialogue_that_it_was_made_of() -> None:
    """Its own prompt is written anew; `about` holds the key of the dialogue."""
    source = dialogue(user("Weather in Paris?"), call(city="Paris"), result("sunny"), assistant("Sunny."), source="a:1")
    made = pair("Which city?", "No.", prompt="Weather?", source="p:1").model_copy(
        update={"about": {OPENING: source.key}}
    )
    told_of_one = [(Severity.WARNING, ("p:1 (as a:1)",))]
    assert told(leaks([made], held("dev.jsonl", [source]))) == told_of_one
    assert told(leaks([source], held("pairs.jsonl", [made]))) == [(Severity.WARNING, ("a:1 (as p:1)",))]
    assert leaks([made.model_copy(update={"about": {}})], held("dev.jsonl", [source])) == ()


def test_pairs_are_looked_for_by_their_chosen_side_and_by_their_prompt() -> None:
    pairs = [pair("A", "B", source="p:1"), pair("A", "B", prompt="Other", source="p:2")]
    dialogues = [dialogue(user("Hi"), assistant("A"), source="a:1"), dialogue(user("Hi"), assistant("C"), source="a:2")]
    assert told(leaks(pairs, held("sft.jsonl", dialogues))) == [(Severity.ERROR, ("p:1 (as a:1)",))]
    assert told(leaks(dialogues, held("pairs.jsonl", pairs))) == [
        (Severity.ERROR, ("a:1 (as p:1)",)),
        (Severity.WARNING, ("a:2 (as p:1)",)),
    ]
