"""GGUF files of Llama models with byte-level BPE tokenizers: names and layout of llama.cpp's convert_hf_to_gguf.py.

What is not known here is refused with the name of that script, which knows many more models.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gguf import (
    GGML_QUANT_SIZES,
    GGML_QUANT_VERSION,
    MODEL_ARCH,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    TokenType,
    get_tensor_name_map,
)
from gguf.quants import quant_shape_to_byte_shape, quantize
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from turnpoint.errors import ConfigError

_ELSEWHERE = "convert the safetensors with llama.cpp's convert_hf_to_gguf.py"


class _Kind(NamedTuple):
    """How matrices are stored; vectors are float32 always."""

    matrices: GGMLQuantizationType
    file: LlamaFileType


KINDS = {
    "float32": _Kind(GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "float16": _Kind(GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bfloat16": _Kind(GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": _Kind(GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}

# How texts are split before BPE: llama.cpp's name -> the steps in the words of the tokenizers library, and whether
# words of the vocabulary are taken whole (`ignore_merges`), as llama.cpp does for that name.
_WORDS = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "gpt-2": ([_WORDS], False),
    "smollm": ([{"type": "Digits", "individual_digits": True}, _WORDS], False),
    "llama-bpe": (
        [{"type": "Split", "pattern": {"Regex": _LLAMA_3}, "behavior": "Isolated", "invert": False}, _BYTES],
        True,
    ),
}


def check_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse what `write_gguf` cannot write.

    Raises:
        ConfigError: a model or a tokenizer of a kind that is not known here.
    """
    _check_model(model)
    _check_tokenizer(tokenizer)


def write_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, file: Path, kind: str, name: str) -> None:
    """Write a model with its tokenizer and chat template.

    Args:
        model: a whole model, its adapter merged.
        tokenizer: its tokenizer.
        file: where to.
        kind: of `KINDS`. A matrix whose rows no block of q8_0 divides is written as float16, as llama.cpp does.
        name: of the model, for those who list it.

    Raises:
        ConfigError: as `check_gguf`.
    """
    check_gguf(model, tokenizer)
    vocabulary = _vocabulary(tokenizer, model.config.vocab_size)
    writer = GGUFWriter(file, MODEL_ARCH_NAMES[MODEL_ARCH.LLAMA])
    try:
        writer.add_type("model")
        writer.add_name(name)
        writer.add_file_type(KINDS[kind].file)
        writer.add_quantization_version(GGML_QUANT_VERSION)
        _add_config(writer, model.config)
        _add_vocabulary(writer, vocabulary)
        if tokenizer.chat_template:
            writer.add_chat_template(tokenizer.chat_template)
        _write_tensors(writer, model, KINDS[kind].matrices)
    finally:
        writer.close()


def _check_model(model: PreTrainedModel) -> None:
    config = model.config
    if config.model_type != "llama" or type(model).__name__ != "LlamaForCausalLM":
        raise ConfigError(f"format: gguf is written for LlamaForCausalLM (got {type(model).__name__}); {_ELSEWHERE}")
    for name in ("attention_bias", "mlp_bias"):
        if getattr(config, name, False):
            raise ConfigError(f"format: gguf is written for models without {name}, and this one has it; {_ELSEWHERE}")
    rope = config.rope_parameters["rope_type"]
    if rope not in ("default", "llama3"):
        raise ConfigError(
            f"format: gguf is written for rotary positions of the types default and llama3 (got {rope}); {_ELSEWHERE}"
        )


def _check_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    added = tokenizer.added_tokens_decoder.values()
    if spaced := next((str(token) for token in added if token.lstrip or token.rstrip or token.single_word), None):
        raise ConfigError(f"format: gguf has no place for the way in which token {spaced!r} takes spaces; {_ELSEWHERE}")
    _split(_steps(tokenizer))


