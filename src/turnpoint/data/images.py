"""Columns of images: `images`, a list, or `image`, one. Their images go to where the messages of the row say.

An image stands where a message has a part of type image without an image of its own, or where its text has the tag
`<image>` (LLaVA, LLaMA-Factory); where a row says nothing, all stand before the first user message, as in TRL.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from turnpoint.data.fields import from_json
from turnpoint.data.roles import entry_role
from turnpoint.dialogue.images import IMAGE_PARTS, in_parts, payload
from turnpoint.errors import DataError

_COLUMNS = ("images", "image")
_TAG = "<image>"
_PROMPTS = ("messages", "conversations", "prompt")
_SIDES = ("chosen", "rejected", "completion", "chosen_messages", "rejected_messages")
_CONTENTS = ("content", "value")  # of a message, of an entry of ShareGPT


def with_images(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The row without columns of images, their images inside its messages.

    Raises:
        DataError: the row is text, or places and images differ in number.
    """
    columns = [name for name in _COLUMNS if row.get(name) is not None and row[name] != []]
    row, given = {name: value for name, value in row.items() if name not in _COLUMNS}, row
    if not columns:
        return row
    if len(columns) > 1:
        raise DataError(f"{where}: {' and '.join(columns)}: both hold images; give all of them in images")
    [column] = columns
    images = list(given[column]) if isinstance(given[column], list | tuple) else [given[column]]
    prompt = next((name for name in _PROMPTS if row.get(name) is not None), None)
    sides = [name for name in _SIDES if row.get(name) is not None]
    if all(isinstance(row[name], str) and not row[name].startswith("[") for name in filter(None, [prompt, *sides])):
        raise DataError(f"{where}: {column}: a row of plain text cannot hold images; give its texts as messages")
    conversations = {name: _messages(row[name], where, name, column) for name in filter(None, [prompt, *sides])}
    ways = _ways(prompt, sides, conversations)
    tagged = any(_places(message, tags=False) for message in chain.from_iterable(conversations.values()))
    for way in ways:
        if not any(_places(message, tags=not tagged) for name in way for message in conversations[name]):
            conversations[way[0]] = _before_first_user(conversations[way[0]], len(images))
    for way in ways:
        places = sum(_places(message, tags=not tagged) for name in way for message in conversations[name])
        if places != len(images):
            raise DataError(
                f"{where}: {column}: holds {len(images)} images, and {' and '.join(way)} have places for {places}; give"
                " as many parts of type image, or none to have all before the first user message"
            )
    filled: dict[str, Any] = {}
    for way in ways:
        unused = iter(images)
        for name in way:
            filled[name] = [_filled(message, unused, tags=not tagged) for message in conversations[name]]
    return {**row, **filled}


def _ways(prompt: str | None, sides: list[str], conversations: Mapping[str, Any]) -> list[list[str]]:
    """Fields that make a conversation together, each with all the images: a side with the prompt before it.

    Where sides repeat the prompt, as whole conversations do, each field is one by itself.
    """
    if not sides:
        return [[name] for name in conversations]
    begin = [conversations[side][0] for side in sides if conversations[side]]
    repeated = not any(entry_role(first) == "assistant" for first in begin)
    if prompt is None or repeated:
        return [[name] for name in conversations]
    return [[prompt, side] for side in sides]


def _messages(value: Any, where: str, field: str, column: str) -> list[Mapping[str, Any]]:
    """The messages of a field; a prompt that is text is a user message, a side that is text an answer."""
    if isinstance(value, str) and value.startswith("["):
        value = from_json(value, where, field)
    if isinstance(value, str):
        return [{"role": "user" if field in _PROMPTS else "assistant", "content": value}]
    entries = [value] if isinstance(value, Mapping) else value
    if not isinstance(entries, Sequence) or not all(isinstance(each, Mapping) for each in entries):
        raise DataError(f"{where}: {field}: must be a list of messages where the row has {column} (got {value!r:.80})")
    return list(entries)


def _content(message: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and value of what a message says."""
    name = next((each for each in _CONTENTS if message.get(each) is not None), _CONTENTS[0])
    return name, message.get(name)


def _is_place(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in IMAGE_PARTS and payload(part) is None


def _places(message: Mapping[str, Any], *, tags: bool) -> int:
    """How many images of the row stand in a message."""
    _, content = _content(message)
    if isinstance(content, str):
        return content.count(_TAG) if tags else 0
    return sum(map(_is_place, content)) if isinstance(content, list) else 0


def _filled(message: Mapping[str, Any], images: Iterator[Any], *, tags: bool) -> Mapping[str, Any]:
    """The message with the next images in its places."""
    name, content = _content(message)
    places = _places(message, tags=tags)
    if not places:
        return message
    if isinstance(content, str):
        parts: list[Any] = in_parts(content.split(_TAG), [{"image": each} for each in islice(images, places)])
    else:
        parts = [{"type": "image", "image": next(images)} if _is_place(part) else part for part in content]
    return {**message, name: parts}


def _before_first_user(messages: list[Mapping[str, Any]], images: int) -> list[Mapping[str, Any]]:
    first = next((i for i, message in enumerate(messages) if entry_role(message) == "user"), None)
    if first is None:
        return messages
    name, content = _content(messages[first])
    if not isinstance(content, str | list | None):
        return messages
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    places = [{"type": "image"} for _ in range(images)]
    return [*messages[:first], {**messages[first], name: [*places, *parts]}, *messages[first + 1 :]]
