"""Each rule that the texts of a pair keep, broken once."""

import pytest
from tests.pairs.dialogues import ASKS, BOOK, WEATHER, calls, says, user

from turnpoint.pairs.sides import Exchange, Side, Sides, fault
from turnpoint.pairs.slots import Slot

PEOPLE, TIME = Slot("people", "four", "four"), Slot("time", "seven", "seven")
DAY = Slot("time", "2024-03-03 19:30:00", "March 3rd at 7:30 pm")
WAY = ASKS.messages[3:]
GOOD = Sides(
    before=(),
    request="A table at Luigi's, please.",
    hidden=(PEOPLE, TIME),
    tools=(BOOK,),
    chosen=Side(
        (
            Exchange(
                says("For how many people, and when?"), user("Four, at seven."), ("people", "time"), (PEOPLE, TIME)
            ),
        ),
        WAY,
        "1-2-3-4-5",
    ),
    rejected=Side((), (says("I'm sorry, I can't do that."),), "1-1"),
)


def with_exchange(question: str, reply: str) -> Sides:
    [exchange] = GOOD.chosen.exchanges
    changed = exchange._replace(question=says(question), reply=user(reply))
    return GOOD._replace(chosen=GOOD.chosen._replace(exchanges=(changed,)))


def test_a_good_pair_has_no_fault() -> None:
    assert fault(GOOD, BOOK) is None


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (
            GOOD._replace(request="A table on March 3rd, please.", hidden=(DAY,)),
            "the request says what it should leave open",
        ),
        (GOOD._replace(request="A table for four, please."), "the request says what it should leave open"),
        (with_exchange("I will see.", "Four, at seven."), "a question does not ask"),
        (with_exchange("I can't do that. How many?", "Four, at seven."), "a question does not ask"),
        (with_exchange("For four, and when?", "Four, at seven."), "a question gives its answer away"),
        (with_exchange("How many, and when?", "Four."), "a reply does not give its value"),
        (
            GOOD._replace(rejected=Side((), (says("Gladly!"),), "1-1")),
            "the states are not those that were planned",
        ),
        (
            GOOD._replace(chosen=GOOD.chosen._replace(way=(calls("book_table", place=5), *WAY[1:]))),
            "the chosen call breaks the schema of its tool",
        ),
    ],
)
def test_a_broken_rule_is_named(sides: Sides, reason: str) -> None:
    assert fault(sides, BOOK) == reason


def test_only_what_is_required_may_be_asked_for() -> None:
    smoking = {**BOOK.parameters["properties"], "smoking": {"type": "boolean"}}
    tool = BOOK.model_copy(update={"parameters": BOOK.parameters | {"properties": smoking}})
    asked = with_exchange("How many, when, and smoking or not?", "Four, at seven.")
    assert fault(asked, tool) == "a question asks for what is not required"


def test_a_choice_of_the_schema_may_be_named_in_a_question() -> None:
    few = {**BOOK.parameters["properties"], "people": {"type": "string", "enum": ["two", "four"]}}
    tool = BOOK.model_copy(update={"parameters": BOOK.parameters | {"properties": few}})
    assert fault(with_exchange("For two or four, and when?", "Four, at seven."), tool) is None


def test_every_value_of_the_call_must_be_said() -> None:
    assert fault(GOOD, BOOK, (Slot("place", "Luigi's", "Luigi's"),)) is None
    assert fault(GOOD, BOOK, (Slot("note", "window", "window"),)) == "a value of the call is said nowhere"


def test_a_rejected_side_may_call_what_is_not_offered() -> None:
    refused = Side((), (says("I can't book a table."),), "1-1")
    sides = Sides((), "A table, please.", (), (WEATHER,), refused, Side((), WAY[:1], "1-3-4"))
    assert fault(sides, BOOK) is None
