"""Scores of sequences by a reward model, whatever they share computed once.

A reward model is a sequence classifier of transformers with one label: its head, `score`, makes a number of the hidden
state of a token. By itself it returns that of the last token of each row; here those of any nodes of a tree are wanted.

Shapes: T nodes of the tree, K nodes that are read, S read tokens of one sequence, D size of a hidden state.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from turnpoint.tree.forward import bare_model, tree_inputs
from turnpoint.tree.head import replaced_forward
from turnpoint.tree.logprobs import ScoredSequence, TokenScores, laid_out


def read_at_end(sequence: ScoredSequence, pad_token_id: int | None) -> ScoredSequence:
    """The sequence up to the token at which a sequence classifier reads it: the last that is not padding.

    Args:
        sequence: any tokens of it may be scored.
        pad_token_id: that of the model's configuration; None: the last token is read.
    """
    ids = np.asarray(sequence.input_ids)
    kept = np.flatnonzero(ids != pad_token_id) if pad_token_id is not None else np.arange(len(ids))
    last = int(kept[-1]) if len(kept) else 0
    return sequence._replace(input_ids=sequence.input_ids[: last + 1], scored=np.array([last]))


def sequence_rewards(
    model: nn.Module,
    sequences: Sequence[ScoredSequence],
    *,
    statistics: Sequence[str] = (),
    shared: bool = True,
    chunked: bool = False,
) -> list[TokenScores]:
    """What a reward model's head makes of the tokens at `scored`, each with all before it, with gradients.

    Args:
        model: a sequence classifier with one label, bare or wrapped by peft or a distributed engine.
        sequences: one row; the first token may be read too.
        statistics: none: a reward is a number, no distribution.
        shared: run all in one forward as their token tree; False runs one sequence per forward.
        chunked: has no meaning here: there are no logits.
    """
    assert not statistics, "a reward has none"
    if shared:
        return _row_rewards(model, sequences)
    return [_row_rewards(model, [sequence])[0] for sequence in sequences]


def _row_rewards(model: nn.Module, sequences: Sequence[ScoredSequence]) -> list[TokenScores]:
    tree, images, read = laid_out(sequences)
    nodes, value_of = np.unique(np.concatenate(read), return_inverse=True)
    with _head_reads(model, torch.from_numpy(nodes)):
        rewards: Tensor = model(**tree_inputs(model, tree, images)).logits[0]
    rewards = rewards if rewards.dtype == torch.float64 else rewards.float()
    values = rewards[torch.from_numpy(value_of).to(rewards.device)].split([len(each) for each in read])
    return [TokenScores(each, each.new_empty(len(each), 0)) for each in values]


@contextmanager
def _head_reads(model: nn.Module, nodes: Tensor) -> Iterator[None]:
    """Let the model return the scores of `nodes` [K] as the labels of its one row, [1, K].

    The model takes one position of what its head returns [1, T, labels], so all positions get the same: the scores.
    """
    head: nn.Module = bare_model(model).score
    score_of = head.forward

    def forward(hidden: Tensor) -> Tensor:
        read = hidden[:, nodes.to(hidden.device)].to(next(head.parameters()).dtype)
        # In half precision the scores of two sides would often be the same number.
        with torch.autocast(hidden.device.type, enabled=False):
            scores: Tensor = score_of(read)  # [1, K, 1]
        return scores.transpose(1, 2).expand(-1, hidden.shape[1], -1)

    with replaced_forward(head, forward):
        yield
