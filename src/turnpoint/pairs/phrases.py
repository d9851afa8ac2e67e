"""A writer made of phrases: every text is put together from parts, so that no wording stands for a decision."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from turnpoint.dialogue import Tool, parse
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs.slots import Slot, says, without

BANKS = Path(__file__).parent / "banks"
_OFTEN = 0.7  # of rejections say what is missing
_OWN_WORDS = 0.8  # of rewritten requests keep the user's own words, where they can be cut
_SHORT = 24  # characters of a description that can stand for a name
_SHORT_NOUN = 60  # characters of a description that can stand for a parameter
_NO_NOUN = re.compile(r"\A(?:to|from|by|at|in|on|of|for|with|as|until|since|[a-z])\Z")  # no name for a parameter
_ABOUT_AN_API = re.compile(r"\A(?:This|The) (?:is an )?(?:API|function|tool) (?:is |can be )?(?:used )?(?:for |to )?")
_Phrases = tuple[str, ...]


class _Lists(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    comma: str
    conjunction: str = Field(alias="and")
    disjunction: str = Field(alias="or")


class PhraseBank(BaseModel):
    """The phrases of one language; `pairs/banks/en.yaml` is one, with comments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lists: _Lists
    be: tuple[str, str] = ("", "")
    tasks: Literal["verb", "quoted"]
    slots: Literal["name", "description"]
    question_openings: _Phrases = Field(min_length=1)
    questions: _Phrases = Field(min_length=1)
    replies: _Phrases = Field(min_length=1)
    rejection_openings: _Phrases = Field(min_length=1)
    rejections: _Phrases = Field(min_length=1)
    unknown_tasks: _Phrases = Field(min_length=1)
    offers: _Phrases = Field(min_length=1)
    requests: _Phrases = Field(min_length=1)

    @model_validator(mode="after")
    def _fill_in(self) -> Self:
        """Each phrase names what is put into it, and nothing else."""
        for name, holds in _PLACES.items():
            for phrase in getattr(self, name):
                try:
                    filled = phrase.format(**dict.fromkeys(("is", *holds), _MARK))
                except (LookupError, ValueError):
                    filled = ""
                needed = name != "offers" or "{" in phrase
                if needed and _MARK not in filled:
                    raise ValueError(
                        f"{name}: must hold {' and '.join(f'{{{each}}}' for each in holds)} (got {phrase!r})"
                    )
        return self


_MARK = "\ue000"
_PLACES = {
    "questions": ("slots",),
    "replies": ("values",),
    "rejections": ("task",),
    "offers": ("task",),
    "requests": ("task",),
}


@cache
def phrase_bank(name: str) -> PhraseBank:
    """The phrases of a language.

    Args:
        name: `en`, `ko`, `zh`, or a YAML file of the same fields.

    Raises:
        ConfigError: there is no such language or file, or a field is missing or unknown.
    """
    shipped = {file.stem: file for file in BANKS.glob("*.yaml")}
    file = shipped.get(name, Path(name))
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"phrases: must be one of {', '.join(sorted(shipped))}, or a YAML file of phrases (got {name!r}: {reason})"
        ) from None
    try:
        return parse(PhraseBank, raw, f"phrases {name}")
    except DataError as error:
        raise ConfigError(f"{error}; {BANKS / 'en.yaml'} is an example") from None


