"""What the writer of phrases says is recognised as what it is, varied, and foreign to what the evaluation says."""

import re
from random import Random

import pytest
from tests.pairs.dialogues import BOOK, SEND, tool

from turnpoint.dialogue import Tool
from turnpoint.dialogue.decisions import asks, refuses
from turnpoint.evaluation import choices
from turnpoint.pairs import PhraseWriter
from turnpoint.pairs.phrases import task_of
from turnpoint.recipes.dialogues import demo_parts

SAMPLES = 2000


@pytest.fixture(scope="module")
def tools() -> list[Tool]:
    """Every tool that the shipped dialogues offer."""
    return list({tool.name: tool for part in demo_parts() for dialogue in part for tool in dialogue.tools}.values())


@pytest.fixture(scope="module")
def questions(tools: list[Tool]) -> list[str]:
    random = Random(0)
    with_parameters = [list(tool.parameters["properties"]) for tool in tools if tool.parameters.get("properties")]
    drawn = (random.choice(with_parameters) for _ in range(SAMPLES))
    return [PhraseWriter().question(slots[: random.randint(1, 3)], random) for slots in drawn]


@pytest.fixture(scope="module")
def rejections(tools: list[Tool]) -> list[str]:
    random = Random(1)
    return [
        PhraseWriter().rejection(random.choice([None, *tools]), random.sample(tools, k=random.randint(0, 3)), random)
        for _ in range(SAMPLES)
    ]


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
        assert "party size and start time" in PhraseWriter().question(["party_size", "start_time"], Random(seed))


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
        ("QueryStock", "This API queries the stock", "use query stock"),
        ("get_movie_details", "", "use get movie details"),
        ("Wiki", "wikipedia search", "use wiki"),
    ],
)
def test_task_of_a_tool(name: str, description: str, task: str) -> None:
    assert task_of(tool(name, description=description)) == task
