"""What the writer of phrases says is recognised as what it is, varied, and foreign to what the evaluation says."""

import re
from pathlib import Path
from random import Random

import pytest
from tests.pairs.dialogues import BOOK, SEND, tool

from turnpoint.dialogue import Tool
from turnpoint.dialogue.decisions import asks, refuses
from turnpoint.errors import ConfigError
from turnpoint.evaluation import choices
from turnpoint.pairs import PhraseWriter, phrase_bank
from turnpoint.pairs.phrases import BANKS, task_of
from turnpoint.pairs.slots import Slot
from turnpoint.recipes.dialogues import demo_parts

SAMPLES = 2000


@pytest.fixture(scope="module")
def tools() -> list[Tool]:
    """Every tool that the shipped dialogues offer."""
    return list({tool.name: tool for part in demo_parts() for dialogue in part for tool in dialogue.tools}.values())


@pytest.fixture(scope="module", params=["en", "ko", "zh"])
def writer(request: pytest.FixtureRequest) -> PhraseWriter:
    return PhraseWriter(phrase_bank(request.param))


@pytest.fixture(scope="module")
def questions(writer: PhraseWriter, tools: list[Tool]) -> list[str]:
    random = Random(0)
    with_parameters = [each for each in tools if each.parameters.get("properties")]
    drawn = (random.choice(with_parameters) for _ in range(SAMPLES))
    return [
        writer.question(list(each.parameters["properties"])[: random.randint(1, 3)], each, random) for each in drawn
    ]


@pytest.fixture(scope="module")
def rejections(writer: PhraseWriter, tools: list[Tool]) -> list[str]:
    random = Random(1)
    return [
        writer.rejection(random.choice([None, *tools]), random.sample(tools, k=random.randint(0, 3)), random)
        for _ in range(SAMPLES)
    ]


def test_every_request_asks_for_something_and_gives_no_value(writer: PhraseWriter, tools: list[Tool]) -> None:
    hidden = [Slot("city", "Zanzibar", "Zanzibar")]
    for seed, each in enumerate(tools):
        text = writer.request("Zanzibar", hidden, [], each, Random(seed))
        assert "Zanzibar" not in text
        assert text[0].isupper() or not text[0].isascii()


def test_a_request_keeps_the_users_own_words_mostly() -> None:
    hidden = [Slot("city", "Paris", "Paris")]
    said = [
        PhraseWriter().request("Find me a table in Paris, please.", hidden, [], BOOK, Random(i)) for i in range(200)
    ]
    assert 0.7 < said.count("Find me a table, please.") / len(said) < 0.9
    assert all("book a table at a restaurant" in text for text in said if text != "Find me a table, please.")


def test_a_request_keeps_what_is_not_hidden() -> None:
    """A phrase is followed by what it would lose."""
    hidden, kept = [Slot("day", "Monday", "Monday")], [Slot("place", "Luigi's", "Luigi's")]
    said = [
        PhraseWriter().request("A table at Luigi's on Monday, please.", hidden, kept, BOOK, Random(i))
        for i in range(99)
    ]
    assert said.count("A table at Luigi's, please.") > 50
    others = [text for text in said if text != "A table at Luigi's, please."]
    assert others
    assert all("book a table at a restaurant" in text and "Luigi's" in text for text in others)


def test_every_question_asks_and_refuses_nothing(questions: list[str]) -> None:
    assert [text for text in questions if not asks(text) or refuses(text)] == []


def test_every_rejection_refuses(rejections: list[str]) -> None:
    assert [text for text in rejections if not refuses(text)] == []


def test_wordings_are_many(questions: list[str], rejections: list[str]) -> None:
    """No wording stands for a decision: the commonest first four words are a small part of all."""
    for texts in (questions, rejections):
        starts = [" ".join(text.split()[:4]) for text in texts]
        assert max(starts.count(start) for start in set(starts)) < SAMPLES / 5
        assert len(set(texts)) > SAMPLES / 2


def test_no_wording_of_the_evaluation_is_written(questions: list[str], rejections: list[str]) -> None:
    written = "\n".join([*questions, *rejections]).lower()
    candidates = (*choices.QUESTIONS, *choices.ANSWERS, *choices.REJECTIONS)
    # Between the slots of a candidate, sentence by sentence, whatever has two words or more.
    parts = {part.strip().lower() for text in candidates for part in re.split(r"\{\w+\}|[.!?,:]", text)}
    wordings = {part for part in parts if len(part.split()) > 1}
    assert "regrettably this is outside my reach" in wordings
    assert "before i start" in wordings
    assert {part for part in wordings if part in written} == set()


