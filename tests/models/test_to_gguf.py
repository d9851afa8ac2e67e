"""GGUF files, read back by transformers, by our own loader, and by llama.cpp: the same tokens, template and logits."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, TokenType
from tests.models.gguf_models import SPACED, SPLITS, TEXTS, llama_3_rotation, model_for, tokenizer_for
from tokenizers import normalizers, pre_tokenizers
from transformers import (
    AddedToken,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from turnpoint.errors import ConfigError
from turnpoint.models import load_model_and_tokenizer, load_tokenizer
from turnpoint.models.to_gguf import KINDS, write_gguf

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
INPUT = torch.arange(3, 60)[None]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TURNPOINT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "tiny.gguf"


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(INPUT).logits
    return found


def rounded(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """With weights that bfloat16 holds."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())
    return model


def reloaded(file: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)


@pytest.mark.parametrize("tied", [False, True])
def test_transformers_reads_the_same_model(file: Path, tied: bool) -> None:
    tokenizer = tokenizer_for("gpt-2")
    model = model_for(tokenizer, tie_word_embeddings=tied)
    write_gguf(model, tokenizer, file, "float32", "tiny")
    loaded = reloaded(file)
    assert torch.equal(logits(loaded), logits(model))
    for name in ("hidden_size", "num_key_value_heads", "head_dim", "rms_norm_eps", "vocab_size", "tie_word_embeddings",
                 "max_position_embeddings", "intermediate_size", "eos_token_id", "bos_token_id"):  # fmt: skip
        assert getattr(loaded.config, name) == pytest.approx(getattr(model.config, name)), name
    assert loaded.config.rope_parameters["rope_theta"] == model.config.rope_parameters["rope_theta"]


@pytest.mark.parametrize("split", SPLITS)
def test_transformers_reads_the_same_tokenizer(file: Path, split: str) -> None:
    tokenizer = tokenizer_for(split)
    write_gguf(model_for(tokenizer), tokenizer, file, "float16", "tiny")
    loaded = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert loaded.chat_template == tokenizer.chat_template
    assert [loaded(text)["input_ids"] for text in TEXTS] == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def test_our_loader_reads_the_same_model_and_tokenizer(file: Path) -> None:
    """It rounds weights to bfloat16, so these are rounded before."""
    tokenizer = tokenizer_for("gpt-2")
    model = rounded(model_for(tokenizer))
    write_gguf(model, tokenizer, file, "float32", "tiny")
    loaded, of_file = load_model_and_tokenizer(str(file))
    assert torch.equal(logits(loaded), logits(model))
    assert [of_file(text)["input_ids"] for text in TEXTS] == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert of_file.chat_template == tokenizer.chat_template


# What a step of rounding may move a weight by, as a share of the largest of its block or of itself.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "q8_0": 0.5 / 127 + 2.0**-11}


@pytest.mark.parametrize("kind", ROUNDING)
def test_weights_of_fewer_bits(file: Path, kind: str) -> None:
    tokenizer = tokenizer_for("gpt-2")
    model = model_for(tokenizer)
    with torch.no_grad():
        model.model.norm.weight.normal_()
    write_gguf(model, tokenizer, file, kind, "tiny")
    stored = {tensor.name: tensor.tensor_type for tensor in GGUFReader(file).tensors}
    matrices = KINDS[kind].matrices
    assert stored["blk.1.attn_q.weight"] == stored["token_embd.weight"] == matrices
    assert stored["output_norm.weight"] == GGMLQuantizationType.F32
    assert stored["blk.0.ffn_down.weight"] == (GGMLQuantizationType.F16 if kind == "q8_0" else matrices)
    weights = reloaded(file).state_dict()
    for name, weight in model.state_dict().items():
        largest = weight.abs().max() if kind == "q8_0" else weight.abs()
        assert ((weights[name] - weight).abs() <= ROUNDING[kind] * largest + 1e-7).all(), name
    assert torch.equal(weights["model.norm.weight"], model.model.norm.weight)
    assert not torch.equal(weights["lm_head.weight"], model.lm_head.weight)


def test_bfloat16_weights_are_kept_as_they_are(file: Path) -> None:
    tokenizer = tokenizer_for("gpt-2")
    model = rounded(model_for(tokenizer))
    expected = logits(model)
    write_gguf(model.to(torch.bfloat16), tokenizer, file, "bfloat16", "tiny")
    assert torch.equal(logits(reloaded(file)), expected)


