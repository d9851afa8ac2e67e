"""What is done to rows before they are read: columns renamed, tables joined, rows of several records expanded."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from turnpoint.data.changes import Changes
from turnpoint.data.containers import file_rows
from turnpoint.data.rows import Broken, Row, keys_of
from turnpoint.errors import DataError

Values = Mapping[str, Any]


class Part(NamedTuple):
    """One of several records of a row.

    Args:
        label: which it is, for messages: `query 2, tools 4_close`.
        row: that holds this record only.
    """

    label: str
    row: Values


class Beside(NamedTuple):
    """A table in files that lie beside the data, joined to its rows as a column of theirs.

    Args:
        column: that rows get; those that have it already keep theirs.
        key: of an entry of the table that names it.
        files: that hold the table of a data file; none where there is none.
        pick: what a row gets of the table, by name; None for nothing.
    """

    column: str
    key: str
    files: Callable[[Path], list[Path]]
    pick: Callable[[Values, Mapping[str, Values]], Any]


def prepared(
    rows: Iterable[Row],
    matches: Callable[[Values], bool],
    *,
    columns: "Columns",
    expand: Callable[[Values], Iterable[Part]] | None,
    beside: Beside | None,
) -> Iterator[Row]:
    """Rows ready to be read; those that cannot be made so come as they are, so that reading them says why.

    Args:
        rows: of a source.
        matches: whether a row has the format that `expand` and `beside` know.
        columns: that are to be renamed.
        expand: makes one row of each record of a row.
        beside: a table to join.

    Raises:
        DataError: after the last row, where none had one of the columns.
    """
    tables: dict[Path, dict[str, Values]] = {}
    skipped: set[Path] = set()
    for row in rows:
        if row.file is not None and beside is not None and row.file not in tables:
            files = beside.files(row.file)
            skipped |= set(files)
            tables[row.file] = {} if row.file in skipped else _table(files, beside.key)
        if row.file in skipped:
            continue
        try:
            given = row.parsed()
            columns.see(given, row.where)
            values = renamed(given, columns.names, row.where)
            if not isinstance(values, Mapping) or not matches(values):
                lack = lacking(given, columns.names, row.where)
                yield row._replace(value=Broken(lack) if lack else values)
                continue
            if beside is not None and row.file is not None:
                values = _joined(values, beside, tables[row.file])
            parts = [Part("", values)] if expand is None else list(expand(values))
        except DataError as error:
            yield row._replace(value=Broken(_placed(row.where, error)))
            continue
        for part in parts:
            yield row._replace(where=f"{row.where} ({part.label})" if part.label else row.where, value=part.row)
    columns.check()


class Columns:
    """Columns that are to be renamed, and which of them rows had.

    Args:
        names: theirs by ours.
        source: that the rows are of, for the error.
        changes: counts the rows without one of the columns.
    """

    def __init__(self, names: Mapping[str, str], source: str, changes: Changes) -> None:
        self.names = names
        self._source = source
        self._changes = changes
        self._found: dict[Any, None] = {}  # columns of all rows, in order

    def see(self, value: Any, where: str) -> None:
        """Note which columns a row has."""
        if self.names and isinstance(value, Mapping):
            self._found |= dict.fromkeys(value)
            for theirs in self.names.values():
                self._changes.add(f"found no column {theirs!r} to rename", where, int(theirs not in value))

    def check(self) -> None:
        """Refuse a column that no row had.

        Raises:
            DataError: there is one.
        """
        if self._found and (lack := lacking(self._found, self.names, self._source)):
            raise DataError(lack)


def lacking(values: Any, columns: Mapping[str, str], where: str) -> str:
    """What to say of a row, or of all rows, without a column that is to be renamed; empty where none is missing."""
    if not isinstance(values, Mapping):
        return ""
    missing = next(((ours, theirs) for ours, theirs in columns.items() if theirs not in values), None)
    if missing is None:
        return ""
    ours, theirs = missing
    return (
        f"{where}: columns: there is no column {theirs!r} to read as {ours!r}; found: {keys_of(values)}; correct the"
        " name, or leave it out"
    )


def renamed(value: Any, columns: Mapping[str, str], where: str) -> Any:
    """A row with our names of columns in the place of theirs.

    Args:
        value: the row.
        columns: theirs by ours.
        where: file and line.

    Raises:
        DataError: the row has a column of one of our names already.
    """
    if not columns or not isinstance(value, Mapping):
        return value
    ours = {theirs: name for name, theirs in columns.items()}
    taken = [name for theirs, name in ours.items() if theirs in value and name in value and name not in ours]
    if taken:
        raise DataError(f"{where}: columns: the row has a column {taken[0]!r} already; rename that one as well")
    return {ours.get(key, key): item for key, item in value.items()}


def _table(files: list[Path], key: str) -> dict[str, Values]:
    """Entries of the files by name; those without one are none of ours."""
    entries = (row.parsed() for file in files for row in file_rows(file, file.name, Changes()))
    return {entry[key]: entry for entry in entries if isinstance(entry, Mapping) and isinstance(entry.get(key), str)}


def _joined(values: Values, beside: Beside, table: Mapping[str, Values]) -> Values:
    if values.get(beside.column) is not None:
        return values
    found = beside.pick(values, table)
    return values if found is None else {**values, beside.column: found}


def _placed(where: str, error: DataError) -> str:
    text = str(error)
    return text if text.startswith(where) else f"{where}: {text}"
