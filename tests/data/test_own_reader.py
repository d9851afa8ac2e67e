"""A reader of the user's own, named by where Python finds it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data import Source, load_dialogues, load_pairs
from turnpoint.errors import ConfigError, DataError

MODULE = """
from turnpoint.dialogue import Dialogue, Message


def tickets(row):
    if row["kind"] == "record":
        return Dialogue(messages=(Message(role="user", content=row["asked"]),))
    if row["kind"] == "wrong":
        return [row["asked"]]
    asked, said = row["asked"], row["said"]
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"messages": messages, "mesages": []} if row["kind"] == "misspelt" else {"messages": messages}


NAME = "tickets"
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """From rows a file of them, beside a module that reads them."""
    (tmp_path / "own_readers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def write(*rows: Mapping[str, Any]) -> str:
        (tmp_path / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / "tickets.jsonl")

    return write


def test_a_row_or_a_record_is_what_it_returns(source: Any) -> None:
    rows = source(
        {"kind": "row", "asked": "is it open", "said": "yes", "agent": 7}, {"kind": "record", "asked": "hello"}
    )
    dialogues, notes = load_dialogues(rows, format="own_readers:tickets")
    assert [[m.content for m in each.messages] for each in dialogues] == [["is it open", "yes"], ["hello"]]
    assert [each.source for each in dialogues] == ["tickets.jsonl:1", "tickets.jsonl:2"]
    assert notes == ()


def test_columns_that_nothing_reads_are_counted(source: Any) -> None:
    _, notes = load_dialogues(source({"kind": "misspelt", "asked": "a", "said": "b"}), format="own_readers:tickets")
    assert [note.split(":")[0] for note in notes] == ["left column 'mesages' unread"]


def test_a_module_that_is_no_python_is_one_line(source: Any, tmp_path: Path) -> None:
    (tmp_path / "own_broken.py").write_text("def read(row)\n    return row\n")
    with pytest.raises(
        ConfigError, match=r"cannot be imported \(SyntaxError: expected ':' \(own_broken.py, line 1\)\)"
    ):
        load_dialogues(source({"kind": "row"}), format="own_broken:read")


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"kind": "row", "asked": "a"},
            "tickets.jsonl:1: the reader own_readers:tickets fails at own_readers.py:10: KeyError: 'said'",
        ),
        (
            {"kind": "wrong", "asked": "a"},
            "tickets.jsonl:1: the reader own_readers:tickets must return a row, a Dialogue or a PreferencePair"
            " (got list)",
        ),
    ],
)
def test_its_mistakes_are_one_line(source: Any, row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_dialogues(source(row), format="own_readers:tickets")
    assert str(raised.value) == error


def test_dialogues_where_pairs_are_needed(source: Any) -> None:
    with pytest.raises(DataError, match=r"holds dialogues \(format own_readers:tickets\) where preference pairs are"):
        load_pairs(source({"kind": "record", "asked": "hello"}), format="own_readers:tickets")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("own_readers:nothing", "format: cannot be imported (module 'own_readers' has no attribute 'nothing') (got"),
        ("nowhere:nothing", "format: cannot be imported (No module named 'nowhere') (got 'nowhere:nothing'); give"),
        ("own_readers:NAME", "format: is no function (got 'own_readers:NAME'); a reader takes a row and returns one"),
    ],
)
def test_a_path_that_leads_to_no_reader(source: Any, path: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_dialogues(source({"kind": "record", "asked": "hello"}), format=path)
    assert str(raised.value).startswith(error)


@pytest.fixture
def installed(source: Any, tmp_path: Path) -> Any:
    """A distribution on the path that names the reader, as an installed package would."""
    folder = tmp_path / "desk_readers-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: desk-readers\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[turnpoint.readers]\ntickets = own_readers:tickets\nopenai = own_readers:tickets\n"
    )
    return source


def test_a_reader_of_an_installed_package_is_found_by_name(installed: Any) -> None:
    rows = installed({"kind": "row", "asked": "is it open", "said": "yes"})
    [dialogue], _ = load_dialogues(rows, format="tickets")
    assert [message.content for message in dialogue.messages] == ["is it open", "yes"]
    with pytest.raises(ConfigError, match=r"format: unknown format 'ticket'; use one of .*, text, tickets, package"):
        load_dialogues(rows, format="ticket")


def test_its_code_is_part_of_the_content(installed: Any) -> None:
    rows = installed({"kind": "row", "asked": "is it open", "said": "yes"})
    assert Source(rows, "tickets").content == Source(rows, "own_readers:tickets").content != Source(rows).content


def test_it_cannot_take_a_name_of_ours(installed: Any) -> None:
    with pytest.raises(DataError, match=r"needed: messages \(format openai\)"):
        load_dialogues(installed({"kind": "row", "asked": "a", "said": "b"}), format="openai")
