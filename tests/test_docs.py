"""Commands and examples of the documents run as printed, a tiny model in place of the embedded one; tables are true."""

import inspect
import io
import re
import shlex
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli import tiny

from turnpoint.cli import main
from turnpoint.data import load_pairs
from turnpoint.models import load
from turnpoint.objectives import LOSSES, LossSettings, PairScores
from turnpoint.training import health

ROOT = Path(__file__).parents[1]


def commands(page: str = "README.md") -> list[str]:
    """The commands of a page that start with `turnpoint`, comments removed."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
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


def test_the_page_of_rewards(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands, then its examples in Python, in their order."""
    for command in commands("docs/reward.md"):
        assert main([*shlex.split(command)[1:], "--limit", "4"]) == 0, f"{command}\n{capsys.readouterr().err}"
    page = (ROOT / "docs" / "reward.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(example, "reward.md", "exec"), names)
    assert isinstance(names["score"], float)
    assert names["scores"].shape == (len(names["pairs"]), 2)


def test_the_commands_of_the_page_of_serving_run(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the server, which does not end (tests/cli/test_serve.py)."""
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    functions = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert functions is not None
    (clone / "tools.py").write_text(functions[1], encoding="utf-8")
    for name in ("sft", "dpo"):
        tiny.save_model(clone / "runs" / name)
    ending = [command for command in commands("docs/serving.md") if "--serve" not in command]
    assert {shlex.split(command)[1] for command in ending} == {"chat", "export"}
    for command in ending:
        monkeypatch.setattr("sys.stdin", io.StringIO("Weather please\n"))
        assert main(shlex.split(command)[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
    assert (clone / "runs" / "exported" / "model.safetensors").exists()
    assert (clone / "runs" / "gguf" / "model.gguf").exists()


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_page_of_comparing(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands in their order, then its examples in Python, the second stage in the place of a first one."""
    for command in commands("docs/comparing.md"):
        assert main(shlex.split(command)[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
    assert (clone / "runs" / "compare.md").read_text(encoding="utf-8").startswith("| prompt | demo | runs/dpo |\n")
    sample = ["sample", "examples/held-back.jsonl", "--n", "2", "--limit", "2", "--max_new_tokens", "4"]
    assert main([*sample, "--output", "runs/samples.jsonl"]) == 0
    page = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(example.replace('"runs/sft"', '"runs/dpo"'), "comparing.md", "exec"), names)
    assert len(names["samples"]) == 2


def test_the_example_in_python_trains(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    code = example[1].replace('"runs/sft"', '"demo"')
    exec(compile(code, "README.md", "exec"), {})
    assert (clone / "runs" / "python" / "model.safetensors").exists()


def test_the_recipe_of_the_page_of_tuning_runs(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    recipe = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert recipe is not None
    (clone / "both.yaml").write_text(recipe[1].replace("bf16: true", "bf16: false"), encoding="utf-8")
    assert main(["run", "both.yaml"]) == 0, capsys.readouterr().err
    assert (clone / "runs" / "both" / "dpo" / "model.safetensors").exists()
    assert "completion" in capsys.readouterr().out  # of the table of decisions


def test_files_that_the_readme_points_to_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_the_page_of_objectives_says_of_every_loss_what_the_table_says() -> None:
    """Name, whether it needs a reference, its own reduction, and which settings it takes."""
    page = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    for name, fact in LOSSES.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}` | ") and line.count("|") >= 7]
        reference, reduction, beta, takes = (cell.strip() for cell in row.split(" | ")[-4:])
        assert reference == ("yes" if fact.needs_reference else "no"), name
        assert reduction == fact.reduction, name
        assert beta == fact.beta, name
        flags = {"EPSILON": fact.smoothing, "RHO": fact.margin, "f": fact.divergence}
        taken = [
            unicodedata.name(sign).rpartition(" ")[2] if sign != "f" else sign for sign in takes.strip("| ").split()
        ]
        assert taken == [sign for sign, read in flags.items() if read], name


def test_the_loss_of_the_page_of_objectives_trains() -> None:
    page = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(compile(example[1], "objectives.md", "exec"), names)
    one = torch.ones(1)
    scores = PairScores(one, -one, 0 * one, 0 * one, one, 0 * one, one, one, one > 0)
    assert names["squared"](scores, LossSettings(1.0, 0.0, lambda ratios: ratios)).tolist() == [1.0]


def test_the_reader_of_the_page_of_data_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(def thumbs.*?)```", page, re.DOTALL)
    assert example is not None
    (tmp_path / "desk.py").write_text(example[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    row = {"asked": "is it open", "replies": [{"text": "no idea", "thumb": "down"}, {"text": "yes", "thumb": "up"}]}
    [pair], notes = load_pairs([row], format="desk:thumbs")
    assert [(side[0].content) for side in (pair.prompt, pair.chosen, pair.rejected)] == ["is it open", "yes", "no idea"]
    assert notes == ()


def test_every_check_of_a_run_stands_in_the_page_of_tuning() -> None:
    page = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    checks = set(re.findall(r"^    return Verdict\(\n        \"(\w+)\"", inspect.getsource(health), re.MULTILINE))
    assert len(checks) == 7
    assert all(f"| `{check}` | " in page for check in checks)
