"""Tools, calls and results that are written out as text between tags, as for Hermes and Qwen: read as what they are.

    system     … <tools>[{"type": "function", "function": {…}}]</tools> …
    assistant  Let me see.<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>
    tool       <tool_response>{"sky": "blue"}</tool_response>

Between the tags stands JSON, or what Python writes of a dict: Hermes's own data holds both. A turn whose calls cannot
all be read stays text, with the results after it. All is counted.
"""

import ast
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from turnpoint.data.changes import Changes
from turnpoint.data.fields import json_values
from turnpoint.data.schemas import with_json_types
from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError

_OPEN_CALL, _CLOSE_CALL = "<tool_call>", "</tool_call>"
_CALL = re.compile(rf"{_OPEN_CALL}(.*?){_CLOSE_CALL}", re.DOTALL)
_OPEN_RESULT = "<tool_response>"
_RESULT = re.compile(rf"{_OPEN_RESULT}(.*?)</tool_response>", re.DOTALL)
_OPEN_TOOLS = "<tools>"
_TOOLS = re.compile(rf"{_OPEN_TOOLS}\s*([\[{{].*?)\s*</tools>", re.DOTALL)  # not "within <tools> </tools> tags"
_MANUAL = re.compile(r"You are a function calling AI model|# Tools\s+You may call one or more functions")
"""How the prompts of Hermes and of Qwen begin to explain the tags; they end with an example of a call."""
_REASONING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_WORD = re.compile(r"\w")

_CALLS_READ = "read calls written as <tool_call> text as calls"
_CALLS_LEFT = (
    "left calls written as <tool_call> text as text: no name and arguments, no tool of that name, text after them, or"
    " more results than calls"
)
_RESULTS_READ = "took results out of <tool_response> tags"
_RESULTS_LEFT = "left results in <tool_response> tags: not as many as calls before them"
_TOOLS_READ = "took tools written as <tools> text out of the system prompt"
_TOOLS_LEFT = "left tools written as <tools> text in the system prompt: they cannot be read, or the row offers others"
_PROMPT_DROPPED = "dropped a system prompt that only tells how to call tools"


def with_written_calls(dialogue: Dialogue, changes: Changes) -> Dialogue:
    """The dialogue with what is written as text between tags in its place; a verbatim one as it is."""
    tags = {"system": _OPEN_TOOLS, "assistant": _OPEN_CALL, "tool": _OPEN_RESULT}
    if dialogue.verbatim or not any(tags.get(each.role, "\0") in (each.content or "") for each in dialogue.messages):
        return dialogue
    where, counted = dialogue.source, Changes()
    messages, tools = _without_tools(dialogue, counted)
    messages = _with_calls(messages, {tool.name for tool in tools}, where, counted)
    try:
        read = parse(Dialogue, {**dict(dialogue), "messages": messages, "tools": tools}, where)
    except DataError:  # more results than calls, which only a text of calls lets pass
        changes.add(_CALLS_LEFT, where, sum(map(_written, dialogue.messages)))
        return dialogue
    changes.merge(counted)
    return read


def _without_tools(dialogue: Dialogue, changes: Changes) -> tuple[list[Message], Sequence[Tool]]:
    """The messages without tools in the system prompt, and the tools: the row's own, or else those."""
    messages, where = list(dialogue.messages), dialogue.source
    first = messages[0]
    block = _TOOLS.search(first.content or "") if first.role == "system" else None
    if block is None:
        return messages, dialogue.tools
    tools = _read_tools(block[1])
    own = {tool.name for tool in dialogue.tools}
    if not tools or (own and not own.issuperset(tool.name for tool in tools)):
        changes.add(_TOOLS_LEFT, where)
        return messages, dialogue.tools
    changes.add(_TOOLS_READ, where)
    rest = _around(block)
    changes.add(_PROMPT_DROPPED, where, int(not rest))
    kept = [first.model_copy(update={"content": rest})] if rest else []
    messages = [*kept, *messages[1:]]
    if own:
        return messages, dialogue.tools
    typed = with_json_types([tool.model_dump() for tool in tools], where, changes)
    return messages, [Tool.model_validate(each) for each in typed]


