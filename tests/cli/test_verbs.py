"""The verbs from end to end on a tiny random model: what they print, write, and what the result can be used for."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from peft import AutoPeftModelForCausalLM
from tests.cli.conftest import DIALOGUE, PAIR, Ran, assistant, user
from transformers import AutoModelForCausalLM, AutoTokenizer

Run = Callable[..., Ran]
Rows = Callable[..., str]


def test_sft_then_dpo_then_chat(
    run: Run, rows: Rows, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogues, pairs = rows(DIALOGUE, DIALOGUE, name="d.jsonl"), rows(PAIR, PAIR, name="p.jsonl")
    first, second = tmp_path / "sft", tmp_path / "dpo"
    settings = tmp_path / "sft.yaml"
    settings.write_text(f"model: {model}\nmax_steps: 2\nlearning_rate: 1e-2\nlogging_steps: 1\nsave_strategy: no\n")

    ran = run("sft", dialogues, "--config", str(settings), "--output", str(first), "--eval_dataset", dialogues)
    assert ran.code == 0, ran.err
    assert f"Chat with it:  turnpoint chat {first}" in ran.out
    assert f'AutoModelForCausalLM.from_pretrained("{first}")' in ran.out
    assert "eval_loss" in ran.out
    assert "d.jsonl: 2 rows" in ran.err
    written = yaml.safe_load((first / "config.yaml").read_text())
    assert (written["learning_rate"], written["max_steps"]) == (1e-2, 2)
    report = json.loads((first / "data_report.json").read_text())
    assert report["splits"]["train"]["source"] == dialogues
    assert AutoModelForCausalLM.from_pretrained(first).num_parameters() > 0
    assert "<tools>" in AutoTokenizer.from_pretrained(first).apply_chat_template(
        [user("Hi")], tools=[{"type": "function", "function": DIALOGUE["tools"][0]}], tokenize=False
    )

    flags = ["--reduction", "diatool", "--max_steps", "1", "--logging_steps", "1", "--save_strategy", "no", "--json"]
    ran = run("dpo", pairs, "--model", str(first), "--output", str(second), *flags)
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["output"] == str(second)
    assert {"loss", "rewards/margins", "rewards/accuracies", "train_runtime"} <= set(result["metrics"])

    monkeypatch.setattr("sys.stdin", io.StringIO("Weather in Paris?\n"))
    assert run("chat", str(second), "--max_new_tokens", "4").code == 0


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_dpo_with_an_adapter(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    output = tmp_path / "adapter"
    adapter = ["--use_peft", "--lora_r", "2", "--lora_target_modules", "q_proj", "v_proj"]
    data = rows(PAIR, PAIR)
    ran = run(
        "dpo", data, "--model", model, "--output", str(output), "--max_steps", "1", "--lora_dropout", "0", *adapter
    )
    assert ran.code == 0, ran.err
    assert "AutoPeftModelForCausalLM" in ran.out
    config = json.loads((output / "adapter_config.json").read_text())
    assert (config["r"], sorted(config["target_modules"])) == (2, ["q_proj", "v_proj"])
    assert AutoPeftModelForCausalLM.from_pretrained(output).peft_config["default"].lora_alpha == 32


def test_what_is_left_out_is_counted_and_named(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    short = {"prompt": [user("Hi")], "chosen": [assistant("Yes.")], "rejected": [assistant("No.")]}
    settings = ["--model", model, "--output", str(tmp_path / "run"), "--max_length", "64", "--max_steps", "1"]
    ran = run("dpo", rows(PAIR, short), *settings)
    assert ran.code == 0, ran.err
    assert "train data: kept 1 of 2, left out 1 longer than max_length 64 (data.jsonl:1)" in ran.err


def test_inspect_prints_findings_and_the_rows_as_the_model_reads_them(run: Run, rows: Rows, model: str) -> None:
    data = rows(DIALOGUE, DIALOGUE)
    ran = run("inspect", data, "--model", model, "--show", "1", "--max_length", "16")
    assert ran.code == 0
    assert "dialogues that repeat an earlier row" in ran.out
    assert "data.jsonl:2 (as data.jsonl:1)" in ran.out
    assert "rows longer than max_length 16 tokens" in ran.out
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>' in ran.out


def test_inspect_for_machines(run: Run, rows: Rows) -> None:
    data = rows(PAIR, PAIR)
    result = json.loads(run("inspect", data, "--json").out)
    assert (result["dataset"], result["format"], result["records"]) == (data, "preference", 2)
    [repeat] = [finding for finding in result["findings"] if finding["title"] == "pairs that repeat an earlier row"]
    assert (repeat["severity"], repeat["count"], repeat["rows"]) == ("warning", 1, ["data.jsonl:2 (as data.jsonl:1)"])
    assert json.loads(run("inspect", data, "--json", "--limit", "1").out)["records"] == 1


@pytest.mark.parametrize("measure", ["decisions", "choices"])
def test_evaluate(run: Run, rows: Rows, model: str, measure: str) -> None:
    data = rows(DIALOGUE, DIALOGUE)
    ran = run("evaluate", measure, model, data, "--per_kind", "1")
    assert ran.code == 0, ran.err
    assert f"{measure}, 2 turns" in ran.out
    result = json.loads(run("evaluate", measure, model, data, "--json").out)
    assert result["counts"]["call"] == 2
    assert set(result["rates"]) == {"call", "slot", "completion", "relevance"}


def test_evaluate_says_when_there_is_nothing_to_judge(run: Run, rows: Rows, model: str) -> None:
    data = rows({"messages": [user("Hi"), assistant("Hello")]})
    ran = run("evaluate", "choices", model, data)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {data}: no turn to judge")
