"""Contents that are lists of parts, of which some are reasoning or calls, as in LLaMA-Factory's v1 form."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from turnpoint.data.fields import from_json

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_REASONING_PARTS = ("reasoning", "thinking")
_CALL_PART = "tool_call"


class Parts(NamedTuple):
    """What a content holds: text and images as they are, reasoning, and calls."""

    content: Any
    reasoning: list[Any]
    calls: list[Any]


def split_parts(content: Any, where: str, field: str) -> Parts:
    """Take reasoning and calls out of a content; one without such parts stays as it is."""
    if not isinstance(content, list) or not any(_kind(part) in (*_REASONING_PARTS, _CALL_PART) for part in content):
        return Parts(content, [], [])
    rest = [part for part in content if _kind(part) not in (*_REASONING_PARTS, _CALL_PART)]
    reasoning = [_payload(part) for part in content if _kind(part) in _REASONING_PARTS]
    calls = [_payload(part) for part in content if _kind(part) == _CALL_PART]
    return Parts(rest or None, reasoning, [from_json(call, where, f"{field}.tool_call") for call in calls])


def reasoning_of(message: Mapping[str, Any], parts: Parts) -> Any:
    """The reasoning of a message, from a key of its own or from parts; None where it has none.

    Servers give the same reasoning under two keys, so equal texts count once.
    """
    given = [message[key] for key in REASONING_KEYS if message.get(key)] + [text for text in parts.reasoning if text]
    if not given or not all(isinstance(text, str) for text in given):
        return given[0] if given else None
    return "\n".join(dict.fromkeys(given))


def _kind(part: Any) -> Any:
    return part.get("type") if isinstance(part, Mapping) else None


def _payload(part: Mapping[str, Any]) -> Any:
    """What a part holds: under `value` (LLaMA-Factory), under the name of its type, or under `text`."""
    keys = ("value", str(part["type"]), "text")
    return next((part[key] for key in keys if part.get(key) is not None), None)
