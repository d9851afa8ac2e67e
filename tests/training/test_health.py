"""Verdicts on a run from its log alone: each finds what it is for, with the step, and is silent otherwise."""

import math
from typing import Any

import pytest

from turnpoint.training.health import Verdict, judge

GOOD = {
    "grad_norm": 1.0,
    "learning_rate": 1e-6,
    "rewards/chosen": 0.5,
    "rewards/rejected": -0.5,
    "logratios/chosen": 0.01,
    "kl": 0.02,
    "length_bias": 0.1,
}


def run(**changes: Any) -> list[dict[str, Any]]:
    """Eight logs of a good run; a change is a value for all, or a function of the number of the log."""
    made = []
    for i in range(8):
        log = GOOD | {"step": 10 * (i + 1), "loss": 0.69 - 0.05 * i, "rewards/margins": 0.2 * i}
        log["rewards/accuracies"] = 0.5 + 0.05 * i
        made.append(log | {name.replace("__", "/"): v(i) if callable(v) else v for name, v in changes.items()})
    return made


def verdict(check: str, history: list[dict[str, Any]]) -> Verdict:
    [found] = [each for each in judge(history) if each.check == check]
    return found


def test_a_good_run_is_good() -> None:
    verdicts = judge(run())
    assert len(verdicts) == 6
    assert all(each.good for each in verdicts)


def test_too_few_logs_are_not_judged() -> None:
    assert judge(run()[:3]) == []


def test_a_loss_without_reference_is_judged_by_what_it_logs() -> None:
    history = [{name: v for name, v in log.items() if name not in ("kl", "logratios/chosen")} for log in run()]
    assert [each.check for each in judge(history)] == [
        "no_signal",
        "margin_without_accuracy",
        "length_bias",
        "gradient_spikes",
    ]


@pytest.mark.parametrize(
    ("check", "changes", "number", "since", "words"),
    [
        ("chosen_falls", {"logratios__chosen": lambda i: -0.05 * i}, -0.325, 40, "28% less likely per token"),
        (
            "margin_without_accuracy",
            {"rewards__accuracies": 0.6, "rewards__margins": lambda i: 1.0 + i},
            0.0,
            None,
            "margins grow (1.5 to 7.5) and accuracy does not (0.60 to 0.60)",
        ),
        ("length_bias", {"length_bias": lambda i: -0.2 * i}, -1.3, 40, "the reward prefers the shorter side"),
        ("far_from_reference", {"kl": lambda i: 0.1 * i}, 0.65, 40, "0.650 nats a token from the reference"),
        ("gradient_spikes", {"grad_norm": lambda i: 50.0 if i == 4 else 1.0}, 50.0, None, "at step 50"),
    ],
)
def test_what_is_wrong_is_found(
    check: str, changes: dict[str, Any], number: float, since: int | None, words: str
) -> None:
    found = verdict(check, run(**changes))
    assert not found.good
    assert found.number == pytest.approx(number)
    assert found.since == since
    assert words in found.says
    assert sum(not each.good for each in judge(run(**changes))) == 1


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"grad_norm": 0.0}, "Every gradient is 0"),
        ({"learning_rate": 0.0}, "The learning rate is 0 at every log"),
        ({}, "either the reference is the policy itself and moves with it, or the updates"),
        ({"rewards__margins": 1e-5}, "Raise learning_rate"),
    ],
)
def test_no_signal_names_its_cause(changes: dict[str, Any], cause: str) -> None:
    stuck = {"loss": math.log(2), "rewards__chosen": 0.0, "rewards__rejected": 0.0, "rewards__margins": 0.0}
    found = verdict("no_signal", run(**stuck | changes))
    assert not found.good
    assert cause in found.says


def test_a_rising_evaluation_loss_is_over_fitting() -> None:
    evaluations = [{"step": 10 * i, "eval_loss": loss} for i, loss in enumerate([0.6, 0.5, 0.55], 1)]
    found = verdict("overfitting", run() + evaluations)
    assert (found.good, found.since) == (False, 20)
    assert found.number == pytest.approx(1.1)
    assert judge(evaluations[:2])[0].good


def test_each_of_several_evaluation_sets_is_judged() -> None:
    history = [{"step": i, "eval_a_loss": 1.0 - i / 10, "eval_b_loss": 1.0 + i / 10} for i in range(3)]
    assert [(each.good, each.since) for each in judge(history)] == [(True, None), (False, 0)]


def test_a_loss_without_reference_may_be_stuck() -> None:
    """Its rewards are log-probs, far from 0 though nothing moves."""
    stuck = {"loss": 0.7, "rewards__chosen": -20.0, "rewards__rejected": -22.0, "rewards__margins": 2.0}
    history = [{name: v for name, v in log.items() if name != "kl"} for log in run(**stuck)]
    assert not verdict("no_signal", history).good
