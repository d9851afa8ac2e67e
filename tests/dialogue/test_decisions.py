"""Decisions and states, each expectation written by hand."""

from typing import Any

import pytest

from turnpoint.dialogue import Decision, Dialogue, Message, State, ToolCall, decisions, parse, states
from turnpoint.dialogue.decisions import asks, refuses, reports, states_something

CALL, SLOT, COMPLETION, RELEVANCE, CONFIRM = (
    Decision.CALL,
    Decision.SLOT,
    Decision.COMPLETION,
    Decision.RELEVANCE,
    Decision.CONFIRM,
)
NUMBER = {
    State.INITIAL: "1",
    State.SLOTS_INCOMPLETE: "2",
    State.SLOTS_COMPLETE: "3",
    State.WAITING: "4",
    State.COMPLETE: "5",
}


def dialogue(*messages: Any) -> Dialogue:
    """User and assistant in turn, as text; a dict is a call with these arguments, and its result follows."""
    built: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, dict):
            built.append({"role": "assistant", "tool_calls": [{"name": "book", "arguments": message}]})
            built.append({"role": "tool", "content": "ok"})
        else:
            role = "user" if not built or built[-1]["role"] == "assistant" else "assistant"
            built.append({"role": role, "content": message})
    return parse(Dialogue, {"messages": built, "tools": [{"name": "book"}]}, "here")


def path(dialogue: Dialogue) -> str:
    return "-".join(NUMBER[state] for state in states(dialogue))


BOOKED = "Your table is booked."


@pytest.mark.parametrize(
    ("messages", "expected", "numbers"),
    [
        (("Book for 8 pm.", {"time": "20:00"}, BOOKED), (CALL, COMPLETION), "1-3-4-5"),
        (
            ("Book.", "For what time?", "8 pm.", {"time": "20:00"}, BOOKED),
            (SLOT, CALL, COMPLETION),
            "1-2-3-4-5",
        ),
        (
            (
                "Book.",
                "What time, and how many?",
                "8 pm.",
                "And how many?",
                "4.",
                {"time": "20:00", "seats": 4},
                BOOKED,
            ),
            (SLOT, SLOT, CALL, COMPLETION),
            "1-2-2-3-4-5",
        ),
        (
            ("Book for 8 pm.", "For 8 pm. Shall I book it?", "Yes.", {"time": "8 pm"}, BOOKED),
            (CONFIRM, CALL, COMPLETION),
            "1-3-3-4-5",
        ),
        (
            ("Book.", "When?", "8 pm.", "Please confirm: a table at 8 pm.", "Yes.", {"time": "8 pm"}, BOOKED),
            (SLOT, CONFIRM, CALL, COMPLETION),
            "1-2-3-3-4-5",
        ),
        (("Sing.", "I'm sorry, but I don't have a tool to sing."), (RELEVANCE,), "1-1"),
        (("Hi.", "Hello!"), (COMPLETION,), "1-5"),
        (
            ("Book for 8 pm.", {"time": "8 pm"}, BOOKED, "And for 9 pm.", {"time": "9 pm"}, BOOKED),
            (CALL, COMPLETION, CALL, COMPLETION),
            "1-3-4-5-1-3-4-5",
        ),
        (("Book for 8 and 9 pm.", {"time": "8 pm"}, {"time": "9 pm"}, BOOKED), (CALL, CALL, COMPLETION), "1-3-4-3-4-5"),
        (
            ("Book for 8 pm.", {"time": "8 pm"}, BOOKED, "Sing.", "I can't sing."),
            (CALL, COMPLETION, RELEVANCE),
            "1-3-4-5-1",
        ),
        # What follows a tool result reports it, even when it reports a failure.
        (("Book for 8 pm.", {"time": "8 pm"}, "Sorry, I was not able to book."), (CALL, COMPLETION), "1-3-4-5"),
        # A question that leads to no call asks for no slot of one.
        (("Hi.", "How are you?", "Fine.", "Good."), (COMPLETION, COMPLETION), "1-5-5"),
        (
            ("Thanks.", "Is there anything else?", "Book for 8 pm.", {"time": "8 pm"}, BOOKED),
            (COMPLETION, CALL, COMPLETION),
            "1-5-1-3-4-5",
        ),
    ],
)
def test_decisions_and_states(messages: tuple[Any, ...], expected: tuple[Decision, ...], numbers: str) -> None:
    built = dialogue(*messages)
    assert decisions(built) == expected
    assert path(built) == numbers