def _read_tools(text: str) -> list[Tool]:
    """Tools as a list, or one after the other; none where one of them is no tool."""
    value = _value(text)
    raw = value if isinstance(value, list) else json_values(text) if value is None else [value]
    try:
        return [Tool.model_validate(each) for each in raw]
    except ValidationError:
        return []


def _around(block: re.Match[str]) -> str:
    """The system prompt without its tools and without what explains their tags; empty where no word remains."""
    text, (start, end) = block.string, block.span()
    manual = _MANUAL.search(text, 0, start)
    if manual is not None:
        start, end = manual.start(), max(end, text.rfind(_CLOSE_CALL) + len(_CLOSE_CALL))
    return "\n\n".join(part.strip() for part in (text[:start], text[end:]) if _WORD.search(part))


def _with_calls(messages: Sequence[Message], offered: set[str], where: str, changes: Changes) -> list[Message]:
    made: list[Message] = []
    waiting: int | None = 0  # calls without a result so far; None after calls that stay text
    for message in messages:
        if message.role == "assistant":
            turn = _read_turn(message, offered, where, changes)
            waiting = None if turn is None else len(turn.tool_calls)
            made.append(turn or message)
        elif message.role == "tool" and waiting is not None:
            results = _read_results(message, waiting, where, changes)
            waiting -= len(results)
            made += results
        else:
            made.append(message)
    return made


def _read_turn(message: Message, offered: set[str], where: str, changes: Changes) -> Message | None:
    """The turn with its calls read; None where they stay text."""
    written = _written(message)
    if not written:
        return message
    thought, said = _split_reasoning(message.content or "")
    before, *rest = _CALL.split(said)  # then calls and texts by turns
    calls = [_read_call(text) for text in rest[::2]]
    known = [call for call in calls if call is not None and call.name in offered]
    if message.tool_calls or not calls or len(known) < len(calls) or any(text.strip() for text in rest[1::2]):
        changes.add(_CALLS_LEFT, where, written)
        return None
    changes.add(_CALLS_READ, where, written)
    return message.model_copy(update={"content": (thought + before).strip() or None, "tool_calls": tuple(known)})


def _read_results(message: Message, waiting: int, where: str, changes: Changes) -> list[Message]:
    """The results in a message, one for each call that waits; the message as it is where there are not as many."""
    before, *rest = _RESULT.split(message.content or "")
    results, between = rest[::2], [before, *rest[1::2]]
    if not results or any(text.strip() for text in between):
        return [message]
    if len(results) not in (1, waiting):
        changes.add(_RESULTS_LEFT, where, len(results))
        return [message]
    changes.add(_RESULTS_READ, where, len(results))
    if len(results) == 1:
        return [message.model_copy(update={"content": results[0].strip()})]
    alone = message.model_copy(update={"tool_call_id": None, "name": None})
    return [alone.model_copy(update={"content": text.strip()}) for text in results]


def _written(message: Message) -> int:
    """How many calls a turn begins to write, outside its reasoning."""
    return _split_reasoning(message.content or "")[1].count(_OPEN_CALL) if message.role == "assistant" else 0


def _split_reasoning(text: str) -> tuple[str, str]:
    reasoning = _REASONING.match(text)
    end = 0 if reasoning is None else reasoning.end()
    return text[:end], text[end:]


def _read_call(text: str) -> ToolCall | None:
    value = _value(text)
    if not isinstance(value, dict):
        return None
    function = value.get("function")
    if "arguments" not in (function if isinstance(function, dict) else value):
        return None
    try:
        return ToolCall.model_validate(value)
    except ValidationError:
        return None


def _value(text: str) -> Any:
    """The value of JSON, or of a literal of Python that JSON can hold; None where the text is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a backslash that escapes nothing
            return json.loads(json.dumps(ast.literal_eval(text.strip())))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
