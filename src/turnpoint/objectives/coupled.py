"""Losses that couple the pairs of an optimiser step: B is all of them. Legend: a_w, a_l log-ratios as in `losses`."""

from torch import Tensor
from torch.nn import functional

from turnpoint.objectives.losses import smoothed
from turnpoint.objectives.scores import LossSettings, PairScores


def aot(scores: PairScores, settings: LossSettings) -> Tensor:
    """AOT on paired data (arXiv 2406.05882), [B]: leads of the policy, sorted, against those of the reference.

    Sorts s_w - s_l under each and takes -log sigmoid(beta * difference), with label smoothing as in cDPO. By hand, beta
    1, leads (2, 0) under the policy and (0, 1) under the reference: differences (0, 1), losses log 2 and 0.3133.
    """
    policy = (scores.policy_chosen - scores.policy_rejected).sort().values
    reference = (scores.reference_chosen - scores.reference_rejected).sort().values
    return smoothed(settings.beta * (policy - reference), settings.label_smoothing)


def aot_pair(scores: PairScores, settings: LossSettings) -> Tensor:
    """AOT on unpaired data (arXiv 2406.05882), [B]: a_w sorted against a_l sorted.

    By hand, beta 1, a_w (2, 0), a_l (0, 1): differences (0, 1), losses log 2 and 0.3133.
    """
    difference = scores.chosen.sort().values - scores.rejected.sort().values
    return smoothed(settings.beta * difference, settings.label_smoothing)


def kto_pair(scores: PairScores, settings: LossSettings) -> Tensor:
    """KTO on pairs (arXiv 2402.01306), [B]: each side against the mean log-ratio of the other sides of the step.

    With z_w = max(0, mean a_w) and z_l the same of a_l, through which nothing flows back:
    1/2 (1 - sigmoid(beta (a_w - z_l))) + 1/2 (1 - sigmoid(beta (z_w - a_l))). By hand, one pair a_w 1, a_l -1, beta
    0.5: z_w 1, z_l 0; (1 - 0.6225 + 1 - 0.7311) / 2 = 0.3232.
    """
    chosen_mean = scores.chosen.detach().mean().clamp(min=0)
    rejected_mean = scores.rejected.detach().mean().clamp(min=0)
    of_chosen = functional.sigmoid(-settings.beta * (scores.chosen - rejected_mean))
    of_rejected = functional.sigmoid(-settings.beta * (chosen_mean - scores.rejected))
    return (of_chosen + of_rejected) / 2
