"""Who words what a dialogue does not say: a request that leaves things open, a question, a reply to it, a rejection."""

from collections.abc import Sequence
from random import Random
from typing import Protocol

from turnpoint.dialogue import Tool
from turnpoint.pairs.slots import Slot


class Writer(Protocol):
    """Words turns and replies. A bank of phrases is one (`PhraseWriter`), a language model another."""

    def request(self, said: str, hidden: Sequence[Slot], kept: Sequence[Slot], tool: Tool, random: Random) -> str:
        """What the user says first: what he `said`, without the values of `hidden` and with those of `kept`."""

    def question(self, slots: Sequence[str], tool: Tool, random: Random) -> str:
        """What the assistant says to ask for the parameters `slots` of `tool`."""

    def reply(self, values: Sequence[str], random: Random) -> str:
        """What the user says to give `values`."""

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        """What the assistant says when no tool fits: `missing` is the one that would have, if it is known."""
