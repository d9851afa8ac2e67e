"""Faults of rows, files and systems in plain sentences, without the words and numbers of libraries."""

import re
from pathlib import Path
from typing import Any

import pytest

from turnpoint.data import load
from turnpoint.dialogue import Dialogue
from turnpoint.dialogue.faults import parse, reason_of
from turnpoint.errors import DataError

USER, ANSWER = {"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}
PAIR = {"prompt": [USER], "chosen": [ANSWER], "rejected": "?"}


def chat(**last: Any) -> dict[str, Any]:
    return {"messages": [USER, ANSWER | last]}


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"messages": [{"content": "?"}]}, "messages[0].role: is missing; give it"),
        (
            {"messages": [{"role": None, "content": "?"}]},
            "messages[0].role: unknown role; use system, user, assistant or tool (got None)",
        ),
        (chat(content=3), "messages[1].content: must be a string (got 3)"),
        (chat(tool_calls=3), "messages[1].tool_calls: must be a list (got 3)"),
        (chat(tool_calls=[3]), "messages[1].tool_calls[0]: must be an object (got 3)"),
        (chat(train="no way"), "messages[1].train: must be true or false (got 'no way')"),
        (
            chat(decision="x"),
            "messages[1].decision: must be 'call', 'slot', 'completion', 'relevance' or 'confirm' (got 'x')",
        ),
        (chat() | {"tools": 3}, "tools: must be a list (got 3)"),
        (chat() | {"tools": [{"name": "f", "parameters": 3}]}, "tools[0].parameters: must be an object (got 3)"),
        (PAIR | {"weight": "x"}, "weight: must be a number (got 'x')"),
        (PAIR | {"weight": 0}, "weight: must be above 0 (got 0)"),
        (PAIR | {"margin": float("inf")}, "margin: must be a finite number (got inf)"),
        (PAIR | {"about": {"a": [1]}}, "about.a: must be a string or a whole number (got [1])"),
        (
            chat(tool_calls=[{"name": "f", "arguments": {}}]) | {"tools": [{"name": "\ud800"}]},
            "holds half of a surrogate pair; take it out (got '\\ud800')",
        ),
    ],
)
def test_rules_in_plain_sentences(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load([row])
    assert str(raised.value) == f"row 0: {error}"


def test_a_key_that_has_no_place() -> None:
    with pytest.raises(DataError) as raised:
        parse(Dialogue, {"messages": [USER], "note": 1}, "f.jsonl:1")
    assert str(raised.value) == "f.jsonl:1: note: is a key that has no place here; leave it out (got 1)"


def test_reasons_of_the_system_have_no_numbers() -> None:
    assert reason_of(FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory: 'x'"
    assert reason_of(OSError("a\n  b")) == "a b"
    assert reason_of(ValueError()) == "ValueError"


@pytest.mark.parametrize("name", ["~nosuchuser/rows.jsonl", "~nosuchuser/rows", "~nosuchuser/mix.yaml"])
def test_the_home_of_nobody(name: str) -> None:
    with pytest.raises(DataError) as raised:
        load(name)
    assert str(raised.value) == f"{name}: ~nosuchuser is the home folder of no user here; give the whole path"


def test_the_home_of_nobody_in_a_mix(tmp_path: Path) -> None:
    mix = tmp_path / "mix.yaml"
    mix.write_text("- data: ~nosuchuser/rows.jsonl")
    with pytest.raises(DataError, match=r"^~nosuchuser/rows\.jsonl: ~nosuchuser is the home folder of no user here"):
        load(mix)


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(DataError) as raised:
        load("x" * 300 + ".jsonl")
    assert str(raised.value) == f"{'x' * 80}: cannot be looked for: File name too long; give another path"


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=rf"^{re.escape(str(tmp_path))}: cannot be read: Permission denied$"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"none\.jsonl: no such file or folder$"):
        load(tmp_path / "none.jsonl")


def test_a_folder_of_save_to_disk_that_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError) as raised:
        load(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}: what save_to_disk wrote cannot be read: ")
    assert str(raised.value).endswith("; write it anew")
    assert "Errno" not in str(raised.value)
