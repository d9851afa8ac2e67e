"""The loss of a reward model. Legend: B pairs; rewards are plain numbers, those of chosen and rejected sides."""

from torch import Tensor

from turnpoint.objectives.losses import smoothed


def bradley_terry(
    chosen: Tensor, rejected: Tensor, *, margin: Tensor, label_smoothing: float = 0.0, centering: float = 0.0
) -> Tensor:
    """Bradley-Terry loss of rewards with a margin (arXiv 2203.02155, eq. 1; 2307.09288, eq. 2), [B].

    -log sigmoid(z) with z = chosen - rejected - margin; with label smoothing e, the share of pairs taken to be labelled
    the wrong way round, -(1 - e) log sigmoid(z) - e log sigmoid(-z). Only differences of rewards enter it, so that c
    (chosen + rejected)^2 may be added, which draws them towards 0 (arXiv 2312.09244, eq. 2).

    By hand, chosen 2, rejected 1: log(1 + 1/e) = 0.3133; margin 1 makes z = 0, log 2; c 0.01 adds 0.09.

    Args:
        chosen: [B].
        rejected: [B].
        margin: by how much the chosen side must lead, [B].
        label_smoothing: e, [0, 0.5).
        centering: c; 0 leaves the mean of rewards alone.
    """
    return smoothed(chosen - rejected - margin, label_smoothing) + centering * (chosen + rejected) ** 2
