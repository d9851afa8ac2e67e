"""What builders of pairs draw on: a writer, chance, and the tools and values of all dialogues."""

import json
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from turnpoint.dialogue import Dialogue, Message, Tool, ToolCall
from turnpoint.pairs.slots import Slot, Span, find
from turnpoint.pairs.writer import Writer

_FARTHEST = 5  # by which an invented number differs at most, in units of its leading digit


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

    A number of one tool is out of place in another, so it is taken from its own tool alone. The value itself where
    there is no other.
    """
    allowed = _schema(tool, name).get("enum")
    elsewhere = [v for (_, parameter), values in sources.values.items() if parameter == name for v in values]
    for others in (
        allowed if isinstance(allowed, list) else (),
        sources.values.get((tool.name, name), ()),
        elsewhere if isinstance(value, str) else (),
    ):
        different = [other for other in others if type(other) is type(value) and not _same(other, value)]
        if different:
            return sources.random.choice(different)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _near(value, sources.random)
    return _other_digits(value, sources.random) if isinstance(value, str) else value


def _near(value: int | float, random: Random) -> int | float:
    """Another number of about the same size: 25 becomes 35 to 75."""
    unit = 10.0 ** math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 1.0
    moved = value + random.randint(1, _FARTHEST) * unit
    return round(moved) if isinstance(value, int) else float(f"{moved:.12g}")


def _other_digits(text: str, random: Random) -> str:
    """Another number in a name, a code or a moment; the text itself where there is none to change.

    The last digit that is no zero becomes a smaller one, so that a date stays one: 2026-03-31 becomes 2026-03-30.
    """
    place = max((i for i, char in enumerate(text) if char in "123456789"), default=None)
    if place is None:
        return text
    after_digit = place > 0 and text[place - 1] in "123"
    smaller = range(1, int(text[place])) or ((0,) if after_digit else (2,))
    return f"{text[:place]}{random.choice(smaller)}{text[place + 1 :]}"


def with_invented(
    way: Sequence[Message], slots: Sequence[Slot], tool: Tool, sources: Sources
) -> tuple[Message, ...] | None:
    """A call, its results and the answer, as if the values of `slots` were others; None where one has no other."""
    made = {slot.name: invented(tool, slot.name, slot.value, sources) for slot in slots}
    if any(_same(made[slot.name], slot.value) for slot in slots):
        return None
    swaps = [_Swap(slot.name, slot.value, made[slot.name]) for slot in slots]

    def through(message: Message) -> Message:
        calls = tuple(
            call.model_copy(update={"arguments": {**call.arguments, **made}}) if call.name == tool.name else call
            for call in message.tool_calls
        )
        return message.model_copy(update={"tool_calls": calls, "content": _swapped(message.content, swaps)})

    return tuple(map(through, way))


def call_of(tool: Tool, sources: Sources) -> ToolCall:
    """A call that the tool would take, with values seen in calls of it, else with some of the type that it asks for."""
    properties = tool.parameters.get("properties") or {}
    names = tool.required or tuple(properties)[:2]
    seen = {name: sources.values.get((tool.name, name)) for name in names}
    return ToolCall(
        name=tool.name,
        arguments={
            name: sources.random.choice(values) if values else _placeholder(_schema(tool, name), name, sources)
            for name, values in seen.items()
        },
    )


def _schema(tool: Tool, name: str) -> Mapping[str, Any]:
    properties = tool.parameters.get("properties")
    schema = properties.get(name) if isinstance(properties, dict) else None
    return schema if isinstance(schema, dict) else {}


def _placeholder(schema: Mapping[str, Any], name: str, sources: Sources) -> Any:
    words, listed = name.replace("_", " "), schema.get("enum")
    if isinstance(listed, list) and listed:
        return sources.random.choice(listed)
    match schema.get("type"):
        case "integer" | "number":
            return sources.random.randint(1, _FARTHEST)
        case "boolean":
            return True
        case "array":
            return [words]
        case "object":
            return {}
        case _:
            return words


def _same(a: Any, b: Any) -> bool:
    """Whether two values are one but for case."""
    return str(a).casefold() == str(b).casefold()


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


class _Swap(NamedTuple):
    name: str  # of the parameter
    old: Any
    new: Any


def _swapped(text: str | None, swaps: Sequence[_Swap]) -> str | None:
    """A text, or a result in JSON, that says other values."""
    if not text:
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return _swapped_text(text, swaps)
    changed = _swapped_value(value, "", swaps)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _swapped_value(value: Any, name: str, swaps: Sequence[_Swap]) -> Any:
    """Numbers change under the parameter's own name only: another thing may be as many."""
    if isinstance(value, dict):
        return {key: _swapped_value(item, key, swaps) for key, item in value.items()}
    if isinstance(value, list):
        return [_swapped_value(item, name, swaps) for item in value]
    if isinstance(value, str):
        return _swapped_text(value, [swap for swap in swaps if isinstance(swap.old, str) or swap.name == name])
    return next((swap.new for swap in swaps if swap.name == name and swap.old == value), value)


def _swapped_text(text: str, swaps: Sequence[_Swap]) -> str:
    found: list[tuple[Span, str]] = []
    for swap in swaps:
        at = 0
        while (span := find(swap.old, text[at:])) is not None:
            place = Span(at + span.start, at + span.end)
            if all(place.end <= other.start or other.end <= place.start for other, _ in found):
                found.append((place, str(swap.new)))
            at = place.end
    for place, new in sorted(found, reverse=True):
        text = text[: place.start] + new + text[place.end :]
    return text
