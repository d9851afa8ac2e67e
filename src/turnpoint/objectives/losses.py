"""Losses: the scores of a pair become its loss. Legend: B pairs."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional


class PairScores(NamedTuple):
    """What a loss may read of B pairs.

    Args:
        policy_chosen: score of the chosen side under the policy, nats (after the reduction), [B].
        policy_rejected: the same of the rejected side, [B].
        reference_chosen: score of the chosen side under the reference, [B]; zeros for a loss that needs no reference.
        reference_rejected: the same of the rejected side, [B].
        chosen_tokens: scored tokens of the chosen side, [B].
        rejected_tokens: scored tokens of the rejected side, [B].
    """

    policy_chosen: Tensor
    policy_rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor


class LossFact(NamedTuple):
    """What a loss is and what else is true of it.

    Args:
        function: (scores, beta, margin, label_smoothing) -> loss of each pair, [B].
        needs_reference: False when the reference's scores are never read.
        smoothing: whether label smoothing has a meaning.
        margin: whether a margin has a meaning.
    """

    function: Callable[[PairScores, float, float, float], Tensor]
    needs_reference: bool = True
    smoothing: bool = False
    margin: bool = False


def sigmoid_loss(scores: PairScores, beta: float, margin: float, label_smoothing: float) -> Tensor:
    """DPO (arXiv 2305.18290, eq. 7) with a margin inside beta (DiaTool-DPO, arXiv 2504.02882, released code), [B].

    z = beta * (R_chosen - R_rejected - margin), loss = -log sigmoid(z). With label smoothing e (conservative DPO,
    https://ericmitchell.ai/cdpo.pdf) it is -(1 - e) log sigmoid(z) - e log sigmoid(-z): e is the share of
    pairs whose labels are taken to be swapped.

    R_chosen 1, R_rejected -1, beta 0.5: z = 1 and the loss is log(1 + 1/e) = 0.3133; margin 2 makes z = 0, log 2.
    """
    chosen = scores.policy_chosen - scores.reference_chosen
    rejected = scores.policy_rejected - scores.reference_rejected
    z = beta * (chosen - rejected - margin)
    return -(1 - label_smoothing) * functional.logsigmoid(z) - label_smoothing * functional.logsigmoid(-z)


LOSSES: dict[str, LossFact] = {
    "sigmoid": LossFact(sigmoid_loss, smoothing=True, margin=True),
}
