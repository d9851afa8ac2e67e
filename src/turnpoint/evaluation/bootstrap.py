"""How sure a rate is: intervals by resampling dialogues, and tests between two models that replied to the same turns.

Turns of one dialogue are no independent draws, so whole dialogues are drawn (the cluster bootstrap, percentile
intervals). Shapes: D dialogues, C categories, R resamples.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
_TAILS = 0.025  # of the resamples on either side
Items = Sequence[Mapping[str, Any]]
Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean and its 95% interval."""

    value: float
    low: float
    high: float


class Tally(NamedTuple):
    """What turns add up to, by dialogue and category."""

    sums: Floats  # [D, C]
    counts: Floats  # [D, C]


def tally(dialogues: Sequence[str], categories: Sequence[str], values: Sequence[float]) -> dict[str, Tally]:
    """Sums and counts of values by dialogue: of each category by itself, [D, 1], and of all of them under "", [D, C].

    Args:
        dialogues: of each turn, the dialogue it belongs to.
        categories: of each turn.
        values: of each turn.
    """
    rows = {name: i for i, name in enumerate(dict.fromkeys(dialogues))}
    columns = {name: i for i, name in enumerate(dict.fromkeys(categories))}
    sums, counts = np.zeros((2, len(rows), len(columns)))
    for dialogue, category, value in zip(dialogues, categories, values, strict=True):
        sums[rows[dialogue], columns[category]] += value
        counts[rows[dialogue], columns[category]] += 1
    found = {"": Tally(sums, counts)}
    for name, i in columns.items():
        holds = counts[:, i] > 0
        found[name] = Tally(sums[holds, i : i + 1], counts[holds, i : i + 1])
    return found


def micro(sums: Floats, counts: Floats) -> Floats:
    """Sums over counts of all categories: [..., C] to [...]."""
    mean: Floats = sums.sum(-1) / counts.sum(-1)
    return mean


def macro(sums: Floats, counts: Floats) -> Floats:
    """Mean over the categories that are there: [..., C] to [...]."""
    there = counts > 0
    rates = np.divide(sums, counts, out=np.zeros_like(sums), where=there)
    mean: Floats = rates.sum(-1) / there.sum(-1)
    return mean


def estimate(drawn_from: Tally, mean: Callable[[Floats, Floats], Floats], seed: int = 0) -> Estimate:
    """A mean over turns, with its interval by resampling dialogues.

    Args:
        drawn_from: what the turns add up to.
        mean: `micro` or `macro`.
        seed: of the resampling.
    """
    sums, counts = drawn_from
    of_all = float(mean(sums.sum(0), counts.sum(0)))
    times = _drawn(len(sums), seed)
    means = np.sort(mean(times @ sums, times @ counts))
    return Estimate(of_all, float(means[int(_TAILS * RESAMPLES)]), float(means[int((1 - _TAILS) * RESAMPLES)]))


def bootstrap(before: Items, after: Items, kind: str | None, seed: int = 0) -> tuple[float, float, float]:
    """Difference of the rates of right decisions, and its 95% interval by resampling dialogues, in points.

    Args:
        before: verdicts on the turns of a source, as `DecisionReport.as_dict` gives them.
        after: on the same turns.
        kind: the decision whose turns count; None for all.
        seed: of the resampling.
    """
    assert [each["source"] for each in before] == [each["source"] for each in after], "not the same turns"
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if kind is None or a["decision"] == kind]
    dialogues = [a["source"].partition(" message ")[0] for a, _ in pairs]
    moved = [b["passed"] - a["passed"] for a, b in pairs]
    found = estimate(tally(dialogues, [""] * len(pairs), moved)[""], micro, seed)
    return 100 * found.value, 100 * found.low, 100 * found.high


def mcnemar(lost: int, won: int) -> float:
    """Exact two-sided p-value of McNemar's test, from the turns that one of two models alone passes.

    The turns are taken for independent, which turns of one dialogue are not quite: the interval by dialogues is the
    more careful answer.
    """
    total = lost + won
    tail = sum(math.comb(total, k) for k in range(min(lost, won) + 1))
    return float(min(1.0, 2 * tail / 2**total))


def _drawn(groups: int, seed: int) -> Floats:
    """How often each of the groups is drawn in each resample, [R, D]."""
    random = Random(seed)
    draws = [random.choices(range(groups), k=groups) for _ in range(RESAMPLES)]
    return np.array([np.bincount(draw, minlength=groups) for draw in draws], dtype=np.float64)
