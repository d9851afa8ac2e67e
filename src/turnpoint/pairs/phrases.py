"""A writer made of phrases: every text is put together from parts, so that no wording stands for a decision."""

import re
from collections.abc import Sequence
from random import Random

from turnpoint.dialogue import Tool

_QUESTION_OPENINGS = (
    "", "", "", "Sure. ", "Of course. ", "Okay. ", "Happy to help. ", "Sure, I can help with that. ", "Got it. ",
    "No problem. ", "All right. ", "Certainly. ", "One moment. ", "Let me see. ",
)  # fmt: skip
_QUESTIONS = (
    "What {is} the {slots}?", "What {slots} would you like?", "Which {slots} should I use?",
    "Could you tell me the {slots}?", "Please provide the {slots}.", "Can you give me the {slots}?",
    "What {is} your {slots}?", "I need the {slots} first.", "May I have the {slots}?", "And the {slots}?",
    "Do you have any {slots} in mind?", "Could you specify the {slots}, please?",
)  # fmt: skip
_REPLIES = (
    "{values}.",
    "It's {values}.",
    "{values}, please.",
    "As I said, {values}.",
    "That would be {values}.",
    "{values}",
)
_REJECTION_OPENINGS = (
    "", "", "I'm sorry, but ", "Sorry, ", "Unfortunately, ", "I apologize, but ", "I'm afraid ",
    "Thanks for asking, but ",
)  # fmt: skip
_REJECTIONS = (
    "I don't have a tool to {task}.", "I can't {task}.", "I'm not able to {task}.", "I have no function to {task}.",
    "I currently can't {task} because none of my tools does that.", "there is no tool here that lets me {task}.",
    "I don't have the capability to {task}.", "I'm unable to {task} with the tools that I have.",
)  # fmt: skip
_UNKNOWN_TASKS = ("help with that", "do that", "carry out this request", "assist with this", "handle that request")
_OFFERS = (
    "", "", " I can only {task}.", " What I can do is {task}.", " My tools only let me {task}.",
    " If you like, I can {task}.", " Is there anything else I can help you with?",
    " Let me know if you need to {task} instead.",
)  # fmt: skip


class PhraseWriter:
    """Questions, replies and rejections out of phrases, some hundreds of wordings of each."""

    def question(self, slots: Sequence[str], random: Random) -> str:
        """Ask for `slots`."""
        named = _listed([slot.replace("_", " ") for slot in slots])
        text = random.choice(_QUESTIONS).format(slots=named, **{"is": "are" if len(slots) > 1 else "is"})
        return random.choice(_QUESTION_OPENINGS) + text

    def reply(self, values: Sequence[str], random: Random) -> str:
        """Give `values`."""
        return random.choice(_REPLIES).format(values=_listed(values))

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        """Say that `missing` is not there, and now and then what is."""
        task = task_of(missing) if missing is not None and random.random() < 0.7 else random.choice(_UNKNOWN_TASKS)
        text = random.choice(_REJECTION_OPENINGS) + random.choice(_REJECTIONS).format(task=task)
        if offered:
            text += random.choice(_OFFERS).format(task=_listed([task_of(tool) for tool in offered[:2]], "or"))
        return text[0].upper() + text[1:]


def task_of(tool: Tool) -> str:
    """What a tool does, to stand after "I can": from its description, else from its name."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", tool.name).lower()
    first_sentence = re.split(r"[.;](?=\s|$)|\n", tool.description.strip(), maxsplit=1)[0]
    if not re.match(r"[A-Z][a-z]+ ", first_sentence) or re.match(r"(?:The|This|An?|API) ", first_sentence):
        return f"use {words}"
    verb, rest = first_sentence.split(" ", 1)
    return f"{_base_form(verb.lower())} {rest}"


def _base_form(verb: str) -> str:
    """Turn "Adds" into "add": the few third-person forms that descriptions of tools start with."""
    if re.search(r"(?:sh|ch|ss|x)es$", verb):
        return verb[:-2]
    return verb[:-1] if re.search(r"[^s]s$", verb) else verb


def _listed(names: Sequence[str], joint: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {joint} {names[-1]}"
