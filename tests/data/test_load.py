"""Loading: sources, formats, limits, and the line a user reads when something is wrong."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset, DatasetDict

from turnpoint.data import hub, load, load_dialogues, load_pairs
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import ConfigError, DataError

Write = Callable[..., Path]

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
PAIR = {"prompt": CHAT["messages"][:1], "chosen": "Hello", "rejected": "What"}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}


@pytest.mark.parametrize(
    ("row", "format"),
    [
        (CHAT, "openai"),
        (SHAREGPT, "sharegpt"),
        (PAIR, "preference"),
        (CHAT | PAIR, "preference"),  # chat beside a pair: the pair says more
        (SHAREGPT | {"chosen": "Hello", "rejected": "What"}, "preference"),
        ({"prompt": "2+2=", "completion": "4"}, "completion"),
        ({"instruction": "Greet.", "output": "Hello"}, "alpaca"),
        ({"instruction": "Greet.", "output": "x", "chosen": "Hello", "rejected": "What"}, "alpaca-preference"),
        ({"text": "Once"}, "text"),
    ],
)
def test_formats_are_recognised_by_keys(write: Write, row: dict[str, Any], format: str) -> None:
    by_itself, by_name = load(write(row)), load(write(row), format=format)
    assert by_itself.format == by_name.format == format
    assert by_itself.records == by_name.records


def test_a_format_can_be_chosen_where_several_match(write: Write) -> None:
    assert load(write(CHAT | PAIR), format="openai").format == "openai"


def test_records_are_named_by_line_index_or_row(write: Write, tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(f"\n{json.dumps(CHAT)}\n\n{json.dumps(CHAT)}\n")  # blank lines are counted as lines
    listed = tmp_path / "b.json"
    listed.write_text(json.dumps([CHAT, CHAT], indent=2))
    assert [record.source for record in load(lines).records] == ["a.jsonl:2", "a.jsonl:4"]
    assert [record.source for record in load(listed).records] == ["b.json[0]", "b.json[1]"]
    assert [record.source for record in load([CHAT, CHAT]).records] == ["row 0", "row 1"]
    assert [record.source for record in load(row for row in [PAIR]).records] == ["row 0"]


def test_json_lines_and_single_objects_are_read_from_json_files(write: Write, tmp_path: Path) -> None:
    assert len(load(write(CHAT, CHAT, name="lines.json")).records) == 2
    one = tmp_path / "one.json"
    one.write_text(json.dumps(CHAT, indent=2))
    assert [record.source for record in load(one).records] == ["one.json[0]"]


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(CHAT), encoding="utf-8-sig")
    assert len(load(path).records) == 1


def test_limit_takes_the_first_rows_and_reads_no_further(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(CHAT)}\n{json.dumps(CHAT)}\nbroken\n")
    assert [record.source for record in load(path, limit=2).records] == ["a.jsonl:1", "a.jsonl:2"]
    with pytest.raises(ConfigError, match=r"^limit: must be at least 1 row \(got 0\)$"):
        load(path, limit=0)


def test_a_folder_is_read_file_by_file(write: Write, tmp_path: Path) -> None:
    write(CHAT, CHAT, name="b.jsonl")
    write(CHAT, name="a.json")
    (tmp_path / "notes.txt").write_text("no data")
    loaded = load(tmp_path)
    assert [record.source for record in loaded.records] == ["a.json:1", "b.jsonl:1", "b.jsonl:2"]
    assert loaded.notes == ()


def test_a_folder_with_files_named_for_splits_gives_one_split(write: Write, tmp_path: Path) -> None:
    for name in ("train_a.jsonl", "dev_a.jsonl", "test.jsonl"):
        write(CHAT, name=name)
    train = load(tmp_path)
    assert [record.source for record in train.records] == ["train_a.jsonl:1"]
    assert train.notes == (f"left out files of {tmp_path.name} that are not of split 'train': dev_a.jsonl, test.jsonl",)
    assert [record.source for record in load(tmp_path, split="validation").records] == ["dev_a.jsonl:1"]
    with pytest.raises(DataError) as error:
        load(tmp_path, split="tset")
    expected = f"{tmp_path}: no file is named for split 'tset'; splits found: test, train, validation"
    assert str(error.value) == expected


def test_a_split_of_a_source_without_splits_is_refused(write: Write, tmp_path: Path) -> None:
    for source, name in (
        (write(CHAT), "rows.jsonl"),
        (tmp_path, str(tmp_path)),
        ([CHAT], "the list handed over"),
    ):
        with pytest.raises(ConfigError) as error:
            load(source, split="test")
        assert str(error.value) == f"split: {name} has no splits (got 'test'); leave split out, or give another file"


def test_columns_that_are_not_read_are_named(write: Write) -> None:
    rows = [CHAT | {"services": ["bank"], "note": None}, CHAT | {"services": [], "note": None}]
    assert load(write(*rows)).notes == ("left column 'services' unread: 2 in 2 rows",)


def test_none_in_arguments_of_a_file_is_kept(write: Write) -> None:
    call = {"name": "book", "arguments": {"seat": None, "extras": [{"meal": None}]}}
    row = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}], "tools": [{"name": "book"}]}
    loaded = load(write(row))
    assert loaded.records[0].messages[0].tool_calls[0].arguments == call["arguments"]  # type: ignore[union-attr]
    assert loaded.notes == ()


def test_none_in_rows_handed_over_is_kept_unless_they_come_through_arrow() -> None:
    call = {"name": "book", "arguments": {"seat": None}}
    row = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}], "tools": [{"name": "book"}]}
    for rows, arguments in (([row], {"seat": None}), (Dataset.from_list([row]), {})):
        loaded = load(rows)
        assert loaded.records[0].messages[0].tool_calls[0].arguments == arguments  # type: ignore[union-attr]
        assert bool(loaded.notes) is (rows != [row])


WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
CLOCK = {
    "name": "clock",
    "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}


def call_row(tool: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    call = {"id": "a", "type": "function", "function": {"name": tool["name"], "arguments": arguments}}
    return {
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [call]}],
        "tools": [{"type": "function", "function": tool}],
    }


def test_what_arrow_filled_is_stripped_and_counted(write: Write) -> None:
    """Arrow gives both rows the keys of both.

    Row 0: content of the call and tool_calls of the user, `zone` in the arguments, `zone` in the properties, and
    `required`: 5. Row 1: content, tool_calls, `city` twice: 4.
    """
    rows = [call_row(WEATHER, {"city": "Paris"}), call_row(CLOCK, {"zone": "CET"})]
    dataset = Dataset.from_list(rows)
    assert dataset[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"city": "Paris", "zone": None}

    handed_over, from_file = load(dataset), load(write(*rows))
    assert handed_over.notes == ("stripped keys filled with None (Arrow): 9 in 2 rows",)
    assert from_file.notes == ()
    unnamed = {"id": "", "source": ""}
    assert [record.model_copy(update=unnamed) for record in handed_over.records] == [
        record.model_copy(update=unnamed) for record in from_file.records
    ]


def test_a_dataset_dict_and_a_folder_it_was_saved_to_give_their_split(tmp_path: Path) -> None:
    splits = DatasetDict(train=Dataset.from_list([CHAT]), test=Dataset.from_list([CHAT, CHAT]))
    splits.save_to_disk(str(tmp_path / "saved"))
    splits["test"].save_to_disk(str(tmp_path / "one"))
    assert len(load(splits, split="test").records) == 2
    assert len(load(tmp_path / "saved", split="test").records) == 2
    assert len(load(tmp_path / "one").records) == 2
    with pytest.raises(DataError, match=r"^split: no split 'dev'; found: train, test$"):
        load(splits, split="dev")


def test_a_hub_name_is_loaded_through_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(*arguments: Any, **options: Any) -> Dataset:
        asked.append((arguments, options))
        return Dataset.from_list([CHAT])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "reachable", lambda: True)
    assert [record.source for record in load("owner/name", split="train[:5]").records] == ["row 0"]
    load("owner/name:easy")
    assert asked == [
        (("owner/name", None), {"split": "train[:5]", "streaming": False}),
        (("owner/name", "easy"), {"split": "train", "streaming": False}),
    ]


def test_a_hub_name_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_address(*_: Any) -> None:
        raise OSError("Name or service not known")

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("Config name is missing.\nPlease pick one.")

    (tmp_path / "demo_data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("turnpoint.hub.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    missing = "no file or folder of that name, and not found on the hub as split 'train'"
    with pytest.raises(DataError) as error:
        load("demo_dat")
    assert str(error.value) == f"demo_dat: {missing} (the hub cannot be reached); did you mean demo_data?"

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError) as error:
        load("owner/name")
    assert str(error.value) == f"owner/name: {missing} (Config name is missing. Please pick one.)"


def test_a_missing_file_is_named_with_the_nearest_one(write: Write, tmp_path: Path) -> None:
    near = write(CHAT, name="train.jsonl")
    with pytest.raises(DataError) as error:
        load(str(tmp_path / "trian.jsonl"))
    assert str(error.value) == f"{tmp_path / 'trian.jsonl'}: no such file or folder; did you mean {near}?"
    with pytest.raises(DataError) as error:
        load(tmp_path / "nowhere" / "x.jsonl")
    assert str(error.value) == f"{tmp_path / 'nowhere' / 'x.jsonl'}: no such file or folder"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "a.jsonl",
            '{"text": "x"}\n{"text" "x"}\n',
            "a.jsonl:2: broken JSON at column 9: Expecting ':' delimiter; each line must hold one row",
        ),
        (
            "a.jsonl",
            '{"text": "x"}\n{"text": "y',
            "a.jsonl:2: broken JSON at column 10: Unterminated string starting; each line must hold one row",
        ),
        (
            "a.jsonl",
            '{"text": ["x"\n{"text": "x"}\n',
            "a.jsonl:1: broken JSON at column 14: Expecting ',' delimiter; each line must hold one row",
        ),
        ("a.json", '[{"text": "x"},\n{"text" "x"}]', "a.json:2: broken JSON at column 9: Expecting ':' delimiter"),
        ("a.jsonl", "", "a.jsonl: holds no rows"),
        ("a.jsonl", "\n\n", "a.jsonl: holds no rows"),
        ("a.json", "[]", "a.json: holds no rows"),
        ("a.jsonl", "3\n", "a.jsonl:1: a row must be an object with keys (got 3)"),
        ("a.json", '["x"]', "a.json[0]: a row must be an object with keys (got 'x')"),
        (
            "a.xml",
            "x",
            "a.xml: only .json, .jsonl, .csv, .tsv (each also as .gz) and .parquet files are read (got .xml); load it"
            " with the datasets library and hand over the Dataset",
        ),
        (
            "a.jsonl",
            '{"text": ' + "1" * 5000 + "}",
            "a.jsonl:1: JSON that cannot be read: Exceeds the limit (4300 digits) for integer string conversion",
        ),
        ("a.jsonl", '{"text": ' + "[" * 20_000, "a.jsonl:1: JSON that cannot be read: maximum recursion depth"),
        (
            "a.jsonl",
            b'{"text": "\xe9"}',
            "a.jsonl: is not UTF-8 text: invalid continuation byte at byte 10; save it as",
        ),
    ],
)
def test_faults_of_files(tmp_path: Path, name: str, content: str | bytes, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        load(path)
    line = str(error.value)
    assert line.removeprefix(f"{tmp_path}/").startswith(text)
    assert "\n" not in line


def test_an_empty_folder_and_an_empty_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r": this folder holds no \.json, \.jsonl, \.csv, \.tsv or \.parquet file$"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"^the list handed over: holds no rows$"):
        load([])


def test_an_unknown_format_names_the_formats(write: Write) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(CHAT), format="chatml")
    assert str(error.value) == (
        "format: unknown format 'chatml'; use one of alpaca-preference, hh-rlhf, diatool, chat-preference,"
        " orca-preference, preference, llamafactory-preference, when2call-preference, swift-preference,"
        " openai-preference, when2call, bfcl, sgd, functionchat-dialog, functionchat-decision, functionchat-call,"
        " webgpt, shp, xlam, glaive, openai, sharegpt, completion, vicuna, alpaca, text, package.module:name for a"
        " reader of your own, or leave it out to have it recognised"
    )


def test_a_row_of_no_known_format_says_what_was_found_and_what_is_needed(write: Write) -> None:
    with pytest.raises(DataError) as error:
        load(write({"services": "?", "answer": "!"}))
    assert str(error.value) == (
        "rows.jsonl:1: no known format; found keys: services, answer; needed are those of one format, such as"
        " preference (chosen + rejected), openai (messages), sharegpt (conversations), completion (prompt +"
        " completion), alpaca (instruction + output), text (text), sgd (services + turns)"
    )


def test_a_format_that_does_not_match_says_what_was_found_and_what_is_needed(write: Write) -> None:
    with pytest.raises(
        DataError, match=r"^rows\.jsonl:1: found keys: messages; needed: conversations \(format sharegpt\)$"
    ):
        load(write(CHAT), format="sharegpt")


def test_one_source_holds_one_format(write: Write) -> None:
    with pytest.raises(DataError) as error:
        load(write(CHAT, CHAT, SHAREGPT))
    assert str(error.value) == (
        "rows.jsonl:3: found keys: conversations; needed: messages (format openai), which the rows from rows.jsonl:1 on"
        " have; one source holds one format"
    )


def test_dialogues_and_pairs_are_not_taken_for_each_other(write: Write) -> None:
    assert load_dialogues(write(CHAT)) == (load(write(CHAT)).records, ())
    assert load_pairs(write(PAIR)) == (load(write(PAIR)).records, ())
    with pytest.raises(DataError) as error:
        load_dialogues(write(PAIR))
    assert str(error.value).endswith(
        "rows.jsonl: holds preference pairs (format preference) where dialogues are needed; give messages without"
        " chosen and rejected sides, or, for losses kto and bco, rated rows (with a label)"
    )
    with pytest.raises(DataError) as error:
        load_pairs(write(CHAT))
    assert str(error.value).endswith(
        "rows.jsonl: holds dialogues (format openai) where preference pairs are needed; give chosen and rejected sides,"
        " or rows of one prompt rated by a label, liked and disliked, or make pairs of the dialogues first"
    )


def test_records_handed_over_are_taken_as_they_are() -> None:
    message = Message(role="assistant", content="Hi")
    dialogue = Dialogue(messages=(message,), source="mine")
    pair = PreferencePair(
        prompt=(Message(role="user", content="?"),),
        chosen=(message,),
        rejected=(Message(role="assistant", content="Ho"),),
    )
    assert load_dialogues([dialogue]) == ([dialogue], ())
    assert load_pairs([pair, pair], limit=1) == ([pair], ())
    with pytest.raises(DataError) as error:
        load([dialogue, pair])
    assert str(error.value) == ("row 1: is a PreferencePair where the first is a Dialogue; give records of one kind")
