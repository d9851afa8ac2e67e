"""Replies from a model in this process, in batches of similar length."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.errors import ConfigError, TemplateError
from turnpoint.progress import with_progress
from turnpoint.template import Renderer
from turnpoint.tree import evaluating

_BATCH_TOKENS = 4096  # prompt tokens of a batch, padding included


class Reply(NamedTuple):
    """What a model wrote."""

    text: str
    cut: bool  # at `max_new_tokens`, before the end of its turn


def generate_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    progress: str | None = None,
) -> list[Reply]:
    """What the model writes after each prompt, up to the end of its turn, which is left out.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompts: token ids, the generation prompt included.
        max_new_tokens: tokens written at most.
        temperature: 0 is greedy.
        seed: of the sampling; the global random state is left as it was.
        progress: title of a progress bar; None shows none.

    Returns:
        One reply for each prompt, in their order. Special tokens other than the end are kept: they may mark calls.

    Raises:
        ConfigError: `max_new_tokens` or `temperature` is out of range.
        TemplateError: neither the tokenizer, the model nor the template has an end-of-turn token.
    """
    check_sampling(max_new_tokens, temperature)
    replies: dict[int, Reply] = {}
    batches = _batches(prompts)
    ends = _ends(model, tokenizer)
    with torch.no_grad(), torch.random.fork_rng(), evaluating(model):
        torch.manual_seed(seed)
        for batch in with_progress(batches, progress):
            written = _generate(model, [prompts[i] for i in batch], ends.tokens, max_new_tokens, temperature)
            for i, ids in zip(batch, written, strict=True):
                replies[i] = _first_turn(ids, ends, tokenizer)
    return [replies[i] for i in range(len(prompts))]


def check_sampling(max_new_tokens: int, temperature: float) -> None:
    """Refuse settings under which nothing can be written.

    Raises:
        ConfigError: one of them is out of range.
    """
    if max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens: must be at least 1 token (got {max_new_tokens})")
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"temperature: must be 0 (greedy) or a positive number (got {temperature})")


class _Ends(NamedTuple):
    """What ends a turn."""

    tokens: list[int]  # one at least
    markers: tuple[str, ...]  # of the template, where no end token of the model is one of them


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


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> _Ends:
    """The end tokens of the tokenizer and of the model, and the template's markers where none of these is one.

    A base model with a chat template may have <|endoftext|> for its EOS while its turns end in <|im_end|>. Where the
    EOS is a marker it is enough: other markers may end parts of a turn, such as its reasoning.
    """
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    tokens = [token for token in (tokenizer.eos_token_id, *listed) if token is not None]
    markers = Renderer(tokenizer).turn_ends
    ids = {marker: tokenizer(marker, add_special_tokens=False)["input_ids"] for marker in markers}
    if any([token] in ids.values() for token in tokens):
        markers = ()
    tokens += [ids[marker][0] for marker in markers if len(ids[marker]) == 1]
    if not tokens:
        raise TemplateError(f"tokenizer {tokenizer.name_or_path}: has no end-of-turn token; set its eos_token")
    return _Ends(list(dict.fromkeys(tokens)), markers)


def _first_turn(ids: list[int], ends: _Ends, tokenizer: PreTrainedTokenizerFast) -> Reply:
    """What was written before the first end."""
    end = next((i for i, token in enumerate(ids) if token in ends.tokens), len(ids))
    text = str(tokenizer.decode(ids[:end], skip_special_tokens=False))
    ended = end < len(ids)
    for marker in ends.markers:
        text, found, _ = text.partition(marker)
        ended = ended or bool(found)
    return Reply(text.strip(), cut=not ended)
