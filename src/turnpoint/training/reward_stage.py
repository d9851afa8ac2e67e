"""What the executor runs for a reward model: the scores of both sides of a pair, each read at its last token.

Legend: B pairs of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from turnpoint.objectives import bradley_terry
from turnpoint.template import TokenizedDialogue, TokenizedPair
from turnpoint.training.executor import RowResult
from turnpoint.training.images import ImageInputsOf, scored_sequence
from turnpoint.tree import ScoredSequence, TokenScores, read_at_end, sequence_rewards


@dataclass
class RewardExample:
    """A pair as the stage trains on it.

    Args:
        chosen: the preferred side, up to the token that is read.
        rejected: the other side.
        weight: of the pair in a mean over pairs.
        margin: in units of the score, instead of the setting; None leaves it to that.
    """

    chosen: ScoredSequence
    rejected: ScoredSequence
    weight: float = 1.0
    margin: float | None = None


def reward_example(pair: TokenizedPair, *, pad_token_id: int | None, images: ImageInputsOf | None) -> RewardExample:
    """A pair whose sides end where the model reads them.

    Args:
        pair: the tokenised pair.
        pad_token_id: of the model.
        images: what becomes of images; None where there are none.
    """
    nothing = np.empty(0, np.int64)

    def side(dialogue: TokenizedDialogue) -> ScoredSequence:
        return read_at_end(scored_sequence(dialogue, nothing, images), pad_token_id)

    return RewardExample(side(pair.chosen), side(pair.rejected), pair.weight, pair.margin)


@dataclass
class RewardStage:
    """A preference pair for the executor.

    Args:
        margin: of pairs that carry none.
        label_smoothing: share of pairs taken to be labelled the wrong way round.
        centering: weight of the square of the sum of both scores.
        metrics: names of the sums that `row` returns.
        statistics: none, since nothing is drawn from a score.
        sequences_per_item: two sides.
        metrics_by_weight: every pair counts as one.
        coupling: pairs do not enter each other's losses.
    """

    margin: float = 0.0
    label_smoothing: float = 0.0
    centering: float = 0.0
    metrics: tuple[str, ...] = ("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins")
    statistics: tuple[str, ...] = ()
    sequences_per_item: int = 2
    metrics_by_weight: bool = False
    coupling: None = None
    score: ClassVar = staticmethod(sequence_rewards)

    def sequences(self, item: RewardExample) -> Sequence[ScoredSequence]:
        """Chosen, rejected."""
        return item.chosen, item.rejected

    def weight(self, item: RewardExample) -> float:
        """That of the pair, 1 where the data says nothing."""
        return item.weight

    def row(
        self, model: nn.Module, items: Sequence[RewardExample], scores: Sequence[Sequence[TokenScores]]
    ) -> RowResult:
        """Summed loss and metrics of the pairs of a row; of each pair its scores, [B, 2]."""
        chosen, rejected = (torch.cat([pair[side].values for pair in scores]) for side in (0, 1))  # [B]
        losses = bradley_terry(
            chosen,
            rejected,
            margin=chosen.new_tensor([self.margin if item.margin is None else item.margin for item in items]),
            label_smoothing=self.label_smoothing,
            centering=self.centering,
        )
        weights = chosen.new_tensor([item.weight for item in items])
        columns = (chosen, rejected, (chosen > rejected).to(chosen.dtype), chosen - rejected)
        sums = torch.stack([column.sum() for column in columns]).detach()
        return RowResult((losses * weights).sum(), sums, torch.stack([chosen, rejected], -1).detach())

    def run_beside(self, model: nn.Module, sequences: Sequence[ScoredSequence]) -> None:
        """A row runs the reward model only."""
