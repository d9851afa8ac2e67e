"""Pairs at single turns, each against messages written by hand."""

from collections.abc import Sequence
from random import Random

import pytest
from tests.pairs.chance import sources
from tests.pairs.dialogues import ASKS, BOOK, CALLS, CONFIRMS, REFUSES, SEND, WEATHER, calls, says, tool, user

from turnpoint.dialogue import Decision, Dialogue, Message, ToolCall
from turnpoint.pairs.forks import (
    Fork,
    Ways,
    forced_call,
    forks,
    invented_call,
    missing_tool,
    needless_question,
    refusal,
    repeated_call,
)
from turnpoint.pairs.sources import invented


def fork_at(dialogue: Dialogue, start: int) -> Fork:
    return next(fork for fork in forks(dialogue) if fork.start == start)


def assert_sides(sides: Ways | None, chosen: Sequence[Message], rejected: Sequence[Message]) -> None:
    assert sides is not None
    assert [message.said for message in sides.chosen] == [message.said for message in chosen]
    assert [message.said for message in sides.rejected] == [message.said for message in rejected]


def test_a_dialogue_forks_where_it_decides_and_its_way_ends_with_an_answer() -> None:
    assert [(fork.start, fork.end, fork.decision) for fork in forks(ASKS)] == [
        (1, 6, Decision.SLOT),
        (3, 6, Decision.CALL),
        (5, 6, Decision.COMPLETION),
    ]
    assert [(fork.start, fork.end, fork.decision) for fork in forks(REFUSES)] == [(1, 2, Decision.RELEVANCE)]


def test_no_fork_at_a_confirmation() -> None:
    assert [(fork.start, fork.decision) for fork in forks(CONFIRMS)] == [(3, Decision.CALL), (5, Decision.COMPLETION)]


def test_no_fork_on_a_way_without_an_answer() -> None:
    cut = CALLS.model_copy(update={"messages": CALLS.messages[:3]})
    assert forks(cut) == []


def test_needless_question() -> None:
    """1-3-4-5 against 1-2-3-4-5: what is asked for and given again was said already."""
    way = CALLS.messages[1:]
    sides = needless_question(fork_at(CALLS, 1), sources())
    assert_sides(sides, way, [says("Which city?"), user("[Paris]"), *way])
    assert sides is not None
    assert sides.tools == CALLS.tools


def test_needless_question_needs_a_value_that_the_user_gave() -> None:
    unsaid = CALLS.model_copy(update={"messages": (user("Will I need an umbrella?"), *CALLS.messages[1:])})
    assert needless_question(fork_at(unsaid, 1), sources()) is None
    empty = Dialogue(
        messages=(user("Any weather."), calls("weather", city="", day=""), *CALLS.messages[2:]), tools=CALLS.tools
    )
    assert needless_question(fork_at(empty, 1), sources()) is None


def test_refused_call() -> None:
    """1-3-4-5 against 1-1."""
    fork = fork_at(CALLS.model_copy(update={"tools": (SEND, WEATHER)}), 1)
    assert_sides(refusal(fork, sources()), CALLS.messages[1:], [says("I can't weather, I have [send_money].")])


def test_refused_question() -> None:
    """1-2-3-4-5 against 1-1: what is refused is the call that the question leads to."""
    fork = fork_at(ASKS.model_copy(update={"tools": (BOOK, SEND)}), 1)
    assert_sides(refusal(fork, sources()), ASKS.messages[1:], [says("I can't book_table, I have [send_money].")])


def test_invented_call() -> None:
    """1-2-3-4-5 against 1-3-4-5: what the user has not said yet is made up from other calls, what he said is kept."""
    values = {
        ("book_table", "place"): ["Noodle Bar"],
        ("book_table", "people"): ["four", "two"],
        ("book_table", "time"): ["noon"],
        ("weather", "time"): ["never"],
    }
    guess = calls("book_table", place="Luigi's", people="two", time="noon")
    expected = [guess, *ASKS.messages[4:]]
    assert_sides(invented_call(fork_at(ASKS, 1), sources(values=values)), ASKS.messages[1:], expected)


def test_words_of_which_no_others_were_seen_cannot_be_invented() -> None:
    seen = {("book_table", "people"): ["four"], ("book_table", "time"): ["seven"]}
    assert invented_call(fork_at(ASKS, 1), sources(values=dict(seen))) is None


