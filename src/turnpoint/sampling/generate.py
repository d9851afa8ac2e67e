"""Replies from a model in this process, in batches of similar length."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.errors import TemplateError
from turnpoint.progress import with_progress
from turnpoint.tree import evaluating

_BATCH_TOKENS = 4096  # prompt tokens of a batch, padding included


def generate_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    progress: str | None = None,
) -> list[str]:
    """What the model writes after each prompt, up to its end-of-turn token, which is left out.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompts: token ids, the generation prompt included.
        max_new_tokens: tokens written at most.
        temperature: 0 is greedy.
        seed: of the sampling; the global random state is left as it was.
        progress: title of a progress bar; None shows none.

    Returns:
        One text for each prompt, in their order. Special tokens other than the end are kept: they may mark calls.

    Raises:
        TemplateError: neither the tokenizer nor the model has an end-of-turn token.
    """
    replies = [""] * len(prompts)
    batches = _batches(prompts)
    ends = _end_tokens(model, tokenizer)
    with torch.no_grad(), torch.random.fork_rng(), evaluating(model):
        torch.manual_seed(seed)
        for batch in with_progress(batches, progress):
            written = _generate(model, [prompts[i] for i in batch], ends, max_new_tokens, temperature)
            for i, ids in zip(batch, written, strict=True):
                replies[i] = tokenizer.decode(_until(ids, ends), skip_special_tokens=False).strip()
    return replies


def _batches(prompts: Sequence[list[int]]) -> list[list[int]]:
    """Indexes of prompts of similar length, the longest first, so that memory runs out at once or not at all."""
    batches: list[list[int]] = []
    for i in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
        if batches and (len(batches[-1]) + 1) * len(prompts[batches[-1][0]]) <= _BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _generate(
    model: PreTrainedModel, prompts: list[list[int]], ends: list[int], max_new_tokens: int, temperature: float
) -> list[list[int]]:
    """Token ids after each prompt; prompts are padded on the left."""
    width = max(len(prompt) for prompt in prompts)
    input_ids = torch.tensor([[ends[0]] * (width - len(prompt)) + prompt for prompt in prompts])
    attention_mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    output = model.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=attention_mask.to(model.device),
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0],
        **sampling,
    )
    ids: list[list[int]] = output[:, width:].tolist()
    return ids


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens that end a turn: the tokenizer's and the model's own, one at least."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    ends = list(dict.fromkeys(token for token in (tokenizer.eos_token_id, *listed) if token is not None))
    if not ends:
        raise TemplateError(f"tokenizer {tokenizer.name_or_path}: has no end-of-turn token; set its eos_token")
    return ends


def _until(ids: list[int], ends: list[int]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return ids[:end]
