"""What a loss reads: the scores of pairs and the settings of the objective. Legend: B pairs."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class PairScores(NamedTuple):
    """What a loss may read of B pairs.

    Args:
        policy_chosen: score of the chosen side under the policy, nats (after the reduction), [B].
        policy_rejected: the same of the rejected side, [B].
        reference_chosen: score of the chosen side under the reference, [B]; zeros for a loss that needs no reference.
        reference_rejected: the same of the rejected side, [B].
        chosen_mean: mean log-prob of a scored token of the chosen side under the policy, nats, [B].
        margin: by how much the chosen side must lead, nats, [B].
        chosen_tokens: scored tokens of the chosen side, [B].
        rejected_tokens: scored tokens of the rejected side, [B].
        liked: of rated completions whether they were liked, bool [B]; True for pairs. There the chosen side is the
            completion, and the rejected side that of another prompt.
    """

    policy_chosen: Tensor
    policy_rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_mean: Tensor
    margin: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    liked: Tensor

    @property
    def chosen(self) -> Tensor:
        """Log-ratio of the chosen side, nats, [B]; its score where there is no reference."""
        return self.policy_chosen - self.reference_chosen

    @property
    def rejected(self) -> Tensor:
        """Log-ratio of the rejected side, nats, [B]."""
        return self.policy_rejected - self.reference_rejected


class LossSettings(NamedTuple):
    """What a loss may read of the objective.

    Args:
        beta: how strongly the policy is held to the reference, 1 / nats.
        label_smoothing: share of pairs taken to be labelled the wrong way round, [0, 0.5).
        divergence: log-ratios [B] -> scores [B], a value of `DIVERGENCES`.
        coefficient: the loss's own number (`LossFact.coefficient`), 0 where it has none.
        shift: running mean of the rewards of both sides over the steps before this one (BCO's delta).
    """

    beta: float
    label_smoothing: float
    divergence: Callable[[Tensor], Tensor]
    coefficient: float = 0.0
    shift: float = 0.0


def lead(scores: PairScores, settings: LossSettings) -> Tensor:
    """By how much the chosen side leads the rejected one beyond the margin, under the divergence, [B]."""
    return settings.divergence(scores.chosen) - settings.divergence(scores.rejected) - scores.margin
