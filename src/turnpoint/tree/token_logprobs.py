"""Log-softmax at single tokens.

Shapes: K rows of logits, V vocabulary, E tokens.
"""

from typing import Any

import torch
from torch import Tensor

_ROWS_AT_ONCE = 64


def token_logprobs(logits: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """Log-probs [E] of `tokens` [E] in `rows` [E] of `logits` [K, V]; float32, or float64 for such logits."""
    logps: Tensor = _TokenLogprobs.apply(logits, rows.to(logits.device), tokens.to(logits.device))
    return logps


class _TokenLogprobs(torch.autograd.Function):
    """Log-softmax at single tokens, a few rows of logits at a time.

    Next to the logits themselves and their gradient, nothing of their size is made, in whatever precision they are.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
        """Log-probs [E] of `tokens` [E] in `rows` [E] of `logits` [K, V]; float32, or float64 for such logits."""
        totals = torch.cat([_precise(part).logsumexp(-1) for part in logits.split(_ROWS_AT_ONCE)])  # [K]
        ctx.save_for_backward(logits, totals, rows, tokens)
        return _precise(logits[rows, tokens]) - totals[rows]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """For a row with edges of gradients g: g at their tokens, minus softmax times the sum of g."""
        logits, totals, rows, tokens = ctx.saved_tensors
        sums = torch.zeros_like(totals).index_add_(0, rows, grad)
        of_logits = torch.empty_like(logits)
        for start in range(0, len(logits), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            part_grad = (_precise(logits[part]) - totals[part, None]).exp_().mul_(-sums[part, None])
            here = (rows >= start) & (rows < start + _ROWS_AT_ONCE)
            part_grad.index_put_((rows[here] - start, tokens[here]), grad[here], accumulate=True)
            of_logits[part] = part_grad
        return of_logits, None, None


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
