"""Rows with a rating, liked or not: what of them is rated, and pairs of a liked and a disliked one."""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from turnpoint.data.changes import Changes
from turnpoint.data.fields import WEIGHT_KEYS
from turnpoint.data.roles import entry_role
from turnpoint.dialogue import Dialogue


def only_last_turn(entries: Any) -> Any:
    """The entries of a rated conversation with `train: false` on all turns but the last, which is what is rated.

    Entries that say themselves whether they are trained on stay as they are, and so does what is no list of entries.
    """
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return entries
    turns = [i for i, entry in enumerate(entries) if entry_role(entry) == "assistant"]
    said = ("train", *WEIGHT_KEYS)
    untrained = {i for i in turns[:-1] if not any(entries[i].get(key) is not None for key in said)}
    return [{**entry, "train": False} if i in untrained else entry for i, entry in enumerate(entries)]


class RatedPair(NamedTuple):
    """A liked dialogue and a disliked one of the same tools and prompt."""

    liked: Dialogue
    disliked: Dialogue
    prompt: int  # messages

    @property
    def where(self) -> str:
        """Where both stand, for messages."""
        return f"{self.liked.source} and {self.disliked.source}"


def pair_rated(dialogues: Iterable[Dialogue], changes: Changes) -> Iterator[RatedPair]:
    """Pair rated dialogues of one prompt, liked with disliked, in order of appearance.

    All dialogues are read before it ends, and those that wait for one of the other label are held in memory.

    Args:
        dialogues: with a label, or without, which are left out.
        changes: is told how many are left out.
    """
    waiting: dict[str, dict[bool, deque[Dialogue]]] = defaultdict(lambda: {True: deque(), False: deque()})
    unrated = 0
    for dialogue in dialogues:
        if dialogue.label is None:
            unrated += 1
            continue
        shared = prompt_length(dialogue)
        of_prompt = waiting[_key(dialogue, shared)]
        others = of_prompt[not dialogue.label]
        if not others:
            of_prompt[dialogue.label].append(dialogue)
            continue
        other = others.popleft()
        yield RatedPair(*((dialogue, other) if dialogue.label else (other, dialogue)), shared)
    alone = sum(len(queue) for queues in waiting.values() for queue in queues.values())
    if alone:
        rows = "1 rated row has" if alone == 1 else f"{alone} rated rows have"
        changes.say(f"{rows} no row of the other label with their prompt, and are left out")
    if unrated:
        changes.say(f"left out of the pairs of rated rows for want of a label: {unrated}")


def prompt_length(dialogue: Dialogue) -> int:
    """How many messages come before the first turn that is rated."""
    rated = (i for i in dialogue.turns if dialogue.messages[i].train)
    return next(rated, len(dialogue.messages))


def _key(dialogue: Dialogue, shared: int) -> str:
    tools = [tool.model_dump() for tool in dialogue.tools]
    said = [message.said for message in dialogue.messages[:shared]]
    return json.dumps([dialogue.verbatim, tools, said], sort_keys=True, default=str)
