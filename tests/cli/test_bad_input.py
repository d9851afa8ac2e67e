"""What a user can get wrong: exit code 2, one line with where and how to mend, nothing left that looks finished."""

import copy
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from tests.cli.conftest import CALL, DIALOGUE, PAIR, TOOL, Ran, assistant, user
from tests.cli.tiny import save_model
from transformers import PreTrainedModel

Run = Callable[..., Ran]
Rows = Callable[..., str]

PLAIN = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"


def dialogue(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages), "tools": [TOOL]}


def called_with(arguments: Any, name: str = "weather") -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"name": name, "arguments": arguments}]}


def pair(**fields: Any) -> dict[str, Any]:
    return copy.deepcopy(PAIR) | fields


def only_line(ran: Ran) -> str:
    """The one line on stderr of a command that printed nothing and failed."""
    assert ran.code == 2
    assert ran.out == ""
    *notes, line = ran.err.splitlines()
    assert all(note.startswith("the chat template of ") for note in notes)
    return line


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            '{"messages": [}',
            "error: data.jsonl:2: broken JSON",
        ),
        (
            dialogue({"role": "robot", "content": "Hi"}),
            "error: data.jsonl:2: messages[0].role: unknown role; use system, user, assistant or tool (got 'robot')",
        ),
        (
            dialogue(user("Hi"), {"role": "tool", "content": "sunny"}),
            "error: data.jsonl:2: messages[1] is a tool result without a call; it must follow the call it answers",
        ),
        (
            dialogue(user("Hi"), called_with("{city")),
            "error: data.jsonl:2: messages[1].tool_calls[0]: arguments must be a JSON object:",
        ),
        (
            dialogue(user("Hi"), called_with({}, name="clock")),
            "error: data.jsonl:2: messages[1] calls unknown tool 'clock'; tools offered: weather; add it to tools",
        ),
    ],
)
def test_a_broken_dialogue(run: Run, rows: Rows, tmp_path: Path, row: Any, line: str) -> None:
    output = tmp_path / "run"
    ran = run("sft", rows(DIALOGUE, row), "--output", str(output))
    assert only_line(ran).startswith(line)
    assert not output.exists()


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (pair(chosen=[]), "error: data.jsonl:2: chosen"),
        (pair(rejected=[CALL]), "error: data.jsonl:2: chosen and rejected are equal; nothing is preferred"),
        (
            {"chosen": [user("Hi"), assistant("A")], "rejected": [user("Hello"), assistant("B")]},
            "error: data.jsonl:2: the sides share no prompt",
        ),
    ],
)
def test_a_broken_pair(run: Run, rows: Rows, tmp_path: Path, row: Any, line: str) -> None:
    output = tmp_path / "run"
    first = (
        PAIR if "prompt" in row else {"chosen": [user("Hi"), assistant("A")], "rejected": [user("Hi"), assistant("B")]}
    )
    ran = run("dpo", rows(first, row), "--output", str(output))
    assert only_line(ran).startswith(line)
    assert not output.exists()


@pytest.mark.parametrize("verb", [["sft"], ["dpo"], ["inspect"], ["evaluate", "decisions", "demo"]])
def test_a_missing_file_and_the_nearest_name(run: Run, rows: Rows, tmp_path: Path, verb: list[str]) -> None:
    rows(DIALOGUE)
    line = only_line(run(*verb, str(tmp_path / "dat.jsonl")))
    assert line == f"error: {tmp_path}/dat.jsonl: no such file or folder; did you mean {tmp_path}/data.jsonl?"


def test_pairs_where_dialogues_are_needed_and_the_other_way_round(run: Run, rows: Rows) -> None:
    assert "holds preference pairs (format preference) where dialogues are needed" in only_line(run("sft", rows(PAIR)))
    assert "holds dialogues (format openai) where preference pairs are needed" in only_line(run("dpo", rows(DIALOGUE)))