def _steps(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The tokenizer as the tokenizers library writes it."""
    steps: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return steps


def _add_config(writer: GGUFWriter, config: Any) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


class _Vocabulary(NamedTuple):
    """A tokenizer in llama.cpp's terms."""

    split: str
    tokens: list[str]
    types: list[TokenType]
    merges: list[str]
    special: dict[str, int]  # bos, eos, unk, pad -> id
    added: dict[str, bool]  # bos, eos -> whether the tokenizer adds it to a text


def _vocabulary(tokenizer: PreTrainedTokenizerFast, rows: int) -> _Vocabulary:
    """The vocabulary, with a token for each of `rows` of the embedding."""
    steps, added = _steps(tokenizer), tokenizer.added_tokens_decoder
    tokens, types = [f"[PAD{i}]" for i in range(rows)], [TokenType.UNUSED] * rows
    for token, i in tokenizer.get_vocab().items():
        tokens[i] = token
        types[i] = TokenType.NORMAL
        if i in added:
            types[i] = TokenType.CONTROL if added[i].special else TokenType.USER_DEFINED
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")}
    around = tokenizer("")["input_ids"]
    return _Vocabulary(
        _split(steps),
        tokens,
        types,
        [" ".join(pair) if isinstance(pair, list) else pair for pair in steps["model"]["merges"]],
        {name: i for name, i in ids.items() if i is not None},
        {"bos": around[:1] == [ids["bos"]], "eos": around[-1:] == [ids["eos"]] and ids["eos"] != ids["bos"]},
    )


def _split(steps: dict[str, Any]) -> str:
    """llama.cpp's name for how a tokenizer splits texts.

    Raises:
        ConfigError: it is no byte-level BPE, or splits in another way than those known here.
    """
    model, before = steps["model"], steps["pre_tokenizer"] or {}
    if model["type"] != "BPE" or model.get("byte_fallback") or steps["normalizer"]:
        raise ConfigError(f"format: gguf is written for byte-level BPE tokenizers without normalizer; {_ELSEWHERE}")
    found = [
        {key: value for key, value in step.items() if key != "trim_offsets"}
        for step in before.get("pretokenizers", [before])
    ]
    for name, (known, whole_words) in _SPLITS.items():
        if found == known and bool(model.get("ignore_merges")) == whole_words:
            return name
    kinds = " and ".join(str(step.get("type")) for step in found)
    raise ConfigError(
        f"format: gguf is written for tokenizers that split texts as {', '.join(_SPLITS)} (this one has {kinds});"
        f" {_ELSEWHERE}"
    )


def _add_vocabulary(writer: GGUFWriter, vocabulary: _Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for name, i in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(i)
    for name, adds in vocabulary.added.items():
        getattr(writer, f"add_add_{name}_token")(adds)


def _write_tensors(writer: GGUFWriter, model: PreTrainedModel, matrices: GGMLQuantizationType) -> None:
    """Declare all tensors, then write one after the other, so that only one is held in its new form."""
    kinds = {name: _kind_of(tensor, matrices) for name, tensor in _tensors(model)}
    for name, tensor in _tensors(model):
        shape = quant_shape_to_byte_shape(tuple(tensor.shape), kinds[name])
        writer.add_tensor_info(name, shape, np.dtype(np.uint8), int(np.prod(shape)), raw_dtype=kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in _tensors(model):
        writer.write_tensor_data(quantize(tensor.float().cpu().numpy(), kinds[name]))


def _kind_of(tensor: Tensor, matrices: GGMLQuantizationType) -> GGMLQuantizationType:
    if tensor.dim() == 1:
        return GGMLQuantizationType.F32
    block, _ = GGML_QUANT_SIZES[matrices]
    return GGMLQuantizationType.F16 if tensor.shape[-1] % block else matrices


def _tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """The weights under llama.cpp's names, in its layout."""
    config = model.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        known = names.get_name(name, try_suffixes=(".weight",))
        assert known is not None, name
        projection = name.split(".")[-2]
        yield known, _interleaved(tensor, heads[projection]) if projection in heads else tensor
    if config.rope_parameters["rope_type"] == "llama3":
        yield "rope_freqs.weight", _slowed(config)


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head from halves, as transformers rotates them, to neighbours, as llama.cpp does.

    Args:
        weight: of a query or key projection, [heads · head_dim, hidden].
        heads: how many there are.
    """
    halves: Tensor = weight.unflatten(0, (heads, 2, -1))  # [heads, 2, head_dim / 2, hidden]
    return halves.transpose(1, 2).reshape(weight.shape)


def _slowed(config: Any) -> Tensor:
    """By how much each frequency of rotation is divided against plain rotary positions, [head_dim / 2]."""
    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, device=torch.device("cpu"))
    theta, size = config.rope_parameters["rope_theta"], config.head_dim
    factors: Tensor = theta ** (-torch.arange(0, size, 2) / size) / slowed
    return factors
