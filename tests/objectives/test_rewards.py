"""The loss of a reward model, by hand."""

import math
from typing import Any

import pytest
import torch

from turnpoint.objectives import bradley_terry

CHOSEN, REJECTED = torch.tensor([2.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("margin", "settings", "expected"),
    [
        (0.0, {}, math.log(1 + math.exp(-1))),  # 0.3133
        (1.0, {}, math.log(2)),  # no lead is left
        (3.0, {}, math.log(1 + math.exp(2))),  # 2.1269
        (0.0, {"label_smoothing": 0.1}, 0.9 * math.log(1 + math.exp(-1)) + 0.1 * math.log(1 + math.e)),  # 0.4133
        (0.0, {"centering": 0.01}, math.log(1 + math.exp(-1)) + 0.09),
        (1.0, {"centering": 0.01}, math.log(2) + 0.09),  # the margin leaves the centre where it is
    ],
)
def test_by_hand(margin: float, settings: dict[str, Any], expected: float) -> None:
    loss = bradley_terry(CHOSEN, REJECTED, margin=torch.full_like(CHOSEN, margin), **settings)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_only_the_centre_sees_where_rewards_lie() -> None:
    """Both rewards raised by 10: the same loss without centring, 0.01 (23^2 - 3^2) = 5.2 more with it."""
    margin = torch.zeros_like(CHOSEN)
    plain = [bradley_terry(CHOSEN + up, REJECTED + up, margin=margin) for up in (0, 10)]
    centred = [bradley_terry(CHOSEN + up, REJECTED + up, margin=margin, centering=0.01) for up in (0, 10)]
    assert (plain[1] - plain[0]).item() == pytest.approx(0, abs=1e-12)
    assert (centred[1] - centred[0]).item() == pytest.approx(5.2, abs=1e-12)


def test_large_leads_do_not_overflow() -> None:
    far = torch.tensor([1e4, -1e4], dtype=torch.float64)
    assert bradley_terry(far, -far, margin=torch.zeros_like(far)).tolist() == [0, 2e4]
