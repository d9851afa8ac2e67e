"""Where dialogues and pairs come from: find the rows, recognise their format, open them to be read."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from turnpoint.data import hub
from turnpoint.data.changes import Changes
from turnpoint.data.containers import container_of, count_rows, file_rows
from turnpoint.data.files import check_no_split, content_hash, files_of, nearest, path_of
from turnpoint.data.hub import given_rows
from turnpoint.data.mix import Entry, is_mix, read_mix, weighted
from turnpoint.data.prepare import Columns, prepared
from turnpoint.data.rated import pair_rated
from turnpoint.data.readers import READERS, Reader, code_of, reader_named
from turnpoint.data.reading import (
    Opened,
    Read,
    Record,
    first_record,
    given_record,
    pair_of_rated,
    read_of_format,
    read_of_kind,
    read_of_part,
    read_or_drop,
    reader_of,
)
from turnpoint.data.rows import Row
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError

OnBadRows = Literal["error", "drop"]
"""What becomes of a row that breaks a rule."""

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?::[\w.-]+)?")
_RECORDS = "records"
_TABLES = [reader.beside for reader in READERS if reader.beside is not None]


@dataclass(frozen=True)
class Source:
    """Where dialogues or preference pairs come from.

    Args:
        origin: a file (JSON, JSON lines, CSV, TSV, each also as .gz, or Parquet); a folder of such, or one written by
            `save_to_disk`; a mix, which is a .yaml file (`turnpoint.data.mix`); a name on the hub, with
            `:configuration` where it has several; a `datasets.Dataset` or DatasetDict; an iterable of mappings, or of
            dialogues or pairs.
        format: name of the format, or a reader of your own by import path; recognised by the keys of the first row when
            left out.
        split: split of a hub data set, a DatasetDict, or a folder with files named for splits.
        limit: take the first `limit` rows.
        streaming: of a data set of the hub, fetch rows while they are read and keep none.
        on_bad_rows: what becomes of a row that breaks a rule: `error` stops, `drop` leaves it out and counts it. Named
            after `on_bad_lines` of pandas, with the words of `overflow`.
        columns: names of columns, ours to theirs, where theirs differ from what the format needs.

    Raises:
        ConfigError: `format` is unknown, `limit` is not positive, or a mix is given what its entries give.
    """

    origin: Any
    format: str | None = None
    split: str = "train"
    limit: int | None = None
    streaming: bool = False
    on_bad_rows: OnBadRows = "error"
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit: must be at least 1 row (got {self.limit})")
        if self.on_bad_rows not in get_args(OnBadRows):
            raise ConfigError(f"on_bad_rows: use {' or '.join(get_args(OnBadRows))} (got {self.on_bad_rows!r})")
        if is_mix(self.origin):
            self._check_mix()
        elif self.format is not None:
            reader_named(self.format)

    def _check_mix(self) -> None:
        check_no_split(str(self.origin), self.split)
        for name in ("format", "columns"):
            if getattr(self, name):
                raise ConfigError(
                    f"{name}: is given by each entry of a mix (got {getattr(self, name)!r}); leave it out"
                )
        if self.streaming:
            raise ConfigError(
                "streaming: a mix is read whole, since its entries follow each other; leave streaming out"
            )

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
        if self._parts:
            parts = [part.facts for part in self._parts]
            return None if any(facts is None for facts in parts) else json.dumps([parts, self._manner])
        code = code_of(self.format)
        files = self._found.files
        # A table that no reader of these rows joins is hashed in vain: which reader it is only their first row tells.
        beside = {file: None for path in files for table in _TABLES for file in table.files(path)}
        found = content_hash(files, self.limit, beside) if files else None
        found = found or getattr(self._found.rows, "_fingerprint", None)
        return None if code is None or found is None else found + code + self._manner

    @property
    def _manner(self) -> str:
        """What of the way of reading its rows depends on, beside what every source has."""
        columns = json.dumps(self.columns, sort_keys=True) if self.columns else ""
        return columns + ("" if self.on_bad_rows == "error" else self.on_bad_rows)

    @property
    def size(self) -> int | None:
        """How many rows there are, or at most, where that is known without parsing them.

        Not counted are the several records of a row.
        """
        size = self._size_of_parts() if self._parts else self._size_of_rows()
        if size is None or self.limit is None:
            return self.limit if size is None else size
        return min(size, self.limit)

    def _size_of_parts(self) -> int | None:
        sizes = [(part.source.size, part.weight) for part in self._parts]
        known = [math.ceil(size * weight) for size, weight in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def _size_of_rows(self) -> int | None:
        if isinstance(self._found.rows, Sized):
            return len(self._found.rows)
        if self.limit is not None and not all(map(_is_counted_at_once, self._found.files)):
            return None
        counts = [count_rows(file) for file in self._found.files]
        return None if not counts or None in counts else sum(filter(None, counts))

    def open(self, kind: type[Dialogue] | type[PreferencePair] | None = None) -> Opened:
        """Begin to read.

        Args:
            kind: the only records that will do; None for either. Where pairs are needed, rated dialogues are paired:
                those of one prompt, liked with disliked. All are read for that, and held in memory.

        Raises:
            ConfigError: the source has no splits to choose from.
            DataError: there is no such source, or its first row breaks a rule; one line that says where. So does
                `read` for other rows, and for records that are not of the kind.
        """
        return self._open(kind, Changes())

    def _open(self, kind: type[Dialogue] | type[PreferencePair] | None, changes: Changes) -> Opened:
        if self._parts:
            return self._open_parts(kind, changes)
        opened = self._begin(changes)
        if kind is PreferencePair:
            opened = self._rated_paired(opened)
        if kind is None:
            return opened
        return self._of_kind(opened, kind)

    def _of_kind(self, opened: Opened, kind: type[Dialogue] | type[PreferencePair]) -> Opened:
        read = partial(read_of_kind, read=opened.read, kind=kind, source=self._described, format=opened.format)
        return opened._replace(read=read)

    def _begin(self, changes: Changes) -> Opened:
        """The rows, and what makes records of them."""
        rows: Iterator[Row] = islice(self._rows(changes), self.limit)
        first = next(rows, None)
        if first is None:
            raise DataError(f"{self._described}: holds no rows")
        rows = chain([first], rows)
        read: Read
        if isinstance(first.value, Record):
            read, format = partial(given_record, kind=type(first.value)), _RECORDS
        else:
            reader, rows = self._recognised(rows)
            rows = self._prepared(rows, reader, changes)
            read, format = partial(read_of_format, reader=reader, first=first.where), reader.format
        if self.on_bad_rows == "drop":
            read = partial(read_or_drop, read=read)
        return Opened(rows, read, format, changes)

    def _recognised(self, rows: Iterator[Row]) -> tuple[Reader, Iterator[Row]]:
        """The reader, and the rows again; rows of no format are passed over where bad rows are dropped."""
        if self.format is not None:
            return reader_named(self.format), rows
        seen: list[Row] = []
        faults: list[DataError] = []
        for row in rows:
            seen.append(row)
            try:
                return reader_of(row, self.columns), chain(seen, rows)
            except DataError as error:
                if self.on_bad_rows == "error":
                    raise
                faults.append(error)
        raise faults[0]

    def _prepared(self, rows: Iterator[Row], reader: Reader, changes: Changes) -> Iterator[Row]:
        if not self.columns and reader.expand is None and reader.beside is None:
            return rows  # lines are parsed by the processes that read them
        columns = Columns(self.columns, self._described, changes)
        return prepared(rows, reader.matches, columns=columns, expand=reader.expand, beside=reader.beside)

    def _rated_paired(self, opened: Opened) -> Opened:
        """Pairs in the place of rated dialogues; what holds anything else as it is."""
        rows, first = first_record(opened)
        opened = opened._replace(rows=rows)
        if not isinstance(first, Dialogue) or first.label is None or self.streams:
            return opened
        read = self._of_kind(opened, Dialogue).read
        records = (read(row, opened.changes) for row in rows)
        dialogues = (record for record in records if isinstance(record, Dialogue))
        pairs = [Row(pair.where, pair) for pair in pair_rated(dialogues, opened.changes)]
        if not pairs:
            raise DataError(f"{self._described}: holds no two rated rows of one prompt of which one is liked, one not")
        read = partial(read_or_drop, read=pair_of_rated) if self.on_bad_rows == "drop" else pair_of_rated
        return opened._replace(rows=iter(pairs), read=read)

    def _open_parts(self, kind: type[Dialogue] | type[PreferencePair] | None, changes: Changes) -> Opened:
        """All sources of a mix, one after the other."""
        opened = [part.source._open(kind, changes) for part in self._parts]
        firsts = [first_record(each) for each in opened]
        kinds = {type(first) for _, first in firsts if first is not None}
        if len(kinds) > 1:
            raise DataError(f"{self.origin}: mixes dialogues and preference pairs; give entries of one kind")
        opened = [each._replace(rows=rows) for each, (rows, _) in zip(opened, firsts, strict=True)]
        rows = chain.from_iterable(
            part.rows(each, number, kind) for number, (part, each) in enumerate(zip(self._parts, opened, strict=True))
        )
        formats = ", ".join(dict.fromkeys(each.format for each in opened))
        read = partial(read_of_part, reads=[each.read for each in opened])
        return Opened(islice(rows, self.limit), read, formats, changes)

    @cached_property
    def _parts(self) -> "tuple[_Part, ...]":
        """The sources of a mix; empty where the origin is none."""
        if not is_mix(self.origin):
            return ()
        file = path_of(self.origin)
        if not file.is_file():
            raise DataError(f"{self.origin}: no such file{nearest(file)}")
        return tuple(_Part.of(entry, file.parent, self.on_bad_rows) for entry in read_mix(file))

    def _rows(self, changes: Changes) -> Iterator[Row]:
        for line in self._found.left_out:
            changes.say(line)
        if self._found.rows is not None:
            return given_rows(self._found.rows, changes)
        return chain.from_iterable(file_rows(path, path.name, changes) for path in self._found.files)

    @cached_property
    def _found(self) -> "_Found":
        """Files or rows behind the origin."""
        origin: Any = self.origin
        if isinstance(origin, str | Path):
            path = path_of(origin)
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


class _Part(NamedTuple):
    """One source of a mix."""

    source: Source
    weight: float

    @classmethod
    def of(cls, entry: Entry, folder: Path, on_bad_rows: OnBadRows) -> "_Part":
        """The source of an entry, its path seen from the folder of the mix."""
        path = folder / path_of(entry.data)
        is_path = path.exists() or container_of(path) is not None or not _HUB_NAME.fullmatch(entry.data)
        origin = str(path) if is_path else entry.data
        source = Source(origin, entry.format, entry.split, entry.limit, on_bad_rows=on_bad_rows, columns=entry.columns)
        return cls(source, entry.weight)

    @property
    def facts(self) -> tuple[Any, ...] | None:
        """What tells its rows apart from all others; None where nothing does."""
        source, content = self.source, self.source.content
        return None if content is None else (content, source.format, source.split, source.limit, self.weight)

    def rows(self, opened: Opened, number: int, kind: type[Dialogue] | type[PreferencePair] | None) -> Iterator[Row]:
        """Its rows as many times as they count, marked with its number; a second pass adds no notes on the files."""

        def of_pass(i: int) -> Iterator[Row]:
            return opened.rows if i == 0 else self.source._open(kind, Changes()).rows

        return (row._replace(entry=number) for row in weighted(of_pass, self.weight))


class _Found(NamedTuple):
    """What is behind a source: files, or rows that are there already."""

    files: list[Path]
    rows: Iterable[Any] | None
    left_out: tuple[str, ...] = ()


def _hub_name(source: str | Path, path: Path) -> str:
    """The source as a name on the hub, unless it can only be a path."""
    name = str(source)
    if isinstance(source, Path) or container_of(path) is not None or not _HUB_NAME.fullmatch(name):
        raise DataError(f"{name}: no such file or folder{nearest(path)}")
    return name


def _is_counted_at_once(file: Path) -> bool:
    """Whether the number of rows stands in the file."""
    return container_of(file) == ".parquet"
