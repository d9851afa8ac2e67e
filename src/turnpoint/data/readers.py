"""The table of formats: how each is recognised, and what reads it."""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.data import alpaca, openai, preference, sharegpt, text
from turnpoint.data.changes import Changes
from turnpoint.data.images import with_images
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.imports import imported, is_import_path, source_of


class Reader(NamedTuple):
    """One format. `needs` and `takes` are keys of a row, for messages: those it must have, and those it also reads.

    A reader of the user's own takes what it likes: None.
    """

    format: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] | None
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
    """The reader of a format, or the user's own by import path, `package.module:name`.

    The path leads to a function of a row that returns a row of a known format, a `Dialogue` or a `PreferencePair`.

    Raises:
        ConfigError: there is no such format.
    """
    if is_import_path(format):
        return _own(format)
    for reader in READERS:
        if reader.format == format:
            return reader
    names = ", ".join(reader.format for reader in READERS)
    raise ConfigError(
        f"format: unknown format {format!r}; use one of {names}, package.module:name for a reader of your"
        " own, or leave it out to have it recognised"
    )


def code_of(format: str | None) -> str | None:
    """The code of the module that holds a reader of the user's own, "" for other formats.

    None where it cannot be told: the module was imported before, so what is in memory may be older than its file.
    """
    return source_of(format) if format is not None and is_import_path(format) else ""


def _own(path: str) -> Reader:
    function = imported(path, "format")
    if not callable(function):
        raise ConfigError(f"format: is no function (got {path!r}); a reader takes a row and returns one, or a record")

    def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue | PreferencePair:
        try:
            made = function(row)
        except Exception as error:  # whatever the user's code runs into
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            at = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(at.filename).name}:{at.lineno}"
            raise DataError(f"{where}: the reader {path} fails at {place}: {reason}") from error
        if isinstance(made, Dialogue | PreferencePair):
            return made.model_copy(update={"source": made.source or where})
        if not isinstance(made, Mapping):
            raise DataError(
                f"{where}: the reader {path} must return a row, a Dialogue or a PreferencePair (got"
                f" {type(made).__name__})"
            )
        return read_row(recognise(made, f"{where} (by {path})"), made, where, changes)

    return Reader(path, (), None, lambda row: True, read)


def read_row(reader: Reader, row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue | PreferencePair:
    """Read a row and count the columns that nothing reads."""
    if reader.takes is None:
        return reader.read(row, where, changes)
    row = with_images(row, where)
    record = reader.read(row, where, changes)
    for key in row:
        if key not in reader.needs and key not in reader.takes and row[key] is not None:
            changes.add(f"left column {key!r} unread", where)
    return record


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
