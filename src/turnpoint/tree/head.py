"""Scores of tokens inside the model's output head: some rows of logits at a time, computed anew in the backward pass.

Logits of a row's scored tokens would take their number times the vocabulary. The head itself stays the model's own,
tied, with a bias or an adapter, sharded or not: only what it returns for the time of one forward is another thing.

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


def head_is_last(model: nn.Module) -> bool:
    """Whether the model returns what its head gives: nothing caps or scales the logits after it. One forward."""
    head = bare_model(model).get_output_embeddings()
    if head is None or isinstance(head, FullyShardedDataParallel):  # gathers at each call; ranks differ in calls
        return False
    given: list[Any] = []
    handle = head.register_forward_hook(lambda module, inputs, output: given.append(output.clone()))
    try:
        with torch.no_grad(), evaluating(model):
            token = torch.zeros(1, 1, dtype=torch.int64, device=bare_model(model).get_input_embeddings().weight.device)
            logits = model(input_ids=token, use_cache=False).logits
    finally:
        handle.remove()
    return len(given) == 1 and torch.equal(given[0], logits)


@contextmanager
def scoring_head(model: nn.Module, rows: Tensor, tokens: Tensor, statistics: Sequence[str] = ()) -> Iterator[None]:
    """Let the head of a model for which `head_is_last` give scores [1, E, 1 + N] in place of logits [1, K, V].

    Args:
        model: bare or wrapped.
        rows: of each token the row of hidden states that it is scored from, increasing, [E].
        tokens: [E].
        statistics: N keys of `turnpoint.tree.token_logprobs.STATISTICS`, which follow the log-prob.
    """
    head = bare_model(model).get_output_embeddings()
    replaced = vars(head).get("forward")  # that of a distributed engine
    logits_of = head.forward

    def forward(hidden: Tensor) -> Tensor:
        parts = []
        for start in range(0, hidden.shape[1], LOGITS_AT_ONCE):
            first, last = torch.searchsorted(rows, rows.new_tensor([start, start + LOGITS_AT_ONCE])).tolist()
            part = hidden[:, start : start + LOGITS_AT_ONCE]
            wanted = rows[first:last] - start, tokens[first:last]
            parts.append(checkpoint(_scores, logits_of, part, *wanted, statistics, use_reentrant=False))
        return torch.cat(parts)[None]

    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if replaced is not None:
            head.forward = replaced


def _scores(
    logits_of: Callable[[Tensor], Tensor], hidden: Tensor, rows: Tensor, tokens: Tensor, statistics: Sequence[str]
) -> Tensor:
    return token_scores(logits_of(hidden)[0], rows, tokens, statistics)
