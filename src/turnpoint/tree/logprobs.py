"""Log-probs of scored tokens, each computed once, however many sequences run through it.

Shapes: T nodes of the tree, K nodes whose logits are needed, E distinct scored nodes, S scored tokens of one sequence,
V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from turnpoint.tree.build import Indexes, TokenTree, build_tree
from turnpoint.tree.forward import logits_at

_ROWS_AT_ONCE = 64


class ScoredSequence(NamedTuple):
    """Token ids and the indexes of those whose log-prob is wanted."""

    input_ids: Sequence[int]
    scored: Indexes  # [S], increasing, each > 0: the first token has nothing before it


def sequence_logprobs(model: nn.Module, sequences: Sequence[ScoredSequence], *, shared: bool = True) -> list[Tensor]:
    """Log p(token | tokens before it) of every scored token, with gradients.

    Args:
        model: a causal language model of transformers, bare or wrapped by peft or a distributed engine.
        sequences: one row.
        shared: run all in one forward as their token tree; False runs one sequence per forward, for models that break
            the premise of the tree (see `check_sharing`).

    Returns:
        Nats, [S] for each sequence; float32, or float64 for a float64 model.
    """
    if shared:
        return _row_logprobs(model, sequences)
    return [_row_logprobs(model, [sequence])[0] for sequence in sequences]


def _row_logprobs(model: nn.Module, sequences: Sequence[ScoredSequence]) -> list[Tensor]:
    tree = build_tree([sequence.input_ids for sequence in sequences])
    scored_nodes = [path[sequence.scored] for path, sequence in zip(tree.paths, sequences, strict=True)]
    nodes, edge_of = np.unique(np.concatenate(scored_nodes), return_inverse=True)
    logps = _edge_logprobs(model, tree, nodes)
    counts = [len(scored) for scored in scored_nodes]
    return list(logps[torch.from_numpy(edge_of).to(logps.device)].split(counts))


def _edge_logprobs(model: nn.Module, tree: TokenTree, nodes: Indexes) -> Tensor:
    """Log-probs of the tokens of `nodes` after their parents, [E]."""
    parents = tree.parent[nodes]
    assert (parents >= 0).all(), "the first token of a sequence cannot be scored"
    keep, row_of = np.unique(parents, return_inverse=True)
    logits = logits_at(model, tree, torch.from_numpy(keep))  # [K, V]
    rows = torch.from_numpy(row_of).to(logits.device)
    tokens = torch.from_numpy(tree.input_ids[nodes]).to(logits.device)
    logps: Tensor = _TokenLogprobs.apply(logits, rows, tokens)
    return logps


class _TokenLogprobs(torch.autograd.Function):
    """Log-softmax at single tokens, a few rows of logits at a time.

    Next to the logits themselves and their gradient, nothing of their size is made, in whatever precision they are.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
        """Log-probs [E] of `tokens` [E] in `rows` [E] of `logits` [K, V]; float32, or float64 for such logits."""
        totals = torch.cat([_precise(part).logsumexp(-1) for part in logits.split(_ROWS_AT_ONCE)])  # [K]
        ctx.save_for_backward(logits, totals, rows, tokens)
        return _precise(logits[rows, tokens]) - totals[rows]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """For a row with edges of gradients g: g at their tokens, minus softmax times the sum of g."""
        logits, totals, rows, tokens = ctx.saved_tensors
        sums = torch.zeros_like(totals).index_add_(0, rows, grad)
        of_logits = torch.empty_like(logits)
        for start in range(0, len(logits), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            part_grad = (_precise(logits[part]) - totals[part, None]).exp_().mul_(-sums[part, None])
            here = (rows >= start) & (rows < start + _ROWS_AT_ONCE)
            part_grad.index_put_((rows[here] - start, tokens[here]), grad[here], accumulate=True)
            of_logits[part] = part_grad
        return of_logits, None, None


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
