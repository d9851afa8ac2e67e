"""Log-probs of scored tokens, each computed once, however many sequences run through it.

Shapes: T nodes of the tree, K nodes whose logits are needed, E distinct scored nodes, S scored tokens of one sequence,
V vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from turnpoint.tree.build import Indexes, TokenTree, build_tree
from turnpoint.tree.forward import logits_at
from turnpoint.tree.head import LOGITS_AT_ONCE, scoring_head
from turnpoint.tree.token_logprobs import token_logprobs


class ScoredSequence(NamedTuple):
    """Token ids and the indexes of those whose log-prob is wanted."""

    input_ids: Sequence[int]
    scored: Indexes  # [S], increasing, each > 0: the first token has nothing before it


def sequence_logprobs(
    model: nn.Module, sequences: Sequence[ScoredSequence], *, shared: bool = True, chunked: bool = False
) -> list[Tensor]:
    """Log p(token | tokens before it) of every scored token, with gradients.

    Args:
        model: a causal language model of transformers, bare or wrapped by peft or a distributed engine.
        sequences: one row.
        shared: run all in one forward as their token tree; False runs one sequence per forward, for models that break
            the premise of the tree (see `check_sharing`).
        chunked: make some rows of logits at a time, and anew in the backward pass; for models whose head is the last
            thing in them (see `turnpoint.tree.head.head_is_last`).

    Returns:
        Nats, [S] for each sequence; float32, or float64 for a float64 model.
    """
    if shared:
        return _row_logprobs(model, sequences, chunked)
    return [_row_logprobs(model, [sequence], chunked)[0] for sequence in sequences]


def _row_logprobs(model: nn.Module, sequences: Sequence[ScoredSequence], chunked: bool) -> list[Tensor]:
    tree = build_tree([sequence.input_ids for sequence in sequences])
    scored_nodes = [path[sequence.scored] for path, sequence in zip(tree.paths, sequences, strict=True)]
    nodes, edge_of = np.unique(np.concatenate(scored_nodes), return_inverse=True)
    logps = _edge_logprobs(model, tree, nodes, chunked)
    counts = [len(scored) for scored in scored_nodes]
    return list(logps[torch.from_numpy(edge_of).to(logps.device)].split(counts))


def _edge_logprobs(model: nn.Module, tree: TokenTree, nodes: Indexes, chunked: bool) -> Tensor:
    """Log-probs of the tokens of `nodes` after their parents, [E]."""
    parents = tree.parent[nodes]
    assert (parents >= 0).all(), "the first token of a sequence cannot be scored"
    keep, row_of = np.unique(parents, return_inverse=True)
    rows, tokens = torch.from_numpy(row_of), torch.from_numpy(tree.input_ids[nodes])
    if not chunked or len(keep) <= LOGITS_AT_ONCE:
        return token_logprobs(logits_at(model, tree, torch.from_numpy(keep)), rows, tokens)
    in_order = rows.argsort(stable=True)
    with scoring_head(model, rows[in_order], tokens[in_order]):
        logps = logits_at(model, tree, torch.from_numpy(keep))[:, 0]
    return logps[in_order.argsort().to(logps.device)]
