"""Load a data set: find its rows, recognise its format, read each row."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from turnpoint.data import hub
from turnpoint.data.changes import Changes
from turnpoint.data.files import (
    Row,
    check_no_split,
    content_hash,
    count_lines,
    file_rows,
    files_of,
    hold_lines,
    nearest,
)
from turnpoint.data.hub import given_rows
from turnpoint.data.readers import Reader, code_of, keys_of, read_row, reader_named, recognise
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?::[\w.-]+)?")
_RECORDS = "records"
_WRONG_KIND = {
    Dialogue: "holds preference pairs (format {}) where dialogues are needed;"
    " give messages without chosen and rejected sides, or, for losses kto and bco, rated rows (prompt, completion,"
    " label)",
    PreferencePair: "holds dialogues (format {}) where preference pairs are needed;"
    " give chosen and rejected sides, or make pairs of the dialogues first; rated rows (prompt, completion, label) need"
    " loss_type kto or bco",
}


class Loaded(NamedTuple):
    """What was loaded."""

    records: list[Dialogue] | list[PreferencePair]
    """All of one kind, in the order of the source."""
    format: str
    """Name of the format, or `records` where dialogues or pairs were handed over as they are."""
    notes: tuple[str, ...]
    """One line for each kind of change made to the data, with counts."""


class Opened(NamedTuple):
    """A source that is being read.

    Args:
        rows: of the source, in order; read once.
        read: makes a dialogue or a pair of a row and counts what it changes; in any process, in any order.
        format: name of the format, or `records`.
        changes: what was changed or left out by whoever walks through `rows`, so far.
    """

    rows: Iterator[Row]
    read: Callable[[Row, Changes], Dialogue | PreferencePair]
    format: str
    changes: Changes


@dataclass(frozen=True)
class Source:
    """Where dialogues or preference pairs come from.

    Args:
        origin: a .json or .jsonl file; a folder of such, or one written by `save_to_disk`; a name on the hub, with
            `:configuration` where it has several; a `datasets.Dataset` or DatasetDict; an iterable of mappings, or of
            dialogues or pairs.
        format: name of the format, or a reader of your own by import path; recognised by the keys of the first row when
            left out.
        split: split of a hub data set, a DatasetDict, or a folder with files named for splits.
        limit: take the first `limit` rows.
        streaming: of a data set of the hub, fetch rows while they are read and keep none.

    Raises:
        ConfigError: `format` is unknown, or `limit` is not positive.
    """

    origin: Any
    format: str | None = None
    split: str = "train"
    limit: int | None = None
    streaming: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit: must be at least 1 row (got {self.limit})")
        if self.format is not None:
            reader_named(self.format)

    @property
    def name(self) -> str:
        """How messages call it."""
        if isinstance(self.origin, str | Path):
            return str(self.origin)
        info = getattr(self.origin, "info", None)
        named = getattr(info, "dataset_name", None)
        return str(named or type(self.origin).__name__ + ("" if self.streams else " in memory"))

    @property
    def streams(self) -> bool:
        """Whether rows are to be used as they come: asked for, or in the nature of a `datasets.IterableDataset`."""
        return self.streaming or any(kind.__name__ == "IterableDataset" for kind in type(self.given).__mro__)

    @cached_property
    def given(self) -> Any:
        """The rows where they were handed over, of the split that is asked for; else None."""
        return None if isinstance(self.origin, str | Path) else self._picked(self.origin)

    @property
    def content(self) -> str | None:
        """What tells the rows apart from all others: a hash of files, the fingerprint of a `datasets.Dataset`.

        None where only reading them all would tell.
        """
        code = code_of(self.format)
        found = content_hash(self._found.files, self.limit) if self._found.files else None
        found = found or getattr(self._found.rows, "_fingerprint", None)
        return None if code is None or found is None else found + code

    @property
    def size(self) -> int | None:
        """How many rows there are, or at most, where that is known without parsing them."""
        files, rows = self._found.files, self._found.rows
        if isinstance(rows, Sized):
            size = len(rows)
        elif self.limit is None and files and hold_lines(files):
            size = sum(map(count_lines, files))
        else:
            return self.limit
        return size if self.limit is None else min(size, self.limit)

    def open(self, kind: type[Dialogue] | type[PreferencePair] | None = None) -> Opened:
        """Begin to read.

        Args:
            kind: the only records that will do; None for either.

        Raises:
            ConfigError: the source has no splits to choose from.
            DataError: there is no such source, or its first row breaks a rule; one line that says where. So does
                `read` for other rows, and for records that are not of the kind.
        """
        changes = Changes()
        rows: Iterator[Row] = islice(self._rows(changes), self.limit)
        first = next(rows, None)
        if first is None:
            raise DataError(f"{self._described}: holds no rows")
        rows = chain([first], rows)
        if isinstance(first.value, Dialogue | PreferencePair):
            read, format = partial(_given_record, kind=type(first.value)), _RECORDS
        else:
            reader = reader_named(self.format) if self.format else recognise(_mapping(first), first.where)
            read, format = partial(_read, reader=reader, first=first.where), reader.format
        if kind is not None:
            read = partial(self._of_kind, read=read, kind=kind, format=format)
        return Opened(rows, read, format, changes)

    def _of_kind(
        self,
        row: Row,
        changes: Changes,
        *,
        read: Callable[[Row, Changes], Dialogue | PreferencePair],
        kind: type[Dialogue] | type[PreferencePair],
        format: str,
    ) -> Dialogue | PreferencePair:
        record = read(row, changes)
        if not isinstance(record, kind):
            raise DataError(f"{self._described}: {_WRONG_KIND[kind].format(format)}")
        return record

    def _rows(self, changes: Changes) -> Iterator[Row]:
        for line in self._found.left_out:
            changes.say(line)
        if self._found.rows is not None:
            return given_rows(self._found.rows, changes)
        return chain.from_iterable(file_rows(path, path.name) for path in self._found.files)

    @cached_property
    def _found(self) -> "_Found":
        """Files or rows behind the origin."""
        origin: Any = self.origin
        if isinstance(origin, str | Path):
            path = Path(origin).expanduser()
            if path.is_dir() and hub.saved(path):
                origin = hub.saved_dataset(path)
            elif path.is_dir():
                changes = Changes()
                return _Found(files_of(path, self.split, changes), None, changes.notes())
            elif path.exists():
                check_no_split(path.name, self.split)
                return _Found([path], None)
            else:
                return _Found([], hub.hub_dataset(_hub_name(origin, path), self.split, nearest(path), self.streaming))
            return _Found([], self._picked(origin))
        return _Found([], self.given)

    def _picked(self, rows: Any) -> Any:
        """The split that is asked for, of rows that were handed over or saved."""
        if isinstance(rows, Mapping):
            return hub.pick_split(rows, self.split)
        check_no_split(self._described, self.split)
        return rows

    @property
    def _described(self) -> str:
        is_name = isinstance(self.origin, str | Path)
        return str(self.origin) if is_name else f"the {type(self.origin).__name__} handed over"


class _Found(NamedTuple):
    """What is behind a source: files, or rows that are there already."""

    files: list[Path]
    rows: Iterable[Any] | None
    left_out: tuple[str, ...] = ()


def load(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> Loaded:
    """Load dialogues or preference pairs into memory. Arguments and errors: those of `Source` and its `open`."""
    return _load(Source(source, format, split, limit), None)


def load_dialogues(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> tuple[list[Dialogue], tuple[str, ...]]:
    """Load dialogues, and the notes on what was changed. Arguments and errors of `load`; pairs are a DataError."""
    loaded = _load(Source(source, format, split, limit), Dialogue)
    return cast(list[Dialogue], loaded.records), loaded.notes


def load_pairs(
    source: str | Path | Iterable[Any],
    *,
    format: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> tuple[list[PreferencePair], tuple[str, ...]]:
    """Load pairs, and the notes on what was changed. Arguments and errors of `load`; dialogues are a DataError."""
    loaded = _load(Source(source, format, split, limit), PreferencePair)
    return cast(list[PreferencePair], loaded.records), loaded.notes


def _load(source: Source, kind: type[Dialogue] | type[PreferencePair] | None) -> Loaded:
    opened = source.open(kind)
    records = [opened.read(row, opened.changes) for row in opened.rows]
    return Loaded(cast(list[Dialogue] | list[PreferencePair], records), opened.format, opened.changes.notes())


def _hub_name(source: str | Path, path: Path) -> str:
    """The source as a name on the hub, unless it can only be a path."""
    name = str(source)
    if isinstance(source, Path) or path.suffix.lower() in (".json", ".jsonl") or not _HUB_NAME.fullmatch(name):
        raise DataError(f"{name}: no such file or folder{nearest(path)}")
    return name


def _read(row: Row, changes: Changes, *, reader: Reader, first: str) -> Dialogue | PreferencePair:
    values = _mapping(row)
    if not reader.matches(values):
        began = "" if row.where == first else f", which the rows from {first} on have; one source holds one format"
        needed = f"{', '.join(reader.needs)} (format {reader.format})"
        raise DataError(f"{row.where}: found keys: {keys_of(values)}; needed: {needed}{began}")
    return read_row(reader, values, row.where, changes)


def _mapping(row: Row) -> Mapping[str, Any]:
    value = row.parsed()
    if not isinstance(value, Mapping):
        raise DataError(f"{row.where}: a row must be an object with keys (got {value!r:.80})")
    return value


def _given_record(row: Row, changes: Changes, *, kind: type) -> Dialogue | PreferencePair:
    """A record that was handed over as it is."""
    if not isinstance(row.value, Dialogue | PreferencePair) or type(row.value) is not kind:
        found = type(row.value).__name__
        raise DataError(f"{row.where}: is a {found} where the first is a {kind.__name__}; give records of one kind")
    return row.value
