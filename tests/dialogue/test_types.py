"""What the types refuse and what they make of it, beyond what the readers' tests cover."""

import pytest
from pydantic import ValidationError

from turnpoint.dialogue import Dialogue, Message, PreferencePair, Tool, ToolCall, parse
from turnpoint.dialogue.types import answered
from turnpoint.errors import DataError

USER = Message(role="user", content="Hi")
HELLO, BYE = Message(role="assistant", content="Hello"), Message(role="assistant", content="Bye")


def test_records_are_frozen_and_take_no_unknown_field() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        USER.content = "Ho"  # type: ignore[misc]
    with pytest.raises(
        DataError, match=r"^here: messages\[0\]\.colour: is a key that has no place here; leave it out \(got 'red'\)$"
    ):
        parse(Dialogue, {"messages": [{"role": "user", "content": "Hi", "colour": "red"}]}, "here")


def test_the_field_that_holds_a_record_is_named() -> None:
    with pytest.raises(DataError, match=r"^here: prompt\[2\]\.content: must be a string \(got 3\)$"):
        parse(Message, {"role": "user", "content": 3}, "here", "prompt[2]")
    with pytest.raises(DataError, match=r"^here: prompt\[2\]: a user message needs content, a string$"):
        parse(Message, {"role": "user"}, "here", "prompt[2]")


def test_parts_of_text_are_joined_and_results_that_are_no_text_become_json() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "value": "b"}]
    assert parse(Message, {"role": "user", "content": parts}, "here").content == "ab"
    assert (
        parse(Message, {"role": "tool", "content": {"x": None, "y": "\u00e9"}}, "here").content
        == '{"x": null, "y": "\u00e9"}'
    )


def test_a_user_message_may_hold_no_calls() -> None:
    call = {"name": "f", "arguments": {}}
    with pytest.raises(
        DataError, match=r"^here: only an assistant message may hold tool_calls, this one has role 'user'$"
    ):
        parse(Message, {"role": "user", "content": "x", "tool_calls": [call]}, "here")


def test_messages_for_templates_have_no_empty_keys() -> None:
    call = ToolCall(name="f", arguments={"x": None}, id="a")
    assert HELLO.openai() == {"role": "assistant", "content": "Hello"}
    assert Message(role="assistant", tool_calls=(call,)).openai() == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": None}}, "id": "a"}],
    }


def test_tools_keep_what_the_data_adds_and_give_their_required_parameters_in_order() -> None:
    tool = Tool(name="f", parameters={"type": "object", "required": ["b", "a"]}, strict=True)
    assert tool.required == ("b", "a")
    assert tool.openai()["function"]["strict"] is True
    bare = parse(Tool, {"name": "f"}, "here")
    assert bare.required == ()
    assert bare.parameters == {"type": "object", "properties": {}}


def test_turns_are_the_assistant_messages() -> None:
    assert Dialogue(messages=(USER, HELLO, USER, BYE)).turns == (1, 3)


def test_a_side_is_the_whole_dialogue_of_it() -> None:
    pair = PreferencePair(prompt=(USER,), chosen=(HELLO,), rejected=(BYE, USER, HELLO), source="f:1", id="p")
    assert pair.side("rejected").messages == (USER, BYE, USER, HELLO)
    assert pair.side("chosen").source == "f:1 (chosen)"


def test_a_result_on_a_side_may_answer_a_call_of_the_prompt_side_by_side() -> None:
    """A call opens both sides, and each side has its own result; the result takes the id of the call."""
    tool = Tool(name="f", parameters={"type": "object"})
    call = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}, id="a"),))
    good, bad = Message(role="tool", content="good"), Message(role="tool", content="bad")
    pair = PreferencePair(prompt=(USER,), chosen=(call, good), rejected=(call, bad), tools=(tool,))
    assert pair.chosen[1].tool_call_id == pair.rejected[1].tool_call_id == "a"


def test_a_result_after_a_call_written_out_in_text_is_no_fault() -> None:
    written = Message(role="assistant", content='<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>')
    result = Message(role="tool", content="x")
    assert Dialogue(messages=(USER, written, result, HELLO)).turns == (1, 3)
    with pytest.raises(ValidationError, match=r"messages\[4\] is a tool result without a call"):
        Dialogue(messages=(USER, written, USER, HELLO, result))


