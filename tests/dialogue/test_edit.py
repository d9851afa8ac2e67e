"""Dialogues made from dialogues."""

from turnpoint.dialogue import (
    Decision,
    Dialogue,
    Message,
    Tool,
    ToolCall,
    decisions,
    join_adjacent_turns,
    opening,
    with_tools,
)

USER = Message(role="user", content="Hi")
WAIT = Message(role="assistant", content="Let me check.")
CALL = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}),))
RESULT = Message(role="tool", content="x")
ANSWER = Message(role="assistant", content="It is x.")
TOOL = Tool(name="f", parameters={})


def dialogue(*messages: Message) -> Dialogue:
    return Dialogue(messages=messages, tools=(TOOL,), id="d", source="f:1")


def test_text_and_the_call_after_it_are_one_turn() -> None:
    joined = join_adjacent_turns(dialogue(USER, WAIT, CALL, RESULT, ANSWER, WAIT))
    assert joined.messages == (
        USER,
        Message(role="assistant", content="Let me check.", tool_calls=CALL.tool_calls),
        RESULT,
        Message(role="assistant", content="It is x.\nLet me check."),
    )
    assert (joined.id, joined.source) == ("d", "f:1")


def test_the_opening_ends_with_an_answer_to_a_tool_result() -> None:
    whole = dialogue(USER, CALL, RESULT, CALL, RESULT, ANSWER, USER, CALL, RESULT, ANSWER)
    assert opening(whole).messages == labelled(whole)[:6]
    assert opening(whole, answers=2).messages == labelled(whole)
    assert opening(dialogue(USER, ANSWER)).messages == labelled(dialogue(USER, ANSWER))


def test_an_opening_that_starts_with_an_answer_looks_at_no_message_before_it() -> None:
    whole = dialogue(ANSWER, USER, CALL, RESULT)
    assert opening(whole).messages == labelled(whole)


def test_a_question_between_two_calls_is_no_answer_and_stays_a_question_in_the_opening() -> None:
    question = Message(role="assistant", content="Which day?")
    reply = Message(role="user", content="Monday")
    booked = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={"day": "Monday"}),))
    whole = dialogue(USER, CALL, RESULT, question, reply, booked, RESULT, ANSWER, USER)
    short = opening(whole)
    assert short.messages == labelled(whole)[:8]
    assert decisions(short)[1] is Decision.SLOT


def labelled(whole: Dialogue) -> tuple[Message, ...]:
    """The messages, each turn with its decision as its label."""
    labels = dict(zip(whole.turns, decisions(whole), strict=True))
    return tuple(each.model_copy(update={"decision": labels.get(i)}) for i, each in enumerate(whole.messages))


def test_tools_that_are_added_take_their_place_by_name_and_replace_none() -> None:
    other = Tool(name="a", parameters={})
    another_f = Tool(name="f", description="not mine", parameters={})
    assert with_tools(dialogue(USER), [other, another_f]).tools == (other, TOOL)
