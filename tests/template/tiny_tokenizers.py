"""Small real tokenizers, trained in a moment: byte-level, and with spaces as ▁, each with a family's special tokens."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(__file__).parent / "templates"
CORPUS = (
    "The weather in Paris is sunny today, what is it in Rome? I can check the weather for you.",
    ' {"name": "weather", "arguments": {"city": "Paris"}} {"name": "clock", "parameters": {}}',
    "Hello there. Hi, how can I help you? Which city do you mean? It is ten o'clock.\n\n  Good.\n",
    "Say: Hello there. Bye. Sunny, and ten.",
    "system user assistant tool model <think>\n\n</think>\n\n<tool_call>\n\n</tool_call>",
) * 4
CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
LLAMA = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>")
MISTRAL = ("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
GEMMA = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>")


@cache
def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a family of models, with its template; shared, so not to be changed."""
    return fresh_tokenizer(family)


def fresh_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A tokenizer of its own for a test that changes it."""
    match family:
        case "llama3":
            built = byte_level(LLAMA, bos="<|begin_of_text|>", eos="<|eot_id|>", trim_offsets=True)
        case "mistral":
            built = with_visible_spaces(MISTRAL, bos="<s>", eos="</s>")
        case "gemma":
            built = with_visible_spaces(GEMMA, bos="<bos>", eos="<eos>")
        case "phi3":
            built = with_visible_spaces(PHI, bos=None, eos="<|endoftext|>", swallow_space=True)
        case "hermes":
            built = byte_level((*LLAMA, *CHATML), bos="<|begin_of_text|>", eos="<|im_end|>")
        case _:
            built = byte_level(CHATML, bos=None, eos="<|im_end|>")
    built.chat_template = (TEMPLATES / f"{family}.jinja").read_text(encoding="utf-8")
    built.name_or_path = family
    return built


def byte_level(
    special: tuple[str, ...], bos: str | None, eos: str, trim_offsets: bool = False
) -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3, Qwen and SmolLM2."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    )
    return _wrapped(core, special, bos, eos)


def with_visible_spaces(
    special: tuple[str, ...], bos: str | None, eos: str, swallow_space: bool = False
) -> PreTrainedTokenizerFast:
    """As Mistral, Gemma and Phi-3: spaces become ▁, unknown characters fall back to bytes.

    Args:
        special: tokens.
        bos: one of them.
        eos: one of them.
        swallow_space: special tokens take the white space after them, as in Phi-3.
    """
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Replace(" ", "▁")
    core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    core.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=700, show_progress=False))
    state = json.loads(core.to_str())
    vocabulary = state["model"]["vocab"]
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    state["model"]["byte_fallback"] = True
    state["pre_tokenizer"] = None
    core = Tokenizer.from_str(json.dumps(state))
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _wrapped(core, special, bos, eos, swallow_space)


def _wrapped(
    core: Tokenizer, special: tuple[str, ...], bos: str | None, eos: str, swallow_space: bool = False
) -> PreTrainedTokenizerFast:
    core.add_special_tokens([AddedToken(t, normalized=False, special=True, rstrip=swallow_space) for t in special])
    names: dict[str, Any] = {"eos_token": eos} | ({"bos_token": bos} if bos else {})
    return PreTrainedTokenizerFast(tokenizer_object=core, additional_special_tokens=list(special), **names)
