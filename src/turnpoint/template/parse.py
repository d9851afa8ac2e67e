"""Content and calls out of generated text."""

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from turnpoint.dialogue import ToolCall

_ENDS = (
    *(f"<|{name}|>" for name in ("im_end", "eot_id", "eom_id", "end", "endoftext", "end_of_text")),
    *("</s>", "<end_of_turn>", "<eos>"),
)
# How calls open; the last two name the tool: `<function=name>` and `>>>name` of functionary, whose `>>>all` is content.
_OPENINGS = ("<tool_call>", "<TOOLCALL>", "[TOOL_CALLS]", "<|python_tag|>", "<function=", ">>>")
_END_OF_TURN = re.compile(rf"(?:\s*(?:{'|'.join(map(re.escape, _ENDS))}))+\s*\Z")
_OPENING = re.compile(
    rf"{'|'.join(map(re.escape, _OPENINGS[:-2]))}"
    r"|<function=(?P<function>[\w.\-]+)>|>>>(?P<recipient>(?!all\n)[\w.\-]+)\n"
)
_OPENING_OR_ITS_START = re.compile("|".join(map(re.escape, _OPENINGS)))
_CLOSING = re.compile(r"\s*(?:</tool_call>|</TOOLCALL>|</function>)")
_CONTENT = re.compile(r"(?:\A\s*|>>>)all\n")
_FIRST_CONTENT = re.compile(r"\s*(?:>>>)?all\n")
# The prompt of functionary ends with `>>>`, so its reply may begin with the bare name of a tool, or with `all`.
_FIRST_RECIPIENT = re.compile(r"\A\s*(?P<recipient>[\w.\-]+)\n\s*(?=\{)")
_MAYBE_RECIPIENT = re.compile(r"\s*[\w.\-]*(?:\n\s*(?:\{.*)?)?", re.DOTALL)
_NAMED_ARGUMENTS = re.compile(r"\s*(?P<name>[\w.\-]+)\s*(?:\[ARGS\])?\s*(?=\{)")
_BARE_CALL = re.compile(
    r'\s*\[?\s*\{\s*(?:"id"\s*:\s*"[^"]*"\s*,\s*)?"(?:name"|function"|type"\s*:\s*"function"|tool_calls"|function_call")'
)
_MESSAGE = re.compile(r'\s*\{\s*"(?:role|content|tool_calls|function_call)"')
# How a bare call, or a message that holds calls, starts, without its white space.
_BARE_STARTS = tuple(
    bracket + start
    for bracket in ("", "[")
    for start in ('{"name"', '{"function', '{"type":"function"', '{"id"', '{"tool_calls"', '{"role"', '{"content"')
)
_SEPARATOR = re.compile(r"[\s,;]*")
_DECODER = json.JSONDecoder(strict=False)


def parse_reply(text: str) -> tuple[str | None, tuple[ToolCall, ...]]:
    """Split what a model generated into content and calls.

    Known forms: `<tool_call>{json}</tool_call>` of ChatML, Hermes and Qwen; `{"name": ..., "parameters": ...}` of
    Llama, with or without `<|python_tag|>`, and its `<function=name>{json}</function>`; `[TOOL_CALLS] [{json}, ...]`
    and `[TOOL_CALLS]name[ARGS]{json}` of Mistral; `>>>name` and `{json}` on the next line of functionary;
    `<TOOLCALL>[{json}, ...]</TOOLCALL>` of Nemotron; a call, a list of calls or a whole message as OpenAI's JSON.
    Special tokens may have been left out in decoding. Reasoning before `</think>` stays in the content and is not
    searched for calls.

    Returns:
        The content, None when there is none, and the calls. What looks like a call but cannot be read stays in the
        content: `attempts_call(content)` is then True.
    """
    text = _END_OF_TURN.sub("", text)
    reasoning, answer = _reasoning(text)
    content, calls = _split(answer)
    content = (reasoning + content).strip()
    return content or None, tuple(calls)


