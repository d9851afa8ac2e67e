"""Reductions and losses: hand-derived values, the DiaTool authors' numbers, exact limits, texts of errors."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from turnpoint.errors import ConfigError
from turnpoint.objectives import ALIASES, LOSSES, REDUCTIONS, Objective, Turns
from turnpoint.objectives.reductions import turn_weights

GOLDEN = json.loads((Path(__file__).parent / "diatool.json").read_text())


def turns(rows: list[list[float]], tokens: list[list[int]] | None = None, fill: float = float("nan")) -> Turns:
    """Pad rows of turn log-probs with `fill`, which nothing may read."""
    width = max(len(row) for row in rows)
    counts = tokens or [[1] * len(row) for row in rows]
    return Turns(
        torch.tensor([row + [fill] * (width - len(row)) for row in rows], dtype=torch.float64),
        torch.tensor([[i < len(row) for i in range(width)] for row in rows]),
        torch.tensor([row + [99] * (width - len(row)) for row in counts]),
    )


def pair_of(case: dict[str, Any], policy_or_reference: str) -> tuple[Turns, Turns]:
    chosen, rejected = (case[f"{policy_or_reference}_{side}_turn_logps"] for side in ("chosen", "rejected"))
    return turns(chosen), turns(rejected)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"gamma{case['gamma']}-margin{case['margin']}")
def test_diatool_gives_the_authors_numbers(case: dict[str, Any]) -> None:
    objective = Objective(reduction="diatool", beta=case["beta"], gamma=case["gamma"], margin=case["margin"])
    result = objective(pair_of(case, "policy"), pair_of(case, "reference"))
    for got, name in zip(result, ("losses", "chosen_rewards", "rejected_rewards"), strict=True):
        assert got.tolist() == pytest.approx(case[name], abs=1e-6)


@pytest.mark.parametrize(
    ("reduction", "gamma", "value"),
    [
        ("sum", None, -3),
        ("mean", None, -3 / 6),
        ("dmpo", 0.5, -5 / 3),
        ("dmpo", 1.0, -2),
        ("dmpo", 0.0, -1),
        ("diatool", 0.5, -1.4),
        ("diatool", 1.0, -2 / 1.5),
        ("diatool", 0.0, -1.5),
    ],
)
def test_reduction_of_two_turns_by_hand(reduction: str, gamma: float | None, value: float) -> None:
    """Turns with log-probs -1 and -2, of 2 and 4 tokens; the docstring of each reduction derives its value."""
    rows = turns([[-1, -2], [-1, -2, -7]], tokens=[[2, 4], [2, 4, 5]])
    score = Objective(reduction=reduction, gamma=gamma).terms[0].score(rows)
    assert score[0].item() == pytest.approx(value, abs=1e-15)


def test_turn_weights_of_three_turns_by_hand() -> None:
    """Gamma 0.5, T 3: (1 - 1/8, 1 - 1/4, 1 - 1/2) / (1 - 1/8) = (1, 6/7, 4/7)."""
    weights = turn_weights(turns([[-1, -1, -1]]), 0.5)
    assert weights.tolist()[0] == pytest.approx([1, 6 / 7, 4 / 7], abs=1e-15)


@pytest.mark.parametrize("reduction", ["dmpo", "diatool"])
@pytest.mark.parametrize(("limit", "near"), [(1.0, 1 - 1e-9), (0.0, 1e-12)])
def test_limits_of_gamma_are_exact_with_their_gradients(reduction: str, limit: float, near: float) -> None:
    def score_and_gradient(gamma: float) -> tuple[Tensor, Tensor]:
        rows = turns([[-1, -2, -4, -0.5], [-3]], fill=float("-inf"))
        logps = rows.logps.requires_grad_()
        score = Objective(reduction=reduction, gamma=gamma).terms[0].score(rows)
        return score, torch.autograd.grad(score.sum(), logps)[0]

    at_limit, gradient = score_and_gradient(limit)
    close, close_gradient = score_and_gradient(near)
    torch.testing.assert_close(at_limit, close, atol=1e-8, rtol=0)
    torch.testing.assert_close(gradient, close_gradient, atol=1e-8, rtol=0)
    assert gradient[1, 1:].tolist() == [0, 0, 0]
    assert torch.isfinite(gradient).all()


def test_diatool_with_gamma_one_weighs_turns_linearly() -> None:
    """With phi = (T - t) / T: 1, 3/4, 2/4, 1/4 over their sum 10/4."""
    score = Objective(reduction="diatool", gamma=1.0).terms[0].score(turns([[-1, -2, -4, -8]]))
    assert score.item() == pytest.approx(-(1 + 1.5 + 2 + 2) / 2.5, abs=1e-15)


def test_sigmoid_loss_by_hand() -> None:
    """R_chosen - R_rejected = 2, beta 0.5: z 1, or 0 with margin 2; smoothing 0.1 adds 0.1 of -log sigmoid(-z)."""
    policy, reference = (turns([[-1.0]]), turns([[-3.0]])), (turns([[-2.0]]), turns([[-2.0]]))
    at_one = math.log1p(math.exp(-1))
    assert Objective(beta=0.5)(policy, reference).losses.item() == pytest.approx(at_one, abs=1e-15)
    assert Objective(beta=0.5, margin=2.0)(policy, reference).losses.item() == pytest.approx(math.log(2), abs=1e-15)
    smoothed = Objective(beta=0.5, label_smoothing=0.1)(policy, reference)
    assert smoothed.losses.item() == pytest.approx(0.9 * at_one + 0.1 * (at_one + 1), abs=1e-15)
    assert (smoothed.chosen_rewards.item(), smoothed.rejected_rewards.item()) == (0.5, -0.5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_padding_and_batch_neighbours_change_nothing(reduction: str) -> None:
    together = turns([[-1, -2], [-5], [-1, -3, -2]], tokens=[[2, 4], [3], [1, 2, 3]])
    alone = turns([[-1, -2]], tokens=[[2, 4]])
    [term] = Objective(reduction=reduction).terms
    assert term.score(together)[0].item() == term.score(alone)[0].item()


def test_defaults_are_those_of_the_reduction() -> None:
    terms = {name: Objective(reduction=name).terms[0] for name in REDUCTIONS}
    settings = {name: (term.gamma, term.margin) for name, term in terms.items()}
    assert settings == {"sum": (1.0, 0.0), "mean": (1.0, 0.0), "dmpo": (0.7, 0.0), "diatool": (0.5, 0.5)}


def test_defaults_of_the_loss_give_way_to_those_of_the_reduction() -> None:
    [own] = Objective(loss_type="simpo").terms
    assert (own.reduction, own.margin) == ("mean", 0.5)
    [term] = Objective(loss_type="ipo", reduction="diatool").terms
    assert (term.reduction, term.margin) == ("diatool", 0.5)


def test_rewards_carry_no_graph() -> None:
    policy = turns([[-1.0]])
    policy.logps.requires_grad_()
    result = Objective()((policy, turns([[-3.0]])), (turns([[-2.0]]), turns([[-2.0]])))
    assert (result.losses.requires_grad, result.chosen_rewards.requires_grad) == (True, False)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"reduction": "diatol"},
            "objective: reduction: must be one of sum, mean, dmpo, diatool (got 'diatol'); did you mean 'diatool'?",
        ),
        (
            {"loss_type": "xyz"},
            f"objective: loss_type: must be one of {', '.join([*LOSSES, *ALIASES])} (got 'xyz'); look it up in"
            " docs/objectives.md",
        ),
        ({"beta": 0.0}, "objective: beta: must be a number above 0 (got 0.0); 0.1 is usual"),
        ({"beta": float("nan")}, "objective: beta: must be a number above 0 (got nan); 0.1 is usual"),
        (
            {"reduction": "dmpo", "gamma": 1.5},
            "objective: gamma: must lie in [0, 1] (got 1.5); 0.5 is usual",
        ),
        (
            {"reduction": "sum", "gamma": 0.5},
            "objective: gamma: reduction 'sum' has no turn discount (got 0.5); leave gamma out or use a reduction that"
            " has one: dmpo, diatool",
        ),
        ({"margin": float("inf")}, "objective: margin: must be a finite number (got inf); 0.5 is usual"),
        (
            {"label_smoothing": 0.5},
            "objective: label_smoothing: must lie in [0, 0.5) (got 0.5); at 0.5 and above the labels say nothing or"
            " the opposite, use 0.1 for noisy labels",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        Objective(**settings)
    assert str(error.value) == text
