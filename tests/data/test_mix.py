"""Mixes: several sources in one, each as many times as it counts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from turnpoint.data import Source, load, load_dialogues, load_pairs
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError, TurnpointError

Write = Callable[..., Path]

PAIR = {"prompt": [{"role": "user", "content": "?"}], "chosen": "a", "rejected": "b"}
CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}


@pytest.fixture
def mix(tmp_path: Path) -> Callable[..., Path]:
    """Write a mix beside the data and return its file."""

    def mix(*entries: Any) -> Path:
        path = tmp_path / "mix.yaml"
        path.write_text(yaml.safe_dump(list(entries)))
        return path

    return mix


def places(source: Source | Path) -> list[str]:
    opened = (source if isinstance(source, Source) else Source(source)).open()
    return [record.source for row in opened.rows if (record := opened.read(row, opened.changes))]


def test_entries_follow_each_other_and_keep_places_and_notes(write: Write, mix: Callable[..., Path]) -> None:
    write(CHAT | {"note": 1}, CHAT, name="a.jsonl")
    write(SHAREGPT, SHAREGPT, name="b.jsonl")
    loaded = load(mix({"data": "a.jsonl", "weight": 2}, {"data": "b.jsonl", "limit": 1, "format": "sharegpt"}))
    expected = ["a.jsonl:1", "a.jsonl:2", "a.jsonl:1", "a.jsonl:2", "b.jsonl:1"]
    assert [record.source for record in loaded.records] == expected
    assert loaded.format == "openai, sharegpt"
    assert loaded.notes == ("left column 'note' unread: 2 in 1 row",)


def test_paths_are_seen_from_the_folder_of_the_mix(
    write: Write, mix: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    write(CHAT, name="sub/test.jsonl")
    write(CHAT, name="sub/train.jsonl")
    file = mix({"data": "sub", "split": "test"})
    monkeypatch.chdir("/")
    assert places(file) == ["test.jsonl:1"]


def test_columns_are_renamed(write: Write, mix: Callable[..., Path]) -> None:
    write({"question": "2+2=", "good": "4", "bad": "5", "prompt": "not this one"}, name="a.jsonl")
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    with pytest.raises(DataError) as error:
        load(mix({"data": "a.jsonl", "columns": columns}))
    assert str(error.value) == ("a.jsonl:1: columns: the row has a column 'prompt' already; rename that one as well")
    [pair], notes = load_pairs(mix({"data": "a.jsonl", "columns": columns | {"kind": "prompt"}}))
    assert (pair.prompt[0].content, pair.chosen[0].content, pair.kind) == ("2+2=", "4", "not this one")
    assert notes == ()


def test_a_column_that_no_row_has_is_refused(write: Write, mix: Callable[..., Path]) -> None:
    """Though the rows can be read without it."""
    file = write(PAIR, PAIR | {"note": 1}, name="a.jsonl")
    expected = f"{file}: columns: there is no column 'sort' to read as 'kind'; found: prompt, chosen, rejected, note;"
    for on_bad_rows in ("error", "drop"):
        with pytest.raises(DataError) as error:
            load(mix({"data": "a.jsonl", "columns": {"kind": "sort"}}), on_bad_rows=on_bad_rows)
        assert str(error.value) == f"{expected} correct the name, or leave it out"


@pytest.mark.parametrize("format", [{}, {"format": "preference"}])
def test_a_column_that_is_needed_and_that_a_row_lacks(
    write: Write, mix: Callable[..., Path], format: dict[str, str]
) -> None:
    write({"question": "2+2=", "good": "4", "bad": "5"}, name="a.jsonl")
    columns = {"prompt": "question", "chosen": "godo", "rejected": "bad"}
    expected = (
        "a.jsonl:1: columns: there is no column 'godo' to read as 'chosen'; found: question, good, bad; correct the"
        " name, or leave it out"
    )
    with pytest.raises(DataError) as error:
        load(mix({"data": "a.jsonl", "columns": columns, **format}))
    assert str(error.value) == expected
    with pytest.raises(DataError, match="no column 'godo' to read as 'chosen'"):
        load(mix({"data": "a.jsonl", "columns": columns, **format}), on_bad_rows="drop")


def test_a_column_that_some_rows_lack_is_counted(write: Write, mix: Callable[..., Path]) -> None:
    write(PAIR, PAIR | {"sort": "sums"}, PAIR, name="a.jsonl")
    pairs, notes = load_pairs(mix({"data": "a.jsonl", "columns": {"kind": "sort"}}))
    assert [pair.kind for pair in pairs] == ["", "sums", ""]
    assert notes == ("found no column 'sort' to rename: 2 in 2 rows",)


def test_half_of_the_rows_are_a_stable_half(write: Write, mix: Callable[..., Path]) -> None:
    """Of 400 rows between 160 and 240: four standard deviations of a fair coin."""
    write(*[CHAT] * 400, name="a.jsonl")
    half = places(mix({"data": "a.jsonl", "weight": 0.5}))
    assert 160 < len(half) < 240
    assert half == places(mix({"data": "a.jsonl", "weight": 0.5}))
    more = places(mix({"data": "a.jsonl", "weight": 1.5}))
    assert more[400:] == half
    assert len(set(more)) == 400


def test_content_and_size(write: Write, mix: Callable[..., Path]) -> None:
    write(CHAT, CHAT, name="a.jsonl")
    write(CHAT, name="b.jsonl")
    entries = {"data": "a.jsonl", "weight": 1.5}, {"data": "b.jsonl"}
    source = Source(mix(*entries))
    assert (source.size, Source(mix(*entries), limit=2).size) == (4, 2)
    assert len(places(Source(mix(*entries), limit=2))) == 2
    found = source.content
    assert found == Source(mix(*entries)).content
    assert found != Source(mix(*entries), on_bad_rows="drop").content
    assert found != Source(mix({"data": "a.jsonl"}, {"data": "b.jsonl"})).content
    write(CHAT | {"id": 1}, name="b.jsonl")
    assert found != Source(mix(*entries)).content


def test_the_format_of_a_mix_of_rated_rows_and_pairs(write: Write, mix: Callable[..., Path]) -> None:
    """Where pairs are needed rated rows are paired; in both passes."""
    write(
        CHAT | {"label": True},
        {**CHAT, "messages": [*CHAT["messages"][:1], {"role": "assistant", "content": "Ho"}], "label": False},
        name="a.jsonl",
    )
    write(PAIR, name="b.jsonl")
    pairs, _ = load_pairs(mix({"data": "a.jsonl", "weight": 2}, {"data": "b.jsonl"}))
    assert [pair.chosen[0].content for pair in pairs] == ["Hello", "Hello", "a"]


def test_bad_rows_of_entries_are_dropped(write: Write, mix: Callable[..., Path]) -> None:
    write(PAIR | {"rejected": "a"}, PAIR, name="a.jsonl")
    pairs, notes = load_pairs(mix({"data": "a.jsonl"}), on_bad_rows="drop")
    assert [pair.source for pair in pairs] == ["a.jsonl:2"]
    assert notes[0].startswith(
        "left out rows that break a rule: 1, the first: a.jsonl:1: chosen and rejected are equal"
    )


def test_pairs_and_dialogues_do_not_mix(write: Write, mix: Callable[..., Path]) -> None:
    write(CHAT, name="a.jsonl")
    write(PAIR, name="b.jsonl")
    file = mix({"data": "a.jsonl"}, {"data": "b.jsonl"})
    with pytest.raises(DataError) as error:
        load(file)
    assert str(error.value) == f"{file}: mixes dialogues and preference pairs; give entries of one kind"
    with pytest.raises(DataError, match=r"b\.jsonl: holds preference pairs"):
        load_dialogues(file)
    with pytest.raises(DataError, match=r"a\.jsonl: holds dialogues"):
        load_pairs(file)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (
            {"data": "a.jsonl", "wieght": 2},
            "mix.yaml[0]: unknown key 'wieght'; use data, format, split, limit, columns, weight",
        ),
        ({"weight": 2}, "mix.yaml[0]: data: must name a file, a folder or a data set on the hub; there is none"),
        ("a.jsonl", "mix.yaml[0]: an entry must have keys, such as `data: FILE` (got 'a.jsonl')"),
        ({"data": 3}, "mix.yaml[0]: data: must name a file, a folder or a data set on the hub (got 3)"),
        ({"data": "a.jsonl", "format": 1}, "mix.yaml[0]: format: must be the name of a format (got 1)"),
        ({"data": "a.jsonl", "limit": 0}, "mix.yaml[0]: limit: must be a whole number of rows from 1 (got 0)"),
        ({"data": "a.jsonl", "limit": True}, "mix.yaml[0]: limit: must be a whole number of rows from 1 (got True)"),
        (
            {"data": "a.jsonl", "columns": ["x"]},
            "mix.yaml[0]: columns: must give names of columns, {ours: theirs} (got ['x'])",
        ),
        (
            {"data": "a.jsonl", "weight": 0},
            "mix.yaml[0]: weight: must be a number above 0, how many times each record counts in an epoch (got 0)",
        ),
        ({"data": "b.yaml"}, "mix.yaml[0]: data: a mix cannot hold another; list its entries here (got 'b.yaml')"),
        ({"data": "aa.jsonl"}, "{folder}/aa.jsonl: no such file or folder; did you mean {folder}/a.jsonl?"),
        ({"data": "a.jsonl", "format": "chatml"}, "format: unknown format 'chatml'; use one of "),
        ({"data": "a.jsonl", "split": "test"}, "split: a.jsonl has no splits (got 'test'); leave split out, or give"),
    ],
)
def test_each_fault_is_one_line(write: Write, mix: Callable[..., Path], tmp_path: Path, entry: Any, error: str) -> None:
    write(CHAT, name="a.jsonl")
    with pytest.raises(TurnpointError) as raised:
        load(mix(entry))
    assert str(raised.value).startswith(error.replace("{folder}", str(tmp_path)))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_mix(tmp_path: Path) -> None:
    file = tmp_path / "mix.yml"
    with pytest.raises(DataError, match=r"mix\.yml: no such file$"):
        load(file)
    file.write_text("data: a.jsonl")
    with pytest.raises(
        ConfigError, match=r"mix\.yml: a mix must be a list of entries, each with `data` \(got \{'data'"
    ):
        load(file)
    file.write_text("- [")
    with pytest.raises(DataError, match=r"mix\.yml: is no YAML: while parsing a flow node"):
        load(file)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"format": "openai"}, "format: is given by each entry of a mix (got 'openai'); leave it out"),
        ({"columns": {"a": "b"}}, "columns: is given by each entry of a mix (got {'a': 'b'}); leave it out"),
        ({"split": "test"}, "split: mix.yaml has no splits (got 'test'); leave split out, or give another file"),
        (
            {"streaming": True},
            "streaming: a mix is read whole, since its entries follow each other; leave streaming out",
        ),
    ],
)
def test_what_entries_give_is_not_given_for_all(given: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Source("mix.yaml", **given)
    assert str(raised.value) == error


def test_kinds_of_a_mix(write: Write, mix: Callable[..., Path]) -> None:
    write(PAIR, name="a.jsonl")
    opened = Source(mix({"data": "a.jsonl"})).open(PreferencePair)
    assert isinstance(opened.read(next(opened.rows), opened.changes), PreferencePair)
    write(CHAT, name="a.jsonl")
    opened = Source(mix({"data": "a.jsonl"})).open(Dialogue)
    assert isinstance(opened.read(next(opened.rows), opened.changes), Dialogue)
