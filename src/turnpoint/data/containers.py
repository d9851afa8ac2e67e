"""Rows of one file: JSON lines, a JSON list, CSV and TSV, plain or gzipped, and Parquet.

JSON is read as it is and never through Arrow, whose structs would fill every missing key with None; of Parquet, which
comes through Arrow, such keys are stripped and counted.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from turnpoint.data.arrow import strip_none
from turnpoint.data.changes import Changes
from turnpoint.data.rows import Broken, Line, Row, json_fault
from turnpoint.errors import DataError

_JSON = (".json", ".jsonl")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"
_GZIP = ".gz"
_LONGEST_CELL = 1 << 30  # characters
_ROWS_AT_ONCE = 256  # of Parquet


def container_of(path: Path) -> str | None:
    """The suffix that says what a file is, without .gz; None where it is none of ours."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] == _GZIP:
        return suffixes[0] if len(suffixes) == 2 and suffixes[0] in (*_JSON, *_DELIMITERS) else None
    return suffixes[-1] if suffixes and suffixes[-1] in (*_JSON, *_DELIMITERS, _PARQUET) else None


def file_rows(path: Path, name: str, changes: Changes) -> Iterator[Row]:
    """Rows of a file.

    Args:
        path: the file.
        name: how rows and errors call it.
        changes: counts what is stripped of Parquet.

    Raises:
        DataError: the file is of another kind, is not UTF-8, or does not hold what its name says; says where.
    """
    container = container_of(path)
    if container is None:
        raise DataError(
            f"{name}: only .json, .jsonl, .csv, .tsv (each also as .gz) and .parquet files are read (got"
            f" {''.join(path.suffixes[-2:]) or 'no suffix'}); load it with the datasets"
            " library and hand over the Dataset"
        )
    with readable(name):
        if container == _PARQUET:
            yield from _parquet_rows(path, name, changes)
        elif container in _DELIMITERS:
            yield from _table_rows(path, name, _DELIMITERS[container])
        else:
            yield from _line_rows(path, name) if holds_lines(path) else _whole_rows(path, name)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what can go wrong with a file as a whole into one line."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name}: is no whole gzip file: {error}; make it anew") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from None


def holds_lines(path: Path) -> bool:
    """Whether a file is JSON lines, as opposed to one JSON value over many lines, a list, or no JSON."""
    if container_of(path) not in _JSON:
        return False
    with readable(path.name), _text(path) as lines:
        first = next((line.strip() for line in lines if line.strip()), "{}")
    if container_of(path) == ".jsonl":
        return not first.startswith("[")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def count_rows(path: Path) -> int | None:
    """Rows of a file, at most, where that is known without parsing it; None where it is not."""
    if container_of(path) == _PARQUET:
        from pyarrow.parquet import ParquetFile

        with _parquet(path.name), ParquetFile(path) as file:
            return int(file.metadata.num_rows)
    if path.suffix.lower() != ".jsonl" or not holds_lines(path):
        return None
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")


def _text(path: Path, newline: str | None = None) -> TextIO:
    if path.suffix.lower() == _GZIP:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)
    return path.open(encoding="utf-8-sig", newline=newline)


def _whole_rows(path: Path, name: str) -> Iterator[Row]:
    try:
        with _text(path) as file:
            value = json.load(file)
    except json.JSONDecodeError as error:
        raise DataError(f"{name}:{error.lineno}: {json_fault(error)}") from None
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: {json_fault(error)}") from None
    for i, row in enumerate(value if isinstance(value, list) else [value]):
        yield Row(f"{name}[{i}]", row, path)


def _line_rows(path: Path, name: str) -> Iterator[Row]:
    with _text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield Row(f"{name}:{number}", Line(line.rstrip("\r\n")), path)


def _table_rows(path: Path, name: str, delimiter: str) -> Iterator[Row]:
    """Rows of a table with a header, by the line they begin in. An empty cell holds nothing."""
    csv.field_size_limit(_LONGEST_CELL)
    with _text(path, newline="") as lines:
        table = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next(table, [])
            if twice := next((cell for cell in header if header.count(cell) > 1), None):
                raise DataError(f"{name}:1: the header names {twice!r} twice; rename one of the columns")
            begin = table.line_num + 1
            for cells in table:
                if cells:
                    yield Row(f"{name}:{begin}", _cells(header, cells, f"{name}:{begin}"), path)
                begin = table.line_num + 1
        except csv.Error as error:
            raise DataError(f"{name}:{table.line_num}: is no table: {error}; quote cells that hold quotes") from None


def _cells(header: list[str], cells: list[str], where: str) -> dict[str, object] | Broken:
    if len(cells) != len(header):
        return Broken(
            f"{where}: has {len(cells)} cells where the header names {len(header)}; quote cells with delimiters"
        )
    return {name: _cell(text) for name, text in zip(header, cells, strict=True)}


def _cell(text: str) -> object:
    """What a cell holds: messages and tools, which a table has no other place for, are lists of objects as JSON."""
    if text.startswith("[{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text or None


def _parquet_rows(path: Path, name: str, changes: Changes) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    with _parquet(name), ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            for value in batch.to_pylist():
                where = f"{name}[{number}]"
                stripped = strip_none(value)
                changes.add("stripped keys filled with None (Arrow)", where, stripped.keys)
                yield Row(where, stripped.value, path)
                number += 1


@contextmanager
def _parquet(name: str) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except ArrowException as error:
        raise DataError(f"{name}: is no whole Parquet file: {' '.join(str(error).split()):.200}") from None
