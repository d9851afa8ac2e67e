"""The prompt that two whole conversations, or two whole texts, share."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from turnpoint.dialogue import Message

# Ends of clauses in scripts that put no space between words: full stop, comma, colon and the like, full width.
_CLAUSE_END = "\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f\uff09\u3009\u300b\u300d\u300f\u3011"
_BOUNDARY = re.compile(rf"(?<=\S)(?=\s)|(?<=\s)|(?<=[{_CLAUSE_END}])")


class Forked(NamedTuple):
    """What two conversations share, and how each goes on."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]


class ForkedText(NamedTuple):
    """What two texts share, and how each goes on."""

    prompt: str
    chosen: str
    rejected: str


def fork_messages(chosen: Sequence[Message], rejected: Sequence[Message]) -> Forked:
    """Split two conversations where they part.

    The prompt is the longest run of whole messages, equal on both sides, after which the assistant takes its turn on
    both: where the first difference is a tool result or a user message, or the end of one side, the sides start at
    the last assistant message before it. The prompt is empty where there is no such run.
    """
    shortest = min(len(chosen), len(rejected))
    shared = next((i for i in range(shortest) if chosen[i].said != rejected[i].said), shortest)
    starts = (
        i
        for i in range(min(shared, shortest - 1), 0, -1)
        if chosen[i].role == "assistant" and rejected[i].role == "assistant"
    )
    cut = next(starts, 0)
    return Forked(tuple(chosen[:cut]), tuple(chosen[cut:]), tuple(rejected[cut:]))


def fork_text(chosen: str, rejected: str) -> ForkedText:
    """Split two texts where they part, never inside a word.

    The cut is the last boundary of words that both texts share and after which both still say something. One space
    before the cut goes to the sides, since tokenisers join it to the word that follows. The prompt is empty where
    there is no such boundary: for `Paris ` and `London` nothing is shared.
    """
    shortest = min(len(chosen), len(rejected))
    shared = next((i for i in range(shortest) if chosen[i] != rejected[i]), shortest)
    common = chosen[:shared]
    cuts = {match.end() for match in _BOUNDARY.finditer(common)}
    if chosen[shared : shared + 1].isspace() and rejected[shared : shared + 1].isspace():
        cuts.add(shared)  # the word before ends on both sides, though different white space follows it
    cut = max((i for i in cuts if common[:i].strip() and chosen[i:].strip() and rejected[i:].strip()), default=0)
    if common[:cut].endswith(" "):
        cut -= 1
    return ForkedText(chosen[:cut], chosen[cut:], rejected[cut:])
