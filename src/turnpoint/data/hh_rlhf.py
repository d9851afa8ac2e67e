"""Pairs of whole texts in which "Human:" and "Assistant:" take turns (Anthropic's HH-RLHF), read as chat.

A `prompt` with the same tags may come before both sides (Dahoas/rm-static, DeepSpeed-Chat). A tag opens a text or
stands after an empty line; the space between a tag and what is said belongs to the form. Anything else that looks like
a tag is text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from turnpoint.data.changes import Changes
from turnpoint.data.preference import build_pair
from turnpoint.data.prompts import fork_messages
from turnpoint.dialogue import Message, PreferencePair
from turnpoint.errors import DataError

_OPENING = re.compile(r"\s*Human:")
_TAG = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_LAST_TAG = re.compile(r"\s+Assistant:\s*\Z")  # of a prompt, in whatever way it is set apart
_ROLES = {"Human": "user", "Assistant": "assistant"}
_SIDES = ("chosen", "rejected")


def matches(row: Mapping[str, Any]) -> bool:
    """Whether the row has two texts as sides, and they, or the prompt before them, begin with a human."""
    if not all(isinstance(row.get(name), str) for name in _SIDES):
        return False
    begin = [row["prompt"]] if row.get("prompt") is not None else [row[name] for name in _SIDES]
    return all(isinstance(text, str) and _OPENING.match(text) for text in begin)


def read(row: Mapping[str, Any], where: str, changes: Changes) -> PreferencePair:
    """Read one row: the prompt is what both sides share, by whole messages.

    Turns that say nothing are taken out, two messages of one speaker in a row become one, and a last message of the
    human, which nobody answers, is cut; each is counted.

    Raises:
        DataError: a side has no turn of its own, or the sides share no prompt.
    """
    before = _prompt(row["prompt"]) if row.get("prompt") is not None else []
    chosen, rejected = (_messages([*before, *_said(row[name], bool(before))], where, changes) for name in _SIDES)
    for name, side in zip(_SIDES, (chosen, rejected), strict=True):
        if not any(message.role == "assistant" for message in side):
            raise DataError(
                f"{where}: {name}: the assistant says nothing in it; leave the row out (got {row[name]!r:.80})"
            )
    return build_pair(row, *fork_messages(chosen, rejected), where, changes)


def _prompt(text: str) -> list[tuple[str, str]]:
    """Speakers and words of a prompt, which may end with the tag of the assistant."""
    cut = _LAST_TAG.sub("", text)
    return [*_said(cut, False), *([("Assistant", "")] if cut != text else [])]


def _said(text: str, goes_on: bool) -> list[tuple[str, str]]:
    """Speakers and words of a text; words before its first tag are the assistant's where it goes on from a prompt."""
    parts = _TAG.split(text)
    first = [("Assistant", parts[0])] if goes_on and parts[0].strip() else []
    return [*first, *zip(parts[1::2], parts[2::2], strict=True)]


def _messages(said: Sequence[tuple[str, str]], where: str, changes: Changes) -> tuple[Message, ...]:
    messages: list[Message] = []
    for i, (speaker, words) in enumerate(said):
        role, content = _ROLES[speaker], words.strip()
        if not content:
            # The tag at the end of a prompt is no turn: the side brings its words.
            changes.add("took out turns that say nothing", where, int(not _goes_on(said, i)))
        elif messages and messages[-1].role == role:
            changes.add("joined messages of one speaker in a row", where)
            joined = f"{messages[-1].content}\n\n{content}"
            messages[-1] = messages[-1].model_copy(update={"content": joined})
        else:
            messages.append(Message.model_validate({"role": role, "content": content}))
    if len(messages) > 1 and messages[-1].role == "user":
        changes.add("cut a last message of the human that nobody answers", where)
        messages.pop()
    return tuple(messages)


def _goes_on(said: Sequence[tuple[str, str]], i: int) -> bool:
    return said[i + 1 : i + 2] != [] and said[i + 1][0] == said[i][0] == "Assistant"