@pytest.mark.parametrize(
    ("value", "others"),
    [
        (25, {35, 45, 55, 65, 75}),  # by units of its leading digit
        (3000, {4000, 5000, 6000, 7000, 8000}),
        (0.5, {0.6, 0.7, 0.8, 0.9, 1.0}),
        (0, {1, 2, 3, 4, 5}),
        ("2026-03-31", {"2026-03-30"}),  # a smaller last digit: a date stays a date
        ("2026-03-20", {"2026-03-10"}),
        ("18:30", {"18:10", "18:20"}),
        ("ORD-3", {"ORD-1", "ORD-2"}),
        ("ORD-1", {"ORD-2"}),
        ("Sam", {"Sam"}),  # nothing to change: the value itself
        (True, {True}),
    ],
)
def test_a_value_of_which_no_other_was_seen_is_changed_in_its_digits(value: object, others: set[object]) -> None:
    elsewhere = {("other", "x"): [1_000_000]} if isinstance(value, int | float) else {}
    made = {
        invented(tool("t"), "x", value, sources(values=elsewhere)._replace(random=Random(seed))) for seed in range(60)
    }
    assert made == others


def test_invented_call_needs_a_call() -> None:
    unanswered = ASKS.model_copy(update={"messages": (*ASKS.messages[:3], says("Sorry, I can't do that."))})
    assert invented_call(Fork(unanswered, 1, 4, Decision.SLOT), sources()) is None


@pytest.mark.parametrize("dialogue", [CALLS, ASKS])
def test_missing_tool_against_the_dialogues_own_turn(dialogue: Dialogue) -> None:
    """1-1 against the call, or the question, that would have been right with the tool."""
    others = (SEND, tool("play_song"))
    sides = missing_tool(fork_at(dialogue, 1), sources(tools=(*dialogue.tools, *others)))
    refusal = says(f"I can't {dialogue.tools[0].name}, I have [send_money, play_song].")
    assert_sides(sides, [refusal], [dialogue.messages[1]])
    assert sides is not None
    assert sides.tools == others


def test_missing_tool_against_misuses_of_an_offered_tool() -> None:
    """A call with a value that was seen with the tool, and the parameter's name where none was; or a question."""
    denial = says("I can't weather, I have [send_money].")
    values = {("send_money", "amount"): [7]}
    for index, wrong in ((1, calls("send_money", amount=7, to="to")), (2, says("Which amount, to?"))):
        made = sources(index, values, tools=(WEATHER, SEND))
        assert_sides(missing_tool(fork_at(CALLS, 1), made), [denial], [wrong])
    # Without parameters there is nothing to ask for.
    made = sources(2, tools=(tool("play_song"),))
    assert_sides(
        missing_tool(fork_at(CALLS, 1), made), [says("I can't weather, I have [play_song].")], [calls("play_song")]
    )


def test_missing_tool_is_for_first_requests_and_needs_other_tools() -> None:
    assert missing_tool(fork_at(ASKS, 3), sources(tools=(SEND,))) is None
    assert missing_tool(fork_at(CALLS, 1), sources(tools=(WEATHER, tool("get_weather_alerts")))) is None


def test_repeated_call() -> None:
    """The answer against the call before it, its result once more, and the answer."""
    with_ids = Dialogue(
        messages=(
            CALLS.messages[0],
            Message(
                role="assistant",
                tool_calls=(ToolCall(name="weather", arguments={"city": "Paris", "day": "tomorrow"}, id="a1"),),
            ),
            Message(role="tool", content="sunny", tool_call_id="a1"),
            CALLS.messages[3],
        ),
        tools=CALLS.tools,
    )
    sides = repeated_call(fork_at(with_ids, 3), sources())
    assert_sides(sides, CALLS.messages[3:], CALLS.messages[1:])
    assert sides is not None
    # Two calls of one id would be one to a template that matches results by it.
    assert sides.rejected[0].tool_calls[0].id is None
    assert sides.rejected[1].tool_call_id is None


def test_only_an_answer_to_a_result_can_be_a_repeated_call() -> None:
    small_talk = Dialogue(messages=(user("Hi"), says("Hello.")), tools=(WEATHER,))
    assert repeated_call(fork_at(small_talk, 1), sources()) is None


def test_forced_call_uses_an_offered_tool_where_none_fits() -> None:
    refused = Dialogue(messages=(user("Order a pizza"), says("I can't do that.")), tools=(WEATHER,))
    sides = forced_call(fork_at(refused, 1), sources())
    assert (sides.chosen, sides.tools) == ((says("I can't do that."),), (WEATHER,))
    (wrong,) = sides.rejected
    assert [call.name for call in wrong.tool_calls] == ["weather"]


@pytest.mark.parametrize("decision", [None, Decision.SLOT, Decision.RELEVANCE])
def test_nothing_forks_before_the_user_has_spoken(decision: Decision | None) -> None:
    greeted = CALLS.model_copy(update={"messages": (says("Hello! How can I help?", decision), *CALLS.messages)})
    assert [fork.start for fork in forks(greeted)] == [2, 4]
    assert forks(Dialogue(messages=(says("Hello!"),), tools=(WEATHER,))) == []
