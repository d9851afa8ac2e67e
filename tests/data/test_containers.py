"""Files other than plain JSON: the same rows, with their places."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from turnpoint.data import Source, load
from turnpoint.errors import DataError

CALL = {"name": "weather", "arguments": {"city": "Oslo"}}
ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": 'Hello,\n"you"'}], "id": "1"},
    {
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}],
        "tools": [{"name": "weather"}],
        "id": "2",
    },
]


def as_csv(path: Path, delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(["id", "messages", "tools"])
        for row in ROWS:
            tools = json.dumps(row["tools"]) if "tools" in row else ""
            table.writerow([row["id"], json.dumps(row["messages"]), tools])


def as_gzip(path: Path) -> None:
    plain = path.with_suffix("")
    WRITERS[plain.suffix](plain)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


WRITERS: dict[str, Callable[[Path], Any]] = {
    ".csv": as_csv,
    ".tsv": lambda path: as_csv(path, "\t"),
    ".json": lambda path: path.write_text(json.dumps(ROWS)),
    ".jsonl": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)),
    ".parquet": lambda path: pq.write_table(pa.Table.from_pylist([{"tools": None} | row for row in ROWS]), path),
    ".gz": as_gzip,
}


@pytest.mark.parametrize(
    ("name", "places", "size"),
    [
        ("a.csv", ["a.csv:2", "a.csv:3"], None),
        ("a.tsv", ["a.tsv:2", "a.tsv:3"], None),
        ("a.parquet", ["a.parquet[0]", "a.parquet[1]"], 2),
        ("a.jsonl", ["a.jsonl:1", "a.jsonl:2"], 2),
        ("a.json.gz", ["a.json.gz[0]", "a.json.gz[1]"], None),
        ("a.jsonl.gz", ["a.jsonl.gz:1", "a.jsonl.gz:2"], None),
        ("a.csv.gz", ["a.csv.gz:2", "a.csv.gz:3"], None),
    ],
)
@pytest.mark.parametrize("of", [lambda path: path, lambda path: path.parent])
def test_every_container_holds_the_same_rows(
    tmp_path: Path, name: str, places: list[str], size: int | None, of: Callable[[Path], Path]
) -> None:
    """As a file and as the only file of a folder. Parquet, through Arrow, fills `tool_calls` and `tools` with None."""
    path = tmp_path / name
    WRITERS[path.suffix](path)
    loaded = load(of(path))
    assert [record.source for record in loaded.records] == places
    assert [record.model_copy(update={"source": ""}) for record in loaded.records] == [
        record.model_copy(update={"source": ""}) for record in load(ROWS).records
    ]
    stripped = ("stripped keys filled with None (Arrow): 4 in 2 rows",)
    assert loaded.notes == (stripped if path.suffix == ".parquet" else ())
    source = Source(of(path))
    assert (source.size, Source(of(path), limit=1).size) == (size, 1)
    assert len(load(of(path), limit=1).records) == 1
    assert source.content == Source(of(path)).content != Source(of(path), limit=1, columns={"x": "y"}).content


def test_rows_of_a_table_stand_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion,label\n"2\n+2",4,true\n\n1+1,2,\n', encoding="utf-8-sig")
    records = load(path).records
    assert [record.source for record in records] == ["a.csv:2", "a.csv:5"]
    assert [record.label for record in records] == [True, None]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.csv", b"text,id\nx\n", "a.csv:2: has 1 cells where the header names 2; quote cells with delimiters"),
        ("a.csv", b'text\n"x', "a.csv:2: is no table: unexpected end of data; quote cells that hold quotes"),
        ("a.csv", b"text\n\xe9\n", "a.csv: is not UTF-8 text: invalid continuation byte at byte 5; save it as UTF-8"),
        ("a.csv", b"", "a.csv: holds no rows"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz: is no whole gzip file: Not a gzipped file (b'no'); make it anew"),
        # No time in it: the name of the test must be the same in every process.
        (
            "a.jsonl.gz",
            gzip.compress(b"x" * 99, mtime=0)[:20],
            "a.jsonl.gz: is no whole gzip file: Compressed file ended",
        ),
        ("a.parquet", b"no parquet", "a.parquet: is no whole Parquet file: "),
        ("a.parquet.gz", b"", "a.parquet.gz: only .json, .jsonl, .csv, .tsv (each also as .gz) and .parquet files are"),
    ],
)
def test_faults(tmp_path: Path, name: str, content: bytes, error: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load(path)
    assert str(raised.value).removeprefix(f"{tmp_path}/").startswith(error)
    assert "\n" not in str(raised.value)