class PhraseWriter:
    """Requests, questions, replies and rejections out of phrases, some hundreds of wordings of each.

    Args:
        bank: the phrases; those of English where left out.
    """

    def __init__(self, bank: PhraseBank | None = None) -> None:
        self._bank = bank or phrase_bank("en")

    def request(self, said: str, hidden: Sequence[Slot], kept: Sequence[Slot], tool: Tool, random: Random) -> str:
        """Ask for what `tool` does without the values of `hidden`: in the user's own words where they can be cut."""
        own = without(said, [slot.value for slot in hidden])
        if own is not None and random.random() < _OWN_WORDS and all(says(own, slot.value) for slot in kept):
            return own
        text = _sentence(random.choice(self._bank.requests).format(task=self._task(tool)))
        return f"{text} {self.reply([slot.surface for slot in kept], random)}" if kept else text

    def question(self, slots: Sequence[str], tool: Tool, random: Random) -> str:
        """Ask for `slots`, parameters of `tool`."""
        named = self._listed([self._slot(name, tool) for name in slots])
        text = random.choice(self._bank.questions).format(slots=named, **{"is": self._bank.be[len(slots) > 1]})
        return random.choice(self._bank.question_openings) + text

    def reply(self, values: Sequence[str], random: Random) -> str:
        """Give `values`."""
        stated = [value.rstrip(".\u3002") for value in values]
        return random.choice(self._bank.replies).format(values=self._listed(stated))

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        """Say that `missing` is not there, and now and then what is."""
        known = missing is not None and random.random() < _OFTEN
        task = self._task(missing) if known and missing is not None else random.choice(self._bank.unknown_tasks)
        text = random.choice(self._bank.rejection_openings) + random.choice(self._bank.rejections).format(task=task)
        if offered:
            can = self._listed([self._task(tool) for tool in offered[:2]], self._bank.lists.disjunction)
            text += random.choice(self._bank.offers).format(task=can)
        return _sentence(text)

    def _task(self, tool: Tool) -> str:
        return task_of(tool) if self._bank.tasks == "verb" else f"\u201c{_first_sentence(tool) or tool.name}\u201d"

    def _slot(self, name: str, tool: Tool) -> str:
        schema = (tool.parameters.get("properties") or {}).get(name)
        described = schema.get("description") if isinstance(schema, dict) else None
        description = described.strip(" .\u3002") if isinstance(described, str) else ""
        if self._bank.slots == "description" and not description.isascii() and len(description) <= _SHORT:
            return description
        words = _words(name)
        if not _NO_NOUN.match(words):
            return words
        noun = re.sub(r"\A(?:The|An?) ", "", description)
        return noun[:1].lower() + noun[1:] if 0 < len(noun) <= _SHORT_NOUN else f"value of \u201c{words}\u201d"

    def _listed(self, names: Sequence[str], joint: str | None = None) -> str:
        joint = self._bank.lists.conjunction if joint is None else joint
        *most, last = names
        return self._bank.lists.comma.join(most) + joint + last if most else last


def task_of(tool: Tool) -> str:
    """What a tool does, to stand after "I can": from its description, else from its name."""
    described, stripped = _ABOUT_AN_API.subn("", _first_sentence(tool))
    described = re.split(r", given\b|(?<!\ba)(?<!\bthe)(?<!\bfor) given\b| includes\b", described, maxsplit=1)[0]
    if not re.match(r"(?!The |This |An? |API |is )[A-Za-z]+ ", described) or not (stripped or described[0].isupper()):
        return f"use {_words(tool.name)}"
    verb, rest = described.split(" ", 1)
    return f"{_base_form(verb.lower())} {rest}"


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower()


def _first_sentence(tool: Tool) -> str:
    return re.split(r"[.;](?=\s|$)|\n|\u3002", tool.description.strip(), maxsplit=1)[0]


def _base_form(verb: str) -> str:
    """Turn "Adds" and "adding" into "add": the few forms of verbs that descriptions of tools start with."""
    if verb.endswith("ing") and len(verb) > 5:
        stem = verb[:-3]
        if re.search(r"([bgmnprt])\1$", stem):  # setting, getting, planning
            return stem[:-1]
        return (
            stem + "e" if re.search(r"(?:[aou]t|let|[oi]v|[kl]at|ul|[ai]k|rv|[nr]g|[ou]s|[uic]c|iz)$", stem) else stem
        )
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if re.search(r"(?:sh|ch|ss|x)es$", verb):
        return verb[:-2]
    return verb[:-1] if re.search(r"[^s]s$", verb) else verb


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
