"""Every kind of model name: what is loaded, and the one line for what cannot be."""

import json
import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tests.cli.tiny import save_model
from transformers import AutoConfig
from transformers.utils import logging

from turnpoint.errors import CheckpointError, ConfigError
from turnpoint.models import load, load_model, load_model_and_tokenizer, load_processing_class, load_tokenizer

NOT_FOUND = "not a folder, not a .gguf file, not `demo`, and not on the hub"
INPUT = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to break."""
    target = tmp_path / "copy"
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is known, and no proxy that might know one."""

    def no_address(*_: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_a_folder(folder: Path) -> None:
    model, tokenizer = load_model_and_tokenizer(str(folder), dtype="float64")
    assert model.dtype == torch.float64
    assert not model.training
    assert model.name_or_path == str(folder)
    assert tokenizer.decode(tokenizer("Weather in Paris?")["input_ids"]) == "Weather in Paris?"


def test_an_unknown_dtype(folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_model(str(folder), dtype="fp8")
    assert str(error.value) == "dtype: unknown 'fp8'; use one of float32, bfloat16, float16, float64, auto"


def weights_of_another_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))


# What turns the folder of a model into none, and what its line says.
BREAKAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON file"),
    "unknown kind": (lambda folder: (folder / "config.json").write_text('{"model_type": "zork"}'), "`zork`"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
    "half the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500]),
        "deserializing header",
    ),
    "other shapes": (weights_of_another_shape, "ignore_mismatched_sizes"),
    "unknown adapter": (
        lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "ZORK"}'),
        "ZORK",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_folder_that_holds_no_model(copy: Path, breakage: str) -> None:
    change, reason = BREAKAGES[breakage]
    change(copy)
    with pytest.raises(CheckpointError) as error:
        load_model(str(copy))
    assert str(error.value).startswith(f"model {copy}: the folder cannot be loaded (")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_the_folder_of_a_run_that_did_not_finish(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}")
    for loading in (load_model, load_tokenizer):
        with pytest.raises(CheckpointError) as error:
            loading(str(tmp_path))
        assert str(error.value) == (
            f"model {tmp_path}: the folder holds no model (no config.json); a run that did not finish leaves none:"
            " run it again, or name one of its checkpoints"
        )


def test_a_folder_that_lacks_weights(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    lacks = f"model {copy}: its files lack 1 of its weights, model.norm.weight first; load a complete"
    with pytest.raises(CheckpointError, match=re.escape(lacks)):
        load_model(str(copy))


def test_a_folder_without_a_tokenizer(copy: Path) -> None:
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="the folder cannot be loaded"):
        load_tokenizer(str(copy))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "/no/such/folder", "not a name"])
@pytest.mark.parametrize("loading", [load_model, load_tokenizer])
def test_without_the_hub_an_unknown_name_is_one_line_at_once(
    loading: Callable[[str], Any], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    with pytest.raises(CheckpointError) as error:
        loading(name)
    assert time.monotonic() - start < 2  # seconds; transformers would try again for 45
    assert str(error.value) == (
        f"model {name}: {NOT_FOUND} (the hub cannot be reached, and its cache holds no such model)"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("offline")
def test_without_the_hub_a_model_of_its_cache_is_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / "models--somebody--tiny"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("0" * 40)
    (stored / "snapshots").mkdir()
    (stored / "snapshots" / ("0" * 40)).symlink_to(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model, tokenizer = load_model_and_tokenizer("somebody/tiny")
    assert model.name_or_path == "somebody/tiny"
    assert len(tokenizer) == model.config.vocab_size
    (stored / "refs" / "older").write_text("1" * 40)
    other = tmp_path / "older"
    shutil.copytree(folder, other)
    (stored / "snapshots" / ("1" * 40)).symlink_to(other)
    of_older = load_model("somebody/tiny", revision="older").state_dict()
    assert all(torch.equal(of_older[name], weight) for name, weight in model.state_dict().items())
    (other / "model.safetensors").unlink()
    with pytest.raises(CheckpointError):
        load_model("somebody/tiny", revision="older")
    assert len(load_processing_class("somebody/tiny", revision="older")) == len(tokenizer)


def test_a_folder_has_no_revision(folder: Path) -> None:
    for loader in (load_model, load_processing_class):
        with pytest.raises(ConfigError, match=r"revision: .* is on this machine and has none \(got 'v1'\)"):
            loader(str(folder), revision="v1")


def test_a_name_that_the_hub_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(*_: Any, **__: Any) -> None:
        raise OSError("nobody/nothing is not a valid model identifier\nIf this is a private repository, log in.")

    monkeypatch.setattr(load, "reachable", lambda: True)
    monkeypatch.setattr(AutoConfig, "from_pretrained", not_there)
    with pytest.raises(CheckpointError) as error:
        load_model("nobody/nothing")
    assert str(error.value) == (f"model nobody/nothing: {NOT_FOUND} (nobody/nothing is not a valid model identifier)")


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_is_loaded_with_its_base(folder: Path, tmp_path: Path) -> None:
    base = load_model(str(folder))
    plain = base(INPUT).logits
    adapted = get_peft_model(load_model(str(folder)), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora" in name:
                parameter.normal_()
    adapted.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    assert torch.equal(loaded(INPUT).logits, adapted.eval()(INPUT).logits)
    assert not torch.allclose(loaded(INPUT).logits, plain)
    assert {name.split(".")[-3] for name, each in loaded.named_parameters() if each.requires_grad} == {
        "lora_A",
        "lora_B",
    }
    assert not loaded.training


@pytest.mark.usefixtures("offline")
def test_an_adapter_without_its_base(tmp_path: Path) -> None:
    config = tmp_path / "adapter_config.json"
    config.write_text('{"peft_type": "LORA"}')
    with pytest.raises(CheckpointError) as error:
        load_model(str(tmp_path))
    assert str(error.value) == (
        f"model {tmp_path}: adapter_config.json: base_model_name_or_path is missing; name the model"
    )
    config.write_text('{"peft_type": "LORA", "base_model_name_or_path": "nobody/nothing"}')
    with pytest.raises(CheckpointError, match=f"^model nobody/nothing: {NOT_FOUND}"):
        load_model(str(tmp_path))


def test_no_bar_where_there_is_no_terminal_and_bars_stay_as_they_were(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert logging.is_progress_bar_enabled()
    load_model_and_tokenizer(str(folder))
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()


def test_a_bar_on_a_terminal(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    load_model(str(folder))
    assert "Loading weights" in capfd.readouterr().err
