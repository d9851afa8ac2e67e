"""Language models whose every probability is known: made of a Llama whose one layer adds nothing to its input."""

from collections.abc import Mapping, Sequence

import torch
from transformers import AddedToken, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def chain_model(tokenizer: PreTrainedTokenizerFast, start: Sequence[int]) -> LlamaForCausalLM:
    """Writes the tokens `start` after any other token: after each of them the next, after the last EOS."""
    size = len(tokenizer)
    following = torch.full((size,), start[0])
    for token, after in zip(start, [*start[1:], tokenizer.eos_token_id], strict=True):
        following[token] = after
    model = _blank(tokenizer, hidden_size=size)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.copy_(torch.nn.functional.one_hot(following, size).T)
    return model


def scripted(tokenizer: PreTrainedTokenizerFast, *pieces: str) -> LlamaForCausalLM:
    """Writes these texts, each one token, which the tokenizer is given for it."""
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    return chain_model(tokenizer, [tokenizer.convert_tokens_to_ids(piece) for piece in pieces])


def unigram_model(tokenizer: PreTrainedTokenizerFast, logits: Mapping[int, float]) -> LlamaForCausalLM:
    """Gives each token the same logit whatever comes before: that of `logits`, else 0."""
    hidden_size = 4
    model = _blank(tokenizer, hidden_size)
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(1.0)  # stays 1 through the norm
        model.lm_head.weight.zero_()
        for token, logit in logits.items():
            model.lm_head.weight[token] = logit / hidden_size
    return model


def _blank(tokenizer: PreTrainedTokenizerFast, hidden_size: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=2,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model.eval()
