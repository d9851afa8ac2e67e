"""Replies from a model in this process, in batches; a prompt is computed once for all replies to it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.errors import ConfigError, TemplateError
from turnpoint.progress import with_progress
from turnpoint.template import Renderer
from turnpoint.tree import evaluating

_BATCH_TOKENS = 4096  # prompt tokens of a batch, padding included


class Sampling(NamedTuple):
    """How tokens are drawn.

    Attributes:
        max_new_tokens: tokens of a reply at most.
        temperature: 0 is greedy.
        top_k: draw from the likeliest k tokens; 0 from all.
        top_p: draw from the likeliest tokens that hold this probability together.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def check(self) -> None:
        """Refuse settings under which nothing can be written.

        Raises:
            ConfigError: one of them is out of range.
        """
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens: must be at least 1 token (got {self.max_new_tokens})")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"temperature: must be 0 (greedy) or a positive number (got {self.temperature})")
        if self.top_k < 0:
            raise ConfigError(f"top_k: must be a number of tokens from 0 (all) (got {self.top_k})")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p: must be in (0, 1] (got {self.top_p})")

    def options(self) -> dict[str, Any]:
        """The same for `generate` of transformers."""
        draws = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p} if self.temperature else {}
        return {"max_new_tokens": self.max_new_tokens, "do_sample": self.temperature > 0} | draws


_DEFAULT = Sampling()


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
    sampling = Sampling(max_new_tokens, temperature)
    sampling.check()
    replies: dict[int, Reply] = {}
    batches = _batches(prompts)
    ends = ends_of(model, tokenizer)
    with torch.no_grad(), torch.random.fork_rng(), evaluating(model):
        torch.manual_seed(seed)
        for batch in with_progress(batches, progress):
            written = _generate(model, [prompts[i] for i in batch], ends.tokens, sampling)
            for i, ids in zip(batch, written, strict=True):
                replies[i] = _first_turn(ids, ends, tokenizer)
    return [replies[i] for i in range(len(prompts))]


def generate_samples(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[list[int]],
    *,
    number: int,
    sampling: Sampling = _DEFAULT,
    seed: int = 0,
) -> list[list[Reply]]:
    """Several replies to each prompt, all in one batch; what a prompt costs is paid once.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompts: token ids, the generation prompt included.
        number: replies to each.
        sampling: how tokens are drawn.
        seed: of the draws; the global random state is left as it was.

    Returns:
        The replies to each prompt, in their order.

    Raises:
        ConfigError: a setting is out of range.
        TemplateError: as `generate_replies`.
    """
    sampling.check()
    if number < 1:
        raise ConfigError(f"n: must be at least 1 reply (got {number})")
    ends = ends_of(model, tokenizer)
    with torch.no_grad(), torch.random.fork_rng(), evaluating(model):
        torch.manual_seed(seed)
        written = _generate(model, list(prompts), ends.tokens, sampling, number)
    replies = [_first_turn(ids, ends, tokenizer) for ids in written]
    return [replies[i : i + number] for i in range(0, len(replies), number)]


class Ends(NamedTuple):
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
    model: PreTrainedModel, prompts: list[list[int]], ends: list[int], sampling: Sampling, number: int = 1
) -> list[list[int]]:
    """Token ids of `number` replies to each prompt, those of one prompt beside each other.

    Prompts are padded on the left.
    """
    width = max(len(prompt) for prompt in prompts)
    padding = [width - len(prompt) for prompt in prompts]
    input_ids = torch.tensor([[ends[0]] * n + prompt for n, prompt in zip(padding, prompts, strict=True)])
    attention_mask = (torch.arange(width) >= torch.tensor(padding)[:, None]).long()  # [prompts, width]
    input_ids, attention_mask = input_ids.to(model.device), attention_mask.to(model.device)
    cache = _cache(model, input_ids, attention_mask, number) if number > 1 else {}
    output = model.generate(
        input_ids=input_ids.repeat_interleave(number, 0),
        attention_mask=attention_mask.repeat_interleave(number, 0),
        eos_token_id=ends,
        pad_token_id=ends[0],
        **sampling.options(),
        **cache,
    )
    ids: list[list[int]] = output[:, width:].tolist()
    return ids


def _cache(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, number: int) -> dict[str, Any]:
    """Keys and values of all but the last token of each prompt, once for each reply; nothing where none can be kept so.

    Args:
        model: the model.
        input_ids: [prompts, width].
        attention_mask: 0 on padding, [prompts, width].
        number: replies to each prompt.
    """
    positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, :-1]
    if not positions.numel():
        return {}
    output = model(
        input_ids=input_ids[:, :-1], attention_mask=attention_mask[:, :-1], position_ids=positions, use_cache=True
    )
    cache = getattr(output, "past_key_values", None)
    if not isinstance(cache, DynamicCache):  # a recurrent state, or a cache that cannot be repeated
        return {}
    cache.batch_repeat_interleave(number)
    return {"past_key_values": cache}


def ends_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Ends:
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
    return Ends(list(dict.fromkeys(tokens)), markers)


def _first_turn(ids: list[int], ends: Ends, tokenizer: PreTrainedTokenizerFast) -> Reply:
    """What was written before the first end."""
    end = next((i for i, token in enumerate(ids) if token in ends.tokens), len(ids))
    text = str(tokenizer.decode(ids[:end], skip_special_tokens=False))
    ended = end < len(ids)
    for marker in ends.markers:
        text, found, _ = text.partition(marker)
        ended = ended or bool(found)
    return Reply(text.strip(), cut=not ended)
