"""Rows that break a rule stop the reading, or are left out and counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data import Source, load, load_pairs
from turnpoint.dialogue import Dialogue
from turnpoint.errors import ConfigError, DataError

Write = Callable[..., Path]

PAIR = {"prompt": [{"role": "user", "content": "?"}], "chosen": "a", "rejected": "b"}
EQUAL = PAIR | {"rejected": "a"}
REASON = "chosen and rejected are equal; nothing is preferred, remove the pair"


def test_bad_rows_are_dropped_and_counted_with_the_first_reason(tmp_path: Path) -> None:
    """Of every kind: no JSON, no object, another format, a broken rule. What a bad row changed is not counted."""
    file = tmp_path / "rows.jsonl"
    bad = ["{", "3", json.dumps({"text": "x"}), json.dumps(EQUAL | {"note": 1})]
    file.write_text("\n".join([json.dumps(PAIR | {"note": 1}), *bad, json.dumps(PAIR)]) + "\n")
    pairs, notes = load_pairs(file, on_bad_rows="drop")
    assert [pair.source for pair in pairs] == ["rows.jsonl:1", "rows.jsonl:6"]
    first = "rows.jsonl:2: broken JSON at column 2: Expecting property name enclosed in double quotes"
    assert notes == (
        f"left out rows that break a rule: 4, the first: {first}; each line must hold one row",
        "left column 'note' unread: 1 in 1 row",
    )
    with pytest.raises(DataError, match=r"^rows\.jsonl:2: broken JSON"):
        load_pairs(file)


def test_the_format_is_that_of_the_first_row_that_has_one(write: Write) -> None:
    loaded = load(write({"nothing": 1}, EQUAL, PAIR), on_bad_rows="drop")
    assert loaded.format == "preference"
    assert [record.source for record in loaded.records] == ["rows.jsonl:3"]


def test_nothing_left_and_nothing_recognised_are_errors(write: Write) -> None:
    with pytest.raises(DataError) as error:
        load(write(EQUAL), on_bad_rows="drop")
    assert str(error.value).endswith(
        f"rows.jsonl: no row is left; left out rows that break a rule: 1, the first: rows.jsonl:1: {REASON}"
    )
    with pytest.raises(DataError, match=r"^rows\.jsonl:1: no known format; found keys: nothing"):
        load(write({"nothing": 1}, {"nothing": 2}), on_bad_rows="drop")


def test_records_of_the_wrong_kind_are_no_bad_rows(write: Write) -> None:
    opened = Source(write(PAIR), on_bad_rows="drop").open(Dialogue)
    with pytest.raises(DataError, match="holds preference pairs"):
        opened.read(next(opened.rows), opened.changes)


def test_what_is_dropped_tells_contents_apart(write: Write) -> None:
    file = write(PAIR)
    assert Source(file).content != Source(file, on_bad_rows="drop").content


def test_another_way_is_refused(write: Write) -> None:
    way: Any = "skip"
    with pytest.raises(ConfigError) as error:
        Source(write(PAIR), on_bad_rows=way)
    assert str(error.value) == "on_bad_rows: use error or drop (got 'skip')"
