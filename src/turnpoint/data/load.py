"""Load a data set: find its rows, recognise its format, read each row."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from turnpoint.data import files, hub
from turnpoint.data.changes import Changes
from turnpoint.data.files import Row
from turnpoint.data.readers import Reader, keys_of, reader_named, recognise
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?::[\w.-]+)?")
_RECORDS = "records"


class Loaded(NamedTuple):
    """What was loaded."""

    records: list[Dialogue] | list[PreferencePair]
    """All of one kind, in the order of the source."""
    format: str
    """Name of the format, or `records` where dialogues or pairs were handed over as they are."""
    notes: tuple[str, ...]
    """One line for each kind of change made to the data, with counts."""


def load(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> Loaded:
    """Load dialogues or preference pairs.

    Args:
        source: a .json or .jsonl file; a folder of such, or one written by `save_to_disk`; a name on the hub, with
            `:configuration` where it has several; a `datasets.Dataset` or DatasetDict; an iterable of mappings, or of
            dialogues or pairs.
        format: name of the format; recognised by the keys of the first row when left out.
        split: split of a hub data set, a DatasetDict, or a folder with files named for splits.
        limit: take the first `limit` rows.

    Raises:
        ConfigError: `format` is unknown, `limit` is not positive, or the source has no splits to choose from.
        DataError: there is no such source, or a row breaks a rule; one line that says where.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit: must be at least 1 row (got {limit})")
    reader = reader_named(format) if format is not None else None
    changes = Changes()
    rows: Iterator[Row] = islice(_rows(source, split, changes), limit)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{_name(source)}: holds no rows")
    rows = chain([first], rows)
    if isinstance(first.value, Dialogue | PreferencePair):
        return Loaded(_given_records(rows, type(first.value)), _RECORDS, ())
    reader = reader or recognise(_mapping(first), first.where)
    records = [_read(row, reader, first.where, changes) for row in rows]
    return Loaded(cast(list[Dialogue] | list[PreferencePair], records), reader.format, changes.notes())


def load_dialogues(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> tuple[list[Dialogue], tuple[str, ...]]:
    """Load dialogues, and the notes on what was changed. Arguments and errors of `load`; pairs are a DataError."""
    loaded = load(source, format=format, split=split, limit=limit)
    if not isinstance(loaded.records[0], Dialogue):
        raise DataError(
            f"{_name(source)}: holds preference pairs (format {loaded.format}) where dialogues are needed;"
            " give messages without chosen and rejected sides"
        )
    return loaded.records, loaded.notes


def load_pairs(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> tuple[list[PreferencePair], tuple[str, ...]]:
    """Load pairs, and the notes on what was changed. Arguments and errors of `load`; dialogues are a DataError."""
    loaded = load(source, format=format, split=split, limit=limit)
    if not isinstance(loaded.records[0], PreferencePair):
        raise DataError(
            f"{_name(source)}: holds dialogues (format {loaded.format}) where preference pairs are needed;"
            " give chosen and rejected sides, or make pairs of the dialogues first"
        )
    return loaded.records, loaded.notes


def _rows(source: str | Path | Iterable[Any], split: str, changes: Changes) -> Iterator[Row]:
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            if not hub.saved(path):
                return files.folder_rows(path, split, changes)
            source = hub.saved_dataset(path)
        elif path.exists():
            files.check_no_split(path.name, split)
            return files.file_rows(path, path.name)
        else:
            return hub.given_rows(hub.hub_dataset(_hub_name(source, path), split, files.nearest(path)), changes)
    if isinstance(source, Mapping):
        source = hub.pick_split(source, split)
    else:
        files.check_no_split(_name(source), split)
    return hub.given_rows(cast(Iterable[Any], source), changes)


def _hub_name(source: str | Path, path: Path) -> str:
    """The source as a name on the hub, unless it can only be a path."""
    name = str(source)
    if isinstance(source, Path) or path.suffix.lower() in (".json", ".jsonl") or not _HUB_NAME.fullmatch(name):
        raise DataError(f"{name}: no such file or folder{files.nearest(path)}")
    return name


def _read(row: Row, reader: Reader, first: str, changes: Changes) -> Dialogue | PreferencePair:
    values = _mapping(row)
    if not reader.matches(values):
        began = "" if row.where == first else f", which the rows from {first} on have; one source holds one format"
        needed = f"{', '.join(reader.needs)} (format {reader.format})"
        raise DataError(f"{row.where}: found keys: {keys_of(values)}; needed: {needed}{began}")
    record = reader.read(values, row.where, changes)
    for key in values:
        if key not in reader.needs and key not in reader.takes and values[key] is not None:
            changes.add(f"left column {key!r} unread", row.where)
    return record


def _mapping(row: Row) -> Mapping[str, Any]:
    if not isinstance(row.value, Mapping):
        raise DataError(f"{row.where}: a row must be an object with keys (got {row.value!r:.80})")
    return row.value


def _given_records(rows: Iterable[Row], kind: type) -> list[Dialogue] | list[PreferencePair]:
    records: list[Any] = []
    for row in rows:
        if type(row.value) is not kind:
            found = type(row.value).__name__
            raise DataError(f"{row.where}: is a {found} where the first is a {kind.__name__}; give records of one kind")
        records.append(row.value)
    return records


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else f"the {type(source).__name__} handed over"
