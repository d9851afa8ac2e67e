"""Requests found in dialogues, and why others are none."""

import pytest
from tests.pairs.dialogues import ASKS, CALLS, CONFIRMS, REFUSES, WEATHER, calls, user

from turnpoint.dialogue import Dialogue
from turnpoint.pairs.requests import requests_of
from turnpoint.pairs.slots import Slot


def test_a_request_knows_where_its_values_are_said() -> None:
    [request] = requests_of(ASKS).requests
    place, people, time = (
        Slot("place", "Luigi's", "Luigi's"),
        Slot("people", "four", "four"),
        Slot("time", "seven", "seven"),
    )
    assert request.slots == (place, people, time)
    assert request.open_at_first == (people, time)
    assert request.complete == "A table at Luigi's, please. For four at seven."
    assert (request.start, len(request.asked), len(request.way)) == (1, 2, 3)


def test_what_is_said_in_pieces_reads_as_sentences() -> None:
    pieces = (user("a table at Luigi's"), ASKS.messages[1], user("for four at seven"), *ASKS.messages[3:])
    [request] = requests_of(ASKS.model_copy(update={"messages": pieces})).requests
    assert request.complete == "A table at Luigi's. For four at seven."


def test_a_request_that_gives_all_is_complete_as_it_is() -> None:
    [request] = requests_of(CALLS).requests
    assert request.open_at_first == ()
    assert request.complete == "How will the weather be in Paris tomorrow?"


def test_who_changes_his_mind_has_no_complete_request() -> None:
    changed = (*ASKS.messages[:2], user("For four, no, for five at seven."), *ASKS.messages[3:])
    [request] = requests_of(ASKS.model_copy(update={"messages": changed})).requests
    assert request.complete is None


def test_a_dialogue_may_hold_several_requests() -> None:
    twice = Dialogue(messages=(*CALLS.messages, *CALLS.messages), tools=CALLS.tools)
    assert [request.start for request in requests_of(twice).requests] == [1, 5]
    assert requests_of(twice).requests[1].before == CALLS.messages


@pytest.mark.parametrize(
    ("dialogue", "reason"),
    [
        (CONFIRMS, None),  # starts with a confirmation: no turn of a request
        (REFUSES, None),
        (
            Dialogue(messages=(user("Weather?"), *CALLS.messages[1:]), tools=(WEATHER,)),
            "a required value is not in the user's words",
        ),
        (
            CALLS.model_copy(update={"messages": (*CALLS.messages[:3], *CALLS.messages[1:])}),
            "several calls serve it",
        ),
        (
            CALLS.model_copy(update={"messages": (CALLS.messages[0], calls("weather", city="P"), *CALLS.messages[2:])}),
            "the call leaves out a required parameter",
        ),
        (Dialogue(messages=CALLS.messages[:3], tools=(WEATHER,)), "no result and answer follow the call"),
    ],
)  # fmt: skip
def test_what_is_no_request_says_why(dialogue: Dialogue, reason: str | None) -> None:
    found = requests_of(dialogue)
    assert found.requests == []
    assert found.left_out == ({reason: 1} if reason else {})
