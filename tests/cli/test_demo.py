"""`turnpoint demo` from end to end on a tiny random model, and the recipes it refuses before it begins."""

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.cli.conftest import Ran
from tests.cli.tiny import tokenizer as make_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from turnpoint.cli import demo
from turnpoint.cli.demo_recipe import RECIPE, read_recipe, stage_config
from turnpoint.errors import ConfigError
from turnpoint.pairs.trajectories import ROW_NAMES
from turnpoint.training import DPOConfig, SFTConfig

Run = Callable[..., Ran]


def embedded_model(name: str) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A tiny model in place of the embedded one. Its tokens are mostly single letters, so sequences are long."""
    assert name == "demo"
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.name_or_path = "demo"
    return model.eval(), tokenizer


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., str]:
    """Writes a recipe of the least size, with parts changed: `sft={"dialogues": 0}`, or left out: `sft=None`."""
    parts: dict[str, Any] = {
        "sft": {
            "dialogues": 3,
            "questions": 2,
            "rejections": 1,
            "longest": 2500,
            "settings": {"max_length": None, "max_steps": 1},
        },
        "pairs": {"rows": dict.fromkeys(ROW_NAMES, 1), "longest": 2500, "distractors": 1},
        "dpo": {"settings": {"max_length": None, "reduction": "diatool", "logging_steps": 1}},
        "evaluation": {"per_kind": 1, "max_new_tokens": 4},
    }

    def write(**changes: dict[str, Any] | None) -> str:
        changed = {name: parts.get(name, {}) | (changes.get(name) or {}) for name in [*parts, *changes]}
        changed = {name: part for name, part in changed.items() if changes.get(name, part) is not None}
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(changed))
        return str(path)

    return write


def test_the_demo_leaves_what_it_promises(
    run: Run, recipe: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "load_model_and_tokenizer", embedded_model)
    output = tmp_path / "out"
    ran = run("demo", "--recipe", recipe(), "--output", str(output))
    assert ran.code == 0, ran.err

    for stage in ("sft", "dpo"):
        names = {file.name for file in (output / stage).iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
        assert {"config.yaml", "data_report.json", "metrics.jsonl", "README.md"} <= names
        assert AutoModelForCausalLM.from_pretrained(output / stage).num_parameters() > 0
    assert "<tools>" in AutoTokenizer.from_pretrained(output / "dpo").chat_template
    settings = yaml.safe_load((output / "dpo" / "config.yaml").read_text())
    assert (settings["reduction"], settings["bf16"]) == ("diatool", True)

    titles = [demo.GENERATED, demo.CHOSEN, demo.CALIBRATED]
    result = json.loads((output / "evaluation.json").read_text())
    assert list(result) == ["generated", "chosen", "calibrated"]
    for reports in result.values():
        assert list(reports) == ["base", "SFT", "SFT + DPO"]
        for report in reports.values():
            assert report["counts"] == {"call": 1, "slot": 1, "relevance": 1, "completion": 1}
        asked = {tuple(each["source"] for each in report["items"]) for report in reports.values()}
        assert len(asked) == 1  # all three are asked the same
    assert [report["arguments"] for report in result["chosen"].values()] == [None] * 3

    tables = (output / "tables.md").read_text()
    heading = "| model | call (n=1) | slot (n=1) | relevance (n=1) | completion (n=1) | micro | macro |"
    for title, columns in zip(titles, (heading + " arguments |", heading, heading), strict=True):
        assert f"{title}\n\n{columns}\n" in tables
        assert title in " ".join(ran.out.split())
    assert tables.count("\n| SFT + DPO | ") == 3
    assert (output / "rewards.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "1/7 load" in ran.err
    assert "7/7 evaluate" in ran.err
    assert re.search(r"3 of \d+ whole dialogues of at most 2500 tokens", ran.err)
    assert re.search(
        r"2 of \d+ longer or rewritten dialogues, up to their first slot question, of at most 2500 tokens", ran.err
    )
    assert re.search(r"1 of \d+ requests without their tools, and a rejection, of at most 2500 tokens", ran.err)
    for stage in ("sft", "dpo"):
        assert "SGD (CC BY-SA 4.0)" in (output / stage / "README.md").read_text()
    assert all(f"1 {kind}" in ran.err for kind in ("needless question", "invented call", "missing tool"))
    assert "Loading weights" not in ran.err
    assert "model shards" not in ran.err
    assert f"Chat with it: turnpoint chat {output / 'dpo'}" in ran.out
    assert f'AutoModelForCausalLM.from_pretrained("{output / "dpo"}")' in ran.out


def test_results_that_cannot_be_written_leave_nothing(
    run: Run, recipe: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(demo, "load_model_and_tokenizer", embedded_model)
    monkeypatch.setattr(demo, "plot_rewards", full_disk)
    settings = {"max_length": None, "max_steps": 1, "logging_steps": 1}
    ran = run("demo", "--recipe", recipe(dpo={"settings": settings}), "--output", str(tmp_path / "out"))
    assert ran.code == 2
    assert f"{tmp_path / 'out'}: cannot be written (No space left on device); free some space" in ran.err
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"sft", "dpo"}


def test_results_for_machines(
    run: Run, recipe: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "load_model_and_tokenizer", embedded_model)
    settings = {"max_length": None, "max_steps": 1, "logging_steps": 1}
    words = ["--recipe", recipe(dpo={"settings": settings}), "--output", str(tmp_path / "out"), "--json"]
    ran = run("demo", *words)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out) == json.loads((tmp_path / "out" / "evaluation.json").read_text())


def test_the_shipped_recipe_makes_the_settings_of_both_stages(tmp_path: Path) -> None:
    recipe = read_recipe(str(RECIPE))
    sft = stage_config(SFTConfig, recipe["sft"]["settings"], "sft", tmp_path / "sft", seed=3)
    dpo = stage_config(DPOConfig, recipe["dpo"]["settings"], "dpo", tmp_path / "dpo", seed=3)
    for config, part in ((sft, "sft"), (dpo, "dpo")):
        assert (config.output_dir, config.seed) == (str(tmp_path / part), 3)
        assert (config.bf16, str(config.save_strategy)) == (True, "SaveStrategy.NO")
        for name, value in recipe[part]["settings"].items():
            assert getattr(config, name) == value
    assert dpo.reduction == "diatool"
    assert set(recipe["pairs"]["rows"]) <= set(ROW_NAMES)


def test_numbers_of_a_recipe_are_read_as_on_the_command_line(tmp_path: Path) -> None:
    """YAML takes 5e-5, without a point, for text."""
    settings = yaml.safe_load("{learning_rate: 5e-5, bf16: no, max_length: null, report_to: none, num_train_epochs: 2}")
    config = stage_config(SFTConfig, settings, "sft", tmp_path, seed=0)
    assert (config.learning_rate, config.bf16, config.max_length, config.num_train_epochs) == (5e-5, False, None, 2.0)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sft": None}, "sft: is missing; give it"),
        ({"reward": {"settings": {}}}, "reward: is a key that has no place here; leave it out"),
        ({"sft": {"dialogues": "many"}}, "sft.dialogues: must be a whole number (got 'many')"),
        ({"sft": {"dialogues": 0}}, "sft.dialogues: must be above 0 (got 0)"),
        ({"sft": {"dialoges": 3}}, "sft.dialoges: is a key that has no place here; leave it out (got 3)"),
        ({"pairs": {"rows": {"repeated cal": 1}}}, "pairs.rows: unknown row 'repeated cal'; use some of"),
        ({"evaluation": {"per_kind": None}}, "evaluation.per_kind: must be a whole number (got None)"),
        (
            {"dpo": {"settings": {"reductoin": "sum"}}},
            "dpo.settings: reductoin: unknown for `turnpoint demo`; did you mean 'reduction'?",
        ),
        ({"dpo": {"settings": {"beta": "much"}}}, "dpo.settings: beta: must be a number (got 'much')"),
        ({"sft": {"settings": {"seed": 1}}}, "sft.settings: seed: not for a recipe to set (got 1); use --seed"),
        ({"sft": {"settings": {"output_dir": "x"}}}, "sft.settings: output_dir: not for a recipe to set (got 'x')"),
    ],
)
def test_a_recipe_that_cannot_be_honoured(
    run: Run, recipe: Callable[..., str], tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    path = recipe(**changes)
    ran = run("demo", "--recipe", path, "--output", str(tmp_path / "out"))
    assert (ran.code, ran.out) == (2, "")
    [error] = ran.err.splitlines()
    assert error.startswith(f"error: recipe {path}: {line}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("- a list\n", "must be a mapping; copy "), ("{sft: ", "cannot be read ("), ("", "must be a mapping; copy ")],
)
def test_a_recipe_that_is_none(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_recipe(str(path))
    assert str(error.value).startswith(f"recipe {path}: {reason}")
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"none: cannot be read .*No such file"):
        read_recipe(str(tmp_path / "none"))


def test_an_output_folder_that_cannot_be_made(run: Run, recipe: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("demo", "--recipe", recipe(), "--output", str(tmp_path / "file" / "out"))
    assert ran.code == 2
    assert ran.err == f"error: {tmp_path}/file/out: cannot be made (Not a directory); name another --output\n"
