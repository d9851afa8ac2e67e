"""Names of roles in use, and the four roles that they stand for."""

from collections.abc import Mapping
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json
from turnpoint.dialogue import Message
from turnpoint.errors import DataError

_CALL_ROLES = ("function_call", "function-call", "tool_call", "tool-call")
"""Roles of the assistant whose content is a call, or a list of them, as JSON."""

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", *_CALL_ROLES), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
    **dict.fromkeys(("function_response", "function-response", "tool_response", "tool-response"), "tool"),
}


def role_of(name: Any) -> str | None:
    """The role that a name stands for, in capitals or not; None where it is unknown."""
    return ROLES.get(name.lower()) if isinstance(name, str) else None


def entry_role(entry: Any) -> str | None:
    """The role of an entry, which says `role` or `from`; None where it says neither, or is none."""
    return role_of(entry.get("role", entry.get("from"))) if isinstance(entry, Mapping) else None


def read_role(name: Any, where: str, changes: Changes) -> str | None:
    """The role that a name stands for; that it has capitals is counted."""
    role = role_of(name)
    changes.add("read roles named in capitals", where, int(role is not None and name not in ROLES))
    return role


def calls_by_role(name: Any) -> bool:
    """Whether the name of a role says that its content is a call."""
    return isinstance(name, str) and name.lower() in _CALL_ROLES


def calls_of(value: Any, where: str, field: str) -> list[Any]:
    """The calls in the content of a message whose role says that it calls."""
    value = from_json(value, where, field)
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, Mapping) for call in calls):
        raise DataError(f"{where}: {field}: a function_call must hold name and arguments (got {value!r:.80})")
    return calls


def append_message(
    messages: list[Message], message: Message, names: tuple[Any, Any], where: str, changes: Changes
) -> None:
    """Append a message; one that only calls, right after another of that kind, becomes parallel calls of that one.

    Args:
        messages: so far; changed.
        message: the next.
        names: of the roles of the message before and of this one, as the data has them.
        where: file and line.
        changes: counts what is merged.
    """
    if all(map(calls_by_role, names)) and not message.content and not message.reasoning:
        parallel = messages[-1].tool_calls + message.tool_calls
        messages[-1] = messages[-1].model_copy(update={"tool_calls": parallel})
        changes.add("merged function_call entry into the one before, as parallel calls", where)
    else:
        messages.append(message)