@pytest.mark.parametrize(
    ("question", "reply", "decision"),
    [
        ("Would you like the checking or the savings account?", "Savings.", SLOT),  # the reply gives a value
        ("When do you want to leave?", "Tomorrow.", SLOT),  # no value said as the call has it, but an open question
        ("Do you want me to book it?", "Go ahead.", CONFIRM),
        ("A table for two at Rosa's. Is that correct?", "Correct, for two.", CONFIRM),  # the user had said two
        ("Do you want three seats?", "No, four.", SLOT),
    ],
)
def test_a_question_before_a_call_asks_for_slots_or_for_a_go_ahead(
    question: str, reply: str, decision: Decision
) -> None:
    call = {"account": "savings", "date": "2019-03-02", "place": "Rosa's", "people": "two", "seats": "four", "on": True}
    assert decisions(dialogue("Book at Rosa's for two.", question, reply, call))[0] is decision


@pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Be brief."}]])
def test_a_greeting_asks_for_no_slot(system: list[dict[str, Any]]) -> None:
    """Nobody has asked for anything yet, though the reply gives a value of the call."""
    messages = [
        *system,
        {"role": "assistant", "content": "Hello! How can I help you today?"},
        {"role": "user", "content": "Book for 8 pm."},
        {"role": "assistant", "tool_calls": [{"name": "book", "arguments": {"time": "8 pm"}}]},
        {"role": "tool", "content": "ok"},
    ]
    greeted = parse(Dialogue, {"messages": messages, "tools": [{"name": "book"}]}, "here")
    assert decisions(greeted) == (COMPLETION, CALL)


def test_a_label_of_the_data_is_taken_as_it_is() -> None:
    labelled = parse(
        Dialogue,
        {"messages": [{"role": "assistant", "content": "I can't sing.", "decision": "confirm"}]},
        "here",
    )
    assert decisions(labelled) == (CONFIRM,)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I'm unable to order a pizza.",
        "I\u2019m sorry, I can\u2019t do that.",
        "As an AI, I don't have the capability to book flights. I can calculate a distance.",
        "None of my tools sends mail.",
        "That is beyond what I can do here.",
        "Unfortunately, there is no function for this.",
        "I currently do not have access to the news.",
        "I'm currently not able to send mail.",
        "We are, unfortunately, unable to help.",
        "Sorry, can't do that.",
        "Cannot do that.",
        "This cannot be done with what I have.",
        "My tools can't play music.",
        "Sorry, but I can only help with hotels.",
    ],
)
def test_refusals(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that. Let me look it up.",
        "They do not have live music.",
        "No, it cannot be refunded.",
        "Your booking cannot be cancelled later. All done.",
        "Viruses can't live alone.",
        "The hotel does not have a pool.",
        "You are not able to change it later.",
        "I was not able to book it.",
        "I can't wait to help.",
        "I cannot thank you enough.",
        "You don't have any alarms.",
        "I don't have your account number yet. Could you give it to me?",
        "Your balance is 30.",
        "I'm sorry, that table can only be booked for six.",
        "Sorry, I can only find two hotels: Rosa and Grand.",
        "",
        "Here is the story you asked for. " + "It goes on and on. " * 20 + "I can't go on.",  # far from the start
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert not refuses(text)


@pytest.mark.parametrize(
    ("text", "is_request"),
    [
        ("What time?", True),
        ("Please provide the date.", True),
        ("I need to know your name.", True),
        ("Let me know the city.", True),
        ("Please confirm the booking.", True),
        ("Let me know.", False),
        ("Sure. Where are you going to.", True),
        ("How many bedrooms should the apartment have.", True),
        ("what is your name", True),
        ("Do you have a place in mind.", True),
        ("Please indicate the kind of food.", True),
        ("What I found is the Ritz.", False),
        ("It leaves at 8, which is the earliest.", False),
        ("How nice. Please note the time.", False),
        ("Your table is booked.", False),
    ],
)
def test_requests(text: str, is_request: bool) -> None:
    assert asks(text) is is_request


def test_a_text_states_something_when_a_sentence_of_it_is_no_question() -> None:
    assert states_something("It is 8 pm. Is that fine?")
    assert not states_something("Is that fine? At what time?")
    assert not states_something("")


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("How about Balboa Park?", True),
        ("Would you like the one for $184?", True),
        ("What about a park in San Diego?", False),  # the user said so
        ("In Paris?", False),  # the call said so
        ("How about Central Park?", False),  # nobody found that
        ("Is there anything else?", False),
    ],
)
def test_a_question_reports_what_the_result_says_and_no_one_has_said(text: str, reported: bool) -> None:
    result = '[{"name": "Balboa Park", "price": "$184", "city": "San Diego", "country": "Paris", "open": true}]'
    before = (
        Message(role="user", content="A park in San Diego, please."),
        Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={"country": "Paris"}),)),
        Message(role="tool", content=result),
    )
    assert reports(text, before) is reported
    assert not reports(text, before[:2])


def test_a_result_that_is_no_json_is_one_value() -> None:
    assert reports("Is Balboa Park fine?", [Message(role="tool", content="Balboa Park")])
