"""The models of the measurements: the embedded one, and random weights in the shapes of larger ones."""

from typing import Any

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, LlamaConfig

from turnpoint import load_model_and_tokenizer
from turnpoint.models import load_tokenizer

# Random weights train no slower than real ones. The tokenizer is that of the embedded model, whose ids all fit.
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "vocab_size": 49152, "tie_word_embeddings": True},
    "llama-1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
    | {"num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True},
    "llama-8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
    | {"num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False},
}
LORA = ("llama-8b",)  # trained by an adapter


def load(
    name: str, tokenizer: str = "demo", attention: str | None = None, dtype: str = "bfloat16"
) -> tuple[Any, Any, LoraConfig | None]:
    """A model, its tokenizer, and the adapter to train.

    Args:
        name: demo, or a key of `SHAPES`.
        tokenizer: of random weights: demo, or a folder that holds that tokenizer where the model is not installed.
        attention: as transformers names it; None for SDPA.
        dtype: of random weights.
    """
    if name == "demo":
        assert attention is None, "flash attention needs a GPU, and random weights"
        return *load_model_and_tokenizer("demo"), None
    torch.manual_seed(0)
    config = LlamaConfig(max_position_embeddings=16384, rope_theta=500000.0, **SHAPES[name])
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention or "sdpa")
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return model, load_tokenizer(tokenizer), adapter if name in LORA else None
