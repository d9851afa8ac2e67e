"""Losses of single pairs against a reference. Legend: B pairs.

Every function takes `PairScores` and `LossSettings` and returns the loss of each pair, [B]. Below, a_w and a_l are the
log-ratios of the chosen and the rejected side, and the lead is f'(a_w) - f'(a_l) - margin under the divergence: for
reverse KL without a margin a_w - a_l. Values by hand are for a_w 1, a_l -1, beta 0.5 unless they say otherwise.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from turnpoint.objectives.scores import LossSettings, PairScores, lead


def sigmoid(scores: PairScores, settings: LossSettings) -> Tensor:
    """DPO (arXiv 2305.18290, eq. 7) with a margin inside beta (DiaTool-DPO, arXiv 2504.02882, released code), [B].

    -log sigmoid(z) with z = beta * lead. With label smoothing e (conservative DPO, https://ericmitchell.ai/cdpo.pdf) it
    is -(1 - e) log sigmoid(z) - e log sigmoid(-z): e is the share of pairs whose labels are taken to be swapped.

    By hand: z = 1 and the loss is log(1 + 1/e) = 0.3133; margin 2 makes z = 0, log 2.
    """
    return smoothed(settings.beta * lead(scores, settings), settings.label_smoothing)


def hinge(scores: PairScores, settings: LossSettings) -> Tensor:
    """Hinge on the reward lead (RSO, arXiv 2309.06657), [B]: max(0, 1 - beta * lead).

    By hand: beta 0.25 gives 1 - 0.5 = 0.5; beta 0.5 gives 0.
    """
    return torch.relu(1 - settings.beta * lead(scores, settings))


def ipo(scores: PairScores, settings: LossSettings) -> Tensor:
    """IPO (arXiv 2310.12036, eq. 17), [B]: (lead - 1 / (2 beta))^2, beta the paper's tau.

    By hand: (2 - 1)^2 = 1. Its own reduction is the mean per token, as its authors used it.
    """
    return (lead(scores, settings) - 1 / (2 * settings.beta)) ** 2


def exo_pair(scores: PairScores, settings: LossSettings) -> Tensor:
    """EXO for two answers (arXiv 2402.00856, eq. 16), [B]: KL from (q, 1 - q) to (1 - e, e), q = sigmoid(beta * lead).

    By hand, e 0.1: q = 0.7311, q log(q / 0.9) + (1 - q) log((1 - q) / 0.1) = 0.1142.
    """
    z = settings.beta * lead(scores, settings)
    chosen, rejected = functional.logsigmoid(z), functional.logsigmoid(-z)
    smoothing = settings.label_smoothing
    return chosen.exp() * (chosen - math.log1p(-smoothing)) + rejected.exp() * (rejected - math.log(smoothing))


def nca_pair(scores: PairScores, settings: LossSettings) -> Tensor:
    """NCA for two answers (arXiv 2402.05369), [B].

    -log sigmoid(beta a_w) - 1/2 log sigmoid(-beta a_w) - 1/2 log sigmoid(-beta a_l). By hand, with log(1 + exp(-1/2)) =
    0.4741 and log(1 + exp(1/2)) = 0.9741: 0.4741 + 0.4870 + 0.2370 = 1.1982.
    """
    chosen, rejected = settings.beta * scores.chosen, settings.beta * scores.rejected
    of_both = functional.logsigmoid(-chosen) + functional.logsigmoid(-rejected)
    return -functional.logsigmoid(chosen) - 0.5 * of_both


def robust(scores: PairScores, settings: LossSettings) -> Tensor:
    """Robust DPO (arXiv 2403.00409), [B]: unbiased for DPO when a share e of the labels is swapped.

    (-(1 - e) log sigmoid(z) + e log sigmoid(-z)) / (1 - 2 e). By hand, e 0.1: (0.9 * 0.3133 - 0.1 * 1.3133) / 0.8 =
    0.1883.
    """
    z = settings.beta * lead(scores, settings)
    kept, swapped = -functional.logsigmoid(z), -functional.logsigmoid(-z)
    smoothing = settings.label_smoothing
    return ((1 - smoothing) * kept - smoothing * swapped) / (1 - 2 * smoothing)


def bco_pair(scores: PairScores, settings: LossSettings) -> Tensor:
    """BCO (arXiv 2404.04656), [B]: a classifier of good and bad whose rewards are shifted by their mean delta.

    -log sigmoid(beta a_w - delta) - log sigmoid(-(beta a_l - delta)). By hand, delta 0: 2 * 0.4741 = 0.9482; delta 0.5:
    log 2 + log(1 + 1/e) = 1.0064.
    """
    chosen, rejected = settings.beta * scores.chosen, settings.beta * scores.rejected
    return -functional.logsigmoid(chosen - settings.shift) - functional.logsigmoid(settings.shift - rejected)


def sppo_hard(scores: PairScores, settings: LossSettings) -> Tensor:
    """SPPO with win rates of 1 and 0 (arXiv 2405.00675, eq. 4.7), [B]: (a_w - 1/(2 beta))^2 + (a_l + 1/(2 beta))^2.

    By hand: 0. Beta 0.25: (1 - 2)^2 + (-1 + 2)^2 = 2.
    """
    target = 1 / (2 * settings.beta)
    return (scores.chosen - target) ** 2 + (scores.rejected + target) ** 2


def apo_zero(scores: PairScores, settings: LossSettings) -> Tensor:
    """APO-zero (arXiv 2408.06266, eq. 7), [B]: 1 - sigmoid(beta a_w) + sigmoid(beta a_l).

    By hand: 2 * (1 - 0.6225) = 0.7551.
    """
    return torch.sigmoid(-settings.beta * scores.chosen) + torch.sigmoid(settings.beta * scores.rejected)


def apo_down(scores: PairScores, settings: LossSettings) -> Tensor:
    """APO-down (arXiv 2408.06266, eq. 8), [B]: sigmoid(beta a_w) + 1 - sigmoid(beta (a_w - a_l)).

    By hand: 0.6225 + 1 - 0.7311 = 0.8914.
    """
    chosen, rejected = settings.beta * scores.chosen, settings.beta * scores.rejected
    return torch.sigmoid(chosen) + torch.sigmoid(rejected - chosen)


def discopop(scores: PairScores, settings: LossSettings) -> Tensor:
    """DiscoPOP's log-ratio modulated loss (arXiv 2406.08414, eq. 5), [B], with temperature tau, the coefficient.

    With z = beta * lead and m = sigmoid(z / tau): -(1 - m) log sigmoid(z) + m exp(-z). By hand, tau 1: 0.2689 * 0.3133
    + 0.7311 * 0.3679 = 0.3532.
    """
    z = settings.beta * lead(scores, settings)
    exponential = torch.sigmoid(z / settings.coefficient)
    return -(1 - exponential) * functional.logsigmoid(z) + exponential * torch.exp(-z)


def dpop(scores: PairScores, settings: LossSettings) -> Tensor:
    """DPO-Positive (arXiv 2402.13228), [B], with weight lambda, the coefficient.

    -log sigmoid(beta * (lead - lambda * max(0, -a_w))): a chosen side less likely than under the reference costs. By
    hand, a_w -1, a_l -3, lambda 2: lead 2, minus 2: log 2. With a_w 1 it is DPO.
    """
    penalty = settings.coefficient * torch.relu(-scores.chosen)
    return -functional.logsigmoid(settings.beta * (lead(scores, settings) - penalty))


def smoothed(z: Tensor, smoothing: float) -> Tensor:
    """-(1 - e) log sigmoid(z) - e log sigmoid(-z)."""
    return -(1 - smoothing) * functional.logsigmoid(z) - smoothing * functional.logsigmoid(-z)
