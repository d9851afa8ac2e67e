"""Tiny Llama models with tokenizers that split texts in each of the ways that GGUF files are written for."""

from typing import Any

import torch
from tests.cli.tiny import CHATML
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AddedToken, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXTS = [
    "It is sunny in Paris, isn't it?",
    "2024-11-28 and 3.14159, 1234567",
    "  two  spaces\n\n\ttabs\r\n ",
    "<|im_start|>user\nHi<|im_end|>\n",
    "naïve café — 北京 한국어 😀🏳️‍🌈",
    "We'll say they've WE'LL don't",
    '<tool_call>{"a b": 1}</tool_call>  <tool_call>',
    "a\u00a0b\u2003c",
    "",
]
SPACED = "an<odd token> or two"  # which transformers does not find in a GGUF file
_TRAINING = ["user assistant It is sunny. Weather in Paris? 2024 12345 don't we'll café \n\n def f(x): return x**2"] * 4
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS: dict[str, list[Any]] = {
    "gpt-2": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
    "llama-bpe": [pre_tokenizers.Split(Regex(_LLAMA_3), behavior="isolated")],
}
SPLITS = tuple(_SPLITS)


def tokenizer_for(split: str) -> PreTrainedTokenizerFast:
    """Splits texts as llama.cpp does by this name; that of Llama 3 begins them with BOS."""
    of_llama = split == "llama-bpe"
    raw = Tokenizer(models.BPE(ignore_merges=of_llama))
    into_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not of_llama)
    raw.pre_tokenizer = pre_tokenizers.Sequence([*_SPLITS[split], into_bytes]) if _SPLITS[split] else into_bytes
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(_TRAINING, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    made.chat_template = CHATML
    made.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "<odd token>")])
    if of_llama:
        first = ("<|im_start|>", made.bos_token_id)
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[first]
        )
    return made


def model_for(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> LlamaForCausalLM:
    """Grouped queries, heads of a size of their own, and more rows of the embedding than tokens."""
    torch.manual_seed(0)
    fields = {
        "vocab_size": len(tokenizer) + 5,
        "hidden_size": 64,
        "intermediate_size": 48,  # no multiple of a block of q8_0
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
    }
    return LlamaForCausalLM(LlamaConfig(**fields | settings)).eval()


def llama_3_rotation(original: int) -> dict[str, Any]:
    """Rotary positions of Llama 3.1, scaled beyond `original` tokens."""
    return {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": original,
    }
