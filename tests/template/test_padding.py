"""Padding that no turn ends with, for tokenizers as families of models have them."""

from typing import Any

import pytest
from tests.template.tiny_tokenizers import byte_level, fresh_tokenizer
from tokenizers import AddedToken

from turnpoint.template import Renderer, ensure_pad_token

MESSAGES = [{"role": "user", "content": "Hello there."}, {"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    ("family", "pad", "unk", "more", "found"),
    [
        ("qwen2_5", "<|endoftext|>", None, (), "<|endoftext|>"),  # padding of its own
        ("smollm2", "<|im_end|>", "<|endoftext|>", (), "<|endoftext|>"),  # that of SmolLM2
        ("llama3", None, None, ("<|finetune_right_pad_id|>",), "<|finetune_right_pad_id|>"),
        ("llama3", "<|eot_id|>", None, (), "<|start_header_id|>"),
        ("gemma", "<end_of_turn>", None, ("<pad>",), "<pad>"),
        ("mistral", "</s>", None, ("<unk>",), "[INST]"),
        ("mistral", "</s>", "<unk>", ("<unk>",), "<unk>"),
    ],
)
def test_padding_ends_no_turn(family: str, pad: str | None, unk: str | None, more: tuple[str, ...], found: str) -> None:
    tokenizer: Any = fresh_tokenizer(family)
    tokenizer.add_tokens([AddedToken(each, special=True) for each in more], special_tokens=True)
    tokenizer.pad_token, tokenizer.unk_token = pad, unk
    line = ensure_pad_token(tokenizer)
    assert tokenizer.pad_token == found
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.apply_chat_template(MESSAGES, return_dict=False)[-1] != tokenizer.pad_token_id
    why = "the tokenizer has none" if pad is None else f"{pad!r} ends turns"
    said = f"padding is {found!r} now, since {why}: the model reads a sequence at its last token that is none"
    assert line == (None if pad == found else said)
    assert ensure_pad_token(tokenizer) is None


def test_without_another_special_token_it_stays_what_it_is() -> None:
    """As GPT-2: one token begins, ends and fills."""
    tokenizer: Any = byte_level(("<|endoftext|>",), bos="<|endoftext|>", eos="<|endoftext|>")
    for pad in (None, "<|endoftext|>"):
        tokenizer.pad_token = pad
        assert (ensure_pad_token(tokenizer), tokenizer.pad_token) == (None, pad)


def test_the_end_of_a_turn_need_not_be_the_end_of_a_text() -> None:
    tokenizer: Any = fresh_tokenizer("qwen2_5")
    tokenizer.eos_token, tokenizer.pad_token = "<|endoftext|>", "<|im_end|>"
    assert "<|im_end|>" in Renderer(tokenizer).turn_ends
    ensure_pad_token(tokenizer)
    assert tokenizer.pad_token == "<|im_start|>"
