"""The table of formats: how each is recognised, and what reads it."""

import traceback
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.data import (
    alpaca,
    bfcl,
    deepspeed_chat,
    diatool,
    functionchat,
    glaive,
    hh_rlhf,
    openai,
    openai_preference,
    orca,
    preference,
    sgd,
    sharegpt,
    swift,
    text,
    when2call,
    xlam,
)
from turnpoint.data.changes import Changes
from turnpoint.data.images import with_images
from turnpoint.data.prepare import Beside, Part
from turnpoint.data.rows import keys_of
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.dialogue.faults import reason_of
from turnpoint.errors import ConfigError, DataError
from turnpoint.imports import imported, is_import_path, source_of

READERS_GROUP = "turnpoint.readers"
"""Entry points under which an installed package names readers of its own."""


class Reader(NamedTuple):
    """One format.

    Args:
        format: its name.
        needs: keys that a row must have, for messages.
        takes: keys that are read as well, or known to be nothing to read. A reader of the user's own takes what it
            likes: None.
        matches: whether a row has the format.
        read: makes a record of a row; a pure function but for what it counts.
        expand: makes one row of each record, where a row holds several.
        beside: a table in files beside the data, which becomes a column.
        by_name: its rows look like those of another format, so it is read only where it is asked for.
    """

    format: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] | None
    matches: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], str, Changes], Dialogue | PreferencePair]
    expand: Callable[[Mapping[str, Any]], Iterable[Part]] | None = None
    beside: Beside | None = None
    by_name: bool = False


_TOOLS = ("tools", "functions", "id")
_PAIR = (*_TOOLS, "dialogue_id", "kind", "about", "weight", "margin")
_RATING = ("label", "kto_tag")
_SCORES = ("messages", "score_chosen", "score_rejected", "prompt_id")  # UltraFeedback, binarised
_SHP = (
    *("post_id", "domain", "upvote_ratio", "score_A", "score_B", "score_ratio", "seconds_difference"),
    *("c_root_id_A", "c_root_id_B", "created_at_utc_A", "created_at_utc_B"),
)
_WHEN2CALL = ("uuid", "source", "source_id", "target_tool", "orig_tools", "orig_question", "held_out_param")

_GENERAL = ("openai", "sharegpt", "preference", "completion", "alpaca", "text")  # which every error names

# The first that matches a row is taken, so the more particular formats come first.
READERS = (
    Reader(
        "alpaca-preference",
        ("instruction", "chosen", "rejected"),
        (*_PAIR, "input", "system", "output", "history"),
        alpaca.matches_preference,
        alpaca.read_preference,
    ),
    Reader("hh-rlhf", ("chosen", "rejected"), (*_PAIR, "prompt", "response"), hh_rlhf.matches, hh_rlhf.read),
    Reader("diatool", ("chosen", "rejected"), _PAIR, diatool.matches, diatool.read),
    Reader(
        "chat-preference",
        ("prompt", "chosen", "rejected"),
        _PAIR,
        deepspeed_chat.matches_chat,
        deepspeed_chat.read_chat,
        by_name=True,
    ),
    Reader("orca-preference", ("system", "question", "chosen", "rejected"), _PAIR, orca.matches, orca.read),
    Reader(
        "preference",
        ("chosen", "rejected"),
        (*_PAIR, *_SCORES, "prompt", "conversations", "system", "verbatim"),
        preference.matches,
        preference.read,
    ),
    Reader(
        "llamafactory-preference",
        ("chosen_messages", "rejected_messages"),
        _PAIR,
        preference.matches_conversations,
        preference.read_conversations,
    ),
    Reader(
        "when2call-preference",
        ("messages", "chosen_response", "rejected_response"),
        _PAIR,
        when2call.matches_responses,
        when2call.read_responses,
    ),
    Reader(
        "swift-preference",
        ("messages", "rejected_response"),
        (*_PAIR, "rejected_messages"),
        swift.matches,
        swift.read,
    ),
    Reader(
        "openai-preference",
        ("input", "preferred_output", "non_preferred_output"),
        _PAIR,
        openai_preference.matches,
        openai_preference.read,
    ),
    Reader(
        "when2call",
        ("question", "answers", "correct_answer"),
        (*_PAIR, *_WHEN2CALL),
        when2call.matches,
        when2call.read,
        expand=when2call.expand,
    ),
    Reader("bfcl", ("question", "function"), ("id", "ground_truth"), bfcl.matches, bfcl.read, beside=bfcl.BESIDE),
    Reader("sgd", ("services", "turns"), ("dialogue_id", "schema"), sgd.matches, sgd.read, beside=sgd.BESIDE),
    Reader(
        "functionchat-dialog",
        ("turns", "tools"),
        ("id", "dialog_num", "tools_count"),
        functionchat.matches_dialog,
        functionchat.read_dialog,
    ),
    Reader(
        "functionchat-decision",
        ("input_messages", "ground_truth"),
        ("id", "input_tools", "type_of_output", "serial_num", "category"),
        functionchat.matches_decision,
        functionchat.read_decision,
    ),
    Reader(
        "functionchat-call",
        ("query", "ground_truth", "tools"),
        ("id", "function_num", "function_name", "function_info", "acceptable_arguments"),
        functionchat.matches_call,
        functionchat.read_call,
        expand=functionchat.expand,
    ),
    Reader(
        "webgpt",
        ("question", "answer_0", "answer_1", "score_0", "score_1"),
        (*_PAIR, "quotes_0", "quotes_1", "tokens_0", "tokens_1"),
        deepspeed_chat.matches_webgpt,
        deepspeed_chat.read_webgpt,
    ),
    Reader(
        "shp",
        ("history", "human_ref_A", "human_ref_B", "labels"),
        (*_PAIR, *_SHP),
        deepspeed_chat.matches_shp,
        deepspeed_chat.read_shp,
    ),
    Reader("xlam", ("query", "tools", "answers"), ("id",), xlam.matches, xlam.read),
    Reader("glaive", ("system", "chat"), ("id",), glaive.matches, glaive.read),
    Reader("openai", ("messages",), (*_TOOLS, *_RATING, "labels", "verbatim"), openai.matches, openai.read),
    Reader("sharegpt", ("conversations",), (*_TOOLS, *_RATING, "system", "verbatim"), sharegpt.matches, sharegpt.read),
    Reader("completion", ("prompt", "completion"), (*_TOOLS, "label"), text.matches_completion, text.read_completion),
    Reader("vicuna", ("prompt", "label"), ("id",), deepspeed_chat.matches_vicuna, deepspeed_chat.read_vicuna),
    Reader(
        "alpaca", ("instruction", "output"), ("id", *_RATING, "input", "system", "history"), alpaca.matches, alpaca.read
    ),
    Reader("text", ("text",), ("id",), text.matches_text, text.read_text),
)


