"""Tools, calls and results written as text between tags, as in Hermes's data, become what they are, and are counted."""

import json
from typing import Any

import pytest

from turnpoint.data import load_dialogues
from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall

WEATHER = {"name": "weather", "description": "Weather of a city", "parameters": {"type": "object", "properties": {}}}
CLOCK = {"name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}}
OSLO = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
ROME = "<tool_call>\n{'arguments': {'city': 'Rome', 'exact': True}, 'name': 'weather'}\n</tool_call>"
IN_OSLO = ToolCall(name="weather", arguments={"city": "Oslo"})
IN_ROME = ToolCall(name="weather", arguments={"city": "Rome", "exact": True})
HERMES = (
    "You are a function calling AI model. You are provided with function signatures within <tools> </tools> XML tags."
    " Don't make assumptions.\n<tools>\n{tools}\n</tools>\nFor each function call return a json object within"
    " <tool_call></tool_call> XML tags as follows:\n<tool_call>\n{{'arguments': <args-dict>, 'name': <function-name>}}"
    "\n</tool_call>"
)
QWEN = (
    "Be brief.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with"
    " function signatures within <tools></tools> XML tags:\n<tools>\n{tools}\n</tools>\n\nFor each function call,"
    ' return a json object:\n<tool_call>\n{{"name": <function-name>, "arguments": <args-json-object>}}\n</tool_call>'
)
READ = "read calls written as <tool_call> text as calls"
LEFT = (
    "left calls written as <tool_call> text as text: no name and arguments, no tool of that name, text after them, or"
    " more results than calls"
)
RESULTS = "took results out of <tool_response> tags"
TOOLS_TAKEN = "took tools written as <tools> text out of the system prompt: 1 in 1 row"
TOOLS_LEFT = (
    "left tools written as <tools> text in the system prompt: they cannot be read, or the row offers others: 1 in 1 row"
)
DROPPED = "dropped a system prompt that only tells how to call tools: 1 in 1 row"


def wrapped(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": tool}


def read(*entries: tuple[str, str], tools: Any = None, **row: Any) -> tuple[Dialogue, tuple[str, ...]]:
    """The dialogue of a ShareGPT row, and what was counted."""
    conversation = [{"from": role, "value": text} for role, text in entries]
    offered = {} if tools is None else {"tools": json.dumps(tools)}
    [dialogue], notes = load_dialogues([{"conversations": conversation, **offered, **row}])
    return dialogue, notes


def test_a_row_of_hermes_becomes_the_dialogue_built_by_hand() -> None:
    dialogue, notes = read(
        ("system", HERMES.format(tools=json.dumps([wrapped(WEATHER)]))),
        ("human", "Weather in Oslo and Rome?"),
        ("gpt", f"Let me see.\n{OSLO}\n{ROME}\n"),
        ("tool", "<tool_response>\nsun\n</tool_response>\n<tool_response>\nrain\n</tool_response>"),
        ("gpt", "Sun and rain."),
    )
    assert dialogue == Dialogue(
        messages=(
            Message(role="user", content="Weather in Oslo and Rome?"),
            Message(role="assistant", content="Let me see.", tool_calls=(IN_OSLO, IN_ROME)),
            Message(role="tool", content="sun"),
            Message(role="tool", content="rain"),
            Message(role="assistant", content="Sun and rain."),
        ),
        tools=(Tool(**WEATHER),),
        id="row 0",
        source="row 0",
    )
    assert notes == (TOOLS_TAKEN, DROPPED, f"{READ}: 2 in 1 row", f"{RESULTS}: 2 in 1 row")


def test_messages_of_openai_are_read_alike() -> None:
    entries = (("human", "?"), ("gpt", OSLO), ("tool", "<tool_response>sun</tool_response>"), ("gpt", "Sun."))
    roles = {"human": "user", "gpt": "assistant"}
    messages = [{"role": roles.get(name, name), "content": text} for name, text in entries]
    [dialogue], notes = load_dialogues([{"messages": messages, "tools": [WEATHER]}])
    assert (dialogue, notes) == read(*entries, tools=[WEATHER])
    assert dialogue.messages[1] == Message(role="assistant", tool_calls=(IN_OSLO,))
    assert dialogue.messages[2] == Message(role="tool", content="sun")


@pytest.mark.parametrize(
    "written",
    [
        json.dumps([wrapped(WEATHER), wrapped(CLOCK)]),
        f"{json.dumps(WEATHER)}\n{json.dumps(wrapped(CLOCK))}",
        f"{json.dumps(WEATHER, indent=2)}\n\n{json.dumps(CLOCK, indent=2)}",
        str([wrapped(WEATHER), CLOCK]),
    ],
)
def test_tools_of_the_system_prompt_in_all_their_forms(written: str) -> None:
    dialogue, notes = read(("system", QWEN.format(tools=written)), ("human", "Hi"), ("gpt", "Hello"))
    assert dialogue.tools == (Tool(**WEATHER), Tool(**CLOCK))
    assert dialogue.messages[0] == Message(role="system", content="Be brief.")
    assert notes == (TOOLS_TAKEN,)


def test_types_of_tools_in_the_system_prompt_are_made_those_of_json_schema() -> None:
    tool = {"name": "weather", "parameters": {"type": "dict", "properties": {"city": {"type": "str"}}}}
    dialogue, notes = read(("system", f"<tools>[{json.dumps(tool)}]</tools>"), ("human", "Hi"), ("gpt", "Hello"))
    assert dialogue.tools[0].parameters == {"type": "object", "properties": {"city": {"type": "string"}}}
    assert notes == (TOOLS_TAKEN, DROPPED, "made JSON schema types of other types in tools: 2 in 1 row")


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        (HERMES + "\nYou work for ACME.", "You work for ACME."),
        ("You work for ACME. " + HERMES, "You work for ACME."),
        ("Call these:\n<tools>{tools}</tools>\nBe brief.", "Call these:\n\nBe brief."),
    ],
)
def test_what_else_a_system_prompt_says_is_kept(prompt: str, rest: str) -> None:
    written = prompt.format(tools=json.dumps([WEATHER]))
    dialogue, notes = read(("system", written), ("human", "Hi"), ("gpt", "Hello"))
    assert dialogue.messages[0] == Message(role="system", content=rest)
    assert notes == (TOOLS_TAKEN,)


