"""Pairs by hand: a person says which reply to a prompt is better, and which is worse.

A choice names replies by what they say, not by where they stood, so that it means the same when the file of samples has
grown, or is shown in another order.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from random import Random
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, model_validator

from turnpoint.dialogue import Message, PreferencePair
from turnpoint.errors import DataError
from turnpoint.pairs.samples import Samples, pair_of


class Verdict(StrEnum):
    """What a person says of a prompt: one reply is better than another, not now, none is better or none is of use."""

    PAIR = "pair"
    SKIP = "skip"
    TIE = "tie"
    UNDO = "undo"  # takes back what was said last


class Choice(BaseModel):
    """What a person said of a prompt.

    Attributes:
        id: of the prompt.
        verdict: what was said.
        chosen: `Way.key` of the better reply, for a pair.
        rejected: `Way.key` of the worse one, for a pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    verdict: Verdict
    chosen: str | None = None
    rejected: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [key for key in (self.chosen, self.rejected) if key is not None]
        if len(named) != (2 if self.verdict is Verdict.PAIR else 0):
            raise ValueError(f"chosen and rejected: a pair has both, a {self.verdict.value} has none (got {named})")
        if len(set(named)) < len(named):
            raise ValueError(f"chosen and rejected: are the same reply (got {named})")
        return self


class Way(NamedTuple):
    """A way to go on from a prompt: `key` tells it and its prompt from all others, `cut` says that it does not end."""

    key: str
    message: Message
    cut: bool


class Asked(NamedTuple):
    """A prompt, and the ways to go on in the order in which they are shown."""

    drawn: Samples
    ways: tuple[Way, ...]


class Annotation:
    """What is asked of a person, and what was said so far.

    Args:
        samples: prompts with their replies; their ids differ.
        gold: whether the first message of what the data says is offered among the replies, unmarked.
        seed: of the order of the replies, which is drawn anew for each prompt.

    Attributes:
        asked: the prompts that have two replies that differ.
        left_out: why others are not asked, or replies not shown.

    Raises:
        DataError: two prompts have one id.
    """

    def __init__(self, samples: Sequence[Samples], *, gold: bool = False, seed: int = 0) -> None:
        self.left_out = Counter[str]()
        self.asked: list[Asked] = []
        self._samples: dict[str, Samples] = {}
        self._messages: dict[tuple[str, str], Message] = {}  # by the id of the prompt and the key of the way
        self._taken: list[Choice] = []
        self._pairs: dict[Choice, PreferencePair] = {}
        for drawn in samples:
            if drawn.id in self._samples:
                raise DataError(
                    f"{drawn.source}: id: {drawn.id!r} stands twice; give each prompt of the samples an id of its own"
                )
            self._samples[drawn.id] = drawn
            self._ask(drawn, gold, Random(f"{seed}:{drawn.id}"))

    def _ask(self, drawn: Samples, gold: bool, random: Random) -> None:
        right = list(_gold(drawn))
        replies = list(_replies(drawn, self.left_out))
        # A choice of an earlier run may name what the data says, whether it is shown in this one or not.
        self._messages |= {(drawn.id, way.key): way.message for way in (*replies, *right)}
        ways = list({way.key: way for way in (*replies, *(right if gold else []))}.values())
        if len(ways) < 2:
            self.left_out["a prompt: has fewer than two replies that differ"] += 1
            return
        random.shuffle(ways)
        self.asked.append(Asked(drawn, tuple(ways)))

    @property
    def said(self) -> dict[str, Choice]:
        """What was said last of each prompt, by its id."""
        return {choice.id: choice for choice in self._taken}

    @property
    def last(self) -> Choice | None:
        """What was said last of all."""
        return self._taken[-1] if self._taken else None

    @property
    def pairs(self) -> list[PreferencePair]:
        """The pairs that were chosen, in the order of the samples."""
        said = self.said
        return [self._pairs[said[id]] for id in self._samples if id in said and said[id].verdict is Verdict.PAIR]

    def counts(self) -> dict[str, int]:
        """How many prompts gave a pair, are ties, were skipped, and are left."""
        said = self.said
        of = Counter(choice.verdict for choice in said.values())
        left = sum(each.drawn.id not in said for each in self.asked)
        return {"pairs": of[Verdict.PAIR], "ties": of[Verdict.TIE], "skipped": of[Verdict.SKIP], "left": left}

    def check(self, choice: Choice) -> None:
        """See whether a choice can be taken.

        Raises:
            DataError: the samples do not hold what it is about, its replies make no pair, or nothing is to be undone.
        """
        if choice.verdict is Verdict.UNDO:
            if self.last is None or self.last.id != choice.id:
                raise DataError(f"undo: {choice.id!r} is not what was chosen last; nothing is taken back")
            return
        sides = [(choice.id, key) for key in (choice.chosen, choice.rejected) if key is not None]
        if choice.id not in self._samples or any(side not in self._messages for side in sides):
            raise DataError(
                f"a choice is about {choice.id!r}, which the samples do not hold, or not with these replies"
            )
        if sides and choice not in self._pairs:
            chosen, rejected = ((self._messages[side],) for side in sides)
            drawn = self._samples[choice.id]
            self._pairs[choice] = pair_of(drawn, chosen, rejected, 1, row="annotate", kind="annotated")

    def take(self, choice: Choice) -> None:
        """Take a choice; `check` says whether it can be."""
        self.check(choice)
        if choice.verdict is Verdict.UNDO:
            self._taken.pop()
        else:
            self._taken.append(choice)


def _gold(drawn: Samples) -> Iterator[Way]:
    """How the data goes on, its first message: a reply has one."""
    yield from (Way(_key(drawn, message), message, False) for message in drawn.gold[:1])


def _replies(drawn: Samples, left_out: Counter[str]) -> Iterator[Way]:
    """The replies that differ and are not empty."""
    met: set[str] = set()
    for reply in drawn.replies:
        key = "" if reply.message is None else _key(drawn, reply.message)
        if reply.message is None or key in met:
            left_out["a reply: stands twice" if key in met else "a reply: is empty"] += 1
            continue
        met.add(key)
        yield Way(key, reply.message, reply.cut)


def _key(drawn: Samples, message: Message) -> str:
    said = [each.said for each in (*drawn.prompt, message)], [tool.model_dump() for tool in drawn.tools]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