def settled_content(text: str) -> str:
    """The beginning of a reply in the making that is content whatever follows, so that it can be shown at once.

    The content that `parse_reply` finds in the whole reply starts with it.
    """
    reasoning, answer = _reasoning(_END_OF_TURN.sub("", text))
    start = "".join(answer.lstrip()[:64].split())
    if any(start.startswith(bare) or bare.startswith(start) for bare in _BARE_STARTS):
        return reasoning.strip()
    if _MAYBE_RECIPIENT.fullmatch(answer):
        return reasoning.strip()
    if first := _FIRST_CONTENT.match(answer):
        answer = answer[first.end() :]
    opening = _OPENING_OR_ITS_START.search(answer)
    settled = answer[: opening.start()] if opening else without_beginning_of(answer, _ENDS + _OPENINGS)
    return (reasoning + _END_OF_TURN.sub("", settled).lstrip()).strip()


def without_beginning_of(text: str, tags: Sequence[str]) -> str:
    """A text in the making without what, at its end, may become one of `tags`."""
    for size in range(min(max(map(len, tags), default=1) - 1, len(text)), 0, -1):
        if any(tag.startswith(text[-size:]) and len(tag) > size for tag in tags):
            return text[:-size]
    return text


def attempts_call(text: str | None) -> bool:
    """Whether a text holds the opening of a call. On the content of `parse_reply`: a call that could not be read."""
    _, answer = _reasoning(text or "")
    return bool(_OPENING.search(answer) or _BARE_CALL.match(answer))


def _reasoning(text: str) -> tuple[str, str]:
    """Cut a reply after its reasoning, whose opening tag may stand in the prompt."""
    before, tag, answer = text.partition("</think>")
    answered = any(pattern.search(before) for pattern in (_OPENING, _CONTENT)) or _BARE_CALL.match(before)
    opened = before.lstrip().startswith("<think>") or not answered
    return (before + tag, answer) if tag and opened else ("", text)


def _split(text: str) -> tuple[str, list[ToolCall]]:
    if (message := _read_message(text)) is not None:
        return message
    if _BARE_CALL.match(text):
        calls, end = _read_calls(text, 0)
        return (text[end:], calls) if calls else (text, [])
    first, at = _read_first(text)
    content, calls = [], list(first)
    while opening := _OPENING.search(text, at):
        found, end = _read_opened(text, opening)
        content.append(text[at : opening.start() if found else opening.end()])
        calls += found
        at = end if found else opening.end()
    return _CONTENT.sub("", "".join([*content, text[at:]])).strip(), calls


def _read_message(text: str) -> tuple[str, list[ToolCall]] | None:
    """Content and calls of a message of OpenAI's; None where the text is none with calls, or one cannot be read."""
    message = _whole_json(text) if _MESSAGE.match(text) else None
    if not isinstance(message, dict):
        return None
    raw = message.get("tool_calls") or [message.get("function_call")]
    content = message.get("content") or ""
    calls = [_call(each) for each in raw] if isinstance(raw, list) and isinstance(content, str) else [None]
    known = [call for call in calls if call is not None]
    return (content, known) if len(known) == len(calls) else None


def _whole_json(text: str) -> Any:
    """The value of a text that is JSON and nothing else; None where it is not."""
    try:
        return json.loads(text, strict=False)
    except (json.JSONDecodeError, RecursionError):
        return None


def _read_first(text: str) -> tuple[list[ToolCall], int]:
    """The call of a reply that begins with the bare name of a tool, and where it ends."""
    named = _FIRST_RECIPIENT.match(text)
    if named is None:
        return [], 0
    calls, end = _read_arguments(text, named.end(), named["recipient"])
    after = text[end:].lstrip()
    return (calls, end) if calls and (not after or after.startswith(">>>")) else ([], 0)


def _read_opened(text: str, opening: re.Match[str]) -> tuple[list[ToolCall], int]:
    """The calls after an opening, and where they end."""
    name = opening["function"] or opening["recipient"]
    return _read_calls(text, opening.end()) if name is None else _read_arguments(text, opening.end(), name)


def _read_arguments(text: str, at: int, name: str) -> tuple[list[ToolCall], int]:
    """The call of a tool that was named before its arguments, and where it ends; none where they cannot be read."""
    read = _read_value(text, _skip(text, at))
    call = None if read is None else _call({"name": name, "arguments": read[0]})
    return ([], at) if read is None or call is None else ([call], _skip_closing(text, read[1]))


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
    closing = _CLOSING.match(text, at)
    return at if closing is None else closing.end()


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