def reader_named(format: str) -> Reader:
    """The reader of a format.

    Args:
        format: a name of the table; the name of a class of DeepSpeed-Chat; the name of an entry point of an installed
            package, in the group `turnpoint.readers`; or the import path of the user's own, `package.module:name`. The
            last two lead to a function of a row that returns a row of a known format, a `Dialogue` or a
            `PreferencePair`.

    Raises:
        ConfigError: there is no such format.
    """
    path = _path_of(format)
    if path is not None:
        return _own(path)
    name = deepspeed_chat.CLASSES.get(format, format)
    for reader in READERS:
        if reader.format == name:
            return reader
    names = ", ".join(
        dict.fromkeys([*(reader.format for reader in READERS), *sorted(entry_points(group=READERS_GROUP).names)])
    )
    raise ConfigError(
        f"format: unknown format {format!r}; use one of {names}, package.module:name for a reader of your"
        " own, or leave it out to have it recognised"
    )


def _path_of(format: str) -> str | None:
    """The import path of a reader that is none of ours; a name of ours cannot be taken by an installed package."""
    if is_import_path(format):
        return format
    if format in deepspeed_chat.CLASSES or any(reader.format == format for reader in READERS):
        return None
    found = next(iter(entry_points(group=READERS_GROUP, name=format)), None)
    return None if found is None else f"{found.module}:{found.attr}"


def code_of(format: str | None) -> str | None:
    """The code of the module that holds a reader of the user's own, "" for other formats.

    None where it cannot be told: the module was imported before, so what is in memory may be older than its file.
    """
    path = None if format is None else _path_of(format)
    return "" if path is None else source_of(path)


def _own(path: str) -> Reader:
    function = imported(path, "format")
    if not callable(function):
        raise ConfigError(f"format: is no function (got {path!r}); a reader takes a row and returns one, or a record")

    def read(row: Mapping[str, Any], where: str, changes: Changes) -> Dialogue | PreferencePair:
        try:
            made = function(row)
        except Exception as error:  # whatever the user's code runs into
            reason = f"{type(error).__name__}: {reason_of(error)}"
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
        if not reader.by_name and reader.matches(row):
            return reader
    general = [reader for reader in READERS if reader.format in _GENERAL]
    near = [reader for reader in READERS if reader not in general and not row.keys().isdisjoint(reader.needs)]
    known = ", ".join(f"{reader.format} ({' + '.join(reader.needs)})" for reader in (*general, *near))
    raise DataError(
        f"{where}: no known format; found keys: {keys_of(row)}; needed are those of one format, such as {known}"
    )
