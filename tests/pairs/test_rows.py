"""Every row of DiaTool-DPO's table, on one request, against messages written by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.pairs.chance import sources
from tests.pairs.dialogues import ASKS, CALLS, SEND, calls, returns, says, user

from turnpoint.dialogue import Dialogue, Message
from turnpoint.pairs.requests import Request, requests_of
from turnpoint.pairs.rows import ROWS, Row
from turnpoint.pairs.sides import Side, Sides, fault
from turnpoint.pairs.sources import Sources

WAY = CALLS.messages[1:]
VALUES: dict[tuple[str, str], list[Any]] = {("weather", "city"): ["Oslo"], ("weather", "day"): ["Monday"]}
NO = says("I can't weather, I have [].")


def request_of(dialogue: Dialogue) -> Request:
    [request] = requests_of(dialogue).requests
    return request


def row_named(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


def built(name: str, dialogue: Dialogue = CALLS, given: Sources | None = None) -> list[Sides]:
    found = row_named(name).build(request_of(dialogue), given or sources(values=VALUES))
    assert [each for each in found if isinstance(each, str)] == []
    return [each for each in found if isinstance(each, Sides)]


def assert_side(side: Side, states: str, messages: Sequence[Message]) -> None:
    assert [message.said for message in side.messages] == [message.said for message in messages]
    assert side.states == states


def ask(*slots: str) -> Message:
    return says(f"Which {', '.join(slots)}?")


def give(*values: str) -> Message:
    return user(f"[{', '.join(values)}]")


def guessed(city: str, day: str) -> list[Message]:
    return [calls("weather", city=city, day=day), returns("sunny"), says("It will be sunny.")]


def test_needless_question_easy() -> None:
    """1-3-4-5 against 1-2-3-4-5."""
    [sides] = built("needless question easy")
    assert sides.request == "How will the weather be in Paris tomorrow?"
    assert_side(sides.chosen, "1-3-4-5", WAY)
    assert_side(sides.rejected, "1-2-3-4-5", [ask("city", "day"), give("Paris", "tomorrow"), *WAY])


def test_needless_question_hard_n() -> None:
    """1-3-4-5 against 1-(2xN)-3-4-5: all that is open is asked for, in the order of the schema, one is answered."""
    [sides] = built("needless question hard N")
    asked = [ask("city", "day"), give("Paris"), ask("day"), give("tomorrow")]
    assert_side(sides.rejected, "1-2-2-3-4-5", [*asked, *WAY])


def test_needless_question_hard_m() -> None:
    [sides] = built("needless question hard M")
    assert_side(sides.rejected, "1-2-3-4-5", [ask("city"), give("Paris"), *WAY])


@pytest.mark.parametrize("set", ["easy", "hard"])
def test_refused_call(set: str) -> None:
    """1-3-4-5 against 1-1."""
    [sides] = built(f"refused call {set}")
    assert_side(sides.chosen, "1-3-4-5", WAY)
    assert_side(sides.rejected, "1-1", [NO])


def test_invented_call_easy_takes_values_out_of_the_request() -> None:
    """1-2-3-4-5 against 1-3-4-5: what the first message leaves open is asked for, or made up."""
    [sides] = built("invented call easy")
    assert sides.request == "Please weather for me, !"
    assert [slot.name for slot in sides.hidden] == ["city", "day"]
    assert_side(sides.chosen, "1-2-3-4-5", [ask("city", "day"), give("Paris", "tomorrow"), *WAY])
    assert_side(sides.rejected, "1-3-4-5", guessed("Oslo", "Monday"))


def test_invented_call_easy_keeps_the_dialogues_own_question() -> None:
    values = {("book_table", "people"): ["two"], ("book_table", "time"): ["noon"]}
    [sides] = built("invented call easy", ASKS, sources(values=dict(values)))
    assert sides.request == "A table at Luigi's, please."
    assert_side(sides.chosen, "1-2-3-4-5", ASKS.messages[1:])
    guess = calls("book_table", place="Luigi's", people="two", time="noon")
    assert_side(sides.rejected, "1-3-4-5", [guess, *ASKS.messages[4:]])


def test_invented_call_hard_n() -> None:
    """1-(2xN)-3-4-5 against 1-3-4-5."""
    [sides] = built("invented call hard N")
    asked = [ask("city", "day"), give("Paris"), ask("day"), give("tomorrow")]
    assert_side(sides.chosen, "1-2-2-3-4-5", [*asked, *WAY])
    assert_side(sides.rejected, "1-3-4-5", guessed("Oslo", "Monday"))


def test_invented_call_hard_m() -> None:
    """1-(2xN)-3-4-5 against 1-(2xM)-3-4-5: what was not asked for is made up, and the rest is as the user gave it."""
    [sides] = built("invented call hard M")
    assert_side(sides.rejected, "1-2-3-4-5", [ask("city"), give("Paris"), *guessed("Paris", "Monday")])


def test_refused_question() -> None:
    [easy], [hard] = built("refused question easy"), built("refused question hard")
    assert (easy.chosen.states, hard.chosen.states) == ("1-2-3-4-5", "1-2-2-3-4-5")
    for sides in (easy, hard):
        assert_side(sides.rejected, "1-1", [NO])


def test_missing_tool() -> None:
    """1-1 against 1-3-4: the dialogue's own call, which is not offered, or a call of what is."""
    for index, wrong in ((0, WAY[0]), (1, calls("send_money", amount=7, to="to"))):
        given = sources(index, {("send_money", "amount"): [7]}, tools=(SEND,))
        [sides] = built("missing tool hard call", given=given)
        assert sides.tools == (SEND,)
        assert_side(sides.chosen, "1-1", [says("I can't weather, I have [send_money].")])
        assert_side(sides.rejected, "1-3-4", [wrong])


def test_missing_tool_after_questions() -> None:
    """1-1 against 1-(2xN)-3-4."""
    [sides] = built("missing tool hard questions", given=sources(tools=(SEND,)))
    asked = [ask("city", "day"), give("Paris"), ask("day"), give("tomorrow")]
    assert_side(sides.rejected, "1-2-2-3-4", [*asked, WAY[0]])


def test_results_and_answers_go_along_with_invented_values() -> None:
    told = (
        CALLS.messages[0],
        CALLS.messages[1],
        returns('{"city": "Paris", "sky": "clear"}'),
        says("Paris will have a clear sky tomorrow."),
    )
    [sides] = built("invented call hard N", CALLS.model_copy(update={"messages": told}))
    assert [message.content for message in sides.rejected.way[1:]] == [
        '{"city": "Oslo", "sky": "clear"}',
        "Oslo will have a clear sky Monday.",
    ]


def test_rows_keep_the_papers_counts() -> None:
    """Table of arXiv 2504.02882: 8,357 pairs of the easy set, 8,437 of the hard one (both M rows are one figure)."""
    assert sum(row.share for row in ROWS if row.set == "easy") == 2089 + 2090 + 2089 + 2089
    assert sum(row.share for row in ROWS if row.set == "hard") == 562 + 2530 + 562 + 562 + 2530 + 562 + 567 + 562
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_keeps_its_own_rules(row: Row) -> None:
    for sides in built(row.name, given=sources(values=VALUES, tools=(SEND,))):
        assert fault(sides, CALLS.tools[0]) is None
