"""Which slot a question asks for: by the parameter's name, by its description, or by what it is about."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from turnpoint.dialogue import Message, Tool
from turnpoint.dialogue.decisions import sentences
from turnpoint.evaluation import lexicon
from turnpoint.evaluation.concepts import concepts, likely_said
from turnpoint.evaluation.wording import requests, words
from turnpoint.pairs.slots import says

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\da-zA-Z_]+")


def missing_slots(tool: Tool, arguments: Mapping[str, Any] | None, context: Sequence[Message]) -> tuple[str, ...]:
    """The parameters whose values nobody has said, of a tool that should be called.

    Args:
        tool: to be called.
        arguments: those that it is called with later; None where nobody knows, so that the look of what the user said
            must tell which required ones are missing.
        context: the messages so far.

    Returns:
        Their names; those of all that may be asked for where none seems to be missing.
    """
    if arguments is None:
        said = " ".join(message.content or "" for message in context if message.role == "user")
        wanted = tool.required
        unsaid = tuple(name for name in wanted if not _seems_said(name, _properties(tool).get(name), said))
    else:
        said = " ".join(message.content or "" for message in context if message.role != "system")
        wanted = tuple(dict.fromkeys([*tool.required, *arguments]))
        unsaid = tuple(name for name in wanted if not says(said, arguments.get(name)))
    return unsaid or wanted


def _seems_said(name: str, schema: Any, said: str) -> bool:
    return any(says(said, value) for value in _enum(schema)) or likely_said(concepts(_plain(name)), said)


def named_slots(question: str, tool: Tool, context: Sequence[Message]) -> tuple[str, ...]:
    """The parameters of a tool that a question asks for: by name or by what the name is about, else by description.

    Where all that points at one parameter points at another one as well, and more does, the other is meant: "Where do
    you leave from?" names a place, but no destination.

    Args:
        question: a reply that asks.
        tool: whose parameters.
        context: the messages so far; a word of a description that the user said is no sign of the parameter.
    """
    asking = " ".join(sentence for sentence in sentences(question) if requests(sentence))
    spoken = set(words(" ".join(message.content or "" for message in context if message.role == "user")))
    for text in (asking, question):
        signs = {name: _signs(text, name, schema, spoken) for name, schema in _properties(tool).items()}
        by_name = {name: found.by_name | found.by_description for name, found in signs.items() if found.by_name}
        found = by_name or {name: each.by_description for name, each in signs.items() if each.by_description}
        if found:
            return tuple(name for name, own in found.items() if not any(own < other for other in found.values()))
    return ()


class _Signs(NamedTuple):
    """What in a text points at a parameter."""

    by_name: set[str]  # words of its name, and what that is about
    by_description: set[str]


def _signs(text: str, name: str, schema: Any, spoken: set[str]) -> _Signs:
    told, about = set(words(text)), concepts(text)
    own = set(words(_plain(name)))
    by_name = ((own - lexicon.words("weak") or own) & told) | {f"={each}" for each in concepts(_plain(name)) & about}
    by_name |= {f"={each}" for each in _enum(schema) if says(text, each)}
    description = str(schema.get("description") or "") if isinstance(schema, Mapping) else ""
    of_description = {f"={each}" for each in concepts(description) & about}
    return _Signs(by_name, of_description | (set(words(description)) - spoken) & told)


def _enum(schema: Any) -> list[Any]:
    offered = schema.get("enum") if isinstance(schema, Mapping) else None
    return offered if isinstance(offered, list) else []


def _plain(name: str) -> str:
    """The words of a name: `departure_date` and `departureDate` are "departure date"."""
    return " ".join(_PARTS.findall(name)).lower()


def _properties(tool: Tool) -> Mapping[str, Any]:
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}
