"""Hand-made rows for the tests of the doctor."""

from typing import Any

from turnpoint.dialogue import Dialogue, PreferencePair, parse
from turnpoint.doctor import Finding

WEATHER = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["c", "f"]},
        },
        "required": ["city"],
    },
}
CLOCK = {"name": "clock", "parameters": {"type": "object", "properties": {}}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


def call(name: str = "weather", **arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"name": name, "arguments": arguments}]}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text}


def dialogue(*messages: dict[str, Any], source: str = "d.jsonl:1", tools: Any = (WEATHER,)) -> Dialogue:
    return parse(Dialogue, {"messages": messages, "tools": tools, "source": source}, source)


def pair(chosen: Any, rejected: Any, *, prompt: str = "Hi", source: str = "p.jsonl:1") -> PreferencePair:
    """A pair whose sides are a text or a list of messages."""
    sides = [[assistant(side)] if isinstance(side, str) else side for side in (chosen, rejected)]
    raw = {"prompt": [user(prompt)], "chosen": sides[0], "rejected": sides[1], "tools": (WEATHER,), "source": source}
    return parse(PreferencePair, raw, source)


def found(finding: Finding | None) -> Finding:
    assert finding is not None
    return finding
