"""`turnpoint reward` and `turnpoint evaluate reward` on a tiny random model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from peft import AutoPeftModelForSequenceClassification
from tests.cli.conftest import PAIR, Ran, assistant, user
from transformers import AutoModelForSequenceClassification

Run = Callable[..., Ran]
Rows = Callable[..., str]

CHAT = {"prompt": [user("Hi")], "chosen": [assistant("It is sunny.")], "rejected": [assistant("No.")], "kind": "chat"}
FLAGS = ["--max_steps", "1", "--logging_steps", "1", "--save_strategy", "no"]


def test_reward_then_evaluate(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    output, data = tmp_path / "reward", rows(PAIR, CHAT)
    ran = run("reward", data, "--model", model, "--output", str(output), "--eval_dataset", data, *FLAGS)
    assert ran.code == 0, ran.err
    assert f"Evaluate it:   turnpoint evaluate reward {output} DATA\n" in ran.out
    assert f'model = AutoModelForSequenceClassification.from_pretrained("{output}")\n' in ran.out
    assert "eval_rewards/accuracies" in ran.out
    assert AutoModelForSequenceClassification.from_pretrained(output).config.num_labels == 1
    written = yaml.safe_load((output / "config.yaml").read_text())
    assert (written["dataset"], written["max_steps"], written["margin"]) == (data, 1, 0.0)

    ran = run("evaluate", "reward", str(output), data)
    assert ran.code == 0, ran.err
    assert "reward, 2 pairs" in ran.out
    assert "by kind" in ran.out
    assert "by file" not in ran.out  # there is one
    assert "0.50 to 0.55" in ran.out
    result = json.loads(run("evaluate", "reward", str(output), data, "--json").out)
    assert result["pairs"] == len(result["items"]) == 2
    assert {"accuracy", "chosen", "rejected", "margin", "calibration_error", "length_bias"} <= set(result)
    assert {name: each["pairs"] for name, each in result["by_kind"].items()} == {"": 1, "chat": 1}
    assert [each["source"] for each in result["items"]] == ["data.jsonl:1", "data.jsonl:2"]


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_reward_adapter(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    output, data = tmp_path / "adapter", rows(PAIR, CHAT)
    adapter = ["--use_peft", "--lora_r", "2", "--lora_target_modules", "all-linear"]
    ran = run("reward", data, "--model", model, "--output", str(output), *FLAGS, *adapter)
    assert ran.code == 0, ran.err
    call = f'AutoPeftModelForSequenceClassification.from_pretrained("{output}", num_labels=1, pad_token_id=0)'
    assert f"Load it:       from peft import AutoPeftModelForSequenceClassification; model = {call}\n" in ran.out
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(output, num_labels=1, pad_token_id=0)
    assert not any("score" in name and "lora" in name for name, _ in loaded.named_parameters())
    assert run("evaluate", "reward", str(output), data).code == 0


def test_a_share_of_the_data_is_the_reward_models(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    data = rows(*(CHAT | {"prompt": [user(f"Hi {i}")]} for i in range(20)))
    kept = []
    for verb, name in (("reward", "r"), ("dpo", "d")):
        ran = run(verb, data, "--model", model, "--output", str(tmp_path / name), *FLAGS, "--data_split", "0,1,1")
        assert ran.code == 0, ran.err
        kept.append(json.loads((tmp_path / name / "data_report.json").read_text())["splits"]["train"]["kept"])
    assert sum(kept) == 20
    assert min(kept) > 3


def test_what_is_no_reward_model_is_not_measured(run: Run, rows: Rows, model: str) -> None:
    ran = run("evaluate", "reward", model, rows(PAIR))
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == (
        f"error: model {model}: is no reward model; name one, or train it with `turnpoint reward`"
    )


def test_a_recipe_trains_and_measures(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    data, output = rows(PAIR, CHAT), tmp_path / "runs"
    recipe = tmp_path / "recipe.yaml"
    stages = {
        "reward": {"run": "reward", "dataset": data, "model": model, "max_steps": 1, "save_strategy": "no"},
        "measure": {"run": "evaluate reward", "model": str(output / "reward"), "dataset": data},
    }
    recipe.write_text(yaml.safe_dump({"output": str(output), "stages": stages, "table": ["loss"]}, sort_keys=False))
    ran = run("run", str(recipe))
    assert ran.code == 0, ran.err
    assert "reward, 2 pairs" in ran.out