def test_tools_that_the_row_offers_already_are_taken_out_of_the_system_prompt() -> None:
    """A chat template would write them a second time."""
    own = {**WEATHER, "description": "of the row"}
    dialogue, notes = read(
        ("system", HERMES.format(tools=json.dumps([WEATHER]))), ("human", "?"), ("gpt", OSLO), tools=[own, CLOCK]
    )
    assert [tool.description for tool in dialogue.tools] == ["of the row", ""]
    assert [message.role for message in dialogue.messages] == ["user", "assistant"]
    assert notes == (TOOLS_TAKEN, DROPPED, f"{READ}: 1 in 1 row")


@pytest.mark.parametrize(
    ("written", "tools"),
    [(json.dumps([WEATHER]), [CLOCK]), ("[not JSON]", None), ('[{"description": "no name"}]', None), ("{} {", None)],
)
def test_tools_that_cannot_be_taken_stay_in_the_system_prompt(written: str, tools: Any) -> None:
    system = f"<tools>{written}</tools>"
    dialogue, notes = read(("system", system), ("human", "?"), ("gpt", "Hello"), tools=tools)
    assert dialogue.messages[0].content == system
    assert [tool.name for tool in dialogue.tools] == [tool["name"] for tool in tools or []]
    assert notes == (TOOLS_LEFT,)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}',  # not closed
        '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"</tool_call>',
        '<tool_call>{"name": "weather"}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "news", "arguments": {}}</tool_call>',  # no such tool
        "<tool_call>{'name': 'weather', 'arguments': {1, 2}}</tool_call>",
        "<tool_call>['weather']</tool_call>",
        f"{OSLO}\nand now we wait",
    ],
)
def test_what_cannot_be_read_stays_text_with_its_results(text: str) -> None:
    result = "<tool_response>sun</tool_response>"
    dialogue, notes = read(("human", "?"), ("gpt", text), ("tool", result), tools=[WEATHER])
    assert [message.content for message in dialogue.messages[1:]] == [text, result]
    assert dialogue.messages[1].tool_calls == ()
    assert notes == (f"{LEFT}: 1 in 1 row",)


