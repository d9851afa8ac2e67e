"""Tiny random models of every kind that the tree is held to, and random sets of sequences that share beginnings."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

VOCABULARY = 64
WINDOW = 4  # tokens; sequences of the tests are longer
# Weights far larger than usual: with the usual ones attention is nearly uniform and a wrong mask hardly shows.
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 8,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0, 3.0, 5.0, 8.0],
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaConfig(**COMMON),
    "qwen2": lambda: Qwen2Config(**COMMON),
    "qwen3": lambda: Qwen3Config(**COMMON),
    "mistral": lambda: MistralConfig(**COMMON | {"sliding_window": WINDOW}),
    "gemma3": lambda: Gemma3TextConfig(**COMMON | MIXED),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2,
    ),
    "opt": lambda: OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, word_embed_proj_dim=32, init_std=0.2,
    ),
    "phi3": lambda: Phi3Config(**COMMON | {"sliding_window": WINDOW}),
    "gemma2": lambda: Gemma2Config(**COMMON | MIXED | {"final_logit_softcapping": 3.0}),
    "granite": lambda: GraniteConfig(**COMMON | {"logits_scaling": 4.0}),
    "cohere": lambda: CohereConfig(**COMMON | {"logit_scale": 0.25}),
    "qwen3_moe": lambda: Qwen3MoeConfig(**COMMON | EXPERTS),
    "llama4": lambda: Llama4TextConfig(
        **COMMON
        | {
            "attention_chunk_size": WINDOW, "layer_types": ["chunked_attention", "full_attention"],
            "no_rope_layers": [1, 0], "num_local_experts": 2, "intermediate_size_mlp": 48,
        }
    ),
    "mamba": lambda: MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.2
    ),
    "longrope": lambda: LlamaConfig(**COMMON | {"rope_parameters": LONGROPE}),
    "dynamic": lambda: LlamaConfig(**COMMON | {"rope_parameters": DYNAMIC, "max_position_embeddings": 8}),
}  # fmt: skip

EAGER_ONLY = ("gemma2", "mamba")  # no SDPA in transformers

Build = Callable[..., Any]


@cache
def build(name: str, dtype: torch.dtype = torch.float64) -> Any:
    """The model `name` of `CONFIGS` with fixed random weights and dropout off."""
    torch.manual_seed(0)
    attention = "eager" if name in EAGER_ONLY else "sdpa"
    model = AutoModelForCausalLM.from_config(CONFIGS[name](), attn_implementation=attention)
    return model.to(dtype).eval()


@pytest.fixture(scope="session")
def tiny_model() -> Build:
    return build


class DoubleThroughout(TorchFunctionMode):
    """Computes in float64 what a model computes in float32 whatever its dtype: norms, softmax, routing, rotary tables.

    The backward pass amplifies their roundings, which would hide what the tests are after: whether the tree is exact.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()
        widened = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **widened)


def _widened(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


@pytest.fixture(scope="session")
def double_throughout() -> type[DoubleThroughout]:
    return DoubleThroughout
