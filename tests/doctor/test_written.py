"""Calls that are written out as text: the forms that are told, and what is no call."""

import pytest
from tests.doctor.builders import CLOCK, WEATHER, assistant, call, dialogue, found, result, user

from turnpoint.doctor import Severity
from turnpoint.doctor.written import calls_as_text, written_call
from turnpoint.template import attempts_call

AS_JSON = '{"name": "weather", "arguments": {"city": "Paris"}}'
OPENED = [
    f"<tool_call>\n{AS_JSON}\n</tool_call>",
    "<tool_call>{broken",
    f"[TOOL_CALLS] [{AS_JSON}]",
    'weather is what I need.[TOOL_CALLS]weather[ARGS]{"city": "Paris"}',
    '<|python_tag|>{"name": "weather", "parameters": {"city": "Paris"}}',
    '{"name": "weather", "parameters": {"city": "Paris"}}',
]
WRITTEN = [
    *OPENED,
    """<functioncall> {"name": "weather", "arguments": '{"city": "Paris"}'}""",
    "<function=weather><parameter=city>Paris</parameter></function>",
    f"Let me see.\n```json\n{AS_JSON}\n```",
    '```json\n[\n  {\n    "name": "weather",\n    "arguments": {\n      "city": "Paris"\n    }\n  }\n]\n```',
    '{"arguments": {"city": "Paris"}, "name": "weather"}',
    '{"type": "function", "function": {"name": "weather", "arguments": "{}"}}',
    "{'name': 'weather', 'arguments': {'city': 'Paris'}}",
    '{"tool": "weather", "args": {"city": "Paris"}}',
    '[weather(city="Paris")]',
    '[clock(), weather(city="Paris")]',
    "```tool_code\nprint(weather(city='Paris'))\n```",
    'weather(city="Paris")',
    'Action: weather\nAction Input: {"city": "Paris"}',
    f"<think>Which city? Paris.</think>{AS_JSON}",
]
NO_CALL = [
    "It is sunny in Paris.",
    '{"name": "Ann", "age": 3}',
    '{"name": "weather", "description": "of a city", "parameters": {"type": "object", "properties": {}}}',
    '{"name": "weather", "parameters": {"type": "object", "properties": {}}}',
    '[sort(key="a")]',
    "I can ask weather(city) about the sky.",
    "See [weather](https://example.org).",
    f"<think>I could write {AS_JSON}</think>It is sunny.",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_forms_of_calls(text: str) -> None:
    assert written_call(text, ["weather", "clock"]) is not None


@pytest.mark.parametrize("text", OPENED)
def test_what_a_generated_reply_would_be_told_for_is_told_here_too(text: str) -> None:
    assert attempts_call(text)


@pytest.mark.parametrize("text", NO_CALL)
def test_what_is_no_call(text: str) -> None:
    assert written_call(text, ["weather", "clock"]) is None


def test_python_is_a_call_of_a_tool_that_is_offered_alone() -> None:
    assert written_call('[weather(city="Paris")]', ["clock"]) is None
    assert written_call("[clock.now()]", ["clock.now"]) == "[clock.now()]"
    assert written_call("[clock_now()]", ["clock.now"]) is None


def test_calls_as_text_are_an_error_with_the_rows_and_where_in_them() -> None:
    written = assistant(f"Let me see. <tool_call>{AS_JSON}</tool_call>")
    rows = [
        dialogue(user("Weather in Paris?"), call(city="Paris"), result("sunny"), assistant("Sunny."), source="a:1"),
        dialogue(user("Hi"), assistant("Hello"), user("Weather in Paris?"), written, source="a:2"),
        dialogue(user("Weather in Paris?"), written, source="a:3", tools=()),
    ]
    finding = found(calls_as_text(rows))
    assert (finding.severity, finding.title) == (Severity.ERROR, "calls written out as text")
    assert finding.sources == ("a:2", "a:3")
    assert finding.rows[0] == 'a:2: messages[3] <tool_call>{"name": "weather", "arguments": {"city":…'
    assert "`tool_calls`" in finding.mend


def test_calls_as_text_are_left_alone_where_nobody_learns_them_or_no_tool_is_named() -> None:
    written = assistant(f"<tool_call>{AS_JSON}</tool_call>")
    row = dialogue(user("Weather in Paris?"), written, tools=(WEATHER, CLOCK))
    assert calls_as_text([row]) is not None
    assert calls_as_text([row.model_copy(update={"label": False})]) is None
    assert calls_as_text([dialogue(user("Weather?"), {**written, "train": False}, assistant("Sunny."))]) is None
    assert calls_as_text([row.model_copy(update={"tools": ()})]) is None
