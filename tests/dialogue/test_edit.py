"""Dialogues made from dialogues."""

from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall, join_adjacent_turns, opening, with_tools

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
    assert opening(whole).messages == whole.messages[:6]
    assert opening(whole, answers=2) == whole
    assert opening(dialogue(USER, ANSWER)).messages == (USER, ANSWER)


def test_tools_that_are_added_take_their_place_by_name_and_replace_none() -> None:
    other = Tool(name="a", parameters={})
    another_f = Tool(name="f", description="not mine", parameters={})
    assert with_tools(dialogue(USER), [other, another_f]).tools == (other, TOOL)