def test_a_reply_gives_every_value() -> None:
    replies = {PhraseWriter().reply(["four", "noon", "Luigi's"], Random(seed)) for seed in range(50)}
    assert all("four, noon and Luigi's" in reply for reply in replies)
    assert len(replies) > 4


def test_slots_are_named_in_words() -> None:
    for seed in range(50):
        assert "party size and start time" in PhraseWriter().question(["party_size", "start_time"], BOOK, Random(seed))


def test_a_rejection_names_what_is_missing_now_and_then_and_what_is_there_now_and_then() -> None:
    texts = [PhraseWriter().rejection(BOOK, [SEND], Random(seed)) for seed in range(200)]
    assert 0.5 < sum("book a table at a restaurant" in text for text in texts) / len(texts) < 0.9
    assert 0.3 < sum("use send money" in text for text in texts) / len(texts) < 0.8
    assert all(text[0].isupper() for text in texts)


@pytest.mark.parametrize(
    ("name", "description", "task"),
    [
        ("f", "Adds an agenda item. More of it.", "add an agenda item"),
        ("f", "Get the weather; for a city", "get the weather"),
        ("f", "Searches for songs", "search for songs"),
        ("f", "Access the cashier", "access the cashier"),
        ("f", "Book version 2.0 of it", "book version 2.0 of it"),
        ("QueryStock", "This API queries the stock of a given code, given a date.", "query the stock of a given code"),
        ("AddAlarm", "The API for setting an alarm includes a parameter for the time.", "set an alarm"),
        ("f", "This is an API for opening an account", "open an account"),
        ("f", "This tool is used for deleting it all", "delete it all"),
        ("get_movie_details", "", "use get movie details"),
        ("Wiki", "wikipedia search", "use wiki"),
    ],
)
def test_task_of_a_tool(name: str, description: str, task: str) -> None:
    assert task_of(tool(name, description=description)) == task


def test_a_bank_of_your_own(tmp_path: Path) -> None:
    file = tmp_path / "de.yaml"
    text = (BANKS / "en.yaml").read_text(encoding="utf-8")
    file.write_text(re.sub(r"questions:\n(?:  - .*\n)+", 'questions: ["Wie lautet: {slots}?"]\n', text))
    question = PhraseWriter(phrase_bank(str(file))).question(["place"], BOOK, Random(0))
    assert question.endswith("Wie lautet: place?")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "tasks: verbs",
            r"^phrases .*bank.yaml: tasks: must be 'verb' or 'quoted' \(got 'verbs'\); .*en.yaml is",
        ),
        ("quastions: []", r"^phrases .*bank.yaml: quastions: is a key that has no place here; leave it out"),
        ('questions: ["What {slot}?"]', r"questions: must hold \{slots\} \(got 'What \{slot\}\?'\)"),
        ('rejections: [""]', r"rejections: must hold \{task\} \(got ''\)"),
        ("offers: []", r"^phrases .*bank.yaml: offers: Tuple should have at least 1 item"),
        ("be: [", r"^phrases: must be one of en, ko, zh, or a YAML file of phrases \(got '.*bank.yaml'"),
    ],
)
def test_a_bank_that_cannot_be_used_says_why(tmp_path: Path, change: str, message: str) -> None:
    file = tmp_path / "bank.yaml"
    text = (BANKS / "en.yaml").read_text(encoding="utf-8")
    file.write_text(re.sub(rf"^{change.partition(':')[0]}:(?:.*\n)(?:  .*\n)*", "", text, flags=re.M) + change + "\n")
    with pytest.raises(ConfigError, match=message):
        phrase_bank(str(file))


def test_an_unknown_language_says_which_are_known() -> None:
    with pytest.raises(ConfigError, match=r"^phrases: must be one of en, ko, zh, or a YAML file of phrases \(got 'xx'"):
        phrase_bank("xx")


@pytest.mark.parametrize(
    ("name", "description", "named"),
    [
        ("party_size", "The number of people", "party size"),
        ("alarmTime", "", "alarm time"),
        ("to", "The currency to convert to.", "currency to convert to"),
        ("q", "", "value of \u201cq\u201d"),
        ("from", "The account from which the money is taken " * 2, "value of \u201cfrom\u201d"),
    ],
)  # fmt: skip
def test_a_parameter_is_asked_for_by_words_that_read_as_its_name(name: str, description: str, named: str) -> None:
    properties = {name: {"type": "string", "description": description}}
    asked_of = Tool(name="t", parameters={"type": "object", "properties": properties, "required": [name]})
    assert f" {named}" in PhraseWriter().question([name], asked_of, Random(0))
