"""A writer that asks a language model for every text."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from random import Random

from turnpoint.dialogue import Tool
from turnpoint.pairs.slots import Slot

_THOUGHT = re.compile(r"\A.*</think>|\A\s*<think>.*", re.DOTALL)
_NOTHING = "\u2026"  # breaks the rules of every text, as an empty one would if a message could hold it
Complete = Callable[[str], str]
"""Writes a reply to an instruction: a server, or a model in this process."""

_STYLES = (
    "Be brief.", "Be friendly.", "Be plain and direct.", "Be polite.", "Be casual.", "Be formal.",
    "Use everyday words.", "Use as few words as you can.",
)  # fmt: skip
_ALONE = "Write only the text itself, in the language of the words given, without quotes around it."


class LanguageModelWriter:
    """Words turns by a language model.

    Nothing of what it writes is taken on trust: `turnpoint.pairs.sides.fault` checks every pair, and one that breaks a
    rule is left out and counted.

    Args:
        complete: takes an instruction and returns what the model writes.
    """

    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def request(self, said: str, hidden: Sequence[Slot], kept: Sequence[Slot], tool: Tool, random: Random) -> str:
        """What the user said, without the values of `hidden` and with those of `kept`."""
        keep = f" Keep these: {_listed(slot.surface for slot in kept)}." if kept else ""
        return self._write(
            f"A user asks an assistant:\n{said}\n\nRewrite this request so that it no longer says, nor hints at, these"
            f" values: {_listed(slot.surface for slot in hidden)}.{keep} Do not put others in their place. It must"
            f" still be clear what the user wants: {tool.description or tool.name}",
            random,
        )

    def question(self, slots: Sequence[str], tool: Tool, random: Random) -> str:
        """Ask for `slots`, parameters of `tool`."""
        properties = tool.parameters.get("properties") or {}
        asked = {name: properties.get(name, {}) for name in slots}
        return self._write(
            f"You are an assistant and are about to: {tool.description or tool.name}\nAsk the user, in one or two short"
            f" sentences, for all of these parameters and for nothing else, without examples:"
            f" {json.dumps(asked, ensure_ascii=False)}",
            random,
        )

    def reply(self, values: Sequence[str], random: Random) -> str:
        """Give `values`."""
        return self._write(
            f"An assistant asked a user for something. Write the user's short answer. It gives, word for word:"
            f" {_listed(values)}",
            random,
        )

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        """Say that `missing` is not there, and what is."""
        wanted = f" The user wants this: {missing.description or missing.name}." if missing else ""
        can = "; ".join(tool.description or tool.name for tool in offered)
        return self._write(
            f"You are an assistant with these tools only: {can or 'none'}.{wanted} None of the tools can do it. Tell"
            " the user politely, in one or two sentences, that you cannot do this, and ask for nothing.",
            random,
        )

    def _write(self, instruction: str, random: Random) -> str:
        style = random.choice(_STYLES)
        written = _THOUGHT.sub("", self._complete(f"{instruction}\n{style} {_ALONE}"))
        return written.strip().strip('"\u201c\u201d').strip() or _NOTHING


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(texts)
