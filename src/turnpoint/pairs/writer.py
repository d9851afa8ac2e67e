"""Who words what a dialogue does not say: a needless question, a reply to it, a rejection."""

from collections.abc import Sequence
from random import Random
from typing import Protocol

from turnpoint.dialogue import Tool


class Writer(Protocol):
    """Words turns and replies. A list of phrases is one (`PhraseWriter`), a language model can be another."""

    def question(self, slots: Sequence[str], random: Random) -> str:
        """What the assistant says to ask for the parameters `slots`."""

    def reply(self, values: Sequence[str], random: Random) -> str:
        """What the user says to give `values`."""

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        """What the assistant says when no tool fits: `missing` is the one that would have, if it is known."""
