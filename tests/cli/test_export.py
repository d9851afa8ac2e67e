"""Exports: the numbers of the model they come from, whatever holds it, and folders that are never half-written."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from safetensors.torch import load_file
from tests.cli.conftest import PAIR, Ran, user
from tests.cli.tiny import save_model, tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
)
from transformers.utils import logging

from turnpoint.models import load_model, load_reward_model

# peft reads a property that this version of transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
Run = Callable[..., Ran]
INPUT = torch.tensor([[5, 6, 7, 8, 9, 10]])


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(INPUT).logits
    return found


@pytest.fixture(autouse=True)
def no_bars() -> Iterator[None]:
    """Of what tests save themselves, since commands are to print none."""
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model that is stored in bfloat16."""
    folder = save_model(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def save_adapter(model: PreTrainedModel, folder: Path, task: TaskType = TaskType.CAUSAL_LM) -> Path:
    """An adapter of random weights, with its tokenizer."""
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type=task)
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora" in name or "modules_to_save" in name:
                weight.normal_(std=0.3)
    adapted.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return save_adapter(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def exported(run: Run, model: Path, output: Path, *words: str) -> str:
    ran = run("export", str(model), "--output", str(output), *words)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def test_an_adapter_is_merged(run: Run, base: Path, adapter: Path, output: Path) -> None:
    out = exported(run, adapter, output, "--dtype", "float32")
    loaded = AutoModelForCausalLM.from_pretrained(output)
    assert loaded.dtype == torch.float32
    together = logits(load_model(str(adapter)))
    torch.testing.assert_close(logits(loaded), together, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, logits(load_model(str(base))), atol=0.1)
    torch.testing.assert_close(logits(load_model(str(output), dtype="float64")).float(), together, atol=1e-5, rtol=1e-5)
    assert not (output / "adapter_config.json").exists()
    assert out == (
        f"{output}: LlamaForCausalLM in float32, its adapter merged in float32: chat_template.jinja, config.json,"
        " generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json\n"
    )


def test_a_merged_adapter_is_rounded_once_to_the_type_of_its_base(
    run: Run, adapter: Path, output: Path, tmp_path: Path
) -> None:
    exported(run, adapter, output)
    exported(run, adapter, tmp_path / "wide", "--dtype", "float32")
    narrow, wide = load_file(output / "model.safetensors"), load_file(tmp_path / "wide" / "model.safetensors")
    assert narrow.keys() == wide.keys()
    for name, weight in narrow.items():
        assert torch.equal(weight, wide[name].bfloat16()), name


def test_a_run_of_a_stage(run: Run, rows: Callable[..., str], base: Path, output: Path, tmp_path: Path) -> None:
    stage, words = tmp_path / "run", ["--use_peft", "--lora_target_modules", "q_proj", "--learning_rate", "0.1"]
    ran = run("dpo", rows(PAIR, PAIR), "--model", str(base), "--output", str(stage), "--max_steps", "2", *words)
    assert ran.code == 0, ran.err
    exported(run, stage, output, "--dtype", "float32")
    of_run = AutoPeftModelForCausalLM.from_pretrained(stage, dtype=torch.float32)
    torch.testing.assert_close(logits(load_model(str(output))), logits(of_run), atol=1e-5, rtol=1e-5)
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (stage, output)]
    assert "<tools>" in tokenizers[0].chat_template
    assert tokenizers[0].chat_template == tokenizers[1].chat_template
    texts = [each.apply_chat_template([user("Weather in Paris?")]) for each in tokenizers]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("words", "dtype"),
    [((), torch.bfloat16), (("--dtype", "float16"), torch.float16), (("--dtype", "float32"), torch.float32)],
)
def test_a_whole_model(run: Run, base: Path, output: Path, words: tuple[str, ...], dtype: torch.dtype) -> None:
    exported(run, base, output, *words)
    weights = load_file(base / "model.safetensors")
    found = load_file(output / "model.safetensors")
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], weight.to(dtype)), name
    if dtype == torch.float32:
        assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(output)), logits(load_model(str(base))))
    modes = {file.stat().st_mode & 0o777 for file in output.iterdir()}
    assert modes == {0o666 & ~_umask()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("has_adapter", [False, True])
def test_a_reward_model(run: Run, base: Path, output: Path, tmp_path: Path, has_adapter: bool) -> None:
    """Its head is kept in float32 beside layers in bfloat16."""
    source = tmp_path / "reward"
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(base, num_labels=1)
    if has_adapter:
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
        save_adapter(model, source, TaskType.SEQ_CLS)
    else:
        LlamaForSequenceClassification(config).save_pretrained(source)
        tokenizer().save_pretrained(source)
    out = exported(run, source, output, "--dtype", "float32")
    assert out.startswith(f"{output}: LlamaForSequenceClassification in float32")
    loaded = AutoModelForSequenceClassification.from_pretrained(output)
    torch.testing.assert_close(logits(loaded), logits(load_reward_model(str(source))), atol=1e-5, rtol=1e-5)
    refused = run("export", str(source), "--output", str(tmp_path / "gguf"), "--format", "gguf")
    assert refused.err == (
        "error: format: gguf is written for LlamaForCausalLM (got LlamaForSequenceClassification); convert the"
        " safetensors with llama.cpp's convert_hf_to_gguf.py\n"
    )
    assert not (tmp_path / "gguf").exists()


def test_gguf_of_an_adapter(run: Run, adapter: Path, output: Path) -> None:
    out = exported(run, adapter, output, "--format", "gguf", "--dtype", "float32")
    assert out == f"{output}: LlamaForCausalLM in float32, its adapter merged in float32: model.gguf\n"
    loaded = AutoModelForCausalLM.from_pretrained(output, gguf_file="model.gguf", dtype=torch.float32)
    torch.testing.assert_close(logits(loaded), logits(load_model(str(adapter))), atol=1e-5, rtol=1e-5)
    assert AutoTokenizer.from_pretrained(output, gguf_file="model.gguf").chat_template == tokenizer().chat_template


@pytest.mark.parametrize(("dtype", "bytes_each"), [("auto", 2), ("float16", 2), ("q8_0", 1.0625)])
def test_gguf_in_fewer_bits(run: Run, base: Path, output: Path, dtype: str, bytes_each: float) -> None:
    exported(run, base, output, "--format", "gguf", "--dtype", dtype)
    about = json.loads((output / "export.json").read_text())
    assert about["dtype"] == ("bfloat16" if dtype == "auto" else dtype)
    loaded = AutoModelForCausalLM.from_pretrained(output, gguf_file="model.gguf", dtype=torch.float32)
    torch.testing.assert_close(logits(loaded), logits(load_model(str(base))), atol=0.02, rtol=0)
    assert (output / "model.gguf").stat().st_size > bytes_each * loaded.num_parameters()


def test_a_former_export_is_replaced_and_other_files_stay(run: Run, base: Path, adapter: Path, output: Path) -> None:
    exported(run, base, output)
    (output / "Modelfile").write_text("FROM ./model.gguf")
    exported(run, adapter, output, "--format", "gguf")
    assert sorted(file.name for file in output.iterdir()) == ["Modelfile", "export.json", "model.gguf"]
    about = json.loads((output / "export.json").read_text())
    assert (about["model"], about["format"], about["dtype"]) == (str(adapter), "gguf", "bfloat16")
    exported(run, base, output)
    assert not (output / "model.gguf").exists()
    assert logits(load_model(str(output))).shape == (1, 6, len(tokenizer()))


def line_of(ran: Ran) -> str:
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    return ran.err.removeprefix("error: ").strip()


def test_folders_that_hold_something_else(run: Run, base: Path, output: Path, tmp_path: Path) -> None:
    def refused(folder: Path) -> str:
        return line_of(run("export", str(base), "--output", str(folder)))

    assert refused(base) == f"output: {base} is the model's own folder; name another one"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    assert refused(output) == (
        f"output: {output} holds files that were not exported (thesis.txt); name another folder, or empty it"
    )
    assert refused(output / "thesis.txt") == f"output: {output / 'thesis.txt'} is a file; name a folder"
    (output / "export.json").write_text("{}")
    assert refused(output) == f"output: {output / 'export.json'} cannot be read; name another folder, or empty it"
    assert {file.name for file in output.iterdir()} == {"thesis.txt", "export.json"}
    exported(run, base, tmp_path / "own")
    again = line_of(run("export", str(tmp_path / "own"), "--output", str(tmp_path / "own")))
    assert again == f"output: {tmp_path / 'own'} is the model's own folder; name another one"


def test_a_full_disk_leaves_the_former_export(
    run: Run, base: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(run, base, output)
    before = {file.name: file.read_bytes() for file in output.iterdir()}

    def half_written(self: PreTrainedModel, folder: Path, **_: Any) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", half_written)
    line = line_of(run("export", str(base), "--output", str(output), "--dtype", "float32"))
    assert line.startswith(f"{output}: cannot be written (No space left on device); free some space")
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before


def test_what_cannot_be_exported(run: Run, base: Path, output: Path, tmp_path: Path) -> None:
    to = ("--output", str(output))
    assert line_of(run("export", str(base), *to, "--dtype", "q8_0")) == (
        "dtype: q8_0 is for --format gguf (got format safetensors); choose another dtype"
    )
    model = AutoModelForCausalLM.from_pretrained(base)
    prompts = get_peft_model(model, PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2))
    prompts.save_pretrained(tmp_path / "prompts")
    tokenizer().save_pretrained(tmp_path / "prompts")
    line = line_of(run("export", str(tmp_path / "prompts"), *to))
    assert line.startswith(f"model {tmp_path / 'prompts'}: the folder cannot be loaded (Cannot set a prompt learning")
    with torch.no_grad():
        model.model.norm.weight[0] = 1e5
    model.save_pretrained(tmp_path / "wide")
    tokenizer().save_pretrained(tmp_path / "wide")
    assert line_of(run("export", str(tmp_path / "wide"), *to, "--dtype", "float16")) == (
        "dtype: float16 cannot hold all weights of model.norm.weight; take bfloat16 or float32"
    )
    GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path / "gpt2")
    tokenizer().save_pretrained(tmp_path / "gpt2")
    assert line_of(run("export", str(tmp_path / "gpt2"), *to, "--format", "gguf")) == (
        "format: gguf is written for LlamaForCausalLM (got GPT2LMHeadModel); convert the safetensors with llama.cpp's"
        " convert_hf_to_gguf.py"
    )
    assert line_of(run("export", str(tmp_path / "none"), *to)).startswith(f"model {tmp_path / 'none'}: not a folder,")
    assert not output.exists()


def test_an_export_needs_a_model_and_an_output(run: Run) -> None:
    assert line_of(run("export", "demo")) == (
        "turnpoint export: --output is missing; give it as a flag or in the file of --config"
    )
