"""The verbs from end to end on a tiny random model: what they print, write, and what the result can be used for."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from tests.cli.conftest import DIALOGUE, PAIR, Ran, assistant, user
from tests.training import vision
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

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
    ran = run("dpo", data, "--model", str(output), "--output", str(tmp_path / "further"), "--max_steps", "1")
    assert (ran.code, "AutoPeftModelForCausalLM" in ran.out) == (0, True), ran.err


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


def test_evaluate_counts_the_dialogues_without_tools(run: Run, rows: Rows, model: str) -> None:
    data = rows(DIALOGUE, {"messages": [user("Hi"), assistant("Hello")]})
    ran = run("evaluate", "decisions", model, data, "--max_new_tokens", "2")
    assert ran.code == 0, ran.err
    assert "left aside 1 of 2 dialogues, which offer no tools" in ran.err
    assert "2 of 2 replies reached max_new_tokens; they are judged up to there" in ran.err
    assert "decisions, 2 turns" in ran.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("decisions", "--per_kind", "0"), "per_kind: must be at least 1 turn, or null for all (got 0)"),
        (("decisions", "--max_new_tokens", "0"), "max_new_tokens: must be at least 1 token (got 0)"),
        (("choices", "--max_new_tokens", "8"), "max_new_tokens: choices measures given turns and writes none"),
    ],
)
def test_evaluate_refuses_settings_out_of_range(
    run: Run, rows: Rows, model: str, words: tuple[str, ...], line: str
) -> None:
    measure, *settings = words
    ran = run("evaluate", measure, model, rows(DIALOGUE), *settings)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {line}")


def test_evaluate_says_when_there_is_nothing_to_judge(run: Run, rows: Rows, model: str) -> None:
    data = rows({"messages": [user("Hi"), assistant("Hello")]})
    ran = run("evaluate", "choices", model, data)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {data}: no turn to judge")


def test_a_run_is_repeated_from_its_config(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    """Model, data, split and limit come from the file alone; a full run stays full."""
    data = rows(DIALOGUE, DIALOGUE, DIALOGUE)
    first, second = tmp_path / "first", tmp_path / "second"
    settings = ["--model", model, "--limit", "2", "--eval_dataset", data, "--max_steps", "2", "--learning_rate", "1e-2"]
    assert run("sft", data, "--output", str(first), "--eval_strategy", "epoch", *settings).code == 0
    assert (first / "config.yaml").read_text().splitlines()[0] == (
        f"# All settings of this run. To repeat it: turnpoint sft --config {first}/config.yaml"
    )
    ran = run("sft", "--config", str(first / "config.yaml"), "--output", str(second))
    assert ran.code == 0, ran.err
    ours, theirs = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (first, second))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["lm_head.weight"], AutoModelForCausalLM.from_pretrained(model).lm_head.weight)
    one, two = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (first, second))
    assert (one.pop("output_dir"), two.pop("output_dir")) == (str(first), str(second))
    assert one == two
    assert (one["dataset"], one["limit"], one["split"], one["model"]) == (data, 2, "train", model)
    assert not any(name.startswith("lora_") for name in one)


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("modules", [["q_proj", "v_proj"], ["all-linear"]])
def test_a_run_with_an_adapter_is_repeated_with_it(
    run: Run, rows: Rows, model: str, tmp_path: Path, modules: list[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    adapter = ["--use_peft", "--lora_r", "2", "--lora_alpha", "3", "--lora_target_modules", *modules]
    settings = ["--model", model, "--output", str(first), "--max_steps", "2", "--learning_rate", "1e-2"]
    assert run("dpo", rows(PAIR, PAIR), *settings, *adapter).code == 0
    ran = run("dpo", "--config", str(first / "config.yaml"), "--output", str(second))
    assert ran.code == 0, ran.err
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any(each.abs().max() > 0 for name, each in ours.items() if "lora_B" in name)
    kept = [json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] for folder in (first, second)]
    assert kept == [3, 3]


def test_a_run_is_resumed_from_the_command_line(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    settings = ["--model", model, "--output", str(tmp_path), "--logging_steps", "1", "--save_strategy", "steps"]
    data = rows(DIALOGUE, DIALOGUE)
    assert run("sft", data, *settings, "--max_steps", "1", "--save_steps", "1").code == 0
    ran = run("sft", data, *settings, "--max_steps", "2", "--resume_from_checkpoint", "true")
    assert ran.code == 0, ran.err
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 1, 2, 2]  # the logs of the steps, and the two summaries of a run
    assert run("sft", data, *settings, "--max_steps", "2", "--resume_from_checkpoint", "no").code == 0
    assert "resume_from_checkpoint" not in (tmp_path / "config.yaml").read_text()
    ran = run("sft", data, *settings, "--resume_from_checkpoint", str(tmp_path / "nowhere"))
    assert (ran.code, "nowhere is no complete checkpoint" in ran.err.splitlines()[-1]) == (2, True)


def test_the_model_card_names_the_built_in_template(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    assert run("sft", rows(DIALOGUE), "--model", model, "--output", str(tmp_path), "--max_steps", "1").code == 0
    line = "the chat template is turnpoint's ChatML template with tools; it is saved with the model"
    assert f"- {line}\n" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "data_report.json").read_text())["notes"] == [line]


def test_dpo_on_images(run: Run, rows: Rows, tmp_path: Path) -> None:
    """The model is loaded with its image encoder and its processor, and so is what is saved."""
    made = vision.llava(torch.float32)
    for part in made:
        part.save_pretrained(tmp_path / "model")
    vision.picture(1).save(tmp_path / "one.png")
    data = rows(vision.row("what is it", "a cat", "a dog", [str(tmp_path / "one.png")]))
    output = tmp_path / "dpo"
    ran = run("dpo", data, "--model", str(tmp_path / "model"), "--max_steps", "1", "--output", str(output))
    assert ran.code == 0, ran.err
    assert f'AutoModelForImageTextToText.from_pretrained("{output}")' in ran.out
    assert "turnpoint chat" not in ran.out
    assert AutoModelForImageTextToText.from_pretrained(output).model.vision_tower is not None
    assert type(AutoProcessor.from_pretrained(output)).__name__ == "LlavaProcessor"
    shown = run("inspect", data, "--model", str(output), "--show", "1")
    assert shown.code == 0, shown.err
    assert shown.out.count("<image>") >= 16
