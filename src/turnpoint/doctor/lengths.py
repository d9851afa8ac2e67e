"""Findings over the lengths of the two sides of a pair: biased over the data, far apart in a pair."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from turnpoint.doctor.finding import Finding, Place, Severity, over_rows

_SURE = 3.0  # standard deviations of a fair coin from which one side is longer by more than chance
_BIASED = 0.65  # share of the pairs from which it matters
_FAR = 4.0  # times as long, from which the sides of a pair are far apart


class Lengths(NamedTuple):
    """Lengths of the two sides of a pair, in one unit, and where the pair is."""

    chosen: int
    rejected: int
    source: str = ""


def length_bias(lengths: Sequence[Lengths], unit: str) -> Finding | None:
    """Whether the chosen side is longer, or shorter, by more than chance (sign test) and in most pairs.

    With n pairs of unequal length, k of them with the longer side chosen, k - n/2 has a standard deviation of
    sqrt(n)/2 for a fair coin: z = (2k - n) / sqrt(n).
    """
    longer = [pair for pair in lengths if pair.chosen > pair.rejected]
    shorter = [pair for pair in lengths if pair.chosen < pair.rejected]
    most, unequal = max(longer, shorter, key=len), len(longer) + len(shorter)
    if not unequal or len(most) < _BIASED * len(lengths) or (2 * len(most) - unequal) / math.sqrt(unequal) < _SURE:
        return None
    direction = "longer" if most is longer else "shorter"
    medians = [statistics.median(side) for side in zip(*((p.chosen, p.rejected) for p in lengths), strict=True)]
    return over_rows(
        Severity.WARNING,
        (
            f"chosen is {direction} than rejected in {len(most)} of {len(lengths)} pairs"
            f" (median {medians[0]:g} against {medians[1]:g} {unit})"
        ),
        [Place(pair.source, f": {pair.chosen} against {pair.rejected} {unit}") for pair in most],
        "the model may learn the length; balance the pairs, or use a length-normalised reduction (mean, diatool)",
    )


def far_apart(lengths: Sequence[Lengths], unit: str) -> Finding | None:
    """Pairs of which one side is many times as long as the other, the farthest apart first."""
    far = [pair for pair in lengths if _ratio(pair) > _FAR]
    return over_rows(
        Severity.NOTE,
        f"sides of which one has more than {_FAR:g} times the {unit} of the other",
        [
            Place(pair.source, f": {pair.chosen} against {pair.rejected} {unit}")
            for pair in sorted(far, key=_ratio, reverse=True)
        ],
        "fine where the shorter side is a call or a rejection; else one side is cut off or padded, and under a sum its"
        " length is the signal: mend the side, or use a length-normalised reduction (mean, diatool)",
    )


def _ratio(pair: Lengths) -> float:
    shorter, longer = sorted((pair.chosen, pair.rejected))
    return longer / shorter if shorter else 0.0  # an empty side is another finding
