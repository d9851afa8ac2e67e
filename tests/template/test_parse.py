"""Content and calls out of generated text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.template.builders import CLOCK, WEATHER, call, calls, dialogue, supervised, user
from tests.template.tiny_tokenizers import tokenizer

from turnpoint.dialogue import ToolCall
from turnpoint.template import attempts_call, parse_reply, settled_content

ROME = ToolCall(name="weather", arguments={"city": "Rome"})
NOW = ToolCall(name="clock", arguments={})
IN_TAGS = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "content", "found"),
    [
        ("It is sunny.<|im_end|>", "It is sunny.", ()),
        ("", None, ()),
        (IN_TAGS + "<|im_end|>\n", None, (ROME,)),
        ("I can check.\n" + IN_TAGS, "I can check.", (ROME,)),
        (IN_TAGS + '\n<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>', None, (ROME, NOW)),
        (IN_TAGS + "\nDone.", "Done.", (ROME,)),
        ('<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}', None, (ROME,)),
        ('{"name": "weather", "parameters": {"city": "Rome"}}<|eot_id|>', None, (ROME,)),
        ('<|python_tag|>{"name": "weather", "parameters": {"city": "Rome"}}<|eom_id|>', None, (ROME,)),
        ('{"name": "weather", "parameters": {"city": "Rome"}}; {"name": "clock", "parameters": {}}', None, (ROME, NOW)),
        ('{"type": "function", "function": {"name": "clock", "arguments": {}}}', None, (NOW,)),
        ('[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Rome"}, "id": "a1b2c3d4e"}]</s>', None, (ROME,)),
        ('[{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "clock", "arguments": {}}]', None, (ROME, NOW)),
        ('[TOOL_CALLS]weather[ARGS]{"city": "Rome"}[TOOL_CALLS]clock[ARGS]{}</s>', None, (ROME, NOW)),
        ('[TOOL_CALLS]weather{"city": "Rome"}', None, (ROME,)),
        ("<think>\nMaybe <tool_call>?\n</think>\n\n" + IN_TAGS, "<think>\nMaybe <tool_call>?\n</think>", (ROME,)),
        ('{"city": "Rome"}', '{"city": "Rome"}', ()),
        ("[1] is a source.", "[1] is a source.", ()),
        ('<function=weather>{"city": "Rome"}</function><|eom_id|>', None, (ROME,)),
        ('<function=weather>{"city": "Rome"}</function>\n<function=clock>{}</function>', None, (ROME, NOW)),
        ('I look.<function=weather>{"city": "Rome"}</function>', "I look.", (ROME,)),
        ('>>>weather\n{"city": "Rome"}<|eot_id|>', None, (ROME,)),
        ('weather\n{"city": "Rome"}\n>>>clock\n{}<|eot_id|>', None, (ROME, NOW)),
        ('all\nI look.\n>>>weather\n{"city": "Rome"}', "I look.", (ROME,)),
        (">>>all\nIt is sunny.", "It is sunny.", ()),
        ('Example\n{"city": "Rome"} is JSON.', 'Example\n{"city": "Rome"} is JSON.', ()),
        (">>> print(1)\n1", ">>> print(1)\n1", ()),
        ('<TOOLCALL>[{"name": "weather", "arguments": {"city": "Rome"}}]</TOOLCALL>', None, (ROME,)),
        (
            '{"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function":'
            ' {"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}}]}',
            None,
            (ROME,),
        ),
        ('{"content": "One moment.", "tool_calls": [{"function": {"name": "clock", "arguments": "{}"}}]}',
         "One moment.", (NOW,)),
        ('{"tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": "{}"}}]}', None, (NOW,)),
        ('{"function_call": {"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}}', None, (ROME,)),
        ('[{"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]', None, (NOW,)),
        ('{"role": "assistant", "content": "Hi"}', '{"role": "assistant", "content": "Hi"}', ()),
    ],
)  # fmt: skip
def test_replies(text: str, content: str | None, found: tuple[ToolCall, ...]) -> None:
    assert parse_reply(text) == (content, found)
    assert not attempts_call(content)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Ro',
        '<tool_call>\n{"name": "weather", "arguments": [1]}\n</tool_call>',
        '<tool_call>\n{"arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": 3, "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "weather"}\n</tool_call>',
        '<tool_call>\n{"name": "weather", "arguments": "Rome"}\n</tool_call>',
        "<tool_call>\nweather(Rome)\n</tool_call>",
        '{"name": "weather", "parameters": {"city": }}',
        "[TOOL_CALLS] [{]",
        '<|python_tag|>weather.get(city="Rome")',
        '<function=weather>{"city": "Ro</function>',
        "<function=weather>[1]</function>",
        '>>>weather\n{"city": }',
        "<TOOLCALL>[weather(Rome)]</TOOLCALL>",
        '{"tool_calls": [{"function": {"name": "weather"}}]}',
    ],
)
def test_calls_that_cannot_be_read_stay_in_the_content(text: str) -> None:
    assert parse_reply(text) == (text, ())
    assert attempts_call(text)


def test_a_broken_call_beside_a_good_one() -> None:
    content, found = parse_reply(IN_TAGS + "\n<tool_call>\n{oops\n</tool_call>")
    assert found == (ROME,)
    assert content == "<tool_call>\n{oops\n</tool_call>"
    assert attempts_call(content)


def test_closing_tag_inside_an_argument() -> None:
    text = '<tool_call>\n{"name": "weather", "arguments": {"city": "</tool_call>"}}\n</tool_call>'
    assert parse_reply(text) == (None, (ToolCall(name="weather", arguments={"city": "</tool_call>"}),))


def test_nothing_attempted() -> None:
    assert not attempts_call(None)
    assert not attempts_call("I have no tool for this.")


@pytest.mark.parametrize("family", ["qwen2_5", "qwen3", "llama3", "mistral", "hermes"])
def test_what_a_template_writes_is_read_back(family: str) -> None:
    asked = dialogue(user("Rome?"), call(city="Rome", days=[1, {"x": None}]), tools=(WEATHER, CLOCK))
    [text] = supervised(tokenizer(family), asked)
    content, [found] = parse_reply(text)
    assert (content, found.name, found.arguments) == (None, "weather", {"city": "Rome", "days": [1, {"x": None}]})


@pytest.mark.parametrize("family", ["qwen2_5", "mistral", "hermes"])
def test_parallel_calls_are_read_back(family: str) -> None:
    asked = dialogue(user("?"), calls(("weather", {"city": "Rome"}), ("clock", {})), tools=(WEATHER, CLOCK))
    [text] = supervised(tokenizer(family), asked)
    content, found = parse_reply(text)
    assert content is None
    assert [(made.name, made.arguments) for made in found] == [("weather", {"city": "Rome"}), ("clock", {})]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50, deadline=None)
@given(arguments=st.dictionaries(st.text(), JSON, max_size=3), before=st.text(alphabet="ab \n."))
def test_any_arguments_are_read_back(arguments: dict[str, Any], before: str) -> None:
    made = ToolCall(name="weather", arguments=arguments)
    text = f"{before}<tool_call>\n{made.model_dump_json(include={'name', 'arguments'})}\n</tool_call>"
    assert parse_reply(text) == (before.strip() or None, (made,))


@given(st.text(alphabet='<>/tool_call[]TOOL_CALLS{}":, name\n'))
def test_any_text_can_be_parsed(text: str) -> None:
    content, found = parse_reply(text)
    assert found or (content or "") == text.strip()


FRAGMENTS = (
    *("I ", "see", "\n", " ", ". ", ": 1", "<", "[", "]", "{", "}", '"', ",", "<think>", "</think>", "clock", "all\n"),
    *(
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "<|python_tag|>",
        "<TOOLCALL>",
        "</TOOLCALL>",
        "</s>",
        "<|im_end|>",
    ),
    *(">>>all\n", ">>>clock\n", "<function=clock>", "</function>", '{"name"', '{"city": "Rome"}'),
    *('{"name": "clock", "arguments": {}}', '{"role": "assistant", "content": "Hi", "tool_calls": []}'),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join), st.data())
def test_what_is_settled_stays_whatever_follows(text: str, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(text)))
    content, _ = parse_reply(text)
    assert (content or "").startswith(settled_content(text[:end]))


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("I can check that. ", "I can check that."),
        ("I can check that.\n<tool_", "I can check that."),
        ('I can check that.\n<tool_call>{"name": ', "I can check that."),
        ("<think>\nMaybe a <tool_call>?</think>\n\nYes, he", "<think>\nMaybe a <tool_call>?</think>Yes, he"),
        ('{\n "na', ""),
        ('{"city": "Ro', '{"city": "Ro'),
        ("a < b, and b <", "a < b, and b"),
    ],
)
def test_content_is_settled_up_to_what_may_become_a_call(text: str, settled: str) -> None:
    assert settled_content(text) == settled
