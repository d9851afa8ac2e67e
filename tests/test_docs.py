"""Every command of the README runs as printed, on the examples, with a tiny model in place of the embedded one."""

import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
from tests.cli import tiny

from turnpoint.cli import main
from turnpoint.models import load

ROOT = Path(__file__).parents[1]


def commands() -> list[str]:
    """The commands of the README that start with `turnpoint`, comments removed."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("turnpoint ")]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the examples; `demo` names a tiny model, and the user of the chat says one thing."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    model = tiny.save_model(tmp_path / "tiny")
    monkeypatch.setattr(load, "converted", lambda file: model)
    monkeypatch.setattr("sys.stdin", io.StringIO("Weather please\n/quit\n"))
    return tmp_path


def test_the_commands_of_the_readme_run_in_their_order(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = [shlex.split(command)[1] for command in commands()]
    assert {"inspect", "sft", "dpo", "evaluate", "chat"} <= set(verbs)
    for command in commands():
        words = shlex.split(command)[1:]
        assert main(words) == 0, f"{command}\n{capsys.readouterr().err}"
    assert (clone / "runs" / "sft" / "config.yaml").exists()
    assert (clone / "runs" / "dpo" / "config.yaml").exists()


def test_the_example_in_python_trains(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    code = example[1].replace('"runs/sft"', '"demo"')
    exec(compile(code, "README.md", "exec"), {})
    assert (clone / "runs" / "python" / "model.safetensors").exists()


def test_files_that_the_readme_points_to_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / target).exists(), target
