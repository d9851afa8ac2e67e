"""A tiny model on disk, rows to write, and a way to run a command and read what it prints."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.cli.tiny import save_model

from turnpoint.cli import main

TOOL = {
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = {"role": "assistant", "tool_calls": [{"name": "weather", "arguments": {"city": "Paris"}}]}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


DIALOGUE = {
    "messages": [user("Weather in Paris?"), CALL, {"role": "tool", "content": "sunny"}, assistant("It is sunny.")],
    "tools": [TOOL],
}
PAIR = {
    "prompt": [user("Weather in Paris?")],
    "chosen": [CALL],
    "rejected": [assistant("Which city?")],
    "tools": [TOOL],
}


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run_command(*words: str) -> Ran:
        code = main(words)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., str]:
    """Writes rows as JSON lines; text is written as it is."""

    def write(*values: Any, name: str = "data.jsonl") -> str:
        path = tmp_path / name
        lines: Sequence[str] = [value if isinstance(value, str) else json.dumps(value) for value in values]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write
