"""The lexicon (`lexicon.yaml`): wordings and what parameters are about, in three languages, as patterns."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_FILE = Path(__file__).with_suffix(".yaml")
_ANYWHERE = "~"


class Concept(NamedTuple):
    """What a parameter may be about: a place, a date, an amount."""

    named: re.Pattern[str]  # by a name, a description or a question
    stated: re.Pattern[str]  # by what gives it a value in so many words: "날짜는"
    looks: re.Pattern[str] | None  # of a value, where values look like something


@cache
def wording(name: str) -> re.Pattern[str]:
    """How something is worded, in any of the languages."""
    return re.compile(_any(_read()["wording"][name]), re.IGNORECASE)


@cache
def words(name: str) -> frozenset[str]:
    """A list of single words."""
    return frozenset(_read()["words"][name])


@cache
def concepts() -> Mapping[str, Concept]:
    """The concepts by name."""
    return {name: _concept(entry) for name, entry in _read()["concepts"].items()}


def _concept(entry: Mapping[str, list[str]]) -> Concept:
    named, looks = _any(entry), entry.get("looks")
    stated = rf"(?:{named})\S{{0,2}}(?:[은는:\uff1a]|是| is\b| =) ?[^\s?]"
    return Concept(
        re.compile(named, re.IGNORECASE),
        re.compile(stated, re.IGNORECASE),
        None if looks is None else re.compile("|".join(looks)),
    )


def _any(entry: Mapping[str, list[str]]) -> str:
    english = [
        each.removeprefix(_ANYWHERE) if each.startswith(_ANYWHERE) else rf"\b(?:{each})" for each in entry.get("en", [])
    ]
    return "|".join([*english, *entry.get("ko", []), *entry.get("zh", [])]).replace("'", "['\u2019]")


@cache
def _read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return found
