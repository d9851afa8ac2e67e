"""Reductions: the log-probs of a sequence's turns become its one score.

Legend: B sequences, T turns of the longest of them, t the number of a turn, T_b the turns of sequence b. Every
reduction is linear in the log-probs, so the score of log-ratios is the score of the policy minus that of the reference.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Turns(NamedTuple):
    """The turns of B sequences, numbered from 0 among those that count.

    Args:
        logps: summed log-probs of the scored tokens of each turn, nats, [B, T]; anything where `mask` is False.
        mask: True where a turn exists, bool [B, T].
        tokens: scored tokens of each turn, [B, T]; anything where `mask` is False.
        beyond: the part of `logps` of tokens beyond the length of the shorter side of the pair, [B, T]; anything where
            `mask` is False, and None where nobody asks for it.
    """

    logps: Tensor
    mask: Tensor
    tokens: Tensor
    beyond: Tensor | None = None


class ReductionFact(NamedTuple):
    """What a reduction is and what else is true of it.

    Args:
        function: (turns, gamma) -> scores [B].
        gamma: the turn discount taken where the user gives none; None where the reduction has no discount.
        margin: the margin of the loss taken where the user gives none, nats.
        by_turn: True when a score depends on how tokens fall into turns, so that it matters which turns are counted.
    """

    function: Callable[[Turns, float], Tensor]
    gamma: float | None = None
    margin: float = 0.0
    by_turn: bool = False


def sequence_sum(turns: Turns, gamma: float) -> Tensor:
    """Log-prob of the whole sequence (DPO, arXiv 2305.18290, eq. 7), [B].

    Two turns with log-probs -1 and -2: -3.
    """
    return turns.logps.where(turns.mask, 0).sum(-1)


def token_mean(turns: Turns, gamma: float) -> Tensor:
    """Mean log-prob of a scored token of the sequence (the score of SimPO, arXiv 2405.14734), [B].

    Two turns with log-probs -1 and -2, of 2 and 4 tokens: -3 / 6 = -0.5.
    """
    return sequence_sum(turns, gamma) / turns.tokens.where(turns.mask, 0).sum(-1)


def dmpo_score(turns: Turns, gamma: float) -> Tensor:
    """Turn-discounted score of a trajectory (DMPO, arXiv 2406.14868), [B]: the sum of gamma^t phi(t, T_b) logp_t.

    gamma 0.5, two turns with log-probs -1 and -2: phi is 1 and 0.5 / 0.75 = 2/3, so -1 - 0.5 * 2/3 * 2 = -5/3.
    gamma 1: phi is 1 and 1/2, so -2. gamma 0: only the first turn counts, -1.
    """
    weights = gamma ** _turn_numbers(turns.mask).to(turns.logps.dtype) * turn_weights(turns, gamma)
    return (weights * turns.logps.where(turns.mask, 0)).sum(-1)


def diatool_score(turns: Turns, gamma: float) -> Tensor:
    """Turn-discounted, turn-normalised score of a trajectory (DiaTool-DPO, arXiv 2504.02882, released code), [B].

    The mean of the turns' log-probs with weights phi(t, T_b). gamma 0.5, two turns with log-probs -1 and -2: phi is 1
    and 2/3, so (-1 - 4/3) / (5/3) = -1.4. gamma 1: phi is 1 and 1/2, so -2 / 1.5. gamma 0: phi is 1, so -1.5. The
    authors' code divides zero by zero at gamma 1; here it is the limit.
    """
    weights = turn_weights(turns, gamma)
    return (weights * turns.logps.where(turns.mask, 0)).sum(-1) / weights.sum(-1)


def shorter_side_first(sides: tuple[Turns, Turns], alpha: float) -> tuple[Turns, Turns]:
    """Weigh tokens beyond the length of the shorter side with alpha (LD-DPO, arXiv 2409.06411).

    A side of log-probs -1, -1, -4 beside one of two tokens, alpha 0.5: -1 - 1 - 0.5 * 4 = -4.
    """
    return _weighed(sides[0], alpha), _weighed(sides[1], alpha)


def _weighed(turns: Turns, alpha: float) -> Turns:
    assert turns.beyond is not None, "LD-DPO needs to know which tokens are beyond the shorter side"
    return turns._replace(logps=turns.logps - (1 - alpha) * turns.beyond)


def turn_weights(turns: Turns, gamma: float) -> Tensor:
    """phi(t, T_b) = (1 - gamma^(T_b - t)) / (1 - gamma^T_b), 0 where there is no turn, [B, T].

    Both brackets are computed as geometric sums 1 + gamma + ... + gamma^(n-1), so that gamma = 1 (n), gamma = 0 (1)
    and values close to 1 need no special case and lose no digits.
    """
    mask = turns.mask
    left = mask.flip(-1).cumsum(-1).flip(-1)  # T_b - t where a turn exists, [B, T]
    powers = gamma ** torch.arange(mask.shape[-1], device=mask.device, dtype=turns.logps.dtype)  # 0 ** 0 is 1
    geometric = torch.cat([powers.new_zeros(1), powers.cumsum(-1)])  # index n holds the sum of n powers
    total = geometric[left[:, :1]]  # [B, 1]
    return (geometric[left] / total).where(mask, 0)


def _turn_numbers(mask: Tensor) -> Tensor:
    """The number t of each turn, counted among the turns that exist, [B, T]; 0 before the first."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


REDUCTIONS: dict[str, ReductionFact] = {
    "sum": ReductionFact(sequence_sum),
    "mean": ReductionFact(token_mean),
    "dmpo": ReductionFact(dmpo_score, gamma=0.7, by_turn=True),
    "diatool": ReductionFact(diatool_score, gamma=0.5, margin=0.5, by_turn=True),
}
