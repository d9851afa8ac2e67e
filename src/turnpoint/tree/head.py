"""Scores of tokens inside the model's output head: some rows of logits at a time, computed anew in the backward pass.

Logits of a row's scored tokens would take their number times the vocabulary. The head itself stays the model's own,
tied, with a bias or an adapter, sharded or not: only what it returns for the time of one forward is another thing.
What the model does to logits after its head, a cap or a scale, is done to each part within the head meanwhile.

Shapes: K rows of hidden states, D their size, E distinct scored nodes, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.utils.checkpoint import checkpoint

from turnpoint.tree.evaluating import evaluating
from turnpoint.tree.forward import bare_model
from turnpoint.tree.token_logprobs import token_scores

LOGITS_AT_ONCE = 256  # rows of logits


# Attributes of a model or its configuration by which it changes logits after its head: the value that changes none, and
# what it does with another.
_AFTER_HEAD: dict[str, tuple[float | None, Callable[[Tensor, float], Tensor]]] = {
    "final_logit_softcapping": (None, lambda logits, cap: torch.tanh(logits / cap) * cap),  # Gemma
    "logits_scaling": (1.0, torch.div),  # Granite
    "logit_scale": (1.0, torch.mul),  # Cohere
}


def can_score_in_head(model: nn.Module) -> bool:
    """Whether what the model does to logits after its head, if anything, is known and can be left out. Two forwards."""
    head = bare_model(model).get_output_embeddings()
    if head is None or isinstance(head, FullyShardedDataParallel):  # gathers at each call; ranks differ in calls
        return False
    token = torch.zeros(1, 1, dtype=torch.int64, device=bare_model(model).get_input_embeddings().weight.device)
    given: list[Tensor] = []
    handle = head.register_forward_hook(lambda module, inputs, output: given.append(output.clone()))
    try:
        with torch.no_grad(), evaluating(model):
            logits = model(input_ids=token, use_cache=False).logits
            with _head_last(model) as after:
                left = model(input_ids=token, use_cache=False).logits
            return len(given) == 2 and torch.equal(given[1], left) and torch.equal(after(given[0]), logits)
    finally:
        handle.remove()


@contextmanager
def scoring_head(model: nn.Module, rows: Tensor, tokens: Tensor, statistics: Sequence[str] = ()) -> Iterator[None]:
    """Let the head of a model give scores [1, E, 1 + N] in place of logits [1, K, V].

    Args:
        model: bare or wrapped; `can_score_in_head` holds of it.
        rows: of each token the row of hidden states that it is scored from, increasing, [E].
        tokens: [E].
        statistics: N keys of `turnpoint.tree.token_logprobs.STATISTICS`, which follow the log-prob.
    """
    head = bare_model(model).get_output_embeddings()
    logits_of = head.forward

    def forward(hidden: Tensor) -> Tensor:
        parts = []
        for start in range(0, hidden.shape[1], LOGITS_AT_ONCE):
            first, last = torch.searchsorted(rows, rows.new_tensor([start, start + LOGITS_AT_ONCE])).tolist()
            part = hidden[:, start : start + LOGITS_AT_ONCE]
            wanted = rows[first:last] - start, tokens[first:last]
            parts.append(checkpoint(scores, part, *wanted, use_reentrant=False))
        return torch.cat(parts)[None]

    def scores(hidden: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
        return token_scores(after(logits_of(hidden))[0], rows, tokens, statistics)

    with _head_last(model) as after, replaced_forward(head, forward):
        yield


@contextmanager
def replaced_forward(head: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let a module do something else for a while."""
    own = vars(head).get("forward")  # that of a distributed engine
    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if own is not None:
            head.forward = own


@contextmanager
def _head_last(model: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
    """Let the model return what its head gives; yields what it does to logits otherwise."""
    bare = bare_model(model)
    changed: list[tuple[Any, str, float]] = []
    for name, (neutral, _) in _AFTER_HEAD.items():
        holder = next((each for each in (bare, bare.config.get_text_config()) if name in vars(each)), None)
        if holder is not None and getattr(holder, name) is not None:
            changed.append((holder, name, getattr(holder, name)))
            setattr(holder, name, neutral)

    def after(logits: Tensor) -> Tensor:
        for _, name, value in changed:
            logits = _AFTER_HEAD[name][1](logits, value)
        return logits

    try:
        yield after
    finally:
        for holder, name, value in changed:
            setattr(holder, name, value)