def test_a_turn_is_read_whole_or_not_at_all() -> None:
    broken = f"{OSLO}<tool_call>oops</tool_call>"
    dialogue, notes = read(("human", "?"), ("gpt", broken), ("human", "?"), ("gpt", OSLO), tools=[WEATHER])
    assert dialogue.messages[1].content == broken
    assert dialogue.messages[3].tool_calls == (IN_OSLO,)
    assert notes == (f"{LEFT}: 2 in 1 row", f"{READ}: 1 in 1 row")


def test_calls_that_a_turn_only_thinks_of_are_none() -> None:
    thought = f"<think>Perhaps {ROME}?</think>"
    dialogue, notes = read(("human", "?"), ("gpt", f"{thought}\n{OSLO}"), tools=[WEATHER])
    assert dialogue.messages[1] == Message(role="assistant", content=thought, tool_calls=(IN_OSLO,))
    assert notes == (f"{READ}: 1 in 1 row",)
    dialogue, notes = read(("human", "?"), ("gpt", f"{thought}\nNo."), tools=[WEATHER])
    assert (dialogue.messages[1].content, notes) == (f"{thought}\nNo.", ())


def test_more_results_than_calls_leave_all_of_it_text() -> None:
    result = ("tool", "<tool_response>sun</tool_response>")
    dialogue, notes = read(("human", "?"), ("gpt", OSLO), result, result, tools=[WEATHER])
    assert [message.content for message in dialogue.messages] == ["?", OSLO, result[1], result[1]]
    assert notes == (f"{LEFT}: 1 in 1 row",)


@pytest.mark.parametrize(
    ("result", "contents", "note"),
    [
        ("<tool_response>\n{}\n</tool_response>", ["{}"], f"{RESULTS}: 1 in 1 row"),
        ("sun", ["sun"], None),
        ("<tool_response>a</tool_response> b", ["<tool_response>a</tool_response> b"], None),
        (
            "<tool_response>a</tool_response>" * 3,
            ["<tool_response>a</tool_response>" * 3],
            "left results in <tool_response> tags: not as many as calls before them: 3 in 1 row",
        ),
    ],
)
def test_results(result: str, contents: list[str], note: str | None) -> None:
    dialogue, notes = read(("human", "?"), ("gpt", OSLO + ROME), ("tool", result), tools=[WEATHER])
    assert [message.content for message in dialogue.messages[2:]] == contents
    assert notes == tuple(filter(None, (f"{READ}: 2 in 1 row", note)))


def test_one_response_after_the_other_in_turns_of_their_own() -> None:
    responses = [("tool", f"<tool_response>{text}</tool_response>") for text in ("a", "b")]
    dialogue, _ = read(("human", "?"), ("gpt", OSLO + ROME), *responses, tools=[WEATHER])
    assert [message.content for message in dialogue.messages[2:]] == ["a", "b"]


def test_what_says_nothing_of_tools_and_what_is_verbatim_is_left_alone() -> None:
    said = [{"from": "human", "value": OSLO}, {"from": "gpt", "value": OSLO}]
    [dialogue], notes = load_dialogues([{"conversations": said, "verbatim": True, "tools": [WEATHER]}])
    assert (dialogue.messages[1].content, notes) == (OSLO, ())
    dialogue, notes = read(("human", f"What is {OSLO}? <tools>[]</tools>"), ("gpt", "A call."), tools=[WEATHER])
    assert (dialogue.messages[0].content, notes) == (f"What is {OSLO}? <tools>[]</tools>", ())


def test_a_turn_keeps_whether_it_is_trained_on_and_its_label() -> None:
    dialogue, _ = read(("human", "?"), ("gpt", OSLO), ("human", "?"), ("gpt", ROME), tools=[WEATHER], label=True)
    assert [message.train for message in dialogue.messages if message.tool_calls] == [False, True]
    assert dialogue.label is True
