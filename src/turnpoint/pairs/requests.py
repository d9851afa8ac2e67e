"""Requests of dialogues: what the user wants, the call that serves it, and where he says what the call needs."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall, decisions
from turnpoint.pairs.slots import Slot, find, with_unit

_SECOND_THOUGHTS = re.compile(
    r"\b(?:actually|instead|rather|change|sorry|no)\b|\u8fd8\u662f|\uc544\ub2c8", re.IGNORECASE
)
_STOP = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019)]*\Z")


class Request(NamedTuple):
    """One thing that the user wants, in the words of the data, and how it was served.

    Attributes:
        dialogue: where it stands.
        start: index of its first turn; the message before it is the user's.
        first: what the user says first.
        replies: what he says further on before the call.
        asked: the dialogue's own questions and replies before the call.
        way: the call, its results and the answer.
        tool: the one called.
        slots: every required parameter of it, in the order of the schema.
        options: the other parameters of the call whose values the user says.
    """

    dialogue: Dialogue
    start: int
    first: str
    replies: tuple[str, ...]
    asked: tuple[Message, ...]
    way: tuple[Message, ...]
    tool: Tool
    slots: tuple[Slot, ...]
    options: tuple[Slot, ...]

    @property
    def before(self) -> tuple[Message, ...]:
        """What was said before the request."""
        return self.dialogue.messages[: self.start - 1]

    @property
    def open_at_first(self) -> tuple[Slot, ...]:
        """The slots that the first message leaves open."""
        return tuple(slot for slot in self.slots if find(slot.value, self.first) is None)

    @property
    def complete(self) -> str | None:
        """A first message that gives every slot: the user's own, or all that he says where he keeps to it."""
        if not self.open_at_first:
            return self.first
        if any(map(_SECOND_THOUGHTS.search, self.replies)):
            return None
        return " ".join(map(_as_sentence, (self.first, *self.replies)))


class Found(NamedTuple):
    """Requests, and why others are none: a count of each reason."""

    requests: list[Request]
    left_out: Counter[str]


def requests_of(dialogue: Dialogue) -> Found:
    """The requests of a dialogue that one call serves, with all that it needs in the user's words."""
    found = Found([], Counter())
    kinds = dict(zip(dialogue.turns, decisions(dialogue), strict=True))
    fresh = True
    for turn, kind in kinds.items():
        if fresh and kind in (Decision.CALL, Decision.SLOT) and dialogue.messages[turn - 1].role == "user" and turn:
            request = _request(dialogue, turn, kinds)
            if isinstance(request, Request):
                found.requests.append(request)
            else:
                found.left_out[request] += 1
        fresh = kind in (Decision.COMPLETION, Decision.RELEVANCE)
    return found


def _request(dialogue: Dialogue, start: int, kinds: dict[int, Decision]) -> Request | str:
    """The request whose first turn is at `start`, or why it is none."""
    way = _way(dialogue, start, kinds)
    if isinstance(way, str):
        return way
    asked, served, call = way
    tool = next((tool for tool in dialogue.tools if tool.name == call.name), None)
    if tool is None or any(name not in call.arguments for name in tool.required):
        return "the call leaves out a required parameter"
    first = dialogue.messages[start - 1].content or ""
    replies = tuple(message.content or "" for message in asked if message.role == "user")
    values = {name: _slot(name, value, (first, *replies)) for name, value in call.arguments.items()}
    slots = tuple(values[name] for name in tool.required)
    if not all(slots):
        return "a required value is not in the user's words"
    options = tuple(slot for name, slot in values.items() if slot is not None and name not in tool.required)
    known = tuple(slot for slot in slots if slot is not None)
    return Request(dialogue, start, first, replies, asked, served, tool, known, options)


class _Way(NamedTuple):
    asked: tuple[Message, ...]
    served: tuple[Message, ...]
    call: ToolCall


def _way(dialogue: Dialogue, start: int, kinds: dict[int, Decision]) -> _Way | str:
    """Questions and replies, one call, its result, an answer; or what else the dialogue does."""
    messages = dialogue.messages
    i = start
    while kinds.get(i) is Decision.SLOT and i + 2 < len(messages) and messages[i + 1].role == "user":
        i += 2
    kind = kinds.get(i)
    if kind is not Decision.CALL:
        return "a go-ahead is asked for before the call" if kind is Decision.CONFIRM else "no call follows"
    end = i + 1
    while end < len(messages) and messages[end].role == "tool":
        end += 1
    if len(messages[i].tool_calls) != 1 or kinds.get(end) is Decision.CALL:
        return "several calls serve it"
    if end == i + 1 or kinds.get(end) is not Decision.COMPLETION:
        return "no result and answer follow the call"
    return _Way(messages[start:i], messages[i : end + 1], messages[i].tool_calls[0])


def _as_sentence(text: str) -> str:
    """The text with a capital and a stop, so that another one can follow it."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if _STOP.search(text) else ".")


def _slot(name: str, value: object, texts: Sequence[str]) -> Slot | None:
    """A parameter with the user's words for its value; None where he says it nowhere."""
    for text in texts:
        span = find(value, text)
        if span is not None:
            start, end = with_unit(text, span)
            return Slot(name, value, text[start:end])
    return None
