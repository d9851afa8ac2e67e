"""Content and calls out of generated text."""

import json
import re
from typing import Any

from pydantic import ValidationError

from turnpoint.dialogue import ToolCall

_END_OF_TURN = re.compile(
    r"(?:\s*(?:<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text)\|>|</s>|<end_of_turn>|<eos>))+\s*\Z"
)
_OPENING = re.compile(r"<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>")
_NAMED_ARGUMENTS = re.compile(r"\s*(?P<name>[\w.\-]+)\s*(?:\[ARGS\])?\s*(?=\{)")
_BARE_CALL = re.compile(r'\s*\[?\s*\{\s*"(?:name"|function"|type"\s*:\s*"function")')
_SEPARATOR = re.compile(r"[\s,;]*")
_DECODER = json.JSONDecoder(strict=False)


def parse_reply(text: str) -> tuple[str | None, tuple[ToolCall, ...]]:
    """Split what a model generated into content and calls.

    Known forms: `<tool_call>{json}</tool_call>` of ChatML, Hermes and Qwen; `{"name": ..., "parameters": ...}` of
    Llama, with or without `<|python_tag|>`; `[TOOL_CALLS] [{json}, ...]` and `[TOOL_CALLS]name[ARGS]{json}` of
    Mistral. Special tokens may have been left out in decoding. Reasoning before `</think>` stays in the content and
    is not searched for calls.

    Returns:
        The content, None when there is none, and the calls. What looks like a call but cannot be read stays in the
        content: `attempts_call(content)` is then True.
    """
    text = _END_OF_TURN.sub("", text)
    reasoning, answer = _reasoning(text)
    content, calls = _split(answer)
    content = (reasoning + content).strip()
    return content or None, tuple(calls)


def attempts_call(text: str | None) -> bool:
    """Whether a text holds the opening of a call. On the content of `parse_reply`: a call that could not be read."""
    _, answer = _reasoning(text or "")
    return bool(_OPENING.search(answer) or _BARE_CALL.match(answer))


def _reasoning(text: str) -> tuple[str, str]:
    """Cut a reply after its reasoning, whose opening tag may stand in the prompt."""
    before, tag, answer = text.partition("</think>")
    opened = before.lstrip().startswith("<think>") or not (_OPENING.search(before) or _BARE_CALL.match(before))
    return (before + tag, answer) if tag and opened else ("", text)


def _split(text: str) -> tuple[str, list[ToolCall]]:
    if _BARE_CALL.match(text):
        calls, end = _read_calls(text, 0)
        return (text[end:], calls) if calls else (text, [])
    content, calls, at = [], [], 0
    while opening := _OPENING.search(text, at):
        found, end = _read_calls(text, opening.end())
        content.append(text[at : opening.start() if found else opening.end()])
        calls += found
        at = end if found else opening.end()
    return "".join([*content, text[at:]]).strip(), calls


def _read_calls(text: str, at: int) -> tuple[list[ToolCall], int]:
    """Calls that stand at `at`, and where they end; none at all when one of them cannot be read."""
    calls: list[ToolCall] = []
    end = at
    while (read := _read_value(text, _skip(text, at))) is not None:
        values, at = read
        found = [_call(value) for value in (values if isinstance(values, list) else [values])]
        calls += [call for call in found if call is not None]
        if None in found:
            return [], end
        at = _skip_closing(text, at)
        end = at
    return calls, end


def _read_value(text: str, at: int) -> tuple[Any, int] | None:
    """The JSON value at `at`, or the arguments with the name before them."""
    named = _NAMED_ARGUMENTS.match(text, at)
    if text[at : at + 1] not in ("{", "[") and not named:
        return None
    try:
        value, end = _DECODER.raw_decode(text, named.end() if named else at)
    except (json.JSONDecodeError, RecursionError):
        return None
    return ({"name": named["name"], "arguments": value} if named else value), end


def _skip(text: str, at: int) -> int:
    separator = _SEPARATOR.match(text, at)
    assert separator is not None
    return separator.end()


def _skip_closing(text: str, at: int) -> int:
    after = at + len(text[at:]) - len(text[at:].lstrip())
    return after + len("</tool_call>") if text.startswith("</tool_call>", after) else at


def _call(value: Any) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    function: dict[str, Any] = inner if isinstance(inner, dict) else value
    arguments = function.get("arguments", function.get("parameters"))
    name = function.get("name")
    if not isinstance(name, str) or not name or not isinstance(arguments, dict | str):
        return None
    try:
        return ToolCall(name=name, arguments=arguments)
    except ValidationError:
        return None
