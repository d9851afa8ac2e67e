"""Sides of a pair as they are planned: exchanges of a question and a reply, then a way to go; and the check of both."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from turnpoint.dialogue import Dialogue, Message, Tool
from turnpoint.dialogue.decisions import asks, refuses, state_path
from turnpoint.pairs.slots import Slot, hints, says


class Exchange(NamedTuple):
    """A question of the assistant and the user's reply to it."""

    question: Message
    reply: Message
    asked: tuple[str, ...]  # names of parameters
    answered: tuple[Slot, ...]


class Side(NamedTuple):
    """One way to go on: questions and replies, then a call with what follows, or a rejection."""

    exchanges: tuple[Exchange, ...]
    way: tuple[Message, ...]
    states: str  # as planned: 1-2-3-4-5

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the side."""
        return (*(each for exchange in self.exchanges for each in exchange[:2]), *self.way)


class Sides(NamedTuple):
    """Both ways of a pair.

    Attributes:
        before: what was said before the request.
        request: what the user says first.
        hidden: values that `request` must not say.
        tools: those offered.
        chosen: the right way.
        rejected: the wrong way.
    """

    before: tuple[Message, ...]
    request: str
    hidden: tuple[Slot, ...]
    tools: tuple[Tool, ...]
    chosen: Side
    rejected: Side


def fault(sides: Sides, tool: Tool, needed: Sequence[Slot] = ()) -> str | None:
    """Which rule the texts of a pair break, whoever wrote them; None where they keep all.

    Args:
        sides: the pair.
        tool: the one that the request is for.
        needed: values of the call that the user has to say, required or not.
    """
    if not re.search(r"\w", sides.request):
        return "the request says nothing"
    if any(hints(sides.request, slot.value) for slot in sides.hidden):
        return "the request says what it should leave open"
    if not _valid_calls(sides.chosen.way, sides.tools):
        return "the chosen call breaks the schema of its tool"
    said = " ".join([sides.request, *(exchange.reply.content or "" for exchange in sides.chosen.exchanges)])
    if len(sides.chosen.way) > 1 and not all(says(said, slot.value) for slot in needed):
        return "a value of the call is said nowhere"
    for side in (sides.chosen, sides.rejected):
        exchanges = (_fault_of_exchange(exchange, tool) for exchange in side.exchanges)
        if broken := next(filter(None, exchanges), None):
            return broken
        if _path(sides, side) != side.states:
            return "the states are not those that were planned"
    return None


def _fault_of_exchange(exchange: Exchange, tool: Tool) -> str | None:
    question, reply = exchange.question.content or "", exchange.reply.content or ""
    if not asks(question) or refuses(question):
        return "a question does not ask"
    optional = [name for name in tool.parameters.get("properties") or {} if name not in tool.required]
    if any(says(question, name.replace("_", " ")) and not _within(name, exchange.asked) for name in optional):
        return "a question asks for what is not required"
    if any(says(question, slot.value) for slot in exchange.answered if not _is_choice(slot, tool)):
        return "a question gives its answer away"
    if not all(says(reply, slot.value) or slot.surface.rstrip(".") in reply for slot in exchange.answered):
        return "a reply does not give its value"
    return None


def _within(name: str, others: Iterable[str]) -> bool:
    """Whether a name is part of one that is asked for: `date` of `check_in_date`."""
    return any(name in other for other in others)


def _is_choice(slot: Slot, tool: Tool) -> bool:
    """Whether a question may well name the value: one of a few that the schema lists, or a word of the tool itself."""
    schema = (tool.parameters.get("properties") or {}).get(slot.name)
    choices = schema.get("enum") if isinstance(schema, dict) else None
    listed = isinstance(choices, list) and slot.value in choices
    return listed or says(slot.name.replace("_", " "), slot.value)


def _valid_calls(way: Iterable[Message], tools: Iterable[Tool]) -> bool:
    schemas = {tool.name: tool.parameters for tool in tools}
    return all(_is_valid(schemas[call.name], call.arguments) for message in way for call in message.tool_calls)


def _is_valid(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    try:
        Draft202012Validator.check_schema(schema)
        return Draft202012Validator(schema).is_valid(arguments)
    except Exception:  # a broken schema makes the library raise what it runs into
        return False


def _path(sides: Sides, side: Side) -> str:
    """The states of a side as its texts say them, without the labels it was made with."""
    messages = [Message(role="user", content=sides.request), *side.messages]
    plain = [message.model_copy(update={"decision": None, "tool_call_id": None}) for message in messages]
    called = {call.name for message in plain for call in message.tool_calls}
    offered = {tool.name: tool for tool in sides.tools}
    missing = [Tool(name=name, parameters={}) for name in sorted(called - set(offered))]
    return state_path(Dialogue(messages=tuple(plain), tools=(*sides.tools, *missing)))
