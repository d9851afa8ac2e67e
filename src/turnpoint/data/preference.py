"""Rows of preference: `prompt`, `chosen` and `rejected`, as text or as messages; `prompt` may be implicit.

Without a prompt both sides are whole conversations (or whole texts) and the prompt is what they share. Rows in which
everything is text are verbatim: no chat template enters them. A prompt that is text with sides that are messages is a
user message. `messages` in the place of `prompt` are one, where the sides go on from them. `conversations` with
`chosen` and `rejected` is LLaMA-Factory's ShareGPT form of the same, and so are `chosen_messages` and
`rejected_messages`, whole conversations (its v1 form).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.fields import from_json, row_id, tools
from turnpoint.data.openai import read_messages
from turnpoint.data.prompts import fork_messages, fork_text
from turnpoint.data.roles import entry_role
from turnpoint.data.sharegpt import read_conversation, read_entries
from turnpoint.dialogue import Message, PreferencePair, prompt_id
from turnpoint.dialogue.faults import parse
from turnpoint.errors import DataError


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has two sides."""
    return "chosen" in row and "rejected" in row


def matches_conversations(row: Mapping[str, Any]) -> bool:
    """Whether the row has two whole conversations under the names of LLaMA-Factory's v1 form."""
    return "chosen_messages" in row and "rejected_messages" in row


def read_conversations(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read two whole conversations; the prompt is what they share."""
    sides = (_read_list(row[name], where, name, changes) for name in ("chosen_messages", "rejected_messages"))
    return build_pair(row, *fork_messages(*sides), where, changes)


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row.

    Raises:
        DataError: one line: where, field, rule.
    """
    if row.get("conversations") is not None:
        prompt = read_conversation(row, where, changes)
        chosen, rejected = (_side(row, name, where, changes) for name in ("chosen", "rejected"))
        return build_pair(row, prompt, chosen, rejected, where, changes, verbatim=bool(row.get("verbatim")))
    row = _with_prompt(row, where)
    if _is_text(row.get("chosen")) and _is_text(row.get("rejected")) and _is_text(row.get("prompt")):
        return _read_text(row, where, changes)
    return _read_messages(row, where, changes)


def build_pair(
    row: Mapping[str, Any],
    prompt: Sequence[Message],
    chosen: Sequence[Message],
    rejected: Sequence[Message],
    where: str,
    changes: Changes,
    *,
    verbatim: bool = False,
) -> PreferencePair:
    """Validate a pair. Without a dialogue id in the row, pairs of one prompt have one id in common."""
    fields = {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "tools": tools(row, where, changes),
        "id": row_id(row, where),
        "kind": row.get("kind") or "",
        "about": row.get("about") or {},
        "weight": 1.0 if row.get("weight") is None else row["weight"],
        "margin": row.get("margin"),
        "dialogue_id": row_id(row, prompt_id(prompt), "dialogue_id"),
        "source": where,
        "verbatim": verbatim,
    }
    return parse(PreferencePair, fields, where)


def _with_prompt(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The row with its `messages` as prompt, where its sides go on from them; whole conversations need none."""
    if row.get("prompt") is not None or row.get("messages") is None:
        return row
    if not all(_begins_with_turn(row[name]) for name in ("chosen", "rejected")):
        return row
    messages = from_json(row["messages"], where, "messages")
    last = messages[-1] if isinstance(messages, Sequence) and messages else None
    if entry_role(last) == "assistant":
        raise DataError(
            f"{where}: messages: end with a turn of the assistant, as chosen and rejected begin; leave that turn out of"
            " messages"
        )
    return {**row, "prompt": messages}


def _begins_with_turn(side: Any) -> bool:
    return _is_text(side) or entry_role(side[0] if isinstance(side, list) and side else side) == "assistant"


def _read_text(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    prompt, chosen, rejected = row.get("prompt"), row["chosen"] or "", row["rejected"] or ""
    if row.get("tools") or row.get("functions"):
        raise DataError(f"{where}: tools: a row of plain text cannot offer tools; give prompt and sides as messages")
    if prompt is not None and not prompt.strip():
        raise DataError(f"{where}: prompt: is empty; give the text that both sides go on from (got {prompt!r})")
    if prompt is None and chosen and rejected and chosen != rejected:
        prompt, chosen, rejected = fork_text(chosen, rejected)
        if not prompt:
            raise DataError(
                f"{where}: chosen, rejected: the sides share no prompt; both texts must start with the same words, or"
                f" give a prompt (got {chosen[:40]!r} and {rejected[:40]!r})"
            )
    # Empty or equal sides are refused by the pair itself, whatever stands for their prompt.
    shared = (Message(role="user", content=prompt or ""),)
    return build_pair(row, shared, _reply(chosen), _reply(rejected), where, changes, verbatim=True)


def _read_messages(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    given = row.get("prompt")
    chosen, rejected = (_side(row, name, where, changes) for name in ("chosen", "rejected"))
    if given is None:
        prompt, chosen, rejected = fork_messages(chosen, rejected) if chosen and rejected else ((), chosen, rejected)
        return build_pair(row, prompt, chosen, rejected, where, changes, verbatim=bool(row.get("verbatim")))
    as_user = isinstance(given, str)
    prompt = (Message(role="user", content=given),) if as_user else _read_list(given, where, "prompt", changes)
    if chosen and rejected and chosen[0].role != "assistant" and rejected[0].role != "assistant":
        forked = _repeated_prompt(prompt, chosen, rejected)
        if forked is not None:
            changes.add("removed prompt repeated at the start of both sides", where)
            prompt, chosen, rejected = forked
    return build_pair(row, prompt, chosen, rejected, where, changes, verbatim=bool(row.get("verbatim")))


def _repeated_prompt(
    prompt: tuple[Message, ...], chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> tuple[tuple[Message, ...], ...] | None:
    """The parts of a row whose sides are whole conversations though it gives a prompt as well; None where they are not.

    A system message may stand before the prompt on both sides.
    """
    said = [message.said for message in prompt]
    for start in (0, 1):
        end = start + len(prompt)
        sides = [[message.said for message in side[:end]] for side in (chosen, rejected)]
        if sides[0] == sides[1] and sides[0][start:] == said and (start == 0 or chosen[0].role == "system"):
            return chosen[:end], chosen[end:], rejected[end:]
    return None


def _side(row: Mapping[str, Any], name: str, where: str, changes: Changes) -> tuple[Message, ...]:
    value = row[name]
    if _is_text(value):
        return _reply(value or "")
    return _read_list(value, where, name, changes)


def _reply(text: str) -> tuple[Message, ...]:
    return (Message(role="assistant", content=text),) if text else ()


def _read_list(raw: Any, where: str, field: str, changes: Changes) -> tuple[Message, ...]:
    first = raw[0] if isinstance(raw, Sequence) and raw else raw
    sharegpt = isinstance(first, Mapping) and "from" in first
    return (read_entries if sharegpt else read_messages)(raw, where, field, changes)


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)
