"""Losses that need no reference. Legend: B pairs; s_w and s_l are scores of the sides, m_w is the chosen token mean.

Values by hand are for s_w -1, s_l -3, m_w -1, beta 0.5 unless they say otherwise.
"""

import torch
from torch import Tensor
from torch.nn import functional

from turnpoint.objectives.losses import hinge, sigmoid
from turnpoint.objectives.scores import LossSettings, PairScores


def simpo(scores: PairScores, settings: LossSettings) -> Tensor:
    """SimPO (arXiv 2405.14734, eq. 6), [B]: -log sigmoid(beta (s_w - s_l) - gamma), scores are token means.

    gamma is beta * margin, so the margin is the paper's gamma / beta. By hand: z = 1, 0.3133; margin 2: log 2.
    """
    return sigmoid(scores, settings)


def cpo(scores: PairScores, settings: LossSettings) -> Tensor:
    """CPO (arXiv 2401.08417), [B]: -log sigmoid(beta (s_w - s_l)) - alpha m_w, alpha the coefficient.

    The paper sums the second part over tokens; the mean, as in TRL, gives pairs of every length the same part in it. By
    hand, alpha 1: 0.3133 + 1 = 1.3133.
    """
    return sigmoid(scores, settings) - settings.coefficient * scores.chosen_mean


def slic(scores: PairScores, settings: LossSettings) -> Tensor:
    """SLiC-HF (arXiv 2305.10425), [B]: max(0, 1 - beta (s_w - s_l)) - lambda m_w, lambda the coefficient.

    The paper's delta is 1 / beta. By hand, lambda 1, beta 0.25: 0.5 + 1 = 1.5.
    """
    return hinge(scores, settings) - settings.coefficient * scores.chosen_mean


def orpo(scores: PairScores, settings: LossSettings) -> Tensor:
    """ORPO (arXiv 2403.07691, eq. 6-7), [B]: -m_w - beta log sigmoid(log odds ratio), odds of token means p / (1 - p).

    beta is the paper's lambda. By hand, s_w -log 2 = m_w, s_l -log 4: odds 1 and 1/3, log odds ratio log 3,
    -log sigmoid(log 3) = log(4/3): log 2 + 0.5 * 0.2877 = 0.8370.
    """
    chosen, rejected = scores.policy_chosen, scores.policy_rejected
    log_odds_ratio = chosen - rejected - _log_of_rest(chosen) + _log_of_rest(rejected)
    return -scores.chosen_mean - settings.beta * functional.logsigmoid(log_odds_ratio)


def sft(scores: PairScores, settings: LossSettings) -> Tensor:
    """Next-token loss of the chosen side, [B]: -m_w, as in RPO (arXiv 2404.19733, eq. 1). By hand: 1.

    A mean over the tokens of each pair, then over pairs: a long answer counts as much as a short one.
    """
    return -scores.chosen_mean


def _log_of_rest(logps: Tensor) -> Tensor:
    """log(1 - p) of log-probs below 0."""
    return torch.log(-torch.expm1(logps.clamp(max=-torch.finfo(logps.dtype).eps)))
