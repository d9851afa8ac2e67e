"""From a row to its record: the functions that processes share the work of."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from turnpoint.data.changes import Changes
from turnpoint.data.preference import build_pair
from turnpoint.data.prepare import lacking, renamed
from turnpoint.data.rated import RatedPair
from turnpoint.data.readers import Reader, read_row, recognise
from turnpoint.data.rows import Row, keys_of
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import DataError

Record = Dialogue | PreferencePair
Read = Callable[[Row, Changes], Record | None]

_WRONG_KIND = {
    Dialogue: "{}: holds preference pairs (format {}) where dialogues are needed;"
    " give messages without chosen and rejected sides, or, for losses kto and bco, rated rows (with a label)",
    PreferencePair: "{}: holds dialogues (format {}) where preference pairs are needed;"
    " give chosen and rejected sides, or rows of one prompt rated by a label, liked and disliked, or make pairs of the"
    " dialogues first",
}


class Opened(NamedTuple):
    """A source that is being read.

    Args:
        rows: of the source, in order; read once.
        read: makes a dialogue or a pair of a row and counts what it changes; in any process, in any order. None for a
            row that breaks a rule, where such rows are dropped.
        format: name of the format, of several in a mix, or `records`.
        changes: what was changed or left out by whoever walks through `rows`, so far.
    """

    rows: Iterator[Row]
    read: Read
    format: str
    changes: Changes


def first_record(opened: Opened) -> tuple[Iterator[Row], Record | None]:
    """All rows, and the record of the first that makes one; None where none does."""
    seen: list[Row] = []
    for row in opened.rows:
        seen.append(row)
        record = opened.read(row, Changes())
        if record is not None:
            return chain(seen, opened.rows), record
    return iter(seen), None


def read_or_drop(row: Row, changes: Changes, *, read: Read) -> Record | None:
    """The record of a row; None, and the reason counted, where it breaks a rule."""
    before = Changes()
    try:
        record = read(row, before)
    except DataError as error:
        changes.drop(str(error))
        return None
    changes.merge(before)
    return record


def read_of_kind(
    row: Row,
    changes: Changes,
    *,
    read: Read,
    kind: type[Dialogue] | type[PreferencePair],
    source: str,
    format: str,
) -> Record | None:
    """The record of a row of a source that must hold records of one kind."""
    record = read(row, changes)
    if record is not None and not isinstance(record, kind):
        raise DataError(_WRONG_KIND[kind].format(source, format))
    return record


def read_of_part(row: Row, changes: Changes, *, reads: list[Read]) -> Record | None:
    """The record of a row of a mix, read as its entry is."""
    return reads[row.entry](row, changes)


def pair_of_rated(row: Row, changes: Changes) -> PreferencePair:
    """The pair of two rated dialogues."""
    pair: RatedPair = row.value
    liked, disliked = (each.messages[pair.prompt :] for each in (pair.liked, pair.disliked))
    fields = {"tools": pair.liked.tools, "id": pair.where}
    prompt = pair.liked.messages[: pair.prompt]
    return build_pair(fields, prompt, liked, disliked, row.where, changes, verbatim=pair.liked.verbatim)


def read_of_format(row: Row, changes: Changes, *, reader: Reader, first: str) -> Record:
    """The record of a row of one format, that of the row at `first`."""
    values = mapping_of(row, {})
    if not reader.matches(values):
        began = "" if row.where == first else f", which the rows from {first} on have; one source holds one format"
        needed = f"needed: {', '.join(reader.needs)} (format {reader.format})"
        if all(values.get(key) is not None for key in reader.needs):
            needed = f"their values do not have the form of format {reader.format}"
        raise DataError(f"{row.where}: found keys: {keys_of(values)}; {needed}{began}")
    return read_row(reader, values, row.where, changes)


def reader_of(row: Row, columns: Mapping[str, str]) -> Reader:
    """The reader whose format a row has, its columns renamed.

    Raises:
        DataError: the row is none, or has no known format, perhaps for want of a column that is to be renamed.
    """
    values = mapping_of(row, columns)
    try:
        return recognise(values, row.where)
    except DataError as error:
        raise DataError(lacking(row.parsed(), columns, row.where) or str(error)) from None


def mapping_of(row: Row, columns: Mapping[str, str]) -> Mapping[str, Any]:
    """The values of a row under our names of columns."""
    value = renamed(row.parsed(), columns, row.where)
    if not isinstance(value, Mapping):
        raise DataError(f"{row.where}: a row must be an object with keys (got {value!r:.80})")
    return value


def given_record(row: Row, changes: Changes, *, kind: type) -> Record:
    """A record that was handed over as it is."""
    if not isinstance(row.value, Record) or type(row.value) is not kind:
        found = type(row.value).__name__
        raise DataError(f"{row.where}: is a {found} where the first is a {kind.__name__}; give records of one kind")
    return row.value
