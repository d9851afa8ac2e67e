"""What builders of pairs draw on: a writer, chance, and the tools and values of all dialogues."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall
from turnpoint.pairs.slots import Slot, find
from turnpoint.pairs.writer import Writer

_FARTHEST = 10  # by which an invented number differs at most, in units of its leading digit


class Sources(NamedTuple):
    """What builders draw on."""

    writer: Writer
    random: Random
    tools: Sequence[Tool]  # of all dialogues, to take distractors from
    values: dict[tuple[str, str], list[Any]]  # (tool, parameter) -> values seen in calls


def all_tools(dialogues: Sequence[Dialogue]) -> list[Tool]:
    """The tools of dialogues, one of each name."""
    return list({tool.name: tool for dialogue in dialogues for tool in dialogue.tools}.values())


def seen_values(dialogues: Sequence[Dialogue]) -> dict[tuple[str, str], list[Any]]:
    """The values that each parameter of each tool has in calls, in order of appearance."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for dialogue in dialogues:
        for message in dialogue.messages:
            for call in message.tool_calls:
                for name, value in call.arguments.items():
                    seen.setdefault((call.name, name), {})[json.dumps(value, sort_keys=True)] = value
    return {key: list(values.values()) for key, values in seen.items()}


def invented(tool: Tool, name: str, value: Any, sources: Sources) -> Any:
    """Another value for a parameter, as a model would make one up: seen elsewhere, allowed by the schema, or close by.

    The value itself where there is no other.
    """
    schema = (tool.parameters.get("properties") or {}).get(name)
    allowed = schema.get("enum") if isinstance(schema, dict) else None
    seen = [v for (_, parameter), values in sources.values.items() if parameter == name for v in values]
    for others in (allowed, sources.values.get((tool.name, name)), seen):
        different = [other for other in others or () if other != value and type(other) is type(value)]
        if different:
            return sources.random.choice(different)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value + sources.random.randint(1, _FARTHEST)
    return f"{name}_1" if isinstance(value, str) else value


def with_invented(way: Sequence[Message], slots: Sequence[Slot], tool: Tool, sources: Sources) -> tuple[Message, ...]:
    """A call, its results and the answer, as if the values of `slots` were others."""
    made = {slot.name: invented(tool, slot.name, slot.value, sources) for slot in slots}
    swapped = [(slot.value, made[slot.name]) for slot in slots if made[slot.name] != slot.value]

    def through(message: Message) -> Message:
        calls = tuple(
            call.model_copy(update={"arguments": {**call.arguments, **made}}) if call.name == tool.name else call
            for call in message.tool_calls
        )
        return message.model_copy(update={"tool_calls": calls, "content": _swapped(message.content, swapped)})

    return tuple(map(through, way))


def call_of(tool: Tool, sources: Sources) -> ToolCall:
    """A call that the tool would take, with values seen in calls of it, or its parameters' names."""
    properties = tool.parameters.get("properties") or {}
    return ToolCall(
        name=tool.name,
        arguments={
            name: sources.random.choice(sources.values.get((tool.name, name), [name.replace("_", " ")]))
            for name in (tool.required or tuple(properties)[:2])
        },
    )


def far_distractors(fitting: Sequence[Tool], pool: Sequence[Tool], random: Random, most: int = 3) -> tuple[Tool, ...]:
    """One to `most` tools of `pool` that do not do what the fitting ones do, as far as their names tell.

    A tool whose name tells nothing, such as `SearchEngine`, may do anything and is no distractor.
    """
    names, taken = {tool.name for tool in fitting}, {word for tool in fitting for word in _subject(tool.name)}
    far = [t for t in pool if t.name not in names and _subject(t.name) and not taken & _subject(t.name)]
    return tuple(random.sample(far, k=min(len(far), random.randint(1, most))))


def near_distractors(fitting: Tool, pool: Sequence[Tool], random: Random, most: int = 1) -> tuple[Tool, ...]:
    """At most `most` tools about the same thing that do something else with it: DeleteAlarm for AddAlarm.

    What a tool does is told by the verb of its name; verbs that can mean the same are of one class.
    """
    subject, act = _subject(fitting.name), _act(fitting.name)
    near = [t for t in pool if subject & _subject(t.name) and act is not None and _act(t.name) not in (None, act)]
    return tuple(random.sample(near, k=min(len(near), most)))


_ACTS = (
    ("get", "query", "find", "search", "check", "show", "list", "fetch", "lookup", "view"),
    ("add", "create", "book", "make", "set", "record", "register", "reserve", "generate", "open"),
    ("delete", "cancel", "remove", "forget", "close"),
    ("modify", "update", "change", "edit"),
    ("send", "share", "transfer", "pay"),
    ("play", "start", "turn"),
)
_NO_SUBJECT = {"engine", "from", "searcher", "tool", "user", "with", "calculate"} | {v for act in _ACTS for v in act}


def _words(name: str) -> list[str]:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).replace("_", " ").replace(".", " ").split()
    return [word for word in words if len(word) > 2 and not word.isdigit()]


def _subject(name: str) -> set[str]:
    """What names of related tools share: `Banks_1_CheckBalance` → bank, balance; `QueryStock` → stock."""
    return {word.rstrip("s") for word in _words(name)} - _NO_SUBJECT - {"play", "start", "open"}


def _act(name: str) -> int | None:
    """The class of the first verb of a tool's name."""
    return next((i for word in _words(name) for i, act in enumerate(_ACTS) if word in act), None)


def _swapped(text: str | None, swaps: Sequence[tuple[Any, Any]]) -> str | None:
    """A text that says other values; what is put in is not swapped again."""
    if not text:
        return text
    marks: list[tuple[str, str]] = []
    for old, new in swaps:
        while (span := find(old, text)) is not None:
            mark = f"\ue000{len(marks)}\ue001"
            marks.append((mark, str(new)))
            text = text[: span.start] + mark + text[span.end :]
    for mark, new in marks:
        text = text.replace(mark, new)
    return text