def test_a_template_that_cannot_render_tools(run: Run, rows: Rows, tmp_path: Path) -> None:
    model, output = save_model(tmp_path / "plain", PLAIN), tmp_path / "run"
    ran = run("sft", rows(DIALOGUE), "--model", str(model), "--output", str(output))
    assert ran.code == 2
    assert "data.jsonl:1: tools: " in ran.err.splitlines()[-1]
    assert "cannot render tools; pass one that does: --chat_template FILE" in ran.err.splitlines()[-1]
    assert ran.err.count("error: ") == 1
    assert not output.exists()


def test_a_prompt_longer_than_max_length_stops_under_error(run: Run, rows: Rows, model: str) -> None:
    ran = run("dpo", rows(PAIR), "--model", model, "--max_length", "32", "--overflow", "error")
    assert ran.code == 2
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: data.jsonl:1: ")
    assert "tokens are more than max_length 32; raise max_length, or set overflow to drop" in last


def test_prompts_longer_than_max_length_are_counted_and_nothing_left_is_an_error(
    run: Run, rows: Rows, model: str, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    ran = run("dpo", rows(PAIR, PAIR), "--model", model, "--max_length", "32", "--output", str(output))
    assert ran.code == 2
    last = ran.err.splitlines()[-1]
    assert last.startswith(
        "error: DPOTrainer: train data: nothing is left to train on; left out 2 longer than max_length 32"
    )
    assert not output.exists()


@pytest.mark.parametrize("verb", [["sft"], ["inspect"], ["chat"]])
def test_an_unknown_model(run: Run, rows: Rows, monkeypatch: pytest.MonkeyPatch, verb: list[str]) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    words = verb if verb == ["chat"] else [*verb, rows(DIALOGUE)]
    ran = run(*words, "--model", "nobody/nothing")
    assert (ran.code, ran.out) == (2, "")
    last = ran.err.splitlines()[-1]
    assert last.startswith(
        "error: model nobody/nothing: not a folder, not a .gguf file, not `demo`, and not on the hub"
    )
    assert ran.err.count("error: ") == 1


def test_a_full_disk_while_saving_leaves_nothing_that_looks_finished(
    run: Run, rows: Rows, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_written(self: PreTrainedModel, folder: str, *args: Any, **options: Any) -> None:
        (Path(folder) / "config.json").write_text("{}")
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", half_written)
    output = tmp_path / "run"
    settings = ["--model", model, "--output", str(output), "--max_steps", "1"]
    for saving in (["--save_strategy", "no"], ["--save_strategy", "steps", "--save_steps", "1"]):
        ran = run("sft", rows(DIALOGUE), *settings, *saving)
        assert ran.code == 2
        last = ran.err.splitlines()[-1]
        assert last.startswith(f"error: {output}")
        assert "No space left on device" in last
        assert ran.out == ""
        assert [path.name for path in output.rglob("*")] == ["metrics.jsonl"]


def test_an_unknown_flag_verb_or_key(run: Run, rows: Rows, tmp_path: Path) -> None:
    data = rows(PAIR)
    line = only_line(run("dpo", data, "--learning_rte", "1"))
    assert line == "error: --learning_rte: unknown for `turnpoint dpo`; did you mean 'learning_rate'?"
    config = tmp_path / "run.yaml"
    config.write_text("beta: 0.1\nreductoin: diatool\n")
    line = only_line(run("dpo", data, "--config", str(config)))
    assert line == f"error: {config}:2: reductoin: unknown for `turnpoint dpo`; did you mean 'reduction'?"
    assert only_line(run("sfft")) == "error: unknown verb 'sfft'; did you mean 'sft'?"


def test_a_wrong_type_or_value(run: Run, rows: Rows) -> None:
    data = rows(PAIR)
    line = only_line(run("dpo", data, "--beta", "much"))
    assert line == "error: --beta: must be a number (got 'much'); see `turnpoint dpo --help`"
    line = only_line(run("dpo", data, "--eval_strategy", "often"))
    assert line == "error: --eval_strategy: must be one of no, steps, epoch (got 'often'); see `turnpoint dpo --help`"
    assert only_line(run("dpo", data, "--beta", "-1")) == (
        "error: DPOConfig: beta: must be a number above 0 (got -1.0); 0.1 is usual"
    )
    # A combination that only transformers refuses.
    assert only_line(run("sft", data, "--load_best_model_at_end")).startswith("error: turnpoint sft: ")


def test_settings_without_effect_are_refused(run: Run, rows: Rows) -> None:
    line = only_line(run("dpo", rows(PAIR), "--lora_r", "4"))
    assert line == "error: lora_r: has no effect without an adapter (got 4); add --use_peft"
    assert (
        only_line(run("inspect", rows(PAIR), "--show", "1"))
        == "error: --show: needs a tokenizer (got 1); add --model NAME"
    )


def test_missing_files_beside_the_data(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    assert only_line(run("sft", "--config", none)).startswith(f"error: {none}: cannot read the file of --config")
    ran = run("sft", rows(DIALOGUE), "--model", model, "--chat_template", none)
    assert ran.err.splitlines()[-1].startswith(f"error: {none}: cannot read the file of --chat_template")
    assert only_line(run("chat", model, "--tools", none)).startswith(f"error: {none}: cannot read the file of --tools")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[{]", ":1: not JSON: "),
        ("[5]", "[0]: a tool must be an object with name and parameters (got 5)"),
        ('[{"description": "no name"}]', "[0]: name: is missing; give it"),
    ],
)
def test_a_broken_file_of_tools(run: Run, tmp_path: Path, model: str, text: str, line: str) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text(text)
    assert only_line(run("chat", model, "--tools", str(tools))).startswith(f"error: {tools}{line}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--use_peft", "--lora_r", "0"], "lora_r: must be at least 1 (got 0); leave it out for the default"),
        (["--use_peft", "--lora_alpha", "0"], "lora_alpha: must be at least 1 (got 0); leave it out for the default"),
        (["--use_peft", "--lora_dropout", "2"], "lora_dropout: must be in [0, 1) (got 2.0); 0 is the default"),
        (["--use_peft", "--lora_dropout", "0.5"], "peft_config: lora_dropout: disable_dropout sets it to 0 (got 0.5);"),
        (["--report_to", "foo"], "DPOConfig: report_to: must name installed trackers: "),
        (["--eval_strategy", "epoch"], "DPOConfig: eval_strategy: needs data to evaluate on (got 'epoch'); give"),
        (["--seed", "-1"], "DPOConfig: seed: must be in 0 … 4294967295 (got -1); leave it out for the default"),
        (["--per_device_eval_batch_size", "0"], "DPOConfig: per_device_eval_batch_size: must be at least 1 (got 0);"),
        (["--num_train_epochs", "-1"], "DPOConfig: num_train_epochs: must be above 0 (got -1.0); leave it out"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused_before_anything_is_loaded(
    run: Run, rows: Rows, words: list[str], line: str
) -> None:
    assert only_line(run("dpo", rows(PAIR), "--model", "no model", *words)).startswith(f"error: {line}")


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_layers_that_the_model_does_not_have(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    output = tmp_path / "run"
    words = ["--output", str(output), "--use_peft", "--lora_target_modules", "nosuch"]
    ran = run("dpo", rows(PAIR), "--model", model, *words)
    assert (ran.code, ran.out, output.exists()) == (2, "", False)
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: peft_config: Target modules {'nosuch'} not found in the base model.")
    assert last.endswith("; mend its settings (target_modules all-linear takes every linear layer)")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--show", "-1"], "--show: must be at least 1 (got -1); leave it out to print no rows"),
        (["--show", "0"], "--show: must be at least 1 (got 0); leave it out to print no rows"),
        (["--max_length", "0"], "--max_length: must be at least 1 (got 0); leave it out for the default of training"),
        (["--max_length", "9"], "--max_length: needs a tokenizer (got 9); add --model NAME"),
    ],
)
def test_an_examination_of_nothing(run: Run, rows: Rows, words: list[str], line: str) -> None:
    assert only_line(run("inspect", rows(PAIR), *words)) == f"error: {line}"
