"""Divergences: what holds the policy to the reference (f-DPO, arXiv 2309.16240). Legend: B sequences.

A divergence with generator f turns the log-ratio u = log t of a sequence into the score f'(t); a constant cancels
between the sides of a pair. The parametrisation of alpha is TRL's.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_MOST_EXPONENT = 80.0  # exp of it is finite in float32; beyond, a score no longer grows


def reverse_kl(logratios: Tensor, alpha: float) -> Tensor:
    """f(t) = t log t: the log-ratio itself (DPO), [B]."""
    return logratios


def forward_kl(logratios: Tensor, alpha: float) -> Tensor:
    """f(t) = -log t: 1 - 1 / t, [B]. A log-ratio of log 2 gives 1/2, of -log 2 gives -1."""
    return -_expm1(-logratios)


def js_divergence(logratios: Tensor, alpha: float) -> Tensor:
    """Jensen-Shannon: log(2 t / (t + 1)), [B]. A log-ratio of 0 gives 0, of log 3 gives log 1.5."""
    return math.log(2) + functional.logsigmoid(logratios)


def alpha_divergence(logratios: Tensor, alpha: float) -> Tensor:
    """(t^(alpha - 1) - 1) / (alpha - 1), [B]: alpha 0 is forward KL, alpha 1 the limit, reverse KL.

    alpha 0.5 and a log-ratio of log 4: (1/2 - 1) / (-1/2) = 1.
    """
    if alpha == 1:
        return logratios
    return _expm1((alpha - 1) * logratios) / (alpha - 1)


def _expm1(values: Tensor) -> Tensor:
    return torch.expm1(values.clamp(max=_MOST_EXPONENT))


DIVERGENCES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "reverse_kl": reverse_kl,
    "forward_kl": forward_kl,
    "js_divergence": js_divergence,
    "alpha_divergence": alpha_divergence,
}
