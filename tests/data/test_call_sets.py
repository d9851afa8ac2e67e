"""Rows of sets that teach to call: xLAM's, and Glaive's as they are."""

import json
from typing import Any

import pytest

from turnpoint.data import load, load_dialogues
from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall
from turnpoint.errors import DataError

# xLAM

FORECAST = {
    "name": "forecast",
    "description": "Forecast for a city",
    "parameters": {
        "type": {"description": "Which", "type": "str", "default": "short"},  # a parameter of that name
        "city": {"description": "Where", "type": "str"},
        "days": {"description": "How many", "type": "int, optional"},
        "hours": {"description": "Which of each day", "type": "List[int]", "default": ""},
    },
}
QUERY = {
    "id": 3,
    "query": "Forecast for Oslo and Rome?",
    "tools": json.dumps([FORECAST]),
    "answers": json.dumps([{"name": "forecast", "arguments": {"city": city}} for city in ("Oslo", "Rome")]),
}


def test_a_row_of_xlam_becomes_the_dialogue_built_by_hand() -> None:
    loaded = load([QUERY])
    properties = {
        "type": {"description": "Which", "type": "string", "default": "short"},
        "city": {"description": "Where", "type": "string"},
        "days": {"description": "How many", "type": "integer"},
        "hours": {"description": "Which of each day", "type": "array", "items": {"type": "integer"}, "default": ""},
    }
    parameters = {"type": "object", "properties": properties, "required": ["city", "hours"]}
    calls = tuple(ToolCall(name="forecast", arguments={"city": city}) for city in ("Oslo", "Rome"))
    assert loaded.records == [
        Dialogue(
            messages=(
                Message(role="user", content="Forecast for Oslo and Rome?"),
                Message(role="assistant", tool_calls=calls),
            ),
            tools=(Tool(name="forecast", description="Forecast for a city", parameters=parameters),),
            id="3",
            source="row 0",
        )
    ]
    assert (loaded.format, loaded.notes) == (
        "xlam",
        (
            "made JSON schema types of other types in tools: 4 in 1 row",
            "made a JSON schema of the flat parameters of a tool: 1 in 1 row",
        ),
    )


def test_a_query_that_no_tool_answers_has_no_turn() -> None:
    [dialogue], notes = load_dialogues([QUERY | {"answers": "[]"}])
    assert dialogue.turns == ()
    assert notes[0] == "read without a turn, for want of a call in answers: 1 in 1 row"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"answers": "forecast()"},
            "answers: a string here must be JSON: Expecting value at character 0 (got 'forecast()')",
        ),
        ({"answers": "{}"}, "answers: must be a list of calls, or the JSON of one (got {})"),
        ({"answers": '[{"arguments": {}}]'}, "answers.tool_calls[0].name: is missing; give it"),
        (
            {"answers": '[{"name": "news", "arguments": {}}]'},
            "messages[1] calls unknown tool 'news'; tools offered: forecast; add it to tools",
        ),
        ({"tools": "[3]"}, "tools[0]: must be an object (got 3)"),
    ],
)
def test_faults_of_xlam(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_dialogues([QUERY | row])
    assert str(raised.value) == f"row 0: {error}"


# Glaive

RATES = {
    "name": "rate",
    "description": "Rate of exchange",
    "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
}
CLOCK = {"name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}}
INTRODUCTION = "You are a helpful assistant with access to the following functions. Use them if required -\n"
CHAT = {
    "system": f"SYSTEM: {INTRODUCTION}{json.dumps(RATES, indent=4)}\n\n{json.dumps(CLOCK)}\n",
    "chat": (
        "USER: What's a dollar in euros?\n\n\n"
        """ASSISTANT: <functioncall> {"name": "rate", "arguments": '{"to": "EUR", "why": "it\\'s asked"}'}"""
        ' <|endoftext|>\n\n\nFUNCTION RESPONSE: {"rate": 0.9}\n\n\n'
        "ASSISTANT: 0.9 euros.\n\nAnything else? <|endoftext|>\n\n\nUSER: The time.\n\n\n"
        'ASSISTANT: Sure. <functioncall> {"name": "clock", "arguments": {}} <|endoftext|>\n\n\n'
        "FUNCTION RESPONSE: noon\n\n\nASSISTANT: <|endoftext|>\n\n\n"
    ),
}


def test_a_row_of_glaive_becomes_the_dialogue_built_by_hand() -> None:
    loaded = load([CHAT])
    rate = ToolCall(name="rate", arguments={"to": "EUR", "why": "it's asked"})
    assert loaded.records == [
        Dialogue(
            messages=(
                Message(role="user", content="What's a dollar in euros?"),
                Message(role="assistant", tool_calls=(rate,)),
                Message(role="tool", content='{"rate": 0.9}'),
                Message(role="assistant", content="0.9 euros.\n\nAnything else?"),
                Message(role="user", content="The time."),
                Message(role="assistant", content="Sure.", tool_calls=(ToolCall(name="clock", arguments={}),)),
                Message(role="tool", content="noon"),
            ),
            tools=(Tool(**RATES), Tool(**CLOCK)),
            id="row 0",
            source="row 0",
        )
    ]
    assert (loaded.format, loaded.notes) == (
        "glaive",
        (
            "dropped a system prompt that only introduces functions: 1 in 1 row",
            "took out turns that say nothing: 1 in 1 row",
        ),
    )


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (
            "SYSTEM: You are a helpful assistant, with no access to external functions.\n",
            "You are a helpful assistant, with no access to external functions.",
        ),
        (f"SYSTEM: {INTRODUCTION} Be brief.\n{json.dumps(CLOCK)}", "Be brief."),
    ],
)
def test_a_system_prompt_that_says_more_is_kept(system: str, said: str) -> None:
    [dialogue], notes = load_dialogues([{"system": system, "chat": "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>"}])
    assert dialogue.messages[0] == Message(role="system", content=said)
    assert notes == ()


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"system": 'SYSTEM: Functions - {"name": "rate"'},
            'system: functions must be JSON, one after the other (got \'{"name": "rate"\')',
        ),
        (
            {"chat": "USER: Hi\n\n\nASSISTANT: <functioncall> rate() <|endoftext|>"},
            "chat[1]: a <functioncall> must hold name and arguments as JSON, the arguments in single quotes or not"
            " (got 'rate()')",
        ),
        (
            {"chat": """USER: Hi\n\n\nASSISTANT: <functioncall> {"name": "rate", "arguments": '{"to": }'}"""},
            "chat[1].tool_calls[0]: arguments must be a JSON object: Expecting value at character 7 of '{\"to\": }'",
        ),
        (
            {"chat": 'USER: Hi\n\n\nASSISTANT: <functioncall> {"arguments": {}}'},
            "chat[1].tool_calls[0].name: is missing; give it",
        ),
        (
            {"chat": "USER: Hi\n\n\nFUNCTION RESPONSE: 3"},
            "messages[1] is a tool result without a call; it must follow the call it answers",
        ),
        ({"chat": "USER: <|endoftext|>"}, "messages is empty; a dialogue needs at least one message"),
    ],
)
def test_faults_of_glaive(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_dialogues([CHAT | row])
    assert str(raised.value).startswith(f"row 0: {error}")
    assert "\n" not in str(raised.value)


def test_a_chat_that_does_not_begin_with_the_user_is_no_row_of_glaive() -> None:
    with pytest.raises(DataError, match=r"^row 0: no known format; found keys: system, chat"):
        load([CHAT | {"chat": "Hi"}])
