"""Losses of rated completions, without pairs. Legend: B of them; a is a log-ratio, liked or not.

Values by hand are for a = 1, beta 0.5.
"""

import torch
from torch import Tensor
from torch.nn import functional

from turnpoint.objectives.scores import LossSettings, PairScores


def kto(scores: PairScores, settings: LossSettings) -> Tensor:
    """KTO (arXiv 2402.01306, eq. 8), [B]: 1 - sigmoid(beta (a - z)), or 1 - sigmoid(beta (z - a)) where not liked.

    z is the mean log-ratio of completions under prompts they were not written for, at least 0, over all of the step;
    nothing flows back through it. By hand, z 0: 1 - 0.6225 = 0.3775, not liked 0.6225; z 1: 0.5 either way.
    """
    mean = scores.rejected.detach().mean().clamp(min=0)
    return torch.sigmoid(-_signed(scores, settings.beta * (scores.chosen - mean)))


def bco(scores: PairScores, settings: LossSettings) -> Tensor:
    """BCO (arXiv 2404.04656), [B]: -log sigmoid(beta a - delta), or -log sigmoid(delta - beta a) where not liked.

    delta is the running mean of rewards. By hand, delta 0: 0.4741, not liked 0.9741; delta 0.5: log 2 either way.
    """
    return -functional.logsigmoid(_signed(scores, settings.beta * scores.chosen - settings.shift))


def _signed(scores: PairScores, rewards: Tensor) -> Tensor:
    return torch.where(scores.liked, rewards, -rewards)
