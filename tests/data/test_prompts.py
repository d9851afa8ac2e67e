"""Where two sides part: whole messages, whole words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnpoint.data.prompts import fork_messages, fork_text
from turnpoint.dialogue import Message, ToolCall

ASK, HI, BYE = (
    Message(role="user", content="Weather?"),
    Message(role="assistant", content="Hi"),
    Message(role="assistant", content="Bye"),
)
CALL = Message(role="assistant", tool_calls=(ToolCall(name="weather", arguments={"city": "Paris"}, id="a"),))
SAME_CALL = CALL.model_copy(update={"tool_calls": (CALL.tool_calls[0].model_copy(update={"id": "b"}),)})
SUN, RAIN = Message(role="tool", content="sun"), Message(role="tool", content="rain")


def test_the_prompt_ends_before_the_first_message_that_differs() -> None:
    assert fork_messages([ASK, HI], [ASK, BYE]) == ((ASK,), (HI,), (BYE,))
    assert fork_messages([ASK, HI, ASK, HI], [ASK, HI, ASK, BYE]) == ((ASK, HI, ASK), (HI,), (BYE,))


def test_where_a_tool_result_differs_the_sides_start_at_the_call() -> None:
    """Otherwise the sides would start with what the tool said."""
    forked = fork_messages([ASK, CALL, SUN, HI], [ASK, CALL, RAIN, BYE])
    assert forked == ((ASK,), (CALL, SUN, HI), (CALL, RAIN, BYE))


def test_where_a_user_message_differs_the_sides_start_at_the_turn_before() -> None:
    other = Message(role="user", content="And Rome?")
    assert fork_messages([ASK, HI, ASK, BYE], [ASK, HI, other, BYE]).prompt == (ASK,)


def test_where_one_side_ends_the_sides_start_at_the_last_turn_of_both() -> None:
    assert fork_messages([ASK, HI], [ASK, HI, ASK, BYE]) == ((ASK,), (HI,), (HI, ASK, BYE))


def test_ids_of_calls_and_weights_make_no_difference() -> None:
    muted = HI.model_copy(update={"train": False})
    assert fork_messages([ASK, CALL, SUN, HI], [ASK, SAME_CALL, SUN, BYE]).prompt == (ASK, CALL, SUN)
    assert fork_messages([ASK, HI, ASK, HI], [ASK, muted, ASK, BYE]).prompt == (ASK, HI, ASK)


def test_a_conversation_may_be_opened_by_the_assistant() -> None:
    assert fork_messages([HI, ASK, BYE], [HI, ASK, HI]).prompt == (HI, ASK)


def test_nothing_is_shared_by_conversations_that_differ_from_the_start_or_have_no_turn() -> None:
    other = Message(role="user", content="Rain?")
    assert fork_messages([ASK, HI], [other, HI]) == ((), (ASK, HI), (other, HI))
    assert fork_messages([ASK], [ASK]).prompt == ()
    assert fork_messages([ASK, ASK], [ASK, HI]).prompt == ()  # the assistant takes its turn on one side alone


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Q: x?\n\nAssistant: Yes", "Q: x?\n\nAssistant: No", "Q: x?\n\nAssistant:"),  # the space goes with the word
        ("Q: x?\nYes", "Q: x?\nNo", "Q: x?\n"),
        ("The answer is yes", "The answer is yes please", "The answer is"),  # both sides still say something
        ("The answer is yes ", "The answer is no", "The answer is"),
        ("I don't", "I do", "I"),  # "do" is no word of the first
        ("pi is 3.14", "pi is 3.15", "pi is"),
        ("one two\tx", "one two y", "one two"),  # the word ends on both sides, before different white space
        ("\u4f60\u597d\u5417\uff1f\u5f88\u597d", "\u4f60\u597d\u5417\uff1f\u4e0d\u597d", "\u4f60\u597d\u5417\uff1f"),
        ("Paris ", "London", ""),
        ("Paris", "Parisian", ""),
        (" Paris", " London", ""),  # white space alone is no prompt
        ("a b", "a ", ""),  # nothing would be left to say
    ],
)
def test_texts_part_between_words(chosen: str, rejected: str, prompt: str) -> None:
    forked = fork_text(chosen, rejected)
    assert forked == (prompt, chosen[len(prompt) :], rejected[len(prompt) :])


_words = st.lists(st.sampled_from(["a", "ab", "b", "abc", "Paris", "Pa"]), max_size=5).map(" ".join)


@given(_words, _words)
def test_a_cut_never_splits_a_word(chosen: str, rejected: str) -> None:
    """The words of prompt and side, put together, are the words of the text, and both sides say something."""
    forked = fork_text(chosen, rejected)
    if forked.prompt:
        for whole, side in ((chosen, forked.chosen), (rejected, forked.rejected)):
            assert forked.prompt + side == whole
            assert forked.prompt.split() + side.split() == whole.split()
            assert side.strip()


@given(_words, _words)
def test_swapping_the_sides_swaps_the_result(chosen: str, rejected: str) -> None:
    there, back = fork_text(chosen, rejected), fork_text(rejected, chosen)
    assert there == (back.prompt, back.rejected, back.chosen)


@given(_words.filter(bool), _words.filter(bool), _words.filter(bool))
def test_a_shared_beginning_is_found(shared: str, left: str, right: str) -> None:
    """What both sides begin with is never in a side, when they differ in their next word."""
    forked = fork_text(f"{shared} x{left}", f"{shared} y{right}")
    assert forked == (shared, f" x{left}", f" y{right}")
