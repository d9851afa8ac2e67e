"""Log-probs of scored tokens, each computed once, however many sequences run through it.

Shapes: T nodes of the tree, K nodes whose logits are needed, E distinct scored nodes, S scored tokens of one sequence,
N statistics, V vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from turnpoint.tree.build import Indexes, TokenIds, TokenTree, build_tree
from turnpoint.tree.forward import logits_at
from turnpoint.tree.head import LOGITS_AT_ONCE, scoring_head
from turnpoint.tree.images import ImageInputs, SequenceImage, in_order_of_tree
from turnpoint.tree.token_logprobs import token_scores


class ScoredSequence(NamedTuple):
    """Token ids and the indexes of those whose log-prob is wanted."""

    input_ids: TokenIds  # where an image stands, its key (`turnpoint.tree.images`)
    scored: Indexes  # [S], increasing, each > 0: the first token has nothing before it
    images: tuple[SequenceImage, ...] = ()  # those that stand in it


class TokenScores(NamedTuple):
    """What a model says of the scored tokens of a sequence."""

    values: Tensor  # log-probs, nats, or rewards (`turnpoint.tree.rewards`), [S]; float32, or float64 for such a model
    statistics: Tensor  # [S, N], without gradients


class ScoreRow(Protocol):
    """What scores the sequences of a row: `sequence_scores`, or `turnpoint.tree.rewards.sequence_rewards`."""

    def __call__(
        self,
        model: nn.Module,
        sequences: Sequence[ScoredSequence],
        *,
        statistics: Sequence[str] = (),
        shared: bool = True,
        chunked: bool = False,
    ) -> list[TokenScores]:
        """See `sequence_scores`."""
        ...


def sequence_logprobs(
    model: nn.Module, sequences: Sequence[ScoredSequence], *, shared: bool = True, chunked: bool = False
) -> list[Tensor]:
    """Log p(token | tokens before it) of every scored token, nats, [S] for each sequence; see `sequence_scores`."""
    return [each.values for each in sequence_scores(model, sequences, shared=shared, chunked=chunked)]


def sequence_scores(
    model: nn.Module,
    sequences: Sequence[ScoredSequence],
    *,
    statistics: Sequence[str] = (),
    shared: bool = True,
    chunked: bool = False,
) -> list[TokenScores]:
    """Log p(token | tokens before it) of every scored token, with gradients, and statistics of its distribution.

    Args:
        model: a causal language model of transformers, bare or wrapped by peft or a distributed engine.
        sequences: one row.
        statistics: N keys of `turnpoint.tree.token_logprobs.STATISTICS`.
        shared: run all in one forward as their token tree; False runs one sequence per forward, for models that break
            the premise of the tree (see `check_sharing`).
        chunked: make some rows of logits at a time, and anew in the backward pass; for models of which
            `turnpoint.tree.head.can_score_in_head` holds.
    """
    if shared:
        return _row_scores(model, sequences, statistics, chunked)
    return [_row_scores(model, [sequence], statistics, chunked)[0] for sequence in sequences]


def _row_scores(
    model: nn.Module, sequences: Sequence[ScoredSequence], statistics: Sequence[str], chunked: bool
) -> list[TokenScores]:
    tree, contents, scored_nodes = laid_out(sequences)
    nodes, edge_of = np.unique(np.concatenate(scored_nodes), return_inverse=True)
    scores = _edge_scores(model, tree, contents, nodes, statistics, chunked)
    counts = [len(scored) for scored in scored_nodes]
    of_sequences = scores[torch.from_numpy(edge_of).to(scores.device)].split(counts)
    return [TokenScores(each[:, 0], each[:, 1:].detach()) for each in of_sequences]


def laid_out(sequences: Sequence[ScoredSequence]) -> tuple[TokenTree, ImageInputs | None, list[Indexes]]:
    """The tree of a row, what makes the inputs of its images if it has any, and of each sequence its scored nodes."""
    tree = build_tree([sequence.input_ids for sequence in sequences])
    scored_nodes = [path[sequence.scored] for path, sequence in zip(tree.paths, sequences, strict=True)]
    images = {image.key: image for sequence in sequences for image in sequence.images}
    tree, contents = in_order_of_tree(tree, images) if images else (tree, None)
    return tree, contents, scored_nodes


def _edge_scores(
    model: nn.Module,
    tree: TokenTree,
    images: ImageInputs | None,
    nodes: Indexes,
    statistics: Sequence[str],
    chunked: bool,
) -> Tensor:
    """Log-probs of the tokens of `nodes` after their parents, and statistics, [E, 1 + N]."""
    parents = tree.parent[nodes]
    assert (parents >= 0).all(), "the first token of a sequence cannot be scored"
    keep, row_of = np.unique(parents, return_inverse=True)
    rows, tokens = torch.from_numpy(row_of), torch.from_numpy(tree.input_ids[nodes])
    if not chunked or len(keep) <= LOGITS_AT_ONCE:
        return token_scores(logits_at(model, tree, torch.from_numpy(keep), images), rows, tokens, statistics)
    in_order = rows.argsort(stable=True)
    with scoring_head(model, rows[in_order], tokens[in_order], statistics):
        scores = logits_at(model, tree, torch.from_numpy(keep), images)
    return scores[in_order.argsort().to(scores.device)]
