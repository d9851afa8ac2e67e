"""Log-softmax at single tokens, and what else the distributions that they come from tell.

Shapes: K rows of logits, V vocabulary, E tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_ROWS_AT_ONCE = 64


def token_logprobs(logits: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """Log-probs [E] of `tokens` [E] in `rows` [E] of `logits` [K, V]; float32, or float64 for such logits."""
    logps: Tensor = _TokenLogprobs.apply(logits, rows.to(logits.device), tokens.to(logits.device))
    return logps


def token_scores(logits: Tensor, rows: Tensor, tokens: Tensor, statistics: Sequence[str]) -> Tensor:
    """Log-probs with gradients and, beside them, the `token_statistics`: [E, 1 + N]."""
    logps = token_logprobs(logits, rows, tokens)[:, None]
    return torch.cat([logps, token_statistics(logits, rows, tokens, statistics)], -1) if statistics else logps


def token_statistics(logits: Tensor, rows: Tensor, tokens: Tensor, names: Sequence[str]) -> Tensor:
    """Statistics of the distributions that tokens come from, without gradients.

    Args:
        logits: [K, V].
        rows: of each token the row of its logits, [E].
        tokens: [E].
        names: keys of `STATISTICS`, N of them.

    Returns:
        [E, N]; float32, or float64 for such logits.
    """
    rows, tokens = rows.to(logits.device), tokens.to(logits.device)
    with torch.no_grad():
        found = [STATISTICS[name](logits, rows, tokens) for name in names]
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return torch.stack([each.to(dtype) for each in found], -1) if found else logits.new_empty(len(rows), 0, dtype=dtype)


def _is_top(logits: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    return logits.argmax(-1)[rows] == tokens


def _of_row(statistic: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A statistic of rows of precise logits [k, V] -> [k], as one of tokens."""

    def of_token(logits: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
        return torch.cat([statistic(_precise(part)) for part in logits.split(_ROWS_AT_ONCE)])[rows]

    return of_token


def _entropy(logits: Tensor) -> Tensor:
    logps = logits.log_softmax(-1)
    return -(logps.exp() * logps).sum(-1)


STATISTICS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "entropy": _of_row(_entropy),  # nats
    "log_sum_p2": _of_row(lambda logits: logits.mul(2).logsumexp(-1) - 2 * logits.logsumexp(-1)),
    "mean_logit": _of_row(lambda logits: logits.mean(-1)),
    "top1": _is_top,  # 1 where the token is the likeliest
}


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
