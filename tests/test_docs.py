"""Every command of the README runs as printed, on a tiny model and a few rows in place of the user's."""

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from tests.cli import tiny

from turnpoint.cli import main
from turnpoint.models import load

ROOT = Path(__file__).parents[1]
TOOL = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = {"role": "assistant", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]}
DIALOGUE = [
    {"role": "user", "content": "Weather please"},
    {"role": "assistant", "content": "Which city?"},
    {"role": "user", "content": "Paris"},
    CALL,
    {"role": "tool", "content": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]
PAIR = {"prompt": DIALOGUE[:3], "chosen": DIALOGUE[3:], "rejected": [{"role": "assistant", "content": "I can't."}]}


def commands() -> list[str]:
    """The commands of the README that start with `turnpoint`, comments removed."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("turnpoint ")]


@pytest.fixture
def user_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the README's commands read, in the working folder; `demo` names a tiny model."""
    monkeypatch.chdir(tmp_path)
    model = tiny.save_model(tmp_path / "tiny")
    monkeypatch.setattr(load, "converted", lambda file: model)
    for name in ("dialogues.jsonl", "held-back.jsonl"):
        Path(name).write_text(json.dumps({"messages": DIALOGUE, "tools": [TOOL]}) + "\n", encoding="utf-8")
    Path("pairs.jsonl").write_text(json.dumps(PAIR | {"tools": [TOOL]}) + "\n", encoding="utf-8")
    Path("tools.json").write_text(json.dumps([TOOL]), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("Weather please\n/quit\n"))
    return tmp_path


def test_the_commands_of_the_readme_run_in_their_order(user_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = [shlex.split(command)[1] for command in commands()]
    assert {"inspect", "sft", "dpo", "evaluate", "chat"} <= set(verbs)
    for command in commands():
        words = shlex.split(command)[1:]
        assert main(words) == 0, f"{command}\n{capsys.readouterr().err}"
    assert (user_files / "runs" / "sft" / "config.yaml").exists()
    assert (user_files / "runs" / "dpo" / "config.yaml").exists()


def test_the_example_in_python_trains(user_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    code = example[1].replace('"runs/sft"', '"demo"').replace("DPOConfig(", 'DPOConfig(output_dir="runs/python", ')
    exec(compile(code, "README.md", "exec"), {})
    assert (user_files / "runs" / "python" / "model.safetensors").exists()


def test_files_that_the_readme_points_to_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / target).exists(), target