def test_a_call_is_answered_once() -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}),))
    result = Message(role="tool", content="x")
    with pytest.raises(ValidationError, match=r"messages\[3\] is a tool result without a call"):
        Dialogue(messages=(USER, call, result, result), tools=(Tool(name="f", parameters={}),))


def test_what_a_model_would_read_decides_whether_sides_are_equal() -> None:
    by_id = [Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}, id=id),)) for id in ("a", "b")]
    with pytest.raises(ValidationError, match="chosen and rejected are equal"):
        PreferencePair(prompt=(USER,), chosen=(by_id[0],), rejected=(by_id[1],), tools=(Tool(name="f", parameters={}),))


@pytest.mark.parametrize("required", [True, "city", {"city": True}, ["city", 1]])
def test_required_parameters_are_a_list_of_names(required: object) -> None:
    tool = {"name": "f", "parameters": {"type": "object", "required": required}}
    with pytest.raises(DataError) as error:
        parse(Dialogue, {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}, "data.jsonl:3")
    assert str(error.value) == (
        'data.jsonl:3: tools[0].parameters: required: must be a list of parameter names, such as ["city"]'
        f" (got {required!r})"
    )


def test_a_flat_tool_has_one_type() -> None:
    flat = parse(Tool, {"type": "function", "name": "f"}, "here")
    assert flat.openai() == parse(Tool, {"name": "f"}, "here").openai()


CALL = Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={}),))


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        (
            (HELLO, USER),
            "messages[-1] must be the assistant's, since it is what a verbatim row teaches (got role 'user')",
        ),
        ((HELLO, USER, BYE), "messages must hold one assistant message, the last, without tool_calls"),
        ((USER, CALL), "messages must hold one assistant message, the last, without tool_calls"),
        ((USER, CALL, Message(role="tool", content="x"), BYE), "messages must hold one assistant message, the last"),
    ],
)
def test_a_verbatim_dialogue_is_text_with_one_completion(messages: tuple[Message, ...], rule: str) -> None:
    fields = {"messages": messages, "tools": [{"name": "f"}]}
    parse(Dialogue, fields, "here")
    with pytest.raises(DataError) as error:
        parse(Dialogue, fields | {"verbatim": True}, "here")
    assert str(error.value).startswith(f"here: verbatim: {rule}")


@pytest.mark.parametrize(
    ("prompt", "chosen", "rule"),
    [
        ((USER,), (HELLO, USER), "(prompt + chosen)[-1] must be the assistant's"),
        ((USER,), (HELLO, USER, BYE), "(prompt + chosen) must hold one assistant message, the last"),
        ((USER, HELLO, USER), (HELLO,), "(prompt + chosen) must hold one assistant message, the last"),
        ((USER,), (CALL,), "(prompt + chosen) must hold one assistant message, the last, without tool_calls"),
    ],
)
def test_a_verbatim_pair_is_two_completions_of_one_text(
    prompt: tuple[Message, ...], chosen: tuple[Message, ...], rule: str
) -> None:
    fields = {"prompt": prompt, "chosen": chosen, "rejected": (BYE,), "tools": [{"name": "f"}]}
    parse(PreferencePair, fields, "here")
    with pytest.raises(DataError) as error:
        parse(PreferencePair, fields | {"verbatim": True}, "here")
    assert str(error.value).startswith(f"here: verbatim: {rule}")


def test_which_call_a_result_answers() -> None:
    def result(id: str | None = None, name: str | None = None) -> Message:
        return Message(role="tool", content="", tool_call_id=id, name=name)

    waiting = (ToolCall(name="f", arguments={}, id="1"), ToolCall(name="g", arguments={}, id="2"))
    assert answered(result(id="2", name="f"), waiting) == 1
    assert answered(result(id="3"), waiting) is None
    assert answered(result(name="g"), waiting) == 1
    assert answered(result(), waiting) == 0
    assert answered(result(id="3"), (ToolCall(name="f", arguments={}),)) == 0  # the call has no id to compare
    assert answered(result(), ()) is None
