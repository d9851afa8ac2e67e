"""The table of formats: how each is recognised, and what reads it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from turnpoint.data import alpaca, openai, preference, sharegpt, text
from turnpoint.data.changes import Changes
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError


class Reader(NamedTuple):
    """One format. `needs` and `takes` are keys of a row, for messages: those it must have, and those it also reads."""

    format: str
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    matches: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], str, Changes], Dialogue | PreferencePair]


_TOOLS = ("tools", "functions", "id")
_PAIR = (*_TOOLS, "dialogue_id", "kind", "weight", "margin")

# The first that matches a row is taken, so the more particular formats come first.
READERS = (
    Reader(
        "alpaca-preference",
        ("instruction", "chosen", "rejected"),
        (*_PAIR, "input", "system"),
        alpaca.matches_preference,
        alpaca.read_preference,
    ),
    Reader(
        "preference",
        ("chosen", "rejected"),
        (*_PAIR, "prompt", "conversations", "system", "verbatim"),
        preference.matches,
        preference.read,
    ),
    Reader("openai", ("messages",), (*_TOOLS, "labels", "verbatim"), openai.matches, openai.read),
    Reader("sharegpt", ("conversations",), (*_TOOLS, "system"), sharegpt.matches, sharegpt.read),
    Reader("completion", ("prompt", "completion"), (*_TOOLS, "label"), text.matches_completion, text.read_completion),
    Reader("alpaca", ("instruction", "output"), ("id", "input", "system"), alpaca.matches, alpaca.read),
    Reader("text", ("text",), ("id",), text.matches_text, text.read_text),
)


def reader_named(format: str) -> Reader:
    """The reader of a format.

    Raises:
        ConfigError: there is no such format.
    """
    for reader in READERS:
        if reader.format == format:
            return reader
    names = ", ".join(reader.format for reader in READERS)
    raise ConfigError(f"format: unknown format {format!r}; use one of {names}, or leave it out to have it recognised")


def recognise(row: Mapping[str, Any], where: str) -> Reader:
    """The reader whose format a row has.

    Raises:
        DataError: no format matches; says which keys were found and which are needed.
    """
    for reader in READERS:
        if reader.matches(row):
            return reader
    needed = "; ".join(f"{reader.format}: {', '.join(reader.needs)}" for reader in READERS)
    raise DataError(f"{where}: no known format; found keys: {keys_of(row)}; needed are those of one format: {needed}")


def keys_of(row: Mapping[str, Any]) -> str:
    """The keys of a row, for a message; the first twelve of them."""
    keys = [str(key) for key in row]
    more = f" and {len(keys) - 12} more" if len(keys) > 12 else ""
    return (", ".join(keys[:12]) or "none") + more
