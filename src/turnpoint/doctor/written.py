"""Findings over calls that are written out as text, where the data have a form for calls."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from textwrap import shorten

from turnpoint.dialogue import Dialogue
from turnpoint.doctor.finding import Finding, Place, Severity, over_rows

_SHOWN_LENGTH = 60  # characters shown of a call
_TOOL_SETS = 4096  # whose patterns are kept ready
_END_OF_REASONING = "</think>"
_QUOTE = "[\"']"
_NAME = rf"{_QUOTE}(?:name|function|tool|tool_name|action){_QUOTE}\s*:\s*{_QUOTE}[\w.:/-]+{_QUOTE}"
_ARGUMENTS = rf"{_QUOTE}(?:arguments|parameters|args|tool_input|action_input){_QUOTE}\s*:"
_SCHEMA = rf"\s*\{{\s*{_QUOTE}type{_QUOTE}\s*:\s*{_QUOTE}object"  # of a tool that is described, not called
# What opens a call in the chat templates in use, whatever follows.
_OPENING = (
    r"<tool_call>|<functioncall>|<function_call>|<function=|<invoke name=|\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_call"
    r"|<\uff5ctool\u2581call|```tool_c(?:all|ode)\b"
)
# A name with arguments beside it, in either order; `{"name": "Ann", "age": 3}` may be an answer.
_AS_JSON = rf"\{{?\s*{_NAME}\s*,\s*{_ARGUMENTS}(?!{_SCHEMA})|\{{\s*{_ARGUMENTS}.{{1,2000}}?[}}\"']\s*,\s*{_NAME}\s*\}}"


def calls_as_text(dialogues: Sequence[Dialogue]) -> Finding | None:
    """Turns that write a call as text, in data with tools. What was disliked may do so: that can be what is wrong."""
    if not any(dialogue.tools for dialogue in dialogues):
        return None
    return over_rows(
        Severity.ERROR,
        "calls written out as text",
        [place for dialogue in dialogues if dialogue.label is not False for place in _of_dialogue(dialogue)],
        "move them into `tool_calls`, which the chat template renders as calls; as text they are learnt as answers, and"
        " counted as such above",
    )


def written_call(text: str, tools: Sequence[str]) -> str | None:
    """A call that a text writes out, from where it begins; None without any. Reasoning is not searched.

    Args:
        text: of the assistant.
        tools: names of the tools that are offered; `[f(city="Bergen")]` is a call where f is one of them.
    """
    answer = text.rpartition(_END_OF_REASONING)[2]
    found = _pattern(tuple(tools)).search(answer)
    return answer[found.start() :].strip() if found else None


def _of_dialogue(dialogue: Dialogue) -> Iterator[Place]:
    names = [tool.name for tool in dialogue.tools]
    for i in dialogue.turns:
        message = dialogue.messages[i]
        call = written_call(message.content or "", names) if message.train and not dialogue.verbatim else None
        if call is not None:
            yield Place(dialogue.source, f": messages[{i}] {shorten(call, _SHOWN_LENGTH, placeholder='…')}")


@lru_cache(_TOOL_SETS)
def _pattern(tools: tuple[str, ...]) -> re.Pattern[str]:
    forms = [_OPENING, _AS_JSON]
    if tools:
        name = f"(?:{'|'.join(map(re.escape, tools))})"
        forms += [
            rf"(?:\[|\A\s*(?:```\w*)?)\s*(?:print\()?{name}\(\s*(?:\)|\w+\s*=)",
            rf"Action:\s*{name}\s*Action Input:",
        ]
    return re.compile("|".join(forms), re.DOTALL)
