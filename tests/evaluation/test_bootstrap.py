"""Intervals and p-values by hand, and against a resampling written out in plain Python."""

from random import Random
from typing import Any

import numpy as np
import pytest

from turnpoint.evaluation.bootstrap import RESAMPLES, Estimate, bootstrap, estimate, macro, mcnemar, micro, tally


def test_means_by_hand() -> None:
    """Sums 2 and 1 of counts 4 and 1: micro 3/5, macro (1/2 + 1)/2. A category without turns is no part of macro."""
    sums, counts = np.array([2.0, 1.0, 0.0]), np.array([4.0, 1.0, 0.0])
    assert micro(sums, counts) == 3 / 5
    assert macro(sums, counts) == 3 / 4


def test_one_dialogue_has_no_spread_and_two_have_all() -> None:
    """Of one that passes and one that fails a quarter of the resamples holds two of the first, a quarter none."""
    one = tally(["a", "a", "a"], ["call"] * 3, [1, 0, 1])
    assert estimate(one["call"], micro) == Estimate(2 / 3, 2 / 3, 2 / 3)
    two = tally(["a", "b"], ["call", "call"], [1, 0])
    assert estimate(two["call"], micro) == Estimate(0.5, 0.0, 1.0)
    assert estimate(tally(["a", "b"], ["x", "x"], [1, 1])["x"], macro) == Estimate(1.0, 1.0, 1.0)


def test_a_rate_draws_from_the_dialogues_that_have_such_turns() -> None:
    found = tally(["a", "b", "c"], ["call", "call", "slot"], [1, 0, 1])
    assert found["call"].sums.tolist() == [[1], [0]]
    assert found["slot"].counts.tolist() == [[1]]
    assert found[""].counts.tolist() == [[1, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize("kind", ["call", None])
def test_the_resampling_in_plain_python(kind: str | None) -> None:
    random = Random(0)
    before: list[dict[str, Any]] = [
        {
            "source": f"d{random.randrange(20)} message {i}",
            "decision": random.choice(["call", "slot"]),
            "passed": i % 3 > 0,
        }
        for i in range(80)
    ]
    after = [{**each, "passed": random.random() < 0.8} for each in before]
    groups: dict[str, list[int]] = {}
    for a, b in zip(before, after, strict=True):
        if kind in (None, a["decision"]):
            groups.setdefault(a["source"].split(" message ")[0], []).append(b["passed"] - a["passed"])
    drawing = Random(3)
    means = []
    for _ in range(RESAMPLES):
        drawn = drawing.choices(list(groups.values()), k=len(groups))
        means.append(100 * sum(map(sum, drawn)) / sum(map(len, drawn)))
    means.sort()
    moved = [each for group in groups.values() for each in group]
    expected = (100 * sum(moved) / len(moved), means[50], means[1950])
    assert bootstrap(before, after, kind, seed=3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [(0, 0, 1), (3, 3, 1), (0, 5, 2 / 32), (1, 5, 2 * (1 + 6) / 64), (5, 1, 2 * (1 + 6) / 64), (0, 1, 1)],
)
def test_mcnemar_by_hand(lost: int, won: int, p: float) -> None:
    assert mcnemar(lost, won) == p