def test_what_the_file_says_of_tokens(file: Path) -> None:
    tokenizer = tokenizer_for("gpt-2")
    write_gguf(model_for(tokenizer), tokenizer, file, "q8_0", "tiny")
    reader = GGUFReader(file)
    tokens, types = (reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type"))
    of = dict(zip(tokens, types, strict=True))
    assert of["<|im_end|>"] == TokenType.CONTROL
    assert of["<odd token>"] == TokenType.USER_DEFINED
    assert of["a"] == TokenType.NORMAL
    assert of[f"[PAD{len(tokenizer) + 4}]"] == TokenType.UNUSED
    assert [tokens.index(token) for token in ("<|im_end|>", "<odd token>")] == tokenizer.convert_tokens_to_ids(
        ["<|im_end|>", "<odd token>"]
    )
    assert reader.fields["general.file_type"].contents() == 7  # MOSTLY_Q8_0
    assert reader.fields["general.name"].contents() == "tiny"
    assert reader.fields["tokenizer.ggml.add_bos_token"].contents() is False


def read_by_llama_cpp(**asked: Any) -> dict[str, Any]:
    program = [sys.executable, str(Path(__file__).parent / "llama_cpp.py")]
    ran = subprocess.run(program, input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def next_logprobs(model: PreTrainedModel, prompt: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_llama_cpp_reads_the_same_tokens_template_and_logits(file: Path, split: str) -> None:
    """With Llama 3's scaled rotation on prompts beyond its original context, where it has an effect."""
    tokenizer = tokenizer_for(split)
    settings: dict[str, Any] = {"tie_word_embeddings": split == "smollm"}
    if split == "llama-bpe":
        settings["rope_parameters"] = llama_3_rotation(32)
    model = rounded(model_for(tokenizer, **settings))
    in_half = copy.deepcopy(model).to(torch.bfloat16)  # with rounded frequencies of rotation; those of the file are not
    write_gguf(in_half, tokenizer, file, "float32", "tiny")
    prompts = [list(range(3 + i, 203 + i)) for i in range(20)]
    likeliest = [int(next_logprobs(model, prompt).argmax()) for prompt in prompts]
    # llama.cpp reports no half of a character.
    prompts = [p for p, i in zip(prompts, likeliest, strict=True) if tokenizer.decode([i]).isascii()][:3]
    assert len(prompts) == 3
    found = read_by_llama_cpp(file=str(file), texts=[*TEXTS, SPACED], messages=MESSAGES, prompts=prompts)
    assert found["tokens"] == [tokenizer(text)["input_ids"] for text in (*TEXTS, SPACED)]
    rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert found["chat"] == rendered.removeprefix("<|im_start|>" if split == "llama-bpe" else "")  # the BOS it adds
    for prompt, logprobs in zip(prompts, found["logprobs"], strict=True):
        expected = next_logprobs(model, prompt)
        assert len(logprobs) == 20
        assert logprobs == {i: pytest.approx(float(expected[int(i)]), abs=1e-3) for i in logprobs}


def test_llama_cpp_reads_the_tokenizer_of_the_embedded_model(tmp_path: Path) -> None:
    tokenizer = load_tokenizer("demo")
    write_gguf(model_for(tokenizer), tokenizer, tmp_path / "tiny.gguf", "q8_0", "tiny")
    found = read_by_llama_cpp(file=str(tmp_path / "tiny.gguf"), texts=TEXTS, messages=MESSAGES, prompts=[])
    assert found["tokens"] == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert found["chat"] == tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)


def spaced(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True)])


def normalised(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()


def split_otherwise(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


SPLITS_KNOWN = "is written for tokenizers that split texts as gpt-2, smollm, llama-bpe"
OTHER_TOKENIZERS: dict[str, Any] = {
    "has no place for the way in which token '<mask>' takes spaces;": spaced,
    "is written for byte-level BPE tokenizers without normalizer;": normalised,
    f"{SPLITS_KNOWN} (this one has Punctuation and ByteLevel);": split_otherwise,
}
OTHER_MODELS: dict[str, dict[str, Any]] = {
    "is written for models without attention_bias, and this one has it;": {"attention_bias": True},
    "is written for models without mlp_bias, and this one has it;": {"mlp_bias": True},
    "is written for rotary positions of the types default and llama3 (got linear);": {
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    },
}
ELSEWHERE = "convert the safetensors with llama.cpp's convert_hf_to_gguf.py"


def refusal(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, file: Path) -> str:
    with pytest.raises(ConfigError) as error:
        write_gguf(model, tokenizer, file, "float32", "tiny")
    assert not file.exists()
    return str(error.value)


@pytest.mark.parametrize("rule", OTHER_TOKENIZERS)
def test_other_tokenizers_are_refused(file: Path, rule: str) -> None:
    tokenizer = tokenizer_for("gpt-2")
    model = model_for(tokenizer)
    OTHER_TOKENIZERS[rule](tokenizer)
    assert refusal(model, tokenizer, file) == f"format: gguf {rule} {ELSEWHERE}"


@pytest.mark.parametrize("rule", OTHER_MODELS)
def test_other_kinds_of_llama_are_refused(file: Path, rule: str) -> None:
    tokenizer = tokenizer_for("gpt-2")
    assert refusal(model_for(tokenizer, **OTHER_MODELS[rule]), tokenizer, file) == f"format: gguf {rule} {ELSEWHERE}"


def test_other_models_are_refused(file: Path) -> None:
    tokenizer = tokenizer_for("gpt-2")
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1))
    rule = "is written for LlamaForCausalLM (got GPT2LMHeadModel);"
    assert refusal(model, tokenizer, file) == f"format: gguf {rule} {ELSEWHERE}"
